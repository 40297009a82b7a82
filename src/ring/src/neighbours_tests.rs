use std::collections::BTreeSet;

use super::*;
use crate::{
    claim::Scope,
    record::{MemberLease, Stored},
};

const L: Duration = Duration::from_secs(15);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ring(name: &str) -> RingName {
    let (namespace, name) = name.split_once('/').unwrap();
    RingName { namespace: namespace.into(), name: name.into() }
}

/// Families with commas between them; a scope: `*` for all namespaces, `?` for one that is not told.
fn claim(families: &str, scope: &str) -> Claim {
    let scope = match scope {
        "*" => Scope::All,
        "?" => Scope::Untold,
        namespace => Scope::Namespace(namespace.into()),
    };
    let families = families.split(',').map(Arc::from).collect();
    Claim { families, scope, dry_run: false, sees_all: false }
}

fn own(name: &str, claim: Claim) -> Claimant {
    Claimant { ring: ring(name), claim }
}

/// A member at its first renewal.
fn neighbour(of: &str, claim: Option<Claim>) -> Neighbour {
    let lease = MemberLease {
        incarnation: Incarnation::new("x"),
        ring: "uid".into(),
        duration: L,
        call: None,
        counter: 1,
        applied: 0,
        acked: 0,
        draining: BTreeSet::new(),
        standing: Standing::Active,
        told_to_leave: false,
        container: None,
        protocol: 1,
        release: "1".into(),
        created: 0,
        payload: "".into(),
        claim: claim.map(Arc::new),
    };
    Neighbour { ring: ring(of), lease: Stored { uid: "u".into(), version: 1, value: Arc::new(lease) } }
}

/// The same one after so many more renewals.
fn renewed(mut of: Neighbour, times: u64) -> Neighbour {
    let value = MemberLease { counter: of.lease.value.counter + times, ..(*of.lease.value).clone() };
    of.lease = Stored { version: of.lease.version + times, value: Arc::new(value), ..of.lease };
    of
}

fn changed(mut of: Neighbour, change: impl FnOnce(&mut MemberLease)) -> Neighbour {
    let mut value = (*of.lease.value).clone();
    change(&mut value);
    of.lease = Stored { version: of.lease.version + 1, value: Arc::new(value), ..of.lease };
    of
}

/// To whom one gives way after these checks, as people are told.
fn gives_way(own: &Claimant, stage: Stage, checks: &[(u64, Neighbour)]) -> Option<String> {
    let mut neighbours = Neighbours::default();
    for (at, neighbour) in checks {
        neighbours.take_in(own, vec![neighbour.clone()], L, secs(*at));
    }
    neighbours.in_the_way(own, stage).next().map(|seen| own.text(seen))
}

fn once(own: &Claimant, neighbour: &Neighbour) -> bool {
    gives_way(own, Stage::Outside, &[(0, neighbour.clone())]).is_some()
}

#[test]
fn a_member_gives_way_to_one_that_shares_a_family_in_a_namespace() {
    for (mine, theirs, shares) in [
        (("bookings", "*"), ("bookings", "*"), true),
        (("bookings,jobs", "*"), ("jobs,pools", "*"), true),
        (("bookings", "*"), ("jobs", "*"), false),
        (("bookings", "a"), ("bookings", "*"), true),
        (("bookings", "*"), ("bookings", "a"), true),
        (("bookings", "a"), ("bookings", "a"), true),
        (("bookings", "a"), ("bookings", "b"), false),
        (("bookings", "*"), ("bookings", "?"), true),
        (("bookings", "a"), ("bookings", "?"), false),
    ] {
        let own = own("ns/mine", claim(mine.0, mine.1));
        let theirs = neighbour("ns/theirs", Some(claim(theirs.0, theirs.1)));
        assert_eq!(once(&own, &theirs), shares, "{mine:?} {theirs:?}");
    }
}

#[test]
fn members_of_the_own_ring_and_dry_runs_and_those_that_are_over_are_in_nobodys_way() {
    let all = || claim("bookings", "*");
    let own = own("ns/mine", all());
    let theirs = || neighbour("ns/theirs", Some(all()));
    assert!(once(&own, &theirs()));
    assert!(
        once(&own, &neighbour("other/mine", Some(all()))),
        "a ring of that name elsewhere is another one"
    );
    assert!(!once(&own, &neighbour("ns/mine", Some(all()))));
    assert!(!once(&own, &neighbour("ns/theirs", Some(Claim { dry_run: true, ..all() }))));
    for standing in [Standing::Released, Standing::Sealed] {
        assert!(!once(&own, &changed(theirs(), |lease| lease.standing = standing)), "{standing:?}");
    }
    assert!(once(&own, &changed(theirs(), |lease| lease.standing = Standing::Leaving)));
}

#[test]
fn a_member_of_release_0_1_0_works_on_bookings_in_namespaces_that_it_does_not_name() {
    let old = neighbour("ns/theirs", None);
    for (families, scope, shares) in [
        ("bookings", "*", true),
        ("bookings,jobs", "*", true),
        ("jobs", "*", false),
        ("bookings", "a", false),
    ] {
        assert_eq!(once(&own("ns/mine", claim(families, scope)), &old), shares, "{families} {scope}");
    }
    // Its dry run is known by the name of its ring.
    assert!(!once(&own("ns/mine", claim("bookings", "*")), &neighbour("ns/theirs-dry-run", None)));
}

#[test]
fn a_neighbour_is_silent_once_its_lease_has_been_unchanged_for_the_longer_duration_of_the_two() {
    let own = own("ns/mine", claim("bookings", "*"));
    let theirs = || neighbour("ns/theirs", Some(claim("bookings", "*")));
    let alive = |checks: &[(u64, Neighbour)]| gives_way(&own, Stage::Outside, checks).is_some();
    assert!(alive(&[(0, theirs()), (14, theirs())]));
    assert!(!alive(&[(0, theirs()), (15, theirs())]));
    // What it says counts if that is more.
    let patient = || changed(theirs(), |lease| lease.duration = secs(40));
    assert!(alive(&[(0, patient()), (39, patient())]));
    assert!(!alive(&[(0, patient()), (40, patient())]));
    // Any change counts, and so does another Lease of that name.
    assert!(alive(&[(0, theirs()), (10, renewed(theirs(), 1)), (24, renewed(theirs(), 1))]));
    let mut another = theirs();
    another.lease.uid = "another".into();
    assert!(alive(&[(0, theirs()), (10, another.clone()), (24, another)]));
    // A silent one that renews is in the way again.
    assert!(alive(&[(0, theirs()), (15, theirs()), (16, renewed(theirs(), 1))]));
}

#[test]
fn after_a_check_that_failed_silence_counts_anew_but_who_was_silent_stays_so() {
    let own = own("ns/mine", claim("bookings", "*"));
    let theirs = || neighbour("ns/theirs", Some(claim("bookings", "*")));
    let mut neighbours = Neighbours::default();
    let alive_at = |neighbours: &mut Neighbours, at| {
        neighbours.take_in(&own, vec![theirs()], L, secs(at));
        neighbours.any_alive()
    };
    assert!(alive_at(&mut neighbours, 0));
    neighbours.begin_anew(secs(10));
    assert!(alive_at(&mut neighbours, 24));
    assert!(!alive_at(&mut neighbours, 25));
    neighbours.begin_anew(secs(26));
    assert!(!alive_at(&mut neighbours, 27));
}

#[test]
fn of_two_that_join_at_one_moment_the_larger_ring_gives_way_and_the_smaller_one_to_who_stays() {
    let all = || claim("bookings", "*");
    let joined = |mine: &str, checks: &[(u64, Neighbour)]| {
        gives_way(&own(mine, all()), Stage::Unproved, checks).is_some()
    };
    let theirs = || neighbour("ns/m", Some(all()));
    assert!(joined("ns/z", &[(0, theirs())]));
    assert!(!joined("ns/a", &[(0, theirs())]));
    assert!(joined("ns/a", &[(0, theirs()), (6, renewed(theirs(), 2))]));
    // For one that does not know that it should go nobody waits.
    assert!(joined("ns/a", &[(0, neighbour("ns/m", None))]));
    assert!(joined("a/a", &[(0, neighbour("b/m", Some(all())))]));
    // The namespace counts before the name.
    let sees_all = || Some(Claim { sees_all: true, ..all() });
    assert!(!joined("a/z", &[(0, neighbour("b/m", sees_all()))]));
    assert!(joined("c/a", &[(0, neighbour("b/m", sees_all()))]));
}

#[test]
fn of_two_at_work_the_larger_ring_gives_way_once_it_has_seen_the_other_renew() {
    let all = || claim("bookings", "*");
    let smaller = || neighbour("ns/a", Some(all()));
    let own = own("ns/b", all());
    let at_work = |checks: &[(u64, Neighbour)]| gives_way(&own, Stage::Proved, checks);
    assert_eq!(at_work(&[(0, smaller())]), None);
    assert_eq!(at_work(&[(0, smaller()), (6, smaller())]), None);
    let told = at_work(&[(0, smaller()), (6, renewed(smaller(), 2))]);
    assert_eq!(told.as_deref(), Some("replica x of ring ns/a works on family bookings for all namespaces"));
    // One that is about to go is let go.
    let leaves = changed(renewed(smaller(), 2), |lease| lease.standing = Standing::Leaving);
    assert_eq!(at_work(&[(0, smaller()), (6, leaves)]), None);
    let larger = || neighbour("ns/c", Some(all()));
    assert_eq!(at_work(&[(0, larger()), (6, renewed(larger(), 2))]), None);
}

#[test]
fn one_at_work_gives_way_to_those_that_never_do() {
    let all = || claim("bookings", "*");
    let own = own("ns/a", all());
    let renews = |of: &str, claim| {
        let theirs = neighbour(of, claim);
        gives_way(&own, Stage::Proved, &[(0, theirs.clone()), (6, renewed(theirs, 2))])
    };
    assert_eq!(renews("ns/b", Some(all())), None);
    let told = renews("ns/b", None).unwrap();
    assert!(told.ends_with("works on family bookings for namespaces that its Lease does not name"), "{told}");
    // From its own namespace it sees this one only if it may.
    let told = renews("other/b", Some(claim("bookings", "c"))).unwrap();
    assert_eq!(told, "replica x of ring other/b works on family bookings for namespace c");
    assert_eq!(renews("other/b", Some(Claim { sees_all: true, ..all() })), None);
}

#[test]
fn a_dry_run_gives_way_at_once_whatever_its_ring_is_called() {
    let all = || claim("bookings,jobs", "*");
    let own = own("ns/a-dry-run", Claim { dry_run: true, ..all() });
    let told = gives_way(&own, Stage::Proved, &[(0, neighbour("ns/b", Some(all())))]);
    assert_eq!(
        told.as_deref(),
        Some("replica x of ring ns/b works on families bookings, jobs for all namespaces")
    );
}
