//! The machines that describe and discover find.

use booking_cloud::{InstanceState, Provider};
use testbed::ec2::InstanceState as Ec2State;

use super::backend::{Backend, Kind, find, ids, member, members, owned, sorted, states, tag};

on_both![
    describe_finds_exactly_the_machines_of_the_given_groups,
    wildcards_and_special_characters_of_a_group_are_literal,
    an_empty_list_of_groups_costs_no_call_and_finds_nothing,
    all_machines_are_found_however_many_pages_they_fill,
    more_groups_than_one_filter_takes_are_asked_for_in_several_calls,
    a_group_that_is_asked_for_twice_is_found_once,
    each_state_is_told_and_a_terminated_machine_is_never_told_as_another,
    discover_finds_the_machines_of_all_groups_that_carry_the_mark,
];

async fn discover_finds_the_machines_of_all_groups_that_carry_the_mark(cloud: &impl Backend) {
    // given a mark that no other test uses, and machines with it and a group, one of them with an odd name
    let (mark, group) = (format!("{}-managed", cloud.group_tag()), cloud.group_tag());
    let marked = |value: &str, groups: &[&str]| {
        let groups = groups.iter().map(|name| tag(group, name));
        groups.chain([tag(&mark, value)]).collect::<Vec<_>>()
    };
    let mut wanted = cloud.add(2, Ec2State::Running, &marked("true", &["web"])).await;
    wanted.extend(cloud.add(1, Ec2State::Stopped, &marked("true", &["Batch jobs/*"])).await);
    // and machines with another value of it, without a group, or without the mark
    cloud.add(1, Ec2State::Running, &marked("false", &["web"])).await;
    cloud.add(1, Ec2State::Running, &marked("true", &[])).await;
    member(cloud, "web", Ec2State::Running).await;
    // when they are discovered
    let found = cloud.ec2().discover(&tag(&mark, "true")).await.unwrap();
    // then these are found, with their groups
    let mut ids: Vec<String> = found.iter().map(|machine| machine.id.clone()).collect();
    ids.sort();
    assert_eq!(ids, sorted(wanted));
    assert_eq!(found.iter().filter(|machine| machine.tags[group] == "Batch jobs/*").count(), 1);
}

async fn describe_finds_exactly_the_machines_of_the_given_groups(cloud: &impl Backend) {
    // given machines of groups whose names resemble each other, and of none
    let mut wanted = members(cloud, "web", 2, Ec2State::Running).await;
    wanted.push(member(cloud, "db", Ec2State::Stopped).await);
    for other in ["we", "web2", "2web", "Web", "web ", ""] {
        member(cloud, other, Ec2State::Running).await;
    }
    cloud.add(1, Ec2State::Running, &[tag("group", "web")]).await;
    cloud.add(1, Ec2State::Running, &[]).await;
    // when two groups are described, and one without machines
    let found = ids(cloud, &["web", "nobody", "db"]).await;
    // then only their machines are found
    assert_eq!(found, sorted(wanted));
}

async fn wildcards_and_special_characters_of_a_group_are_literal(cloud: &impl Backend) {
    const GROUPS: [&str; 12] =
        ["*", "a?b", "a*", r"a\b", r"\*", "größe-日本-🚲", "\"'", "<&>", "a,b", "a b", "[ab]", "100%+$(x);"];
    // given a machine for each, and some that wildcards would find
    let mut machines = Vec::new();
    for group in GROUPS {
        machines.push((group, member(cloud, group, Ec2State::Running).await));
    }
    for decoy in ["axb", "ab", "a", "b", "aa", "x"] {
        member(cloud, decoy, Ec2State::Running).await;
    }
    for (group, id) in machines {
        // when a group is described
        let found = ids(cloud, &[group]).await;
        // then only its machine is found; EC2 agrees with the simulator: moto takes an escaped backslash
        // for two, so it finds none
        let unknown_to_moto = cloud.kind() == Kind::Moto && group.contains('\\');
        assert_eq!(found, if unknown_to_moto { vec![] } else { vec![id] }, "{group}");
    }
}

async fn an_empty_list_of_groups_costs_no_call_and_finds_nothing(cloud: &impl Backend) {
    // given machines with and without a group
    member(cloud, "", Ec2State::Running).await;
    cloud.add(1, Ec2State::Running, &[]).await;
    let before = cloud.calls();
    // when no group is described
    let found = ids(cloud, &[]).await;
    // then nothing is found, and no call was made; moto does not count calls
    assert!(found.is_empty());
    assert_eq!(cloud.calls(), before);
}

async fn all_machines_are_found_however_many_pages_they_fill(cloud: &impl Backend) {
    // given three pages of machines; moto pages by launches, and would take a minute to add a thousand
    let (launches, each, calls) = match cloud.kind() {
        Kind::Simulator => (1, 2_500, Some(3)),
        Kind::Moto => (4, 10, None),
    };
    let mut wanted = Vec::new();
    for _ in 0..launches {
        wanted.extend(members(cloud, "big", each, Ec2State::Running).await);
    }
    // when they are described
    let found = ids(cloud, &["big"]).await;
    // then all are found, once
    assert_eq!(found, sorted(wanted));
    assert_eq!(cloud.calls(), calls);
}

async fn more_groups_than_one_filter_takes_are_asked_for_in_several_calls(cloud: &impl Backend) {
    // given machines of the first and the last of 401 groups, and of the groups at the ends of each call
    let groups: Vec<String> = (0..401).map(|n| format!("group-{n}")).collect();
    let mut wanted = Vec::new();
    for n in [0, 199, 200, 399, 400] {
        wanted.push(member(cloud, &groups[n], Ec2State::Running).await);
    }
    // when all groups are described
    let found = cloud.ec2().describe(&groups).await.unwrap();
    // then all machines are found, with 200 groups per call
    assert_eq!(sorted(found.into_iter().map(|instance| instance.id).collect()), sorted(wanted));
    assert_eq!(cloud.calls(), (cloud.kind() == Kind::Simulator).then_some(3));
}

async fn a_group_that_is_asked_for_twice_is_found_once(cloud: &impl Backend) {
    // given a machine
    let id = member(cloud, "twice", Ec2State::Running).await;
    // when its group is named twice, in one call and in two
    let mut groups = owned(&["twice", "twice"]);
    groups.extend((0..200).map(|n| format!("group-{n}")));
    groups.push("twice".to_owned());
    let found = cloud.ec2().describe(&groups).await.unwrap();
    // then it is found once
    assert_eq!(found.into_iter().map(|instance| instance.id).collect::<Vec<_>>(), [id]);
}

async fn each_state_is_told_and_a_terminated_machine_is_never_told_as_another(cloud: &impl Backend) {
    for from in states(cloud) {
        // given a machine in a state
        let group = from.name();
        let id = member(cloud, group, *from).await;
        // when it is described
        let told = find(cloud, &[group]).await.remove(&id).map(|instance| instance.state);
        // then the state is the same; EC2 may drop a terminated machine after an hour
        let expected = match from {
            Ec2State::Pending => InstanceState::Pending,
            Ec2State::Running => InstanceState::Running,
            Ec2State::Stopping => InstanceState::Stopping,
            Ec2State::Stopped => InstanceState::Stopped,
            Ec2State::ShuttingDown | Ec2State::Terminated => InstanceState::Terminated,
        };
        let may_be_absent = expected == InstanceState::Terminated;
        assert!(told == Some(expected) || may_be_absent && told.is_none(), "{group}: {told:?}");
    }
}
