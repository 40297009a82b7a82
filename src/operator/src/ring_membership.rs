//! How the process takes part in the ring.

use std::collections::BTreeSet;

use booking_ring::{
    kubernetes::{self as ring, RingConfig, RingHandle},
    time::Stamp,
};
use booking_runtime::ownership::ring::RingMembership;
use bookings::run::budget_reports::Payloads;
use kube::Client;

use crate::args::Config;

/// Takes part in the ring that the configuration names. `began` is when the process began.
///
/// # Errors
/// The configuration is invalid.
pub fn join(
    client: Client,
    config: &Config,
    own_namespace: String,
    began: Stamp,
) -> Result<RingMembership, ring::ConfigError> {
    let args = config.ring.clone();
    let config = RingConfig {
        families: family_names(config),
        scope: config.namespace.clone(),
        dry_run: config.dry_run,
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

/// The names of the families that the process works on, for its Lease.
pub fn family_names(config: &Config) -> BTreeSet<String> {
    config.families.iter().map(|family| family.name.to_owned()).collect()
}

/// The payloads that the members of a ring exchange.
pub struct RingPayloads(pub RingHandle);

impl Payloads for RingPayloads {
    fn of_others(&self) -> Vec<String> {
        self.0.payloads().into_values().collect()
    }

    fn set_own(&self, payload: String) {
        self.0.set_payload(payload);
    }
}
