//! The place of the throttling: every call asks here before anything else happens to it.

use std::fmt::Debug;

use super::model::Scope;
use super::time::SimTime;

/// What throttling knows of a call. AWS keeps its buckets by account, region and action.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionCall<'a> {
    /// When.
    pub now: SimTime,
    /// Whose.
    pub scope: &'a Scope,
    /// Such as `StartInstances`.
    pub action: &'a str,
    /// How many instances it names: the draw on a resource bucket.
    pub instance_ids: usize,
    /// A describe with a filter, with a page size or with ids, which draws on a larger bucket.
    pub narrowed: bool,
}

/// The answer to too many calls: `RequestLimitExceeded` of EC2, `Throttling` of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttled;

/// Decides which calls get in.
pub trait Admission: Debug + Send + Sync {
    /// Lets a call in, or throttles it.
    ///
    /// # Errors
    ///
    /// `Throttled` when the caller has to slow down.
    fn admit(&self, call: AdmissionCall<'_>) -> Result<(), Throttled>;
}

/// Lets every call in.
#[derive(Clone, Copy, Debug, Default)]
pub struct AdmitAll;

impl Admission for AdmitAll {
    fn admit(&self, _call: AdmissionCall<'_>) -> Result<(), Throttled> {
        Ok(())
    }
}
