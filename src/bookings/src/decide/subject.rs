//! Which object an Event is about.

/// What an Event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The Resource of the pass.
    Resource,
    /// One of its Bookings, by uid.
    Booking(String),
    /// The BookingScheduler of the pass.
    Scheduler,
    /// The ResourceMonitor of the pass.
    Monitor,
}

/// An Event about an object of this family.
pub type Note = booking_decision::Note<Subject>;
