//! A family in a process: its stage, its check for the probe, and what it waits for.

use std::{sync::Arc, time::Duration};

use backon::{ExponentialBuilder, Retryable};
use tokio::sync::watch;

use crate::{
    Key,
    controller::{FollowedPredecessor, Services},
    ownership::{
        Predecessor,
        opener::{Kinds, WatchedTable},
    },
    probes::Check,
    watch::{KeyGate, Watches},
};

/// The stage of a family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FamilyStage {
    /// It waits for something. The text says for what.
    Waits(String),
    /// Its kinds are being listed.
    Lists,
    /// Passes work on its keys.
    Ready,
}

/// A family in a process.
pub(super) struct RunningFamily {
    pub(super) name: &'static str,
    pub(super) watches: Watches,
    pub(super) gate: Arc<KeyGate>,
    pub(super) stage: watch::Sender<FamilyStage>,
    pub(super) predecessor: Option<FollowedPredecessor>,
}

impl RunningFamily {
    pub(super) fn is_listing(&self) -> bool {
        !matches!(*self.stage.borrow(), FamilyStage::Waits(_))
    }

    pub(super) fn stands(&self, stage: FamilyStage) {
        let waits = if matches!(stage, FamilyStage::Waits(_)) { 1.0 } else { 0.0 };
        metrics::gauge!("booking_operator_family_waiting", "family" => self.name).set(waits);
        self.stage.send_replace(stage);
    }

    /// The keys of all objects in its tables.
    pub(super) fn keys(&self) -> Vec<Key> {
        self.watches.present().iter().flat_map(|kind| kind.keys()).collect()
    }

    fn watched(&self) -> Vec<WatchedTable> {
        let of = |kind, is_runtime| WatchedTable { kind, gate: self.gate.clone(), is_runtime };
        let runtime = self.watches.present_at_runtime().into_iter().map(|kind| of(kind, true));
        self.watches.kinds().iter().cloned().map(|kind| of(kind, false)).chain(runtime).collect()
    }

    /// Waits until the API server serves all its kinds. Missing CRDs are reported. If the process ended because of
    /// them, Kubernetes would restart it in a loop.
    pub(super) async fn wait_for_crds(&self, services: &Services) {
        let waits = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(500))
            .with_max_delay(Duration::from_secs(10))
            .without_max_times();
        let found = (|| self.find_all(services)).retry(waits).notify(|what, _| {
            tracing::warn!(family = self.name, "waiting for {what}");
            self.stands(FamilyStage::Waits(what.clone()));
        });
        // The number of tries is not limited, so there is no last error.
        let _ = found.await;
    }

    async fn find_all(&self, services: &Services) -> Result<(), String> {
        for kind in self.watches.kinds() {
            kind.find(&services.client, services.namespace.as_deref()).await?;
        }
        Ok(())
    }

    pub(super) fn checks(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        for kind in self.watches.kinds().iter().filter(|_| self.is_listing()) {
            let state = match (kind.health().is_synced(), kind.health().is_failing()) {
                (false, _) => Err("not synced yet".to_owned()),
                (true, true) => Err("interrupted".to_owned()),
                (true, false) => Ok(()),
            };
            checks.push((format!("watch-{}", kind.plural()), state));
        }
        // It is looked for once the family begins.
        if let Some(FollowedPredecessor { check, state }) =
            self.predecessor.as_ref().filter(|_| self.is_listing())
        {
            let state = match &*state.borrow() {
                Predecessor::Absent => Ok(()),
                Predecessor::Unknown => Err("not looked for yet".to_owned()),
                Predecessor::AtWork(who) => Err(format!("{who}: nothing is done beside it")),
            };
            checks.push(((*check).to_owned(), state));
        }
        checks
    }
}

/// The families of a process, for the ring's opener.
pub(super) struct Families(pub(super) Vec<Arc<RunningFamily>>);

impl Kinds for Families {
    fn watched(&self) -> Vec<WatchedTable> {
        self.0.iter().filter(|family| family.is_listing()).flat_map(|family| family.watched()).collect()
    }

    fn keys(&self) -> Vec<Key> {
        self.0.iter().filter(|family| family.gate.is_open()).flat_map(|family| family.keys()).collect()
    }
}

/// The checks of families that are not at work. They do not make the process unready if another family is at work.
pub(super) fn families_that_wait(families: &[Arc<RunningFamily>]) -> Vec<Check> {
    let is_at_work = |family: &Arc<RunningFamily>| *family.stage.borrow() == FamilyStage::Ready;
    let one_is = families.iter().any(is_at_work);
    let waiting = families.iter().filter(|family| !is_at_work(family) && families.len() > 1);
    waiting
        .map(|family| match &*family.stage.borrow() {
            FamilyStage::Waits(what) if one_is => {
                (format!("family-{} (waits for {what})", family.name), Ok(()))
            }
            FamilyStage::Waits(what) => (format!("family-{}", family.name), Err(format!("waits for {what}"))),
            _ => (format!("family-{}", family.name), Err("lists its kinds".to_owned())),
        })
        .collect()
}

/// Follows the family's predecessor. When it is no longer at work, all keys of the family are due.
pub(super) async fn follow_predecessor(family: Arc<RunningFamily>) {
    let Some(mut seen) = family.predecessor.as_ref().map(|followed| followed.state.clone()) else { return };
    while seen.changed().await.is_ok() {
        let now = seen.borrow_and_update().clone();
        match now {
            Predecessor::Absent => {
                tracing::info!(family = family.name, "the predecessor is not at work");
                family.gate.pass(family.keys());
            }
            Predecessor::AtWork(who) => {
                tracing::warn!(family = family.name, "{who}: nothing is done beside it");
            }
            Predecessor::Unknown => {}
        }
    }
}
