use bookings::api::{BookingSpec, BookingStatus, ResourceHolder, ResourceSpec, ResourceStatus};

use super::*;

fn meta(name: &str, version: u64) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.into()),
        namespace: Some("n".into()),
        uid: Some(format!("uid-{name}")),
        resource_version: Some(version.to_string()),
        ..ObjectMeta::default()
    }
}

fn booking(name: &str, resource: &str, version: u64) -> Booking {
    let spec = BookingSpec { resource_name: Some(resource.into()), ..BookingSpec::default() };
    Booking { metadata: meta(name, version), ..Booking::new(name, spec) }
}

fn resource(name: &str, tag: &str, version: u64) -> Resource {
    let spec = ResourceSpec { type_: Some("ec2".into()), tag: Some(tag.into()), ..ResourceSpec::default() };
    Resource { metadata: meta(name, version), ..Resource::new(name, spec) }
}

fn with_state(mut booking: Booking, state: &str) -> Booking {
    booking.status = Some(BookingStatus { status: Some(state.into()), ..BookingStatus::default() });
    booking
}

fn keys(changed: BTreeSet<Key>) -> Vec<String> {
    changed.into_iter().map(|key| key.name).collect()
}

fn names(cache: &Cache, resource: &str) -> Vec<String> {
    let key = Key { kind: Kind::Resource, namespace: "n".into(), name: resource.into() };
    cache.snapshot(&key, Timestamp::UNIX_EPOCH).bookings.iter().map(|booking| booking.name_any()).collect()
}

#[test]
fn bookings_are_found_under_the_resource_they_name_whether_it_exists_or_not() {
    let cache = Cache::new(Arc::new(Places::new("", "here-1", vec![])));
    assert_eq!(keys(cache.saw(booking("b", "web", 1))), ["web"]);
    assert_eq!(keys(cache.saw(booking("a", "web", 2))), ["web"]);
    assert_eq!(names(&cache, "web"), ["a", "b"]);
    // when one is retargeted, then both Resources are concerned
    assert_eq!(keys(cache.saw(booking("b", "db", 3))), ["db", "web"]);
    assert_eq!((names(&cache, "web"), names(&cache, "db")), (vec!["a".into()], vec!["b".into()]));
    // when one goes, then its Resource is concerned, and nothing is left behind
    assert_eq!(keys(cache.lost(&booking("b", "db", 4))), ["db"]);
    assert!(names(&cache, "db").is_empty());
}

#[test]
fn of_two_versions_the_newer_stays_whichever_comes_last() {
    let cache = Cache::new(Arc::new(Places::new("", "here-1", vec![])));
    cache.saw(with_state(booking("b", "web", 9), "IN PROGRESS"));
    // an older echo, compared as a number: "10" is newer than "9"
    assert!(keys(cache.saw(with_state(booking("b", "web", 8), "SCHEDULED"))).is_empty());
    assert_eq!(keys(cache.saw(with_state(booking("b", "web", 10), "FINISHED"))), ["web"]);
}

#[test]
fn the_echo_of_an_own_write_is_no_news_but_somebody_elses_status_is() {
    let cache = Cache::new(Arc::new(Places::new("", "here-1", vec![])));
    let before = booking("b", "web", 1);
    let written = with_state(booking("b", "web", 2), "SCHEDULED");
    cache.saw(before.clone());
    // given a write on its way, when the watch is faster than the answer, then that is no news
    cache.expect(&before, written.status.as_ref().unwrap());
    assert!(keys(cache.saw(written.clone())).is_empty());
    cache.wrote(written);
    // when somebody else writes the status, then it is
    assert_eq!(keys(cache.saw(with_state(booking("b", "web", 3), "NONSENSE"))), ["web"]);
}

#[test]
fn the_answer_of_a_write_is_seen_at_once_and_brings_nothing_back() {
    let cache = Cache::new(Arc::new(Places::new("", "here-1", vec![])));
    let before = booking("b", "web", 1);
    cache.saw(before.clone());
    cache.wrote(with_state(booking("b", "web", 2), "SCHEDULED"));
    let key = Key { kind: Kind::Resource, namespace: "n".into(), name: "web".into() };
    assert!(cache.snapshot(&key, Timestamp::UNIX_EPOCH).bookings[0].status.is_some());
    // given that it is gone, when an answer comes late, then it stays gone
    cache.lost(&before);
    cache.wrote(with_state(booking("b", "web", 3), "SCHEDULED"));
    assert!(names(&cache, "web").is_empty());
}

#[test]
fn a_complete_list_drops_what_it_does_not_show() {
    let cache = Cache::new(Arc::new(Places::new("", "here-1", vec![])));
    cache.saw(booking("a", "web", 1));
    cache.saw(booking("b", "db", 2));
    let list_begun_at = cache.newest::<Booking>();
    // when another one comes while the list is under way
    cache.saw(booking("c", "db", 3));
    let listed = HashSet::from([("n".to_owned(), "a".to_owned())]);
    // then that one stays, though the list does not show it
    assert_eq!(keys(cache.keep::<Booking>(&listed, list_begun_at)), ["db"]);
    assert_eq!(names(&cache, "web"), ["a"]);
    assert_eq!(names(&cache, "db"), ["c"]);
}

#[test]
fn what_is_gone_is_not_brought_back_by_an_older_list_or_watch() {
    // given a Booking that was seen to go
    let cache = Cache::new(Arc::new(Places::new("", "here-1", vec![])));
    cache.saw(booking("b", "web", 2));
    cache.lost(&booking("b", "web", 5));
    // when a list that began before shows it
    cache.saw(booking("b", "web", 3));
    // then it stays gone
    assert!(names(&cache, "web").is_empty());
    // but another one of its name may come, and the end of the first does not take it away
    let mut another = booking("b", "web", 9);
    another.metadata.uid = Some("another".into());
    cache.saw(another);
    cache.lost(&booking("b", "web", 5));
    assert_eq!(names(&cache, "web"), ["b"]);
}

#[test]
fn a_store_that_went_back_replaces_what_is_known() {
    let cache = Cache::new(Arc::new(Places::new("", "here-1", vec![])));
    cache.saw(booking("a", "web", 10));
    cache.saw(booking("b", "web", 11));
    cache.lost(&booking("c", "web", 12));
    let changed = cache.went_back(vec![booking("a", "web", 4), booking("c", "web", 5)], (0, 5)).unwrap();
    assert_eq!(keys(changed), ["web"]);
    assert_eq!(names(&cache, "web"), ["a", "c"]);
    assert_eq!(cache.newest::<Booking>(), 5);
}

#[test]
fn the_others_on_a_group_are_asked_anew_when_a_resource_comes_holds_or_goes() {
    let cache = Cache::new(Arc::new(Places::new("", "here-1", vec![])));
    assert_eq!(keys(cache.saw(resource("one", "web", 1))), ["one"]);
    assert_eq!(keys(cache.saw(resource("two", "web", 2))), ["one", "two"]);
    assert_eq!(keys(cache.saw(resource("other", "db", 3))), ["other"]);
    // when one takes the hold by a write of ours
    let mut holds = resource("two", "web", 4);
    let holder = Some(ResourceHolder::default());
    holds.status = Some(ResourceStatus { holder, ..ResourceStatus::default() });
    assert_eq!(keys(cache.wrote(holds.clone())), ["one"]);
    let one = Key { kind: Kind::Resource, namespace: "n".into(), name: "one".into() };
    assert_eq!(cache.snapshot(&one, Timestamp::UNIX_EPOCH).claim, Claim::Other);
    // when it goes
    assert_eq!(keys(cache.lost(&holds)), ["one", "two"]);
    assert_eq!(cache.snapshot(&one, Timestamp::UNIX_EPOCH).claim, Claim::Ours);
}

#[test]
fn a_resource_that_spells_out_the_operators_own_region_is_on_the_same_group() {
    let cache = Cache::new(Arc::new(Places::new("", "here-1", vec![])));
    let mut spelled = resource("b", "web", 1);
    spelled.spec.region = Some("here-1".into());
    cache.saw(spelled);
    assert_eq!(keys(cache.saw(resource("a", "web", 2))), ["a", "b"]);
}

#[test]
fn a_status_that_somebody_wipes_is_news() {
    let cache = Cache::new(Arc::new(Places::new("", "here-1", vec![])));
    cache.saw(with_state(booking("b", "web", 1), "SCHEDULED"));
    assert_eq!(keys(cache.saw(booking("b", "web", 2))), ["web"]);
}

#[test]
fn what_a_conflict_brings_to_light_is_news_for_all_it_concerns() {
    // given a write on its way to a Booking that has been retargeted meanwhile
    let cache = Cache::new(Arc::new(Places::new("", "here-1", vec![])));
    let before = booking("b", "web", 1);
    cache.saw(before.clone());
    cache.expect(&before, &BookingStatus::default());
    // when it fails and the Booking is read afresh
    cache.failed(&before);
    assert_eq!(keys(cache.saw(booking("b", "db", 2))), ["db", "web"]);
    // then the watch has nothing to add
    assert!(keys(cache.saw(booking("b", "db", 2))).is_empty());
}

#[test]
fn a_resource_replaced_by_another_of_its_name_wakes_the_others_on_the_group() {
    let cache = Cache::new(Arc::new(Places::new("", "here-1", vec![])));
    cache.saw(resource("one", "web", 1));
    cache.saw(resource("two", "web", 2));
    let mut another = resource("two", "web", 3);
    another.metadata.uid = Some("uid-another".into());
    assert_eq!(keys(cache.saw(another)), ["one", "two"]);
}

#[test]
fn of_two_resources_on_one_group_in_two_namespaces_one_acts() {
    let cache = Cache::new(Arc::new(Places::new("", "here-1", vec![])));
    let mut elsewhere = resource("two", "web", 2);
    elsewhere.metadata.namespace = Some("m".into());
    cache.saw(resource("one", "web", 1));
    assert_eq!(keys(cache.saw(elsewhere)), ["two", "one"]);
    let claim = |namespace: &str, name: &str| {
        let key = Key { kind: Kind::Resource, namespace: namespace.into(), name: name.into() };
        cache.snapshot(&key, Timestamp::UNIX_EPOCH).claim
    };
    assert_eq!((claim("n", "one"), claim("m", "two")), (Claim::Ours, Claim::Other));
}
