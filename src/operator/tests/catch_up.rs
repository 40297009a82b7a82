//! A table catches up, with a list or with a watch.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking, their helpers too")]

mod common;

use std::sync::Arc;

use booking_runtime::{
    Key,
    ownership::AllKeys,
    store::version::number,
    watch::{
        KeyGate,
        catch_up::{CatchUp, Way},
    },
};
use bookings::{
    decide::locations::Locations,
    run::objects::{GROUP, Objects},
};
use common::{World, the_hour};
use kube::ResourceExt;

/// A table with two Bookings, whose watch has reported both.
struct Known {
    world: World,
    objects: Objects,
    gate: KeyGate,
}

impl Known {
    async fn new(name: &str) -> Self {
        let (world, locations) = (World::without_operator(name).await, Arc::new(Locations::default()));
        let gate = KeyGate::new(Arc::new(AllKeys), Arc::default());
        gate.open();
        let known = Self { world, objects: Objects::new(locations), gate };
        for booking in ["changes", "goes"] {
            let booking = known.world.book(booking, "web", "ann", the_hour()).await;
            known.objects.bookings.has_watched(0, number(booking.resource_version().as_deref()));
            known.objects.bookings.saw(&booking);
        }
        known
    }

    async fn catch_up(&self) -> Way {
        let Self { objects, gate, world } = self;
        let by = CatchUp { client: &world.client, namespace: None, gate, list_max: 0 };
        by.table(&objects.bookings).await.unwrap()
    }

    /// The names and users of the Bookings in the table.
    fn names(&self) -> Vec<String> {
        let key = Key::new(GROUP, self.world.namespace.clone(), "web");
        let bookings = self.objects.bookings.of_key(&key);
        bookings
            .iter()
            .map(|it| format!("{} {}", it.name_any(), it.spec.end_at.as_deref().unwrap_or_default()))
            .collect()
    }
}

const LATER: &str = "2090-01-01T00:00:00Z";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_since_the_last_event_is_told_by_a_watch_without_a_list() {
    // given a table whose watch has not yet reported a change, a deletion and a new Booking
    let known = Known::new("caught-up").await;
    known.world.edit_booking("changes", serde_json::json!({ "end_at": LATER })).await;
    known.world.delete_booking("goes").await;
    known.world.book("new", "web", "ann", the_hour()).await;
    // nor a change of another kind, which moves the version of the store
    known.world.resource("web", "web").await;
    // when the table catches up
    let way = known.catch_up().await;
    // then it has all changes, and nothing was listed
    assert_eq!(way, Way::Watched);
    let names = known.names();
    assert_eq!(names.len(), 2, "{names:?}");
    assert_eq!(names[0], format!("changes {LATER}"));
    assert!(names[1].starts_with("new "), "{names:?}");
    // and when nothing has happened since, then the watch reports that, too
    assert_eq!(known.catch_up().await, Way::Watched);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_knows_any_more_what_happened_since_everything_is_listed() {
    // given a table whose watch has reported nothing for longer than the API server remembers
    let known = Known::new("listed").await;
    known.objects.bookings.has_watched(0, 1);
    known.world.delete_booking("goes").await;
    known.world.book("new", "web", "ann", the_hour()).await;
    // when the table catches up
    let way = known.catch_up().await;
    // then it has all changes
    assert_eq!(way, Way::Listed);
    let names = known.names();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names[0].starts_with("changes ") && names[1].starts_with("new "), "{names:?}");
}
