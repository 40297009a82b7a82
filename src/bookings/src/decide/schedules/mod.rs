//! BookingSchedulers: which Bookings a schedule asks for.
//!
//! An *occurrence* is an instant at which the schedule fires. Each occurrence is dealt with once. It is booked a
//! minute ahead ([`occurrences::LEAD`]), or it is left out (suspended, an exclusion, too late). `status.caught_up_to`
//! says up to which instant that has been done.
//!
//! Each occurrence has one Booking, even if a process dies at any point. The Booking's name consists of the
//! scheduler's name and the occurrence's start, so a second creation finds that it exists. `caught_up_to` is written
//! after all Bookings before it exist, so a Booking that a user deletes later is not created again.
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
