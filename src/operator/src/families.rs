//! The families in this binary. To add a family, add a crate, a line in [`ALL`] and an arm in [`crate::app`].

use bookings::run::NAME as BOOKINGS;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

/// What the command line needs to know about a family.
#[derive(Clone, Copy)]
pub struct FamilyInfo {
    /// Its name, as in `--families`.
    pub name: &'static str,
    /// Whether it has a dry run.
    pub has_dry_run: bool,
    /// Whether it can be narrowed to a namespace.
    pub fits_in_namespace: bool,
    /// Its CRDs.
    pub crds: fn() -> Vec<CustomResourceDefinition>,
}

impl std::fmt::Debug for FamilyInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// All families.
pub const ALL: [FamilyInfo; 1] = [FamilyInfo {
    name: BOOKINGS,
    has_dry_run: true,
    fits_in_namespace: true,
    crds: bookings::api::crd::all,
}];

/// The family with a name.
pub fn find(name: &str) -> Option<FamilyInfo> {
    ALL.into_iter().find(|family| family.name == name)
}

/// The names of all families, for messages.
pub fn names() -> String {
    ALL.map(|family| family.name).join(", ")
}

/// Parses a list of names, separated by commas. `all` means all of them.
///
/// # Errors
/// The unknown name, and the known ones.
pub fn parse(list: &str) -> Result<Vec<FamilyInfo>, String> {
    if list.trim() == "all" {
        return Ok(ALL.to_vec());
    }
    let mut families: Vec<FamilyInfo> = Vec::new();
    for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let family =
            find(name).ok_or_else(|| format!("{name:?} is no family; known: {}, or all", names()))?;
        if !families.iter().any(|known| known.name == family.name) {
            families.push(family);
        }
    }
    if families.is_empty() {
        return Err(format!("no family is named; known: {}, or all", names()));
    }
    Ok(families)
}

/// Refuses families that do not support a flag.
///
/// # Errors
/// The family and the flag.
pub fn check(families: &[FamilyInfo], dry_run: bool, namespace: Option<&str>) -> Result<(), String> {
    for family in families {
        if dry_run && !family.has_dry_run {
            return Err(format!(
                "--dry-run: the family {} has no dry run; leave it out of --families",
                family.name
            ));
        }
        if namespace.is_some() && !family.fits_in_namespace {
            return Err(format!(
                "--namespace: the family {} works on all namespaces; leave it out of --families",
                family.name
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(list: &str) -> Result<Vec<&'static str>, String> {
        parse(list).map(|families| families.into_iter().map(|family| family.name).collect())
    }

    #[test]
    fn families_are_named_once_each_or_all_together() {
        assert_eq!(parsed("bookings").unwrap(), ["bookings"]);
        assert_eq!(parsed(" bookings , bookings,").unwrap(), ["bookings"]);
        assert_eq!(parsed("all").unwrap().len(), ALL.len());
    }

    #[test]
    fn an_unknown_family_is_refused_with_the_known_ones() {
        for list in ["nonsense", "bookings,nonsense"] {
            let error = parsed(list).unwrap_err();
            assert!(error.contains("\"nonsense\"") && error.contains("bookings"), "{error}");
        }
        assert!(parsed(" , ").unwrap_err().contains("bookings"));
    }

    #[test]
    fn a_family_is_refused_with_a_flag_that_does_not_suit_it() {
        let bare = FamilyInfo { has_dry_run: false, fits_in_namespace: false, ..ALL[0] };
        assert!(check(&[bare], true, None).unwrap_err().contains("--dry-run"));
        assert!(check(&[bare], false, Some("team")).unwrap_err().contains("--namespace"));
        assert_eq!(check(&[bare], false, None), Ok(()));
        assert_eq!(check(&ALL, true, Some("team")), Ok(()));
    }
}
