//! One token bucket, as we think that it stands at the cloud, and our share of it.

use std::time::Duration;

use tokio::time::Instant;

/// A bucket: how many tokens it holds, and how many come back each second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Tokens of a full bucket.
    pub size: f64,
    /// Tokens per second.
    pub refill: f64,
}

impl Rate {
    /// A bucket of so many tokens that gets so many per second.
    pub const fn new(size: u32, refill: u32) -> Self {
        // From<u32> is not const.
        Self { size: size as f64, refill: refill as f64 }
    }
}

/// How much slower we go after the cloud has said that we are too fast: others use the same account.
const SLOWED: f64 = 0.5;
/// The slowest, of our share.
const SLOWEST: f64 = 1.0 / 16.0;
/// How long until half of a slowing is taken back.
const RECOVERY: Duration = Duration::from_secs(30);
/// A bucket that was full refills at the cloud from when our call arrives there, which we do not see: it is counted from so
/// long after it was sent.
pub(crate) const ARRIVES_WITHIN: Duration = Duration::from_millis(250);
/// Of a bucket of many small calls so much is left alone: parts that replicas have of it add up to a little more than the whole
/// while they change.
const SPARE: f64 = 0.02;
/// What counts as many.
const MANY: f64 = 50.0;
/// Counts of fractions are not exact: so little short of a token is one.
const ALMOST: f64 = 1e-6;

/// See the module.
#[derive(Clone, Debug)]
pub struct Bucket {
    rate: Rate,
    /// Which part of the bucket is ours, more than 0, at most 1.
    share: f64,
    /// Which part of our share we use.
    pace: f64,
    level: f64,
    /// As of when. A while ahead of what was sent last: see [`ARRIVES_WITHIN`].
    at: Instant,
}

impl Bucket {
    /// A full bucket, all ours.
    pub fn full(rate: Rate, now: Instant) -> Self {
        Self { rate, share: 1.0, pace: 1.0, level: rate.size, at: now }
    }

    /// A full bucket of calls, of which a little is left alone if there are many.
    pub fn of_calls(rate: Rate, now: Instant) -> Self {
        let spare = if rate.size >= MANY { rate.size * SPARE } else { 0.0 };
        Self::full(Rate { size: rate.size - spare, ..rate }, now)
    }

    /// The most that it can hold for us.
    pub fn capacity(&self) -> f64 {
        (self.rate.size * self.share).max(1.0)
    }

    /// Tokens per second.
    pub fn refill(&self) -> f64 {
        self.rate.refill * self.share * self.pace
    }

    /// The tokens there are.
    pub fn level(&mut self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at);
        if now > self.at {
            self.level = (self.level + self.refill() * passed.as_secs_f64()).min(self.capacity());
            let recovered = 0.5_f64.powf(passed.as_secs_f64() / RECOVERY.as_secs_f64());
            self.pace = 1.0 - (1.0 - self.pace) * recovered;
            self.at = now;
        }
        self.level
    }

    /// Takes tokens, if there are as many.
    pub fn take(&mut self, tokens: f64, now: Instant) -> bool {
        let enough = self.level(now) + ALMOST >= tokens;
        if enough && tokens > 0.0 {
            if self.level + ALMOST >= self.capacity() {
                self.at = now + ARRIVES_WITHIN;
            }
            self.level = (self.level - tokens).max(0.0);
        }
        enough
    }

    /// How long it takes to get so many tokens more.
    pub fn time_for(&self, tokens: f64, now: Instant) -> Duration {
        if tokens <= ALMOST {
            return Duration::ZERO;
        }
        let refill = Duration::try_from_secs_f64(tokens / self.refill()).unwrap_or(Duration::MAX);
        // Whoever has to wait though it is full waits for those who take from it now.
        let is_full = self.level + ALMOST >= self.capacity();
        let begins = if is_full { ARRIVES_WITHIN } else { self.at.saturating_duration_since(now) };
        refill.saturating_add(begins)
    }

    /// Another part of the bucket is ours from now on. What is taken from us we have no more; of what is given to us as much
    /// is there as others say: `others_fill` is how full their parts are, of 1.
    pub fn set_share(&mut self, share: f64, others_fill: f64, now: Instant) {
        let level = self.level(now);
        let share = share.clamp(f64::MIN_POSITIVE, 1.0);
        self.level = if share < self.share {
            // A token is left to begin with, should something fall due.
            (level * share / self.share).max(level.min(1.0))
        } else {
            level + (share - self.share) * self.rate.size * others_fill.clamp(0.0, 1.0)
        };
        self.share = share;
        self.level = self.level.min(self.capacity());
    }

    /// How full our part is, of 1.
    pub fn fill(&mut self, now: Instant) -> f64 {
        self.level(now) / self.capacity()
    }

    /// The cloud said that we are too fast, though there should have been tokens.
    pub fn throttled(&mut self, now: Instant) {
        self.level(now);
        self.level = 0.0;
        self.pace = (self.pace * SLOWED).max(SLOWEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(size: u32, refill: u32) -> (Bucket, Instant) {
        let now = Instant::now();
        (Bucket::full(Rate::new(size, refill), now), now)
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_bursts_to_its_size_and_refills_at_its_rate() {
        let (mut bucket, now) = bucket(5, 2);
        assert_eq!((0..10).filter(|_| bucket.take(1.0, now)).count(), 5);
        assert_eq!(bucket.time_for(1.0, now), ARRIVES_WITHIN + SECOND / 2);
        let later = now + ARRIVES_WITHIN + SECOND;
        assert_eq!((0..10).filter(|_| bucket.take(1.0, later)).count(), 2);
        assert!((bucket.level(now + SECOND * 100) - 5.0).abs() < ALMOST);
    }

    #[test]
    fn a_bucket_of_many_calls_leaves_a_little_alone_and_one_of_few_does_not() {
        let now = Instant::now();
        for (size, expected) in [(5, 5), (100, 98)] {
            let mut bucket = Bucket::of_calls(Rate::new(size, 2), now);
            assert_eq!((0..1000).filter(|_| bucket.take(1.0, now)).count(), expected);
        }
    }

    #[test]
    fn fractions_add_up_however_often_it_is_looked_at() {
        let (mut bucket, now) = bucket(5, 2);
        while bucket.take(1.0, now) {}
        let now = now + ARRIVES_WITHIN;
        let taken = (1..=1000_u32).filter(|n| bucket.take(1.0, now + SECOND / 100 * *n)).count();
        assert_eq!(taken, 20);
    }

    #[test]
    fn tokens_that_change_hands_are_neither_made_nor_lost() {
        let (mut bucket, now) = bucket(1000, 2);
        bucket.set_share(0.25, 1.0, now);
        assert!((bucket.level(now) - 250.0).abs() < ALMOST);
        // when others give of a full part, or of a spent one
        bucket.set_share(0.35, 1.0, now);
        assert!((bucket.level(now) - 350.0).abs() < ALMOST);
        bucket.set_share(0.85, 0.0, now);
        assert!((bucket.level(now) - 350.0).abs() < ALMOST);
        assert!((bucket.level(now + SECOND * 10) - 367.0).abs() < ALMOST);
        assert!((bucket.fill(now + SECOND * 10) - 367.0 / 850.0).abs() < ALMOST);
    }

    #[test]
    fn a_share_of_less_than_a_token_still_comes_to_one() {
        let (mut bucket, now) = bucket(5, 2);
        bucket.set_share(0.1, 1.0, now);
        assert!(bucket.take(1.0, now) && !bucket.take(1.0, now));
        assert!(bucket.take(1.0, now + ARRIVES_WITHIN + SECOND * 5));
    }

    #[test]
    fn throttling_empties_it_and_slows_it_down_for_a_while() {
        let (mut bucket, now) = bucket(100, 10);
        bucket.throttled(now);
        assert!(!bucket.take(1.0, now));
        let half = bucket.time_for(1.0, now);
        assert!(half > SECOND / 6, "{half:?}");
        for _ in 0..20 {
            bucket.throttled(now);
        }
        assert!(bucket.time_for(1.0, now) <= SECOND * 2, "never slower than a sixteenth");
        let later = now + SECOND * 600;
        bucket.level(later);
        assert!((bucket.refill() - 10.0).abs() < 0.01, "{}", bucket.refill());
    }

    #[test]
    fn a_clock_that_stands_or_goes_back_gives_nothing() {
        let (mut bucket, now) = bucket(5, 2);
        let later = now + SECOND;
        while bucket.take(1.0, later) {}
        assert!(!bucket.take(1.0, now));
    }
}
