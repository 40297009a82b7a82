//! Wall-clock time. Nothing else in this crate asks for it; timers and time-outs run on the monotonic
//! clock.
//!
//! Bookings are told in wall-clock time, so a machine whose clock is off would start and stop at the wrong
//! instants. Every answer of the API server carries its time in the `Date` header, to the second. Each
//! such answer bounds by how much that clock is ahead of this machine's boot-time clock; together they bound
//! it ever closer. While the local wall clock is within [`TOLERANCE`] of what they say, it is taken, being
//! finer; else the API server's time is taken, carried on by the boot-time clock, at its earliest: a booking
//! may then begin a second late, never early.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use booking_ring::kubernetes::clocks;
use jiff::{SignedDuration, Timestamp};
use kube::client::Body;
use tokio::{sync::watch, time::Instant};

/// How far the local wall clock may be from the API server's.
pub const TOLERANCE: SignedDuration = SignedDuration::from_secs(2);
/// A step back by more than this is followed: the time told before was wrong.
const HELD_AT_MOST: SignedDuration = SignedDuration::from_secs(5);
/// Longest wait for the beginning of an answer: the API server gives up its own work after a minute. A watch
/// begins to answer at once.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
/// The `Date` header counts whole seconds.
const RESOLUTION: SignedDuration = SignedDuration::from_secs(1);
/// What two clocks may drift apart: ten times what crystals do.
const DRIFT_PER_MILLION: i32 = 500;

/// Wall-clock time, and the way from an instant on it to a timer. Clones are the same clock.
#[derive(Clone, Debug, Default)]
pub struct Clock(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    bounds: Mutex<Option<Bounds>>,
    /// What was told last.
    last: Mutex<Option<Timestamp>>,
    /// By how much the local wall clock is off, while it is.
    skew: watch::Sender<Option<SignedDuration>>,
}

/// How much the API server's clock is ahead of this machine's boot-time clock, at least and at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    least: SignedDuration,
    most: SignedDuration,
    /// The boot-time clock when they were last true.
    at: SignedDuration,
}

impl Bounds {
    /// What one answer says: it was made between `sent` and `received`, when the server's clock showed
    /// the second that begins at `date`.
    fn of(date: Timestamp, sent: SignedDuration, received: SignedDuration) -> Self {
        let date = date.as_duration();
        Self { least: date - received, most: date + RESOLUTION - sent, at: received }
    }

    /// The same somewhat later, when both clocks may have drifted.
    fn at(self, now: SignedDuration) -> Self {
        let drift = (now - self.at).abs() * DRIFT_PER_MILLION / 1_000_000;
        Self { least: self.least - drift, most: self.most + drift, at: now }
    }

    /// What both say. If they contradict each other, the server's clock was set, or it is another server's:
    /// the newer counts.
    fn narrowed(self, newer: Self) -> Self {
        let older = self.at(newer.at);
        let both =
            Self { least: older.least.max(newer.least), most: older.most.min(newer.most), at: newer.at };
        if both.least <= both.most { both } else { newer }
    }

    /// By how much a local time is off at least; zero within the bounds.
    fn off_by(self, local: SignedDuration) -> SignedDuration {
        let (earliest, latest) = (self.at + self.least, self.at + self.most);
        if local < earliest {
            local - earliest
        } else if local > latest {
            local - latest
        } else {
            SignedDuration::ZERO
        }
    }
}

impl Clock {
    /// The time now. It does not go back a little, where the clock that is taken changes: what has begun
    /// would not have begun. It stands still until it is caught up with.
    pub fn now(&self) -> Timestamp {
        let now = self.read(Timestamp::now(), boot_time());
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        let held = last.filter(|last| *last > now && last.duration_since(now) <= HELD_AT_MOST);
        let now = held.unwrap_or(now);
        *last = Some(now);
        now
    }

    fn read(&self, local: Timestamp, boot: SignedDuration) -> Timestamp {
        let Some(bounds) = self.lock().map(|bounds| bounds.at(boot)) else {
            return local;
        };
        if bounds.off_by(local.as_duration()).abs() <= TOLERANCE {
            return local;
        }
        Timestamp::from_duration(bounds.at + bounds.least).unwrap_or(local)
    }

    /// The monotonic instant at which a wall-clock instant is due. Timers fire on the monotonic clock;
    /// a pass that finds itself early goes back to sleep for the rest.
    pub fn timer(&self, due: Timestamp) -> Instant {
        let wait = Duration::try_from(due.duration_since(self.now())).unwrap_or(Duration::ZERO);
        let now = Instant::now();
        // Further away than a timer can hold is as good as never: the group is looked at before.
        now.checked_add(wait).unwrap_or_else(|| now + Duration::from_hours(365 * 24))
    }

    /// Tells when the local wall clock turns out to be off, and by how much it is ahead; none when it is
    /// right again.
    pub fn skew(&self) -> watch::Receiver<Option<SignedDuration>> {
        let mut skew = self.0.skew.subscribe();
        // What turned out before anybody asked is news, too.
        if skew.borrow().is_some() {
            skew.mark_changed();
        }
        skew
    }

    /// A client that sets this clock by every answer. It sends each request once: repeated ones would go
    /// out without anybody asking whether they still may.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn client(&self, mut config: kube::Config) -> Result<kube::Client, kube::Error> {
        config.default_retry = false;
        let builder = kube::client::ClientBuilder::try_from(config)?;
        Ok(builder.with_layer(&DateLayer(self.clone())).build())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Bounds>> {
        self.0.bounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn saw(&self, date: Timestamp, sent: SignedDuration, received: SignedDuration, local: Timestamp) {
        let newer = Bounds::of(date, sent, received);
        let mut known = self.lock();
        let bounds = known.map_or(newer, |known| known.narrowed(newer));
        *known = Some(bounds);
        drop(known);
        let skew = bounds.off_by(local.as_duration());
        metrics::gauge!("booking_operator_clock_skew_seconds").set(skew.as_secs_f64());
        let skew = Some(skew).filter(|skew| skew.abs() > TOLERANCE);
        self.0.skew.send_if_modified(|told| {
            let turned = told.is_some() != skew.is_some();
            *told = skew;
            turned
        });
    }
}

/// The boot-time clock: it runs on while the machine sleeps.
fn boot_time() -> SignedDuration {
    SignedDuration::try_from(clocks::now().boot).unwrap_or_default()
}

#[derive(Clone)]
struct DateLayer(Clock);

impl<S> tower::Layer<S> for DateLayer {
    type Service = Dated<S>;

    fn layer(&self, inner: S) -> Dated<S> {
        Dated { inner, clock: self.0.clone() }
    }
}

/// A client's service that looks at the `Date` of answers.
#[derive(Clone)]
struct Dated<S> {
    inner: S,
    clock: Clock,
}

impl<S, B> tower::Service<http::Request<Body>> for Dated<S>
where
    S: tower::Service<http::Request<Body>, Response = http::Response<B>>,
    S::Error: Into<tower::BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = tower::BoxError;
    type Future = futures::future::BoxFuture<'static, Result<S::Response, tower::BoxError>>;

    fn poll_ready(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), tower::BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let sent = boot_time();
        let answer = self.inner.call(request);
        let clock = self.clock.clone();
        Box::pin(async move {
            let answer = tokio::time::timeout(ANSWER_TIMEOUT, answer).await?.map_err(Into::into)?;
            let date = answer.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
            if let Some(date) = date.and_then(parse) {
                clock.saw(date, sent, boot_time(), Timestamp::now());
            }
            Ok(answer)
        })
    }
}

/// A date as RFC 9110 has it; that is RFC 2822's with GMT for a zone.
fn parse(date: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(date).ok().map(|date| date.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: i64) -> SignedDuration {
        SignedDuration::from_secs(seconds)
    }

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + ms).unwrap()
    }

    /// The server's clock is 1,800,000,000 s ahead of the boot-time clock. An answer made at a boot time
    /// of `ms`, with `rtt` ms on the way each way.
    fn answered(clock: &Clock, ms: i64, rtt: i64, local: Timestamp) {
        let boot = SignedDuration::from_millis;
        let date = at(ms - ms.rem_euclid(1000));
        clock.saw(date, boot(ms - rtt), boot(ms + rtt), local);
    }

    #[test]
    fn without_an_answer_the_local_clock_is_taken() {
        assert_eq!(Clock::default().read(at(5), seconds(0)), at(5));
    }

    #[test]
    fn a_local_clock_within_two_seconds_is_taken_as_it_is() {
        let clock = Clock::default();
        answered(&clock, 10_500, 5, at(10_500));
        for off in [0, 1_400, -1_400, 2_000] {
            assert_eq!(clock.read(at(20_000 + off), seconds(20)), at(20_000 + off));
        }
    }

    #[test]
    fn a_clock_that_is_an_hour_off_is_neither_early_nor_a_second_late() {
        for off in [3_600_000, -3_600_000] {
            let clock = Clock::default();
            for ms in [10_150, 13_420, 16_730, 20_040] {
                answered(&clock, ms, 5, at(ms + off));
            }
            let late = SignedDuration::from_millis(30_000)
                - clock.read(at(30_000 + off), seconds(30)).duration_since(at(0));
            assert!(!late.is_negative() && late < SignedDuration::from_millis(80), "{late:?}");
        }
    }

    #[test]
    fn one_answer_bounds_the_time_to_a_second() {
        let clock = Clock::default();
        answered(&clock, 10_999, 5, at(0));
        let late = SignedDuration::from_millis(12_000) - clock.read(at(0), seconds(12)).duration_since(at(0));
        assert!(!late.is_negative() && late < SignedDuration::from_millis(1_010), "{late:?}");
    }

    #[test]
    fn a_server_whose_clock_was_set_is_followed() {
        let clock = Clock::default();
        answered(&clock, 10_500, 5, at(10_500));
        clock.saw(
            at(7_200_000),
            SignedDuration::from_millis(13_000),
            SignedDuration::from_millis(13_010),
            at(13_005),
        );
        let now = clock.read(at(14_000), seconds(14)).duration_since(at(7_200_000));
        assert!(now.as_millis() > 900 && now.as_millis() < 2_100, "{now:?}");
    }

    #[test]
    fn a_skew_that_is_known_already_is_told_to_who_asks_later() {
        let clock = Clock::default();
        answered(&clock, 10_500, 5, at(3_610_500));
        assert!(clock.skew().has_changed().unwrap());
        answered(&clock, 13_500, 5, at(13_500));
        assert!(!clock.skew().has_changed().unwrap());
    }

    #[test]
    fn the_date_of_an_answer_is_read() {
        let date = parse("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(date.to_string(), "1994-11-06T08:49:37Z");
        assert_eq!(parse("yesterday"), None);
    }
}
