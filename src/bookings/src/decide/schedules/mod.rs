//! BookingSchedulers: which Bookings a schedule asks for.
//!
//! An *occurrence* is an instant at which the schedule fires. It is dealt with once: booked, a minute ahead
//! ([`occurrences::LEAD`]), or left out (suspended, an exclusion, too late). `status.caught_up_to` says up to
//! where that has been done.
//!
//! Whatever is cut off in between, each occurrence has one Booking: its name is made of the scheduler's name
//! and the occurrence's start, so whoever creates it again finds that it exists. `caught_up_to` is written once all
//! Bookings before it exist; so one that somebody deletes afterwards is not created anew.
//!
//! | module | what |
//! |---|---|
//! | [`spec`] | what a stored BookingScheduler means, or what is wrong with it |
//! | [`occurrences`] | which occurrences are due, and which is the next |
//! | [`decide`](mod@decide) | the whole: Bookings to create and to remove, status, Events, the next wake-up |

pub mod decide;
pub mod occurrences;
pub mod spec;

pub use decide::{BOOKING_REFUSED, ScheduleInput, SchedulerDecision, booking_name, decide_scheduler};

#[cfg(test)]
mod tests;
