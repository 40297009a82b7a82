//! What the cloud says of a group, read for what it means to bookings.

use booking_cloud::{CloudError, Provider};
use booking_core::{
    Attempts, Backoff, Observation,
    instance::{self, LockTag},
    instant::after,
};
use jiff::Timestamp;

/// Describes a group of machines by its tag.
///
/// # Errors
/// Whatever the cloud answers.
pub async fn describe(provider: &dyn Provider, tag: &str) -> Result<Vec<booking_core::Instance>, CloudError> {
    let machines = provider.describe(&[tag.to_owned()]).await?;
    Ok(machines.into_iter().map(read).collect())
}

/// What a describe means for the decision, and for what is remembered.
pub fn observed(
    answer: Result<Vec<booking_core::Instance>, CloudError>,
    attempts: &mut Attempts,
    now: Timestamp,
) -> Observation {
    match answer {
        Ok(instances) => {
            attempts.observed(&instances, now);
            Observation::Seen(instances)
        }
        Err(error) => {
            let failures = attempts.observe_failed();
            let retry_at = after(now, backoff(&error).wait(failures));
            Observation::Failed { message: error.to_string(), retry_at }
        }
    }
}

/// The waits that an error calls for.
pub fn backoff(error: &CloudError) -> Backoff {
    let (base, cap) = error.class.backoff();
    Backoff { base, cap }
}

fn read(machine: booking_cloud::Instance) -> booking_core::Instance {
    use booking_cloud::InstanceState as Cloud;
    use booking_core::InstanceState as Core;
    booking_core::Instance {
        state: match machine.state {
            Cloud::Pending => Core::Pending,
            Cloud::Running => Core::Running,
            Cloud::Busy => Core::Busy,
            Cloud::Broken => Core::Broken,
            Cloud::Stopping => Core::Stopping,
            Cloud::Stopped => Core::Stopped,
            Cloud::Terminated => Core::Terminated,
        },
        lock: LockTag::read(&machine.tags),
        owner: instance::owner(&machine.tags).or(machine.part_of),
        unstoppable: machine.unstoppable,
        restarts_at: machine.restarts_at.and_then(|at| Timestamp::try_from(at).ok()),
        state_reason: machine.state_reason,
        id: machine.id,
    }
}
