//! What goes into the state machine and what comes out of it.

use std::{sync::Arc, time::Duration};

use crate::{
    claim::Neighbour,
    record::{Incarnation, LeaderLease, MemberLease, Ring, Stored},
    slot::Slot,
};

/// Something that has happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Time has passed, or a call has ended.
    Tick,
    /// The watch on Leases shows a member's.
    MemberSeen(Stored<MemberLease>),
    /// The watch on Leases shows that a member's is gone.
    MemberGone(Incarnation),
    /// The watch on Leases shows the leader's.
    LeaderSeen(Stored<LeaderLease>),
    /// The watch on Leases shows that the leader's is gone.
    LeaderGone,
    /// The watch on Leases has shown everything that was there when it began, or began anew.
    LeasesListed,
    /// The watch on the ring object shows it.
    RingSeen(Stored<Ring>),
    /// The watch on the ring object shows that there is none.
    RingGone,
    /// A request has come to its end.
    Answered {
        /// Which one.
        request: RequestId,
        /// What came of it.
        answer: Answer,
    },
    /// Somebody who knows (the kubelet, in the Pod's status) says that an incarnation's process is dead.
    ProcessDead(Incarnation),
    /// The process is to end.
    Stop,
    /// The payload for the next renewals.
    Payload(Arc<str>),
}

/// Tells requests of one incarnation apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A request to the API server. All are bounded by [`Timing::request`]; none may be repeated by whoever
/// carries it out.
///
/// [`Timing::request`]: crate::timing::Timing::request
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Creates a member Lease: one's own, or a placeholder for an owner who has none.
    CreateMember(MemberLease),
    /// Replaces a member Lease if it is still of this uid and version.
    UpdateMember {
        /// What it was made from.
        uid: Arc<str>,
        /// What it was made from.
        version: u64,
        /// What it is to say.
        lease: MemberLease,
    },
    /// Reads a member Lease consistently.
    ReadMember(Incarnation),
    /// Sets `told_to_leave`, whatever the version: takes nothing from anybody.
    MarkToLeave(Incarnation),
    /// Deletes a member Lease if it is still of this uid and version.
    DeleteMember {
        /// Whose.
        incarnation: Incarnation,
        /// What is to be deleted.
        uid: Arc<str>,
        /// What is to be deleted.
        version: u64,
    },
    /// Lists all member Leases of this ring's name consistently, those of other uids included.
    ListMembers,
    /// Lists the members of other rings consistently, in all namespaces if that is permitted.
    ListNeighbours,
    /// Creates the leader Lease.
    CreateLeader(LeaderLease),
    /// Replaces the leader Lease if it is still of this uid and version.
    UpdateLeader {
        /// What it was made from.
        uid: Arc<str>,
        /// What it was made from.
        version: u64,
        /// What it is to say.
        lease: LeaderLease,
    },
    /// Reads the leader Lease consistently.
    ReadLeader,
    /// Creates the ring object; its status is written later.
    CreateRing(Ring),
    /// Replaces the ring's status if it is still of this uid and version.
    UpdateRing {
        /// What it was made from.
        uid: Arc<str>,
        /// What it was made from.
        version: u64,
        /// What it is to say.
        ring: Ring,
    },
    /// Reads the ring object consistently.
    ReadRing,
}

/// What came of a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The member Lease as it stands now.
    Member(Stored<MemberLease>),
    /// All member Leases.
    Members(Vec<Stored<MemberLease>>),
    /// The members of other rings.
    Neighbours {
        /// Their Leases.
        members: Vec<Neighbour>,
        /// Whether those of all namespaces are among them.
        sees_all: bool,
    },
    /// The leader Lease as it stands now.
    Leader(Stored<LeaderLease>),
    /// The ring as it stands now.
    Ring(Stored<Ring>),
    /// It is deleted.
    Deleted,
    /// There is no such object.
    NotFound,
    /// It is not of that uid and version any more.
    Conflict,
    /// There is such an object already.
    Exists,
    /// No answer in time, or an error: it may have taken effect, or may yet.
    Failed,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a request and answer it with [`Event::Answered`].
    Request {
        /// Its number.
        id: RequestId,
        /// What it is.
        op: Op,
    },
    /// These slots may be worked on from now on. Somebody else worked on them: read consistently before
    /// anything is decided.
    Gained(Vec<Slot>),
    /// These slots may be worked on no more: cancel what runs.
    Lost(Vec<Slot>),
    /// A watch seems to stand still: begin both anew.
    RestartWatches,
    /// Something to tell people.
    Tell(Story),
    /// This incarnation is over, its calls have ended. If the process is not to end, the next one may begin.
    Ended(End),
}

/// Why an incarnation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It handed over what it had, as it was told to.
    Left,
    /// Somebody has sealed its Lease.
    Sealed,
    /// Its Lease is gone, or another one stands in its place.
    LeaseGone,
    /// Nobody knows whether its Lease was ever created.
    NeverJoined,
    /// The ring object is gone, or another one stands in its place.
    RingGone,
    /// A consistent read showed an older state than was known: the store was restored.
    WentBack,
    /// The ring cannot be understood by this release.
    Unsupported,
    /// It handed over what it had, because another ring does its work.
    GaveWay,
}

/// What people want to know of a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Story {
    /// This incarnation has become a member.
    Joined,
    /// This incarnation hands over what it has.
    Leaving,
    /// This incarnation leads.
    Leads,
    /// This incarnation leads no more.
    LeadsNoMore,
    /// This incarnation's permit has run out before it was renewed.
    Lapsed,
    /// It has been renewed, so long after.
    Renewed(Duration),
    /// This incarnation has sealed another's Lease, which had been silent so long.
    Sealed(Incarnation, Duration),
    /// This incarnation has told another one to leave.
    ToldToLeave(Incarnation),
    /// This incarnation has begun that many moves.
    Planned(usize),
    /// Slots have come here that another incarnation drained, so long after this one saw the move begin.
    HandedOver(usize, Duration),
    /// A write met somebody else's.
    Conflict,
    /// The ring is as new: nobody of another one is left.
    Opened,
    /// The ring cannot be taken part in.
    Unsupported(String),
    /// Another ring does the work of this one: who, and what it works on.
    GivesWay(String),
}

impl End {
    /// A stable word, for metrics and logs.
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
