//! The model cloud. Its machines take their time, its describes may lag, and its calls may fail.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use booking_calendar::instant;
use bookings::{
    api::Lock,
    decide::groups::{
        machine::{LockTag, Machine, MachineState, same_lock},
        output::Call,
    },
};

use crate::{
    Micros, SECOND,
    checker::Verb,
    sim::{dice::Dice, plan::GroupPlan},
};

/// States older than this are forgotten, because no describe lags so much.
const REMEMBERED: Micros = 60 * SECOND;

/// A machine.
#[derive(Debug)]
struct ModelMachine {
    name: Arc<str>,
    group: usize,
    turn: Micros,
    /// Its states, and when each begins. The last ones may be in the future.
    history: VecDeque<(Micros, Machine)>,
}

/// The troubles of the cloud. Each has the time until which it lasts.
#[derive(Debug, Default)]
pub struct Moods {
    /// The cloud refuses everything.
    pub throttles: Micros,
    /// Calls fail without effect.
    pub errors: Micros,
    /// Calls take effect without a reply.
    pub loses_replies: Micros,
    /// Calls take up to a call's time-out.
    pub slow: Micros,
    /// Describes show an earlier state.
    pub lags: Micros,
    /// Starts fail because there is no free machine.
    pub full: Micros,
}

/// The model cloud.
#[derive(Debug, Default)]
pub struct Cloud {
    machines: BTreeMap<String, ModelMachine>,
    /// The present troubles.
    pub moods: Moods,
}

/// Why a call for a machine failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloudFault {
    /// Too many calls.
    Throttled,
    /// Something failed on the way, or there was no answer.
    Transient,
    /// The state of the machine does not allow the call.
    WrongState,
    /// No machine is free.
    Capacity,
}

/// The results of a call, by machine.
pub type Results = Vec<(String, Result<(), CloudFault>)>;

/// The verb of a call.
pub fn verb(call: &Call) -> Verb {
    match call {
        Call::Start(_) => Verb::Start,
        Call::Stop(_) => Verb::Stop,
        Call::Lock(..) => Verb::Lock,
        Call::Unlock(..) => Verb::Unlock,
    }
}

impl Cloud {
    /// A cloud with the machines of these groups.
    pub fn new(groups: &[GroupPlan]) -> Self {
        let mut machines = BTreeMap::new();
        for (group, plan) in groups.iter().enumerate() {
            for place in 0..plan.machines {
                let id = format!("i-{group}-{place}");
                let state = if place < plan.running { MachineState::Running } else { MachineState::Stopped };
                let history = VecDeque::from([(0, Machine::new(&id, state))]);
                let machine = ModelMachine { name: Arc::from(id.as_str()), group, turn: plan.turn, history };
                machines.insert(id, machine);
            }
        }
        Self { machines, moods: Moods::default() }
    }

    /// The machines of a group, as they are.
    pub fn truth(&self, group: usize, now: Micros) -> impl Iterator<Item = &Machine> {
        self.machines
            .values()
            .filter(move |machine| machine.group == group)
            .filter_map(move |machine| machine.at(now))
    }

    /// The machines of a group, as a describe shows them.
    ///
    /// # Errors
    /// The fault of the cloud.
    pub fn describe(&self, group: usize, now: Micros, dice: &mut Dice) -> Result<Vec<Machine>, CloudFault> {
        if now < self.moods.throttles && dice.chance(700) {
            return Err(CloudFault::Throttled);
        }
        if now < self.moods.errors && dice.chance(600) {
            return Err(CloudFault::Transient);
        }
        let lag =
            if now < self.moods.lags { dice.between(0, 20 * SECOND) } else { dice.between(0, SECOND / 2) };
        Ok(self.truth(group, now.saturating_sub(lag)).cloned().collect())
    }

    /// The name of a machine.
    pub fn name(&self, id: &str) -> Option<Arc<str>> {
        self.machines.get(id).map(|machine| machine.name.clone())
    }

    /// A call arrives. The results are true, but the caller may not get them.
    pub fn call(&mut self, call: &Call, now: Micros, dice: &mut Dice) -> Results {
        let whole = if now < self.moods.throttles && dice.chance(700) {
            Some(CloudFault::Throttled)
        } else if now < self.moods.errors && dice.chance(600) {
            Some(CloudFault::Transient)
        } else {
            None
        };
        let full = now < self.moods.full;
        call.ids()
            .iter()
            .map(|id| {
                let machine = self.machines.get_mut(id).ok_or(CloudFault::WrongState);
                let result = match whole {
                    Some(fault) => Err(fault),
                    None => machine.and_then(|machine| machine.obey(call, full, now)),
                };
                (id.clone(), result)
            })
            .collect()
    }
}

impl ModelMachine {
    fn at(&self, now: Micros) -> Option<&Machine> {
        let known = self.history.iter().rev().find(|(from, _)| *from <= now);
        known.or(self.history.front()).map(|(_, instance)| instance)
    }

    fn obey(&mut self, call: &Call, full: bool, now: Micros) -> Result<(), CloudFault> {
        let state = self.at(now).map(|instance| instance.state).ok_or(CloudFault::WrongState)?;
        match (call, state) {
            (Call::Start(_), MachineState::Stopped) if full => return Err(CloudFault::Capacity),
            (Call::Start(_), MachineState::Stopped) => {
                self.turn(now, MachineState::Pending, MachineState::Running);
            }
            (Call::Stop(_), MachineState::Running) => {
                self.turn(now, MachineState::Stopping, MachineState::Stopped);
            }
            (Call::Start(_), MachineState::Stopping) | (Call::Stop(_), MachineState::Pending) => {
                return Err(CloudFault::WrongState);
            }
            (Call::Start(_) | Call::Stop(_), _) => {}
            (Call::Lock(lock, _), _) => self.relock(now, |_| tag(lock)),
            (Call::Unlock(lock, _), _) => self.relock(now, |present| match present {
                LockTag::Held { raw, .. } if same_lock(raw, lock) => LockTag::Absent,
                other => other.clone(),
            }),
        }
        Ok(())
    }

    fn turn(&mut self, now: Micros, via: MachineState, to: MachineState) {
        let Some(was) = self.at(now).cloned() else { return };
        self.history.retain(|(from, _)| *from <= now);
        self.history.push_back((now, Machine { state: via, ..was.clone() }));
        self.history.push_back((now + self.turn, Machine { state: to, ..was }));
        self.forget(now);
    }

    /// Changes the tags of a machine, in its present state and in those that follow.
    fn relock(&mut self, now: Micros, change: impl Fn(&LockTag) -> LockTag) {
        let Some(was) = self.at(now).cloned() else { return };
        let lock = change(&was.lock);
        for (_, coming) in self.history.iter_mut().filter(|(from, _)| *from > now) {
            coming.lock = lock.clone();
        }
        let place = self.history.iter().filter(|(from, _)| *from <= now).count();
        self.history.insert(place, (now, Machine { lock, ..was }));
        self.forget(now);
    }

    fn forget(&mut self, now: Micros) {
        let old = |entry: Option<&(Micros, Machine)>| entry.is_some_and(|(from, _)| from + REMEMBERED < now);
        while old(self.history.get(1)) {
            self.history.pop_front();
        }
    }
}

fn tag(lock: &Lock) -> LockTag {
    instant::parse(&lock.until).map_or_else(
        |_| LockTag::Malformed { by: Some(lock.user.clone()), until: Some(lock.until.clone()) },
        |until| LockTag::Held { raw: lock.clone(), until },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::plan::Idle;

    fn cloud() -> Cloud {
        Cloud::new(&[GroupPlan { machines: 1, running: 0, turn: 10 * SECOND, idle: Idle::Stop }])
    }

    fn state(cloud: &Cloud, at: Micros) -> MachineState {
        cloud.truth(0, at).next().unwrap().state
    }

    #[test]
    fn a_machine_takes_its_time_and_keeps_its_tags_on_the_way() {
        // given a machine that was started and then locked
        let (mut cloud, mut dice) = (cloud(), Dice::new(1, 1));
        let ids = || vec!["i-0-0".to_owned()];
        let lock = Lock { user: "ann".into(), until: "2027-03-01T09:00:00Z".into() };
        cloud.call(&Call::Start(ids()), SECOND, &mut dice);
        cloud.call(&Call::Lock(lock.clone(), ids()), 2 * SECOND, &mut dice);
        // then it is on its way, and then runs, locked
        assert_eq!(state(&cloud, 3 * SECOND), MachineState::Pending);
        assert_eq!(state(&cloud, 11 * SECOND), MachineState::Running);
        assert!(cloud.truth(0, 12 * SECOND).all(|instance| instance.lock == tag(&lock)));
        // and is unlocked only by the lock it carries
        let other = Lock { user: "eve".into(), ..lock.clone() };
        cloud.call(&Call::Unlock(other, ids()), 13 * SECOND, &mut dice);
        assert!(cloud.truth(0, 14 * SECOND).all(|instance| instance.lock == tag(&lock)));
        cloud.call(&Call::Unlock(lock, ids()), 15 * SECOND, &mut dice);
        assert!(cloud.truth(0, 16 * SECOND).all(|instance| instance.lock == LockTag::Absent));
    }

    #[test]
    fn nothing_starts_while_the_cloud_is_full() {
        let (mut cloud, mut dice) = (cloud(), Dice::new(1, 1));
        cloud.moods.full = 5 * SECOND;
        let start = Call::Start(vec!["i-0-0".to_owned()]);
        let results = cloud.call(&start, SECOND, &mut dice);
        assert_eq!(results[0].1, Err(CloudFault::Capacity));
        assert_eq!(cloud.call(&start, 6 * SECOND, &mut dice)[0].1, Ok(()));
    }
}
