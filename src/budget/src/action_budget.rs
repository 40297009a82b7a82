//! The budget of one action at one cloud. It says which requests go now, in which calls, and when the others may go.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use booking_decision::impossible;

use crate::{
    bucket::{ALMOST, Bucket},
    forecast::{Expected, Forecast},
    limits::Limits,
    priority::Priority,
    queue::Queue,
};

/// The most machines of a call: `CreateTags` takes 1,000; EC2 documents no limit for starts and stops.
pub const MACHINES_PER_CALL: usize = 1000;
/// A request for more machines than a bucket can ever hold goes in parts. Each part waits until the bucket is full to
/// this part.
const NEARLY_FULL: f64 = 0.9;
/// Throttled calls no further apart than this count as one.
const SAME_MOMENT: Duration = Duration::from_secs(1);
/// Throttled calls no further apart than this have the same cause.
const SOON: Duration = Duration::from_secs(10);

/// A request for tokens.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The requester. A second request of the same asker replaces the first.
    pub asker: Arc<str>,
    /// Where the request stands among others.
    pub priority: Priority,
    /// The number of its machines.
    pub machines: usize,
    /// Requests of the same kind can share a call.
    pub kind: usize,
}

/// The answer to an [`Ask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request goes now, for this many of its machines: for all, unless a bucket cannot hold as many.
    Go(usize),
    /// The request can presumably go after this time.
    Wait(Duration),
}

/// The budget of one action at one cloud.
#[derive(Clone, Debug)]
pub struct ActionBudget {
    calls: Option<Bucket>,
    machines: Option<Bucket>,
    queue: Queue,
    forecast: Forecast,
    /// When the cloud last throttled a call.
    throttled: Option<Instant>,
}

/// The tokens that remain while requests are judged. Tokens are reserved for earlier requests that cannot go yet.
struct Remaining {
    calls: f64,
    machines: f64,
    reserved_calls: f64,
    reserved_machines: f64,
    /// An earlier request cannot go yet, so no later one may.
    is_blocked: bool,
    /// The calls that are made now.
    taken_calls: f64,
    /// The machines that still fit into the last call of each kind.
    room: BTreeMap<usize, usize>,
}

impl ActionBudget {
    /// A budget with full buckets that belong to this replica alone.
    pub fn new(limits: Limits, now: Instant) -> Self {
        Self {
            calls: limits.calls.map(|rate| Bucket::of_calls(rate, now)),
            machines: limits.machines.map(|rate| Bucket::full(rate, now)),
            queue: Queue::default(),
            forecast: Forecast::new(now),
            throttled: None,
        }
    }

    /// Judges all requests that are pending now. The verdicts stand in the order of `asks`.
    pub fn admit(&mut self, asks: &[Ask], now: Instant) -> Vec<Verdict> {
        self.queue.expire(now);
        for ask in asks {
            self.queue.add(&ask.asker, &ask.priority, ask.machines, now);
            self.forecast.remove(&ask.asker);
        }
        let by_asker: BTreeMap<&str, usize> =
            asks.iter().enumerate().map(|(index, ask)| (&*ask.asker, index)).collect();
        let mut remaining = self.remaining(now);
        let mut verdicts = vec![Verdict::Wait(Duration::ZERO); asks.len()];
        for entry in self.queue.in_order() {
            let Some(index) = by_asker.get(&*entry.asker) else {
                self.reserve(&mut remaining, entry.machines);
                continue;
            };
            match (asks.get(*index), verdicts.get_mut(*index)) {
                (Some(ask), Some(verdict)) => *verdict = self.judge(ask, &mut remaining, now),
                _ => impossible("budget.verdict"),
            }
        }
        self.settle(asks, &verdicts, &remaining, now);
        verdicts
    }

    fn remaining(&mut self, now: Instant) -> Remaining {
        let level = |bucket: &mut Option<Bucket>| bucket.as_mut().map_or(f64::INFINITY, |it| it.level(now));
        Remaining {
            calls: level(&mut self.calls),
            machines: level(&mut self.machines),
            reserved_calls: 0.0,
            reserved_machines: 0.0,
            is_blocked: false,
            taken_calls: 0.0,
            room: BTreeMap::new(),
        }
    }

    /// Reserves tokens for a request that was told to come later and has not come yet.
    fn reserve(&self, remaining: &mut Remaining, machines: usize) {
        if self.machines.is_some() {
            remaining.reserved_machines += count(machines);
            // Such requests share a call.
            remaining.reserved_calls = remaining.reserved_calls.max(1.0);
        } else {
            remaining.reserved_calls += 1.0;
        }
        remaining.is_blocked |=
            remaining.reserved_machines > remaining.machines || remaining.reserved_calls > remaining.calls;
    }

    fn judge(&self, ask: &Ask, remaining: &mut Remaining, now: Instant) -> Verdict {
        let room = remaining.room.get(&ask.kind).copied().unwrap_or_default();
        let calls = if room >= ask.machines { 0.0 } else { 1.0 };
        let capacity = self.machines.as_ref().map_or(f64::INFINITY, Bucket::capacity);
        let wanted = count(ask.machines);
        let free = remaining.machines - remaining.reserved_machines + ALMOST;
        let part = if wanted <= capacity {
            (free >= wanted).then_some(ask.machines)
        } else {
            (free >= capacity * NEARLY_FULL && free >= 1.0).then(|| whole(free, ask.machines))
        };
        let may_call = remaining.calls - remaining.reserved_calls + ALMOST >= calls;
        if let Some(machines) = part.filter(|_| !remaining.is_blocked && may_call) {
            remaining.calls -= calls;
            remaining.taken_calls += calls;
            remaining.machines -= count(machines);
            let room = if calls > 0.0 { MACHINES_PER_CALL } else { room };
            remaining.room.insert(ask.kind, room.saturating_sub(machines));
            return Verdict::Go(machines);
        }
        remaining.is_blocked = true;
        // A request for more machines than fit goes in parts.
        remaining.reserved_machines += wanted.min((capacity * NEARLY_FULL).max(1.0));
        // Requests that wait for machines share the call that is made then.
        remaining.reserved_calls = if self.machines.is_some() { 1.0 } else { remaining.reserved_calls + 1.0 };
        let wait = |bucket: &Option<Bucket>, missing: f64| {
            bucket.as_ref().map_or(Duration::ZERO, |bucket| bucket.time_for(missing, now))
        };
        let machines = wait(&self.machines, remaining.reserved_machines - remaining.machines);
        Verdict::Wait(machines.max(wait(&self.calls, remaining.reserved_calls - remaining.calls)))
    }

    /// Takes the tokens of the requests that go, and keeps the entries of those that wait.
    fn settle(&mut self, asks: &[Ask], verdicts: &[Verdict], remaining: &Remaining, now: Instant) {
        let mut gone = BTreeSet::new();
        let mut machines = 0;
        for (ask, verdict) in asks.iter().zip(verdicts) {
            match verdict {
                Verdict::Go(part) => {
                    machines += part;
                    if *part == ask.machines {
                        gone.insert(&*ask.asker);
                    } else {
                        self.queue.keep(&ask.asker, ask.machines - part, now);
                    }
                }
                Verdict::Wait(wait) => {
                    let at = now.checked_add(*wait).unwrap_or(now);
                    self.queue.keep(&ask.asker, ask.machines, at);
                }
            }
        }
        self.queue.remove_all(&gone);
        if let Some(bucket) = &mut self.machines {
            bucket.take(count(machines), now);
        }
        if let Some(bucket) = &mut self.calls {
            bucket.take(remaining.taken_calls, now);
        }
    }

    /// The cloud has throttled a call. Calls that are throttled at the same moment count as one. The machines count as
    /// used up only if the cloud throttles again although the calls have slowed down.
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

    /// Changes this replica's share of the buckets, see [`Bucket::set_share`].
    pub fn set_share(&mut self, share: f64, others_fill: f64, now: Instant) {
        for bucket in [&mut self.calls, &mut self.machines].into_iter().flatten() {
            bucket.set_share(share, others_fill, now);
        }
    }

    /// How full the emptier of the two buckets is, from 0 to 1.
    pub fn fill(&mut self, now: Instant) -> f64 {
        let buckets = [&mut self.calls, &mut self.machines].into_iter().flatten();
        buckets.map(|bucket| bucket.fill(now)).fold(1.0, f64::min)
    }

    /// Announces a request that will come soon.
    pub fn expect(&mut self, asker: &Arc<str>, expected: Expected) {
        self.forecast.add(asker, expected);
    }

    /// The announced request of an asker will not come.
    pub fn unexpect(&mut self, asker: &str) {
        self.forecast.remove(asker);
    }

    /// Whether the announced requests need more calls than a full bucket has tokens for.
    pub fn expects_many(&mut self, now: Instant) -> bool {
        self.forecast.prune(now);
        self.calls.as_ref().is_some_and(|calls| count(self.forecast.kinds()) > calls.capacity())
    }

    /// The asker needs nothing any more.
    pub fn withdraw(&mut self, asker: &str) {
        self.queue.remove(asker);
        self.forecast.remove(asker);
    }

    /// The machines that wait for tokens, or are announced. If machines cost nothing, it counts the calls that wait.
    /// Calls for something that is not due yet do not count, because they can wait.
    pub fn demand(&mut self, now: Instant) -> usize {
        self.queue.expire(now);
        self.forecast.prune(now);
        if self.machines.is_some() {
            self.queue.machines() + self.forecast.machines()
        } else {
            self.queue.pressing()
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
