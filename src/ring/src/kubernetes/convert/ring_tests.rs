use kube::core::{ApiResource, ObjectMeta};
use proptest::prelude::*;

use super::*;
use crate::{
    kubernetes::crd::{self, RingCrd},
    slot::SLOTS_MAX,
};

fn object(data: Value) -> DynamicObject {
    let mut object = DynamicObject::new("ring", &ApiResource::erase::<RingCrd>(&())).data(data);
    object.metadata = ObjectMeta {
        name: Some("ring".to_owned()),
        uid: Some("uid-1".to_owned()),
        resource_version: Some("9".to_owned()),
        ..ObjectMeta::default()
    };
    object
}

#[allow(clippy::needless_pass_by_value, reason = "written with json! at the call")]
fn read(status: Value) -> Result<Ring, Odd> {
    let object = object(json!({ "spec": { "slots": 16, "hash": "h" }, "status": status }));
    ring(&object).map(|stored| Ring::clone(&stored.value))
}

fn name(member: usize) -> Incarnation {
    Incarnation::new(format!("pod-{member}-k3j5x9q1"))
}

prop_compose! {
    fn any_ring()(
        slots in 1..=SLOTS_MAX,
        (protocol, epoch, open) in (1..=PROTOCOL, 1..=u64::MAX, any::<bool>()),
        leader in prop::option::of(0_usize..6),
        members in prop::collection::btree_map(0_usize..6, "[a-z0-9.+]{0,12}", 0..6),
        owners in prop::collection::btree_map(any::<u16>(), 0_usize..6, 0..200),
        moves in prop::collection::btree_map(any::<u16>(), (0_usize..6, any::<u64>()), 0..40),
    ) -> Ring {
        Ring {
            slots,
            hash: "fnv1a-64".into(),
            protocol,
            epoch,
            open,
            leader: leader.map(name),
            members: members.into_iter().map(|(member, release)| (name(member), release.into())).collect(),
            owners: owners.into_iter().map(|(slot, owner)| (Slot(slot % slots), name(owner))).collect(),
            moves: moves
                .into_iter()
                .map(|(slot, (to, since))| (Slot(slot % slots), Move { to: name(to), since }))
                .collect(),
        }
    }
}

proptest! {
    #[test]
    fn a_ring_says_what_was_written(record in any_ring(), old in any_ring()) {
        let mut data = new_ring(&record);
        data["status"] = status(None, &old);
        data["status"] = status(data.get("status"), &record);
        let read = ring(&object(data)).unwrap();
        prop_assert_eq!((&*read.uid, read.version), ("uid-1", 9));
        prop_assert_eq!(&*read.value, &record);
    }

    #[test]
    fn the_summary_is_short_however_many_members_there_are(members in 0_usize..1000) {
        let members = (0..members).map(|member| (name(member), "1".into())).collect();
        let status = status_of(&Ring { members, ..Ring::new(16) });
        prop_assert!(status.distribution.len() <= 1024);
    }
}

#[test]
fn a_ring_without_status_is_new() {
    let mut data = new_ring(&Ring::new(64));
    assert_eq!(*ring(&object(data.clone())).unwrap().value, Ring::new(64));
    for empty in [Value::Null, json!({})] {
        data["status"] = empty;
        assert_eq!(*ring(&object(data.clone())).unwrap().value, Ring::new(64));
    }
}

#[test]
fn people_can_read_it() {
    let owners = (0..10).map(|slot| (Slot(slot), name(usize::from(slot == 4)))).collect();
    let moves = [(Slot(7), 3), (Slot(8), 3), (Slot(9), 4)];
    let ring = Ring {
        members: [(name(0), "1.2".into())].into(),
        owners,
        moves: moves.map(|(slot, since)| (slot, Move { to: name(2), since })).into(),
        ..Ring::new(16)
    };
    let status = status(None, &ring);
    assert_eq!(status["distribution"], "0-k3j5x9q1:9 1-k3j5x9q1:1");
    assert_eq!((&status["size"], &status["moving"]), (&json!(1), &json!(3)));
    assert_eq!(
        status["members"],
        json!([
            { "name": "pod-0-k3j5x9q1", "release": "1.2", "slots": 9, "owns": "0-3,5-9" },
            { "name": "pod-1-k3j5x9q1", "slots": 1, "owns": "4" },
        ])
    );
    assert_eq!(
        status["moves"],
        json!([
            { "slots": "7-8", "from": "pod-0-k3j5x9q1", "to": "pod-2-k3j5x9q1", "since": 3 },
            { "slots": "9", "from": "pod-0-k3j5x9q1", "to": "pod-2-k3j5x9q1", "since": 4 },
        ])
    );
}

#[test]
fn fields_of_a_newer_release_are_kept_and_known_ones_that_are_gone_are_removed() {
    let old = json!({
        "epoch": 4, "leader": "x", "quorum": 3,
        "members": [{ "name": "pod-0-k3j5x9q1", "zone": "b", "release": "1" }, { "name": "gone", "zone": "c" }],
        "moves": [{ "slots": "1-9", "to": "pod-0-k3j5x9q1", "since": 3, "why": "balance" }],
    });
    let ring = Ring {
        epoch: 5,
        owners: [(Slot(1), name(0))].into(),
        moves: [(Slot(2), Move { to: name(0), since: 3 })].into(),
        ..Ring::new(16)
    };
    let new = status(Some(&old), &ring);
    assert_eq!((&new["epoch"], &new["quorum"], new.get("leader")), (&json!(5), &json!(3), None));
    assert_eq!(new["members"], json!([{ "name": "pod-0-k3j5x9q1", "zone": "b", "slots": 1, "owns": "1" }]));
    assert_eq!(new["moves"], json!([{ "slots": "2", "to": "pod-0-k3j5x9q1", "since": 3, "why": "balance" }]));
}

#[test]
fn nothing_is_concluded_from_a_ring_that_contradicts_itself() {
    let owns = |owns: &str| json!({ "epoch": 1, "protocol": 1, "members": [{ "name": "a", "owns": owns }] });
    for (status, complaint) in [
        (owns("0-16"), "beyond"),
        (owns("3-2"), "out of order"),
        (json!({ "epoch": 1, "members": [{ "name": "a" }, { "name": "a" }] }), "listed twice"),
        (
            json!({ "epoch": 1, "members": [{ "name": "a", "owns": "1" }, { "name": "b", "owns": "0-1" }] }),
            "two owners",
        ),
        (
            json!({ "moves": [{ "slots": "1", "to": "a" }, { "slots": "1", "to": "b" }], "epoch": 1 }),
            "moves twice",
        ),
        (json!({ "members": "none" }), "status"),
        (json!({ "epoch": -1 }), "status"),
        (json!([]), "status"),
    ] {
        let error = read(status.clone()).unwrap_err().to_string();
        assert!(error.contains(complaint), "{status}: {error}");
    }
    assert!(ring(&object(json!({}))).is_err());
    assert!(ring(&object(json!({ "spec": { "slots": 70_000, "hash": "h" } }))).is_err());
}

#[test]
fn a_ring_of_a_newer_protocol_is_known_as_such_even_if_it_cannot_be_read() {
    let newer = read(json!({ "protocol": PROTOCOL + 1, "epoch": 8, "members": { "by-zone": [] } })).unwrap();
    assert_eq!((newer.protocol, newer.epoch, newer.owners.len()), (PROTOCOL + 1, 8, 0));
    let readable = read(json!({ "protocol": 9, "epoch": 8, "members": [{ "name": "a", "owns": "1" }] }));
    assert_eq!(readable.unwrap().owners.len(), 1);
}

#[test]
fn the_fields_that_are_written_are_those_of_the_schema() {
    let root = crd::crd().spec.versions.remove(0).schema.unwrap().open_api_v3_schema.unwrap();
    let root = serde_json::to_value(root).unwrap();
    for (path, fields) in [
        ("/properties/status", &STATUS_FIELDS[..]),
        ("/properties/status/properties/members/items", &MEMBER_FIELDS),
        ("/properties/status/properties/moves/items", &MOVE_FIELDS),
    ] {
        let schema: BTreeSet<&str> = root.pointer(path).unwrap()["properties"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(schema, fields.iter().copied().collect(), "{path}");
    }
}
