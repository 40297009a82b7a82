//! A hundred thousand instances.

use std::time::{Duration, Instant};

use super::super::model::AddInstances;
use super::*;

/// An unoptimized build on a busy machine gets more time.
const ONE_GROUP: Duration = Duration::from_millis(if cfg!(debug_assertions) { 50 } else { 5 });

#[test]
fn among_a_hundred_thousand_instances_one_group_is_found_at_once_and_paging_finds_all() {
    // Given 10,000 groups of 10.
    let mut world = world();
    for group in 0..10_000_u32 {
        let add = AddInstances::count(10).tag("group", &format!("group-{group}")).tag("managed", "true");
        world.add(at(0), &add).unwrap();
    }

    // When one group is asked for.
    let ask = by_filters(&[filter("tag:group", &["group-4711"]), filter("tag:managed", &["true"])]);
    let begun = Instant::now();
    let page = world.describe(at(0), &scope(), &ask).unwrap();
    let took = begun.elapsed();

    // Then it is found at once.
    assert_eq!(page.instances.len(), 10);
    assert!(took < ONE_GROUP, "{took:?}");

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
