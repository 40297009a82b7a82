//! Observes a group, and translates the cloud's answer for bookings.

use booking_calendar::instant::after;
use booking_cloud::{CloudError, Dispatcher, Haste, Instance, InstanceState};
use booking_decision::Backoff;
use jiff::Timestamp;

use crate::decide::groups::{
    attempts::Attempts,
    input::Observation,
    machine::{self, LockTag, Machine, MachineState},
};

/// Describes a group of machines by its tag.
///
/// # Errors
/// The error that the cloud returned.
pub async fn describe(cloud: &Dispatcher, tag: &str, haste: Haste) -> Result<Vec<Machine>, CloudError> {
    Ok(cloud.describe(tag, haste).await?.into_iter().map(read).collect())
}

/// The observation that follows from a describe. Updates the attempts, too.
pub fn observed(
    answer: Result<Vec<Machine>, CloudError>,
    attempts: &mut Attempts,
    now: Timestamp,
) -> Observation {
    match answer {
        Ok(instances) => {
            attempts.observed(&instances, now);
            Observation::Seen(instances)
        }
        Err(error) => {
            let failures = attempts.observe_failed(now);
            let wait = backoff(&error).wait(failures);
            let retry_at = after(now, error.retry_after.map_or(wait, |after| after.max(wait)));
            Observation::Failed { message: error.to_string(), retry_at }
        }
    }
}

/// The waits that an error requires. They have no jitter: keys that one failure has hit then come back together and
/// share one call. If they came back separately, each would cost a call.
pub fn backoff(error: &CloudError) -> Backoff {
    let (base, cap) = error.class.backoff();
    Backoff { base, cap }
}

/// Translates a machine for decisions.
pub fn read(instance: Instance) -> Machine {
    Machine {
        state: match instance.state {
            InstanceState::Pending => MachineState::Pending,
            InstanceState::Running => MachineState::Running,
            InstanceState::Busy => MachineState::Busy,
            InstanceState::Broken => MachineState::Broken,
            InstanceState::Stopping => MachineState::Stopping,
            InstanceState::Stopped => MachineState::Stopped,
            InstanceState::Terminated => MachineState::Terminated,
        },
        lock: LockTag::read(&instance.tags),
        owner: machine::owner(&instance.tags).or(instance.part_of),
        unstoppable: instance.unstoppable,
        restarts_at: instance.restarts_at.and_then(|at| Timestamp::try_from(at).ok()),
        state_reason: instance.state_reason,
        id: instance.id,
    }
}
