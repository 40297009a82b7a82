//! A permit is asked before each call, not when the work begins.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use booking_cloud::{ErrorClass, Mutation, Provider, Results};
use booking_decision::permit::{Permit, PermitLapsed, RunningCall, Unlimited};
use testbed::ec2::{FaultMatch, FaultRule, InstanceState};

use super::cloud::{Cloud, error, failed};

/// A permit for this many calls.
struct Calls(AtomicUsize);

impl Calls {
    fn of(count: usize) -> Self {
        Self(AtomicUsize::new(count))
    }
}

impl Permit for Calls {
    fn begin(&self) -> Result<Box<dyn RunningCall>, PermitLapsed> {
        let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.map_err(|_| PermitLapsed)?;
        Unlimited.begin()
    }

    fn call_timeout(&self) -> Duration {
        Unlimited.call_timeout()
    }
}

fn lapsed(results: &Results) -> usize {
    let errors = results.values().filter_map(|result| result.as_ref().err());
    errors.filter(|error| error.class == ErrorClass::PermitLapsed).count()
}

#[tokio::test]
async fn a_lapsed_permit_sends_nothing() {
    // given more machines than one call takes, and a permit that has lapsed
    let cloud = Cloud::start().await;
    let ids = cloud.stopped(1_500);
    let tags = [("lock".to_owned(), "operator-1".to_owned())];
    // when each mutation is asked for
    let all = [
        cloud.ec2.mutate(&Calls::of(0), &Mutation::Start, &ids).await,
        cloud.ec2.mutate(&Calls::of(0), &Mutation::Stop, &ids).await,
        cloud.ec2.mutate(&Calls::of(0), &Mutation::Tag(tags.to_vec()), &ids).await,
        cloud.ec2.mutate(&Calls::of(0), &Mutation::Untag(tags.to_vec()), &ids).await,
    ];
    // then each machine says so, and nothing was sent
    for results in all {
        assert_eq!(lapsed(&results), ids.len());
    }
    assert!(cloud.calls().is_empty());
}

#[tokio::test]
async fn a_permit_that_lapses_between_two_calls_stops_the_rest() {
    // given two calls' worth of machines, and a permit for one
    let cloud = Cloud::start().await;
    let ids = cloud.stopped(1_500);
    // when they are started
    let results = cloud.ec2.mutate(&Calls::of(1), &Mutation::Start, &ids).await;
    // then the first call's are, and the rest was not sent
    assert_eq!((results.len(), lapsed(&results)), (1_500, 500));
    assert_eq!(cloud.calls().len(), 1);
    for (id, result) in &results {
        let expected = if result.is_ok() { InstanceState::Pending } else { InstanceState::Stopped };
        assert_eq!(cloud.state(id), expected);
    }
}

#[tokio::test]
async fn a_permit_that_lapses_while_a_bad_machine_is_looked_for_stops_the_search() {
    // given a machine that is refused without a name, and a permit for three calls
    let cloud = Cloud::start().await;
    let mut ids = cloud.stopped(64);
    ids.sort_unstable();
    let when = FaultMatch { instance_id: Some(ids[5].clone()), ..FaultMatch::default() };
    cloud.spoil(FaultRule { when, then: error("UnauthorizedOperation"), after_effect: false, times: None });
    // when all are started
    let results = cloud.ec2.mutate(&Calls::of(3), &Mutation::Start, &ids).await;
    // then three calls were sent: all, the half with the bad one, the good half
    assert_eq!(cloud.calls().len(), 3);
    assert_eq!((failed(&results).len(), lapsed(&results)), (32, 32));
    assert!(ids[32..].iter().all(|id| cloud.state(id) == InstanceState::Pending));
}
