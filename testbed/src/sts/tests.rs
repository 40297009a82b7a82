//! STS over HTTP, and what follows for calls to the others.

use std::time::Duration;

use super::roles::{Assume, Roles};
use super::wire::API_VERSION;
use crate::ec2::tests::wire::{Answer, Caller, simulator};
use crate::ec2::{AddInstances, CallQuery, Ec2AdminClient, Ec2Simulator, SettingsPatch, SimTime};

const ROLE: &str = "arn:aws:iam::111122223333:role/path/bookings";

fn caller(simulator: &Ec2Simulator) -> Caller {
    Caller { version: API_VERSION, ..Caller::of(simulator) }
}

async fn assume(caller: &Caller, more: &[(&str, &str)]) -> Answer {
    let params = [&[("RoleArn", ROLE), ("RoleSessionName", "operator")], more].concat();
    caller.call("AssumeRole", &params).await
}

#[tokio::test]
async fn calls_with_the_credentials_of_a_role_belong_to_its_account() {
    // given
    let simulator = simulator().await;
    let world = simulator.world();
    world.trust_role(ROLE, None).unwrap();
    let there = AddInstances { account: "111122223333".to_owned(), ..AddInstances::count(1) };
    world.add_instances(&there).unwrap();
    let mut caller = caller(&simulator);
    // when
    let before = SimTime::wall_clock();
    let assumed = assume(&caller, &[("ExternalId", "any")]).await;
    caller.key = assumed.text("AccessKeyId").unwrap().to_owned();
    let identity = caller.call("GetCallerIdentity", &[]).await;
    caller.version = "2016-11-15";
    let described = caller.call("DescribeInstances", &[]).await;
    // then
    let root = "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>";
    assert!(assumed.body.contains(root), "{}", assumed.body);
    let arn = Some("arn:aws:sts::111122223333:assumed-role/bookings/operator");
    assert_eq!((assumed.text("Arn"), identity.text("Arn")), (arn, arn));
    assert_eq!(identity.text("Account"), Some("111122223333"));
    assert!(assumed.text("SecretAccessKey").is_some() && assumed.text("SessionToken").is_some());
    let expiration: jiff::Timestamp = assumed.text("Expiration").unwrap().parse().unwrap();
    let hour = Duration::from_hours(1);
    let range = before.after(hour).before(Duration::from_millis(1))..=SimTime::wall_clock().after(hour);
    assert!(range.contains(&expiration.into()), "{expiration}");
    assert_eq!(described.count("instanceId"), 1);
    let calls = world.calls(&CallQuery::default()).calls;
    assert_eq!(
        (calls[0].facts.action.as_str(), calls[0].facts.instance_ids[0].as_str()),
        ("AssumeRole", ROLE)
    );
    assert_eq!(calls[2].facts.scope.account, "111122223333");
}

#[tokio::test]
async fn an_untrusted_role_and_a_wrong_external_id_are_refused() {
    let simulator = simulator().await;
    let admin = Ec2AdminClient::new(&simulator.url()).unwrap();
    let caller = caller(&simulator);

    let untrusted = assume(&caller, &[]).await;
    admin.trust_role(ROLE, Some("secret")).await.unwrap();
    let without = assume(&caller, &[]).await;
    let wrong = assume(&caller, &[("ExternalId", "guess")]).await;
    let right = assume(&caller, &[("ExternalId", "secret")]).await;

    for refused in [untrusted, without, wrong] {
        assert_eq!((refused.status, refused.text("Code")), (403, Some("AccessDenied")));
        let message = "User: arn:aws:iam::000000000000:user/AKTEST is not authorized to perform: sts:AssumeRole \
            on resource: arn:aws:iam::111122223333:role/path/bookings";
        assert_eq!(refused.text("Message"), Some(message));
    }
    assert_eq!(right.status, 200);
    assert!(admin.trust_role("bookings", None).await.is_err());
}

#[tokio::test]
async fn expired_credentials_are_refused_in_the_words_of_each_service() {
    // given
    let simulator = simulator().await;
    let world = simulator.world();
    world.trust_role(ROLE, None).unwrap();
    world.change_settings(&SettingsPatch { credentials_ms: Some(0), ..SettingsPatch::default() });
    let mut caller = caller(&simulator);
    caller.key = assume(&caller, &[]).await.text("AccessKeyId").unwrap().to_owned();
    for (version, action, status, code) in [
        ("2016-11-15", "DescribeInstances", 400, "RequestExpired"),
        ("2014-10-31", "DescribeDBInstances", 403, "ExpiredToken"),
        ("2011-06-15", "GetCallerIdentity", 403, "ExpiredToken"),
    ] {
        // when
        caller.version = version;
        let answer = caller.call(action, &[]).await;
        // then
        assert_eq!((answer.status, answer.text("Code")), (status, Some(code)));
    }
    let last = world.calls(&CallQuery::default()).calls.pop().unwrap();
    assert_eq!(
        (last.facts.scope.account.as_str(), last.outcome.as_deref()),
        ("111122223333", Some("ExpiredToken"))
    );
}

#[tokio::test]
async fn what_is_missing_or_out_of_range_is_a_validation_error() {
    let simulator = simulator().await;
    let caller = caller(&simulator);
    for params in [
        vec![("RoleSessionName", "operator")],
        vec![("RoleArn", ROLE)],
        vec![("RoleArn", "bookings"), ("RoleSessionName", "operator")],
        vec![("RoleArn", ROLE), ("RoleSessionName", "an operator")],
        vec![("RoleArn", ROLE), ("RoleSessionName", "operator"), ("DurationSeconds", "60")],
    ] {
        let answer = caller.call("AssumeRole", &params).await;
        assert_eq!((answer.status, answer.text("Code")), (400, Some("ValidationError")), "{params:?}");
    }
}

#[test]
fn each_assumption_gives_credentials_of_its_own_until_they_expire() {
    // given
    let mut roles = Roles::default();
    roles.trust(ROLE, None).unwrap();
    let ask = Assume {
        role_arn: ROLE.to_owned(),
        session_name: "operator".to_owned(),
        external_id: None,
        duration: Duration::from_mins(15),
    };
    let now = SimTime::from_unix_micros(1_767_225_600_000_000);
    // when
    let long = roles.assume(now, "me", &ask, Duration::from_hours(12)).unwrap();
    let short = roles.assume(now, "me", &ask, Duration::from_secs(2)).unwrap();
    // then
    assert_ne!(long.access_key_id, short.access_key_id);
    assert_eq!(long.secret_access_key.len(), 40);
    let later = now.after(Duration::from_secs(2));
    assert_eq!((long.expiration, short.expiration), (now.after(ask.duration), later));
    assert!(roles.is_expired(later, &short.access_key_id) && !roles.is_expired(later, &long.access_key_id));
    assert!(!roles.is_expired(later, "AKTEST"));
}
