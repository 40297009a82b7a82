//! Setting and removing tags.

use super::super::error::ApiError;
use super::super::model::{AddInstances, InstanceState, Tags};
use super::super::tagging::{TagArgument, TagCall};
use super::*;

fn tag(key: &str, value: &str) -> TagArgument {
    TagArgument { key: key.to_owned(), value: Some(value.to_owned()) }
}

fn key(key: &str) -> TagArgument {
    TagArgument { key: key.to_owned(), value: None }
}

fn create(world: &mut World, ids: &[String], tags: &[TagArgument]) -> Result<(), ApiError> {
    world.tag_call(at(1), &scope(), (TagCall::Create, false), ids, tags)
}

fn delete(world: &mut World, tags: &[TagArgument]) -> Result<(), ApiError> {
    world.tag_call(at(1), &scope(), (TagCall::Delete, false), &[id(1)], tags)
}

fn tags_of(world: &World) -> Tags {
    world.view(at(1), &id(1)).unwrap().tags
}

fn tags<const N: usize>(pairs: [(&str, &str); N]) -> Tags {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[test]
fn create_adds_and_overwrites() {
    let mut world = world_with(InstanceState::Running);
    create(&mut world, &[id(1)], &[tag("a", "1"), tag("b", "")]).unwrap();
    create(&mut world, &[id(1)], &[tag("a", "2")]).unwrap();
    assert_eq!(tags_of(&world), tags([("a", "2"), ("b", "")]));
}

#[test]
fn delete_goes_by_key_or_by_key_and_value() {
    for (arguments, left) in [
        (vec![key("a")], tags([("b", "2"), ("aws:x", "3")])),
        (vec![tag("a", "1")], tags([("b", "2"), ("aws:x", "3")])),
        (vec![tag("a", "other")], tags([("a", "1"), ("b", "2"), ("aws:x", "3")])),
        (vec![tag("a", "")], tags([("a", "1"), ("b", "2"), ("aws:x", "3")])),
        (vec![key("absent")], tags([("a", "1"), ("b", "2"), ("aws:x", "3")])),
        (vec![], tags([("aws:x", "3")])),
    ] {
        let mut world = world();
        let add = AddInstances::ids([id(1)]).tag("a", "1").tag("b", "2").tag("aws:x", "3");
        world.add(at(0), &add).unwrap();

        delete(&mut world, &arguments).unwrap();

        assert_eq!(tags_of(&world), left, "{arguments:?}");
    }
}

#[test]
fn tags_beyond_ec2s_limits_are_refused() {
    let long = |n| "ü".repeat(n);
    for (arguments, code) in [
        (vec![tag(&long(128), &long(256))], None),
        (vec![tag(&long(129), "")], Some("InvalidParameterValue")),
        (vec![tag("a", &long(257))], Some("InvalidParameterValue")),
        (vec![tag("", "x")], Some("InvalidParameterValue")),
        (vec![tag("aws:a", "x")], Some("InvalidParameterValue")),
        (vec![key("a")], Some("InvalidParameterValue")),
        (vec![tag("a", "1"), tag("a", "2")], Some("InvalidParameterValue")),
        (vec![tag("a", "\u{1}")], Some("InvalidParameterValue")),
        (vec![tag("\u{ffff}", "")], Some("InvalidParameterValue")),
        (vec![tag("a", "\r\n\t<&>\"'\u{1f600}")], None),
        (vec![], Some("MissingParameter")),
    ] {
        let mut world = world_with(InstanceState::Running);
        let result = create(&mut world, &[id(1)], &arguments);
        assert_eq!(result.err().map(|error| error.code).as_deref(), code, "{arguments:?}");
    }
}

#[test]
fn an_instance_takes_fifty_tags_besides_reserved_ones() {
    let mut world = world();
    world.add(at(0), &AddInstances::ids([id(1)]).tag("aws:x", "")).unwrap();
    let fifty: Vec<TagArgument> = (0..50).map(|n| tag(&n.to_string(), "")).collect();
    create(&mut world, &[id(1)], &fifty).unwrap();

    let more = create(&mut world, &[id(1)], &[tag("one-more", "")]);

    assert_eq!(more.unwrap_err().code, "TagLimitExceeded");
    create(&mut world, &[id(1)], &[tag("7", "overwritten")]).unwrap();
    assert_eq!(tags_of(&world).len(), 51);
}

#[test]
fn one_bad_id_leaves_all_tags_as_they_were() {
    for (bad, code) in [
        (id(9), "InvalidInstanceID.NotFound"),
        ("i-zz".to_owned(), "InvalidInstanceID.Malformed"),
        ("nonsense".to_owned(), "InvalidID"),
    ] {
        let mut world = world_with(InstanceState::Running);
        let error = create(&mut world, &[id(1), bad], &[tag("a", "1")]).unwrap_err();
        assert_eq!(error.code, code);
        assert!(tags_of(&world).is_empty());
    }
}
