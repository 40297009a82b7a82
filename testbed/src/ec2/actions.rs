//! The actions of the EC2 API on the world: describe, start, stop.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::error::ApiError;
use super::filter::{Filter, RawFilter};
use super::index::{Candidates, ScopeIndex, Slot};
use super::instance::{Instance, Seen};
use super::mix::mix;
use super::model::{InstanceState, Scope};
use super::time::SimTime;
use super::world::World;

/// The limit that EC2 documents for `DescribeInstances`.
const MAX_DESCRIBED_IDS: usize = 1_000;
const PAGE_SIZES: std::ops::RangeInclusive<u32> = 5..=1_000;

/// The request of a describe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Describe {
    pub(crate) ids: Vec<String>,
    pub(crate) filters: Vec<RawFilter>,
    pub(crate) max_results: Option<u32>,
    pub(crate) next_token: Option<String>,
}

/// The result of a describe.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) instances: Vec<Seen>,
    pub(crate) next_token: Option<String>,
}

/// What start and stop report for an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StateChange {
    pub(crate) id: Arc<str>,
    pub(crate) previous: InstanceState,
    pub(crate) current: InstanceState,
}

/// The two calls that change states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Power {
    Start,
    Stop,
}

impl Power {
    /// The state into which the call brings an instance. `None` if it refuses.
    fn effect(self, state: InstanceState, pending_can_stop: bool) -> Option<InstanceState> {
        use InstanceState::{Pending, Running, ShuttingDown, Stopped, Stopping, Terminated};
        match (self, state) {
            (_, ShuttingDown | Terminated) | (Self::Start, Stopping) => None,
            (Self::Start, Pending | Stopped) => Some(Pending),
            (Self::Start, Running) => Some(Running),
            (Self::Stop, Pending) => pending_can_stop.then_some(Stopping),
            (Self::Stop, Running | Stopping) => Some(Stopping),
            (Self::Stop, Stopped) => Some(Stopped),
        }
    }

    fn participle(self) -> &'static str {
        match self {
            Self::Start => "started",
            Self::Stop => "stopped",
        }
    }
}

impl World {
    /// Starts or stops all of the instances, or none if one of them refuses. With `dry_run` it only checks.
    pub(crate) fn power(
        &mut self,
        now: SimTime,
        scope: &Scope,
        ids: &[String],
        power: Power,
        dry_run: bool,
    ) -> Result<Vec<StateChange>, ApiError> {
        if ids.is_empty() {
            return Err(ApiError::new(
                "MissingParameter",
                "The request must contain the parameter InstanceId",
            ));
        }
        let slots = self.resolve(scope, now, ids)?;
        let (mut changes, mut refused) = (Vec::with_capacity(slots.len()), Vec::new());
        for instance in slots.iter().filter_map(|slot| self.instances.get(slot)) {
            let previous = instance.state_at(now);
            match power.effect(previous, self.settings.pending_can_stop) {
                Some(current) => {
                    changes.push(StateChange { id: Arc::clone(&instance.id), previous, current });
                }
                None => refused.push(&*instance.id),
            }
        }
        if !refused.is_empty() {
            return Err(ApiError::wrong_state(&refused, power.participle()));
        }
        if power == Power::Start {
            self.find_room(now, &slots)?;
        }
        if dry_run {
            return Err(ApiError::would_have_succeeded());
        }
        for (slot, change) in slots.into_iter().zip(&changes) {
            if change.previous != change.current {
                self.enter(now, slot, change.current, None);
            }
        }
        Ok(changes)
    }

    /// If a call lacks room in one zone, it fails for all of its instances.
    fn find_room(&self, now: SimTime, starting: &[Slot]) -> Result<(), ApiError> {
        for (zone, capacity) in &self.settings.zone_capacity {
            let is_in = |instance: &&Instance| *instance.zone == **zone;
            let takes_room = |instance: &&Instance| {
                use InstanceState::{Pending, Running, Stopping};
                matches!(instance.state_at(now), Pending | Running | Stopping)
            };
            let starting = starting.iter().filter_map(|slot| self.instances.get(slot)).filter(is_in);
            let new = starting.filter(|instance| !takes_room(instance)).count();
            let taken = self.instances.values().filter(is_in).filter(takes_room).count();
            if new > 0 && taken + new > *capacity {
                return Err(ApiError::no_room(zone));
            }
        }
        Ok(())
    }

    /// Describes instances as they were at `as_of`, in the order of creation. Explicit ids keep their own order.
    pub(crate) fn describe(
        &self,
        as_of: SimTime,
        scope: &Scope,
        describe: &Describe,
    ) -> Result<Page, ApiError> {
        let filters = Filter::parse_all(&describe.filters)?;
        let paged = describe.max_results.is_some() || describe.next_token.is_some();
        if !describe.ids.is_empty() && paged {
            let message = "The parameter instancesSet cannot be used with the parameter maxResults";
            return Err(ApiError::new("InvalidParameterCombination", message));
        }
        if let Some(size) = describe.max_results.filter(|size| !PAGE_SIZES.contains(size)) {
            let message = format!(
                "Value ( {size} ) for parameter maxResults is invalid. Expecting a value from 5 to 1000."
            );
            return Err(ApiError::invalid_value(message));
        }
        if describe.ids.is_empty() {
            self.list(as_of, scope, describe, &filters)
        } else {
            self.look_up(as_of, scope, &describe.ids, &filters)
        }
    }

    fn look_up(
        &self,
        as_of: SimTime,
        scope: &Scope,
        ids: &[String],
        filters: &[Filter],
    ) -> Result<Page, ApiError> {
        if ids.len() > MAX_DESCRIBED_IDS {
            let message = format!("The maximum number of instance IDs in one call is {MAX_DESCRIBED_IDS}");
            return Err(ApiError::invalid_value(message));
        }
        let slots = self.resolve(scope, as_of, ids)?;
        let instances = slots.into_iter().filter_map(|slot| self.seen(slot, as_of, filters)).collect();
        Ok(Page { instances, next_token: None })
    }

    fn list(
        &self,
        as_of: SimTime,
        scope: &Scope,
        ask: &Describe,
        filters: &[Filter],
    ) -> Result<Page, ApiError> {
        let fingerprint = fingerprint(scope, &ask.filters);
        let first = match &ask.next_token {
            Some(token) => read_token(token, fingerprint)?,
            None => 0,
        };
        let size = match ask.max_results {
            Some(size) => usize::try_from(size).unwrap_or(usize::MAX),
            None if ask.next_token.is_some() => usize::try_from(*PAGE_SIZES.end()).unwrap_or(usize::MAX),
            None => usize::MAX,
        };
        let index = self.scopes.get(scope);
        let mut candidates = index.map_or_else(Listing::default, |index| Listing::new(index, filters, first));
        let mut page = Page::default();
        while let Some(slot) = candidates.next() {
            let Some(seen) = self.seen(slot, as_of, filters) else {
                continue;
            };
            if page.instances.len() == size {
                page.next_token = Some(write_token(slot, fingerprint));
                break;
            }
            page.instances.push(seen);
        }
        Ok(page)
    }

    fn seen(&self, slot: Slot, as_of: SimTime, filters: &[Filter]) -> Option<Seen> {
        let seen = self.instances.get(&slot)?.seen_at(as_of)?;
        filters.iter().all(|filter| filter.matches(&seen)).then_some(seen)
    }

    /// The moment whose state a describe shows. `call` is the number of the call.
    pub(crate) fn describe_as_of(&self, now: SimTime, call: u64) -> SimTime {
        let lag = self.settings.lag();
        if self.settings.lag_varies {
            // The age comes from the call's number, so that a repeated run has the same ages.
            let share = u32::try_from(mix(call) >> 32).unwrap_or(u32::MAX);
            return now.before(lag.mul_f64(f64::from(share) / f64::from(u32::MAX)));
        }
        now.before(lag)
    }
}

#[derive(Default)]
struct Listing<'a> {
    candidates: Option<Candidates<'a>>,
    next: Slot,
}

impl<'a> Listing<'a> {
    fn new(index: &'a ScopeIndex, filters: &[Filter], first: Slot) -> Self {
        Self { candidates: Some(index.candidates(filters)), next: first }
    }

    fn next(&mut self) -> Option<Slot> {
        let slot = self.candidates.as_ref()?.at_or_after(self.next)?;
        self.next = slot + 1;
        Some(slot)
    }
}

/// A token is valid only for the listing that it came from.
fn fingerprint(scope: &Scope, filters: &[RawFilter]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (scope, filters.iter().collect::<BTreeSet<_>>()).hash(&mut hasher);
    hasher.finish()
}

fn write_token(next: Slot, fingerprint: u64) -> String {
    format!("{fingerprint:016x}{next:016x}")
}

fn read_token(token: &str, fingerprint: u64) -> Result<Slot, ApiError> {
    let parts = token.split_at_checked(16).filter(|(print, _)| *print == format!("{fingerprint:016x}"));
    let slot = parts.and_then(|(_, slot)| Slot::from_str_radix(slot, 16).ok());
    slot.ok_or_else(|| ApiError::new("InvalidNextToken", format!("The token '{token}' is invalid")))
}
