//! What a stored Resource means: the group of machines it stands for, or what is wrong with it.

use booking_api::{OnDelete, RESOURCE_TYPES, Resource, WhenIdle};

use crate::booking::{InvalidSpec, cut, plain_text};

/// Where a group of machines lives: machines with the same key are the same machines.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupKey {
    /// `ec2` or `rds`.
    pub type_: String,
    /// Role to assume; empty for the operator's own account.
    pub role_arn: String,
    /// Region; the operator's own where the Resource names none.
    pub region: String,
    /// Value of the application tag.
    pub tag: String,
}

/// A Resource whose spec makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Which machines.
    pub key: GroupKey,
    /// What happens to them while nobody holds them; absent is a policy of its own.
    pub when_idle: Option<WhenIdle>,
    /// What happens to them when the Resource goes.
    pub on_delete: OnDelete,
}

/// Longest value of an EC2 tag.
const TAG_MAX_CHARS: usize = 256;

/// Reads a Resource. `region` is the operator's own.
///
/// # Errors
/// [`InvalidSpec`] names the first field that makes no sense.
pub fn validate(resource: &Resource, region: &str) -> Result<Group, InvalidSpec> {
    let spec = &resource.spec;
    let type_ = spec.type_.as_deref().unwrap_or_default();
    if !RESOURCE_TYPES.contains(&type_) {
        let problem = format!("{:?} is unknown; known: {}", cut(type_), RESOURCE_TYPES.join(", "));
        return Err(InvalidSpec::new("type", problem));
    }
    let tag = plain_text("tag", spec.tag.as_deref(), TAG_MAX_CHARS)?;
    Ok(Group {
        key: GroupKey {
            type_: type_.to_owned(),
            role_arn: spec.role_arn.clone().unwrap_or_default(),
            region: spec.region.clone().unwrap_or_else(|| region.to_owned()),
            tag: tag.to_owned(),
        },
        when_idle: spec.when_idle,
        on_delete: spec.on_delete.unwrap_or(OnDelete::Release),
    })
}
