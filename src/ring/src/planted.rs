//! Bugs that are put in on purpose, one at a time, so that a checker can be seen to catch them.
//!
//! The switches exist in builds with the feature `planted` alone; in all others they are constant, and the
//! wrong ways are not compiled in.

/// A rule of the protocol, left out or turned round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bug {
    /// The permit counts from a renewal's reply, not from its sending.
    PermitFromReply,
    /// Any answer to a renewal extends the permit.
    AnyAnswerRenews,
    /// The permit goes by the wall clock alone.
    PermitByWallClock,
    /// Calls begin after the permit has run out.
    ActsPastTheDeadline,
    /// A cancelled call counts as over.
    CancelledCallIsOver,
    /// An acknowledgement does not wait for running calls.
    AckWithRunningCalls,
    /// A slot is taken though its owner says that a call for it is running.
    IgnoresDraining,
    /// An acknowledgement counts for a later move, too.
    AckOfAnyEpoch,
    /// A Lease is sealed whatever its version is by now.
    SealWithoutCompare,
    /// A Lease is sealed before its duration is over.
    SealTooEarly,
    /// An owner without a Lease counts as dead.
    AbsenceIsDeath,
    /// After a proof of death nobody waits for calls under way.
    ProofWithoutCallTime,
    /// A seal on the own Lease is renewed over.
    IgnoresSeal,
    /// A ring in the place of another is taken for it.
    IgnoresRingUid,
    /// A state that went back is not noticed.
    GoesOnAfterRestore,
    /// The next incarnation does not wait for the calls of the one before.
    NextDoesNotWait,
    /// A Lease that is gone is created again.
    CreatesLeaseAgain,
    /// A lower epoch is taken for news.
    TakesOlderEpochs,
    /// A Lease counts in whatever ring there is.
    LeaseOfAnyRing,
    /// A new ring opens at once.
    OpensAtOnce,
    /// Others are sealed by a member whose own view is stale.
    SealsWithoutGate,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::PermitFromReply,
        Self::AnyAnswerRenews,
        Self::PermitByWallClock,
        Self::ActsPastTheDeadline,
        Self::CancelledCallIsOver,
        Self::AckWithRunningCalls,
        Self::IgnoresDraining,
        Self::AckOfAnyEpoch,
        Self::SealWithoutCompare,
        Self::SealTooEarly,
        Self::AbsenceIsDeath,
        Self::ProofWithoutCallTime,
        Self::IgnoresSeal,
        Self::IgnoresRingUid,
        Self::GoesOnAfterRestore,
        Self::NextDoesNotWait,
        Self::CreatesLeaseAgain,
        Self::TakesOlderEpochs,
        Self::LeaseOfAnyRing,
        Self::OpensAtOnce,
        Self::SealsWithoutGate,
    ];
}

booking_decision::switch!(Bug);
