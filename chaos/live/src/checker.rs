//! The invariants of a history. They must hold under every fault.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    clock::At,
    history::{Call, History, KeyId, Owned, Verb, Window},
    kinds::{CALL, Kind},
};

/// How late a start or stop may be after it is due, and after the consequences of a fault are over. On an idle machine
/// it takes milliseconds.
pub(crate) const DUE_BOUND: Duration = Duration::from_secs(5);
/// A stop that was decided just before a window began may arrive this much later.
const CROSSING: Duration = Duration::from_millis(200);
/// How much later than its write a change of the ring object may be seen here.
const SEEN_LATE: Duration = Duration::from_secs(1);

/// The sort of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Breach {
    /// Two owners worked on one key.
    DoubleOwner,
    /// A start or stop that was due did not happen in time.
    Missed,
    /// A start without a booking, or a stop of a booked machine.
    Early,
    /// A call that was checked before a pause and sent after it. The ring does not promise that this never happens, so
    /// it is counted separately.
    LateInFlight,
}

/// A violation of an invariant.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    /// The sort of the finding.
    pub(crate) breach: Breach,
    /// When it happened.
    pub(crate) at: At,
    /// The last fault before it.
    pub(crate) kind: Option<Kind>,
    /// The description for people.
    pub(crate) text: String,
}

/// All findings, and the lateness of what happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    /// The findings.
    pub(crate) findings: Vec<Finding>,
    /// The lateness of starts and stops that no fault excuses.
    pub(crate) lateness: Vec<Duration>,
}

/// Checks a history.
pub(crate) fn check(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    let mut calls: BTreeMap<KeyId, Vec<&Call>> = BTreeMap::new();
    for call in history.calls.iter().filter(|call| call.mutates()) {
        calls.entry(call.key).or_default().push(call);
    }
    let none = Vec::new();
    for (key, windows) in &history.windows {
        let calls = calls.get(key).unwrap_or(&none);
        let checker = Checker { history, key: *key, windows, calls, verdict: &mut verdict };
        checker.run();
    }
    verdict.findings.sort_by_key(|finding| finding.at);
    verdict
}

struct Checker<'a> {
    history: &'a History,
    key: KeyId,
    windows: &'a [Window],
    calls: &'a [&'a Call],
    verdict: &'a mut Verdict,
}

impl Checker<'_> {
    fn run(mut self) {
        self.overlaps();
        self.strangers();
        self.early();
        self.missed();
    }

    /// Finds calls of two callers that overlap in time.
    fn overlaps(&mut self) {
        let ended = |call: &Call| call.completed.unwrap_or_else(|| call.arrived.plus(CALL));
        let mut running: Vec<&Call> = Vec::new();
        for call in self.calls.iter().copied() {
            running.retain(|earlier| call.arrived < ended(earlier));
            if let Some(other) = running.iter().find(|earlier| earlier.process != call.process) {
                let text = format!("call of {} while one of {} ran", call.process, other.process);
                self.found_in(Breach::DoubleOwner, call, &text);
            }
            running.push(call);
        }
    }

    /// Finds calls of processes that do not own the key's slot.
    fn strangers(&mut self) {
        let Some(slot) = self.history.slots.get(&self.key) else { return };
        let owned: Vec<&Owned> = self.history.owned.iter().filter(|owned| owned.slot == *slot).collect();
        // Before the first sight of the ring object there is nothing to compare with.
        let Some(first) = owned.first().map(|owned| owned.seen) else { return };
        for call in self.calls.iter().filter(|call| call.arrived >= first) {
            let until = self.sight(call.arrived.plus(SEEN_LATE));
            let before = owned.partition_point(|owned| owned.seen <= call.arrived).saturating_sub(1);
            let mut possible = owned.iter().skip(before).take_while(|owned| owned.seen <= until);
            if !possible.any(|owned| owned.pod == call.pod) {
                let named = owned.get(before).map_or("nobody", |owned| &owned.pod);
                let text = format!("{:?} of {}, but {named} owns it", call.verb, call.process);
                self.found_in(Breach::DoubleOwner, call, &text);
            }
        }
    }

    /// The latest time at which a change that existed at `at` must have been seen. It is later if nobody could look.
    fn sight(&self, at: At) -> At {
        let later = self.history.blind.iter().filter(|(from, until)| *from <= at && at <= *until);
        later.map(|(_, until)| *until).fold(at, At::max)
    }

    fn early(&mut self) {
        for call in self.calls.iter().filter(|call| call.took_effect) {
            let at = call.arrived;
            let (wrong, what) = match call.verb {
                Verb::Start => (!self.booked(at, Duration::ZERO, CALL), "started what nobody has booked"),
                Verb::Stop => (
                    self.booked(at.minus(CROSSING), Duration::ZERO, Duration::ZERO)
                        && self.booked(at, Duration::ZERO, Duration::ZERO),
                    "stopped what is booked",
                ),
                Verb::Describe | Verb::Tag => continue,
            };
            if wrong {
                self.found_in(Breach::Early, call, &format!("{} {what}", call.process));
            }
        }
    }

    /// Whether a window covers `at`, with these margins before its beginning and after its end.
    fn booked(&self, at: At, before: Duration, after: Duration) -> bool {
        self.windows.iter().any(|window| window.from.minus(before) <= at && at < window.to.plus(after))
    }

    /// Finds starts and stops that were due and did not happen in time.
    fn missed(&mut self) {
        for (index, window) in self.windows.iter().enumerate() {
            let next = self.windows.get(index + 1).map(|next| next.from);
            self.due(window.from, Some(window.to), Verb::Start);
            self.due(window.to, next, Verb::Stop);
        }
    }

    /// `until` is the time at which the opposite is due.
    fn due(&mut self, due: At, until: Option<At>, verb: Verb) {
        let by = self.excused(due);
        let ended = self.history.end.is_none_or(|end| by > end);
        if ended || until.is_some_and(|until| until <= by) {
            return;
        }
        let power = |call: &&&Call| call.took_effect && matches!(call.verb, Verb::Start | Verb::Stop);
        let last = self.calls.iter().take_while(|call| call.arrived <= by).filter(power).last();
        // Machines are stopped at the beginning.
        let state = last.map_or(Verb::Stop, |call| call.verb);
        if state != verb {
            let late = by.since(due).as_millis();
            self.found(Breach::Missed, due, &format!("no {verb:?} {late} ms after it was due"));
        } else if by == due.plus(DUE_BOUND) {
            let mut after = self.calls.iter().filter(power).filter(|call| call.arrived >= due);
            let call = after.find(|call| call.verb == verb && call.arrived <= by);
            self.verdict.lateness.extend(call.map(|call| call.arrived.since(due)));
        }
    }

    /// The time by which something due must have happened, with faults considered.
    fn excused(&self, due: At) -> At {
        let mut by = due.plus(DUE_BOUND);
        // The spans are in order, because the consequences of one fault may reach into the next one.
        for span in self.history.spans.iter().filter(|span| span.hits(self.key)) {
            if span.from <= by && due <= span.until.plus(DUE_BOUND) {
                by = by.max(span.until.plus(DUE_BOUND));
            }
        }
        by
    }

    /// Records a call that must not have happened. It counts as late in flight if its sender stood still between the
    /// check and the packet. Then the call was also signed before.
    fn found_in(&mut self, breach: Breach, call: &Call, text: &str) {
        let in_flight = self.history.pauses.iter().any(|pause| {
            pause.process == call.process
                && pause.resumed <= call.arrived
                && call.signed.is_some_and(|signed| signed <= pause.paused)
        });
        self.found(if in_flight { Breach::LateInFlight } else { breach }, call.arrived, text);
    }

    fn found(&mut self, breach: Breach, at: At, text: &str) {
        let before = self.history.spans.iter().take_while(|span| span.from <= at);
        let kind = before.last().map(|span| span.kind);
        let text = format!("{} key {}: {text}", at.timestamp(), self.key.0);
        self.verdict.findings.push(Finding { breach, at, kind, text });
    }
}

#[cfg(test)]
#[path = "checker_tests.rs"]
mod tests;
