//! Leases. The spec shows what people look for. The protocol reads annotations, one for each field.
//!
//! `renewTime` is written for people and never read, because it is the wall clock of another machine. If everything in
//! a member's Lease is missing or odd, the Lease reads as not sealed, with the counter 0, with no acknowledgement, and
//! of no ring. If its list of draining slots cannot be read, it acknowledges nothing, either.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{ResourceExt, core::DeserializeGuard};
use serde_json::{Value, json};

use super::{Odd, stored};
use crate::{
    claim::{Claim, Scope},
    kubernetes::{names::Names, ranges},
    record::{Incarnation, LeaderLease, MemberLease, Standing, Stored},
    slot::SLOTS_MAX,
};

/// Label: the name of the ring that a Lease belongs to.
pub const LABEL_RING: &str = "manager.kotaico.de/ring";
/// Label: the role of a Lease, [`ROLE_MEMBER`] or [`ROLE_LEADER`].
pub const LABEL_ROLE: &str = "manager.kotaico.de/role";
/// A member's Lease.
pub const ROLE_MEMBER: &str = "member";
/// The leader's Lease.
pub const ROLE_LEADER: &str = "leader";

const RING_UID: &str = "manager.kotaico.de/ring-uid";
const DURATION: &str = "manager.kotaico.de/lease-duration-ms";
const CALL: &str = "manager.kotaico.de/call-timeout-ms";
const COUNTER: &str = "manager.kotaico.de/counter";
const APPLIED: &str = "manager.kotaico.de/applied-epoch";
const ACKED: &str = "manager.kotaico.de/acknowledged-epoch";
const DRAINING: &str = "manager.kotaico.de/draining-slots";
const STANDING: &str = "manager.kotaico.de/standing";
const TOLD_TO_LEAVE: &str = "manager.kotaico.de/told-to-leave";
const CONTAINER: &str = "manager.kotaico.de/container";
const PROTOCOL: &str = "manager.kotaico.de/protocol";
const RELEASE: &str = "manager.kotaico.de/release";
const PAYLOAD: &str = "manager.kotaico.de/payload";
/// The families that the owner works on, in order and separated by commas. It is absent in release 0.1.0.
const FAMILIES: &str = "manager.kotaico.de/families";
/// The namespace that the owner works for. It is empty for all.
const SCOPE: &str = "manager.kotaico.de/scope";
const DRY_RUN: &str = "manager.kotaico.de/dry-run";
/// `true` if the owner sees the members of rings in all namespaces.
const SEES_ALL: &str = "manager.kotaico.de/sees-all-namespaces";

/// The longest L that is accepted. No release can be configured with a longer one. So no Lease keeps its slots for
/// ever.
const DURATION_MAX: Duration = Duration::from_hours(1);
/// The lowest protocol.
const PROTOCOL_MIN: u32 = 1;

/// Which Lease of a ring an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// The Lease of a member.
    Member(Incarnation),
    /// The Lease of the leader.
    Leader,
}

/// Which Lease of the ring this is. None if it only carries the ring's label.
pub fn role(names: &Names, metadata: &ObjectMeta) -> Option<Role> {
    let name = metadata.name.as_deref()?;
    if name == &*names.leader {
        return Some(Role::Leader);
    }
    let role = metadata.labels.as_ref()?.get(LABEL_ROLE)?;
    (role == ROLE_MEMBER).then(|| Role::Member(Incarnation::new(name)))
}

/// A Lease as far as it can be decoded. If it cannot, it has only its metadata.
pub fn decoded(guard: DeserializeGuard<Lease>) -> Lease {
    guard.0.unwrap_or_else(|invalid| {
        tracing::warn!(lease = invalid.metadata.name, error = invalid.error, "Lease cannot be decoded");
        Lease { metadata: invalid.metadata, spec: None }
    })
}

/// A member's Lease as a record.
///
/// # Errors
/// [`Odd::Metadata`].
pub fn member(lease: &Lease) -> Result<Stored<MemberLease>, Odd> {
    let metadata = &lease.metadata;
    let draining = ranges::read(annotation(lease, DRAINING).unwrap_or_default(), SLOTS_MAX);
    let created = metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second());
    let record = MemberLease {
        incarnation: Incarnation::new(lease.name_any()),
        ring: text(lease, RING_UID),
        duration: duration(lease),
        call: milliseconds(lease, CALL),
        counter: number(lease, COUNTER),
        applied: number(lease, APPLIED),
        acked: draining.as_ref().map_or(0, |_| number(lease, ACKED)),
        draining: draining.unwrap_or_default().into_iter().collect(),
        standing: standing(lease),
        told_to_leave: annotation(lease, TOLD_TO_LEAVE) == Some("true"),
        container: annotation(lease, CONTAINER).filter(|container| !container.is_empty()).map(Arc::from),
        protocol: annotation(lease, PROTOCOL).and_then(|text| text.parse().ok()).unwrap_or(PROTOCOL_MIN),
        release: text(lease, RELEASE),
        created,
        payload: text(lease, PAYLOAD),
        claim: claim(lease),
    };
    stored(metadata, record)
}

/// The leader's Lease as a record. A holder with an odd name is still a holder. Only an empty name means that the lead
/// was given up.
///
/// # Errors
/// [`Odd::Metadata`].
pub fn leader(lease: &Lease) -> Result<Stored<LeaderLease>, Odd> {
    let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
    let record = LeaderLease {
        holder: holder.filter(|holder| !holder.is_empty()).map(Incarnation::new),
        duration: duration(lease),
        counter: number(lease, COUNTER),
    };
    stored(&lease.metadata, record)
}

/// A new member Lease.
pub fn new_member(names: &Names, record: &MemberLease) -> Lease {
    new(names, record.incarnation.as_str(), ROLE_MEMBER, member_annotations(record), member_spec(record))
}

/// A new leader Lease.
pub fn new_leader(names: &Names, record: &LeaderLease) -> Lease {
    new(names, &names.leader, ROLE_LEADER, leader_annotations(record), leader_spec(record))
}

/// The merge patch that writes the record into a member Lease of this uid and version. Fields that this release does
/// not know stay.
pub fn member_patch(uid: &str, version: u64, record: &MemberLease) -> Value {
    patch(uid, version, &member_annotations(record), &member_spec(record))
}

/// The same patch for the leader Lease.
pub fn leader_patch(uid: &str, version: u64, record: &LeaderLease) -> Value {
    patch(uid, version, &leader_annotations(record), &leader_spec(record))
}

/// The merge patch that tells a member to leave. It compares no version.
pub fn leave_patch() -> Value {
    json!({ "metadata": { "annotations": { TOLD_TO_LEAVE: "true" } } })
}

type Annotations = BTreeMap<&'static str, Option<String>>;

fn member_annotations(record: &MemberLease) -> Annotations {
    let claim = record.claim.as_deref();
    let is = |flag: bool| flag.then(|| "true".to_owned());
    BTreeMap::from([
        (RING_UID, Some(record.ring.to_string())),
        (DURATION, Some(record.duration.as_millis().to_string())),
        (CALL, record.call.map(|call| call.as_millis().to_string())),
        (COUNTER, Some(record.counter.to_string())),
        (APPLIED, Some(record.applied.to_string())),
        (ACKED, Some(record.acked.to_string())),
        (DRAINING, (!record.draining.is_empty()).then(|| ranges::write(record.draining.iter().copied()))),
        (STANDING, Some(standing_word(record.standing).to_owned())),
        (TOLD_TO_LEAVE, is(record.told_to_leave)),
        (CONTAINER, record.container.as_deref().map(str::to_owned)),
        (PROTOCOL, Some(record.protocol.to_string())),
        (RELEASE, Some(record.release.to_string())),
        (PAYLOAD, (!record.payload.is_empty()).then(|| record.payload.to_string())),
        (FAMILIES, claim.map(families_text)),
        (SCOPE, claim.and_then(|claim| scope_text(&claim.scope))),
        (DRY_RUN, claim.and_then(|claim| is(claim.dry_run))),
        (SEES_ALL, claim.and_then(|claim| is(claim.sees_all))),
    ])
}

fn families_text(claim: &Claim) -> String {
    claim.families.iter().map(|family| &**family).collect::<Vec<_>>().join(",")
}

fn scope_text(scope: &Scope) -> Option<String> {
    match scope {
        Scope::All => Some(String::new()),
        Scope::Namespace(namespace) => Some(namespace.to_string()),
        Scope::Untold => None,
    }
}

fn leader_annotations(record: &LeaderLease) -> Annotations {
    BTreeMap::from([
        (DURATION, Some(record.duration.as_millis().to_string())),
        (COUNTER, Some(record.counter.to_string())),
    ])
}

fn member_spec(record: &MemberLease) -> LeaseSpec {
    spec(Some(&record.incarnation), record.duration)
}

fn leader_spec(record: &LeaderLease) -> LeaseSpec {
    spec(record.holder.as_ref(), record.duration)
}

fn spec(holder: Option<&Incarnation>, duration: Duration) -> LeaseSpec {
    LeaseSpec {
        holder_identity: holder.map(ToString::to_string),
        // The seconds are rounded up, because Kubernetes refuses zero.
        lease_duration_seconds: i32::try_from(duration.as_millis().div_ceil(1000).max(1)).ok(),
        renew_time: Some(MicroTime(Timestamp::now())),
        ..LeaseSpec::default()
    }
}

fn new(names: &Names, name: &str, role: &str, annotations: Annotations, spec: LeaseSpec) -> Lease {
    let labels = [(LABEL_RING, &*names.ring), (LABEL_ROLE, role)];
    let annotations = annotations.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
        annotations: Some(annotations.collect()),
        ..ObjectMeta::default()
    };
    Lease { metadata, spec: Some(spec) }
}

fn patch(uid: &str, version: u64, annotations: &Annotations, spec: &LeaseSpec) -> Value {
    json!({
        "metadata": { "uid": uid, "resourceVersion": version.to_string(), "annotations": annotations },
        "spec": {
            "holderIdentity": spec.holder_identity,
            "leaseDurationSeconds": spec.lease_duration_seconds,
            "renewTime": spec.renew_time,
        },
    })
}

fn annotation<'a>(lease: &'a Lease, key: &str) -> Option<&'a str> {
    lease.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

fn text(lease: &Lease, key: &str) -> Arc<str> {
    annotation(lease, key).unwrap_or_default().into()
}

fn number(lease: &Lease, key: &str) -> u64 {
    annotation(lease, key).and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// None if the Lease names no family. Only release 0.1.0 writes such Leases.
fn claim(lease: &Lease) -> Option<Arc<Claim>> {
    let families: BTreeSet<Arc<str>> = annotation(lease, FAMILIES)?
        .split(',')
        .map(str::trim)
        .filter(|family| !family.is_empty())
        .map(Arc::from)
        .collect();
    let scope = match annotation(lease, SCOPE) {
        None => Scope::Untold,
        Some("") => Scope::All,
        Some(namespace) => Scope::Namespace(namespace.into()),
    };
    let is = |key| annotation(lease, key) == Some("true");
    let claim = Claim { families, scope, dry_run: is(DRY_RUN), sees_all: is(SEES_ALL) };
    (!claim.families.is_empty()).then(|| claim.into())
}

/// The exact duration, else the one in whole seconds, else zero. With zero, a process waits for its own duration, which
/// is longer.
fn duration(lease: &Lease) -> Duration {
    let seconds = || lease.spec.as_ref()?.lease_duration_seconds?.try_into().ok().map(Duration::from_secs);
    milliseconds(lease, DURATION).or_else(seconds).unwrap_or_default().min(DURATION_MAX)
}

fn milliseconds(lease: &Lease, key: &str) -> Option<Duration> {
    annotation(lease, key).and_then(|text| text.parse().ok()).map(Duration::from_millis)
}

fn standing(lease: &Lease) -> Standing {
    match annotation(lease, STANDING) {
        Some("Leaving") => Standing::Leaving,
        Some("Released") => Standing::Released,
        Some("Sealed") => Standing::Sealed,
        // A word that only a newer release knows does not mean that the member is over.
        _ => Standing::Active,
    }
}

fn standing_word(standing: Standing) -> &'static str {
    match standing {
        Standing::Active => "Active",
        Standing::Leaving => "Leaving",
        Standing::Released => "Released",
        Standing::Sealed => "Sealed",
    }
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
