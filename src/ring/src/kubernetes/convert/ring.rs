//! The ring object. It is read and written as plain JSON, so that fields of newer releases survive.

use std::collections::{BTreeMap, BTreeSet};

use kube::core::DynamicObject;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Odd, stored};
use crate::{
    kubernetes::{
        crd::{RingMember, RingMove, RingSpec, RingStatus},
        ranges,
    },
    record::{Incarnation, Move, PROTOCOL, Ring, Stored},
    slot::Slot,
};

/// The number of members that the summary names. It only counts the others.
const SUMMARY_MEMBERS: usize = 10;
/// The longest name in the summary.
const SUMMARY_NAME: usize = 24;

/// The fields that this release writes, and removes if they are absent. All other fields stay.
const STATUS_FIELDS: [&str; 9] =
    ["protocol", "epoch", "open", "leader", "size", "distribution", "moving", "members", "moves"];
const MEMBER_FIELDS: [&str; 4] = ["name", "release", "slots", "owns"];
const MOVE_FIELDS: [&str; 4] = ["slots", "from", "to", "since"];

/// A ring object as a record. If this release does not speak the ring's protocol and cannot read its status, the record
/// has only protocol and epoch.
///
/// # Errors
/// [`Odd`]. Nothing may be concluded from such a ring.
pub fn ring(object: &DynamicObject) -> Result<Stored<Ring>, Odd> {
    let spec: RingSpec = parse("spec", object.data.get("spec").unwrap_or(&Value::Null))?;
    let ring = Ring { slots: spec.slots, hash: spec.hash.as_str().into(), ..Ring::new(spec.slots) };
    let ring = match object.data.get("status").filter(|status| !status.is_null()) {
        None => ring,
        Some(status) => with_status(ring, status)?,
    };
    stored(&object.metadata, ring)
}

fn with_status(ring: Ring, value: &Value) -> Result<Ring, Odd> {
    // serde would take a list for the fields in their order.
    if !value.is_object() {
        return Err(Odd::Ring("status: no object".to_owned()));
    }
    let head = |field| value.get(field).and_then(Value::as_u64).unwrap_or_default();
    // Before the first epoch nothing has been agreed.
    let protocol = match (head("protocol"), head("epoch")) {
        (0, 0) => PROTOCOL,
        (protocol, _) => u32::try_from(protocol).unwrap_or(u32::MAX),
    };
    let headed = Ring { protocol, epoch: head("epoch"), ..ring };
    let full = parse("status", value).and_then(|status| filled(headed.clone(), status));
    if protocol > PROTOCOL { Ok(full.unwrap_or(headed)) } else { full }
}

fn filled(mut ring: Ring, status: RingStatus) -> Result<Ring, Odd> {
    ring.open = status.open;
    ring.leader = status.leader.map(Incarnation::new);
    let mut names = BTreeSet::new();
    for member in status.members {
        let name = Incarnation::new(member.name);
        if !names.insert(name.clone()) {
            return Err(Odd::Ring(format!("{name} is listed twice")));
        }
        for slot in slots(&member.owns, ring.slots)? {
            if ring.owners.insert(slot, name.clone()).is_some() {
                return Err(Odd::Ring(format!("slot {slot} has two owners")));
            }
        }
        if let Some(release) = member.release {
            ring.members.insert(name, release.into());
        }
    }
    for moving in status.moves {
        let to = Move { to: Incarnation::new(moving.to), since: moving.since };
        for slot in slots(&moving.slots, ring.slots)? {
            if ring.moves.insert(slot, to.clone()).is_some() {
                return Err(Odd::Ring(format!("slot {slot} moves twice")));
            }
        }
    }
    Ok(ring)
}

fn slots(text: &str, of: u16) -> Result<Vec<Slot>, Odd> {
    ranges::read(text, of).map_err(|error| Odd::Ring(error.to_string()))
}

fn parse<T: DeserializeOwned>(what: &str, value: &Value) -> Result<T, Odd> {
    T::deserialize(value).map_err(|error| Odd::Ring(format!("{what}: {error}")))
}

/// A new ring object. It has only a spec.
pub fn new_ring(ring: &Ring) -> Value {
    json!({ "spec": RingSpec { slots: ring.slots, hash: ring.hash.to_string() } })
}

/// The new status of a ring object, made from its present one.
pub fn status(old: Option<&Value>, ring: &Ring) -> Value {
    let null = Value::Null;
    let old = old.unwrap_or(&null);
    let mut new = json!(status_of(ring));
    keep_in_list(&mut new, old, "members", &MEMBER_FIELDS, &["name"]);
    keep_in_list(&mut new, old, "moves", &MOVE_FIELDS, &["from", "to", "since"]);
    keep(&mut new, old, &STATUS_FIELDS);
    new
}

/// Adds to `new` the fields of `old` that this release does not know.
fn keep(new: &mut Value, old: &Value, known: &[&str]) {
    if let (Value::Object(new), Value::Object(old)) = (new, old) {
        let unknown = old.iter().filter(|(field, _)| !known.contains(&field.as_str()));
        new.extend(unknown.map(|(field, value)| (field.clone(), value.clone())));
    }
}

/// Does the same for each item of a list that has equal values in the fields of `key`.
fn keep_in_list(new: &mut Value, old: &Value, list: &str, known: &[&str], key: &[&str]) {
    let key_of = |item: &Value| key.iter().map(|field| item.get(field).cloned()).collect::<Vec<_>>();
    let olds = old.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for item in new.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
        let key = key_of(item);
        if let Some(old) = olds.iter().find(|old| key_of(old) == key) {
            keep(item, old, known);
        }
    }
}

fn status_of(ring: &Ring) -> RingStatus {
    let members = members(ring);
    RingStatus {
        protocol: ring.protocol,
        epoch: ring.epoch,
        open: ring.open,
        leader: ring.leader.as_ref().map(ToString::to_string),
        size: count(ring.members.len()),
        distribution: distribution(&members),
        moving: count(ring.moves.len()),
        members,
        moves: moves(ring),
    }
}

fn members(ring: &Ring) -> Vec<RingMember> {
    let mut owned: BTreeMap<&Incarnation, Vec<Slot>> =
        ring.members.keys().map(|member| (member, Vec::new())).collect();
    for (slot, owner) in &ring.owners {
        owned.entry(owner).or_default().push(*slot);
    }
    let member = |(name, slots): (&Incarnation, Vec<Slot>)| RingMember {
        name: name.to_string(),
        release: ring.members.get(name).map(ToString::to_string),
        slots: count(slots.len()),
        owns: ranges::write(slots),
    };
    owned.into_iter().map(member).collect()
}

fn moves(ring: &Ring) -> Vec<RingMove> {
    let mut alike: BTreeMap<(u64, Option<&Incarnation>, &Incarnation), Vec<Slot>> = BTreeMap::new();
    for (slot, moving) in &ring.moves {
        alike.entry((moving.since, ring.owners.get(slot), &moving.to)).or_default().push(*slot);
    }
    let moving =
        |((since, from, to), slots): ((u64, Option<&Incarnation>, &Incarnation), Vec<Slot>)| RingMove {
            slots: ranges::write(slots),
            from: from.map(ToString::to_string),
            to: to.to_string(),
            since,
        };
    alike.into_iter().map(moving).collect()
}

/// For example `x2b4d-k3j5x9q1:86 …`. The end of each name tells members apart, because the beginning is the same for
/// all.
fn distribution(members: &[RingMember]) -> String {
    let short = |name: &str| {
        let end = name.rmatch_indices('-').nth(1).map_or(0, |(at, _)| at + 1);
        name.get(end..).unwrap_or(name).chars().take(SUMMARY_NAME).collect::<String>()
    };
    let named = members.iter().take(SUMMARY_MEMBERS);
    let mut words: Vec<String> =
        named.map(|member| format!("{}:{}", short(&member.name), member.slots)).collect();
    if let Some(more @ 1..) = members.len().checked_sub(SUMMARY_MEMBERS) {
        words.push(format!("and {more} more"));
    }
    words.join(" ")
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
