//! What a stored ResourceMonitor means, or what is wrong with it.

use std::time::Duration;

use crate::api::{RESOURCE_TYPES, ResourceMonitor};

use crate::decide::locations::{Location, Locations, NotAllowed};
use booking_decision::{InvalidSpec, text::cut};

/// Seconds between two discovery scans.
const INTERVAL: i64 = 60;
const INTERVAL_MIN: i64 = 10;
const INTERVAL_MAX: i64 = 86_400;

/// A ResourceMonitor with a valid spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidMonitor<'a> {
    /// Kind of machines.
    pub type_: &'a str,
    /// Time between two discovery scans.
    pub interval: Duration,
}

/// The location in which a ResourceMonitor scans.
///
/// # Errors
/// [`NotAllowed`] names the field.
pub fn location(monitor: &ResourceMonitor, locations: &Locations) -> Result<Location, NotAllowed> {
    let namespace = monitor.metadata.namespace.as_deref().unwrap_or_default();
    locations.find(namespace, monitor.spec.role_arn.as_deref(), monitor.spec.region.as_deref())
}

/// Validates a ResourceMonitor.
///
/// # Errors
/// [`InvalidSpec`] names the first invalid field.
pub fn validate(monitor: &ResourceMonitor) -> Result<ValidMonitor<'_>, InvalidSpec> {
    let type_ = monitor.spec.type_.as_deref().unwrap_or_default();
    if !RESOURCE_TYPES.contains(&type_) {
        let problem = format!("{:?} is unknown; known: {}", cut(type_), RESOURCE_TYPES.join(", "));
        return Err(InvalidSpec::new("type", problem));
    }
    let interval = monitor.spec.interval_seconds.unwrap_or(INTERVAL);
    let allowed = u64::try_from(interval).ok().filter(|_| (INTERVAL_MIN..=INTERVAL_MAX).contains(&interval));
    let interval = allowed.map(Duration::from_secs).ok_or_else(|| {
        let problem = format!("{interval} is not allowed; it is {INTERVAL_MIN} to {INTERVAL_MAX}");
        InvalidSpec::new("interval_seconds", problem)
    })?;
    Ok(ValidMonitor { type_, interval })
}
