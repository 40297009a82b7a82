//! Standard Kubernetes conditions, which are rewritten only if they change.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use booking_calendar::instant::floor;

/// A condition before it is compared with the one in the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Its type, upper camel case.
    pub type_: &'static str,
    /// Whether the status is True. Otherwise it is False.
    pub status: bool,
    /// A word for programs, upper camel case.
    pub reason: &'static str,
    /// A sentence for users.
    pub message: String,
}

impl Draft {
    /// A draft of these parts.
    pub fn new(type_: &'static str, status: bool, reason: &'static str, message: impl Into<String>) -> Self {
        Self { type_, status, reason, message: message.into() }
    }
}

/// Turns drafts into conditions. A transition time changes only if the status of its condition does. A type without a
/// draft is dropped.
pub fn settle(
    old: &[Condition],
    drafts: Vec<Draft>,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    drafts
        .into_iter()
        .map(|draft| {
            let status = if draft.status { "True" } else { "False" };
            let known = old.iter().find(|known| known.type_ == draft.type_ && known.status == status);
            Condition {
                type_: draft.type_.to_owned(),
                status: status.to_owned(),
                reason: draft.reason.to_owned(),
                message: draft.message,
                observed_generation: generation,
                last_transition_time: known
                    .map_or_else(|| Time(floor(now)), |known| known.last_transition_time.clone()),
            }
        })
        .collect()
}

/// The reason of a condition, if it exists.
pub fn reason_of<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a str> {
    conditions.iter().find(|condition| condition.type_ == type_).map(|c| c.reason.as_str())
}

/// The first few of several names, because a condition must stay short and readable.
pub fn list(items: impl ExactSizeIterator<Item = String>) -> String {
    const SHOWN: usize = 5;
    let total = items.len();
    let shown: Vec<String> = items.take(SHOWN).collect();
    match total.checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{} and {more} more", shown.join(", ")),
        _ => shown.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_transition_time_moves_with_the_status_only() {
        // given a condition that has been there since second 1
        let draft = |status, message: &str| Draft::new("Ready", status, "R", message);
        let first = settle(&[], vec![draft(false, "a")], Some(1), at(1));
        // when only its message changes, then the time stays
        let second = settle(&first, vec![draft(false, "b")], Some(2), at(2));
        assert_eq!(second[0].last_transition_time, Time(at(1)));
        assert_eq!((second[0].message.as_str(), second[0].observed_generation), ("b", Some(2)));
        // when its status changes, then the time moves
        let third = settle(&second, vec![draft(true, "b")], Some(2), at(3));
        assert_eq!(third[0].last_transition_time, Time(at(3)));
    }

    #[test]
    fn a_long_list_is_cut_and_says_so() {
        let names = |n: u32| (0..n).map(|i| i.to_string()).collect::<Vec<_>>().into_iter();
        assert_eq!(list(names(2)), "0, 1");
        assert_eq!(list(names(5)), "0, 1, 2, 3, 4");
        assert_eq!(list(names(7)), "0, 1, 2, 3, 4 and 2 more");
    }
}
