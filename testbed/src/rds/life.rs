//! The statuses of a database over time. All are planned when the last change begins, so nothing has to run as time
//! passes.

use crate::ec2::{Settings, SimTime};

pub(crate) const AVAILABLE: &str = "available";
pub(crate) const STOPPED: &str = "stopped";
pub(crate) const STARTING: &str = "starting";
pub(crate) const STOPPING: &str = "stopping";

/// The statuses in order, each with the moment at which it begins.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    first: (SimTime, String),
    then: Vec<(SimTime, &'static str)>,
    restart_at: Option<SimTime>,
}

impl Life {
    /// `status` from `now` on, and the statuses that follow by themselves in their time.
    pub(crate) fn enter(now: SimTime, status: &str, settings: &Settings) -> Self {
        let mut life = Self { first: (now, status.to_owned()), then: Vec::new(), restart_at: None };
        match status {
            STARTING => life.start(now, settings),
            STOPPING => {
                let stopped = now.after(settings.rds_stopping());
                life.then.push((stopped, STOPPED));
                life.restart(now.after(settings.rds_restart()).max(stopped), settings);
            }
            STOPPED => life.restart(now.after(settings.rds_restart()), settings),
            _ => {}
        }
        life
    }

    fn restart(&mut self, at: SimTime, settings: &Settings) {
        self.restart_at = Some(at);
        self.then.push((at, STARTING));
        self.start(at, settings);
    }

    fn start(&mut self, at: SimTime, settings: &Settings) {
        self.then.push((at.after(settings.rds_starting()), AVAILABLE));
    }

    /// The status, and since when it has been so.
    pub(crate) fn at(&self, now: SimTime) -> (&str, SimTime) {
        let begun = self.then.iter().rev().find(|(from, _)| *from <= now);
        begun.map_or((&self.first.1, self.first.0), |(from, status)| (status, *from))
    }

    pub(crate) fn status(&self, now: SimTime) -> &str {
        self.at(now).0
    }

    /// When the database starts by itself, if that is in the future.
    pub(crate) fn restart_at(&self, now: SimTime) -> Option<SimTime> {
        self.restart_at.filter(|at| now < *at)
    }
}
