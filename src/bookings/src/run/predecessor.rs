//! Whether the predecessor of this family, resource-booking-operator, is still at work.
//!
//! Both operators would act on the same objects and machines. The predecessor's replicas elect a leader with a Lease
//! of a fixed name. While that Lease is renewed in a namespace that this replica can see, this family does nothing.

use std::{collections::HashMap, time::Duration};

use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use booking_decision::meta;
use booking_runtime::{clock::Clock, controller::Services, ownership::Predecessor};

/// The name of its check in `/readyz`.
pub const CHECK: &str = "original-operator";
/// The name of the predecessor's leader election, from its source code.
pub const LEASE: &str = "d042a3ce.kotaico.de";
/// How long the predecessor's Lease lasts if it does not say: controller-runtime's default.
const DURATION: Duration = Duration::from_secs(15);
/// The longest duration that is accepted.
const DURATION_MAX: Duration = Duration::from_mins(5);

/// The predecessor's Leases, as far as they are watched.
#[derive(Debug, Default)]
struct Leases {
    by_uid: HashMap<String, SeenLease>,
    listed: bool,
}

#[derive(Clone, Debug)]
struct SeenLease {
    renewed: Option<Timestamp>,
    holder: String,
    /// Until when it counts as renewed.
    until: Option<Instant>,
}

impl Leases {
    /// Records a Lease that was seen. It counts as renewed if its renew time is recent, or if it differs from what
    /// was seen before.
    fn see(&mut self, lease: &Lease, now: Timestamp, instant: Instant) {
        let spec = lease.spec.as_ref();
        let holder = spec.and_then(|spec| spec.holder_identity.clone()).unwrap_or_default();
        let renewed = spec.and_then(|spec| spec.renew_time.as_ref()).map(|time| time.0);
        let seconds =
            spec.and_then(|spec| spec.lease_duration_seconds).and_then(|seconds| seconds.try_into().ok());
        let duration = seconds.map_or(DURATION, Duration::from_secs).min(DURATION_MAX);
        let uid = meta::uid(&lease.metadata).to_owned();
        let known = self.by_uid.get(&uid);
        let says_so =
            renewed.is_some_and(|renewed| renewed.duration_since(now).unsigned_abs() <= duration * 2);
        let is_renewed = known.map_or(says_so, |known| known.renewed != renewed);
        let until = if is_renewed { Some(instant + duration) } else { known.and_then(|known| known.until) };
        let until = until.filter(|_| !holder.is_empty());
        let holder = format!("{}/{holder}", lease.namespace().unwrap_or_default());
        self.by_uid.insert(uid, SeenLease { renewed, holder, until });
    }

    fn state(&self, instant: Instant) -> Predecessor {
        let at_work = self.by_uid.values().find(|seen| seen.until.is_some_and(|until| instant < until));
        match at_work {
            Some(seen) => Predecessor::AtWork(format!("{} renews Lease {LEASE}", seen.holder)),
            None if self.listed => Predecessor::Absent,
            None => Predecessor::Unknown,
        }
    }

    /// When the next Lease that counts as renewed expires.
    fn next(&self, instant: Instant) -> Option<Instant> {
        self.by_uid.values().filter_map(|seen| seen.until).filter(|until| *until > instant).min()
    }
}

/// Follows the predecessor's Leases in one namespace, or in all, for as long as the future is polled.
pub async fn follow(services: &Services, state: watch::Sender<Predecessor>) {
    let (client, clock) = (services.client.clone(), &services.clock);
    let leases: Api<Lease> = match services.namespace.as_deref() {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let config = watcher::Config::default().fields(&format!("metadata.name={LEASE}"));
    let mut events = watcher(leases, config).default_backoff().boxed();
    let mut leases = Leases::default();
    loop {
        let wake = leases.next(Instant::now()).unwrap_or_else(|| Instant::now() + DURATION_MAX);
        tokio::select! {
            event = events.try_next() => match event {
                Ok(Some(event)) => take_in(&mut leases, event, clock),
                Ok(None) => return,
                Err(error) => {
                    // If the API server forbids the watch, this replica cannot see the Leases, and it starts without
                    // them.
                    leases.listed |= is_forbidden(&error);
                    tracing::warn!(%error, "the Lease of the predecessor operator cannot be watched; tried again");
                }
            },
            () = sleep_until(wake) => {}
        }
        let now = leases.state(Instant::now());
        state.send_if_modified(|before| {
            let is_news = *before != now;
            before.clone_from(&now);
            is_news
        });
    }
}

fn take_in(leases: &mut Leases, event: watcher::Event<Lease>, clock: &Clock) {
    match event {
        watcher::Event::Init => {}
        watcher::Event::InitDone => leases.listed = true,
        watcher::Event::InitApply(lease) | watcher::Event::Apply(lease) => {
            leases.see(&lease, clock.now(), Instant::now());
        }
        watcher::Event::Delete(lease) => drop(leases.by_uid.remove(meta::uid(&lease.metadata))),
    }
}

fn is_forbidden(error: &watcher::Error) -> bool {
    let of = |error: &kube::Error| matches!(error, kube::Error::Api(status) if status.code == 403);
    match error {
        watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error) => of(error),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{
        api::coordination::v1::LeaseSpec,
        apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    };

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn lease(holder: &str, renewed: i64) -> Lease {
        let metadata =
            ObjectMeta { uid: Some("uid".into()), namespace: Some("old".into()), ..ObjectMeta::default() };
        let spec = LeaseSpec {
            holder_identity: Some(holder.into()),
            renew_time: Some(MicroTime(at(renewed))),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        };
        Lease { metadata, spec: Some(spec) }
    }

    fn listed() -> Leases {
        Leases { listed: true, ..Leases::default() }
    }

    #[test]
    fn before_the_first_list_it_is_unknown_and_without_a_lease_absent() {
        assert_eq!(Leases::default().state(Instant::now()), Predecessor::Unknown);
        assert_eq!(listed().state(Instant::now()), Predecessor::Absent);
    }

    #[test]
    fn a_lease_of_a_moment_ago_counts_for_its_duration_and_one_of_long_ago_not_at_all() {
        let begun = Instant::now();
        for (renewed, at_work) in [(-2, true), (-30, true), (20, true), (-31, false), (-100_000, false)] {
            let mut leases = listed();
            leases.see(&lease("pod-1", renewed), at(0), begun);
            let expected = if at_work {
                Predecessor::AtWork(format!("old/pod-1 renews Lease {LEASE}"))
            } else {
                Predecessor::Absent
            };
            assert_eq!(leases.state(begun), expected, "{renewed}");
            assert_eq!(leases.state(begun + Duration::from_secs(15)), Predecessor::Absent);
        }
    }

    #[test]
    fn a_lease_that_is_renewed_counts_whatever_time_it_says() {
        // given a predecessor whose clock is wrong by a day
        let (mut leases, begun) = (listed(), Instant::now());
        leases.see(&lease("pod-1", -86_400), at(0), begun);
        assert_eq!(leases.state(begun), Predecessor::Absent);
        leases.see(&lease("pod-1", -86_398), at(2), begun + Duration::from_secs(2));
        assert_eq!(
            leases.state(begun + Duration::from_secs(16)),
            Predecessor::AtWork(format!("old/pod-1 renews Lease {LEASE}"))
        );
        // when somebody writes to it without renewing it, then the write does not count
        leases.see(&lease("pod-1", -86_398), at(14), begun + Duration::from_secs(14));
        assert_eq!(leases.state(begun + Duration::from_secs(17)), Predecessor::Absent);
        // when its holder gives it up, then at once
        leases.see(&lease("", -86_390), at(20), begun + Duration::from_secs(20));
        assert_eq!(leases.state(begun + Duration::from_secs(20)), Predecessor::Absent);
    }
}
