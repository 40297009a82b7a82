//! Whom to tell what: each recipient of a Booking once about each event, and again about another end.
//!
//! What was told stands in `status.notified`. It is written after the notification was sent: a process that dies
//! in between leaves it to the next one to send it once more, never to nobody. Deciding takes no I/O: what became
//! of notices that were handed out comes back as [`Deliveries`].

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

/// Time before the end, unless a notification says another.
const BEFORE_END: i64 = 20;
/// How long after the end of a booking a failure is still told.
const AFTERMATH: Duration = Duration::from_mins(10);
/// Records that are kept at most: 50 notifications of four events, and what they were before.
const RECORDS_MAX: usize = 256;
/// Longest problem that is kept.
const PROBLEM_MAX_CHARS: usize = 200;
/// Reasons of Ready, during a booking, that are a failure to the one who booked.
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

/// What somebody is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Happening {
    /// The booking ends soon.
    BeforeEnd,
    /// It holds its group.
    Start,
    /// Its whole group runs.
    Ready,
    /// It cannot be served.
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

/// What tells one notice from another.
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
    /// About which instant, and of a failure its reason.
    pub about: String,
}

/// Something to tell somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Which.
    pub id: NoticeId,
    /// The Booking's namespace.
    pub namespace: String,
    /// Its name.
    pub booking: String,
    /// What it books.
    pub resource: String,
    /// For whom.
    pub user: String,
    /// The window that it has, or wants.
    pub window: Window,
    /// Where its times are told.
    pub zone: TimeZone,
    /// What its Ready condition says.
    pub ready: String,
    /// When it is of no use any more.
    pub deadline: Timestamp,
}

/// What became of the notices that were handed out, as far as it is known.
pub type Deliveries = BTreeMap<NoticeId, Delivery>;

/// What comes of a Booking's notifications.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    /// To be sent; those handed out before are among them.
    pub(crate) notices: Vec<Notice>,
    /// When the next is due.
    pub(crate) next: Option<Timestamp>,
    /// To tell people.
    pub(crate) events: Vec<Note>,
}

/// Decides whom to tell, and records in `status` what was told. `status` is the new one, without that record.
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
    // The original operator has told of the end that the booking had then.
    let told_by_original =
        old.notification_sent == Some(true) && notified.is_empty() && old.granted_until.is_none();
    // What was handed out is recorded, whatever is due by now.
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
    // What is asked for stays, or it would be told again.
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

/// The status of a Booking once it records what became of a notice; none if it does already, or has no status.
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

/// When a notice is of use, and what it is about.
struct Due {
    from: Timestamp,
    until: Timestamp,
    about: String,
}

/// None while it is not known whether there will be something to tell.
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

/// The Booking's time zone; else the offset in which its end was written.
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

/// Whether everybody who wants to be told of the end has been told of the one that it has now.
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
