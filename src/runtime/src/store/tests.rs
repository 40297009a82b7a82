use std::collections::{BTreeSet, HashSet};

use kube::api::{ApiResource, GroupVersionKind, ObjectMeta};
use serde::{Deserialize, Serialize};

use super::*;
use crate::Key;

/// A kind for tests. Each object names the key under which it is worked on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Thing {
    metadata: ObjectMeta,
    names: String,
    status: Option<String>,
}

impl Object for Thing {
    type Status = String;
    type Parsed = usize;

    fn read(fields: &Fields<'_>) -> serde_json::Result<Self> {
        Ok(Self {
            metadata: ObjectMeta::default(),
            names: fields.get("names")?,
            status: fields.get("status")?,
        })
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }

    fn status(&self) -> Option<&String> {
        self.status.as_ref()
    }

    fn asks_same(&self, other: &Self) -> bool {
        self.names == other.names
    }

    fn parse(&self) -> usize {
        self.names.len()
    }

    fn is_open(&self) -> bool {
        self.status.as_deref() != Some("FINISHED")
    }
}

fn table() -> Table<Thing> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("tests", "v1", "Thing"));
    Table::new(Served::of(resource, true))
        .keyed_by(|thing: &Thing| vec![Key::new("thing", "n", thing.names.clone())])
}

fn thing(name: &str, names: &str, version: u64) -> Thing {
    let metadata = ObjectMeta {
        name: Some(name.into()),
        namespace: Some("n".into()),
        uid: Some(format!("uid-{name}")),
        resource_version: Some(version.to_string()),
        ..ObjectMeta::default()
    };
    Thing { metadata, names: names.into(), status: None }
}

fn with_state(thing: Thing, state: &str) -> Thing {
    Thing { status: Some(state.into()), ..thing }
}

fn keys(changed: BTreeSet<Key>) -> Vec<String> {
    changed.into_iter().map(|key| key.name).collect()
}

fn names(table: &Table<Thing>, key: &str) -> Vec<String> {
    let things = table.of_key(&Key::new("thing", "n", key));
    things.iter().map(|thing| thing.metadata.name.clone().unwrap_or_default()).collect()
}

#[test]
fn objects_are_found_under_the_key_that_they_name() {
    let table = table();
    assert_eq!(keys(table.saw(&thing("b", "web", 1))), ["web"]);
    assert_eq!(keys(table.saw(&thing("a", "web", 2))), ["web"]);
    assert_eq!(names(&table, "web"), ["a", "b"]);
    // when one is retargeted, then both keys are due
    assert_eq!(keys(table.saw(&thing("b", "db", 3))), ["db", "web"]);
    assert_eq!((names(&table, "web"), names(&table, "db")), (vec!["a".into()], vec!["b".into()]));
    // when one is deleted, then its key is due, and nothing is left
    assert_eq!(keys(table.lost(&thing("b", "db", 4))), ["db"]);
    assert!(names(&table, "db").is_empty());
}

#[test]
fn of_two_versions_the_newer_stays_whichever_comes_last() {
    let table = table();
    table.saw(&with_state(thing("b", "web", 9), "IN PROGRESS"));
    // an older echo, compared as a number: "10" is newer than "9"
    assert!(keys(table.saw(&with_state(thing("b", "web", 8), "SCHEDULED"))).is_empty());
    assert_eq!(keys(table.saw(&with_state(thing("b", "web", 10), "FINISHED"))), ["web"]);
}

#[test]
fn the_echo_of_an_own_write_is_no_news_but_somebody_elses_status_is() {
    let table = table();
    let before = thing("b", "web", 1);
    let written = with_state(thing("b", "web", 2), "SCHEDULED");
    table.saw(&before.clone());
    // given a status that is being written, when the watch is faster than the answer, then no key is due
    table.expect(&before, written.status.as_ref().unwrap());
    assert!(keys(table.saw(&written.clone())).is_empty());
    table.wrote(&written);
    // when somebody else writes the status, then the key is due
    assert_eq!(keys(table.saw(&with_state(thing("b", "web", 3), "NONSENSE"))), ["web"]);
}

#[test]
fn the_answer_of_a_write_is_seen_at_once_and_brings_nothing_back() {
    let table = table();
    let before = thing("b", "web", 1);
    table.saw(&before.clone());
    table.wrote(&with_state(thing("b", "web", 2), "SCHEDULED"));
    assert!(table.of_key(&Key::new("thing", "n", "web"))[0].status.is_some());
    // given that it is gone, when an answer arrives late, then it stays gone
    table.lost(&thing("b", "web", 3));
    table.wrote(&with_state(thing("b", "web", 4), "SCHEDULED"));
    assert!(names(&table, "web").is_empty());
}

#[test]
fn a_complete_list_drops_what_it_does_not_show() {
    let table = table();
    table.saw(&thing("a", "web", 1));
    table.saw(&thing("b", "db", 2));
    let list_begun_at = table.newest();
    // when another one is created while the list is being read
    table.saw(&thing("c", "db", 3));
    let listed = HashSet::from([Name::new("n", "a")]);
    // then that one stays, although the list does not show it
    assert_eq!(keys(table.keep(&listed, list_begun_at)), ["db"]);
    assert_eq!(names(&table, "web"), ["a"]);
    assert_eq!(names(&table, "db"), ["c"]);
}

#[test]
fn what_is_gone_is_not_brought_back_by_an_older_list_or_watch() {
    // given an object that was seen to be deleted
    let table = table();
    table.saw(&thing("b", "web", 2));
    table.lost(&thing("b", "web", 5));
    // when a list that began before that shows it
    table.saw(&thing("b", "web", 3));
    // then it stays gone
    assert!(names(&table, "web").is_empty());
    // but another object of its name may be created, and the end of the first does not remove it
    let mut another = thing("b", "web", 9);
    another.metadata.uid = Some("another".into());
    table.saw(&another);
    table.lost(&thing("b", "web", 5));
    assert_eq!(names(&table, "web"), ["b"]);
}

#[test]
fn a_store_that_went_back_replaces_what_is_known() {
    let table = table();
    table.saw(&thing("a", "web", 10));
    table.saw(&thing("b", "web", 11));
    table.lost(&thing("c", "web", 12));
    let changed = table.went_back(&[thing("a", "web", 4), thing("c", "web", 5)], (0, 5)).unwrap();
    assert_eq!(keys(changed), ["web"]);
    assert_eq!(names(&table, "web"), ["a", "c"]);
    assert_eq!(table.newest(), 5);
}

#[test]
fn a_status_that_somebody_wipes_is_news() {
    let table = table();
    table.saw(&with_state(thing("b", "web", 1), "SCHEDULED"));
    assert_eq!(keys(table.saw(&thing("b", "web", 2))), ["web"]);
}

#[test]
fn what_a_conflict_brings_to_light_is_news_for_all_it_concerns() {
    // given a status that is being written to an object that has been retargeted meanwhile
    let table = table();
    let before = thing("b", "web", 1);
    table.saw(&before.clone());
    table.expect(&before, &"NEW".to_owned());
    // when the write fails and the object is read again
    table.failed(&before);
    assert_eq!(keys(table.saw(&thing("b", "db", 2))), ["db", "web"]);
    // then the watch has nothing to add
    assert!(keys(table.saw(&thing("b", "db", 2))).is_empty());
}

#[test]
fn an_object_that_left_a_selection_comes_back_when_it_is_selected_again() {
    // given an object that a watch with a selector reported as gone, as of version 5
    let table = table();
    table.saw(&thing("a", "web", 2));
    table.lost(&thing("a", "web", 5));
    // when it is selected again, then it is known again; an older version is not
    assert!(keys(table.saw(&thing("a", "web", 4))).is_empty());
    assert_eq!(keys(table.saw(&thing("a", "web", 6))), ["web"]);
    // when it was looked for and does not exist any more, then it stays gone
    table.is_gone(&thing("a", "web", 6));
    assert!(keys(table.saw(&thing("a", "web", 7))).is_empty());
}

#[test]
fn an_object_that_came_back_to_a_selection_is_not_lost_to_a_watch_that_tells_late_of_its_leaving() {
    // given an object that left the selection at version 10, is back at version 12, and a list that shows it so
    let table = table();
    table.saw(&thing("a", "web", 2));
    table.saw(&thing("a", "web", 12));
    // when a slower watch tells that it left, then it stays, and what comes next is taken in
    assert!(keys(table.lost(&thing("a", "web", 10))).is_empty());
    assert_eq!(table.count(), 1);
    assert_eq!(keys(table.saw(&with_state(thing("a", "web", 13), "SCHEDULED"))), ["web"]);
    // and what a slower watch says of an end before does not undo what is known of a later one
    table.lost(&thing("b", "db", 20));
    table.lost(&thing("b", "db", 15));
    assert!(keys(table.saw(&thing("b", "db", 18))).is_empty());
}

#[test]
fn an_open_object_is_read_once_per_version_and_one_that_is_over_is_not_kept_open() {
    let table = table();
    let key = Key::new("thing", "n", "web");
    let open = || table.of_key(&key).remove(0);
    // given an object that is opened twice
    table.saw(&thing("a", "web", 1));
    let (first, second) = (open(), open());
    assert!(std::sync::Arc::ptr_eq(&first, &second) && *first.parsed() == 3);
    // when it changes, then its new version is read
    table.saw(&with_state(thing("a", "web", 2), "SCHEDULED"));
    assert_eq!(open().status.as_deref(), Some("SCHEDULED"));
    // when it is over, then it is parsed again each time
    table.saw(&with_state(thing("a", "web", 3), "FINISHED"));
    assert!(!std::sync::Arc::ptr_eq(&open(), &open()));
}

#[test]
fn an_index_finds_objects_by_the_values_that_they_have_now() {
    let index = std::sync::Arc::<Index<usize>>::default();
    let table = table().index(&index, |thing: &Thing| Some(thing.names.len()));
    table.saw(&thing("a", "web", 1));
    table.saw(&thing("b", "db", 2));
    assert_eq!((index.names(&3), index.names(&2)), (vec![Name::new("n", "a")], vec![Name::new("n", "b")]));
    table.saw(&thing("a", "db", 3));
    table.lost(&thing("b", "db", 4));
    assert_eq!((index.names(&3), index.names(&2)), (vec![], vec![Name::new("n", "a")]));
}
