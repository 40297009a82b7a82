//! The hook for throttling. Every call asks here before anything else happens to it.

use std::fmt::Debug;

use super::model::Scope;
use super::time::SimTime;

/// What throttling knows of a call. AWS keeps its buckets by account, region and action.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionCall<'a> {
    /// The time of the call.
    pub now: SimTime,
    /// The account and region of the call.
    pub scope: &'a Scope,
    /// The action, for example `StartInstances`.
    pub action: &'a str,
    /// The number of instances that it names. It takes this number of tokens from a resource bucket.
    pub instance_ids: usize,
    /// Whether it is a describe with a filter, with a page size or with ids. Such a describe uses a larger bucket.
    pub narrowed: bool,
}

/// The answer to too many calls: `RequestLimitExceeded` of EC2, `Throttling` of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttled;

/// Decides which calls are admitted.
pub trait Admission: Debug + Send + Sync {
    /// Admits a call, or throttles it.
    ///
    /// # Errors
    ///
    /// `Throttled` if the caller has to slow down.
    fn admit(&self, call: AdmissionCall<'_>) -> Result<(), Throttled>;
}

/// Admits every call.
#[derive(Clone, Copy, Debug, Default)]
pub struct AdmitAll;

impl Admission for AdmitAll {
    fn admit(&self, _call: AdmissionCall<'_>) -> Result<(), Throttled> {
        Ok(())
    }
}
