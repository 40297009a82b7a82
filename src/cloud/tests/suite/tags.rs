//! Tags are set, read back and removed.

use std::collections::BTreeMap;

use booking_cloud::{Mutation, Provider, Tag};
use booking_decision::permit::Unlimited;
use testbed::ec2::InstanceState as Ec2State;

use super::backend::{Backend, all_ok, find, member, members, states, tag};

const LOCK: &str = "booking.example.com/lock";
const LOCK_UNTIL: &str = "booking.example.com/lock-until";

on_both![
    both_lock_tags_are_set_and_removed_together,
    a_tag_that_is_set_again_has_the_new_value,
    a_tag_with_another_value_stays_and_the_rest_of_the_call_is_done,
    removing_a_tag_that_is_not_there_succeeds,
    machines_are_tagged_whatever_state_they_are_in,
    values_of_any_characters_and_full_length_survive_the_round_trip,
];

/// The tags of a machine without its group tag.
async fn tags(cloud: &impl Backend, group: &str, id: &str) -> BTreeMap<String, String> {
    let mut tags = find(cloud, &[group]).await[id].tags.clone();
    assert_eq!(tags.remove(cloud.group_tag()).as_deref(), Some(group));
    tags
}

fn map(tags: &[Tag]) -> BTreeMap<String, String> {
    tags.iter().cloned().collect()
}

async fn both_lock_tags_are_set_and_removed_together(cloud: &impl Backend) {
    // given machines, one of which has a tag of its own
    let ids = members(cloud, "a", 2, Ec2State::Running).await;
    let own = [tag("Name", "web-1")];
    all_ok(&cloud.ec2().mutate(&Unlimited, &Mutation::Tag(own.to_vec()), &ids[..1]).await, &ids[..1]);
    let lock = [tag(LOCK, "operator-1"), tag(LOCK_UNTIL, "2026-01-01T00:00:00Z")];
    // when they are locked
    all_ok(&cloud.ec2().mutate(&Unlimited, &Mutation::Tag(lock.to_vec()), &ids).await, &ids);
    // then both have both tags, and the one has its own
    assert_eq!(tags(cloud, "a", &ids[0]).await, map(&[&own[..], &lock[..]].concat()));
    assert_eq!(tags(cloud, "a", &ids[1]).await, map(&lock));
    // and when they are unlocked
    all_ok(&cloud.ec2().mutate(&Unlimited, &Mutation::Untag(lock.to_vec()), &ids).await, &ids);
    // then only its own tag is left
    assert_eq!(tags(cloud, "a", &ids[0]).await, map(&own));
    assert_eq!(tags(cloud, "a", &ids[1]).await, map(&[]));
}

async fn a_tag_that_is_set_again_has_the_new_value(cloud: &impl Backend) {
    // given a locked machine
    let ids = [member(cloud, "a", Ec2State::Running).await];
    all_ok(&cloud.ec2().mutate(&Unlimited, &Mutation::Tag(vec![tag(LOCK, "operator-1")]), &ids).await, &ids);
    // when another locks it, twice
    for _ in 0..2 {
        all_ok(
            &cloud.ec2().mutate(&Unlimited, &Mutation::Tag(vec![tag(LOCK, "operator-2")]), &ids).await,
            &ids,
        );
    }
    // then the tag names the other
    assert_eq!(tags(cloud, "a", &ids[0]).await, map(&[tag(LOCK, "operator-2")]));
}

async fn a_tag_with_another_value_stays_and_the_rest_of_the_call_is_done(cloud: &impl Backend) {
    // given two locked machines, one of which another has locked since
    let ids = members(cloud, "a", 2, Ec2State::Running).await;
    let (ours, theirs) = (tag(LOCK, "operator-1"), tag(LOCK, "operator-2"));
    let until = tag(LOCK_UNTIL, "2026-01-01T00:00:00Z");
    let locked = [ours.clone(), until.clone()];
    all_ok(&cloud.ec2().mutate(&Unlimited, &Mutation::Tag(locked.to_vec()), &ids).await, &ids);
    all_ok(&cloud.ec2().mutate(&Unlimited, &Mutation::Tag(vec![theirs.clone()]), &ids[1..]).await, &ids[1..]);
    // when we unlock both
    let results = cloud.ec2().mutate(&Unlimited, &Mutation::Untag(locked.to_vec()), &ids).await;
    // then that succeeds, and the other lock is left
    all_ok(&results, &ids);
    assert_eq!(tags(cloud, "a", &ids[0]).await, map(&[]));
    assert_eq!(tags(cloud, "a", &ids[1]).await, map(&[theirs]));
}

async fn removing_a_tag_that_is_not_there_succeeds(cloud: &impl Backend) {
    // given a machine without a lock
    let ids = [member(cloud, "a", Ec2State::Running).await];
    // when it is unlocked
    let results = cloud.ec2().mutate(&Unlimited, &Mutation::Untag(vec![tag(LOCK, "operator-1")]), &ids).await;
    // then nothing happens
    all_ok(&results, &ids);
    assert_eq!(tags(cloud, "a", &ids[0]).await, map(&[]));
}

async fn machines_are_tagged_whatever_state_they_are_in(cloud: &impl Backend) {
    for from in states(cloud) {
        // given a machine in a state
        let group = from.name();
        let ids = [member(cloud, group, *from).await];
        // when it is locked
        let results =
            cloud.ec2().mutate(&Unlimited, &Mutation::Tag(vec![tag(LOCK, "operator-1")]), &ids).await;
        // then it is
        all_ok(&results, &ids);
        assert_eq!(tags(cloud, group, &ids[0]).await, map(&[tag(LOCK, "operator-1")]), "{group}");
    }
}

async fn values_of_any_characters_and_full_length_survive_the_round_trip(cloud: &impl Backend) {
    // given a machine, and values that a careless writer of forms or XML would spoil
    let ids = [member(cloud, "a", Ec2State::Running).await];
    let values = [
        "é".repeat(256),
        "日".repeat(256),
        "🚲".repeat(256),
        "<&>\"'".repeat(51),
        "a+b c%20d&e=f;g#h".to_owned(),
        "&amp; &lt; ]]> <!-- --> <a/>".to_owned(),
        r"back\slash \n *?".to_owned(),
        " both sides ".to_owned(),
        "{\"a\": [1, 2]}".to_owned(),
        String::new(),
    ];
    let mut set: Vec<Tag> = (0..).zip(values).map(|(n, value)| (format!("key-{n}"), value)).collect();
    set.push(("k".repeat(128), "longest key".to_owned()));
    set.push(("größe <&>".to_owned(), "key of many characters".to_owned()));
    // when they are set
    all_ok(&cloud.ec2().mutate(&Unlimited, &Mutation::Tag(set.clone()), &ids).await, &ids);
    // then they come back as they were
    assert_eq!(tags(cloud, "a", &ids[0]).await, map(&set));
    // and when they are removed by key and value
    all_ok(&cloud.ec2().mutate(&Unlimited, &Mutation::Untag(set.clone()), &ids).await, &ids);
    // then none is left
    assert_eq!(tags(cloud, "a", &ids[0]).await, map(&[]));
}
