//! How this family runs: watches, passes, and background tasks.
//!
//! | module | what it does | touches |
//! |---|---|---|
//! | [`objects`] | the tables of objects, and the keys under which they are worked on | - |
//! | [`groups`] | the controller of groups: gather, observe, decide, write, call, report | API server, cloud |
//! | [`schedules`] | the controller of BookingSchedulers | API server |
//! | [`monitors`] | the controller of ResourceMonitors | API server, cloud |
//! | [`clouds`] | one dispatcher for each account, region and service | cloud |
//! | [`account_limit`] | limits how many passes work on one account at once | - |
//! | [`observations`] | the last observation of each group | - |
//! | [`poll`] | observes groups at rest, many in one call | cloud |
//! | [`discovery`] | finds the groups in a cloud, once for all monitors | cloud |
//! | [`budget_reports`] | replicas share an account's token buckets | Leases |
//! | [`locations_file`] | the file of accounts and regions | file |
//! | [`predecessor`] | whether resource-booking-operator is still at work | API server |
//! | [`notify`] | notices of Bookings, and the record of their delivery | API server |
//! | [`counts`], [`overdue`], [`gauges`], [`lateness`], [`metered`] | metrics | - |

pub mod account_limit;
pub mod budget_reports;
pub mod clouds;
pub mod counts;
pub mod discovery;
pub mod gauges;
pub mod groups;
pub mod lateness;
pub mod locations_file;
pub mod metered;
pub mod monitors;
pub mod notify;
pub mod objects;
pub mod observations;
pub mod observe;
pub mod overdue;
pub mod poll;
pub mod predecessor;
pub mod schedules;

use std::{path::PathBuf, sync::Arc, time::Duration};

use booking_cloud::Clouds;
use booking_runtime::{
    controller::{Background, Family, FollowedPredecessor, Services},
    outbox::{ChannelSettings, Channels, Outbox, SetupError},
    ownership::Predecessor,
    run::Driven,
};
use futures::FutureExt;
use tokio::sync::watch;

use self::{
    account_limit::AccountLimits, clouds::OpenClouds, discovery::Discovery, gauges::Gauges,
    groups::GroupController, monitors::MonitorController, notify::BookingRecorder, objects::Objects,
    observations::Observations, schedules::ScheduleController,
};
use crate::decide::{locations::Locations, settings::Settings};

/// The name of this family, as in `--families`.
pub const NAME: &str = "bookings";

/// The configuration of the family.
#[derive(Clone)]
pub struct Config {
    /// The adoption grace: how long unbooked machines that run when a Resource is first seen may go on running.
    pub adoption_grace: Duration,
    /// Decide and report only.
    pub dry_run: bool,
    /// Act even if the predecessor is at work.
    pub ignore_predecessor: bool,
    /// The shortest and the longest time between two observations of machines that change state.
    pub poll: (Duration, Duration),
    /// The time between two observations of a group at rest.
    pub observe_interval: Duration,
    /// How long the deletion of a Resource waits for the cloud.
    pub release_timeout: Duration,
    /// How many passes work on one account at once.
    pub concurrency: usize,
    /// The role for Resources that name none. Empty for the operator's own credentials.
    pub role_arn: String,
    /// The file that says which namespaces may use which accounts and regions.
    pub accounts_file: Option<PathBuf>,
    /// The channels for notifications.
    pub channels: ChannelSettings,
}

/// Why the family cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The file of accounts and regions.
    #[error(transparent)]
    Locations(#[from] locations_file::FileError),
    /// The channels for notifications.
    #[error("no notifications: {0}")]
    Notify(#[from] SetupError),
}

/// The family, and its open clouds.
pub struct Bookings {
    /// For the runtime.
    pub family: Family,
    /// For the replicas' budget reports.
    pub clouds: Arc<OpenClouds>,
}

/// Creates the family and connects its parts.
///
/// # Errors
/// A file that the configuration names cannot be read or is invalid.
pub fn family(
    services: &Arc<Services>,
    config: &Config,
    clouds: Arc<dyn Clouds>,
) -> Result<Bookings, StartError> {
    let allowed = config.accounts_file.as_deref().map(locations_file::read).transpose()?.unwrap_or_default();
    let known = Arc::new(Locations::new(&config.role_arn, clouds.region(), allowed));
    let objects = Arc::new(Objects::new(known.clone()));
    let clouds = Arc::new(OpenClouds::new(clouds));
    let accounts = AccountLimits::new(config.concurrency, services.queue.clone());
    let observations: Arc<Observations> = Arc::default();
    let outbox = Outbox::new(
        services.clone(),
        Channels::new(config.channels.clone())?,
        BookingRecorder::new(services.client.clone()),
    );
    let first = if config.ignore_predecessor { Predecessor::Absent } else { Predecessor::Unknown };
    let predecessor = watch::Sender::new(first);
    let controllers = vec![
        Driven::of(Arc::new(GroupController {
            objects: objects.clone(),
            clouds: clouds.clone(),
            accounts: accounts.clone(),
            observations: observations.clone(),
            settings: settings(config, known.clone()),
            outbox,
        })),
        Driven::of(Arc::new(ScheduleController { objects: objects.clone(), dry_run: config.dry_run })),
        Driven::of(Arc::new(MonitorController {
            objects: objects.clone(),
            clouds: clouds.clone(),
            accounts,
            discovery: Discovery::default(),
            dry_run: config.dry_run,
        })),
    ];
    let gauges = Gauges { objects: objects.clone(), clouds: clouds.clone(), clock: services.clock.clone() };
    let mut vital = vec![poll(services, &observations, &clouds, config.observe_interval)];
    let followed = FollowedPredecessor { check: predecessor::CHECK, state: predecessor.subscribe() };
    if !config.ignore_predecessor {
        vital.push(follow_predecessor(services, predecessor));
    }
    let family = Family {
        name: NAME,
        controllers,
        predecessor: Some(followed),
        vital,
        background: follow_locations(services, config, &objects, known),
        measure: Arc::new(move || {
            let gauges = gauges.clone();
            async move { gauges.measure().await }.boxed()
        }),
    };
    Ok(Bookings { family, clouds })
}

fn poll(
    services: &Arc<Services>,
    observations: &Arc<Observations>,
    clouds: &Arc<OpenClouds>,
    interval: Duration,
) -> Background {
    let (queue, clock) = (services.queue.clone(), services.clock.clone());
    let (observations, clouds) = (observations.clone(), clouds.clone());
    Box::new(move || poll::poll(observations, clouds, queue, clock, interval).boxed())
}

fn follow_predecessor(services: &Arc<Services>, state: watch::Sender<Predecessor>) -> Background {
    let services = services.clone();
    Box::new(move || async move { predecessor::follow(&services, state).await }.boxed())
}

/// Follows the file of accounts and regions. When it changes, all keys are due.
fn follow_locations(
    services: &Arc<Services>,
    config: &Config,
    objects: &Arc<Objects>,
    known: Arc<Locations>,
) -> Vec<Background> {
    let Some(path) = config.accounts_file.clone() else { return Vec::new() };
    let locations = watch::Sender::new(known);
    let (mut changes, queue, objects) = (locations.subscribe(), services.queue.clone(), objects.clone());
    let take_in = async move {
        while changes.changed().await.is_ok() {
            objects.groups.change_locations(changes.borrow_and_update().clone(), &objects.resources);
            queue.add_all(objects.keys());
        }
    };
    vec![Box::new(move || locations_file::follow(path, locations).boxed()), Box::new(move || take_in.boxed())]
}

fn settings(config: &Config, locations: Arc<Locations>) -> Settings {
    Settings {
        locations,
        adoption_grace: config.adoption_grace,
        dry_run: config.dry_run,
        poll_shortest: config.poll.0,
        poll_longest: config.poll.1,
        observe_interval: config.observe_interval,
        release_timeout: config.release_timeout,
    }
}
