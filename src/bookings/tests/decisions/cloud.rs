//! A model of the cloud: machines take some time to start and stop, and a describe may lag.

use std::time::Duration;

use booking_calendar::instant::after;
use bookings::{
    api::Lock,
    decide::groups::{
        machine::{LockTag, Machine, MachineState},
        output::Call,
    },
};
use jiff::Timestamp;

use crate::build::tag;

/// How a machine reacts to a start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Temper {
    #[default]
    Obeys,
    /// The call is refused.
    NoCapacity,
    /// It starts, and is stopped again.
    FallsBack,
}

#[derive(Clone, Debug)]
pub struct ModelMachine {
    temper: Temper,
    /// The machine's states, each with the instant at which it begins.
    history: Vec<(Timestamp, Machine)>,
}

#[derive(Clone, Debug, Default)]
pub struct Cloud {
    pub machines: Vec<ModelMachine>,
    /// How long a start or a stop takes.
    pub turn: Duration,
    /// How old the answer of a describe is.
    pub lag: Duration,
}

impl Cloud {
    pub fn add(&mut self, instance: Machine) {
        self.machines
            .push(ModelMachine { temper: Temper::Obeys, history: vec![(Timestamp::UNIX_EPOCH, instance)] });
    }

    pub fn temper(&mut self, id: &str, temper: Temper) {
        self.machine(id).temper = temper;
    }

    /// The machines as they really are.
    pub fn truth(&self, now: Timestamp) -> Vec<Machine> {
        self.machines.iter().map(|machine| machine.at(now).clone()).collect()
    }

    /// The machines as a describe shows them.
    pub fn describe(&self, now: Timestamp) -> Vec<Machine> {
        self.truth(now.checked_sub(self.lag).unwrap())
    }

    /// Somebody else changes a machine.
    pub fn meddle(&mut self, id: &str, now: Timestamp, change: impl FnOnce(&mut Machine)) {
        self.machine(id).change(now, change);
    }

    /// Carries out a call for one machine.
    pub fn call(&mut self, call: &Call, id: &str, now: Timestamp) -> Result<(), String> {
        let turn = self.turn;
        let machine = self.machine(id);
        match call {
            Call::Start(_) => machine.start(turn, now),
            Call::Stop(_) => machine.stop(turn, now),
            Call::Lock(lock, _) => {
                machine.change(now, |instance| instance.lock = tag(lock));
                Ok(())
            }
            Call::Unlock(lock, _) => {
                machine.unlock(lock, now);
                Ok(())
            }
        }
    }

    fn machine(&mut self, id: &str) -> &mut ModelMachine {
        self.machines.iter_mut().find(|machine| machine.history[0].1.id == id).unwrap()
    }
}

impl ModelMachine {
    fn at(&self, now: Timestamp) -> &Machine {
        let known = self.history.iter().rev().find(|(from, _)| *from <= now);
        &known.unwrap_or(&self.history[0]).1
    }

    /// Changes a machine from now on, and also in states that are still to come.
    fn change(&mut self, now: Timestamp, change: impl FnOnce(&mut Machine)) {
        let mut instance = self.at(now).clone();
        let before = instance.clone();
        change(&mut instance);
        for (_, coming) in self.history.iter_mut().filter(|(from, _)| *from > now) {
            coming.lock = instance.lock.clone();
        }
        if instance.state != before.state {
            self.history.retain(|(from, _)| *from <= now);
        }
        let place = self.history.iter().filter(|(from, _)| *from <= now).count();
        self.history.insert(place, (now, instance));
    }

    fn turn(&mut self, now: Timestamp, turn: Duration, via: MachineState, to: MachineState) {
        self.change(now, |instance| {
            instance.state = via;
            instance.state_reason = None;
        });
        let arrived = Machine { state: to, ..self.at(now).clone() };
        self.history.push((after(now, turn), arrived));
    }

    fn start(&mut self, turn: Duration, now: Timestamp) -> Result<(), String> {
        match (self.at(now).state, self.temper) {
            (_, Temper::NoCapacity) => Err("InsufficientInstanceCapacity".into()),
            (MachineState::Stopped, _) => {
                self.turn(now, turn, MachineState::Pending, MachineState::Running);
                if self.temper == Temper::FallsBack {
                    let reason = Some("Client.VolumeLimitExceeded".to_owned());
                    let stopped = Machine {
                        state: MachineState::Stopped,
                        state_reason: reason,
                        ..self.at(now).clone()
                    };
                    self.history.pop();
                    self.history.push((after(now, turn), stopped));
                }
                Ok(())
            }
            (MachineState::Pending | MachineState::Running, _) => Ok(()),
            _ => Err("IncorrectInstanceState".into()),
        }
    }

    fn stop(&mut self, turn: Duration, now: Timestamp) -> Result<(), String> {
        match self.at(now).state {
            MachineState::Running => {
                self.turn(now, turn, MachineState::Stopping, MachineState::Stopped);
                Ok(())
            }
            MachineState::Stopping | MachineState::Stopped => Ok(()),
            _ => Err("IncorrectInstanceState".into()),
        }
    }

    fn unlock(&mut self, lock: &Lock, now: Timestamp) {
        if matches!(&self.at(now).lock, LockTag::Held { raw, .. } if raw == lock) {
            self.change(now, |instance| instance.lock = LockTag::Absent);
        }
    }
}
