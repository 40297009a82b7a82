//! The RDS provider: DB instances, and DB clusters with members.

mod moto;
mod simulator;

use std::collections::BTreeMap;

use booking_cloud::{ErrorClass, Instance, InstanceState, Mutation, Provider, Rds, Tag};
use booking_decision::permit::Unlimited;

use super::backend::{Kind, all_ok, classes, owned, tag, unique_group_tag};

/// RDS, of which each test has a part to itself: a group tag that nobody else uses.
pub trait Databases {
    fn kind(&self) -> Kind;

    fn rds(&self) -> &Rds;

    fn group_tag(&self) -> &str;

    /// Adds a DB instance that is available; its ARN.
    async fn add(&self, name: &str, tags: &[Tag]) -> String;

    /// Adds a read replica of a DB instance; its ARN.
    async fn add_replica(&self, name: &str, of: &str, tags: &[Tag]) -> String;

    /// Adds a DB cluster with one member that carries the same tags; the ARNs of both.
    async fn add_cluster(&self, name: &str, tags: &[Tag]) -> (String, String);

    /// Lets databases reach the state that they are going to.
    fn settle(&self);

    /// How many describes RDS got so far. None if the backend does not count them.
    fn describes(&self) -> Option<usize>;
}

macro_rules! on_both_rds {
    ($($test:ident),+ $(,)?) => {
        mod on_simulator {
            $(#[tokio::test]
            async fn $test() {
                super::$test(&super::simulator::Simulator::start().await).await;
            })+
        }
        mod on_moto {
            $(#[tokio::test]
            async fn $test() {
                super::$test(&super::moto::Moto::start().await).await;
            })+
        }
    };
}

on_both_rds![
    describe_finds_the_databases_of_a_group_however_their_names_look,
    a_db_instance_is_stopped_and_started,
    a_db_cluster_is_stopped_and_started_as_one_and_stands_for_its_members,
    a_member_whose_cluster_is_not_in_the_group_says_what_it_is_part_of,
    tags_are_set_replaced_and_removed_only_where_they_hold_these_values,
    discover_finds_databases_with_the_mark_and_a_group,
    databases_that_are_not_there_fail_alone,
    all_databases_are_found_however_many_pages_they_fill,
    those_who_ask_at_once_share_a_listing,
    a_read_replica_and_its_source_say_that_they_cannot_be_stopped,
];

fn of(cloud: &impl Databases, group: &str) -> Vec<Tag> {
    vec![tag(cloud.group_tag(), group)]
}

async fn find(cloud: &impl Databases, group: &str) -> BTreeMap<String, Instance> {
    let found = cloud.rds().describe(&owned(&[group])).await.unwrap();
    found.into_iter().map(|database| (database.id.clone(), database)).collect()
}

/// A name that no other test uses.
fn name(cloud: &impl Databases, name: &str) -> String {
    let number = cloud.group_tag().rsplit('-').next().unwrap();
    format!("{name}-{number}")
}

async fn describe_finds_the_databases_of_a_group_however_their_names_look(cloud: &impl Databases) {
    // given a database in a group, one in another, one in none, one with a wildcard for a group
    let one = cloud.add(&name(cloud, "one"), &of(cloud, "a")).await;
    cloud.add(&name(cloud, "two"), &of(cloud, "ab")).await;
    cloud.add(&name(cloud, "three"), &[]).await;
    let star = cloud.add(&name(cloud, "four"), &of(cloud, "a/*")).await;
    // when groups are described, then theirs are found
    assert_eq!(find(cloud, "a").await.into_keys().collect::<Vec<_>>(), [one]);
    assert_eq!(find(cloud, "a/*").await.into_keys().collect::<Vec<_>>(), [star]);
    assert!(find(cloud, "none").await.is_empty());
}

async fn a_db_instance_is_stopped_and_started(cloud: &impl Databases) {
    // given a database
    let ids = [cloud.add(&name(cloud, "orders"), &of(cloud, "a")).await];
    assert_eq!(find(cloud, "a").await[&ids[0]].state, InstanceState::Running);
    // when it is stopped, then it stops
    all_ok(&cloud.rds().mutate(&Unlimited, &Mutation::Stop, &ids).await, &ids);
    cloud.settle();
    let stopped = find(cloud, "a").await.remove(&ids[0]).unwrap();
    assert_eq!(stopped.state, InstanceState::Stopped);
    // and RDS says when it will start it again by itself; moto does not
    assert_eq!(stopped.restarts_at.is_some(), cloud.kind() == Kind::Simulator);
    // when it is started, then it runs
    all_ok(&cloud.rds().mutate(&Unlimited, &Mutation::Start, &ids).await, &ids);
    cloud.settle();
    let started = find(cloud, "a").await.remove(&ids[0]).unwrap();
    assert_eq!((started.state, started.restarts_at), (InstanceState::Running, None));
    // and RDS refuses to start it once more: it has to be described again
    let again = cloud.rds().mutate(&Unlimited, &Mutation::Start, &ids).await;
    assert_eq!(classes(&again)[ids[0].as_str()], Some(ErrorClass::Reobserve));
}

async fn a_db_cluster_is_stopped_and_started_as_one_and_stands_for_its_members(cloud: &impl Databases) {
    // given a cluster and its member, both tagged
    let (cluster, member) = cloud.add_cluster(&name(cloud, "web"), &of(cloud, "a")).await;
    // then the cluster alone is found
    let found = find(cloud, "a").await;
    assert!(found.contains_key(&cluster) && !found.contains_key(&member), "{found:?}");
    let ids = [cluster];
    // when it is stopped and started, then it is
    all_ok(&cloud.rds().mutate(&Unlimited, &Mutation::Stop, &ids).await, &ids);
    cloud.settle();
    assert_eq!(find(cloud, "a").await[&ids[0]].state, InstanceState::Stopped);
    all_ok(&cloud.rds().mutate(&Unlimited, &Mutation::Start, &ids).await, &ids);
    cloud.settle();
    assert_eq!(find(cloud, "a").await[&ids[0]].state, InstanceState::Running);
}

async fn a_member_whose_cluster_is_not_in_the_group_says_what_it_is_part_of(cloud: &impl Databases) {
    // given a cluster and its member, of which only the member is in the group
    let of_cluster = name(cloud, "web");
    let (cluster, member) = cloud.add_cluster(&of_cluster, &of(cloud, "a")).await;
    let tags = of(cloud, "a");
    all_ok(
        &cloud.rds().mutate(&Unlimited, &Mutation::Untag(tags.clone()), std::slice::from_ref(&cluster)).await,
        &[cluster],
    );
    // when the group is described, then the member is found, with its cluster
    let found = find(cloud, "a").await;
    assert_eq!(found[&member].part_of, Some(format!("DB cluster {of_cluster}")));
    assert_eq!(found.len(), 1);
}

async fn tags_are_set_replaced_and_removed_only_where_they_hold_these_values(cloud: &impl Databases) {
    let ids = [cloud.add(&name(cloud, "orders"), &of(cloud, "a")).await];
    let (ann, bob) = ([tag("by", "ann"), tag("until", "9:00")], [tag("by", "bob"), tag("until", "9:00")]);
    // when tags are set, and set anew, then the last ones stand
    all_ok(&cloud.rds().mutate(&Unlimited, &Mutation::Tag(ann.to_vec()), &ids).await, &ids);
    all_ok(&cloud.rds().mutate(&Unlimited, &Mutation::Tag(bob.to_vec()), &ids).await, &ids);
    let tags = |found: BTreeMap<String, Instance>| found[&ids[0]].tags.clone();
    assert_eq!(tags(find(cloud, "a").await)["by"], "bob");
    // when tags are removed that hold other values, then those tags stay
    all_ok(&cloud.rds().mutate(&Unlimited, &Mutation::Untag(ann.to_vec()), &ids).await, &ids);
    let left = tags(find(cloud, "a").await);
    assert_eq!((left.get("by").map(String::as_str), left.get("until")), (Some("bob"), None));
    // when these are removed, and removed again, then they are gone
    all_ok(&cloud.rds().mutate(&Unlimited, &Mutation::Untag(bob.to_vec()), &ids).await, &ids);
    all_ok(&cloud.rds().mutate(&Unlimited, &Mutation::Untag(bob.to_vec()), &ids).await, &ids);
    let left = tags(find(cloud, "a").await);
    assert_eq!(left.into_iter().collect::<Vec<_>>(), of(cloud, "a"));
}

async fn discover_finds_databases_with_the_mark_and_a_group(cloud: &impl Databases) {
    let mark = tag(&format!("{}-managed", cloud.group_tag()), "true");
    let marked = cloud.add(&name(cloud, "one"), &[of(cloud, "a"), vec![mark.clone()]].concat()).await;
    cloud.add(&name(cloud, "two"), &of(cloud, "a")).await;
    cloud.add(&name(cloud, "three"), std::slice::from_ref(&mark)).await;
    let found = cloud.rds().discover(&mark).await.unwrap();
    assert_eq!(found.into_iter().map(|database| database.id).collect::<Vec<_>>(), [marked]);
}

async fn databases_that_are_not_there_fail_alone(cloud: &impl Databases) {
    // given a database, ARNs of databases that do not exist, and a text that is no ARN
    let there = cloud.add(&name(cloud, "orders"), &of(cloud, "a")).await;
    let gone = format!("{there}-gone");
    let cluster = there.replace(":db:", ":cluster:");
    let ids = owned(&[&there, &gone, &cluster, "orders"]);
    // when all are stopped, then each has its own result
    let results = cloud.rds().mutate(&Unlimited, &Mutation::Stop, &ids).await;
    let classes = classes(&results);
    assert_eq!(classes[there.as_str()], None);
    for bad in [gone.as_str(), &cluster, "orders"] {
        assert_eq!(classes[bad], Some(ErrorClass::BadInstance), "{bad}: {results:?}");
    }
}

async fn all_databases_are_found_however_many_pages_they_fill(cloud: &impl Databases) {
    let count = 205;
    for number in 0..count {
        cloud.add(&name(cloud, &format!("n{number}")), &of(cloud, "big")).await;
    }
    assert_eq!(find(cloud, "big").await.len(), count);
    // three pages of instances, one of clusters
    assert_eq!(cloud.describes(), (cloud.kind() == Kind::Simulator).then_some(4));
}

async fn those_who_ask_at_once_share_a_listing(cloud: &impl Databases) {
    let id = cloud.add(&name(cloud, "orders"), &of(cloud, "a")).await;
    // when ten ask at once
    let groups = owned(&["a"]);
    let asked = (0..10).map(|_| cloud.rds().describe(&groups));
    let found = futures::future::join_all(asked).await;
    // then all get the answer, by one listing for the first and one for all others
    assert!(found.into_iter().all(|found| found.unwrap()[0].id == id));
    assert!(cloud.describes().is_none_or(|calls| calls <= 4), "{:?}", cloud.describes());
    // and a later describe finds a database that was added later
    let later = cloud.add(&name(cloud, "later"), &of(cloud, "a")).await;
    assert!(find(cloud, "a").await.contains_key(&later));
}

async fn a_read_replica_and_its_source_say_that_they_cannot_be_stopped(cloud: &impl Databases) {
    let (source, copy) = (name(cloud, "orders"), name(cloud, "copy"));
    let source_arn = cloud.add(&source, &of(cloud, "a")).await;
    let copy_arn = cloud.add_replica(&copy, &source, &of(cloud, "a")).await;
    let found = find(cloud, "a").await;
    assert_eq!(found[&copy_arn].unstoppable, Some(format!("it is a read replica of {source}")));
    assert_eq!(found[&source_arn].unstoppable, Some(format!("it has read replicas, such as {copy}")));
    // and RDS refuses to stop them; moto stops both
    let stopped = cloud.rds().mutate(&Unlimited, &Mutation::Stop, &[copy_arn, source_arn]).await;
    let refused = stopped.values().filter(|result| result.is_err()).count();
    assert_eq!(refused, if cloud.kind() == Kind::Simulator { 2 } else { refused });
}
