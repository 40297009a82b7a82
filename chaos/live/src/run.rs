//! Runs all faults on all rings.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, interval},
};

use crate::{
    checker::{Breach, Finding, check},
    clock::At,
    cpu::Cpu,
    kinds::Kind,
    ring::Ring,
    scenario::{self, Sample},
    shared,
    site::{Failure, Site},
};

const PROGRESS: Duration = Duration::from_secs(15);
/// After this number of failures a ring is given up.
const FAILURES_MAX: usize = 3;

/// The order for a run.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// The number of faults of each kind.
    pub(crate) kills: usize,
    /// The kinds.
    pub(crate) kinds: Vec<Kind>,
    /// The number of rings side by side.
    pub(crate) rings: usize,
    /// Whether each ring gets a process that works on what the others own.
    pub(crate) rogue: bool,
    /// The seed of all random choices.
    pub(crate) seed: u64,
}

/// The result of a run.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The result of each fault.
    pub(crate) samples: Vec<Sample>,
    /// The violations.
    pub(crate) findings: Vec<Finding>,
    /// The lateness of starts and stops that no fault excuses, sorted.
    pub(crate) lateness: Vec<Duration>,
    /// The part of the machine's processors that was used, from 0 to 1.
    pub(crate) cpu: f64,
}

/// The faults that are still to come, and the results of the others.
#[derive(Debug)]
struct Board {
    open: VecDeque<Kind>,
    outcome: Outcome,
}

type Shared = Arc<Mutex<Board>>;

fn lock(board: &Shared) -> std::sync::MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs an order.
///
/// # Errors
/// If the rings do not come up.
pub(crate) async fn run(site: Arc<Site>, order: &Order) -> Result<Outcome, Failure> {
    let mut random = fastrand::Rng::with_seed(order.seed);
    let own = order.kinds.iter().filter(|kind| !kind.is_shared());
    let mut open: Vec<Kind> = own.flat_map(|kind| std::iter::repeat_n(*kind, order.kills)).collect();
    random.shuffle(&mut open);
    let total = open.len();
    let board = Arc::new(Mutex::new(Board { open: open.into(), outcome: Outcome::default() }));
    println!("{} rings of {} processes ...", order.rings, crate::ring::REPLICAS);
    let mut rings = Vec::new();
    for index in 0..order.rings {
        let mut ring = Ring::start(site.clone(), index, random.fork()).await?;
        if order.rogue {
            ring.add_rogue().await?;
        }
        rings.push(ring);
    }
    let progress = tokio::spawn(report_progress(board.clone(), total));
    let cpu = Cpu::now();
    let mut workers = JoinSet::new();
    for ring in rings {
        workers.spawn(work(ring, board.clone()));
    }
    let mut rings: Vec<Ring> = workers.join_all().await.into_iter().flatten().collect();
    all_at_once(&site, &mut rings, order, &board).await;
    progress.abort();
    let mut outcome = std::mem::take(&mut lock(&board).outcome);
    outcome.cpu = cpu.used_since();
    for mut ring in rings {
        examine(&ring, &mut outcome);
        rest(&mut ring, &mut outcome).await;
        ring.stop().await;
    }
    outcome.lateness.sort_unstable();
    Ok(outcome)
}

/// Takes faults from the board until none is left. Returns the ring unless it cannot be repaired.
async fn work(mut ring: Ring, board: Shared) -> Option<Ring> {
    let mut failures = 0;
    loop {
        let Some(kind) = lock(&board).open.pop_front() else { return Some(ring) };
        let begun = At::now();
        match scenario::run(&mut ring, kind).await {
            Ok(sample) => lock(&board).outcome.samples.push(sample),
            Err(error) => {
                failures += 1;
                fail(&board, kind, &ring.label, &error);
                ring.note(kind, begun, At::now(), None);
                if failures >= FAILURES_MAX || ring.renew().await.is_err() {
                    println!("a ring is given up");
                    examine(&ring, &mut lock(&board).outcome);
                    ring.stop().await;
                    return None;
                }
            }
        }
    }
}

fn fail(board: &Shared, kind: Kind, whose: &str, error: &Failure) {
    let text = format!("{whose} {}: {error}", At::now().timestamp());
    println!("{kind}: {text}");
    let finding = Finding { breach: Breach::Missed, at: At::now(), kind: Some(kind), text };
    lock(board).outcome.findings.push(finding);
}

async fn all_at_once(site: &Site, rings: &mut [Ring], order: &Order, board: &Shared) {
    for kind in order.kinds.iter().filter(|kind| kind.is_shared()) {
        for _ in 0..order.kills.div_ceil(rings.len().max(1)) {
            match shared::run(site, rings, *kind).await {
                Ok(samples) => lock(board).outcome.samples.extend(samples),
                Err(error) => {
                    fail(board, *kind, "all rings", &error);
                    for ring in rings.iter_mut() {
                        // If a process does not come up, the next round shows it again.
                        let _ = ring.renew().await;
                    }
                }
            }
        }
    }
}

/// Adds the findings in a ring's history.
fn examine(ring: &Ring, outcome: &mut Outcome) {
    let history = ring.history();
    let verdict = check(&history);
    outcome.lateness.extend(verdict.lateness);
    outcome.findings.extend(verdict.findings.into_iter().map(|mut finding| {
        finding.text = format!("{} {}", ring.label, finding.text);
        finding
    }));
    for (at, key, text) in ring.load.unfinished() {
        let before = history.spans.iter().take_while(|span| span.from <= at).last();
        let kind = before.map(|span| span.kind);
        let text = format!("{} {} key {}: {text}", ring.label, at.timestamp(), key.0);
        outcome.findings.push(Finding { breach: Breach::Missed, at, kind, text });
    }
}

/// Checks that nothing runs and no lock is left after all bookings have ended.
async fn rest(ring: &mut Ring, outcome: &mut Outcome) {
    let restless = ring.left_behind().await.unwrap_or_else(|error| vec![error.to_string()]);
    let kind = outcome.samples.last().map(|sample| sample.kind);
    outcome.findings.extend(restless.into_iter().map(|what| Finding {
        breach: Breach::Missed,
        at: At::now(),
        kind,
        text: format!("{} is not at rest without bookings: {what}", ring.label),
    }));
}

async fn report_progress(board: Shared, total: usize) {
    let begun = Instant::now();
    let mut rounds = interval(PROGRESS);
    let mut cpu = Cpu::now();
    loop {
        rounds.tick().await;
        let mut counts: BTreeMap<Kind, usize> = BTreeMap::new();
        let (done, findings) = {
            let board = lock(&board);
            board.outcome.samples.iter().for_each(|sample| *counts.entry(sample.kind).or_default() += 1);
            (board.outcome.samples.len(), board.outcome.findings.len())
        };
        let counts: Vec<String> = counts.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        println!(
            "{:>5} s, cpu {:>3.0} %, {done} faults of {total} and those that hit all, {findings} failed: {}",
            begun.elapsed().as_secs(),
            cpu.used_since() * 100.0,
            counts.join(", ")
        );
        cpu = Cpu::now();
    }
}
