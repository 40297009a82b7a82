//! Slots as a text for people: `0-63,128,130-191`.

use std::fmt::Write as _;

use crate::slot::{SLOTS_MAX, Slot};

/// The length of the longest text: every second slot of the largest ring, with four digits and a comma each.
pub const TEXT_MAX: usize = SLOTS_MAX as usize / 2 * 5;

/// A text is not a list of slots.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// It is longer than any list can be.
    #[error("more than {TEXT_MAX} characters")]
    TooLong,
    /// A part is neither a number nor two numbers with a hyphen between them.
    #[error("{0:?} is no slot, nor a range of slots")]
    NoRange(String),
    /// A part begins before the end of the one before it, or ends before it begins.
    #[error("{0:?} is out of order")]
    Order(String),
    /// A part ends after the ring's last slot.
    #[error("{0:?} is beyond the last of {1} slots")]
    Beyond(String, u16),
}

/// Writes slots, given in ascending order.
pub fn write(slots: impl IntoIterator<Item = Slot>) -> String {
    let mut text = String::new();
    let mut range: Option<(u16, u16)> = None;
    for Slot(slot) in slots {
        range = Some(match range {
            Some((from, to)) if to.checked_add(1) == Some(slot) => (from, slot),
            done => {
                push(&mut text, done);
                (slot, slot)
            }
        });
    }
    push(&mut text, range);
    text
}

fn push(text: &mut String, range: Option<(u16, u16)>) {
    let Some((from, to)) = range else {
        return;
    };
    let comma = if text.is_empty() { "" } else { "," };
    // A write to a String cannot fail.
    let _ = if from == to { write!(text, "{comma}{from}") } else { write!(text, "{comma}{from}-{to}") };
}

/// Reads what [`write()`] wrote, for a ring of `slots` slots. Returns at most that number of slots.
///
/// # Errors
/// A [`RangeError`] if the text is not such a list.
pub fn read(text: &str, slots: u16) -> Result<Vec<Slot>, RangeError> {
    if text.len() > TEXT_MAX {
        return Err(RangeError::TooLong);
    }
    let mut read: Vec<Slot> = Vec::new();
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let no_range = || RangeError::NoRange(part.to_owned());
        let from = number(from).ok_or_else(no_range)?;
        let to = number(to).ok_or_else(no_range)?;
        if from > to || read.last().is_some_and(|last| last.0 >= from) {
            return Err(RangeError::Order(part.to_owned()));
        }
        if to >= slots {
            return Err(RangeError::Beyond(part.to_owned(), slots));
        }
        read.extend((from..=to).map(Slot));
    }
    Ok(read)
}

/// Reads digits only, because `parse` would also take a plus sign.
fn number(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn slots(slots: &[u16]) -> Vec<Slot> {
        slots.iter().copied().map(Slot).collect()
    }

    #[test]
    fn neighbours_become_ranges() {
        for (given, text) in [
            (&[][..], ""),
            (&[0], "0"),
            (&[7, 8], "7-8"),
            (&[0, 1, 2, 5, 7, 8], "0-2,5,7-8"),
            (&[u16::MAX - 1, u16::MAX], "65534-65535"),
        ] {
            assert_eq!(write(slots(given)), text);
        }
        assert_eq!(read("0-2,5", 6), Ok(slots(&[0, 1, 2, 5])));
        assert_eq!(read("", 6), Ok(vec![]));
    }

    #[test]
    fn what_is_no_list_of_slots_is_refused() {
        use RangeError::{Beyond, NoRange, Order, TooLong};
        let no_range = |part: &str| Err(NoRange(part.to_owned()));
        let order = |part: &str| Err(Order(part.to_owned()));
        for bad in ["x", "-", "1-", "-1", "+1", "1-2-3", " 1", "65536", "99999999999999999999"] {
            assert_eq!(read(bad, 4096), no_range(bad));
        }
        assert_eq!(read("1,,2", 4096), no_range(""));
        assert_eq!(read("1,", 4096), no_range(""));
        for bad in ["3-2", "5,5", "5,4", "0-9,9"] {
            assert_eq!(read(bad, 4096), order(bad.rsplit(',').next().unwrap()));
        }
        assert_eq!(read("0-6", 6), Err(Beyond("0-6".to_owned(), 6)));
        assert_eq!(read(&"1".repeat(TEXT_MAX + 1), 4096), Err(TooLong));
    }

    #[test]
    fn the_longest_list_fits() {
        let every_second = write((0..SLOTS_MAX).step_by(2).map(Slot));
        assert!(every_second.len() <= TEXT_MAX);
        assert_eq!(read(&every_second, SLOTS_MAX).unwrap().len(), usize::from(SLOTS_MAX) / 2);
    }

    proptest! {
        #[test]
        fn every_set_of_slots_comes_back(set in prop::collection::btree_set(0..SLOTS_MAX, 0..300)) {
            let set: BTreeSet<Slot> = set.into_iter().map(Slot).collect();
            let read = read(&write(set.iter().copied()), SLOTS_MAX).unwrap();
            prop_assert_eq!(read.into_iter().collect::<BTreeSet<_>>(), set);
        }

        #[test]
        fn no_text_gives_more_slots_than_there_are(text in "[0-9,-]{0,40}", slots in 0_u16..5000) {
            if let Ok(read) = read(&text, slots) {
                prop_assert!(read.len() <= usize::from(slots));
                prop_assert!(read.iter().all(|slot| slot.0 < slots));
            }
        }
    }
}
