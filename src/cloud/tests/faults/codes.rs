//! Error codes of EC2: each gets its class, after one call.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use booking_cloud::{ErrorClass, Mutation, Provider};
use booking_decision::permit::Unlimited;
use testbed::ec2::{Admission, AdmissionCall, Ec2Config, FaultEffect, FaultRule, InstanceState, Throttled};

use super::cloud::{Cloud, error, failed, only_error};

const CODES: [(&str, ErrorClass); 20] = [
    ("RequestLimitExceeded", ErrorClass::Throttled),
    ("EC2ThrottledException", ErrorClass::Throttled),
    ("Throttling", ErrorClass::Throttled),
    ("InternalError", ErrorClass::Transient),
    ("InternalFailure", ErrorClass::Transient),
    ("Unavailable", ErrorClass::Transient),
    ("ServiceUnavailable", ErrorClass::Transient),
    ("InsufficientInstanceCapacity", ErrorClass::Capacity),
    ("InsufficientHostCapacity", ErrorClass::Capacity),
    ("InstanceLimitExceeded", ErrorClass::Quota),
    ("VcpuLimitExceeded", ErrorClass::Quota),
    ("IncorrectInstanceState", ErrorClass::Reobserve),
    ("InvalidInstanceID.NotFound", ErrorClass::BadInstance),
    ("OperationNotPermitted", ErrorClass::BadInstance),
    ("UnauthorizedOperation", ErrorClass::Configuration),
    ("AuthFailure", ErrorClass::Configuration),
    ("OptInRequired", ErrorClass::Configuration),
    ("RequestExpired", ErrorClass::Configuration),
    ("ExpiredToken", ErrorClass::Configuration),
    ("SomethingNew", ErrorClass::Unknown),
];

#[tokio::test]
async fn each_code_comes_back_in_its_class_after_one_call() {
    for (code, class) in CODES {
        // given a cloud that answers everything with an error
        let cloud = Cloud::start().await;
        let ids = cloud.stopped(1);
        for action in ["DescribeInstances", "StartInstances", "StopInstances", "CreateTags", "DeleteTags"] {
            cloud.spoil(FaultRule::on(action, error(code)));
        }
        let tags = [("lock".to_owned(), "operator-1".to_owned())];
        // when it is asked for everything
        let errors = [
            cloud.describe().await.unwrap_err(),
            only_error(cloud.ec2.mutate(&Unlimited, &Mutation::Start, &ids).await),
            only_error(cloud.ec2.mutate(&Unlimited, &Mutation::Stop, &ids).await),
            only_error(cloud.ec2.mutate(&Unlimited, &Mutation::Tag(tags.to_vec()), &ids).await),
            only_error(cloud.ec2.mutate(&Unlimited, &Mutation::Untag(tags.to_vec()), &ids).await),
        ];
        // then each is the error, and each was one call: the SDK repeats nothing
        for found in errors {
            assert_eq!((found.class, found.code.as_str()), (class, code));
            assert_eq!(found.message, "as the test wants it");
        }
        assert_eq!(cloud.calls().len(), 5, "{code}");
    }
}

#[tokio::test]
async fn what_fails_for_all_machines_alike_is_one_call_however_many_they_are() {
    for (code, class) in CODES {
        let for_all = match class {
            ErrorClass::Throttled | ErrorClass::Transient | ErrorClass::Quota => true,
            ErrorClass::Configuration => code != "UnauthorizedOperation",
            _ => false,
        };
        if !for_all {
            continue;
        }
        // given many machines
        let cloud = Cloud::start().await;
        let ids = cloud.stopped(100);
        cloud.spoil(FaultRule::on("StartInstances", error(code)));
        // when they are started
        let results = cloud.ec2.mutate(&Unlimited, &Mutation::Start, &ids).await;
        // then all fail by one call, neither repeated nor split
        assert_eq!(failed(&results).len(), 100, "{code}");
        assert_eq!(cloud.calls().len(), 1, "{code}");
    }
}

#[tokio::test]
async fn an_unknown_code_of_a_server_error_is_transient() {
    // given an unknown code with the status of a server error
    let cloud = Cloud::start().await;
    let ids = cloud.stopped(2);
    let then =
        FaultEffect::Error { code: "SomethingNew".into(), message: "Try later".into(), status: Some(503) };
    cloud.spoil(FaultRule::on("StartInstances", then));
    // when machines are started
    let results = cloud.ec2.mutate(&Unlimited, &Mutation::Start, &ids).await;
    // then the error concerns no machine
    assert!(results.values().all(|r| r.as_ref().unwrap_err().class == ErrorClass::Transient));
    assert_eq!(cloud.calls().len(), 1);
}

#[tokio::test]
async fn an_internal_error_that_comes_after_the_effect_is_transient() {
    // given a cloud that carries out a call, and says that it failed
    let cloud = Cloud::start().await;
    let ids = cloud.stopped(1);
    cloud.spoil(FaultRule::on("StartInstances", error("InternalError")).after_effect().times(1));
    // when a machine is started
    let found = only_error(cloud.ec2.mutate(&Unlimited, &Mutation::Start, &ids).await);
    // then the error is one after which to look again
    assert_eq!(found.class, ErrorClass::Transient);
    assert_eq!(cloud.state(&ids[0]), InstanceState::Pending);
    // and to start again does no harm
    assert!(failed(&cloud.ec2.mutate(&Unlimited, &Mutation::Start, &ids).await).is_empty());
}

/// Throttles all describes but the first ones.
#[derive(Debug)]
struct FirstDescribes(AtomicUsize);

impl Admission for FirstDescribes {
    fn admit(&self, _: AdmissionCall<'_>) -> Result<(), Throttled> {
        let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.map(drop).map_err(|_| Throttled)
    }
}

#[tokio::test]
async fn a_page_that_fails_midway_fails_the_whole_describe() {
    for pages in 0..3 {
        // given three pages of machines, of which a later one is throttled
        let admission = Arc::new(FirstDescribes(AtomicUsize::new(pages)));
        let cloud = Cloud::with(Ec2Config { admission, ..Ec2Config::default() }).await;
        cloud.stopped(2_500);
        // when they are described
        let found = cloud.describe().await;
        // then no machine is returned, and no page is asked for again
        assert_eq!(found.unwrap_err().class, ErrorClass::Throttled);
        assert_eq!(cloud.calls().len(), pages + 1);
    }
}

#[tokio::test]
async fn messages_stay_the_same_from_try_to_try() {
    // given a refusal in EC2's words, with a session name and a blob that differ from call to call
    let cloud = Cloud::start().await;
    let ids = cloud.stopped(1);
    let mut told = Vec::new();
    for (time, blob) in [("1767225600000", "4KBX"), ("1767229200000", "9ZQT")] {
        let user = format!("arn:aws:sts::123456789012:assumed-role/booking/web-identity-token-{time}");
        let message = format!(
            "You are not authorized to perform this operation. User: {user} is not authorized to perform: \
             ec2:StartInstances. Encoded authorization failure message: {blob}"
        );
        cloud.spoil(
            FaultRule::on("StartInstances", FaultEffect::error("UnauthorizedOperation", &message)).times(1),
        );
        // when it comes
        told.push(only_error(cloud.ec2.mutate(&Unlimited, &Mutation::Start, &ids).await));
    }
    // then both messages are the same, and still say which user may not do which action
    assert_eq!(told[0], told[1]);
    assert!(told[0].message.contains("assumed-role/booking"), "{}", told[0]);
    assert!(told[0].message.ends_with("is not authorized to perform: ec2:StartInstances."), "{}", told[0]);
}
