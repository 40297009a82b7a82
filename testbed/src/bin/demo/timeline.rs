//! Prints what a user sees, line by line, as it changes.

use std::time::Duration;

use bookings::api::{Booking, Resource, group_state};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Condition, jiff::Timestamp};
use kube::{
    Api, Client,
    runtime::{WatchStreamExt, watcher},
};

use crate::common::{Failure, NAMESPACE};

/// How long everything may take after the end of the booking.
const SETTLE_LIMIT: Duration = Duration::from_secs(20);

/// Prints each change until the booking is finished and its group is stopped and free. Returns the instant at which the
/// booking was first seen ready.
pub(crate) async fn follow(
    client: &Client,
    booking: &str,
    resource: &str,
    (start, end): (Timestamp, Timestamp),
) -> Result<Timestamp, Failure> {
    let left = end.duration_since(Timestamp::now()).unsigned_abs() + SETTLE_LIMIT;
    println!(
        "{:>9}  {:<12} {:<10} {:<9} {:<10} running",
        "from start", "booking", "reason", "group", "locked by"
    );
    tokio::time::timeout(left, watch(client, booking, resource, start))
        .await
        .map_err(|_| "the booking did not come to its end")?
}

/// What a user would read of both objects.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    booking: String,
    reason: String,
    group: String,
    locked_by: String,
    running: String,
}

enum Change {
    Booking(Box<Booking>),
    Resource(Box<Resource>),
}

async fn watch(
    client: &Client,
    booking: &str,
    resource: &str,
    start: Timestamp,
) -> Result<Timestamp, Failure> {
    let named = |name: &str| watcher::Config::default().fields(&format!("metadata.name={name}"));
    let bookings: Api<Booking> = Api::namespaced(client.clone(), NAMESPACE);
    let resources: Api<Resource> = Api::namespaced(client.clone(), NAMESPACE);
    let bookings = watcher(bookings, named(booking)).applied_objects();
    let resources = watcher(resources, named(resource)).applied_objects();
    let mut changes = stream::select(
        bookings.map_ok(|booking| Change::Booking(Box::new(booking))).boxed(),
        resources.map_ok(|resource| Change::Resource(Box::new(resource))).boxed(),
    );
    let mut shown = Seen::default();
    let mut ready_at = None;
    while let Some(change) = changes.try_next().await? {
        let mut seen = shown.clone();
        match change {
            Change::Booking(booking) => seen.read_booking(&booking),
            Change::Resource(resource) => seen.read_resource(&resource),
        }
        if seen != shown {
            seen.print(start);
        }
        if seen.reason == "Held" && ready_at.is_none() {
            ready_at = Some(Timestamp::now());
        }
        shown = seen;
        if let Some(ready_at) = ready_at.filter(|_| shown.is_over()) {
            return Ok(ready_at);
        }
    }
    Err("the watch ended".into())
}

impl Seen {
    fn read_booking(&mut self, booking: &Booking) {
        let status = booking.status.clone().unwrap_or_default();
        self.reason = reason(&status.conditions);
        self.booking = status.status.unwrap_or_default();
    }

    fn read_resource(&mut self, resource: &Resource) {
        let status = resource.status.clone().unwrap_or_default();
        self.group = status.status.unwrap_or_default();
        self.locked_by = status.locked_by.filter(|user| !user.is_empty()).unwrap_or_else(|| "-".into());
        self.running = format!("{}/{}", status.running.unwrap_or(0), status.instances.unwrap_or(0));
    }

    fn is_over(&self) -> bool {
        self.booking == "FINISHED" && self.group == group_state::STOPPED && self.locked_by == "-"
    }

    fn print(&self, start: Timestamp) {
        let since = Timestamp::now().duration_since(start).as_millis();
        let Self { booking, reason, group, locked_by, running } = self;
        println!("{since:>7} ms  {booking:<12} {reason:<10} {group:<9} {locked_by:<10} {running}");
    }
}

fn reason(conditions: &[Condition]) -> String {
    conditions
        .iter()
        .find(|condition| condition.type_ == "Ready")
        .map(|condition| condition.reason.clone())
        .unwrap_or_default()
}
