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

/// A wall clock that is off by less counts as right.
const TRUSTED_WITHIN: SignedDuration = SignedDuration::from_secs(2);

/// A watch of one kind.
#[derive(Debug, Default)]
pub struct Watch {
    /// It grows each time the watch begins anew. Events of older ones are dropped.
    pub generation: u32,
    /// Whether it is up.
    pub connected: bool,
    /// When the last event of each object arrives.
    pub arrivals: HashMap<Arc<str>, Micros>,
    /// When the last event of any object arrives.
    pub last: Micros,
    /// For each object, older events than this revision are left out.
    pub newest: HashMap<Arc<str>, u64>,
    /// The newest revision that the controller knew when the watch began anew.
    pub known: u64,
    /// The names that it has shown, and whether each is the leader's Lease.
    pub shown: BTreeMap<Arc<str>, bool>,
}

/// The connection between a process and the API server. Each trouble has the time until which it lasts.
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
    /// The kind whose watch stands still. None means all.
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

/// The facts of a process at its start.
#[derive(Clone, Debug)]
pub struct Birth {
    /// The name of its Pod.
    pub pod: Arc<str>,
    /// The container that it runs in.
    pub container: Arc<str>,
    /// Its release.
    pub release: Arc<str>,
    /// The protocol that this release speaks.
    pub protocol: u32,
}

/// A replica.
#[derive(Debug)]
pub struct Process {
    /// The facts at its start.
    pub birth: Birth,
    /// Whether it has not ended.
    pub alive: bool,
    /// Whether it was asked to end.
    pub stopping: bool,
    /// Its clocks.
    pub clocks: Clocks,
    /// Its part in the ring. None only while one incarnation follows another.
    pub member: Option<Member>,
    /// The present incarnation.
    pub who: Arc<str>,
    /// The number of incarnations so far.
    pub incarnations: u32,
    /// It stands still until then.
    pub frozen_until: Micros,
    /// Before this time, its next call makes it stand still between check and packet, for this long.
    pub trap: Option<(Micros, Micros)>,
    /// The messages that came while it stood still.
    pub backlog: Vec<Inbox>,
    /// The number of the tick that counts.
    pub tick: u64,
    /// When that tick comes.
    pub tick_at: Option<Micros>,
    /// Whether its permit was in force at the last look.
    pub valid: bool,
    /// Its watches.
    pub watches: BTreeMap<Kind, Watch>,
    /// Its requests without a reply.
    pub pending: HashMap<u64, Pending>,
    /// Its connection to the API server.
    pub link: Link,
    /// When its last disturbance is over. Until then it may be sealed because of it.
    pub disturbed_until: Micros,
    /// Its controller.
    pub controller: Controller,
    /// The last known time of the API server, and the boot-time clock at that moment.
    pub server_time: Option<(Timestamp, Micros)>,
}

impl Process {
    /// A watch.
    pub fn watch(&mut self, kind: Kind) -> &mut Watch {
        self.watches.entry(kind).or_default()
    }

    /// The time as the process takes it. That is its wall clock, unless the wall clock differs from the API server's
    /// time plus the time that has passed on the boot-time clock.
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

    /// Whether it cannot reach the API server, or stands still.
    pub fn is_cut_off(&self, now: Micros) -> bool {
        let link = &self.link;
        [link.requests, link.replies, link.slow, link.stall, self.frozen_until]
            .iter()
            .any(|until| now < *until)
    }
}
