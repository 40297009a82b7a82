//! A replica: a process with its clocks, its member of the ring, its watches and its controller.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use booking_ring::member::Member;
use jiff::{SignedDuration, Timestamp};

use super::{
    clock::Clocks,
    keys::Controller,
    messages::{Inbox, Pending},
    store::Kind,
};
use crate::Micros;

/// A wall clock that is off by less is taken for right.
const TRUSTED_WITHIN: SignedDuration = SignedDuration::from_secs(2);

/// A watch of one kind.
#[derive(Debug, Default)]
pub struct Watch {
    /// Grows each time it begins anew: what older ones still bring is dropped.
    pub generation: u32,
    /// Whether it is up.
    pub connected: bool,
    /// When the last event of each object arrives, and of any.
    pub arrivals: HashMap<Arc<str>, Micros>,
    /// When the last event of any object arrives.
    pub last: Micros,
    /// Objects of which older events than this revision are left out.
    pub newest: HashMap<Arc<str>, u64>,
    /// The newest revision that its controller knew when it began anew.
    pub known: u64,
    /// What it has shown, by name: whether it is the leader's Lease.
    pub shown: BTreeMap<Arc<str>, bool>,
}

/// The way between a process and the API server: what is wrong with it, until when.
#[derive(Debug, Default)]
pub struct Link {
    /// Requests do not arrive.
    pub requests: Micros,
    /// Replies and watch events do not arrive.
    pub replies: Micros,
    /// Everything takes long.
    pub slow: Micros,
    /// Watch events do not arrive.
    pub stall: Micros,
    /// Which of them; all, if it is not said.
    pub stalled: Option<Kind>,
    /// Watches begin from an older state.
    pub stale: Micros,
}

impl Link {
    /// Until when a watch stands still.
    pub fn stall_of(&self, kind: Kind) -> Micros {
        if self.stalled.is_none_or(|stalled| stalled == kind) { self.stall } else { 0 }
    }
}

/// How a process came to be.
#[derive(Clone, Debug)]
pub struct Birth {
    /// Name of its Pod.
    pub pod: Arc<str>,
    /// The container it runs in.
    pub container: Arc<str>,
    /// Its release.
    pub release: Arc<str>,
    /// The protocol that this release speaks.
    pub protocol: u32,
}

/// See the module.
#[derive(Debug)]
pub struct Process {
    /// How it came to be.
    pub birth: Birth,
    /// Whether it has not ended.
    pub alive: bool,
    /// Whether it was asked to end.
    pub stopping: bool,
    /// Its clocks.
    pub clocks: Clocks,
    /// Its part in the ring; none only while one incarnation follows another.
    pub member: Option<Member>,
    /// The present incarnation.
    pub who: Arc<str>,
    /// How many there have been.
    pub incarnations: u32,
    /// It stands still until then.
    pub frozen_until: Micros,
    /// It stands still for so long from its next call on, between check and packet; if that comes in time.
    pub trap: Option<(Micros, Micros)>,
    /// What came meanwhile.
    pub backlog: Vec<Inbox>,
    /// The tick that counts.
    pub tick: u64,
    /// When it comes.
    pub tick_at: Option<Micros>,
    /// Whether its permit was in force when last looked at.
    pub valid: bool,
    /// Its watches.
    pub watches: BTreeMap<Kind, Watch>,
    /// Its requests that were not replied to.
    pub pending: HashMap<u64, Pending>,
    /// The way to the API server.
    pub link: Link,
    /// The last disturbance of its own is over then: it may be sealed for that.
    pub disturbed_until: Micros,
    /// What works on keys.
    pub controller: Controller,
    /// The API server's time when last seen, and the boot-time clock then.
    pub server_time: Option<(Timestamp, Micros)>,
}

impl Process {
    /// A watch.
    pub fn watch(&mut self, kind: Kind) -> &mut Watch {
        self.watches.entry(kind).or_default()
    }

    /// The time as the process takes it: its wall clock, unless that differs from the API server's time
    /// carried on by the boot-time clock.
    pub fn time(&self, now: Micros) -> Timestamp {
        let local = self.clocks.wall(now);
        let Some((server, at)) = self.server_time else { return local };
        let carried = crate::checker::later(server, self.boot(now).saturating_sub(at));
        if local.duration_since(carried).abs() <= TRUSTED_WITHIN { local } else { carried }
    }

    /// The boot-time clock.
    pub fn boot(&self, now: Micros) -> Micros {
        super::clock::micros(self.clocks.stamp(now).boot)
    }

    /// Whether something stands between it and the API server, or it stands still.
    pub fn is_cut_off(&self, now: Micros) -> bool {
        let link = &self.link;
        [link.requests, link.replies, link.slow, link.stall, self.frozen_until]
            .iter()
            .any(|until| now < *until)
    }
}
