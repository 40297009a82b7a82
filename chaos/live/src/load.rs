//! The work of a ring: Resources with bookings that begin and end all the time.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bookings::api::{Booking, BookingSpec, Resource, ResourceSpec, WhenIdle, booking_state};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, PostParams},
};
use tokio::{sync::watch, task::JoinHandle, time::MissedTickBehavior};

use crate::{
    clock::At,
    history::{KeyId, Window},
};

/// How far ahead bookings are created. It is longer than any fault that prevents creations.
const AHEAD: Duration = Duration::from_mins(3);
/// The average time between the beginnings of a key's bookings. Most keys have short ones, so that much is due at any
/// time. One in three has windows and gaps longer than any fail-over. So what falls due while the key has no owner is
/// still due afterwards.
const PERIODS: [Duration; 3] = [Duration::from_secs(100), Duration::from_secs(15), Duration::from_secs(15)];
const LENGTHS: [Duration; 3] = [Duration::from_secs(50), Duration::from_secs(6), Duration::from_secs(6)];
/// How much shorter or longer each period may be.
const JITTER_MS: u64 = 1_500;
/// A finished Booking is removed this long after its end.
const KEPT: Duration = Duration::from_secs(30);
/// If a Booking is not finished this long after its end, it never will be. It is longer than any fault.
const GIVEN_UP: Duration = Duration::from_secs(150);
const ROUND: Duration = Duration::from_secs(1);
/// If a round takes longer than this, it has lost the API server.
const ROUND_LIMIT: Duration = Duration::from_secs(20);

/// A booked key.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    /// The name of its Resource.
    pub(crate) resource: String,
    /// The tag of its group of machines.
    pub(crate) tag: String,
}

/// A Booking as it was created.
#[derive(Clone, Debug)]
struct Made {
    name: String,
    key: KeyId,
    to: At,
}

#[derive(Debug, Default)]
struct Books {
    windows: BTreeMap<KeyId, Vec<Window>>,
    made: Vec<Made>,
    unfinished: Vec<(At, KeyId, String)>,
}

/// The load of a ring. It ends with this value.
#[derive(Debug)]
pub(crate) struct Load {
    books: Arc<Mutex<Books>>,
    running: watch::Sender<bool>,
    bookings: Api<Booking>,
    maker: Option<Maker>,
    task: Option<JoinHandle<()>>,
}

impl Load {
    /// The load of these keys. Nothing is created yet.
    pub(crate) fn new(client: Client, namespace: &str, keys: &[Key], random: fastrand::Rng) -> Self {
        let books = Arc::new(Mutex::new(Books::default()));
        let maker = Maker {
            resources: Api::namespaced(client.clone(), namespace),
            bookings: Api::namespaced(client.clone(), namespace),
            keys: keys.to_vec(),
            next: Vec::new(),
            drawn: VecDeque::new(),
            count: 0,
            books: books.clone(),
            random,
        };
        let bookings = Api::namespaced(client, namespace);
        Self { books, running: watch::Sender::new(true), bookings, maker: Some(maker), task: None }
    }

    /// Creates the Resources, and begins to book them.
    ///
    /// # Errors
    /// If the API server refuses.
    pub(crate) async fn start(&mut self) -> Result<(), kube::Error> {
        let Some(mut maker) = self.maker.take() else { return Ok(()) };
        maker.create_resources().await?;
        maker.next = first_starts(maker.keys.len(), &mut maker.random);
        self.task = Some(tokio::spawn(maker.run(self.running.subscribe())));
        Ok(())
    }

    /// Creates and removes nothing for a while. The Bookings that exist reach some time ahead.
    pub(crate) fn pause(&self) {
        self.running.send_replace(false);
    }

    /// Ends the pause.
    pub(crate) fn resume(&self) {
        self.running.send_replace(true);
    }

    /// Creates no more Bookings, and deletes all that exist.
    ///
    /// # Errors
    /// If the API server refuses.
    pub(crate) async fn end(&mut self) -> Result<(), kube::Error> {
        if let Some(task) = self.task.take() {
            task.abort();
            // The task creates nothing after its end, whether it ended by itself or was aborted.
            let _ = task.await;
        }
        self.bookings.delete_collection(&DeleteParams::default(), &ListParams::default()).await.map(drop)
    }

    /// The booked windows. Windows that adjoin are one.
    pub(crate) fn windows(&self) -> BTreeMap<KeyId, Vec<Window>> {
        let mut windows = lock(&self.books).windows.clone();
        for windows in windows.values_mut() {
            *windows = joined(windows);
        }
        windows
    }

    /// Bookings that were not finished long after their end: when they ended, key, name and state.
    pub(crate) fn unfinished(&self) -> Vec<(At, KeyId, String)> {
        lock(&self.books).unfinished.clone()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.iter().for_each(JoinHandle::abort);
    }
}

fn lock(books: &Mutex<Books>) -> std::sync::MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

fn of(spans: &[Duration; 3], index: usize) -> Duration {
    spans.get(index % spans.len()).copied().unwrap_or_default()
}

/// The first starts are spread over each key's period, so that something is due all the time.
fn first_starts(keys: usize, random: &mut fastrand::Rng) -> Vec<At> {
    let begin = At::now().plus(Duration::from_secs(10));
    let begin = begin.plus(Duration::from_millis(random.u64(0..1000)));
    let count = u32::try_from(keys.max(1)).unwrap_or(1);
    let share = |index: usize| of(&PERIODS, index) / count * u32::try_from(index + 1).unwrap_or(1);
    (0..keys).map(|index| begin.plus(share(index))).collect()
}

fn joined(windows: &[Window]) -> Vec<Window> {
    let mut joined: Vec<Window> = Vec::new();
    for window in windows {
        match joined.last_mut() {
            Some(last) if last.to == window.from => last.to = window.to,
            _ => joined.push(*window),
        }
    }
    joined
}

#[derive(Debug)]
struct Maker {
    resources: Api<Resource>,
    bookings: Api<Booking>,
    keys: Vec<Key>,
    next: Vec<At>,
    /// Bookings that were drawn and are not known to be created.
    drawn: VecDeque<Draft>,
    count: u64,
    books: Arc<Mutex<Books>>,
    random: fastrand::Rng,
}

/// A Booking to create.
#[derive(Clone, Debug)]
struct Draft {
    name: String,
    key: KeyId,
    user: &'static str,
    window: Window,
}

impl Maker {
    async fn create_resources(&self) -> Result<(), kube::Error> {
        for key in &self.keys {
            let spec = ResourceSpec {
                type_: Some("ec2".into()),
                tag: Some(key.tag.clone()),
                when_idle: Some(WhenIdle::Stop),
                ..ResourceSpec::default()
            };
            let resource = Resource::new(&key.resource, spec);
            self.resources.create(&PostParams::default(), &resource).await?;
        }
        Ok(())
    }

    async fn run(mut self, mut running: watch::Receiver<bool>) {
        let mut rounds = tokio::time::interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while running.wait_for(|running| *running).await.is_ok() {
            rounds.tick().await;
            // A creation that failed is tried again in the next round.
            let _ = tokio::time::timeout(ROUND_LIMIT, self.round()).await;
        }
    }

    async fn round(&mut self) -> Result<(), kube::Error> {
        let horizon = At::now().plus(AHEAD);
        for index in 0..self.keys.len() {
            while self.next.get(index).is_some_and(|next| *next < horizon) {
                self.draw(index);
            }
        }
        // If a round is cut off after a creation, the Booking is created once more, and the API server refuses it.
        while let Some(draft) = self.drawn.front().cloned() {
            self.create(&draft).await?;
            self.drawn.pop_front();
            let mut books = lock(&self.books);
            books.windows.entry(draft.key).or_default().push(draft.window);
            books.made.push(Made { name: draft.name, key: draft.key, to: draft.window.to });
        }
        self.clear().await
    }

    /// Draws one booking, or two that adjoin.
    fn draw(&mut self, index: usize) {
        let Some(next) = self.next.get(index).copied() else { return };
        let (from, to) = (self.jittered(next), self.jittered(next.plus(of(&LENGTHS, index))));
        let middle = (self.random.u8(0..3) == 0).then(|| from.plus(to.since(from) / 2));
        let parts = match middle {
            Some(middle) => vec![(from, middle, "ann"), (middle, to, "bob")],
            None => vec![(from, to, "ann")],
        };
        for (from, to, user) in parts {
            self.count += 1;
            let name = format!("b{index}-{}", self.count);
            self.drawn.push_back(Draft { name, key: KeyId(index), user, window: Window { from, to } });
        }
        if let Some(next) = self.next.get_mut(index) {
            *next = next.plus(of(&PERIODS, index));
        }
    }

    /// The moment in whole milliseconds, which is the precision of the objects.
    fn jittered(&mut self, at: At) -> At {
        let at = at.plus(Duration::from_millis(self.random.u64(0..JITTER_MS)));
        At(at.0.div_euclid(1000) * 1000)
    }

    async fn create(&self, draft: &Draft) -> Result<(), kube::Error> {
        let spec = BookingSpec {
            resource_name: self.keys.get(draft.key.0).map(|key| key.resource.clone()),
            start_at: Some(draft.window.from.timestamp().to_string()),
            end_at: Some(draft.window.to.timestamp().to_string()),
            user_id: Some(draft.user.to_owned()),
            ..BookingSpec::default()
        };
        match self.bookings.create(&PostParams::default(), &Booking::new(&draft.name, spec)).await {
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            created => created.map(drop),
        }
    }

    /// Removes old Bookings, and records those that are not finished.
    async fn clear(&mut self) -> Result<(), kube::Error> {
        let now = At::now();
        let old: Vec<Made> =
            lock(&self.books).made.iter().filter(|made| made.to.plus(KEPT) < now).cloned().collect();
        for made in old {
            if let Some(booking) = self.bookings.get_opt(&made.name).await? {
                let state = booking.status.and_then(|status| status.status).unwrap_or_default();
                let finished = state == booking_state::FINISHED;
                if !finished && made.to.plus(GIVEN_UP) > now {
                    continue;
                }
                if !finished {
                    let text = format!("Booking {} is {state:?} {GIVEN_UP:?} after its end", made.name);
                    lock(&self.books).unfinished.push((made.to, made.key, text));
                }
                self.bookings.delete(&made.name, &DeleteParams::default()).await?;
            }
            lock(&self.books).made.retain(|kept| kept.name != made.name);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(from: i64, to: i64) -> Window {
        Window { from: At(from), to: At(to) }
    }

    #[test]
    fn adjoining_windows_are_one() {
        assert_eq!(joined(&[window(0, 3), window(3, 6), window(8, 9)]), [window(0, 6), window(8, 9)]);
    }

    #[test]
    fn the_keys_begin_spread_over_a_period() {
        let starts = first_starts(6, &mut fastrand::Rng::with_seed(1));
        // 15 s and 100 s in six parts
        let after = |index: usize| starts[index].since(starts[1]).as_millis();
        assert_eq!((after(2), after(4), after(5)), (2_500, 7_500, 10_000));
        assert_eq!(starts[3].since(starts[0]).as_secs(), 50);
    }
}
