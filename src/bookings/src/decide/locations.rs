//! Locations: the accounts and regions in which groups are, and which namespaces may use them.
//!
//! Without this check, a user who may create a Resource could act in every account that trusts the operator. So the
//! administrator must allow every account and region except the operator's own.

use std::{collections::BTreeSet, fmt};

use booking_decision::text::cut;

/// Length of an account's number.
const ACCOUNT_DIGITS: usize = 12;

/// One account and region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// The account, 12 digits. Two roles of one account reach the same machines. Empty for the account of the
    /// operator's own credentials.
    pub account: String,
    /// Role to assume; empty for none.
    pub role_arn: String,
    /// Region.
    pub region: String,
    /// The external id that the role's trust policy asks for, if it does. It must not be shown to users.
    pub external_id: Option<String>,
}

/// A rule that allows namespaces to use an account in some regions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Which namespaces; `*` is all.
    pub namespaces: BTreeSet<String>,
    /// Role to assume; empty for the operator's own account.
    pub role_arn: String,
    /// Which regions.
    pub regions: BTreeSet<String>,
    /// The external id that the role's trust policy asks for, if it does.
    pub external_id: Option<String>,
}

/// The operator's own account and region, and what else is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locations {
    role_arn: String,
    region: String,
    allowed: Vec<Allowed>,
}

/// A location that a namespace may not use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAllowed(String);

impl fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Locations {
    /// Creates it from the operator's own role (empty for none) and region, which apply if an object names none, and
    /// from the rules for what else is allowed.
    pub fn new(role_arn: &str, region: &str, allowed: Vec<Allowed>) -> Self {
        Self { role_arn: role_arn.to_owned(), region: region.to_owned(), allowed }
    }

    /// The operator's own region.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The same operator's own role and region, with other rules.
    #[must_use]
    pub fn allowing(&self, allowed: Vec<Allowed>) -> Self {
        Self::new(&self.role_arn, &self.region, allowed)
    }

    /// Whether it is the operator's own account and region.
    pub fn is_own(&self, location: &Location) -> bool {
        location.region == self.region && location.account == account(&self.role_arn)
    }

    /// The location in which the objects of a namespace act if they name this role and region.
    ///
    /// # Errors
    /// [`NotAllowed`], which names the field.
    pub fn find(
        &self,
        namespace: &str,
        role: Option<&str>,
        region: Option<&str>,
    ) -> Result<Location, NotAllowed> {
        let role_arn = role.unwrap_or(&self.role_arn);
        let region = region.unwrap_or(&self.region);
        let location = |external_id| Location {
            account: account(role_arn),
            role_arn: role_arn.to_owned(),
            region: region.to_owned(),
            external_id,
        };
        let of_role = |allowed: &&Allowed| {
            let concerns = allowed.namespaces.contains(namespace) || allowed.namespaces.contains("*");
            concerns && (allowed.role_arn == role_arn || (allowed.role_arn.is_empty() && role.is_none()))
        };
        let with_role: Vec<&Allowed> = self.allowed.iter().filter(of_role).collect();
        if let Some(allowed) = with_role.iter().find(|allowed| allowed.regions.contains(region)) {
            return Ok(location(allowed.external_id.clone()));
        }
        let own_role = role_arn == self.role_arn;
        if own_role && region == self.region {
            return Ok(location(None));
        }
        if !own_role && with_role.is_empty() {
            let role = cut(role_arn);
            return Err(NotAllowed(format!(
                "spec.role_arn: {role:?} is not allowed for namespace {namespace:?}"
            )));
        }
        let own = own_role.then_some(self.region.as_str());
        let regions: BTreeSet<&str> =
            with_role.iter().flat_map(|allowed| &allowed.regions).map(String::as_str).chain(own).collect();
        let regions = regions.into_iter().collect::<Vec<_>>().join(", ");
        let region = cut(region);
        Err(NotAllowed(format!(
            "spec.region: {region:?} is not allowed for namespace {namespace:?} with this role; allowed: {regions}"
        )))
    }
}

/// The account in a role's ARN, 12 digits. Empty if the text is not a role's ARN.
pub fn account(role_arn: &str) -> String {
    let parts: Vec<&str> = role_arn.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, resource] = parts.as_slice() else {
        return String::new();
    };
    let is_account = account.len() == ACCOUNT_DIGITS && account.bytes().all(|byte| byte.is_ascii_digit());
    let is_role = resource.strip_prefix("role/").is_some_and(|name| !name.is_empty());
    if is_account && is_role && partition.starts_with("aws") { (*account).to_owned() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: &str = "arn:aws:iam::222222222222:role/booking";
    const THIRD: &str = "arn:aws:iam::333333333333:role/booking";

    fn allowed(namespace: &str, role_arn: &str, regions: &[&str]) -> Allowed {
        Allowed {
            namespaces: BTreeSet::from([namespace.to_owned()]),
            role_arn: role_arn.to_owned(),
            regions: regions.iter().map(ToString::to_string).collect(),
            external_id: (!role_arn.is_empty()).then(|| format!("id of {namespace}")),
        }
    }

    fn locations() -> Locations {
        let own_abroad = allowed("*", "", &["eu-west-1"]);
        let other = allowed("team-a", OTHER, &["eu-central-1", "us-east-1"]);
        Locations::new(
            "",
            "eu-central-1",
            vec![own_abroad, other, allowed("team-b", THIRD, &["eu-central-1"])],
        )
    }

    #[test]
    fn the_operators_own_account_and_region_are_open_to_all() {
        let location = locations().find("anybody", None, None).unwrap();
        assert_eq!((location.account.as_str(), location.region.as_str()), ("", "eu-central-1"));
        assert!(locations().is_own(&location));
        assert_eq!(locations().find("anybody", None, Some("eu-central-1")), Ok(location));
    }

    #[test]
    fn a_role_is_open_to_its_namespaces_in_its_regions_with_its_external_id() {
        let location = locations().find("team-a", Some(OTHER), Some("us-east-1")).unwrap();
        assert_eq!((location.account.as_str(), location.role_arn.as_str()), ("222222222222", OTHER));
        assert_eq!(location.external_id.as_deref(), Some("id of team-a"));
        assert!(!locations().is_own(&location));
        assert!(locations().find("team-a", Some(OTHER), None).is_ok(), "the region may be left out");
        assert!(locations().find("anybody", None, Some("eu-west-1")).is_ok());
    }

    #[test]
    fn a_refusal_names_the_field_the_value_and_what_is_allowed_here_only() {
        let table = [
            ("team-b", Some(OTHER), None, vec!["spec.role_arn", "222222222222", "team-b"]),
            ("team-b", Some("nonsense"), None, vec!["spec.role_arn", "nonsense"]),
            ("team-a", Some(OTHER), Some("eu-west-1"), vec!["spec.region", "eu-central-1, us-east-1"]),
            ("anybody", None, Some("us-east-1"), vec!["spec.region", "us-east-1", "eu-central-1, eu-west-1"]),
        ];
        for (namespace, role, region, says) in table {
            let text = locations().find(namespace, role, region).unwrap_err().to_string();
            assert!(says.iter().all(|word| text.contains(word)), "{text}");
            assert!(!text.contains("id of"), "{text}");
        }
    }

    #[test]
    fn the_operators_own_role_is_meant_where_none_is_named() {
        let locations = Locations::new(OTHER, "eu-central-1", vec![allowed("*", "", &["eu-west-1"])]);
        let own = locations.find("anybody", None, None).unwrap();
        assert_eq!((own.account.as_str(), own.role_arn.as_str()), ("222222222222", OTHER));
        assert_eq!(locations.find("anybody", Some(OTHER), None).unwrap(), own);
        let abroad = locations.find("anybody", None, Some("eu-west-1")).unwrap();
        assert_eq!(abroad.role_arn, OTHER);
    }

    #[test]
    fn the_account_of_a_role_is_in_its_arn() {
        let table = [
            ("arn:aws:iam::123456789012:role/booking", "123456789012"),
            ("arn:aws-us-gov:iam::123456789012:role/path/booking", "123456789012"),
            ("arn:aws:iam::123456789012:user/ann", ""),
            ("arn:aws:iam::12345678901:role/booking", ""),
            ("arn:aws:iam::123456789012:role/", ""),
            ("arn:aws:sts::123456789012:assumed-role/booking/x", ""),
            ("booking", ""),
            ("", ""),
        ];
        for (arn, expected) in table {
            assert_eq!(account(arn), expected, "{arn}");
        }
    }
}
