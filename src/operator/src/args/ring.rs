//! How replicas share the work, as flags.

#![allow(clippy::doc_markdown, reason = "field docs are the text of --help, where backticks only disturb")]

use std::time::Duration;

use booking_ring::{slot, timing::Timing};
use clap::Args;

use super::{ParseError, refused, values::parse_duration};

/// The flags that must fit together.
const TIMING: &str = "--lease-duration, --renew-interval, --permit-duration, --call-timeout";

/// How replicas share the work.
#[derive(Clone, Debug)]
pub struct RingArgs {
    /// Name of the ring object.
    pub name: String,
    /// Namespace of the ring object; none means the one of this process.
    pub namespace: Option<String>,
    /// Number of slots.
    pub slots: u16,
    /// Durations.
    pub timing: Timing,
    /// Name of the Pod, or of the machine.
    pub pod: String,
    /// Uid of the Pod and name of the container, where they are known.
    pub container: Option<String>,
    /// Release of this replica.
    pub release: String,
    /// Labels of all replicas' Pods, if their ends are to be looked at.
    pub pod_labels: Option<String>,
}

/// How replicas share the work.
#[derive(Debug, Args)]
pub(super) struct RingFlags {
    /// Name of the Ring object that replicas share their work by: each installation has its own.
    #[arg(long, env = "RING_NAME", default_value = "booking-operator", global = true)]
    ring_name: String,
    /// Namespace of the Ring object and its Leases; empty means that of this process.
    #[arg(long, env = "RING_NAMESPACE", default_value = "", global = true)]
    ring_namespace: String,
    /// Number of slots that keys are divided into, 1 to 4096; all replicas must agree.
    #[arg(long, env = "RING_SLOTS", default_value_t = slot::SLOTS_DEFAULT, value_parser = clap::value_parser!(u16).range(1..=i64::from(slot::SLOTS_MAX)), global = true)]
    ring_slots: u16,
    /// How long a replica must have been silent before others take over.
    #[arg(long, env = "LEASE_DURATION", default_value = "15s", value_parser = parse_duration, global = true)]
    lease_duration: Duration,
    /// Time between two signs of life of a replica.
    #[arg(long, env = "RENEW_INTERVAL", default_value = "3s", value_parser = parse_duration, global = true)]
    renew_interval: Duration,
    /// How long after its last sign of life a replica may begin calls and writes.
    #[arg(long, env = "PERMIT_DURATION", default_value = "8s", value_parser = parse_duration, global = true)]
    permit_duration: Duration,
    /// Longest time that such a call or write may take.
    #[arg(long, env = "CALL_TIMEOUT", default_value = "4s", value_parser = parse_duration, global = true)]
    call_timeout: Duration,
    /// Name of this replica's Pod.
    #[arg(long, env = "POD_NAME", default_value = "", hide = true, global = true)]
    pod_name: String,
    /// Uid of this replica's Pod.
    #[arg(long, env = "POD_UID", default_value = "", hide = true, global = true)]
    pod_uid: String,
    /// Name of this replica's container.
    #[arg(long, env = "CONTAINER_NAME", default_value = "operator", hide = true, global = true)]
    container_name: String,
    /// Label selector of the replicas' Pods, for example app=booking-operator: a container that the kubelet
    /// reports as ended is then followed after --call-timeout. Needs the right to list and watch Pods.
    #[arg(long, env = "POD_LABELS", default_value = "", global = true)]
    pod_labels: String,
    /// Tells replicas of a rolling update apart: slots go from leaving ones to the newest. For example the
    /// Pod's label pod-template-hash.
    #[arg(long, env = "RELEASE", default_value = "", global = true)]
    release: String,
}

/// Checks flags that must fit together.
///
/// # Errors
/// With the flags, the values and what is allowed.
pub(super) fn ring(flags: RingFlags) -> Result<RingArgs, ParseError> {
    let timing =
        Timing::new(flags.lease_duration, flags.renew_interval, flags.permit_duration, flags.call_timeout)
            .map_err(|error| refused(&format!("{error} ({TIMING})")))?;
    let version = env!("CARGO_PKG_VERSION");
    let release =
        if flags.release.is_empty() { version.to_owned() } else { format!("{version}+{}", flags.release) };
    let known = |text: String| Some(text).filter(|text| !text.is_empty());
    let container = known(flags.pod_uid).map(|uid| format!("{uid}/{}", flags.container_name));
    let pod = known(flags.pod_name).or_else(|| std::env::var("HOSTNAME").ok().and_then(known));
    Ok(RingArgs {
        name: flags.ring_name,
        namespace: known(flags.ring_namespace),
        slots: flags.ring_slots,
        timing,
        pod: pod.unwrap_or_else(|| "operator".to_owned()),
        container,
        release,
        pod_labels: known(flags.pod_labels),
    })
}
