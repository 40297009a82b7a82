//! A cloud to test on: how machines get into it.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use booking_cloud::{CloudError, Ec2, ErrorClass, Instance, InstanceState, Provider, Results, Tag};
use testbed::ec2::InstanceState as Ec2State;

/// Which cloud it is, because some answers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Simulator,
    Moto,
}

/// A cloud of which each test has a part to itself: a group tag that nobody else uses.
pub trait Backend {
    fn kind(&self) -> Kind;

    fn ec2(&self) -> &Ec2;

    /// The key of the tag that marks groups.
    fn group_tag(&self) -> &str;

    /// Adds machines in a state, with exactly these tags. The answer is their ids.
    async fn add(&self, count: usize, state: Ec2State, tags: &[Tag]) -> Vec<String>;

    /// Lets machines reach the state that they are going to.
    fn settle(&self);

    /// How many calls the cloud got so far. None if the backend does not count them.
    fn calls(&self) -> Option<usize>;
}

/// A key that no other test uses.
pub fn unique_group_tag() -> String {
    static LAST: AtomicUsize = AtomicUsize::new(0);
    format!("booking.example.com/group-{}", LAST.fetch_add(1, Ordering::Relaxed))
}

/// The states that a test can put machines into. moto knows no states in between.
pub fn states(cloud: &impl Backend) -> &'static [Ec2State] {
    match cloud.kind() {
        Kind::Simulator => &Ec2State::ALL,
        Kind::Moto => &[Ec2State::Running, Ec2State::Stopped, Ec2State::Terminated],
    }
}

pub fn tag(key: &str, value: &str) -> Tag {
    (key.to_owned(), value.to_owned())
}

pub fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Adds machines of a group, without other tags.
pub async fn members(cloud: &impl Backend, group: &str, count: usize, state: Ec2State) -> Vec<String> {
    cloud.add(count, state, &[tag(cloud.group_tag(), group)]).await
}

/// Adds one machine of a group.
pub async fn member(cloud: &impl Backend, group: &str, state: Ec2State) -> String {
    members(cloud, group, 1, state).await.remove(0)
}

/// The machines of groups, by id, each found once.
pub async fn find(cloud: &impl Backend, groups: &[&str]) -> BTreeMap<String, Instance> {
    let found = cloud.ec2().describe(&owned(groups)).await.unwrap();
    let count = found.len();
    let found: BTreeMap<String, Instance> = found.into_iter().map(|i| (i.id.clone(), i)).collect();
    assert_eq!(found.len(), count, "a machine was found twice");
    found
}

/// The ids of the machines of groups, in order.
pub async fn ids(cloud: &impl Backend, groups: &[&str]) -> Vec<String> {
    find(cloud, groups).await.into_keys().collect()
}

/// State of a machine of a group.
pub async fn state(cloud: &impl Backend, group: &str, id: &str) -> InstanceState {
    find(cloud, &[group]).await[id].state
}

pub fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort_unstable();
    ids
}

/// The class of the error of each machine; none if it succeeded.
pub fn classes(results: &Results) -> BTreeMap<&str, Option<ErrorClass>> {
    let class = |result: &Result<(), CloudError>| result.as_ref().err().map(|error| error.class);
    results.iter().map(|(id, result)| (id.as_str(), class(result))).collect()
}

pub fn all_ok(results: &Results, ids: &[String]) {
    let expected: BTreeMap<&str, Option<ErrorClass>> = ids.iter().map(|id| (id.as_str(), None)).collect();
    assert_eq!(classes(results), expected, "{results:?}");
}
