//! Describes: filters, pages, and how far they look back.

use super::super::actions::Power;
use super::super::model::{AddInstances, InstanceState, Tags};
use super::super::tagging::{TagArgument, TagCall};
use super::*;

use InstanceState::{Pending, Running, Stopped, Stopping};

/// Three instances: 1 of group a, running; 2 of group a, stopped; 3 of group `a*`, running.
fn groups() -> World {
    let mut world = world();
    for (n, group, state) in [(1, "a", Running), (2, "a", Stopped), (3, "a*", Running)] {
        world.add(at(0), &AddInstances::ids([id(n)]).tag("group", group).state(state)).unwrap();
    }
    world
}

#[test]
fn filters_select_instances_as_in_ec2() {
    for (filters, expected) in [
        (vec![], vec![1, 2, 3]),
        (vec![filter("tag:group", &["a"])], vec![1, 2]),
        (vec![filter("tag:group", &["a*"])], vec![1, 2, 3]),
        (vec![filter("tag:group", &[r"a\*"])], vec![3]),
        (vec![filter("tag:group", &["?"])], vec![1, 2]),
        (vec![filter("tag:group", &["a", r"a\*"])], vec![1, 2, 3]),
        (vec![filter("tag:group", &["b"])], vec![]),
        (vec![filter("tag:Group", &["a"])], vec![]),
        (vec![filter("tag-key", &["gr*"])], vec![1, 2, 3]),
        (vec![filter("tag-key", &["colour"])], vec![]),
        (vec![filter("instance-state-name", &["stopped"])], vec![2]),
        (vec![filter("instance-state-name", &["stopped", "running"])], vec![1, 2, 3]),
        (vec![filter("tag:group", &["a"]), filter("instance-state-name", &["running"])], vec![1]),
        (vec![filter("instance-id", &[&id(2), &id(7)])], vec![2]),
        (vec![filter("instance-id", &["*3"])], vec![3]),
        (vec![filter("availability-zone", &["eu-central-1a"])], vec![1, 2, 3]),
    ] {
        let page = groups().describe(at(0), &scope(), &by_filters(&filters)).unwrap();
        let expected: Vec<String> = expected.into_iter().map(id).collect();
        assert_eq!(ids_of(&page), expected, "{filters:?}");
    }
}

#[test]
fn filters_narrow_explicit_ids_too() {
    let ask = Describe { ids: vec![id(3), id(2)], ..by_filters(&[filter("tag:group", &["a"])]) };
    let page = groups().describe(at(0), &scope(), &ask).unwrap();
    assert_eq!(ids_of(&page), [id(2)]);
}

#[test]
fn an_unknown_or_malformed_id_is_refused_by_name() {
    for (bad, code) in
        [(id(9), "InvalidInstanceID.NotFound"), ("i-12".to_owned(), "InvalidInstanceID.Malformed")]
    {
        let ask = Describe { ids: vec![id(1), bad.clone()], ..Describe::default() };
        let error = groups().describe(at(0), &scope(), &ask).unwrap_err();
        assert_eq!((error.code.as_str(), error.message.contains(&bad)), (code, true));
    }
}

#[test]
fn page_sizes_are_bounded_and_exclude_ids() {
    for (max_results, ids, code) in [
        (4, vec![], "InvalidParameterValue"),
        (1_001, vec![], "InvalidParameterValue"),
        (5, vec![id(1)], "InvalidParameterCombination"),
    ] {
        let ask = Describe { ids, max_results: Some(max_results), ..Describe::default() };
        assert_eq!(groups().describe(at(0), &scope(), &ask).unwrap_err().code, code);
    }
}

#[test]
fn pages_cover_every_instance_exactly_once() {
    for (total, size) in [(0, 5), (4, 5), (5, 5), (6, 5), (23, 5), (23, 1_000)] {
        let mut world = world();
        if total > 0 {
            world.add(at(0), &AddInstances::count(total).tag("group", "a")).unwrap();
        }
        world.add(at(0), &AddInstances::count(7).tag("group", "b")).unwrap();
        let mut ask =
            Describe { max_results: Some(size), ..by_filters(&[filter("tag:group", &["a", "never"])]) };
        let mut found = Vec::new();
        loop {
            let page = world.describe(at(0), &scope(), &ask).unwrap();
            assert!(page.instances.len() <= size as usize);
            found.extend(ids_of(&page));
            ask.next_token = page.next_token;
            if ask.next_token.is_none() {
                break;
            }
        }
        assert_eq!(found.len(), total);
        found.sort();
        found.dedup();
        assert_eq!(found.len(), total);
    }
}

#[test]
fn a_token_of_another_listing_is_refused() {
    let mut world = world();
    world.add(at(0), &AddInstances::count(9).tag("group", "a")).unwrap();
    let mut ask = Describe { max_results: Some(5), ..Describe::default() };
    ask.next_token = world.describe(at(0), &scope(), &ask).unwrap().next_token;
    assert!(ask.next_token.is_some());

    ask.filters = vec![filter("tag:group", &["a"])];

    assert_eq!(world.describe(at(0), &scope(), &ask).unwrap_err().code, "InvalidNextToken");
}

#[test]
fn a_describe_lags_as_long_as_it_is_set_to() {
    let mut world = world_with(Running);
    world.settings.lag_ms = 3_000;
    let state = |world: &World, ms| {
        let as_of = world.describe_as_of(at(ms), 1);
        states_of(&world.describe(as_of, &scope(), &by_filters(&[])).unwrap())
    };

    world.power(at(10_000), &scope(), &[id(1)], Power::Stop, false).unwrap();

    assert_eq!(state(&world, 12_999), [Running]);
    assert_eq!(state(&world, 13_000), [Stopping]);
    assert_eq!((state(&world, 32_999), state(&world, 33_000)), (vec![Stopping], vec![Stopped]));
    // What is decided on is the truth.
    assert_eq!(world.view(at(10_000), &id(1)).unwrap().state, Stopping);
}

#[test]
fn tags_lag_too_and_filters_find_what_the_describe_shows() {
    let mut world = world();
    world.settings.lag_ms = 3_000;
    world.add(at(0), &AddInstances::ids([id(1)]).tag("holder", "ann")).unwrap();
    let bob = TagArgument { key: "holder".to_owned(), value: Some("bob".to_owned()) };
    let found = |world: &World, ms: u64, holder: &str| {
        let as_of = world.describe_as_of(at(ms), 1);
        world
            .describe(as_of, &scope(), &by_filters(&[filter("tag:holder", &[holder])]))
            .unwrap()
            .instances
            .len()
    };

    world.tag_call(at(10_000), &scope(), (TagCall::Create, false), &[id(1)], &[bob]).unwrap();

    assert_eq!((found(&world, 12_999, "ann"), found(&world, 12_999, "bob")), (1, 0));
    assert_eq!((found(&world, 13_000, "ann"), found(&world, 13_000, "bob")), (0, 1));
}

#[test]
fn a_new_instance_is_unknown_to_a_lagging_describe() {
    let mut world = world();
    world.settings.lag_ms = 3_000;
    world.add(at(0), &AddInstances::ids([id(1)]).state(Pending)).unwrap();
    let ask = Describe { ids: vec![id(1)], ..Describe::default() };
    let describe = |ms| world.describe(world.describe_as_of(at(ms), 1), &scope(), &ask);
    assert_eq!(describe(2_999).unwrap_err().code, "InvalidInstanceID.NotFound");
    assert_eq!(states_of(&describe(3_000).unwrap()), [Pending]);
}

#[test]
fn a_varying_lag_stays_within_its_bound_and_varies() {
    let mut world = world();
    (world.settings.lag_ms, world.settings.lag_varies) = (3_000, true);
    let moments: Vec<SimTime> = (0..100).map(|call| world.describe_as_of(at(10_000), call)).collect();
    assert!(moments.iter().all(|moment| (at(7_000)..=at(10_000)).contains(moment)));
    assert!(moments.iter().any(|moment| *moment < at(8_000)));
    assert!(moments.iter().any(|moment| *moment > at(9_000)));
}

#[test]
fn the_tag_index_forgets_values_that_nobody_remembers() {
    let mut world = world_with(Running);
    for n in 0..100_u32 {
        let set = Tags::from([("until".to_owned(), n.to_string())]);
        world.force_tags(at(u64::from(n)), &[id(1)], &set, &[]).unwrap();
    }
    let index = &world.scopes[&scope()];
    assert_eq!(index.tag_values("until"), 1);
}
