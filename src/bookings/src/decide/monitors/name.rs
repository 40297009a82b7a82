//! The name of a discovered Resource. If `<type>.<tag>` is a valid name and the group is in the operator's own
//! account and region, that is the name, as the predecessor made it. Otherwise the text is turned into a valid name
//! with a digest. Names must not change between versions: tests pin them.

use crate::decide::locations::Location;
use booking_decision::names::{NAME_MAX, cut_to, digest};

/// The name of the Resource for a group. `abroad` is the group's location, or None if that is the operator's own.
pub fn resource_name(type_: &str, tag: &str, abroad: Option<&Location>) -> String {
    let plain = format!("{type_}.{tag}");
    if abroad.is_none() && is_name(&plain) && !looks_made(tag) {
        return plain;
    }
    let told = abroad.map_or_else(|| tag.to_owned(), |location| format!("{tag}.{}", location.region));
    // Neither account nor region has a space, so no other tag and location give the same text.
    let apart = abroad.map_or_else(|| tag.to_owned(), |it| format!("{} {} {tag}", it.account, it.region));
    let made: String = told.chars().map(|c| if is_plain(c) { c } else { to_plain(c) }).collect();
    let tail = format!("{MARK}{}", digest(&apart));
    let room = NAME_MAX.saturating_sub(type_.len() + 1 + tail.len());
    let body = cut_to(made.trim_matches('-'), room).trim_end_matches('-');
    let body = if body.is_empty() { "group" } else { body };
    format!("{type_}.{body}{tail}")
}

/// The mark before the digest.
const MARK: &str = "-x";
/// The length of a digest.
const DIGEST_CHARS: usize = 12;

/// Whether a tag ends like a made name. Such a tag could equal the name that is made for another tag.
fn looks_made(tag: &str) -> bool {
    tag.rsplit_once(MARK).is_some_and(|(_, tail)| {
        tail.len() == DIGEST_CHARS
            && tail.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

fn is_plain(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

fn to_plain(c: char) -> char {
    if c.is_ascii_uppercase() { c.to_ascii_lowercase() } else { '-' }
}

/// Whether it is a DNS subdomain (RFC 1123), as object names are.
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.chars().all(is_plain) && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= NAME_MAX && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn location(account: &str, region: &str) -> Location {
        Location { account: account.into(), region: region.into(), ..Location::default() }
    }

    #[test]
    fn a_group_of_another_account_or_region_has_a_name_of_its_own() {
        let names = [
            resource_name("ec2", "web", None),
            resource_name("ec2", "web", Some(&location("", "us-east-1"))),
            resource_name("ec2", "web", Some(&location("222222222222", "us-east-1"))),
            resource_name("ec2", "web", Some(&location("222222222222", "eu-central-1"))),
            resource_name("ec2", "web.us-east-1", None),
        ];
        assert_eq!(names[1], "ec2.web-us-east-1-x36187067c65c");
        let distinct: HashSet<&String> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "{names:?}");
    }

    #[test]
    fn names_are_pinned() {
        for (tag, name) in [
            ("analytics", "ec2.analytics"),
            ("team-a.web", "ec2.team-a.web"),
            ("Analytics", "ec2.analytics-x94c116ee118a"),
            ("*", "ec2.group-x684888c0ebb1"),
        ] {
            assert_eq!(resource_name("ec2", tag, None), name);
        }
    }

    #[test]
    fn tags_that_look_alike_have_different_names() {
        let tags = [
            "web app",
            "web-app",
            "web_app",
            "Web App",
            "web app ",
            "-web-app-",
            "web..app",
            "größe",
            "gr--e",
            "*",
            "?",
        ];
        let made = resource_name("ec2", "web app", None);
        let copy = made.strip_prefix("ec2.").unwrap();
        let names: HashSet<String> =
            tags.into_iter().chain([copy]).map(|tag| resource_name("ec2", tag, None)).collect();
        assert_eq!(names.len(), tags.len() + 1, "{names:?}");
    }

    proptest! {
        #[test]
        fn any_tag_has_a_valid_name(tag in "\\PC{0,300}") {
            let name = resource_name("rds", &tag, None);
            prop_assert!(is_name(&name), "{name}");
            prop_assert_eq!(resource_name("rds", &tag, None), name.clone());
            let abroad = resource_name("rds", &tag, Some(&location("", "us-east-1")));
            prop_assert!(is_name(&abroad) && abroad != name, "{abroad}");
        }
    }
}
