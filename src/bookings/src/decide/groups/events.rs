//! Kubernetes Events: what a user wants to know, derived from the changes in a status.

use crate::{
    api::{BookingStatus, ResourceStatus, booking_state},
    decide::subject::{Note, Subject},
};
use booking_decision::EventType;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::decide::groups::progress::reason;
use booking_calendar::instant;
use booking_decision::condition::reason_of;

/// The reasons that cause an Event when a Ready condition takes them on, with the Event's type. Reasons such as
/// Scheduled and Stopping are intermediate steps and appear only in the condition.
const REPORTED: [(&str, EventType); 16] = [
    (reason::QUEUED_FOR_CLOUD_BUDGET, EventType::Warning),
    (reason::HELD, EventType::Normal),
    (reason::WAITING, EventType::Normal),
    (reason::FINISHED, EventType::Normal),
    (reason::STOPPED, EventType::Normal),
    (reason::CLOUD_ERROR, EventType::Warning),
    (reason::FOREIGN_LOCK, EventType::Warning),
    (reason::NO_INSTANCES, EventType::Warning),
    (reason::UNMANAGEABLE, EventType::Warning),
    (reason::GROUP_CLAIMED, EventType::Warning),
    (reason::INVALID, EventType::Warning),
    (reason::NOT_ALLOWED, EventType::Warning),
    (reason::MANUAL_HOLD_MALFORMED, EventType::Warning),
    (reason::RESOURCE_NOT_FOUND, EventType::Warning),
    (reason::RESOURCE_INVALID, EventType::Warning),
    (reason::NEVER_HELD, EventType::Warning),
];

/// What happened to a Booking between two statuses.
pub(crate) fn booking_events(uid: &str, old: Option<&BookingStatus>, new: &BookingStatus) -> Vec<Note> {
    let subject = || Subject::Booking(uid.to_owned());
    let mut notes = Vec::new();
    let was = |status: &str| old.and_then(|old| old.status.as_deref()) == Some(status);
    if new.status.as_deref() == Some(booking_state::IN_PROGRESS) && !was(booking_state::IN_PROGRESS) {
        let until = new.granted_until.as_deref().unwrap_or_default();
        notes.push(Note {
            subject: subject(),
            type_: EventType::Normal,
            reason: "Started",
            message: format!("holds its group until {until}"),
        });
    }
    let accepted = new.conditions.iter().find(|c| c.type_ == "Accepted" && c.reason == "GrantedInPart");
    if let Some(accepted) = accepted
        && old.and_then(|old| reason_of(&old.conditions, "Accepted")) != Some("GrantedInPart")
    {
        notes.push(Note {
            subject: subject(),
            type_: EventType::Warning,
            reason: "GrantedInPart",
            message: accepted.message.clone(),
        });
    }
    let old_conditions = old.map(|old| old.conditions.as_slice()).unwrap_or_default();
    notes.extend(ready_event(subject(), old_conditions, &new.conditions));
    notes
}

/// What happened to a Resource between two statuses. Holds are reported on the Booking.
pub(crate) fn resource_events(
    old: Option<&ResourceStatus>,
    new: &ResourceStatus,
    now: Timestamp,
) -> Vec<Note> {
    let old_conditions = old.map(|old| old.conditions.as_slice()).unwrap_or_default();
    let mut notes: Vec<Note> = ready_event(Subject::Resource, old_conditions, &new.conditions)
        .into_iter()
        .filter(|note| note.reason != "Ready")
        .collect();
    for (type_, weight) in [("IdleStopPending", EventType::Normal), ("Unmanageable", EventType::Warning)] {
        let appeared = new.conditions.iter().find(|condition| condition.type_ == type_);
        if let Some(condition) = appeared
            && reason_of(old_conditions, type_).is_none()
        {
            notes.push(Note {
                subject: Subject::Resource,
                type_: weight,
                reason: type_,
                message: condition.message.clone(),
            });
        }
    }
    notes.extend(restarted(old, new, now));
    notes
}

/// The cloud has started a database that nobody holds: RDS does not keep a database stopped forever.
fn restarted(old: Option<&ResourceStatus>, new: &ResourceStatus, now: Timestamp) -> Option<Note> {
    let foretold = old?.automatic_restart_at.as_deref()?;
    let is_over = instant::parse(foretold).is_ok_and(|at| at <= now);
    let is_news = new.automatic_restart_at.as_deref() != Some(foretold);
    let is_undone = is_over && is_news && new.holder.is_none() && old?.holder.is_none();
    is_undone.then(|| Note {
        subject: Subject::Resource,
        type_: EventType::Normal,
        reason: "RestartedByCloud",
        message: format!(
            "RDS leaves nothing stopped for ever: a restart was due at {foretold}; stopped again if unbooked"
        ),
    })
}

fn ready_event(subject: Subject, old: &[Condition], new: &[Condition]) -> Option<Note> {
    let condition = new.iter().find(|condition| condition.type_ == "Ready")?;
    if reason_of(old, "Ready") == Some(condition.reason.as_str()) {
        return None;
    }
    let &(reason, type_) = REPORTED.iter().find(|(reason, _)| *reason == condition.reason)?;
    let reason = if reason == crate::decide::groups::progress::reason::HELD { "Ready" } else { reason };
    Some(Note { subject, type_, reason, message: condition.message.clone() })
}

/// Warns when a Ready condition takes on one of these reasons.
pub(crate) fn ready_warning(
    subject: Subject,
    old: &[Condition],
    new: &[Condition],
    reported: &[&'static str],
) -> Option<Note> {
    let ready = new.iter().find(|condition| condition.type_ == "Ready")?;
    let reason = *reported.iter().find(|reason| **reason == ready.reason)?;
    let is_news = reason_of(old, "Ready") != Some(reason);
    is_news.then(|| Note { subject, type_: EventType::Warning, reason, message: ready.message.clone() })
}
