use futures::FutureExt;

use super::*;
use crate::{member::Identity, timing::Timing};

fn handle() -> RingHandle {
    let me =
        Identity { incarnation: Incarnation::new("a"), container: None, release: "1".into(), protocol: 1 };
    RingHandle::new(Member::new(me, Timing::default(), 16, clocks::now()))
}

fn slots(slots: &[u16]) -> Vec<Slot> {
    slots.iter().copied().map(Slot).collect()
}

#[test]
fn changes_that_nobody_asked_for_add_up() {
    let handle = handle();
    let mut changes = handle.changes();
    assert_eq!(changes.next().now_or_never(), None);
    // Slot 1 comes and goes, 2 goes and comes back, 3 comes.
    handle.shared().tell(&[], &slots(&[1, 3]));
    handle.shared().tell(&slots(&[1, 2]), &[]);
    handle.shared().tell(&[], &slots(&[2]));
    let change = Change { lost: slots(&[1, 2]), gained: slots(&[2, 3]) };
    assert_eq!(changes.next().now_or_never(), Some(Some(change)));
    assert_eq!(changes.next().now_or_never(), None);
}

#[test]
fn all_subscribers_are_told_and_dropped_ones_are_forgotten() {
    let handle = handle();
    let (mut one, other) = (handle.changes(), handle.changes());
    drop(other);
    let mut third = handle.changes();
    assert_eq!(handle.shared().subscribers().all.len(), 2);
    handle.shared().tell(&[], &slots(&[1]));
    for changes in [&mut one, &mut third] {
        assert_eq!(changes.next().now_or_never().flatten().unwrap().gained, slots(&[1]));
    }
}

#[test]
fn what_changed_before_the_end_is_still_told_and_then_nothing() {
    let handle = handle();
    let mut changes = handle.changes();
    handle.shared().tell(&slots(&[4]), &[]);
    handle.shared().close(Some(End::Left));
    assert_eq!(changes.next().now_or_never().flatten().unwrap().lost, slots(&[4]));
    assert_eq!(changes.next().now_or_never(), Some(None));
    assert_eq!(handle.changes().next().now_or_never(), Some(None));
    assert_eq!(handle.wait_ended().now_or_never(), Some(Some(End::Left)));
    handle.shared().close(None);
    assert_eq!(handle.wait_ended().now_or_never(), Some(Some(End::Left)));
}

#[test]
fn a_loop_that_is_dropped_has_ended_too() {
    let handle = handle();
    assert_eq!(handle.wait_ended().now_or_never(), None);
    handle.shared().close(None);
    assert_eq!(handle.wait_ended().now_or_never(), Some(None));
}

#[test]
fn equal_wishes_are_one_and_none_is_lost_while_nobody_waits() {
    let handle = handle();
    assert!(handle.shared().wishes().now_or_never().is_none());
    handle.set_payload("old");
    handle.stop();
    handle.set_payload("new");
    let events = handle.shared().wishes().now_or_never().unwrap();
    assert!(
        matches!(&events[..], [Event::Payload(payload), Event::Stop] if &**payload == "new"),
        "{events:?}"
    );
    assert!(handle.shared().wishes().now_or_never().is_none());
}

#[test]
fn without_a_ring_nothing_is_permitted() {
    let handle = handle();
    assert_eq!(handle.slot_of("default", "ec2.analytics"), None);
    assert_eq!(handle.permit(Slot(1)), None);
    assert!(handle.owned().is_empty() && !handle.has_joined() && !handle.leads());
    assert_eq!(handle.left(), Duration::ZERO);
}
