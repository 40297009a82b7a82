//! A process's share of the work.

use booking_ring::{
    kubernetes::{self as ring, RingConfig, RingHandle},
    time::Stamp,
};
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;

use crate::args::Config;

/// Which part of the work is a process's.
pub enum Share {
    /// All of it, for nobody else works: in tests.
    Everything,
    /// What the ring gives to it.
    Ring(RingHandle, ObjectReference, BoxFuture<'static, ()>),
}

impl Share {
    /// A part in the ring that the configuration names, of a process that began then.
    ///
    /// # Errors
    /// When it makes no sense.
    pub fn in_ring(
        client: Client,
        config: &Config,
        own_namespace: String,
        began: Stamp,
    ) -> Result<Self, ring::ConfigError> {
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
        Ok(Self::Ring(handle, reference, Box::pin(run)))
    }
}
