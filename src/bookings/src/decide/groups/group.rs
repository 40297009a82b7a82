//! What a stored Resource means: the group of machines that it stands for, or what is wrong with it.

use crate::api::{OnDelete, RESOURCE_TYPES, Resource, WhenIdle};

use crate::decide::{
    groups::claim::Claim,
    locations::{Location, Locations, NotAllowed},
};
use booking_decision::{
    InvalidSpec,
    text::{cut, plain_text},
};

/// Where a group of machines is. Two groups with the same key have the same machines.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupKey {
    /// `ec2` or `rds`.
    pub type_: String,
    /// Account, 12 digits. Empty for the account of the operator's own credentials.
    pub account: String,
    /// Region.
    pub region: String,
    /// Value of the application tag.
    pub tag: String,
}

/// A Resource with a valid spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Which machines.
    pub key: GroupKey,
    /// Where they are, and how to get there.
    pub location: Location,
    /// What happens to them while nobody holds them. If it is absent, the adoption grace applies.
    pub when_idle: Option<WhenIdle>,
    /// What happens to them when the Resource goes.
    pub on_delete: OnDelete,
}

/// Longest value of an EC2 tag.
const TAG_MAX_CHARS: usize = 256;

/// Why a Resource stands for no group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoGroup {
    /// A field is invalid.
    Invalid(InvalidSpec),
    /// It asks for an account or region that its namespace may not use.
    NotAllowed(NotAllowed),
}

/// Validates a Resource.
///
/// # Errors
/// [`NoGroup`] names the first field that is invalid or not allowed.
pub fn validate(resource: &Resource, locations: &Locations) -> Result<Group, NoGroup> {
    let (type_, tag) = machines(resource).map_err(NoGroup::Invalid)?;
    let spec = &resource.spec;
    let namespace = resource.metadata.namespace.as_deref().unwrap_or_default();
    let location = locations.find(namespace, spec.role_arn.as_deref(), spec.region.as_deref());
    let location = location.map_err(NoGroup::NotAllowed)?;
    Ok(Group {
        key: GroupKey {
            type_: type_.to_owned(),
            account: location.account.clone(),
            region: location.region.clone(),
            tag: tag.to_owned(),
        },
        location,
        when_idle: spec.when_idle,
        on_delete: spec.on_delete.unwrap_or(OnDelete::Release),
    })
}

/// Kind and tag of the machines.
fn machines(resource: &Resource) -> Result<(&str, &str), InvalidSpec> {
    let spec = &resource.spec;
    let type_ = spec.type_.as_deref().unwrap_or_default();
    if !RESOURCE_TYPES.contains(&type_) {
        let problem = format!("{:?} is unknown; known: {}", cut(type_), RESOURCE_TYPES.join(", "));
        return Err(InvalidSpec::new("type", problem));
    }
    let tag = plain_text("tag", spec.tag.as_deref(), TAG_MAX_CHARS)?;
    Ok((type_, tag))
}

/// Why a Resource acts on nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// A field is invalid.
    Invalid(InvalidSpec),
    /// It asks for an account or region that its namespace may not use.
    NotAllowed(NotAllowed),
    /// Another Resource acts on its group.
    Claimed,
}

/// The group that a Resource acts on.
///
/// # Errors
/// [`Blocked`] says why it acts on none.
pub fn standing(resource: &Resource, claim: Claim, locations: &Locations) -> Result<Group, Blocked> {
    validate(resource, locations)?.claimed(claim)
}

impl Group {
    /// The group, unless another Resource acts on it.
    ///
    /// # Errors
    /// [`Blocked::Claimed`].
    pub fn claimed(self, claim: Claim) -> Result<Self, Blocked> {
        if claim == Claim::Other { Err(Blocked::Claimed) } else { Ok(self) }
    }
}

impl From<NoGroup> for Blocked {
    fn from(why: NoGroup) -> Self {
        match why {
            NoGroup::Invalid(error) => Self::Invalid(error),
            NoGroup::NotAllowed(error) => Self::NotAllowed(error),
        }
    }
}
