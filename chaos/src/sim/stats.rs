//! Counts the events of runs, and keeps the history of one run, line by line, if it is asked for.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write as _,
};

use crate::{Micros, faults::FaultKind, seconds};

/// Counts of one run or of many.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// The number of runs.
    pub runs: u64,
    /// Virtual time.
    pub time: Micros,
    /// Events that were handled.
    pub events: u64,
    /// Faults that began, by kind.
    pub faults: BTreeMap<FaultKind, u64>,
    /// Bookings created.
    pub bookings: u64,
    /// Processes started.
    pub processes: u64,
    /// Incarnations that began.
    pub incarnations: u64,
    /// Mutations sent to the cloud.
    pub cloud_calls: u64,
    /// Calls that waited for tokens.
    pub queued: u64,
    /// Writes of controllers sent.
    pub writes: u64,
    /// Calls that passed their check before a standstill and were sent after it.
    pub late_in_flight: u64,
    /// Decisions made.
    pub decisions: u64,
    /// Requests of the ring's members.
    pub ring_requests: Requests,
    /// Writes of the ring object.
    pub ring_writes: u64,
    /// Moves begun.
    pub moves: u64,
    /// Slots handed over in two phases.
    pub handoffs: u64,
    /// Leases sealed.
    pub seals: u64,
    /// Permits that ran out.
    pub lapses: u64,
    /// Ends of incarnations, by reason.
    pub ends: BTreeMap<&'static str, u64>,
    /// Starts and stops that were due while no fault was near, and were checked.
    pub due: u64,
    /// Slots that changed hands in rolling updates, by the largest number of changes of one slot.
    pub rollout_moves: BTreeMap<usize, u64>,
}

/// Requests to the API server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Requests that create, replace, or delete.
    pub writes: u64,
    /// Requests that read or list.
    pub reads: u64,
}

impl Stats {
    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        let sum = |into: &mut u64, from: u64| *into += from;
        sum(&mut self.runs, other.runs);
        sum(&mut self.time, other.time);
        sum(&mut self.events, other.events);
        sum(&mut self.bookings, other.bookings);
        sum(&mut self.processes, other.processes);
        sum(&mut self.incarnations, other.incarnations);
        sum(&mut self.cloud_calls, other.cloud_calls);
        sum(&mut self.queued, other.queued);
        sum(&mut self.writes, other.writes);
        sum(&mut self.late_in_flight, other.late_in_flight);
        sum(&mut self.decisions, other.decisions);
        sum(&mut self.ring_requests.writes, other.ring_requests.writes);
        sum(&mut self.ring_requests.reads, other.ring_requests.reads);
        sum(&mut self.ring_writes, other.ring_writes);
        sum(&mut self.moves, other.moves);
        sum(&mut self.handoffs, other.handoffs);
        sum(&mut self.seals, other.seals);
        sum(&mut self.lapses, other.lapses);
        sum(&mut self.due, other.due);
        merge(&mut self.faults, &other.faults);
        merge(&mut self.ends, &other.ends);
        merge(&mut self.rollout_moves, &other.rollout_moves);
    }

    /// The counts as a table for people.
    pub fn table(&self) -> String {
        let hours = self.time / crate::MINUTE / 60;
        let rows = [
            ("seeds", self.runs),
            ("virtual hours", hours),
            ("events", self.events),
            ("faults", self.faults.values().sum()),
            ("bookings", self.bookings),
            ("processes", self.processes),
            ("incarnations", self.incarnations),
            ("decisions", self.decisions),
            ("cloud calls", self.cloud_calls),
            ("calls that waited for tokens", self.queued),
            ("controllers' writes", self.writes),
            ("late in flight", self.late_in_flight),
            ("due starts and stops", self.due),
            ("members' writes", self.ring_requests.writes),
            ("members' reads", self.ring_requests.reads),
            ("ring writes", self.ring_writes),
            ("moves", self.moves),
            ("slots handed over", self.handoffs),
            ("seals", self.seals),
            ("lapses", self.lapses),
        ];
        let mut table = String::new();
        for (name, count) in rows {
            let _ = writeln!(table, "{name:<30}{count:>12}");
        }
        for (title, counts) in [
            ("fault", self.faults.iter().map(|(kind, n)| (kind.to_string(), *n)).collect::<Vec<_>>()),
            ("incarnation ended", self.ends.iter().map(|(end, n)| ((*end).to_owned(), *n)).collect()),
            (
                "rollout, most per slot",
                self.rollout_moves.iter().map(|(moves, n)| (format!("{moves} moves"), *n)).collect(),
            ),
        ] {
            let _ = writeln!(table, "{title}");
            for (name, count) in counts {
                let _ = writeln!(table, "  {name:<28}{count:>12}");
            }
        }
        table
    }
}

fn merge<K: Ord + Clone>(into: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, count) in from {
        *into.entry(key.clone()).or_default() += count;
    }
}

/// The largest number of lines.
const LINES_MAX: usize = 100_000;

/// The history of a run.
#[derive(Debug, Default)]
pub struct Trace {
    lines: Option<VecDeque<String>>,
}

impl Trace {
    /// A history that keeps lines, or none.
    pub fn new(kept: bool) -> Self {
        Self { lines: kept.then(VecDeque::new) }
    }

    /// Adds a line. The text is made only if it is kept.
    pub fn line(&mut self, at: Micros, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            if lines.len() >= LINES_MAX {
                lines.pop_front();
            }
            lines.push_back(format!("{:>9} {}", seconds(at), text()));
        }
    }

    /// All lines.
    pub fn into_lines(self) -> Vec<String> {
        self.lines.into_iter().flatten().collect()
    }
}
