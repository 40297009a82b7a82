//! Very many objects in the state in which the operator left them. The operator works on a few of them. The others are
//! copies with their own names, uids and times, which are written directly into the store. An operator that then starts
//! must find nothing to do.

use serde_json::{Value, json};
use testbed::control_plane::Store;

use crate::{Failure, population::NAMESPACE};

/// The number of copies that are made before they are stored.
const BATCH: usize = 4096;

/// Stores this number of copies of an object. `texts` gives the texts to replace in the copy of each number, with their
/// replacements.
pub(crate) async fn copy(
    store: &Store,
    (plural, name): (&str, &str),
    numbers: std::ops::Range<usize>,
    texts: impl Fn(usize) -> Vec<(String, String)>,
) -> Result<(), Failure> {
    let original = store.get(plural, NAMESPACE, name).await?.to_string();
    let mut batch = Vec::with_capacity(BATCH);
    let last = numbers.end;
    for number in numbers {
        let text = texts(number).iter().fold(original.clone(), |text, (old, new)| text.replace(old, new));
        let mut object: Value = serde_json::from_str(&text)?;
        if let Some(known) = object.pointer_mut("/metadata/uid") {
            *known = json!(uid(plural, number));
        }
        batch.push(object);
        if batch.len() == BATCH || number + 1 == last {
            store.put(plural, &batch).await?;
            batch.clear();
        }
    }
    Ok(())
}

/// A uid as the API server makes them, one for each number of each kind.
fn uid(plural: &str, number: usize) -> String {
    let kind = plural.bytes().fold(0_u16, |sum, byte| sum.wrapping_mul(31).wrapping_add(u16::from(byte)));
    format!("{:08x}-{kind:04x}-4000-8000-{number:012x}", number.wrapping_mul(2_654_435_761) & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_copies_share_a_uid() {
        let all: std::collections::HashSet<String> = (0..1000)
            .flat_map(|number| ["bookings", "resources"].map(|plural| uid(plural, number)))
            .collect();
        assert_eq!(all.len(), 2000);
        assert!(all.iter().all(|uid| uid.len() == 36));
    }
}
