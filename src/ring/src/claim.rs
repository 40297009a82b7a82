//! What a member works on, in the words that other rings need: families of kinds, and namespaces.

use std::{collections::BTreeSet, sync::Arc};

use crate::record::{MemberLease, Stored};

/// The family of release 0.1.0. Members of that release name no family.
const FIRST_FAMILY: &str = "bookings";
/// The end of the name of a dry run's ring. Members of release 0.1.0 show only by this name that they are a dry run.
pub const DRY_RUN_SUFFIX: &str = "-dry-run";

/// The name of a ring among all rings of a cluster. Rings are ordered by namespace, then by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RingName {
    /// The namespace of its Ring object and Leases.
    pub namespace: Arc<str>,
    /// The name of its Ring object.
    pub name: Arc<str>,
}

/// The namespaces that a member works for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All namespaces.
    All,
    /// One namespace.
    Namespace(Arc<str>),
    /// The Lease of the member does not say.
    Untold,
}

/// What a member works on. The ring does not know what families and namespaces are. It compares the words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The families of kinds.
    pub families: BTreeSet<Arc<str>>,
    /// The namespaces.
    pub scope: Scope,
    /// Whether the member is a dry run. It only shows what it would do, so no other ring gives way to it.
    pub dry_run: bool,
    /// Whether the member also sees the Leases of rings in other namespaces.
    pub sees_all: bool,
}

/// A member of another ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The ring of the member.
    pub ring: RingName,
    /// The Lease of the member.
    pub lease: Stored<MemberLease>,
}

impl RingName {
    /// The ring that a dry run of this ring uses.
    #[must_use]
    pub fn of_dry_run(&self) -> Self {
        Self { namespace: self.namespace.clone(), name: format!("{}{DRY_RUN_SUFFIX}", self.name).into() }
    }
}

impl Scope {
    /// Whether some namespace may be in both scopes. If one scope is not told, it is known to overlap only with all
    /// namespaces: two members of release 0.1.0, for one namespace each, may stand beside each other for a good reason.
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
    /// The claim of a process: its families, and one namespace or all.
    pub fn new(families: &BTreeSet<String>, namespace: Option<&str>, dry_run: bool) -> Self {
        let families = families.iter().map(|family| family.as_str().into()).collect();
        let scope = namespace.map_or(Scope::All, |namespace| Scope::Namespace(namespace.into()));
        Self { families, scope, dry_run, sees_all: false }
    }

    /// The families that both work on, if they work for a common namespace.
    pub fn overlap(&self, other: &Self) -> BTreeSet<Arc<str>> {
        if self.scope.overlaps(&other.scope) {
            self.families.intersection(&other.families).cloned().collect()
        } else {
            BTreeSet::new()
        }
    }
}

impl Neighbour {
    /// What the member works on. A member of release 0.1.0 does not say, so its family and scope are assumed.
    pub fn claim(&self) -> Claim {
        self.lease.value.claim.as_deref().cloned().unwrap_or_else(|| Claim {
            families: BTreeSet::from([FIRST_FAMILY.into()]),
            scope: Scope::Untold,
            dry_run: self.ring.name.ends_with(DRY_RUN_SUFFIX),
            sees_all: false,
        })
    }

    /// Whether the member gives way to other rings at all, and can see the members of this ring.
    pub fn sees(&self, ring: &RingName) -> bool {
        let claim = self.lease.value.claim.as_ref();
        claim.is_some_and(|claim| claim.sees_all || self.ring.namespace == ring.namespace)
    }

    /// The text that people read about the member.
    pub fn text(&self, families: &BTreeSet<Arc<str>>) -> String {
        let (who, RingName { namespace, name }) = (&self.lease.value.incarnation, &self.ring);
        let word = if families.len() == 1 { "family" } else { "families" };
        let families: Vec<&str> = families.iter().map(|family| &**family).collect();
        let (families, scope) = (families.join(", "), self.claim().scope.text());
        format!("replica {who} of ring {namespace}/{name} works on {word} {families} for {scope}")
    }
}
