//! Names of time zones.

use jiff::tz::TimeZone;

/// The zone with this name in the IANA database. Files next to the database, such as `localtime`, are not zones.
pub fn time_zone(name: &str) -> Option<TimeZone> {
    let is_zone = !["factory", "localtime", "posixrules"].iter().any(|it| name.eq_ignore_ascii_case(it));
    is_zone.then(|| TimeZone::get(name).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_of_the_database_are_known_and_files_beside_it_are_not() {
        for (name, known) in [
            ("Europe/Berlin", true),
            ("UTC", true),
            ("localtime", false),
            ("Factory", false),
            ("Mars", false),
        ] {
            assert_eq!(time_zone(name).is_some(), known, "{name}");
        }
    }
}
