//! What the demo shows in addition to the booking: the discovery of a monitor, the booking of a schedule, a mail.

use std::time::Duration;

use bookings::api::{
    Booking, BookingScheduler, BookingSchedulerSpec, BookingTemplate, Notification, Resource,
    ResourceMonitor, ResourceMonitorSpec,
};
use k8s_openapi::jiff::{Timestamp, tz::TimeZone};
use kube::{
    Api, Client, ResourceExt,
    api::PostParams,
    runtime::wait::{Condition, await_condition},
};
use testbed::smtp::{SmtpConfig, SmtpServer};

use crate::common::{Failure, NAMESPACE, RESOURCE};

const SCHEDULER: &str = "standup";
const MONITOR: &str = "all-machines";
/// The recipient of the booking's mail.
const RECIPIENT: &str = "ann@example.com";
/// The longest wait for anything. A schedule's booking is created a minute before its start.
const LIMIT: Duration = Duration::from_mins(1);
/// The schedule's booking starts this number of seconds from now, or up to a minute later. That is after the demo.
const AHEAD: i64 = 30;

/// The mail server of the demo. None if there is no Python to run it.
pub(crate) async fn mail_server() -> Option<SmtpServer> {
    println!("mail server ...");
    match SmtpServer::start(SmtpConfig::default()).await {
        Ok(server) => Some(server),
        Err(error) => {
            println!("  none, so no mail will be shown: {error}");
            None
        }
    }
}

/// The operator's arguments for that server.
pub(crate) fn mail_args(server: Option<&SmtpServer>) -> Vec<String> {
    let Some(server) = server else { return Vec::new() };
    vec![
        "--smtp-host=127.0.0.1".to_owned(),
        format!("--smtp-port={}", server.port()),
        "--smtp-sender=bookings@example.org".to_owned(),
    ]
}

/// The notification of the booking. The booking is shorter than 20 minutes, so it is sent at once.
pub(crate) fn notification() -> Notification {
    let (type_, recipient) = (Some("email".to_owned()), Some(RECIPIENT.to_owned()));
    Notification { type_, recipient, ..Notification::default() }
}

async fn when<K>(api: Api<K>, name: &str, what: &str, is: impl Condition<K>) -> Result<K, Failure>
where
    K: Clone + std::fmt::Debug + Send + serde::de::DeserializeOwned + kube::Resource + 'static,
{
    let waited = tokio::time::timeout(LIMIT, await_condition(api, name, is)).await;
    let found = waited.map_err(|_| format!("{what} did not come within {LIMIT:?}"))??;
    found.ok_or_else(|| format!("{what} is gone").into())
}

/// Applies a monitor, and waits for the Resource that it creates.
pub(crate) async fn discover(client: &Client) -> Result<(), Failure> {
    let monitors: Api<ResourceMonitor> = Api::namespaced(client.clone(), NAMESPACE);
    let spec = ResourceMonitorSpec { type_: Some("ec2".into()), ..ResourceMonitorSpec::default() };
    monitors.create(&PostParams::default(), &ResourceMonitor::new(MONITOR, spec)).await?;
    let resources: Api<Resource> = Api::namespaced(client.clone(), NAMESPACE);
    let is_seen = |it: Option<&Resource>| it.is_some_and(|it| it.status.is_some());
    let found = when(resources, RESOURCE, "the discovered Resource", is_seen).await?;
    let machines = found.status.and_then(|status| status.instances).unwrap_or_default();
    println!("the monitor {MONITOR} has discovered {RESOURCE}: {machines} machines");
    Ok(())
}

/// Applies a scheduler whose next occurrence is near, and waits for its Booking.
pub(crate) async fn schedule(client: &Client) -> Result<(), Failure> {
    let now = Timestamp::now().as_second();
    // This is the first full minute that is not too near, because the booking is created a minute before.
    let start = Timestamp::from_second((now + AHEAD).div_euclid(60) * 60 + 60)?.to_zoned(TimeZone::UTC);
    let spec = BookingSchedulerSpec {
        schedule: Some(start.strftime("%-M %-H * * *").to_string()),
        duration: Some(15),
        booking_template: Some(BookingTemplate {
            resource_name: Some("ec2.meeting-room".into()),
            user_id: Some("team".into()),
            ..BookingTemplate::default()
        }),
        ..BookingSchedulerSpec::default()
    };
    let schedulers: Api<BookingScheduler> = Api::namespaced(client.clone(), NAMESPACE);
    let schedule = spec.schedule.clone().unwrap_or_default();
    schedulers.create(&PostParams::default(), &BookingScheduler::new(SCHEDULER, spec)).await?;
    let bookings: Api<Booking> = Api::namespaced(client.clone(), NAMESPACE);
    let name = format!("{SCHEDULER}-{}", start.timestamp().as_second());
    let is_there = |it: Option<&Booking>| it.is_some();
    let booking = when(bookings, &name, "the schedule's Booking", is_there).await?;
    let (from, until) = (booking.spec.start_at.clone(), booking.spec.end_at.clone());
    let times = [from, until].map(Option::unwrap_or_default).join(" to ");
    println!("the schedule \"{schedule}\" has booked {}: {times}", booking.name_any());
    Ok(())
}

/// Prints the mail that the booking has caused.
pub(crate) async fn show_mail(server: &SmtpServer) -> Result<(), Failure> {
    let mails = server.wait_for(1, LIMIT).await?;
    let mail = mails.first().ok_or("no mail came")?;
    let subject = mail.subject.as_deref().unwrap_or_default();
    println!("\nmail to {}: {subject}", mail.recipients.join(", "));
    for line in mail.body.trim_end().lines() {
        println!("  | {line}");
    }
    Ok(())
}
