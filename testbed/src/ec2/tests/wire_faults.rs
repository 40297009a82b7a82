//! Spoiled calls, as a caller sees them.

use std::sync::Arc;
use std::time::Duration;

use super::super::*;
use super::wire::{Answer, Caller, simulator};
use crate::patience::patient;

/// Much longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(10);

async fn with_one_running() -> (Ec2Simulator, Caller, String) {
    let simulator = simulator().await;
    let ids = simulator.world().add_instances(&AddInstances::count(1)).unwrap();
    let caller = Caller::of(&simulator);
    (simulator, caller, ids[0].clone())
}

fn stop(then: FaultEffect) -> FaultRule {
    FaultRule::on("StopInstances", then).times(1)
}

fn last_call(simulator: &Ec2Simulator) -> CallRecord {
    simulator.world().calls(&CallQuery::default()).calls.pop().unwrap()
}

/// Waits until there is such a call on record.
async fn until(simulator: &Ec2Simulator, arrived: impl Fn(&CallRecord) -> bool) {
    let seen = async {
        while !simulator.world().calls(&CallQuery::default()).calls.iter().any(&arrived) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(patient(LIMIT), seen).await.unwrap();
}

/// Makes a call and hangs up once it is on record as `arrived`.
async fn give_up_once(
    simulator: &Ec2Simulator,
    call: impl Future<Output = reqwest::Result<Answer>>,
    arrived: impl Fn(&CallRecord) -> bool,
) {
    tokio::select! {
        _ = call => panic!("the call was answered"),
        () = until(simulator, arrived) => {}
    }
}

fn state(simulator: &Ec2Simulator, id: &str) -> InstanceState {
    simulator.world().instance(id).unwrap().state
}

#[tokio::test]
async fn an_error_comes_instead_of_the_effect_or_after_it() {
    for (rule, effect) in [
        (stop(FaultEffect::error("InternalError", "An internal error has occurred")), false),
        (stop(FaultEffect::error("InternalError", "An internal error has occurred")).after_effect(), true),
    ] {
        let (simulator, caller, id) = with_one_running().await;
        let rule = simulator.world().add_fault(rule);

        let answer = caller.call("StopInstances", &[("InstanceId.1", &id)]).await;

        assert_eq!((answer.status, answer.text("Code")), (500, Some("InternalError")));
        assert_eq!(state(&simulator, &id) == InstanceState::Stopping, effect);
        let call = last_call(&simulator);
        assert_eq!((call.outcome.as_deref(), call.took_effect), (Some("InternalError"), effect));
        assert_eq!(call.faults, [rule]);
        assert_eq!(caller.call("StopInstances", &[("InstanceId.1", &id)]).await.status, 200);
    }
}

#[tokio::test]
async fn a_reset_cuts_the_connection_before_or_after_the_effect() {
    for (rule, effect) in [(stop(FaultEffect::Reset), false), (stop(FaultEffect::Reset).after_effect(), true)]
    {
        let (simulator, caller, id) = with_one_running().await;
        simulator.world().add_fault(rule);

        let answer = caller.try_call("StopInstances", &[("InstanceId.1", &id)]).await;

        let error = format!("{:?}", answer.err().unwrap());
        assert!(error.contains("ConnectionReset"), "{error}");
        assert_eq!(state(&simulator, &id) == InstanceState::Stopping, effect);
        let call = last_call(&simulator);
        assert_eq!((call.outcome.as_deref(), call.took_effect), (Some("ConnectionReset"), effect));
    }
}

#[tokio::test]
async fn a_call_that_hangs_gets_no_answer_and_holds_up_nobody() {
    let (simulator, caller, id) = with_one_running().await;
    simulator.world().add_fault(stop(FaultEffect::Hang).after_effect());

    let params = [("InstanceId.1", id.as_str())];
    give_up_once(&simulator, caller.try_call("StopInstances", &params), |call| call.outcome.is_some()).await;
    assert_eq!(state(&simulator, &id), InstanceState::Stopping);
    let call = last_call(&simulator);
    assert_eq!((call.outcome.as_deref(), call.completed, call.took_effect), (Some("Hang"), None, true));
    assert_eq!(caller.call("DescribeInstances", &[]).await.status, 200);
}

#[tokio::test]
async fn a_hanging_call_does_not_hold_up_the_shutdown() {
    let (simulator, caller, id) = with_one_running().await;
    simulator.world().add_fault(stop(FaultEffect::Hang));
    let hanging =
        tokio::spawn(
            async move { caller.try_call("StopInstances", &[("InstanceId.1", &id)]).await.is_err() },
        );
    until(&simulator, |_| true).await;

    tokio::time::timeout(patient(LIMIT), simulator.stop()).await.unwrap();

    assert!(hanging.await.unwrap());
}

#[tokio::test]
async fn a_call_takes_effect_even_when_its_caller_gave_up_waiting() {
    let (simulator, caller, id) = with_one_running().await;
    simulator.world().add_fault(stop(FaultEffect::Latency { ms: 200 }));

    let params = [("InstanceId.1", id.as_str())];
    give_up_once(&simulator, caller.try_call("StopInstances", &params), |_| true).await;

    until(&simulator, |call| call.outcome.is_some()).await;
    assert_eq!(state(&simulator, &id), InstanceState::Stopping);
    let call = last_call(&simulator);
    let took = call.completed.unwrap().wall.unix_micros() - call.arrived.wall.unix_micros();
    assert!(took >= 199_000, "{took}");
}

/// Throttles all calls that name instances.
#[derive(Debug)]
struct NoInstances;

impl Admission for NoInstances {
    fn admit(&self, call: AdmissionCall<'_>) -> Result<(), Throttled> {
        if call.instance_ids > 0 { Err(Throttled) } else { Ok(()) }
    }
}

#[tokio::test]
async fn a_throttled_call_has_no_effect() {
    let config = Ec2Config { admission: Arc::new(NoInstances), ..Ec2Config::default() };
    let simulator = Ec2Simulator::start(config).await.unwrap();
    let ids = simulator.world().add_instances(&AddInstances::count(1)).unwrap();
    let caller = Caller::of(&simulator);

    let throttled = caller.call("StopInstances", &[("InstanceId.1", &ids[0])]).await;

    assert_eq!((throttled.status, throttled.text("Code")), (503, Some("RequestLimitExceeded")));
    assert_eq!(state(&simulator, &ids[0]), InstanceState::Running);
    assert_eq!(caller.call("DescribeInstances", &[]).await.status, 200);
}

#[tokio::test]
async fn a_dropped_simulator_gives_its_port_back() {
    let simulator = simulator().await;
    let listen = simulator.url().trim_start_matches("http://").to_owned();
    drop(simulator);
    let again = async {
        loop {
            let config = Ec2Config { listen: listen.clone(), ..Ec2Config::default() };
            if let Ok(simulator) = Ec2Simulator::start(config).await {
                return simulator;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(patient(LIMIT), again).await.unwrap();
}
