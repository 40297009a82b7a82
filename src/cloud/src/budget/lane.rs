//! One action at one cloud: who may go now, in which calls, and when the others may.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    bucket::Bucket,
    limits::Limits,
    turns::{Turn, Turns},
};

/// Most machines of a call: `CreateTags` takes 1,000; of starts and stops no limit is documented.
pub const MACHINES_PER_CALL: usize = 1000;
/// A request for more machines than a bucket can ever hold goes in parts, each as large as this part of the bucket.
const NEARLY_FULL: f64 = 0.9;
const ALMOST: f64 = 1e-6;
/// Refusals no further apart than this are of one moment.
const SAME_MOMENT: Duration = Duration::from_secs(1);
/// Refusals no further apart than this have the same cause.
const SOON: Duration = Duration::from_secs(10);

/// What somebody wants.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Where it stands among others.
    pub turn: Turn,
    /// Machines.
    pub machines: usize,
    /// Requests of the same kind can share a call.
    pub kind: usize,
}

/// What an [`Ask`] gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes now, for so many of its machines: all, unless a bucket cannot hold as many.
    Go(usize),
    /// Its turn is expected after so long.
    Wait(Duration),
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Lane {
    calls: Option<Bucket>,
    machines: Option<Bucket>,
    turns: Turns,
    /// What will be asked for soon, by whom.
    expected: Expectations,
    throttled: Option<Instant>,
}

/// What somebody will ask for soon.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Machines.
    pub machines: usize,
    /// Requests of the same kind can share a call.
    pub kind: Arc<str>,
    /// When it is not expected any more.
    pub until: Instant,
}

/// Who expects what.
#[derive(Clone, Debug)]
struct Expectations {
    by_asker: HashMap<Arc<str>, Expected>,
    /// How many expect each kind.
    kinds: HashMap<Arc<str>, usize>,
    pruned: Instant,
}

/// What is not expected any more is looked for no more often than this.
const PRUNE: Duration = Duration::from_secs(1);

impl Expectations {
    fn new(now: Instant) -> Self {
        Self { by_asker: HashMap::new(), kinds: HashMap::new(), pruned: now }
    }

    fn add(&mut self, asker: &Arc<str>, expected: Expected) {
        self.remove(asker);
        *self.kinds.entry(expected.kind.clone()).or_default() += 1;
        self.by_asker.insert(asker.clone(), expected);
    }

    fn remove(&mut self, asker: &str) {
        let Some(Expected { kind, .. }) = self.by_asker.remove(asker) else { return };
        if let Some(count) = self.kinds.get_mut(&kind) {
            *count -= 1;
            if *count == 0 {
                self.kinds.remove(&kind);
            }
        }
    }

    fn prune(&mut self, now: Instant) {
        if now.saturating_duration_since(self.pruned) < PRUNE {
            return;
        }
        self.pruned = now;
        let over = self.by_asker.iter().filter(|(_, expected)| expected.until <= now);
        for asker in over.map(|(asker, _)| asker.clone()).collect::<Vec<_>>() {
            self.remove(&asker);
        }
    }
}

/// What is left of two buckets while requests are judged, and what of it those before need who do not go now.
struct Left {
    calls: f64,
    machines: f64,
    behind_calls: f64,
    behind_machines: f64,
    is_blocked: bool,
    /// Calls that are made now.
    taken_calls: f64,
    /// Room in the last call of each kind.
    room: HashMap<usize, usize>,
}

impl Lane {
    /// Full buckets, all ours.
    pub fn new(limits: Limits, now: Instant) -> Self {
        let full = |rate| Bucket::full(rate, now);
        Self {
            calls: limits.calls.map(|rate| Bucket::of_calls(rate, now)),
            machines: limits.machines.map(full),
            turns: Turns::default(),
            expected: Expectations::new(now),
            throttled: None,
        }
    }

    /// Judges all that is asked for now. One verdict for each, in the order given.
    pub fn admit(&mut self, asks: &[Ask], now: Instant) -> Vec<Verdict> {
        self.turns.leave(&[], now);
        for ask in asks {
            self.turns.ask(&ask.turn, ask.machines, now);
            self.expected.remove(&ask.turn.asker);
        }
        let by_asker: HashMap<&str, usize> =
            asks.iter().enumerate().map(|(place, ask)| (&*ask.turn.asker, place)).collect();
        let mut left = self.left(now);
        let mut verdicts = vec![Verdict::Wait(Duration::ZERO); asks.len()];
        for place in self.turns.clone().in_order() {
            let Some(index) = by_asker.get(&*place.asker) else {
                self.reserve(&mut left, place.machines);
                continue;
            };
            if let (Some(ask), Some(verdict)) = (asks.get(*index), verdicts.get_mut(*index)) {
                *verdict = self.judge(ask, &mut left, now);
            }
        }
        self.settle(asks, &verdicts, &left, now);
        verdicts
    }

    fn left(&mut self, now: Instant) -> Left {
        let level = |bucket: &mut Option<Bucket>| bucket.as_mut().map_or(f64::INFINITY, |it| it.level(now));
        Left {
            calls: level(&mut self.calls),
            machines: level(&mut self.machines),
            behind_calls: 0.0,
            behind_machines: 0.0,
            is_blocked: false,
            taken_calls: 0.0,
            room: HashMap::new(),
        }
    }

    /// Keeps what somebody needs who was told to come later, and has not yet.
    fn reserve(&self, left: &mut Left, machines: usize) {
        if self.machines.is_some() {
            left.behind_machines += count(machines);
            // They share a call.
            left.behind_calls = left.behind_calls.max(1.0);
        } else {
            left.behind_calls += 1.0;
        }
        left.is_blocked |= left.behind_machines > left.machines || left.behind_calls > left.calls;
    }

    fn judge(&self, ask: &Ask, left: &mut Left, now: Instant) -> Verdict {
        let room = left.room.get(&ask.kind).copied().unwrap_or_default();
        let calls = if room >= ask.machines { 0.0 } else { 1.0 };
        let capacity = self.machines.as_ref().map_or(f64::INFINITY, Bucket::capacity);
        let wanted = count(ask.machines);
        let free = left.machines - left.behind_machines + ALMOST;
        let part = if wanted <= capacity {
            (free >= wanted).then_some(ask.machines)
        } else {
            (free >= capacity * NEARLY_FULL && free >= 1.0).then(|| whole(free, ask.machines))
        };
        let may_call = left.calls - left.behind_calls + ALMOST >= calls;
        if let Some(machines) = part.filter(|_| !left.is_blocked && may_call) {
            left.calls -= calls;
            left.taken_calls += calls;
            left.machines -= count(machines);
            let room = if calls > 0.0 { MACHINES_PER_CALL } else { room };
            left.room.insert(ask.kind, room.saturating_sub(machines));
            return Verdict::Go(machines);
        }
        left.is_blocked = true;
        // More than fits goes in parts.
        left.behind_machines += wanted.min((capacity * NEARLY_FULL).max(1.0));
        // Who waits for machines shares the call that comes then.
        left.behind_calls = if self.machines.is_some() { 1.0 } else { left.behind_calls + 1.0 };
        let wait = |bucket: &Option<Bucket>, missing: f64| {
            bucket.as_ref().map_or(Duration::ZERO, |bucket| bucket.time_for(missing, now))
        };
        let machines = wait(&self.machines, left.behind_machines - left.machines);
        Verdict::Wait(machines.max(wait(&self.calls, left.behind_calls - left.calls)))
    }

    /// Takes what was given, and keeps the places of those who wait.
    fn settle(&mut self, asks: &[Ask], verdicts: &[Verdict], left: &Left, now: Instant) {
        let mut gone = Vec::new();
        let mut machines = 0;
        for (ask, verdict) in asks.iter().zip(verdicts) {
            match verdict {
                Verdict::Go(part) => {
                    machines += part;
                    if *part == ask.machines {
                        gone.push(ask.turn.asker.clone());
                    } else {
                        self.turns.keep(&ask.turn.asker, ask.machines - part, now);
                    }
                }
                Verdict::Wait(wait) => {
                    let at = now.checked_add(*wait).unwrap_or(now);
                    self.turns.keep(&ask.turn.asker, ask.machines, at);
                }
            }
        }
        self.turns.leave(&gone, now);
        if let Some(bucket) = &mut self.machines {
            bucket.take(count(machines), now);
        }
        if let Some(bucket) = &mut self.calls {
            bucket.take(left.taken_calls, now);
        }
    }

    /// The cloud said that we are too fast. Calls of one moment are told so together; machines are thought to be used up only
    /// if it says so again though we called more slowly.
    pub fn throttled(&mut self, now: Instant) {
        let last = self.throttled.replace(now).map(|last| now.saturating_duration_since(last));
        if last.is_some_and(|last| last < SAME_MOMENT) {
            return;
        }
        if let Some(calls) = &mut self.calls {
            calls.throttled(now);
        }
        let again = self.calls.is_none() || last.is_some_and(|last| last < SOON);
        if let Some(machines) = self.machines.as_mut().filter(|_| again) {
            machines.throttled(now);
        }
    }

    /// Another part of the buckets is ours; how full others' are, see [`Bucket::set_share`].
    pub fn set_share(&mut self, share: f64, others_fill: f64, now: Instant) {
        for bucket in [&mut self.calls, &mut self.machines].into_iter().flatten() {
            bucket.set_share(share, others_fill, now);
        }
    }

    /// How full the bucket is that runs out first, of 1.
    pub fn fill(&mut self, now: Instant) -> f64 {
        let buckets = [&mut self.calls, &mut self.machines].into_iter().flatten();
        buckets.map(|bucket| bucket.fill(now)).fold(1.0, f64::min)
    }

    /// Somebody will ask for something soon.
    pub fn expect(&mut self, asker: &Arc<str>, expected: Expected) {
        self.expected.add(asker, expected);
    }

    /// Somebody will not.
    pub fn unexpect(&mut self, asker: &str) {
        self.expected.remove(asker);
    }

    /// Whether more calls are expected than a full bucket has tokens for.
    pub fn expects_many(&mut self, now: Instant) -> bool {
        self.expected.prune(now);
        self.calls.as_ref().is_some_and(|calls| count(self.expected.kinds.len()) > calls.capacity())
    }

    /// Somebody wants nothing any more.
    pub fn withdraw(&mut self, asker: &str) {
        if !self.turns.is_empty() {
            self.turns.withdraw(asker);
        }
        self.expected.remove(asker);
    }

    /// Machines that wait for tokens, or will be asked for in a moment. Where machines cost nothing, calls that wait; those for
    /// which there is time take nothing from others.
    pub fn demand(&mut self, now: Instant) -> usize {
        self.turns.leave(&[], now);
        self.expected.prune(now);
        if self.machines.is_some() {
            let expected = self.expected.by_asker.values().map(|expected| expected.machines);
            self.turns.machines() + expected.sum::<usize>()
        } else {
            self.turns.pressing()
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "machines are fewer than 2^52")]
fn count(machines: usize) -> f64 {
    machines as f64
}

/// Whole tokens, at most as many as are wanted.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tokens are few and not negative")]
fn whole(tokens: f64, wanted: usize) -> usize {
    (tokens.floor().max(0.0) as usize).min(wanted)
}

#[cfg(test)]
mod tests;
