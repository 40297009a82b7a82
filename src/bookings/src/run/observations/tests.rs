//! Tests of which groups are polled when, and to which keys a poll matters.

use crate::decide::groups::machine::MachineState;

use super::*;

fn cloud() -> CloudKey {
    CloudKey { account: String::new(), region: "here-1".into(), service: "ec2".into() }
}

fn key(name: &str) -> Key {
    Key::new("resource", "n", name)
}

fn machine(id: &str, state: MachineState) -> Machine {
    Machine::new(id, state)
}

fn seen(instances: Vec<Machine>) -> Seen {
    Seen { instances: Arc::new(instances), at: Timestamp::UNIX_EPOCH }
}

fn put(observations: &Observations, name: &str) {
    let at = seen(vec![machine(name, MachineState::Stopped)]);
    observations.put(&key(name), (&cloud(), name), at, Instant::now());
}

const INTERVAL: Duration = Duration::from_mins(1);

#[tokio::test(start_paused = true)]
async fn groups_are_due_after_the_interval_and_those_that_soon_will_be_join() {
    let observations = Observations::default();
    put(&observations, "old");
    tokio::time::advance(Duration::from_secs(10)).await;
    put(&observations, "older than most");
    tokio::time::advance(Duration::from_secs(20)).await;
    put(&observations, "young");
    tokio::time::advance(Duration::from_secs(29)).await;
    assert!(observations.due(&cloud(), INTERVAL).is_empty());
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(observations.due(&cloud(), INTERVAL), ["old", "older than most"]);
    let other = CloudKey { region: "there-1".into(), ..cloud() };
    assert!(observations.due(&other, INTERVAL).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_look_concerns_those_whose_groups_have_changed() {
    let observations = Observations::default();
    for name in ["same", "changed", "gone"] {
        put(&observations, name);
    }
    tokio::time::advance(INTERVAL).await;
    let found = HashMap::from([
        ("same".to_owned(), vec![machine("same", MachineState::Stopped)]),
        ("changed".to_owned(), vec![machine("changed", MachineState::Running)]),
    ]);
    let tags = observations.due(&cloud(), INTERVAL);
    let mut keys = observations.found(&cloud(), &tags, found, (Timestamp::MAX, Instant::now()));
    keys.sort();
    assert_eq!(keys, [key("changed"), key("gone")]);
    assert!(observations.due(&cloud(), INTERVAL).is_empty());
    assert_eq!(observations.get(&key("same"), &cloud(), "same").unwrap().at, Timestamp::MAX);
    assert!(observations.get(&key("gone"), &cloud(), "gone").unwrap().instances.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_a_pass_has_seen_since_is_not_undone_by_an_older_look() {
    let observations = Observations::default();
    put(&observations, "a");
    let asked = Instant::now();
    tokio::time::advance(Duration::from_secs(1)).await;
    observations.put(&key("a"), (&cloud(), "a"), seen(vec![]), Instant::now());
    let found = HashMap::from([("a".to_owned(), vec![machine("a", MachineState::Running)])]);
    let keys = observations.found(&cloud(), &["a".to_owned()], found, (Timestamp::MAX, asked));
    assert_eq!(keys, []);
    assert!(observations.get(&key("a"), &cloud(), "a").unwrap().instances.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_order_of_machines_is_no_news() {
    let (a, b) = (machine("a", MachineState::Stopped), machine("b", MachineState::Running));
    assert!(same(&[a.clone(), b.clone()], &[b.clone(), a.clone()]));
    assert!(!same(&[a.clone(), b.clone()], &[a.clone(), a.clone()]));
    assert!(!same(std::slice::from_ref(&a), &[a.clone(), b]));
}

#[tokio::test(start_paused = true)]
async fn a_cloud_that_fails_is_told_of_the_second_time_and_once() {
    let observations = Observations::default();
    put(&observations, "a");
    let fails = || observations.failed(&cloud(), &["a".to_owned()], Instant::now());
    assert_eq!((fails(), fails(), fails()), (vec![], vec![key("a")], vec![]));
    // and the last observation is not given to a pass that has to find out why
    assert!(observations.get(&key("a"), &cloud(), "a").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_group_that_nobody_works_on_is_forgotten() {
    let observations = Observations::default();
    put(&observations, "a");
    observations.put(&key("b"), (&cloud(), "a"), seen(vec![]), Instant::now());
    observations.forget(&key("a"));
    assert!(observations.get(&key("b"), &cloud(), "a").is_some());
    assert!(observations.get(&key("a"), &cloud(), "a").is_none(), "it would never hear of it again");
    // when the other key changes its group
    observations.put(&key("b"), (&cloud(), "b"), seen(vec![]), Instant::now());
    assert!(observations.get(&key("b"), &cloud(), "a").is_none());
    observations.forget(&key("b"));
    assert!(observations.lock().groups.is_empty() && observations.lock().group_of.is_empty());
}
