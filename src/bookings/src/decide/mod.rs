//! The decisions of this family, as pure functions: no I/O, no clock, no cloud SDK.
//!
//! | module | the question it answers |
//! |---|---|
//! | [`groups`] | Given a Resource, all Bookings that name it and its machines: what is written, called and told now? |
//! | [`schedules`] | Given a BookingScheduler: which Bookings are created now? |
//! | [`monitors`] | Given a ResourceMonitor and what a scan found: which Resources are created now? |
//! | [`locations`] | Which accounts and regions may a namespace use? |
//! | [`settings`] | What are the operator's settings? |
//! | [`subject`] | Which object is an Event about? |
//! | [`injected_bugs`] | Which bugs can a test build inject? |
//!
//! Each answer is a value. The family's controllers carry it out.

pub mod groups;
pub mod injected_bugs;
pub mod locations;
pub mod monitors;
pub mod schedules;
pub mod settings;
pub mod subject;
