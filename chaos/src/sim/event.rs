//! What happens in a run.

use std::sync::Arc;

use super::{
    messages::{Inbox, Packet, ProcessId, Request},
    process::Birth,
    store::Kind,
};
use crate::Micros;

/// Something that happens.
#[derive(Debug)]
pub enum Event {
    /// Something comes to a process.
    To(ProcessId, Inbox),
    /// A process may go on.
    Thaw(ProcessId),
    /// A request arrives at the API server.
    Arrives(Box<Request>),
    /// A watch asks to begin anew.
    Connects(ProcessId, Kind, u32),
    /// A call arrives at the cloud.
    CloudArrives(Box<Packet>),
    /// The fault of that number begins.
    Fault(usize),
    /// The wall clock of a process is set.
    SetClock(ProcessId, i64),
    /// The API server comes back; with an older state, if one is named.
    ServerUp(Option<(u64, bool)>),
    /// The state is kept that the fault of that number brings back.
    Snapshot(usize),
    /// A process is started.
    Spawn(Box<Birth>),
    /// There are to be as many replicas as wanted.
    Deploy,
    /// A process that was asked to end has had its time.
    Kill(ProcessId),
    /// A rolling update goes on.
    Rollout(Box<Rollout>),
    /// The act of that number is carried out.
    Act(usize),
    /// A group must be as its Bookings say by now.
    Due(usize, Micros),
    /// The run ends.
    End,
}

/// A rolling update under way.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// The release that replaces all others.
    pub release: Arc<str>,
    /// How many looks at it are left.
    pub left: u32,
    /// The number of the fault.
    pub fault: usize,
}
