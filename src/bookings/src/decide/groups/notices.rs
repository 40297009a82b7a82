//! Decides which recipients of a Booking get which notices: each recipient gets one notice about each event, and
//! another one if the end of the Booking changes.
//!
//! The deliveries are recorded in `status.notified`, after the notice was sent. If a process dies in between, the
//! next process sends the notice a second time. No notice is lost. A decision takes no I/O: the results of notices
//! that were handed out come back as [`Deliveries`].

pub mod text;

use std::{collections::BTreeMap, time::Duration};

use crate::api::{Booking, BookingStatus, Notification, Notified, booking_state};
use jiff::{Timestamp, tz::TimeZone};

use crate::decide::{
    groups::{
        booking::{ValidBooking, granted_window},
        progress::reason,
    },
    subject::{Note, Subject},
};
use booking_calendar::{
    instant::{self, after},
    window::Window,
    zone::time_zone,
};
pub use booking_decision::Delivery;
use booking_decision::{EventType, condition::reason_of};

pub use booking_decision::names::digest;

/// Minutes before the end at which `before_end` is told, unless a notification says otherwise.
const BEFORE_END: i64 = 20;
/// How long after the end of a Booking a failure is still reported.
const AFTERMATH: Duration = Duration::from_mins(10);
/// The most records that are kept: 50 notifications of four events, and earlier versions of them.
const RECORDS_MAX: usize = 256;
/// The longest problem text that is kept.
const PROBLEM_MAX_CHARS: usize = 200;
/// Reasons of Ready that are a failure for the Booking's user if they occur during the Booking.
const FAILURES: [&str; 10] = [
    reason::CLOUD_ERROR,
    reason::FOREIGN_LOCK,
    reason::NO_INSTANCES,
    reason::UNMANAGEABLE,
    reason::GROUP_CLAIMED,
    reason::MANUAL_HOLD_MALFORMED,
    reason::RESOURCE_NOT_FOUND,
    reason::RESOURCE_INVALID,
    reason::WAITING,
    reason::NEVER_HELD,
];

/// What a recipient is told about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Happening {
    /// The booking ends soon.
    BeforeEnd,
    /// It holds its group.
    Start,
    /// Its whole group is ready.
    Ready,
    /// The operator cannot serve it.
    Failure,
}

impl Happening {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::BeforeEnd, Self::Start, Self::Ready, Self::Failure];

    /// The word in `notifications[].on`.
    pub fn word(self) -> &'static str {
        match self {
            Self::BeforeEnd => "before_end",
            Self::Start => "start",
            Self::Ready => "ready",
            Self::Failure => "failure",
        }
    }
}

/// The identity of a notice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NoticeId {
    /// UID of the Booking.
    pub booking_uid: String,
    /// `email` or `webhook`.
    pub type_: String,
    /// Address or URL.
    pub recipient: String,
    /// What happened.
    pub happening: Happening,
    /// The instant that it is about. For a failure, its reason too.
    pub about: String,
}

/// A message for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its identity.
    pub id: NoticeId,
    /// The Booking's namespace.
    pub namespace: String,
    /// Its name.
    pub booking: String,
    /// The Resource that it books.
    pub resource: String,
    /// The Booking's user.
    pub user: String,
    /// The window that is granted, or that the Booking asks for.
    pub window: Window,
    /// The time zone of the times in the text.
    pub zone: TimeZone,
    /// The message of its Ready condition.
    pub ready: String,
    /// After this instant the notice is useless.
    pub deadline: Timestamp,
}

/// The known deliveries of notices that were handed out.
pub type Deliveries = BTreeMap<NoticeId, Delivery>;

/// What one decision does about a Booking's notifications.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    /// Notices to send, including those that were handed out before.
    pub(crate) notices: Vec<Notice>,
    /// When the next is due.
    pub(crate) next: Option<Timestamp>,
    /// Events to publish.
    pub(crate) events: Vec<Note>,
}

/// Decides which notices to send, and records in `status` what was sent. `status` is the new status, without that
/// record.
pub(crate) fn tell(
    booking: &Booking,
    valid: &ValidBooking,
    status: &mut BookingStatus,
    deliveries: &Deliveries,
    now: Timestamp,
) -> Telling {
    let mut telling = Telling::default();
    let notifications = booking.spec.notifications.as_deref().unwrap_or_default();
    if notifications.is_empty() {
        return telling;
    }
    let old = booking.status.clone().unwrap_or_default();
    let mut notified = old.notified.clone();
    // The predecessor has told the recipients about the end that the Booking had then.
    let told_by_original =
        old.notification_sent == Some(true) && notified.is_empty() && old.granted_until.is_none();
    // A notice that was handed out is recorded, also if nothing is due any more.
    for (id, delivery) in deliveries.iter().filter(|(id, _)| id.booking_uid == valid.uid) {
        if !notified.iter().any(|record| is_of(record, id)) {
            telling.events.extend(failed(id, delivery));
            notified.push(record(id, delivery));
        }
    }
    let mut asked_for = Vec::new();
    for notification in notifications {
        for happening in Happening::ALL.into_iter().filter(|it| wants(notification, *it)) {
            let Some(due) = due(notification, happening, valid, status) else { continue };
            let id = NoticeId {
                booking_uid: valid.uid.clone(),
                type_: notification.type_.clone().unwrap_or_default(),
                recipient: notification.recipient.clone().unwrap_or_default(),
                happening,
                about: due.about,
            };
            asked_for.push(id.clone());
            if notified.iter().any(|record| is_of(record, &id)) {
                continue;
            }
            if told_by_original && happening == Happening::BeforeEnd {
                notified.push(record(&id, &Delivery { at: now, problem: None }));
            } else if due.from > now {
                telling.next = Some(telling.next.map_or(due.from, |next| next.min(due.from)));
            } else if now < due.until {
                telling.notices.push(notice(booking, valid, status, id, due.until));
            }
        }
    }
    // Records of notifications in the spec are kept, because without them the notices would be sent again.
    let mut surplus = notified.len().saturating_sub(RECORDS_MAX);
    notified.retain(|record| {
        let goes = surplus > 0 && !asked_for.iter().any(|id| is_of(record, id));
        surplus -= usize::from(goes);
        !goes
    });
    status.notification_sent = sent_of_end(notifications, &notified, status).or(old.notification_sent);
    status.notified = notified;
    telling
}

/// The status of a Booking with the delivery of a notice added. None if the status records it already, or if the
/// Booking has no status.
pub fn recorded(booking: &Booking, id: &NoticeId, delivery: &Delivery) -> Option<BookingStatus> {
    let old = booking.status.as_ref()?;
    if old.notified.iter().any(|record| is_of(record, id)) {
        return None;
    }
    let mut status = old.clone();
    status.notified.push(record(id, delivery));
    let notifications = booking.spec.notifications.as_deref().unwrap_or_default();
    status.notification_sent =
        sent_of_end(notifications, &status.notified, &status).or(old.notification_sent);
    Some(status)
}

/// When a notice is useful, and what it is about.
struct Due {
    from: Timestamp,
    until: Timestamp,
    about: String,
}

/// None while it is unknown whether there will be something to tell.
fn due(
    notification: &Notification,
    happening: Happening,
    valid: &ValidBooking,
    status: &BookingStatus,
) -> Option<Due> {
    let holds = status.status.as_deref() == Some(booking_state::IN_PROGRESS);
    let why = reason_of(&status.conditions, "Ready").unwrap_or_default();
    let window = granted_window(status).unwrap_or(valid.window);
    let at_start = |when: bool| {
        when.then(|| Due { from: window.from, until: window.until, about: window.from.to_string() })
    };
    match happening {
        Happening::BeforeEnd if holds => {
            let minutes = notification.notify_before_minutes.unwrap_or(BEFORE_END);
            let before = Duration::from_mins(u64::try_from(minutes).unwrap_or_default());
            let from = window.until.checked_sub(before).unwrap_or(Timestamp::MIN).max(window.from);
            Some(Due { from, until: window.until, about: window.until.to_string() })
        }
        Happening::BeforeEnd => None,
        Happening::Start => at_start(holds),
        Happening::Ready => at_start(holds && why == reason::HELD),
        Happening::Failure => FAILURES.contains(&why).then(|| Due {
            from: valid.window.from,
            until: after(valid.window.until, AFTERMATH),
            about: format!("{} {why}", valid.window.from),
        }),
    }
}

fn wants(notification: &Notification, happening: Happening) -> bool {
    match notification.on.as_deref() {
        None | Some([]) => happening == Happening::BeforeEnd,
        Some(words) => words.iter().any(|word| word == happening.word()),
    }
}

fn notice(
    booking: &Booking,
    valid: &ValidBooking,
    status: &BookingStatus,
    id: NoticeId,
    deadline: Timestamp,
) -> Notice {
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
    Notice {
        id,
        namespace: booking.metadata.namespace.clone().unwrap_or_default(),
        booking: valid.name.clone(),
        resource: booking.spec.resource_name.clone().unwrap_or_default(),
        user: valid.user.clone(),
        window: granted_window(status).unwrap_or(valid.window),
        zone: zone(booking),
        ready: ready.map(|condition| condition.message.clone()).unwrap_or_default(),
        deadline,
    }
}

/// The Booking's time zone, or else the offset in which its end was written.
fn zone(booking: &Booking) -> TimeZone {
    let named = booking.spec.time_zone.as_deref().and_then(time_zone);
    let offset = || {
        let end: jiff::fmt::temporal::Pieces<'_> =
            jiff::fmt::temporal::Pieces::parse(booking.spec.end_at.as_deref()?).ok()?;
        end.to_numeric_offset().map(TimeZone::fixed)
    };
    named.or_else(offset).unwrap_or(TimeZone::UTC)
}

fn is_of(record: &Notified, id: &NoticeId) -> bool {
    record.type_ == id.type_
        && record.recipient == id.recipient
        && record.event == id.happening.word()
        && record.about == id.about
}

fn record(id: &NoticeId, delivery: &Delivery) -> Notified {
    Notified {
        type_: id.type_.clone(),
        recipient: id.recipient.clone(),
        event: id.happening.word().to_owned(),
        about: id.about.clone(),
        at: instant::seconds(delivery.at),
        problem: delivery.problem.as_deref().map(|text| text.chars().take(PROBLEM_MAX_CHARS).collect()),
    }
}

fn failed(id: &NoticeId, delivery: &Delivery) -> Option<Note> {
    let problem = delivery.problem.as_ref()?;
    Some(Note {
        subject: Subject::Booking(id.booking_uid.clone()),
        type_: EventType::Warning,
        reason: "NotificationFailed",
        message: format!(
            "{} to {} was not sent: {problem}",
            id.happening.word(),
            booking_decision::text::cut(&id.recipient)
        ),
    })
}

/// Whether every recipient of `before_end` has been told about the end that the Booking has now.
fn sent_of_end(
    notifications: &[Notification],
    notified: &[Notified],
    status: &BookingStatus,
) -> Option<bool> {
    let until = granted_window(status)?.until.to_string();
    let mut wanted = notifications.iter().filter(|it| wants(it, Happening::BeforeEnd)).peekable();
    wanted.peek()?;
    Some(wanted.all(|notification| {
        notified.iter().any(|record| {
            record.event == Happening::BeforeEnd.word()
                && record.about == until
                && Some(&record.recipient) == notification.recipient.as_ref()
                && Some(&record.type_) == notification.type_.as_ref()
                && record.problem.is_none()
        })
    }))
}
