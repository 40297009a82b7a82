//! The queue from which passes take keys.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::KeyOrder;
use crate::Key;

/// The work queue of a process: a [`KeyOrder`] behind a lock, with timers.
#[derive(Debug, Default)]
pub struct WorkQueue {
    order: Mutex<KeyOrder<Instant>>,
    changed: Notify,
}

impl WorkQueue {
    fn lock(&self) -> MutexGuard<'_, KeyOrder<Instant>> {
        // If another thread panics, the order is still consistent, because no operation on it can stop half-way.
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a key due now.
    pub fn add(&self, key: Key) {
        self.lock().add(key, Instant::now());
        self.changed.notify_one();
    }

    /// Makes keys due now.
    pub fn add_all(&self, keys: impl IntoIterator<Item = Key>) {
        keys.into_iter().for_each(|key| self.add(key));
    }

    /// The next key that is due. The caller must call [`Self::done`] afterwards.
    pub async fn next(&self) -> Key {
        loop {
            let timer = {
                let mut order = self.lock();
                if let Some((key, since)) = order.next(Instant::now()) {
                    let more = order.has_more();
                    drop(order);
                    if more {
                        self.changed.notify_one();
                    }
                    metrics::histogram!("booking_operator_queue_latency_seconds")
                        .record(since.elapsed().as_secs_f64());
                    return key;
                }
                order.next_timer()
            };
            match timer {
                Some(at) => tokio::select! {
                    () = self.changed.notified() => {}
                    () = sleep_until(at) => {}
                },
                None => self.changed.notified().await,
            }
        }
    }

    /// Ends a pass. Its key is due again at an instant, or when something changes.
    pub fn done(&self, key: &Key, again_at: Option<Instant>) {
        self.lock().done(key, again_at, Instant::now());
        self.changed.notify_one();
    }

    /// The number of keys that are due and on which no pass works yet.
    pub fn depth(&self) -> usize {
        self.lock().depth()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(name: &str) -> Key {
        Key::new("thing", "n", name)
    }

    async fn next_within(queue: &WorkQueue, wait: Duration) -> Option<String> {
        tokio::time::timeout(wait, queue.next()).await.ok().map(|key| key.name)
    }

    const SOON: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn a_key_added_twice_is_worked_on_once() {
        let queue = WorkQueue::default();
        queue.add(key("a"));
        queue.add(key("a"));
        queue.add(key("b"));
        assert_eq!(next_within(&queue, SOON).await.as_deref(), Some("a"));
        assert_eq!(next_within(&queue, SOON).await.as_deref(), Some("b"));
        assert_eq!(next_within(&queue, SOON).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_added_while_in_work_waits_for_the_end_of_its_pass() {
        // given a key in work that is added again
        let queue = WorkQueue::default();
        queue.add(key("a"));
        queue.next().await;
        queue.add(key("a"));
        queue.add(key("a"));
        assert_eq!(next_within(&queue, SOON).await, None);
        // when its pass ends, then it is due once
        queue.done(&key("a"), None);
        assert_eq!(next_within(&queue, SOON).await.as_deref(), Some("a"));
        queue.done(&key("a"), None);
        assert_eq!(next_within(&queue, SOON).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_rings_at_its_instant_and_the_latest_answer_replaces_it() {
        let queue = WorkQueue::default();
        queue.add(key("a"));
        queue.next().await;
        queue.done(&key("a"), Some(Instant::now() + Duration::from_secs(10)));
        assert_eq!(next_within(&queue, Duration::from_millis(9_990)).await, None);
        assert_eq!(next_within(&queue, Duration::from_millis(20)).await.as_deref(), Some("a"));

        // given a timer, when a pass works on the key before it rings, then only the new timer counts
        queue.done(&key("a"), Some(Instant::now() + Duration::from_secs(10)));
        queue.add(key("a"));
        queue.next().await;
        queue.done(&key("a"), Some(Instant::now() + Duration::from_mins(1)));
        assert_eq!(next_within(&queue, Duration::from_secs(59)).await, None);
        assert_eq!(next_within(&queue, Duration::from_secs(2)).await.as_deref(), Some("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_timer_set_while_a_worker_sleeps_is_not_missed() {
        // given a worker that sleeps until a far timer
        let queue = std::sync::Arc::new(WorkQueue::default());
        for name in ["far", "near"] {
            queue.add(key(name));
            queue.next().await;
        }
        queue.done(&key("far"), Some(Instant::now() + Duration::from_hours(1)));
        let worker = tokio::spawn({
            let queue = queue.clone();
            async move { next_within(&queue, Duration::from_secs(5)).await }
        });
        tokio::task::yield_now().await;
        // when a nearer timer is set, then the worker wakes up for it
        queue.done(&key("near"), Some(Instant::now() + Duration::from_secs(1)));
        assert_eq!(worker.await.unwrap().as_deref(), Some("near"));
    }

    #[tokio::test(start_paused = true)]
    async fn two_workers_share_what_is_due() {
        let queue = std::sync::Arc::new(WorkQueue::default());
        let worker = || {
            let queue = queue.clone();
            tokio::spawn(async move { next_within(&queue, Duration::from_secs(1)).await })
        };
        let (first, second) = (worker(), worker());
        tokio::task::yield_now().await;
        queue.add(key("a"));
        queue.add(key("b"));
        let mut got = [first.await.unwrap(), second.await.unwrap()];
        got.sort();
        assert_eq!(got, [Some("a".to_owned()), Some("b".to_owned())]);
    }
}
