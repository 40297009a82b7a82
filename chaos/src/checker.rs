//! The invariants, over facts: calls with caller and time, and objects with time. The checker asks no code under test,
//! so it cannot share its mistakes.

mod bookings;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    fmt,
    sync::Arc,
};

use ::bookings::api::Booking;
use booking_calendar::window::Window;
use jiff::Timestamp;

use self::bookings::rank;
pub use self::bookings::{asked, earlier, granted, in_use, later, seen_spec};
use crate::{MINUTE, Micros, SECOND, seconds};

/// Something that must never happen, or that must happen in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// A call starts, or could start, although its caller's permit has run out. That is D after the caller sent the
    /// last renewal that took effect.
    ActsWithoutPermit,
    /// Two incarnations may both start calls for a slot.
    TwoOwners,
    /// Calls of two incarnations for one slot are under way at the same time.
    CallsOverlap,
    /// An incarnation ends, so that the next may begin, while one of its calls may be under way.
    EndsWithCalls,
    /// An incarnation creates its Lease a second time.
    LeaseCreatedTwice,
    /// A ring names an incarnation that is bound to another ring.
    OfAnotherRing,
    /// The operator clears the holder although a granted window is not over.
    HoldCleared,
    /// The operator stops machines that somebody is using.
    StoppedWhileBooked,
    /// The operator starts machines that nobody has booked for that time.
    StartedUnbooked,
    /// A granted window is cut or gone although its Booking did not ask for less.
    GrantTakenAway,
    /// Two users are granted the same time.
    GrantsOverlap,
    /// A Booking's state goes back although its spec was not changed.
    StateWentBack,
    /// The same call is sent to a machine again and again.
    TooManyCalls,
    /// A member is sealed although it lives and nothing prevents its renewals.
    SealedAlive,
    /// A start or a stop that was due has not happened, and no fault explains that.
    Missed,
    /// A lock tag remains that nobody will remove.
    OrphanedLock,
    /// After the last fault, some slots do not have exactly one live owner, or they are not evenly spread.
    NotConverged,
    /// After the last fault, something other than renewals is written.
    Churn,
    /// The code under test panicked.
    Panicked,
}

impl Invariant {
    /// A stable word for tables and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ActsWithoutPermit => "acts-without-permit",
            Self::TwoOwners => "two-owners",
            Self::CallsOverlap => "calls-overlap",
            Self::EndsWithCalls => "ends-with-calls",
            Self::LeaseCreatedTwice => "lease-created-twice",
            Self::OfAnotherRing => "of-another-ring",
            Self::HoldCleared => "hold-cleared",
            Self::StoppedWhileBooked => "stopped-while-booked",
            Self::StartedUnbooked => "started-unbooked",
            Self::GrantTakenAway => "grant-taken-away",
            Self::GrantsOverlap => "grants-overlap",
            Self::StateWentBack => "state-went-back",
            Self::TooManyCalls => "too-many-calls",
            Self::SealedAlive => "sealed-alive",
            Self::Missed => "missed",
            Self::OrphanedLock => "orphaned-lock",
            Self::NotConverged => "not-converged",
            Self::Churn => "churn",
            Self::Panicked => "panicked",
        }
    }
}

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant.
    pub invariant: Invariant,
    /// When it was violated.
    pub at: Micros,
    /// Who violated it, and how.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} s: {}", self.invariant.as_str(), seconds(self.at), self.what)
    }
}

/// What the checker must know of the code under test.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// D: how long a renewal lets its sender start calls.
    pub permit: Micros,
    /// T: the longest time of a call.
    pub call: Micros,
    /// How much either may differ because clocks run at different speeds.
    pub drift: Micros,
    /// How far a caller's time may be from true time.
    pub clock: Micros,
    /// The largest number of calls of one kind for one machine in a minute.
    pub calls_per_minute: usize,
}

/// The effect of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Writes to the API server.
    Write,
    /// Starts machines.
    Start,
    /// Stops machines.
    Stop,
    /// Writes lock tags.
    Lock,
    /// Removes lock tags.
    Unlock,
}

/// A call that starts.
#[derive(Clone, Debug)]
pub struct CallFact {
    /// Tells calls apart.
    pub id: u64,
    /// The incarnation that makes it.
    pub who: Arc<str>,
    /// The unit on which two must not work at the same time: the slot, or a number that stands for it.
    pub slot: u32,
    /// Its effect.
    pub verb: Verb,
    /// When it passed its check.
    pub at: Micros,
}

#[derive(Debug)]
struct UnderWay {
    id: u64,
    who: Arc<str>,
    verb: Verb,
    begun: Micros,
    ends: Micros,
}

/// Checks facts against the invariants.
#[derive(Debug)]
pub struct Checker {
    rules: Rules,
    /// When each incarnation sent the newest renewal that took effect.
    renewed: HashMap<Arc<str>, Micros>,
    created: HashSet<Arc<str>>,
    under_way: BTreeMap<u32, Vec<UnderWay>>,
    sent: HashMap<(Arc<str>, Verb), VecDeque<Micros>>,
    violations: Vec<Violation>,
}

/// The largest number of violations that are kept.
const VIOLATIONS_MAX: usize = 100;

impl Checker {
    /// A checker before the first fact.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            renewed: HashMap::new(),
            created: HashSet::new(),
            under_way: BTreeMap::new(),
            sent: HashMap::new(),
            violations: vec![],
        }
    }

    /// The violations, in order.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Records a violation that the caller found itself.
    pub fn violated(&mut self, invariant: Invariant, at: Micros, what: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { invariant, at, what });
        }
    }

    /// A renewal took effect.
    pub fn renewed(&mut self, who: &Arc<str>, sent: Micros) {
        let newest = self.renewed.entry(who.clone()).or_default();
        *newest = sent.max(*newest);
    }

    /// An incarnation created its own Lease.
    pub fn lease_created(&mut self, who: &Arc<str>, at: Micros) {
        if !self.created.insert(who.clone()) {
            self.violated(Invariant::LeaseCreatedTwice, at, format!("{who} was a member before"));
        }
    }

    /// An incarnation starts a call now, or would start one if it had one to make.
    pub fn could_act(&mut self, who: &Arc<str>, at: Micros) {
        let sent = self.renewed.get(who).copied();
        let until = sent.map(|sent| sent + self.rules.permit + self.rules.drift);
        if until.is_none_or(|until| at > until) {
            let since = sent.map_or("never".to_owned(), |sent| format!("at {} s", seconds(sent)));
            self.violated(
                Invariant::ActsWithoutPermit,
                at,
                format!("{who} acts; its last renewal that took effect was sent {since}"),
            );
        }
    }

    /// A call passed its check. It is under way until its reply, or until T later. [`Self::could_act`] checks whether
    /// its caller was allowed to make it.
    pub fn call_begins(&mut self, call: CallFact) {
        let (drift, ends) = (self.rules.drift, call.at + self.rules.call);
        let others = self.under_way.entry(call.slot).or_default();
        others.retain(|other| other.ends > call.at);
        let clash = others.iter().find(|other| other.who != call.who && other.ends > call.at + drift);
        let clash = clash.map(|other| {
            format!(
                "slot {}: {:?} of {} while {:?} of {}, begun at {} s, may be under way until {} s",
                call.slot,
                call.verb,
                call.who,
                other.verb,
                other.who,
                seconds(other.begun),
                seconds(other.ends)
            )
        });
        let CallFact { id, who, verb, at, .. } = call;
        others.push(UnderWay { id, who, verb, begun: at, ends });
        if let Some(what) = clash {
            self.violated(Invariant::CallsOverlap, at, what);
        }
    }

    /// A call got its reply.
    pub fn call_over(&mut self, slot: u32, id: u64, at: Micros) {
        let calls = self.under_way.get_mut(&slot).into_iter().flatten();
        for call in calls.filter(|call| call.id == id) {
            call.ends = call.ends.min(at);
        }
    }

    /// An incarnation has ended. It says that all its calls have ended, too.
    pub fn incarnation_ended(&mut self, who: &Arc<str>, at: Micros) {
        let drift = self.rules.drift;
        let calls = self.under_way.values().flatten();
        let running = calls.filter(|call| call.who == *who).find(|call| call.ends > at + drift);
        if let Some(call) = running {
            let (verb, ends) = (call.verb, seconds(call.ends));
            let what = format!("{who} has ended; its {verb:?} may be under way until {ends} s");
            self.violated(Invariant::EndsWithCalls, at, what);
        }
    }

    /// A call was sent to a machine.
    pub fn sent_to(&mut self, machine: &Arc<str>, verb: Verb, at: Micros) {
        let times = self.sent.entry((machine.clone(), verb)).or_default();
        times.push_back(at);
        times.retain(|time| at - time < MINUTE);
        if times.len() > self.rules.calls_per_minute {
            let what = format!("{} calls to {verb:?} {machine} within a minute", times.len());
            self.violated(Invariant::TooManyCalls, at, what);
        }
    }

    /// A Booking's status was written at wall time `now`. `others` are the Bookings of the same Resource.
    pub fn booking_written<'a>(
        &mut self,
        before: &Booking,
        after: &Booking,
        others: impl Iterator<Item = &'a Booking>,
        now: Timestamp,
        at: Micros,
    ) {
        let name = after.metadata.name.as_deref().unwrap_or_default();
        if seen_spec(before) == seen_spec(after) && rank(after) < rank(before) {
            self.violated(
                Invariant::StateWentBack,
                at,
                format!("{name} from {} to {}", rank(before), rank(after)),
            );
        }
        // Another process may drop a window that is over, or nearly over by its own clock.
        let soon = later(now, self.rules.clock);
        let rest = |window: Window| Window::new(window.from.max(soon), window.until);
        let owed = granted(before).zip(asked(after)).and_then(|(granted, asked)| granted.intersection(asked));
        let given = granted(after);
        if let Some(owed) = owed.and_then(rest)
            && !given.is_some_and(|given| given.intersection(owed) == Some(owed))
        {
            let text = |window: Window| format!("{} to {}", window.from, window.until);
            let given = given.map_or("nothing".to_owned(), text);
            self.violated(
                Invariant::GrantTakenAway,
                at,
                format!("{name} was granted {}, now {given}", text(owed)),
            );
        }
        let Some(given) = given.and_then(rest) else { return };
        for other in others.filter(|other| other.spec.user_id != after.spec.user_id) {
            let theirs = granted(other)
                .zip(asked(other))
                .and_then(|(granted, asked)| granted.intersection(asked))
                .and_then(rest);
            if theirs.is_some_and(|theirs| theirs.overlaps(given)) {
                let other = other.metadata.name.as_deref().unwrap_or_default();
                self.violated(
                    Invariant::GrantsOverlap,
                    at,
                    format!("{name} is granted time that {other} has"),
                );
            }
        }
    }

    /// A stop starts at wall time `now`. `bookings` are those of its group as they are stored.
    pub fn stop_begins<'a>(
        &mut self,
        who: &str,
        bookings: impl Iterator<Item = &'a Booking>,
        now: Timestamp,
        at: Micros,
    ) {
        for booking in bookings.filter(|booking| booking.metadata.deletion_timestamp.is_none()) {
            if in_use(booking, now, self.rules.clock, self.rules.clock) {
                let name = booking.metadata.name.as_deref().unwrap_or_default();
                self.violated(Invariant::StoppedWhileBooked, at, format!("{who} stops what {name} holds"));
            }
        }
    }
}

impl Default for Rules {
    /// The rules for the ring's default durations.
    fn default() -> Self {
        Self {
            permit: 8 * SECOND,
            call: 4 * SECOND,
            drift: SECOND / 100,
            clock: 5 * SECOND / 2,
            calls_per_minute: 20,
        }
    }
}
