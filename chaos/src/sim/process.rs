//! A replica: a process with its clocks, its member of the ring, its watches and its controller.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use booking_ring::{
    member::Member,
    protocol::{Answer, Op, RequestId},
};
use jiff::{SignedDuration, Timestamp};

use super::{
    clock::Clocks,
    cloud::Results,
    controller::Controller,
    store::{Change, Found, Kind, Object, Refusal, Value},
};
use crate::Micros;

/// A process, by its place among all that ever were.
pub type ProcessId = usize;

/// A wall clock that is off by less is taken for right.
const TRUSTED_WITHIN: SignedDuration = SignedDuration::from_secs(2);

/// What comes to a process. It waits while the process stands still.
#[derive(Debug)]
pub enum Inbox {
    /// Its ring asked for it.
    Tick(u64),
    /// A watch shows a change.
    Watch(Kind, u32, Box<Change>),
    /// A watch has begun anew: everything that is there, as of a revision.
    Listed(Kind, u32, Vec<Object>, u64),
    /// A request was replied to; so the API server's clock was.
    Replied(u64, Reply, Micros),
    /// A request was not replied to in time.
    TimedOut(u64),
    /// The cloud describes the group of a key to a pass.
    Described(usize, u64),
    /// A call that has passed its check goes out.
    Packet(usize, u64),
    /// The cloud replied to a call.
    CloudReplied(u64, Results),
    /// A call was not replied to in time.
    CallTimedOut(u64),
    /// A key's timer rings.
    Timer(usize, u64),
    /// The objects of keys are read once more.
    ReadAgain(u64),
    /// Somebody who knows says that a process is dead.
    Dead(Arc<str>),
    /// It is to end.
    Stop,
}

/// What a process asks of the API server.
#[derive(Debug)]
pub enum Body {
    /// For its ring.
    Ring(Box<Op>),
    /// Replaces an object that was found so.
    Write(Arc<str>, Found, Value),
    /// Reads Resources and Bookings.
    Read,
}

/// What the API server replies.
#[derive(Debug)]
pub enum Reply {
    /// To the ring.
    Ring(Box<Answer>),
    /// Of a write.
    Written(Result<Object, Refusal>),
    /// All Resources and Bookings at a revision.
    All(Vec<Object>, u64),
    /// An error, or nothing.
    Failed,
}

/// What a request is for, to the process that sent it.
#[derive(Clone, Copy, Debug)]
pub enum Pending {
    /// The ring's.
    Ring(RequestId),
    /// A write of a key's pass: the number of the call.
    Write(u64),
    /// A read for keys that were gained, or met a conflict: the number of the read.
    Read(u64),
}

/// A request on its way.
#[derive(Debug)]
pub struct Request {
    /// Its number.
    pub number: u64,
    /// Who sent it.
    pub from: ProcessId,
    /// As which incarnation.
    pub who: Arc<str>,
    /// When.
    pub sent: Micros,
    /// Over a connection of which life of the API server.
    pub life: u32,
    /// What.
    pub body: Body,
}

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
