//! Several permits as one: a call for several requests begins for all of them, and is over for all at once.

use std::{sync::Arc, time::Duration};

use booking_decision::permit::{Permit, PermitLapsed, RunningCall, UNLIMITED_CALL_TIMEOUT};

/// The permits of all requests of a call. In force while all are.
pub(super) struct Together(pub(super) Vec<Arc<dyn Permit>>);

impl Permit for Together {
    fn begin(&self) -> Result<Box<dyn RunningCall>, PermitLapsed> {
        let mut calls = Vec::with_capacity(self.0.len());
        for permit in &self.0 {
            match permit.begin() {
                Ok(call) => calls.push(call),
                Err(lapsed) => {
                    // Nothing has gone out: the others' calls are over.
                    calls.into_iter().for_each(RunningCall::replied);
                    return Err(lapsed);
                }
            }
        }
        Ok(Box::new(Calls(calls)))
    }

    fn call_timeout(&self) -> Duration {
        self.0.iter().map(|permit| permit.call_timeout()).min().unwrap_or(UNLIMITED_CALL_TIMEOUT)
    }
}

struct Calls(Vec<Box<dyn RunningCall>>);

impl RunningCall for Calls {
    fn replied(self: Box<Self>) {
        self.0.into_iter().for_each(RunningCall::replied);
    }
}

/// Whether a call could begin now.
pub(super) fn in_force(permit: &dyn Permit) -> bool {
    permit.begin().map(RunningCall::replied).is_ok()
}
