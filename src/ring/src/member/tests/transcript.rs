//! What members do, as text: compared as a whole, so that no request comes, goes or changes its time
//! unnoticed. `UPDATE_EXPECT=1 cargo test` writes the texts anew.

use std::{fmt::Write, time::Duration};

use crate::{
    protocol::{Answer, Op},
    record::{LeaderLease, MemberLease, Ring},
};

/// Lines with their times since a beginning.
#[derive(Default)]
pub struct Transcript {
    pub since: Duration,
    pub text: String,
}

impl Transcript {
    pub fn line(&mut self, now: Duration, who: &str, what: &str) {
        let at = now.saturating_sub(self.since).as_secs_f64();
        writeln!(self.text, "{at:>7.3} {who} {what}").unwrap();
    }
}

/// A request in words.
pub fn ask(op: &Op) -> String {
    match op {
        Op::CreateMember(lease) => format!("creates {}", member(lease)),
        Op::UpdateMember { lease, .. } => format!("writes {}", member(lease)),
        Op::ReadMember(name) => format!("reads {name}"),
        Op::MarkToLeave(name) => format!("tells {name} to leave"),
        Op::DeleteMember { incarnation, .. } => format!("deletes {incarnation}"),
        Op::ListMembers => "lists members".to_owned(),
        Op::ListNeighbours => "lists neighbours".to_owned(),
        Op::CreateLeader(lease) => format!("creates {}", leader(lease)),
        Op::UpdateLeader { lease, .. } => format!("writes {}", leader(lease)),
        Op::ReadLeader => "reads the lead".to_owned(),
        Op::CreateRing(ring) => format!("creates a ring of {} slots", ring.slots),
        Op::UpdateRing { ring: value, .. } => format!("writes {}", ring(value)),
        Op::ReadRing => "reads the ring".to_owned(),
    }
}

/// What is said of an answer that refuses.
pub fn refusal(answer: &Answer) -> &'static str {
    match answer {
        Answer::NotFound => ": there is none",
        Answer::Conflict => ": conflict",
        Answer::Exists => ": there is one",
        Answer::Failed => ": no answer",
        _ => "",
    }
}

fn member(lease: &MemberLease) -> String {
    let told = if lease.told_to_leave { ", told to leave" } else { "" };
    let MemberLease { incarnation, counter, standing, applied, acked, draining, .. } = lease;
    let but = if draining.is_empty() { String::new() } else { format!(" but for {}", draining.len()) };
    format!("{incarnation}#{counter} {standing:?}, applied {applied}, drained {acked}{but}{told}")
}

fn leader(lease: &LeaderLease) -> String {
    match &lease.holder {
        Some(holder) => format!("the lead of {holder} #{}", lease.counter),
        None => format!("the lead of nobody #{}", lease.counter),
    }
}

fn ring(ring: &Ring) -> String {
    let members: Vec<String> =
        ring.members.keys().map(|name| format!("{name} {}", ring.count(name))).collect();
    let open = if ring.open { "" } else { ", closed" };
    format!("epoch {}: {}, {} moving{open}", ring.epoch, members.join(" "), ring.moves.len())
}
