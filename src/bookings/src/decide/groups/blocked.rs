//! What is decided for a Resource that acts on nothing, and for Bookings without a Resource.

use crate::api::Resource;

use crate::decide::groups::{
    builder::DecisionBuilder,
    claim::has_finalizer,
    group::Blocked,
    input::GroupInput,
    locks::LockHistory,
    progress::{Progress, reason},
};
use booking_decision::{EventType, condition::Draft, text::cut};

impl DecisionBuilder<'_> {
    /// Decides for a Resource that acts on nothing.
    pub(crate) fn block(&mut self, resource: &Resource, blocked: &Blocked) {
        let (progress, on_bookings) = match blocked {
            Blocked::Invalid(error) => {
                (Progress::new(false, reason::INVALID, error.to_string()), reason::RESOURCE_INVALID)
            }
            Blocked::NotAllowed(why) => {
                (Progress::new(false, reason::NOT_ALLOWED, why.to_string()), reason::RESOURCE_INVALID)
            }
            Blocked::Claimed => {
                // The message names nothing, because the other Resource may be in a namespace that the reader may not
                // see.
                let message = "another Resource acts on the same group of machines";
                (Progress::new(false, reason::GROUP_CLAIMED, message), reason::GROUP_CLAIMED)
            }
        };
        self.block_bookings(&Progress { reason: on_bookings, ..progress.clone() });
        let mut more = Vec::new();
        if progress.reason != reason::GROUP_CLAIMED {
            more.push(Draft::new("Stalled", true, progress.reason, progress.message.clone()));
        }
        let old = resource.status.clone().unwrap_or_default();
        let (holder, released, idle_since) = (old.holder, old.released_locks, old.idle_since);
        // A holder that was not shown before is not shown now.
        let is_prelock = old.locked_by.unwrap_or_default().is_empty();
        let lock_history = LockHistory { holder, released, idle_since, stands: false, is_prelock };
        self.publish_resource(resource, &progress, None, &lock_history, more);
        if resource.metadata.deletion_timestamp.is_some() && has_finalizer(resource) {
            self.remove_finalizer(EventType::Normal, "nothing of it is left to do".to_owned());
        }
        // The next pass costs no call, and the reason why this Resource is blocked may change without a watch event.
        self.wake.after(self.settings.observe_interval);
    }

    /// Tells Bookings that their Resource does not exist.
    pub(crate) fn block_without_resource(&mut self) {
        let why = no_resource(&self.input);
        self.block_bookings(&Progress::new(false, reason::RESOURCE_NOT_FOUND, why));
    }
}

/// All Bookings of a key name the same Resource.
fn no_resource(input: &GroupInput<'_>) -> String {
    let name = input.bookings.first().and_then(|one| one.booking.spec.resource_name.as_deref());
    format!("spec.resource_name: no Resource {:?} exists in the namespace", cut(name.unwrap_or_default()))
}
