//! One token bucket as it presumably stands at the cloud, and this replica's share of it.

use std::time::{Duration, Instant};

/// The size of a bucket, and its refill.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Tokens of a full bucket.
    pub size: f64,
    /// Tokens per second.
    pub refill: f64,
}

impl Rate {
    /// A bucket of `size` tokens that gets `refill` tokens per second.
    pub const fn new(size: u32, refill: u32) -> Self {
        // From<u32> is not const.
        Self { size: size as f64, refill: refill as f64 }
    }
}

/// The pace is multiplied by this when the cloud throttles a call, because others use the same account.
const SLOWED: f64 = 0.5;
/// The slowest pace.
const SLOWEST: f64 = 1.0 / 16.0;
/// After this time half of a slowdown is gone.
const RECOVERY: Duration = Duration::from_secs(30);
/// The cloud refills a full bucket from the moment at which a call arrives there. The operator does not see that
/// moment, so the refill is counted from this long after the call was sent.
pub(crate) const ARRIVES_WITHIN: Duration = Duration::from_millis(250);
/// This part of a bucket of many calls is never used, because the shares of all replicas add up to a little more than
/// the whole while they change.
const SPARE: f64 = 0.02;
/// A bucket of at least this many calls is one of many calls.
const MANY: f64 = 50.0;
/// Sums of fractions are not exact: a level that is short of a whole token by less than this counts as whole.
pub(crate) const ALMOST: f64 = 1e-6;

/// One token bucket as it presumably stands at the cloud, and this replica's share of it.
#[derive(Clone, Debug)]
pub struct Bucket {
    rate: Rate,
    /// This replica's part of the bucket: more than 0, at most 1.
    share: f64,
    /// The part of the share's refill that is used: less than 1 after the cloud has throttled.
    pace: f64,
    level: f64,
    /// The time of `level`. It lies ahead after a take from a full bucket, see [`ARRIVES_WITHIN`].
    at: Instant,
}

impl Bucket {
    /// A full bucket that belongs to this replica alone.
    pub fn full(rate: Rate, now: Instant) -> Self {
        Self { rate, share: 1.0, pace: 1.0, level: rate.size, at: now }
    }

    /// A full bucket of calls. If it holds many, a few of them are never used.
    pub fn of_calls(rate: Rate, now: Instant) -> Self {
        let spare = if rate.size >= MANY { rate.size * SPARE } else { 0.0 };
        Self::full(Rate { size: rate.size - spare, ..rate }, now)
    }

    /// The most tokens that this replica's share can hold.
    pub fn capacity(&self) -> f64 {
        (self.rate.size * self.share).max(1.0)
    }

    /// Tokens per second.
    pub fn refill(&self) -> f64 {
        self.rate.refill * self.share * self.pace
    }

    /// The tokens in the bucket.
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

    /// Takes `tokens`. If there are fewer, nothing is taken and the answer is false.
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

    /// The time until the bucket has got `tokens` more.
    pub fn time_for(&self, tokens: f64, now: Instant) -> Duration {
        if tokens <= ALMOST {
            return Duration::ZERO;
        }
        let refill = Duration::try_from_secs_f64(tokens / self.refill()).unwrap_or(Duration::MAX);
        // If the bucket is full and a request still has to wait, others take the tokens at this moment. The refill
        // begins when their call arrives.
        let is_full = self.level + ALMOST >= self.capacity();
        let begins = if is_full { ARRIVES_WITHIN } else { self.at.saturating_duration_since(now) };
        refill.saturating_add(begins)
    }

    /// Changes this replica's share. A smaller share holds fewer tokens. A larger share gains the tokens that the
    /// other replicas have reported: `others_fill` tells how full their shares are, from 0 to 1.
    pub fn set_share(&mut self, share: f64, others_fill: f64, now: Instant) {
        let level = self.level(now);
        let share = share.clamp(f64::MIN_POSITIVE, 1.0);
        self.level = if share < self.share {
            // One token stays, so that a request that falls due can be sent at once.
            (level * share / self.share).max(level.min(1.0))
        } else {
            level + (share - self.share) * self.rate.size * others_fill.clamp(0.0, 1.0)
        };
        self.share = share;
        self.level = self.level.min(self.capacity());
    }

    /// How full this replica's share is, from 0 to 1.
    pub fn fill(&mut self, now: Instant) -> f64 {
        self.level(now) / self.capacity()
    }

    /// The cloud has throttled a call although the bucket should have had tokens: the bucket counts as empty, and it
    /// refills more slowly for a while.
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
    fn fractions_add_up_however_often_the_level_is_read() {
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
        // when others give from a full share, or from an empty one
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
        assert!(bucket.time_for(1.0, now) <= SECOND * 2, "it is never slower than a sixteenth");
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
