//! The effects of a pass as steps: what a decision comes to, what each step writes, and how it reads in a history.

use std::{collections::VecDeque, sync::Arc};

use bookings::{
    api::{Booking, BookingStatus, FINALIZER, Resource},
    decide::groups::output::{Call, Decision, Finalizer},
};
use jiff::Timestamp;

use super::{
    cache::Snapshot,
    keys::Step,
    store::{Found, Object, Value},
};

/// The effects of a decision, in their order.
pub(super) fn steps(snapshot: &Snapshot, decision: Decision) -> VecDeque<Step> {
    let mut steps = VecDeque::new();
    if decision.finalizer == Finalizer::Add {
        steps.push_back(Step::Finalizer(true));
    }
    let (first, calls): (Vec<Call>, Vec<Call>) = decision
        .calls
        .into_iter()
        .partition(|call| decision.hints.starts_first && matches!(call, Call::Start(_)));
    steps.extend(first.into_iter().map(Step::Call));
    let mut later = Vec::new();
    for (uid, status) in decision.booking_statuses {
        let is_it = |object: &&Object| {
            object.booking().is_some_and(|booking| booking.metadata.uid.as_deref() == Some(&*uid))
        };
        let Some(object) = snapshot.bookings.iter().find(is_it) else { continue };
        let old = object.booking().and_then(|booking| booking.status.as_ref());
        let step = Step::Booking(object.clone(), Box::new(status.clone()));
        if old.is_none_or(|old| weight(old) != weight(&status)) {
            steps.push_back(step);
        } else {
            later.push(step);
        }
    }
    steps.extend(decision.resource_status.map(|status| Step::Resource(Box::new(status))));
    steps.extend(calls.into_iter().map(Step::Call));
    steps.extend(later);
    if decision.finalizer == Finalizer::Remove {
        steps.push_back(Step::Finalizer(false));
    }
    steps
}

/// The parts of a status that others rely on.
fn weight(status: &BookingStatus) -> [Option<&str>; 4] {
    [&status.status, &status.granted_resource, &status.granted_from, &status.granted_until]
        .map(Option::as_deref)
}

pub(super) fn write_of(step: &Step, known: Option<&Object>) -> Option<(Arc<str>, Found, Value)> {
    let object = if let Step::Booking(object, _) = step { object } else { known? };
    let value = match step {
        Step::Booking(object, status) => {
            Value::Booking(Arc::new(Booking { status: Some(*status.clone()), ..object.booking()?.clone() }))
        }
        Step::Resource(status) => {
            let resource = object.resource()?.clone();
            Value::Resource(Arc::new(Resource { status: Some(*status.clone()), ..resource }))
        }
        Step::Finalizer(add) => {
            let mut resource = object.resource()?.clone();
            resource.metadata.finalizers = add.then(|| vec![FINALIZER.to_owned()]);
            Value::Resource(Arc::new(resource))
        }
        Step::Call(_) => return None,
    };
    Some((object.name.clone(), Found { uid: object.uid.clone(), version: object.version }, value))
}

pub(super) fn told(step: &Step, time: Timestamp) -> String {
    match step {
        Step::Booking(object, status) => format!(
            "writes {}: {} granted {} to {} (its time {time})",
            object.name,
            status.status.as_deref().unwrap_or("-"),
            status.granted_from.as_deref().unwrap_or("-"),
            status.granted_until.as_deref().unwrap_or("-")
        ),
        Step::Resource(status) => {
            let holder = status.holder.as_ref().map_or("nobody", |holder| holder.user.as_str());
            format!("writes status: held by {holder}")
        }
        Step::Finalizer(add) => format!("finalizer: {add}"),
        Step::Call(call) => format!("{call:?} (its time {time})"),
    }
}
