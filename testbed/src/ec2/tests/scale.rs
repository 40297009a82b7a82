//! A hundred thousand instances.

use super::super::model::AddInstances;
use super::*;

#[test]
fn among_a_hundred_thousand_instances_one_group_is_found_without_a_look_at_others_and_paging_finds_all() {
    // Given 10,000 groups of 10.
    let mut world = world();
    for group in 0..10_000_u32 {
        let add = AddInstances::count(10).tag("group", &format!("group-{group}")).tag("managed", "true");
        world.add(at(0), &add).unwrap();
    }

    // When one group is asked for.
    let ask = by_filters(&[filter("tag:group", &["group-4711"]), filter("tag:managed", &["true"])]);
    let page = world.describe(at(0), &scope(), &ask).unwrap();

    // Then it is found, and no other instance is looked at.
    assert_eq!(page.instances.len(), 10);
    assert_eq!(world.scopes[&scope()].looked_at(&ask.filters), 10);

    // And paging through everything that is managed finds each instance once.
    let mut ask = Describe { max_results: Some(1_000), ..by_filters(&[filter("tag:managed", &["true"])]) };
    let (mut found, mut pages) = (std::collections::HashSet::new(), 0);
    loop {
        let page = world.describe(at(0), &scope(), &ask).unwrap();
        pages += 1;
        for seen in page.instances {
            assert!(found.insert(seen.id));
        }
        ask.next_token = page.next_token;
        if ask.next_token.is_none() {
            break;
        }
    }
    assert_eq!((found.len(), pages), (100_000, 100));
}
