//! Tests of the world without input or output, and of the whole simulator over HTTP.

mod describe;
mod faults;
mod lifecycle;
mod scale;
mod tags;
pub(crate) mod wire;
mod wire_faults;

use std::time::Duration;

use super::actions::{Describe, Page};
use super::filter::RawFilter;
use super::model::{AddInstances, InstanceState, Scope, Settings};
use super::time::SimTime;
use super::world::World;

fn scope() -> Scope {
    let defaults = AddInstances::default();
    Scope { account: defaults.account, region: defaults.region }
}

/// So many milliseconds into the test.
fn at(ms: u64) -> SimTime {
    SimTime::from_unix_micros(1_767_225_600_000_000).after(Duration::from_millis(ms))
}

fn settings() -> Settings {
    Settings { pending_ms: 10_000, stopping_ms: 20_000, shutting_down_ms: 5_000, ..Settings::default() }
}

fn world() -> World {
    World::new(settings())
}

fn id(n: u32) -> String {
    format!("i-{n:017x}")
}

/// Instance 1 in the given state, at the beginning of the test.
fn world_with(state: InstanceState) -> World {
    let mut world = world();
    world.add(at(0), &AddInstances::ids([id(1)]).state(state)).unwrap();
    world
}

fn filter(name: &str, values: &[&str]) -> RawFilter {
    RawFilter { name: name.to_owned(), values: values.iter().map(|&value| value.to_owned()).collect() }
}

fn by_filters(filters: &[RawFilter]) -> Describe {
    Describe { filters: filters.to_vec(), ..Describe::default() }
}

fn ids_of(page: &Page) -> Vec<String> {
    page.instances.iter().map(|seen| seen.id.to_string()).collect()
}

fn states_of(page: &Page) -> Vec<InstanceState> {
    page.instances.iter().map(|seen| seen.phase.state).collect()
}
