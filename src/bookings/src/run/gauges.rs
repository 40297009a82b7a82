//! Gauges that are computed for each scrape: counts of objects, and the state of the clouds.

use std::sync::{Arc, PoisonError};

use booking_budget::Action;
use booking_cloud::{CloudKey, Dispatcher};
use booking_runtime::clock::Clock;
use metrics::{describe_gauge, gauge};

use super::{clouds::OpenClouds, objects::Objects};

/// The sources of the numbers.
#[derive(Clone)]
pub struct Gauges {
    /// Bookings and Resources.
    pub objects: Arc<Objects>,
    /// Accounts and regions.
    pub clouds: Arc<OpenClouds>,
    /// What time it is.
    pub clock: Clock,
}

/// Describes the metrics to the process's recorder.
pub fn describe() {
    describe_gauge!(
        "booking_operator_bookings",
        "Bookings by state, as this replica sees them: all of them, not only those it works on."
    );
    describe_gauge!(
        "booking_operator_unready_seconds",
        "How long the booking has been due that has waited longest for its group, as this replica sees them; 0 if none is."
    );
    describe_gauge!(
        "booking_operator_machines",
        "Machines of Resources by use, as this replica sees them: booked (running for somebody), idle (running for nobody), stopped."
    );
    describe_gauge!(
        "booking_operator_cloud_broken",
        "1 while an account and region fails so often that it is asked seldom, else 0."
    );
    describe_gauge!(
        "booking_operator_cloud_budget_fill",
        "How full this replica's part of an action's token bucket is, from 0 to 1."
    );
    describe_gauge!(
        "booking_operator_cloud_budget_demand",
        "Machines or calls that wait for tokens of an action, or will in a moment."
    );
}

impl Gauges {
    /// Sets the gauges.
    #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
    pub async fn measure(&self) {
        let counts = self.objects.counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (state, number) in counts.bookings {
            gauge!("booking_operator_bookings", "state" => state).set(number as f64);
        }
        for (used, number) in counts.machines {
            gauge!("booking_operator_machines", "use" => used).set(number as f64);
        }
        let overdue =
            self.objects.overdue.lock().unwrap_or_else(PoisonError::into_inner).longest(self.clock.now());
        gauge!("booking_operator_unready_seconds").set(overdue.as_secs_f64());
        for cloud in self.clouds.all().await {
            of_cloud(&cloud);
        }
    }
}

/// The number of label values is limited by the file of accounts and regions.
#[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn of_cloud(cloud: &Dispatcher) {
    let CloudKey { account, region, service } = cloud.key().clone();
    let place = [("account", name(&account)), ("region", region), ("service", service)];
    gauge!("booking_operator_cloud_broken", &place).set(f64::from(u8::from(cloud.is_broken())));
    for action in Action::ALL {
        let standing = cloud.standing(action);
        let labels = [&place[..], &[("action", action.as_str().to_owned())]].concat();
        gauge!("booking_operator_cloud_budget_fill", &labels).set(standing.fill);
        gauge!("booking_operator_cloud_budget_demand", &labels).set(standing.demand as f64);
    }
}

/// The label value of an account: its role, or `own` for the operator's own account.
fn name(role: &str) -> String {
    if role.is_empty() { "own".to_owned() } else { role.to_owned() }
}
