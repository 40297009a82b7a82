//! The controller: from a change, or an instant that has come, to calls and statuses.
//!
//! ```text
//! watch -> cache -> queue -> pass: gather -> observe -> decide -> write -> call -> report -> sleep until wake_at
//! ```
//!
//! The unit of work is a [`Key`]: a Resource together with all Bookings that name it, whether it exists
//! or not; or a BookingScheduler with the Bookings that it owns; or a ResourceMonitor. A key is worked on by one pass at a time. A
//! pass needs nothing from the pass before it: what it must know stands in the objects. What a process
//! remembers beside them (attempts) is a hint.
//!
//! | module | step | touches |
//! |---|---|---|
//! | [`watch`] | keeps the cache current, puts changed keys on the queue | API server |
//! | [`decode`] | objects as the API server sends them, read as far as anything here looks | - |
//! | [`list`] | all objects of a kind, page by page | API server |
//! | [`cache`] | objects by key, own writes included | - |
//! | [`queue`] | keys that are due, now or at an instant | - |
//! | [`ownership`] | which keys are this process's, and leave to work on them | API server |
//! | [`pass`] | one pass; its `group`, `scheduler`, `monitor`: what it does for a key of each kind | all below |
//! | [`observe`] | what the cloud says of a group | cloud |
//! | [`catch_up`] | the cache brought up to the present, before keys of others are worked on | API server |
//! | [`observations`] | what was last seen of each group; routine looks | cloud |
//! | [`sweep`] | which groups there are in the cloud, once for all monitors | cloud |
//! | [`mod@write`] | statuses, finalizer, spec: compare-and-swap | API server |
//! | [`call`] | mutations | cloud |
//! | [`report`] | Events | API server |

pub mod cache;
pub mod call;
pub mod catch_up;
pub mod decode;
pub mod list;
pub mod observations;
pub mod observe;
pub mod ownership;
pub mod pass;
pub mod queue;
pub mod report;
pub mod sweep;
pub mod watch;
pub mod write;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bookings::api::{Booking, BookingScheduler, Resource, ResourceMonitor};
use futures::FutureExt;
use kube::{Resource as _, ResourceExt};
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{pass::Pass, queue::WorkQueue};

/// What a key names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A Resource, existing or only named by Bookings.
    Resource,
    /// A BookingScheduler.
    Scheduler,
    /// A ResourceMonitor.
    Monitor,
}

impl Kind {
    /// A stable word, for metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Resource => "resource",
            Self::Scheduler => "scheduler",
            Self::Monitor => "monitor",
        }
    }
}

/// The unit of work.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Of what.
    pub kind: Kind,
    /// Namespace.
    pub namespace: String,
    /// Name; empty for Bookings that name no Resource.
    pub name: String,
}

impl Key {
    fn new(kind: Kind, namespace: Option<String>, name: String) -> Self {
        Self { kind, namespace: namespace.unwrap_or_default(), name }
    }

    /// The key of a Resource.
    pub fn of_resource(resource: &Resource) -> Self {
        Self::new(Kind::Resource, resource.namespace(), resource.name_any())
    }

    /// The key under which a Booking is worked on.
    pub fn of_booking(booking: &Booking) -> Self {
        let name = booking.spec.resource_name.clone().unwrap_or_default();
        Self::new(Kind::Resource, booking.namespace(), name)
    }

    /// The key of a BookingScheduler.
    pub fn of_scheduler(scheduler: &BookingScheduler) -> Self {
        Self::new(Kind::Scheduler, scheduler.namespace(), scheduler.name_any())
    }

    /// The key of a ResourceMonitor.
    pub fn of_monitor(monitor: &ResourceMonitor) -> Self {
        Self::new(Kind::Monitor, monitor.namespace(), monitor.name_any())
    }

    /// The key of the BookingScheduler that owns a Booking, and its uid.
    pub fn of_owner(booking: &Booking) -> Option<(Self, &str)> {
        let owner = booking.owner_references().iter().find(|owner| {
            owner.controller == Some(true)
                && owner.kind == BookingScheduler::kind(&())
                && owner.api_version == BookingScheduler::api_version(&())
        })?;
        Some((Self::new(Kind::Scheduler, booking.namespace(), owner.name.clone()), &owner.uid))
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.kind.word(), self.namespace, self.name)
    }
}

/// How long a key rests after its pass panicked.
const AFTER_PANIC: Duration = Duration::from_secs(30);

/// Accounts whose places may all be taken, by clouds that do not answer, before others wait as well.
const ACCOUNTS: usize = 8;

/// Runs passes until `stop`; those that run then are let end. For each account `places` of them run at once.
///
/// A pass has a task of its own while it runs: most of its time it waits for a call that it shares with others.
pub async fn run_passes(
    tasks: TaskTracker,
    pass: Arc<Pass>,
    queue: Arc<WorkQueue>,
    places: usize,
    stop: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(places.saturating_mul(ACCOUNTS)));
    while let Some(key) = stop.run_until_cancelled(queue.next()).await {
        let Some(Ok(place)) = stop.run_until_cancelled(room.clone().acquire_owned()).await else { return };
        let (pass, queue) = (pass.clone(), queue.clone());
        tasks.spawn(async move {
            let _place = place;
            // A panic is a bug; it must cost neither a place nor a key.
            let again = AssertUnwindSafe(pass.run(&key)).catch_unwind().await.unwrap_or_else(|_| {
                tracing::error!(%key, "a pass panicked; it is repeated in {} s", AFTER_PANIC.as_secs());
                pass::count(&key, "panic");
                Some(Instant::now() + AFTER_PANIC)
            });
            queue.done(&key, again);
        });
    }
}
