//! Injected faults, and the proof that nothing worse follows from them.
//!
//! | module | what |
//! |---|---|
//! | [`faults`] | the names of all kinds of faults |
//! | [`checker`] | the invariants, over facts: who called when, what the objects said when |
//! | [`report`] | `target/chaos/report.json`, a part for each command |
//! | [`sim`] | the deterministic simulation: real state machines and decisions, a model of everything else |
//!
//! The simulation and the faults on live processes share the first three.

pub mod checker;
pub mod faults;
pub mod report;
pub mod sim;

/// Microseconds since a run began: instants, and spans of time.
pub type Micros = u64;

/// A millisecond.
pub const MILLI: Micros = 1_000;
/// A second.
pub const SECOND: Micros = 1_000_000;
/// A minute.
pub const MINUTE: Micros = 60 * SECOND;

/// An instant or a span as seconds with milliseconds, for people.
pub fn seconds(micros: Micros) -> String {
    format!("{}.{:03}", micros / SECOND, micros % SECOND / MILLI)
}
