//! Wall-clock time. No other code in this crate reads it. Timers and time-outs use the monotonic clock.
//!
//! Bookings have wall-clock times, so a machine with a wrong clock would start and stop groups at wrong instants.
//! Every answer of the API server has its time in the `Date` header, in whole seconds. Each answer limits how far
//! that clock can be ahead of this machine's boot-time clock, and several answers together narrow the limits. While
//! the local wall clock is within [`TOLERANCE`] of the limits, it is used, because it is finer. Otherwise the API
//! server's time is used, continued by the boot-time clock, at the earliest possible value. A booking may then begin
//! a second late, but never early.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use booking_ring::kubernetes::clocks;
use jiff::{SignedDuration, Timestamp};
use kube::client::Body;
use tokio::{sync::watch, time::Instant};

/// The largest difference between the local wall clock and the API server's that is tolerated.
pub const TOLERANCE: SignedDuration = SignedDuration::from_secs(2);
/// If the time steps back by more than this, the clock follows, because the earlier time was wrong.
const HELD_AT_MOST: SignedDuration = SignedDuration::from_secs(5);
/// The longest wait for the beginning of an answer. The API server gives up its own work after a minute, and it
/// begins to answer a watch at once.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
/// The resolution of the `Date` header: whole seconds.
const RESOLUTION: SignedDuration = SignedDuration::from_secs(1);
/// How much two clocks may drift apart: ten times the drift of usual crystals.
const DRIFT_PER_MILLION: i32 = 500;

/// Wall-clock time, and the conversion from a wall-clock instant to a timer. Clones are the same clock.
#[derive(Clone, Debug, Default)]
pub struct Clock(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    bounds: Mutex<Option<Bounds>>,
    /// The last time that was returned.
    last: Mutex<Option<Timestamp>>,
    /// How far the local wall clock is off, while it is.
    skew: watch::Sender<Option<SignedDuration>>,
}

/// The minimum and the maximum by which the API server's clock is ahead of this machine's boot-time clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    least: SignedDuration,
    most: SignedDuration,
    /// The boot-time clock when these limits were exact.
    at: SignedDuration,
}

impl Bounds {
    /// The bounds from one answer. The server made it between `sent` and `received`, when its clock showed the second
    /// that begins at `date`.
    fn of(date: Timestamp, sent: SignedDuration, received: SignedDuration) -> Self {
        let date = date.as_duration();
        Self { least: date - received, most: date + RESOLUTION - sent, at: received }
    }

    /// The same bounds at a later time, widened because both clocks may have drifted.
    fn at(self, now: SignedDuration) -> Self {
        let drift = (now - self.at).abs() * DRIFT_PER_MILLION / 1_000_000;
        Self { least: self.least - drift, most: self.most + drift, at: now }
    }

    /// The intersection of two bounds. If they contradict each other, the server's clock was set or another server
    /// has answered, so the newer bounds are used.
    fn narrowed(self, newer: Self) -> Self {
        let older = self.at(newer.at);
        let both =
            Self { least: older.least.max(newer.least), most: older.most.min(newer.most), at: newer.at };
        if both.least <= both.most { both } else { newer }
    }

    /// How far a local time is off at least. Zero within the bounds.
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
    /// The time now. It does not go back by a little when another clock is used: otherwise what has begun would not
    /// have begun. It stands still until the new clock has caught up.
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

    /// The monotonic instant at which a wall-clock instant is due. Timers use the monotonic clock. A pass that runs
    /// too early sleeps for the rest of the time.
    pub fn timer(&self, due: Timestamp) -> Instant {
        let wait = Duration::try_from(due.duration_since(self.now())).unwrap_or(Duration::ZERO);
        let now = Instant::now();
        // An instant beyond the range of a timer is as good as never. The group is observed before that anyway.
        now.checked_add(wait).unwrap_or_else(|| now + Duration::from_hours(365 * 24))
    }

    /// Reports when the local wall clock is wrong, and how far it is ahead. None when it is right again.
    pub fn skew(&self) -> watch::Receiver<Option<SignedDuration>> {
        let mut skew = self.0.skew.subscribe();
        // A skew that was found before the first subscriber is reported, too.
        if skew.borrow().is_some() {
            skew.mark_changed();
        }
        skew
    }

    /// A client whose answers set this clock. It sends each request once: a repeated request would be sent without a
    /// new check of the permit.
    ///
    /// # Errors
    /// The configuration cannot be used.
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

/// The boot-time clock. It continues while the machine sleeps.
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

/// A client service that reads the `Date` of answers.
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

/// A date in the form of RFC 9110. This is RFC 2822's form with GMT as its zone.
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

    /// Sets the clock by an answer that the server made at a boot time of `ms`, with `rtt` ms in each direction. The
    /// server's clock is 1,800,000,000 s ahead of the boot-time clock.
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
