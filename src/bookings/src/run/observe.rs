//! What the cloud says of a group, read for what it means to bookings.

use booking_calendar::instant::after;
use booking_cloud::{CloudError, Dispatcher, Haste};
use booking_decision::Backoff;
use bookings::decide::groups::{
    attempts::Attempts,
    input::Observation,
    instance::{self, LockTag},
};
use jiff::Timestamp;

/// Describes a group of machines by its tag.
///
/// # Errors
/// Whatever the cloud answers.
pub async fn describe(
    cloud: &Dispatcher,
    tag: &str,
    haste: Haste,
) -> Result<Vec<bookings::decide::groups::instance::Instance>, CloudError> {
    Ok(cloud.describe(tag, haste).await?.into_iter().map(read).collect())
}

/// What a describe means for the decision, and for what is remembered.
pub fn observed(
    answer: Result<Vec<bookings::decide::groups::instance::Instance>, CloudError>,
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

/// The waits that an error calls for. Without jitter: those whom one failure has hit come back together, in one call; apart,
/// they would cost one each.
pub fn backoff(error: &CloudError) -> Backoff {
    let (base, cap) = error.class.backoff();
    Backoff { base, cap }
}

/// A machine as decisions know it.
pub fn read(machine: booking_cloud::Instance) -> bookings::decide::groups::instance::Instance {
    use booking_cloud::InstanceState as Cloud;
    use bookings::decide::groups::instance::InstanceState as Core;
    bookings::decide::groups::instance::Instance {
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
