use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::slot::Slot;

fn names() -> Names {
    Names::new("ring").unwrap()
}

/// A Lease as the API server returns it.
fn as_stored(mut lease: Lease) -> Lease {
    lease.metadata.uid = Some("uid-1".to_owned());
    lease.metadata.resource_version = Some("7".to_owned());
    // It goes through JSON, as on the wire.
    serde_json::from_value(serde_json::to_value(lease).unwrap()).unwrap()
}

fn parsed(value: Value) -> Lease {
    as_stored(serde_json::from_value(value).unwrap())
}

/// RFC 7386, as the API server applies it.
fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut into[key], value);
        }
    }
}

fn patched(lease: &Lease, patch: &Value) -> Lease {
    let mut value = serde_json::to_value(lease).unwrap();
    merge(&mut value, patch);
    serde_json::from_value(value).unwrap()
}

prop_compose! {
    fn any_claim()(
        families in prop::collection::btree_set("[a-z0-9-]{1,12}".prop_map(Arc::from), 1..4),
        scope in prop::option::of("[a-z0-9-]{0,12}"),
        (dry_run, sees_all) in any::<(bool, bool)>(),
    ) -> Claim {
        let scope = match scope.as_deref() {
            None => Scope::Untold,
            Some("") => Scope::All,
            Some(namespace) => Scope::Namespace(namespace.into()),
        };
        Claim { families, scope, dry_run, sees_all }
    }
}

prop_compose! {
    fn any_member()(
        (ring, release, payload) in ("[a-z0-9-]{0,36}", ".{0,20}", ".{0,200}"),
        duration in 0_u64..=3_600_000,
        call in prop::option::of(0_u64..=3_600_000),
        (counter, applied, acked) in any::<(u64, u64, u64)>(),
        draining in prop::collection::btree_set((0..SLOTS_MAX).prop_map(Slot), 0..9),
        standing in prop::sample::select(
            vec![Standing::Active, Standing::Leaving, Standing::Released, Standing::Sealed]),
        told_to_leave in any::<bool>(),
        container in prop::option::of("[a-z0-9/-]{1,60}"),
        protocol in any::<u32>(),
        claim in prop::option::of(any_claim()),
    ) -> MemberLease {
        MemberLease {
            incarnation: Incarnation::new("pod-a-k3j5x9q1"),
            ring: ring.into(),
            duration: Duration::from_millis(duration),
            call: call.map(Duration::from_millis),
            counter,
            applied,
            acked,
            draining,
            standing,
            told_to_leave,
            container: container.map(Arc::from),
            protocol,
            release: release.into(),
            created: 0,
            payload: payload.into(),
            claim: claim.map(Arc::new),
        }
    }
}

proptest! {
    #[test]
    fn a_member_lease_says_what_was_written(record in any_member()) {
        let lease = as_stored(new_member(&names(), &record));
        let read = member(&lease).unwrap();
        prop_assert_eq!((&*read.uid, read.version), ("uid-1", 7));
        prop_assert_eq!(&*read.value, &record);
        prop_assert_eq!(role(&names(), &lease.metadata), Some(Role::Member(record.incarnation)));
    }

    #[test]
    fn an_updated_member_lease_says_what_was_written(old in any_member(), new in any_member()) {
        let lease = as_stored(new_member(&names(), &old));
        let lease = patched(&lease, &member_patch("uid-1", 7, &new));
        prop_assert_eq!(&*member(&lease).unwrap().value, &new);
    }

    #[test]
    fn a_leader_lease_says_what_was_written(
        holder in prop::option::of("[a-z0-9-]{1,63}"), duration in 0_u64..=3_600_000, counter in any::<u64>(),
    ) {
        let holder = holder.map(Incarnation::new);
        let record = LeaderLease { holder, duration: Duration::from_millis(duration), counter };
        let other = LeaderLease { holder: Some(Incarnation::new("b")), duration: Duration::ZERO, counter: 0 };
        let lease = as_stored(new_leader(&names(), &other));
        prop_assert_eq!(role(&names(), &lease.metadata), Some(Role::Leader));
        let lease = patched(&lease, &leader_patch("uid-1", 7, &record));
        prop_assert_eq!(&*leader(&lease).unwrap().value, &record);
    }

    #[test]
    fn whatever_stands_in_a_lease_it_can_be_read_and_ends_nobody(
        key in prop::sample::select(vec![
            RING_UID, DURATION, CALL, COUNTER, APPLIED, ACKED, DRAINING, STANDING, PROTOCOL, FAMILIES, SCOPE,
        ]),
        value in ".{0,40}",
    ) {
        prop_assume!(!["Released", "Sealed"].contains(&value.as_str()));
        let lease = parsed(json!({
            "metadata": { "name": "pod-a-k3j5x9q1", "annotations": { key: value } },
            "spec": { "holderIdentity": "Ünd sö / weiter", "leaseDurationSeconds": -4 },
        }));
        let read = member(&lease).unwrap();
        prop_assert!(!read.value.standing.is_over());
        prop_assert!(read.value.duration <= Duration::from_hours(1));
        leader(&lease).unwrap();
    }
}

#[test]
fn a_lease_of_nulls_is_unsealed_and_proves_nothing() {
    for lease in [
        json!({ "metadata": { "name": "x", "annotations": null, "labels": null }, "spec": null }),
        json!({ "metadata": { "name": "x" }, "spec": { "holderIdentity": null, "renewTime": null } }),
        json!({ "metadata": { "name": "x", "annotations": { COUNTER: "many", ACKED: "-1", STANDING: "sealed" } } }),
        json!({ "metadata": { "name": "x", "annotations": { ACKED: "7", DRAINING: "3-1" } } }),
    ] {
        let read = member(&parsed(lease)).unwrap().value;
        let expected = MemberLease {
            incarnation: Incarnation::new("x"),
            ring: "".into(),
            duration: Duration::ZERO,
            call: None,
            counter: 0,
            applied: 0,
            acked: 0,
            draining: [].into(),
            standing: Standing::Active,
            told_to_leave: false,
            container: None,
            protocol: 1,
            release: "".into(),
            created: 0,
            payload: "".into(),
            claim: None,
        };
        assert_eq!(*read, expected);
    }
}

#[test]
fn a_claim_is_read_as_people_may_write_it_and_without_a_family_there_is_none() {
    let claim = |annotations: Value| {
        let lease = parsed(json!({ "metadata": { "name": "x", "annotations": annotations } }));
        member(&lease).unwrap().value.claim.as_deref().cloned()
    };
    let all = Claim {
        families: ["bookings", "jobs"].map(Arc::from).into(),
        scope: Scope::All,
        dry_run: false,
        sees_all: false,
    };
    assert_eq!(claim(json!({ FAMILIES: "jobs, bookings,", SCOPE: "" })), Some(all.clone()));
    let told = json!({ FAMILIES: "bookings,jobs", SCOPE: "a", DRY_RUN: "true", SEES_ALL: "yes" });
    let scope = Scope::Namespace("a".into());
    assert_eq!(claim(told), Some(Claim { scope, dry_run: true, ..all.clone() }));
    assert_eq!(claim(json!({ FAMILIES: "bookings,jobs" })), Some(Claim { scope: Scope::Untold, ..all }));
    for none in [Value::Null, json!({ FAMILIES: "" }), json!({ FAMILIES: " , " }), json!({ SCOPE: "" })] {
        assert_eq!(claim(none), None);
    }
}

#[test]
fn a_renewal_by_a_release_that_knows_no_claims_keeps_them() {
    // given a Lease with a claim, and the patch of release 0.1.0, which names only what that release knows
    let record = MemberLease {
        claim: Some(Arc::new(Claim {
            families: ["jobs".into()].into(),
            scope: Scope::All,
            dry_run: false,
            sees_all: true,
        })),
        ..(*member(&parsed(json!({ "metadata": { "name": "x" } }))).unwrap().value).clone()
    };
    let lease = as_stored(new_member(&names(), &record));
    let mut patch = member_patch("uid-1", 7, &MemberLease { standing: Standing::Sealed, ..record.clone() });
    let annotations = patch["metadata"]["annotations"].as_object_mut().unwrap();
    for key in [FAMILIES, SCOPE, DRY_RUN, SEES_ALL] {
        assert!(annotations.remove(key).is_some());
    }
    // when it seals the Lease, then the claim still stands there
    let read = member(&patched(&lease, &patch)).unwrap().value;
    assert_eq!((read.standing, &read.claim), (Standing::Sealed, &record.claim));
}

#[test]
fn a_duration_in_seconds_counts_where_no_exact_one_stands_and_none_is_longer_than_an_hour() {
    let lease = |annotation: Option<&str>, seconds: Option<i32>| {
        let annotations = annotation.map(|text| json!({ DURATION: text }));
        let read = member(&parsed(json!({
            "metadata": { "name": "x", "annotations": annotations },
            "spec": { "leaseDurationSeconds": seconds },
        })));
        read.unwrap().value.duration
    };
    assert_eq!(lease(Some("1500"), Some(2)), Duration::from_millis(1500));
    assert_eq!(lease(None, Some(15)), Duration::from_secs(15));
    assert_eq!(lease(Some("1.5 s"), Some(2)), Duration::from_secs(2));
    assert_eq!(lease(Some("18446744073709551615"), None), Duration::from_hours(1));
    assert_eq!(lease(None, Some(-1)), Duration::ZERO);
}

#[test]
fn people_see_the_holder_and_whole_seconds() {
    let record = LeaderLease {
        holder: Some(Incarnation::new("a")),
        duration: Duration::from_millis(1500),
        counter: 3,
    };
    let spec = new_leader(&names(), &record).spec.unwrap();
    assert_eq!((spec.holder_identity.as_deref(), spec.lease_duration_seconds), (Some("a"), Some(2)));
    assert!(spec.renew_time.is_some());
}

#[test]
fn an_odd_holder_leads_and_an_empty_one_has_given_up() {
    let holder = |holder: Value| {
        let lease =
            parsed(json!({ "metadata": { "name": "ring-leader" }, "spec": { "holderIdentity": holder } }));
        leader(&lease).unwrap().value.holder.clone()
    };
    assert_eq!(holder(json!("No incarnation!")), Some(Incarnation::new("No incarnation!")));
    assert_eq!(holder(json!("")), None);
    assert_eq!(holder(Value::Null), None);
}

#[test]
fn a_lease_without_uid_or_version_is_odd() {
    let whole = parsed(json!({ "metadata": { "name": "x" } }));
    let mut lease = whole.clone();
    lease.metadata.uid = None;
    assert_eq!(member(&lease).unwrap_err(), Odd::Metadata);
    let mut lease = whole;
    lease.metadata.resource_version = Some("seven".to_owned());
    assert_eq!(leader(&lease).unwrap_err(), Odd::Metadata);
}

#[test]
fn a_lease_that_only_carries_the_label_of_the_ring_is_none_of_it() {
    let role_of = |name: &str, role_word: &str| {
        let labels = json!({ LABEL_RING: "ring", LABEL_ROLE: role_word });
        role(&names(), &parsed(json!({ "metadata": { "name": name, "labels": labels } })).metadata)
    };
    assert_eq!(role_of("x", "member"), Some(Role::Member(Incarnation::new("x"))));
    assert_eq!(role_of("ring-leader", "leader"), Some(Role::Leader));
    assert_eq!(role_of("other-leader", "leader"), None);
    assert_eq!(role_of("x", "witness"), None);
}

#[test]
fn a_lease_that_cannot_be_decoded_stands_as_an_unsealed_one() {
    let guard = serde_json::from_value(json!({
        "metadata": { "name": "x", "uid": "u", "resourceVersion": "1", "annotations": { COUNTER: "4" } },
        "spec": { "renewTime": "yesterday" },
    }));
    let read = member(&decoded(guard.unwrap())).unwrap().value;
    assert_eq!((read.counter, read.standing), (4, Standing::Active));
}
