use serde_json::{Value, json};

use super::*;

fn names() -> Names {
    Names::new("ring").unwrap()
}

fn lease(name: &str, role: &str) -> DeserializeGuard<Lease> {
    let labels = json!({ "manager.kotaico.de/ring": "ring", "manager.kotaico.de/role": role });
    let metadata = json!({ "name": name, "uid": "u", "resourceVersion": "3", "labels": labels });
    serde_json::from_value(json!({ "metadata": metadata })).unwrap()
}

#[allow(clippy::needless_pass_by_value, reason = "written with json! at the call")]
fn ring(data: Value) -> DynamicObject {
    let mut object = json!({
        "apiVersion": "manager.kotaico.de/v1", "kind": "Ring",
        "metadata": { "name": "ring", "uid": "u", "resourceVersion": "3" },
    });
    object.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
    serde_json::from_value(object).unwrap()
}

/// Events as short texts.
fn short(events: impl IntoIterator<Item = Event>) -> Vec<String> {
    let word = |event: Event| match event {
        Event::MemberSeen(lease) => format!("+{}", lease.value.incarnation),
        Event::MemberGone(incarnation) => format!("-{incarnation}"),
        Event::LeaderSeen(_) => "+leader".to_owned(),
        Event::LeaderGone => "-leader".to_owned(),
        Event::LeasesListed => "listed".to_owned(),
        Event::RingSeen(ring) => format!("ring of {}", ring.value.slots),
        Event::RingGone => "no ring".to_owned(),
        other => panic!("{other:?}"),
    };
    events.into_iter().map(word).collect()
}

#[test]
fn a_new_list_shows_what_vanished_while_nobody_watched() {
    let mut leases = Leases::default();
    let mut take_in = |watched| short(leases.take_in(&names(), watched));
    // given a list and a watch that showed two members and a leader
    assert_eq!(take_in(Watched::Init), [""; 0]);
    assert_eq!(take_in(Watched::InitApply(lease("a", "member"))), ["+a"]);
    assert_eq!(take_in(Watched::InitApply(lease("ring-leader", "leader"))), ["+leader"]);
    assert_eq!(take_in(Watched::InitDone), ["listed"]);
    assert_eq!(take_in(Watched::Apply(lease("b", "member"))), ["+b"]);
    // when a new list begins, breaks off, begins again, and shows one of them
    assert_eq!(take_in(Watched::Init), [""; 0]);
    assert_eq!(take_in(Watched::InitApply(lease("a", "member"))), ["+a"]);
    assert_eq!(take_in(Watched::Init), [""; 0]);
    assert_eq!(take_in(Watched::InitApply(lease("b", "member"))), ["+b"]);
    // then the others are gone
    assert_eq!(take_in(Watched::InitDone), ["-a", "-leader", "listed"]);
    assert_eq!(take_in(Watched::Delete(lease("b", "member"))), ["-b"]);
    assert_eq!(take_in(Watched::Delete(lease("b", "member"))), [""; 0]);
}

#[test]
fn a_lease_that_loses_its_role_is_gone_and_one_that_never_had_one_is_none() {
    let mut leases = Leases::default();
    let mut take_in = |watched| short(leases.take_in(&names(), watched));
    assert_eq!(take_in(Watched::Apply(lease("a", "member"))), ["+a"]);
    assert_eq!(take_in(Watched::Apply(lease("a", "other"))), ["-a"]);
    assert_eq!(take_in(Watched::Apply(lease("x", "other"))), [""; 0]);
}

#[test]
fn a_ring_is_gone_when_it_is_deleted_or_a_list_does_not_show_it() {
    let mut object = RingObject { listed: false, remembered: Remembered::default() };
    let mut take_in = |watched| short(object.take_in(watched));
    let whole = || ring(json!({ "spec": { "slots": 8, "hash": "h" } }));
    assert_eq!(take_in(Watched::Init), [""; 0]);
    assert_eq!(take_in(Watched::InitDone), ["no ring"]);
    assert_eq!(take_in(Watched::Apply(whole())), ["ring of 8"]);
    assert_eq!(take_in(Watched::Init), [""; 0]);
    assert_eq!(take_in(Watched::InitApply(whole())), ["ring of 8"]);
    assert_eq!(take_in(Watched::InitDone), [""; 0]);
    assert_eq!(take_in(Watched::Delete(whole())), ["no ring"]);
}

#[test]
fn a_ring_that_cannot_be_understood_is_neither_seen_nor_gone() {
    let mut object = RingObject { listed: false, remembered: Remembered::default() };
    let mut take_in = |watched| short(object.take_in(watched));
    assert_eq!(take_in(Watched::Init), [""; 0]);
    assert_eq!(take_in(Watched::InitApply(ring(json!({ "spec": {} })))), [""; 0]);
    assert_eq!(take_in(Watched::InitDone), [""; 0]);
}

#[test]
fn waits_double_up_to_the_renew_interval() {
    let pace = Pace::new(&Timing::default());
    let waits = [1, 2, 3, 6, 7, 1000].map(|failures| pace.wait(failures).as_millis());
    assert_eq!(waits, [125, 250, 500, 3000, 3000, 3000]);
}
