//! Runs one plan, or many on all cores.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{injected_bugs::Bug, plan::Plan, stats::Stats, world::World};
use crate::checker::{Invariant, Violation};

/// The result of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The plan that was run.
    pub plan: Arc<Plan>,
    /// The counts.
    pub stats: Stats,
    /// The first violation, if any.
    pub violation: Option<Violation>,
    /// Its history, if it was kept.
    pub history: Vec<String>,
}

/// Runs a plan.
pub fn run(plan: &Arc<Plan>, traced: bool) -> Outcome {
    let mut world = World::new(plan.clone(), traced);
    // A panic in the code under test is a finding, and the other runs go on.
    let ran = catch_unwind(AssertUnwindSafe(|| world.run()));
    let violation = ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let what = text.unwrap_or_else(|| "no message".to_owned());
        Some(Violation { invariant: Invariant::Panicked, at: world.now, what })
    });
    Outcome { plan: plan.clone(), stats: world.stats.clone(), violation, history: world.trace.into_lines() }
}

/// The result of many runs.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The counts of all runs.
    pub stats: Stats,
    /// The seeds with a violation, and the violation of each.
    pub violations: BTreeMap<u64, Violation>,
    /// How long the runs took.
    pub wall: Duration,
}

/// The order for many runs.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// The first seed.
    pub first: u64,
    /// The number of seeds.
    pub seeds: u64,
    /// Whether the first violation ends the job.
    pub until_found: bool,
    /// The injected bug.
    pub bug: Option<Bug>,
    /// Whether it reports progress.
    pub talks: bool,
}

/// After this number of violations no more seeds begin, because something is broken for good.
const VIOLATIONS_MAX: usize = 20;
/// The time between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(5);

/// Runs many seeds on all cores.
pub fn run_many(job: &Job) -> Summary {
    let begun = Instant::now();
    let next = AtomicU64::new(job.first);
    let stop = AtomicBool::new(false);
    let summary = Mutex::new(Summary::default());
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for core in 0..cores {
            let (next, stop, summary) = (&next, &stop, &summary);
            scope.spawn(move || work(job, core == 0, next, stop, summary, begun));
        }
    });
    let mut summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
    summary.wall = begun.elapsed();
    summary
}

fn work(
    job: &Job,
    talks: bool,
    next: &AtomicU64,
    stop: &AtomicBool,
    summary: &Mutex<Summary>,
    begun: Instant,
) {
    inject(job.bug);
    let mut told = begun;
    while !stop.load(Ordering::Relaxed) {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed - job.first >= job.seeds {
            break;
        }
        let outcome = run(&Arc::new(Plan::of(seed)), false);
        let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
        summary.stats.add(&outcome.stats);
        if let Some(violation) = outcome.violation {
            if job.talks {
                println!("seed {seed} violates {violation}");
            }
            summary.violations.insert(seed, violation);
            if job.until_found || summary.violations.len() >= VIOLATIONS_MAX {
                stop.store(true, Ordering::Relaxed);
            }
        }
        if job.talks && talks && told.elapsed() >= PROGRESS {
            told = Instant::now();
            println!(
                "{:>6} of {} seeds, {} s, {} violations",
                summary.stats.runs,
                job.seeds,
                begun.elapsed().as_secs(),
                summary.violations.len()
            );
        }
    }
    inject(None);
}

#[cfg(feature = "injected-bugs")]
pub(super) fn inject(bug: Option<Bug>) {
    super::injected_bugs::inject(bug);
}

#[cfg(not(feature = "injected-bugs"))]
pub(super) fn inject(bug: Option<Bug>) {
    debug_assert!(bug.is_none(), "this build has no bugs to inject");
}
