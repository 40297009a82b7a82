//! The events of a run.

use std::sync::Arc;

use super::{
    messages::{Inbox, Packet, ProcessId, Request},
    process::Birth,
    store::Kind,
};
use crate::Micros;

/// An event.
#[derive(Debug)]
pub enum Event {
    /// A message arrives at a process.
    To(ProcessId, Inbox),
    /// A process that stood still goes on.
    Thaw(ProcessId),
    /// A request arrives at the API server.
    Arrives(Box<Request>),
    /// A watch asks to begin anew.
    Connects(ProcessId, Kind, u32),
    /// A call arrives at the cloud.
    CloudArrives(Box<Packet>),
    /// The fault with this number begins.
    Fault(usize),
    /// The wall clock of a process is set.
    SetClock(ProcessId, i64),
    /// The API server comes back. If a state is named, it has that older state.
    ServerUp(Option<(u64, bool)>),
    /// The present state is kept for the fault with this number, which will restore it.
    Snapshot(usize),
    /// A process is started.
    Spawn(Box<Birth>),
    /// The number of replicas is corrected.
    Deploy,
    /// The time is over for a process that was asked to end.
    Kill(ProcessId),
    /// A rolling update takes its next step.
    Rollout(Box<Rollout>),
    /// The act with this number happens.
    Act(usize),
    /// A group must agree with its Bookings by now.
    Due(usize, Micros),
    /// The run ends.
    End,
}

/// A rolling update under way.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// The release that replaces all others.
    pub release: Arc<str>,
    /// The number of steps that are left.
    pub left: u32,
    /// The number of the fault.
    pub fault: usize,
}
