//! The messages between processes, the API server and the cloud.

use std::sync::Arc;

use booking_ring::protocol::{Answer, Op, RequestId};
use bookings::decide::groups::output::Call;

use super::{
    cloud::Results,
    store::{Change, Found, Kind, Object, Refusal, Value},
};
use crate::Micros;

/// A process, by its position among all processes of the run.
pub type ProcessId = usize;

/// A message for a process. It waits while the process stands still.
#[derive(Debug)]
pub enum Inbox {
    /// A tick that the ring asked for.
    Tick(u64),
    /// A watch shows a change.
    Watch(Kind, u32, Box<Change>),
    /// A watch has begun anew. It shows all objects as of a revision.
    Listed(Kind, u32, Vec<Object>, u64),
    /// A request got its reply, with the API server's time.
    Replied(u64, Reply, Micros),
    /// A request got no reply in time.
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
    Timer,
    /// The objects of keys are read once more.
    ReadAgain(u64),
    /// A reliable source says that a process is dead.
    Dead(Arc<str>),
    /// The process shall end.
    Stop,
}

/// The body of a request to the API server.
#[derive(Debug)]
pub enum Body {
    /// A request of the ring.
    Ring(Box<Op>),
    /// Replaces an object if it still has the version that was found.
    Write(Arc<str>, Found, Value),
    /// Reads Resources and Bookings.
    Read,
}

/// The reply of the API server.
#[derive(Debug)]
pub enum Reply {
    /// The answer for the ring.
    Ring(Box<Answer>),
    /// The result of a write.
    Written(Result<Object, Refusal>),
    /// All Resources and Bookings as of a revision.
    All(Vec<Object>, u64),
    /// An error, or no reply.
    Failed,
}

/// The purpose of a request, for the process that sent it.
#[derive(Clone, Copy, Debug)]
pub enum Pending {
    /// A request of the ring.
    Ring(RequestId),
    /// A write of a key's pass, with the number of the call.
    Write(u64),
    /// A read for keys that were gained or met a conflict, with the number of the read.
    Read(u64),
}

/// A request on its way.
#[derive(Debug)]
pub struct Request {
    /// Its number.
    pub number: u64,
    /// The process that sent it.
    pub from: ProcessId,
    /// The incarnation that sent it.
    pub who: Arc<str>,
    /// When it was sent.
    pub sent: Micros,
    /// The life of the API server in which its connection was opened.
    pub life: u32,
    /// Its body.
    pub body: Body,
}

/// A call on its way to the cloud.
#[derive(Debug)]
pub struct Packet {
    /// The process that sent it.
    pub from: ProcessId,
    /// Its number.
    pub number: u64,
    /// The call.
    pub call: Call,
}
