//! Decides which key is next. This is pure code, so that a simulation runs the same code as the operator.
//!
//! As in client-go, a key is in the queue once, however often it is added. If a key is added while a pass works on
//! it, another pass follows. Two passes never work on it at once. Each key also has at most one timer: a pass
//! considers everything that can become due, so its answer replaces the timer of the previous pass.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use crate::Key;

/// Keys that are due, that passes work on, or that wait for a timer. `T` is an instant.
#[derive(Debug)]
pub struct KeyOrder<T> {
    due: VecDeque<(Key, T)>,
    waiting: HashSet<Key>,
    in_work: HashSet<Key>,
    again: HashSet<Key>,
    timers: BTreeSet<(T, Key)>,
    timer_of: HashMap<Key, T>,
}

impl<T> Default for KeyOrder<T> {
    fn default() -> Self {
        Self {
            due: VecDeque::new(),
            waiting: HashSet::new(),
            in_work: HashSet::new(),
            again: HashSet::new(),
            timers: BTreeSet::new(),
            timer_of: HashMap::new(),
        }
    }
}

impl<T: Copy + Ord> KeyOrder<T> {
    /// Makes a key due. `since` is the instant since when it is.
    pub fn add(&mut self, key: Key, since: T) {
        if self.in_work.contains(&key) {
            self.again.insert(key);
        } else if self.waiting.insert(key.clone()) {
            self.due.push_back((key, since));
        }
    }

    /// The next key that is due at `now`, and since when it is due. The caller must call [`Self::done`] afterwards.
    pub fn next(&mut self, now: T) -> Option<(Key, T)> {
        self.ring_timers(now);
        let (key, since) = self.due.pop_front()?;
        self.waiting.remove(&key);
        self.in_work.insert(key.clone());
        Some((key, since))
    }

    /// Ends the pass over a key at `now`. The key is due again at an instant, or when something changes.
    pub fn done(&mut self, key: &Key, again_at: Option<T>, now: T) {
        self.in_work.remove(key);
        self.set_timer(key, again_at);
        if self.again.remove(key) {
            self.add(key.clone(), now);
        }
    }

    /// When the next timer rings.
    pub fn next_timer(&self) -> Option<T> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Whether anything is due or has a timer.
    pub fn has_more(&self) -> bool {
        !self.due.is_empty() || !self.timers.is_empty()
    }

    /// The number of keys that are due and on which no pass works yet.
    pub fn depth(&self) -> usize {
        self.due.len()
    }

    fn set_timer(&mut self, key: &Key, at: Option<T>) {
        if let Some(old) = self.timer_of.remove(key) {
            self.timers.remove(&(old, key.clone()));
        }
        if let Some(at) = at {
            self.timers.insert((at, key.clone()));
            self.timer_of.insert(key.clone(), at);
        }
    }

    fn ring_timers(&mut self, now: T) {
        while let Some((at, key)) = self.timers.first().filter(|(at, _)| *at <= now).cloned() {
            self.set_timer(&key, None);
            self.add(key, at);
        }
    }
}
