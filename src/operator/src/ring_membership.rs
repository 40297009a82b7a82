//! The process's part in the ring.

use booking_ring::{
    kubernetes::{self as ring, RingConfig, RingHandle},
    time::Stamp,
};
use booking_runtime::ownership::ring::RingMembership;
use bookings::run::budget_reports::Payloads;
use kube::Client;

use crate::args::Config;

/// Takes part in the ring that the configuration names, as a process that began then.
///
/// # Errors
/// When the configuration makes no sense.
pub fn join(
    client: Client,
    config: &Config,
    own_namespace: String,
    began: Stamp,
) -> Result<RingMembership, ring::ConfigError> {
    let args = config.ring.clone();
    let config = RingConfig {
        name: args.name,
        namespace: args.namespace.unwrap_or(own_namespace),
        timing: args.timing,
        slots: args.slots,
        pod: args.pod,
        container: args.container,
        started: began,
        release: args.release,
        pod_labels: args.pod_labels,
        termination_log: Some(ring::run::TERMINATION_LOG.into()),
    };
    let reference = ring::reference(&config.name, &config.namespace);
    let (handle, run) = ring::start(client, config)?;
    Ok(RingMembership::Member { handle, reference, run: Box::pin(run) })
}

/// What the members of a ring tell each other.
pub struct RingPayloads(pub RingHandle);

impl Payloads for RingPayloads {
    fn of_others(&self) -> Vec<String> {
        self.0.payloads().into_values().collect()
    }

    fn set_own(&self, payload: String) {
        self.0.set_payload(payload);
    }
}
