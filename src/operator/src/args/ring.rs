//! The flags that say how replicas share the work.

#![allow(clippy::doc_markdown, reason = "field docs are the text of --help, where backticks only disturb")]

use std::time::Duration;

use booking_ring::{slot, timing::Timing};
use clap::Args;

use super::{ParseError, refused, values::parse_duration};

/// The names of the flags that must fit together.
const TIMING: &str = "--lease-duration, --renew-interval, --permit-duration, --call-timeout";

/// How replicas share the work.
#[derive(Clone, Debug)]
pub struct RingArgs {
    /// Name of the ring object.
    pub name: String,
    /// Namespace of the ring object. None means the namespace of this process.
    pub namespace: Option<String>,
    /// Number of slots.
    pub slots: u16,
    /// The ring's durations.
    pub timing: Timing,
    /// Name of the Pod, or of the machine.
    pub pod: String,
    /// Uid of the Pod and name of the container, if they are known.
    pub container: Option<String>,
    /// Release of this replica.
    pub release: String,
    /// Label selector of all replicas' Pods. Set if the ends of their containers are followed.
    pub pod_labels: Option<String>,
}

/// The flags that say how replicas share the work.
#[derive(Debug, Args)]
pub(super) struct RingFlags {
    /// Name of the Ring object with which replicas share their work. Each installation has its own.
    #[arg(long, env = "RING_NAME", default_value = "booking-operator", global = true)]
    ring_name: String,
    /// Namespace of the Ring object and its Leases; empty means the namespace of this process.
    #[arg(long, env = "RING_NAMESPACE", default_value = "", global = true)]
    ring_namespace: String,
    /// Number of slots into which keys are divided, 1 to 4096. All replicas must agree.
    #[arg(
        long, env = "RING_SLOTS", default_value_t = slot::SLOTS_DEFAULT,
        value_parser = clap::value_parser!(u16).range(1..=i64::from(slot::SLOTS_MAX)), global = true,
    )]
    ring_slots: u16,
    /// How long a replica must be silent before others take over its work.
    #[arg(long, env = "LEASE_DURATION", default_value = "15s", value_parser = parse_duration, global = true)]
    lease_duration: Duration,
    /// Time between two renewals of a replica's Lease.
    #[arg(long, env = "RENEW_INTERVAL", default_value = "3s", value_parser = parse_duration, global = true)]
    renew_interval: Duration,
    /// How long after its last renewal a replica may begin calls and writes.
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
    /// Label selector of the replicas' Pods, for example app=booking-operator. If the kubelet reports that a
    /// container has ended, others take over its work after --call-timeout. Needs the right to list and watch Pods.
    #[arg(long, env = "POD_LABELS", default_value = "", global = true)]
    pod_labels: String,
    /// Distinguishes the replicas of a rolling update: slots move from stopping replicas to the newest release. For
    /// example the Pod's label pod-template-hash.
    #[arg(long, env = "RELEASE", default_value = "", global = true)]
    release: String,
}

/// Checks flags that must fit together.
///
/// # Errors
/// The flags, their values and what is allowed.
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
