//! What a member works on, as far as other rings must know it: families of kinds, and namespaces.

use std::{collections::BTreeSet, sync::Arc};

use crate::record::{MemberLease, Stored};

/// The family of release 0.1.0, whose members name none.
const FIRST_FAMILY: &str = "bookings";
/// Ends the name of the ring of a dry run. Members of release 0.1.0 say by nothing else that they are one.
pub const DRY_RUN_SUFFIX: &str = "-dry-run";

/// A ring among all rings of a cluster. Rings are in order of namespace, then name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RingName {
    /// Namespace of its Ring object and Leases.
    pub namespace: Arc<str>,
    /// Name of its Ring object.
    pub name: Arc<str>,
}

/// The namespaces that a member works for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    All,
    /// One.
    Namespace(Arc<str>),
    /// Its Lease does not say.
    Untold,
}

/// What a member works on. The ring understands neither families nor namespaces: it compares words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Families of kinds.
    pub families: BTreeSet<Arc<str>>,
    /// Namespaces.
    pub scope: Scope,
    /// It only tries what it would do: it is in nobody's way.
    pub dry_run: bool,
    /// It sees the Leases of rings in other namespaces, too.
    pub sees_all: bool,
}

/// A member of another ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its ring.
    pub ring: RingName,
    /// Its Lease.
    pub lease: Stored<MemberLease>,
}

impl RingName {
    /// The ring of a dry run of this one.
    #[must_use]
    pub fn of_dry_run(&self) -> Self {
        Self { namespace: self.namespace.clone(), name: format!("{}{DRY_RUN_SUFFIX}", self.name).into() }
    }
}

impl Scope {
    /// Whether some namespace may be in both. If one of them is not told, only that of all namespaces is known to
    /// overlap with it: two members of release 0.1.0 for one namespace each may be there with good reason.
    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => true,
            (Self::Namespace(one), Self::Namespace(other)) => one == other,
            (Self::Untold, _) | (_, Self::Untold) => false,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::All => "all namespaces".to_owned(),
            Self::Namespace(namespace) => format!("namespace {namespace}"),
            Self::Untold => "namespaces that its Lease does not name".to_owned(),
        }
    }
}

impl Claim {
    /// The claim of a process: families, and one namespace or all.
    pub fn new(families: &BTreeSet<String>, namespace: Option<&str>, dry_run: bool) -> Self {
        let families = families.iter().map(|family| family.as_str().into()).collect();
        let scope = namespace.map_or(Scope::All, |namespace| Scope::Namespace(namespace.into()));
        Self { families, scope, dry_run, sees_all: false }
    }

    /// The families that both work on, if they do so for the same namespaces.
    pub fn overlap(&self, other: &Self) -> BTreeSet<Arc<str>> {
        if self.scope.overlaps(&other.scope) {
            self.families.intersection(&other.families).cloned().collect()
        } else {
            BTreeSet::new()
        }
    }
}

impl Neighbour {
    /// What it works on. A member of release 0.1.0 does not say.
    pub fn claim(&self) -> Claim {
        self.lease.value.claim.as_deref().cloned().unwrap_or_else(|| Claim {
            families: BTreeSet::from([FIRST_FAMILY.into()]),
            scope: Scope::Untold,
            dry_run: self.ring.name.ends_with(DRY_RUN_SUFFIX),
            sees_all: false,
        })
    }

    /// Whether it gives way to other rings at all, and can see the members of this one.
    pub fn sees(&self, ring: &RingName) -> bool {
        let claim = self.lease.value.claim.as_ref();
        claim.is_some_and(|claim| claim.sees_all || self.ring.namespace == ring.namespace)
    }

    /// What people are told of it.
    pub fn text(&self, families: &BTreeSet<Arc<str>>) -> String {
        let (who, RingName { namespace, name }) = (&self.lease.value.incarnation, &self.ring);
        let word = if families.len() == 1 { "family" } else { "families" };
        let families: Vec<&str> = families.iter().map(|family| &**family).collect();
        let (families, scope) = (families.join(", "), self.claim().scope.text());
        format!("replica {who} of ring {namespace}/{name} works on {word} {families} for {scope}")
    }
}
