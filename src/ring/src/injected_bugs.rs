//! Injected bugs, one at a time. They show that a checker notices them.
//!
//! The switches exist only in builds with the feature `injected-bugs`. In all other builds they are constant,
//! and the wrong code is not compiled in.

/// A rule of the protocol that a test build leaves out or reverses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bug {
    /// The permit counts from a renewal's reply, not from its sending.
    PermitFromReply,
    /// Any answer to a renewal extends the permit.
    AnyAnswerRenews,
    /// The permit counts by the wall clock alone.
    PermitByWallClock,
    /// Calls begin after the permit has run out.
    ActsPastTheDeadline,
    /// A cancelled call counts as over.
    CancelledCallIsOver,
    /// An acknowledgement does not wait for running calls.
    AckWithRunningCalls,
    /// A member takes a slot although its owner says that a call for it is running.
    IgnoresDraining,
    /// An acknowledgement also counts for a later move.
    AckOfAnyEpoch,
    /// A seal does not compare the version of the Lease.
    SealWithoutCompare,
    /// A Lease is sealed before its duration is over.
    SealTooEarly,
    /// An owner without a Lease counts as dead.
    AbsenceIsDeath,
    /// After a proof of death, others do not wait for calls that are under way.
    ProofWithoutCallTime,
    /// An incarnation renews its Lease although it is sealed.
    IgnoresSeal,
    /// An incarnation takes another ring object for its own.
    IgnoresRingUid,
    /// An incarnation does not notice that the store went back.
    GoesOnAfterRestore,
    /// The next incarnation does not wait for the calls of the one before.
    NextDoesNotWait,
    /// An incarnation creates its Lease again when it is gone.
    CreatesLeaseAgain,
    /// An incarnation applies a lower epoch.
    TakesOlderEpochs,
    /// A Lease counts in every ring.
    LeaseOfAnyRing,
    /// A new ring opens at once.
    OpensAtOnce,
    /// A member seals others although its own view is stale.
    SealsWithoutGate,
}

impl Bug {
    /// All bugs.
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
