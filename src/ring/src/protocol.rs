//! Events that go into the state machine, and actions that come out of it.

use std::{sync::Arc, time::Duration};

use crate::{
    claim::Neighbour,
    record::{Incarnation, LeaderLease, MemberLease, Ring, Stored},
    slot::Slot,
};

/// An event.
#[derive(Clone, Debug)]
pub enum Event {
    /// Time has passed, or a call has ended.
    Tick,
    /// The watch on Leases shows a member's Lease.
    MemberSeen(Stored<MemberLease>),
    /// The watch on Leases shows that a member's Lease is gone.
    MemberGone(Incarnation),
    /// The watch on Leases shows the leader's Lease.
    LeaderSeen(Stored<LeaderLease>),
    /// The watch on Leases shows that the leader's Lease is gone.
    LeaderGone,
    /// The watch on Leases has shown everything that existed when it began, or when it began anew.
    LeasesListed,
    /// The watch on the ring object shows the ring.
    RingSeen(Stored<Ring>),
    /// The watch on the ring object shows that there is no ring.
    RingGone,
    /// A request has ended.
    Answered {
        /// The request.
        request: RequestId,
        /// Its result.
        answer: Answer,
    },
    /// A reliable source (the kubelet, in the Pod's status) says that an incarnation's process is dead.
    ProcessDead(Incarnation),
    /// The process shall end.
    Stop,
    /// The payload for the next renewals.
    Payload(Arc<str>),
}

/// Tells the requests of one incarnation apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A request to the API server. Each is bounded by [`Timing::request`]. The driver must not repeat a request.
///
/// [`Timing::request`]: crate::timing::Timing::request
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Creates a member Lease: the own Lease, or a placeholder for an owner that has none.
    CreateMember(MemberLease),
    /// Replaces a member Lease if it still has this uid and version.
    UpdateMember {
        /// The uid of the Lease that was read.
        uid: Arc<str>,
        /// The version that was read.
        version: u64,
        /// The new content.
        lease: MemberLease,
    },
    /// Reads a member Lease consistently.
    ReadMember(Incarnation),
    /// Sets `told_to_leave` without a comparison of versions. It takes nothing from anybody.
    MarkToLeave(Incarnation),
    /// Deletes a member Lease if it still has this uid and version.
    DeleteMember {
        /// The owner of the Lease.
        incarnation: Incarnation,
        /// The uid of the Lease to delete.
        uid: Arc<str>,
        /// The version to delete.
        version: u64,
    },
    /// Lists all member Leases of this ring's name consistently. Leases that are bound to other uids are included.
    ListMembers,
    /// Lists the members of other rings consistently, in all namespaces if that is permitted.
    ListNeighbours,
    /// Creates the leader Lease.
    CreateLeader(LeaderLease),
    /// Replaces the leader Lease if it still has this uid and version.
    UpdateLeader {
        /// The uid of the Lease that was read.
        uid: Arc<str>,
        /// The version that was read.
        version: u64,
        /// The new content.
        lease: LeaderLease,
    },
    /// Reads the leader Lease consistently.
    ReadLeader,
    /// Creates the ring object. Its status is written later.
    CreateRing(Ring),
    /// Replaces the ring's status if the ring still has this uid and version.
    UpdateRing {
        /// The uid of the ring that was read.
        uid: Arc<str>,
        /// The version that was read.
        version: u64,
        /// The new content.
        ring: Ring,
    },
    /// Reads the ring object consistently.
    ReadRing,
}

/// The result of a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The member Lease, as it is now.
    Member(Stored<MemberLease>),
    /// All member Leases.
    Members(Vec<Stored<MemberLease>>),
    /// The members of other rings.
    Neighbours {
        /// Their Leases.
        members: Vec<Neighbour>,
        /// Whether the members of all namespaces are included.
        sees_all: bool,
    },
    /// The leader Lease, as it is now.
    Leader(Stored<LeaderLease>),
    /// The ring, as it is now.
    Ring(Stored<Ring>),
    /// The object is deleted.
    Deleted,
    /// There is no such object.
    NotFound,
    /// The object has another uid or version now.
    Conflict,
    /// Such an object exists already.
    Exists,
    /// No answer in time, or an error. The request may have taken effect, or may still take effect.
    Failed,
}

/// An action for the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a request and answer it with [`Event::Answered`].
    Request {
        /// Its number.
        id: RequestId,
        /// The request.
        op: Op,
    },
    /// This incarnation may work on these slots from now on. Another one worked on them before, so read consistently
    /// before anything is decided.
    Gained(Vec<Slot>),
    /// This incarnation may not work on these slots any more. Cancel the calls that run.
    Lost(Vec<Slot>),
    /// A watch seems to stand still. Begin both watches anew.
    RestartWatches,
    /// Something that people should know.
    Tell(Story),
    /// This incarnation is over, and its calls have ended. The next one may begin unless the process shall end.
    Ended(End),
}

/// Why an incarnation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It handed over its slots, as it was told to.
    Left,
    /// Another member has sealed its Lease.
    Sealed,
    /// Its Lease is gone, or another Lease has taken its place.
    LeaseGone,
    /// It is not known whether its Lease was ever created.
    NeverJoined,
    /// The ring object is gone, or another one has taken its place.
    RingGone,
    /// A consistent read showed an older state than the incarnation knew. The store was restored.
    WentBack,
    /// This release does not understand the ring.
    Unsupported,
    /// It handed over its slots, because another ring does its work.
    GaveWay,
}

/// An event of a ring that people want to know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Story {
    /// This incarnation has become a member.
    Joined,
    /// This incarnation hands over its slots.
    Leaving,
    /// This incarnation is now the leader.
    Leads,
    /// This incarnation is no longer the leader.
    LeadsNoMore,
    /// The permit of this incarnation has run out before it was renewed.
    Lapsed,
    /// The permit has been renewed, this long after it ran out.
    Renewed(Duration),
    /// This incarnation has sealed the Lease of another one, which had been silent for this long.
    Sealed(Incarnation, Duration),
    /// This incarnation has told another one to leave.
    ToldToLeave(Incarnation),
    /// This incarnation has begun this number of moves.
    Planned(usize),
    /// This number of slots has come here, drained by their owners. The time counts from when this incarnation saw the
    /// first of these moves begin.
    HandedOver(usize, Duration),
    /// A write failed because somebody else had written before.
    Conflict,
    /// The new ring may have owners now: no member of another ring is left.
    Opened,
    /// This release cannot take part in the ring, for this reason.
    Unsupported(String),
    /// Another ring does the work of this one. The text names its member and the work.
    GivesWay(String),
}

impl End {
    /// A stable word for metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Sealed => "sealed",
            Self::LeaseGone => "lease-gone",
            Self::NeverJoined => "never-joined",
            Self::RingGone => "ring-gone",
            Self::WentBack => "went-back",
            Self::Unsupported => "unsupported",
            Self::GaveWay => "gave-way",
        }
    }
}
