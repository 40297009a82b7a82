//! The plan of a run. It is made from the seed before the run begins, so that parts of it can be left out.

use crate::{
    MILLI, MINUTE, Micros, SECOND,
    faults::{Fault, FaultKind},
    sim::dice::Dice,
};

/// Faults begin after this time, when the ring has formed.
const FAULTS_FROM: Micros = 45 * SECOND;
/// Faults begin before this time.
const FAULTS_UNTIL: Micros = 420 * SECOND;
/// The length of the shortest run.
const LENGTH_MIN: Micros = 10 * MINUTE;
/// The time from the end of the last fault to the end of the run.
const QUIET: Micros = 270 * SECOND;
/// No booking begins or ends this shortly before the end of the run.
const LAST_EDGE: Micros = 130 * SECOND;
/// In this time before the end of the run no message is lost or late. So everything that must happen in the end can
/// happen.
const NO_LOSSES: Micros = 90 * SECOND;
/// The smallest number of Bookings.
const BOOKINGS_MIN: u64 = 20;

/// The plan of a whole run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed that it was made from.
    pub seed: u64,
    /// The number of replicas at the beginning.
    pub replicas: usize,
    /// The number of slots of the ring.
    pub slots: u16,
    /// The disturbances that last for the whole run.
    pub noise: Noise,
    /// Faults, in order of time.
    pub faults: Vec<Fault>,
    /// Groups of machines, each with its Resource.
    pub groups: Vec<GroupPlan>,
    /// The acts of users, in order of time.
    pub acts: Vec<(Micros, Act)>,
    /// When the run ends.
    pub end: Micros,
}

/// The disturbances that last for the whole run, with or without faults.
#[derive(Clone, Copy, Debug)]
pub struct Noise {
    /// The shortest and the longest time of a message between a process and the API server.
    pub latency: (Micros, Micros),
    /// The shortest and the longest time from a change to its watchers.
    pub lag: (Micros, Micros),
    /// In a thousand: messages that take long, sometimes longer than time-outs.
    pub late: u64,
    /// In a thousand: requests that are refused.
    pub errors: u64,
    /// In a thousand: replies that are lost after the effect.
    pub lost: u64,
    /// In a thousand: watch events that come twice.
    pub twice: u64,
    /// In a thousand: watch events that are left out because a newer one follows.
    pub coalesced: u64,
    /// In ten thousand: watch events at which the watch breaks.
    pub breaks: u64,
    /// Whether watch events of different objects overtake each other.
    pub reorder: bool,
    /// In a thousand: calls of a lost slot that are cancelled instead of ending.
    pub cancels: u64,
}

impl Noise {
    /// No noise: everything takes a few milliseconds.
    pub const NONE: Self = Self {
        latency: (MILLI, 5 * MILLI),
        lag: (MILLI, 10 * MILLI),
        late: 0,
        errors: 0,
        lost: 0,
        twice: 0,
        coalesced: 0,
        breaks: 0,
        reorder: false,
        cancels: 0,
    };

    /// The same noise without lost messages.
    fn lossless(self) -> Self {
        Self { late: 0, errors: 0, lost: 0, ..self }
    }

    fn random(dice: &mut Dice) -> Self {
        if dice.chance(250) {
            return Self::NONE;
        }
        let longest = dice.pick(&[5, 20, 100, 300], 20);
        let lag = dice.pick(&[10, 50, 300, 1_000], 50);
        Self {
            latency: (MILLI, longest * MILLI),
            lag: (MILLI, lag * MILLI),
            late: dice.between(0, 10),
            errors: dice.between(0, 20),
            lost: dice.between(0, 10),
            twice: dice.between(0, 50),
            coalesced: dice.between(0, 200),
            breaks: dice.between(0, 10),
            reorder: dice.chance(500),
            cancels: dice.pick(&[0, 300, 1_000], 300),
        }
    }
}

/// What happens to the machines of a group while it has no holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// They are stopped.
    Stop,
    /// They stay as they are.
    Keep,
    /// They are stopped after a grace.
    Unsaid,
}

/// A group of machines.
#[derive(Clone, Copy, Debug)]
pub struct GroupPlan {
    /// The number of machines.
    pub machines: usize,
    /// The number of them that run at first.
    pub running: usize,
    /// How long a start or a stop takes.
    pub turn: Micros,
    /// What happens while it has no holder.
    pub idle: Idle,
}

/// An act of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Creates a Booking.
    Book {
        /// The number of the Booking, which is its name.
        booking: usize,
        /// The group.
        group: usize,
        /// The user.
        user: u64,
        /// The beginning.
        from: Micros,
        /// The end.
        until: Micros,
    },
    /// Moves a Booking's end.
    MoveEnd {
        /// The number of the Booking.
        booking: usize,
        /// The new end.
        until: Micros,
    },
    /// Deletes a Booking.
    Cancel {
        /// The number of the Booking.
        booking: usize,
    },
}

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64) -> Self {
        let dice = &mut Dice::new(seed, 1);
        let replicas = dice.pick(&[3, 3, 4, 5], 3);
        let slots = dice.pick(&[16, 24, 32, 64], 32);
        let noise = Noise::random(dice);
        let faults = faults(dice);
        Self::with(seed, replicas, slots, noise, faults)
    }

    /// A plan with these faults. The groups and Bookings come from the seed.
    pub fn with(seed: u64, replicas: usize, slots: u16, noise: Noise, mut faults: Vec<Fault>) -> Self {
        let dice = &mut Dice::new(seed, 2);
        faults.sort_by_key(|fault| fault.at);
        let over = faults.iter().map(Plan::over).max().unwrap_or_default();
        let end = LENGTH_MIN.max(over + QUIET);
        let groups: Vec<GroupPlan> = (0..dice.between(6, 9)).map(|_| group(dice)).collect();
        let acts = acts(dice, &groups, end);
        Self { seed, replicas, slots, noise, faults, groups, acts, end }
    }

    /// The noise at an instant of the run.
    pub fn noise_at(&self, now: Micros) -> Noise {
        if now + NO_LOSSES < self.end { self.noise } else { self.noise.lossless() }
    }

    /// When the fault itself is over.
    pub fn over(fault: &Fault) -> Micros {
        let longest = match fault.kind {
            FaultKind::Rollout => 100 * SECOND,
            FaultKind::Graceful | FaultKind::ScaleUp | FaultKind::ScaleDown => 40 * SECOND,
            FaultKind::Sigkill
            | FaultKind::Restart
            | FaultKind::Proof
            | FaultKind::LeaderKill
            | FaultKind::RingDeleted
            | FaultKind::LeaseDeleted => 30 * SECOND,
            // The standstill may begin late.
            FaultKind::Sigstop => 2 * fault.lasts,
            _ => fault.lasts,
        };
        fault.at + longest
    }
}

fn faults(dice: &mut Dice) -> Vec<Fault> {
    let number = dice.between(10, 16);
    let mut faults: Vec<Fault> = Vec::new();
    for _ in 0..number {
        let kind = dice.pick(FaultKind::ALL, FaultKind::Sigkill);
        let alone = [FaultKind::EtcdRestore, FaultKind::Rollout, FaultKind::RingDeleted];
        if alone.contains(&kind) && faults.iter().any(|fault| fault.kind == kind) {
            continue;
        }
        // Often there are two faults at once, or one right after the other. So the second one meets what the first one
        // has broken.
        let near = dice.chance(400).then(|| faults.last().map(|fault| fault.at)).flatten();
        let at = match near {
            Some(at) => (at + dice.between(0, 20 * SECOND)).min(FAULTS_UNTIL),
            None => dice.between(FAULTS_FROM, FAULTS_UNTIL),
        };
        let lasts = lasts(kind, dice);
        faults.push(Fault { kind, at, lasts, target: dice.below(60) });
    }
    while faults.len() < 10 {
        let at = dice.between(FAULTS_FROM, FAULTS_UNTIL);
        faults.push(Fault { kind: FaultKind::Sigkill, at, lasts: 0, target: dice.below(60) });
    }
    faults
}

/// How long a fault of a kind lasts.
fn lasts(kind: FaultKind, dice: &mut Dice) -> Micros {
    use FaultKind as Kind;
    let (shortest, longest) = match kind {
        Kind::Sigstop => (1, 40),
        Kind::Sleep | Kind::WatchStall => (2, 60),
        Kind::Skew => (40, 150),
        Kind::Partition | Kind::PartitionReplies | Kind::PartitionRequests | Kind::Slow => (2, 40),
        Kind::ApiErrors | Kind::ApiLostReplies => (3, 25),
        Kind::ApiRestart => (1, 5),
        Kind::ApiOutage => (15, 70),
        // The lease is 15 s. If the API server is away for less, nothing is promised.
        Kind::EtcdRestore => (16, 40),
        Kind::CloudThrottle | Kind::CloudErrors | Kind::CloudLostReplies => (5, 30),
        Kind::CloudSlow | Kind::CloudLag | Kind::CloudCapacity => (5, 40),
        _ => return 0,
    };
    dice.between(shortest * SECOND, longest * SECOND)
}

fn group(dice: &mut Dice) -> GroupPlan {
    let machines = dice.pick(&[1, 1, 2, 3], 1);
    GroupPlan {
        machines,
        running: dice.below(machines + 1),
        turn: dice.between(2 * SECOND, 20 * SECOND),
        idle: dice.pick(&[Idle::Stop, Idle::Stop, Idle::Stop, Idle::Keep, Idle::Unsaid], Idle::Stop),
    }
}

/// The Bookings of three users. Some exist from the beginning, some are created later, some are moved, some are
/// deleted. A few last beyond the end.
fn acts(dice: &mut Dice, groups: &[GroupPlan], end: Micros) -> Vec<(Micros, Act)> {
    let mut acts = Vec::new();
    let last = end - LAST_EDGE;
    let number = usize::try_from(dice.between(BOOKINGS_MIN, BOOKINGS_MIN + 10)).unwrap_or_default();
    for booking in 0..number {
        let group = dice.below(groups.len());
        let from = whole(dice.between(20 * SECOND, last - 40 * SECOND));
        let until = whole((from + dice.between(15 * SECOND, 120 * SECOND)).min(last));
        let until = if dice.chance(100) { end + MINUTE } else { until };
        let seen = if dice.chance(500) { 0 } else { dice.between(0, from + 5 * SECOND) };
        acts.push((seen, Act::Book { booking, group, user: dice.between(1, 3), from, until }));
        if until > end {
            continue;
        }
        let then = dice.between(seen, until);
        if dice.chance(150) {
            let until = whole(dice.between(from.max(then) + 2 * SECOND, last.max(until)));
            acts.push((then, Act::MoveEnd { booking, until }));
        } else if dice.chance(80) {
            acts.push((then.min(last), Act::Cancel { booking }));
        }
    }
    acts.sort_by_key(|(at, _)| *at);
    acts
}

/// The last whole second.
fn whole(at: Micros) -> Micros {
    at - at % SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_has_its_share_of_replicas_bookings_faults_and_time() {
        for seed in 0..200 {
            let plan = Plan::of(seed);
            let bookings = plan.acts.iter().filter(|(_, act)| matches!(act, Act::Book { .. })).count();
            assert!(plan.replicas >= 3 && bookings >= 20 && plan.faults.len() >= 10, "{seed}");
            assert!(plan.end >= 10 * MINUTE && plan.end < 16 * MINUTE, "{seed} {}", plan.end);
        }
    }

    #[test]
    fn a_seed_gives_the_same_plan_again() {
        let (one, other) = (Plan::of(7), Plan::of(7));
        assert_eq!((one.faults, one.acts), (other.faults, other.acts));
    }
}
