//! `demo` shows a booking on a real API server and a simulated EC2. A group of three machines is discovered and booked,
//! from applied to finished. A schedule books another one, and a mail announces the end. With KEEP=1 everything stays
//! up until Ctrl-C.

mod common;
mod extras;
mod timeline;

use std::{env, path::PathBuf, process::ExitCode};

use bookings::api::{Booking, BookingSpec};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::{Api, Client, api::PostParams};
use tempfile::TempDir;
use testbed::{
    control_plane::ControlPlane,
    ec2::{AddInstances, CallQuery, CallRecord, Ec2Config, Ec2Simulator, InstanceState, SettingsPatch},
    replica::{REGION, Replica, ReplicaConfig, install_crds, quick_ring},
    smtp::SmtpServer,
};

use crate::common::{Failure, NAMESPACE, RESOURCE};

/// The demo fails if a start or stop call goes out later than this.
const LATE_LIMIT_MS: i64 = 500;
const BOOKING: &str = "quarterly-report";

#[tokio::main]
async fn main() -> ExitCode {
    match demo().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("demo: failed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// All running processes. They end with this value.
struct Scene {
    control_plane: ControlPlane,
    ec2: Ec2Simulator,
    mail: Option<SmtpServer>,
    operator: Replica,
    log: PathBuf,
    _directory: TempDir,
}

async fn demo() -> Result<(), Failure> {
    let scene = set_up().await?;
    let client = scene.control_plane.client()?;
    extras::discover(&client).await?;
    extras::schedule(&client).await?;
    let window = book(&client).await?;
    let ready_at = timeline::follow(&client, BOOKING, RESOURCE, window).await?;
    if let Some(mail) = &scene.mail {
        extras::show_mail(mail).await?;
    }
    let figures = Figures::read(&scene.ec2, window, ready_at)?;
    let verdict = figures.judge();
    if env::var("KEEP").is_ok_and(|keep| !keep.is_empty() && keep != "0") {
        scene.keep_up().await?;
    }
    scene.operator.stop().await;
    scene.control_plane.stop().await;
    verdict.map(|line| println!("{line}"))
}

async fn set_up() -> Result<Scene, Failure> {
    println!("API server and etcd ...");
    let control_plane = ControlPlane::start().await?;
    println!("simulated EC2 with three stopped machines tagged analytics ...");
    let ec2 = simulated_ec2().await?;
    let mail = extras::mail_server().await;
    println!("CRDs, then the operator ...");
    install_crds(&control_plane).await?;
    let directory = tempfile::tempdir()?;
    let log = directory.path().join("operator.log");
    let looks = vec!["--poll-shortest=250ms".to_owned()];
    let flags = [looks, quick_ring().to_vec(), extras::mail_args(mail.as_ref())].concat();
    let args: Vec<&str> = flags.iter().map(String::as_str).collect();
    let operator = Replica::start(&ReplicaConfig {
        name: "demo-operator",
        kubeconfig: control_plane.kubeconfig(),
        ec2_url: &ec2.url(),
        log: &log,
        args: &args,
    })
    .await?;
    Ok(Scene { control_plane, ec2, mail, operator, log, _directory: directory })
}

async fn simulated_ec2() -> Result<Ec2Simulator, Failure> {
    let ec2 = Ec2Simulator::start(Ec2Config::default()).await?;
    ec2.world().change_settings(&SettingsPatch {
        pending_ms: Some(2_000),
        stopping_ms: Some(1_500),
        ..SettingsPatch::default()
    });
    let machines = AddInstances::count(3)
        .tag("resource-booking-application", "analytics")
        .tag("resource-booking-managed", "true")
        .state(InstanceState::Stopped);
    ec2.world().add_instances(&AddInstances { region: REGION.to_owned(), ..machines })?;
    Ok(ec2)
}

/// Applies a Booking of eight seconds. Returns its window.
async fn book(client: &Client) -> Result<(Timestamp, Timestamp), Failure> {
    let second = Timestamp::from_second(Timestamp::now().as_second())?;
    let start = second.checked_add(SignedDuration::from_secs(6))?;
    let end = start.checked_add(SignedDuration::from_secs(8))?;
    let booking = BookingSpec {
        resource_name: Some(RESOURCE.into()),
        start_at: Some(start.to_string()),
        end_at: Some(end.to_string()),
        user_id: Some("ann".into()),
        notifications: Some(vec![extras::notification()]),
        ..BookingSpec::default()
    };
    let bookings: Api<Booking> = Api::namespaced(client.clone(), NAMESPACE);
    bookings.create(&PostParams::default(), &Booking::new(BOOKING, booking)).await?;
    println!("ann books {RESOURCE} from {start} to {end}\n");
    Ok((start, end))
}

impl Scene {
    async fn keep_up(&self) -> Result<(), Failure> {
        let ec2 = self.ec2.url();
        println!("\nall of it stays up until Ctrl-C:");
        println!("  export KUBECONFIG={}", self.control_plane.kubeconfig().display());
        println!("  kubectl get booking-operator -o wide; kubectl describe booking {BOOKING}");
        println!("  EC2: {ec2} (call log: {ec2}/_admin/calls)");
        println!("  operator: {}, log {}", self.operator.metrics_url(), self.log.display());
        tokio::signal::ctrl_c().await?;
        Ok(())
    }
}

/// The figures of the demo, from the simulator's own log.
struct Figures {
    start_late_ms: i64,
    stop_late_ms: i64,
    ready_after_ms: i64,
    calls: Vec<CallRecord>,
}

impl Figures {
    fn read(
        ec2: &Ec2Simulator,
        (start, end): (Timestamp, Timestamp),
        ready_at: Timestamp,
    ) -> Result<Self, Failure> {
        let calls = ec2.world().calls(&CallQuery::default()).calls;
        let late = |action: &str, due: Timestamp| {
            let first = calls.iter().find(|call| call.facts.action == action);
            let arrived =
                first.ok_or_else(|| format!("no {action} call went out"))?.arrived.wall.unix_micros();
            Ok::<i64, Failure>((arrived - due.as_microsecond()).div_euclid(1000))
        };
        Ok(Self {
            start_late_ms: late("StartInstances", start)?,
            stop_late_ms: late("StopInstances", end)?,
            ready_after_ms: ready_at.as_millisecond() - start.as_millisecond(),
            calls,
        })
    }

    fn judge(&self) -> Result<String, Failure> {
        let Self { start_late_ms, stop_late_ms, ready_after_ms, calls } = self;
        let count = |action: &str| calls.iter().filter(|call| call.facts.action == action).count();
        let by_action = ["DescribeInstances", "StartInstances", "StopInstances", "CreateTags", "DeleteTags"]
            .map(|action| format!("{action} {}", count(action)))
            .join(", ");
        println!("\ncloud calls: {by_action}");
        println!(
            "start call {start_late_ms} ms after start_at, ready {ready_after_ms} ms after it, stop call {stop_late_ms} ms after end_at"
        );
        let on_time = |late: i64| (0..=LATE_LIMIT_MS).contains(&late);
        if !on_time(*start_late_ms) || !on_time(*stop_late_ms) {
            return Err(format!(
                "start {start_late_ms} ms, stop {stop_late_ms} ms: not within 0 to {LATE_LIMIT_MS} ms"
            )
            .into());
        }
        Ok(format!(
            "demo: ok start_late_ms={start_late_ms} stop_late_ms={stop_late_ms} cloud_calls={}",
            calls.len()
        ))
    }
}
