//! Names of databases: `arn:aws:rds:<region>:<account>:db:<identifier>`, or `:cluster:`.

use std::fmt;

use crate::ec2::Scope;

/// The kind of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Instance,
    Cluster,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Instance => "db",
            Self::Cluster => "cluster",
        }
    }
}

/// The name of a database. Names are ordered as in listings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Arn {
    pub(crate) kind: Kind,
    pub(crate) scope: Scope,
    pub(crate) identifier: String,
}

impl Arn {
    /// The ARN of an identifier. RDS keeps identifiers in lower case, and accepts them in any case.
    pub(crate) fn new(kind: Kind, scope: &Scope, identifier: &str) -> Self {
        Self { kind, scope: scope.clone(), identifier: identifier.to_ascii_lowercase() }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("arn:aws:rds:")?.splitn(4, ':');
        let (region, account, word, identifier) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let kind = [Kind::Instance, Kind::Cluster].into_iter().find(|kind| kind.word() == word)?;
        let scope = Scope { account: account.to_owned(), region: region.to_owned() };
        is_identifier(identifier).then(|| Self::new(kind, &scope, identifier))
    }

    /// Reads an ARN, or an identifier of `scope`. `None` if the ARN is malformed or of another kind.
    pub(crate) fn resolve(kind: Kind, scope: &Scope, text: &str) -> Option<Self> {
        if text.starts_with("arn:") {
            return Self::parse(text).filter(|arn| arn.kind == kind);
        }
        Some(Self::new(kind, scope, text))
    }

    /// The name as seen from `scope`: an ARN if the database is in another scope.
    pub(crate) fn seen_from(&self, scope: &Scope) -> String {
        if self.scope == *scope { self.identifier.clone() } else { self.to_string() }
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scope { account, region } = &self.scope;
        write!(f, "arn:aws:rds:{region}:{account}:{}:{}", self.kind.word(), self.identifier)
    }
}

/// Whether RDS accepts a text as an identifier. Its refusal states the same rule.
pub(crate) fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !text.ends_with('-')
        && !text.contains("--")
        && text.len() <= 63
}
