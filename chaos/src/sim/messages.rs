//! What goes between processes, the API server and the cloud.

use std::sync::Arc;

use booking_ring::protocol::{Answer, Op, RequestId};
use bookings::decide::groups::output::Call;

use super::{
    cloud::Results,
    store::{Change, Found, Kind, Object, Refusal, Value},
};
use crate::Micros;

/// A process, by its place among all that ever were.
pub type ProcessId = usize;

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

/// A call on its way to the cloud.
#[derive(Debug)]
pub struct Packet {
    /// Who sent it.
    pub from: ProcessId,
    /// Its number.
    pub number: u64,
    /// What it is.
    pub call: Call,
}
