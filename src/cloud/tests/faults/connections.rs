//! Connections that fail, break, hang, or lead to something that is not EC2.

use std::time::{Duration, Instant};

use booking_cloud::{CloudError, Ec2, ErrorClass, Mutation, Provider};
use booking_decision::{Unlimited, permit::UNLIMITED_CALL_TIMEOUT};
use testbed::{
    ec2::{FaultEffect, FaultRule, InstanceState},
    patience::patient,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::cloud::{Cloud, GROUP, GROUP_TAG, only_error};
use crate::common;

/// A describe may take as long as this for each page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Much longer than any call may take.
const LIMIT: Duration = Duration::from_mins(1);

async fn describe(ec2: &Ec2) -> CloudError {
    ec2.describe(&[GROUP.to_owned()]).await.unwrap_err()
}

fn connection_failed(message: &str) -> CloudError {
    CloudError {
        class: ErrorClass::Transient,
        code: "ConnectionFailed".into(),
        message: message.into(),
        retry_after: None,
    }
}

/// EC2 at a server that gives this answer, once the request's head is there, and closes the connection.
async fn answering(answer: &'static str) -> Ec2 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = vec![0; 64 * 1024];
            // It does not matter whether a caller that has hung up gets the answer.
            let _ = connection.read(&mut request).await;
            let _ = connection.write_all(answer.as_bytes()).await;
            let _ = connection.shutdown().await;
            // Closed with something unread, the connection would be reset before the answer arrives.
            while connection.read(&mut request).await.is_ok_and(|count| count > 0) {}
        }
    });
    common::ec2(&url, GROUP_TAG)
}

#[tokio::test]
async fn a_connection_reset_before_or_after_the_effect_is_transient_and_not_repeated() {
    for after in [false, true] {
        // given a cloud whose connection breaks
        let cloud = Cloud::start().await;
        let ids = cloud.stopped(1);
        let rule = FaultRule::on("StartInstances", FaultEffect::Reset);
        cloud.spoil(if after { rule.after_effect() } else { rule });
        // when a machine is started
        let found = only_error(cloud.ec2.mutate(&Unlimited, &Mutation::Start, &ids).await);
        // then the error says that the call may have taken effect, and it was one call
        assert_eq!(
            (found.class, found.code.as_str()),
            (ErrorClass::Transient, "ConnectionFailed"),
            "{found}"
        );
        let expected = if after { InstanceState::Pending } else { InstanceState::Stopped };
        assert_eq!(cloud.state(&ids[0]), expected);
        assert_eq!(cloud.calls().len(), 1);
    }
}

#[tokio::test]
async fn a_refused_connection_says_so_whatever_the_port() {
    for _ in 0..2 {
        // given a port that nobody listens on
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let ec2 = common::ec2(&url, GROUP_TAG);
        // when something is asked for, then the message is the same each time
        assert_eq!(describe(&ec2).await, connection_failed("Connection refused"));
        let started = ec2.mutate(&Unlimited, &Mutation::Start, &["i-0123456789abcdef0".to_owned()]).await;
        assert_eq!(only_error(started), connection_failed("Connection refused"));
    }
}

#[tokio::test]
async fn a_mutation_that_hangs_ends_in_time_and_may_have_taken_effect() {
    // given a cloud that carries out a call, and never answers
    let cloud = Cloud::start().await;
    let ids = cloud.stopped(1);
    cloud.spoil(FaultRule::on("StartInstances", FaultEffect::Hang).after_effect());
    let begun = Instant::now();
    // when a machine is started
    let ended =
        tokio::time::timeout(patient(LIMIT), cloud.ec2.mutate(&Unlimited, &Mutation::Start, &ids)).await;
    // then that ends, once the time is over that permits are asked for
    assert_eq!(only_error(ended.unwrap()), CloudError::timeout());
    assert!(begun.elapsed() >= UNLIMITED_CALL_TIMEOUT, "{:?}", begun.elapsed());
    assert_eq!(cloud.state(&ids[0]), InstanceState::Pending);
    assert_eq!(cloud.calls().len(), 1);
}

#[tokio::test]
async fn a_describe_that_hangs_ends_in_time() {
    // given a cloud that never answers
    let cloud = Cloud::start().await;
    cloud.spoil(FaultRule::on("DescribeInstances", FaultEffect::Hang));
    let begun = Instant::now();
    // when machines are described
    let ended = tokio::time::timeout(patient(LIMIT), cloud.describe()).await;
    // then that ends once a page's time is over, with the error that a mutation gives
    assert_eq!(ended.unwrap().unwrap_err(), CloudError::timeout());
    assert!(begun.elapsed() >= PAGE_TIMEOUT, "{:?}", begun.elapsed());
    assert_eq!(cloud.calls().len(), 1);
}

#[tokio::test]
async fn a_connection_that_closes_without_a_whole_answer_is_transient() {
    for answer in [
        "",
        "HTTP/1.1 200 O",
        "HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\ncontent-length: 1000\r\n\r\n<Describe",
    ] {
        // given a server that closes the connection too early
        let ec2 = answering(answer).await;
        // when machines are described
        let found = describe(&ec2).await;
        // then that is a broken connection, and no error of credentials
        assert_eq!(
            (found.class, found.code.as_str()),
            (ErrorClass::Transient, "ConnectionFailed"),
            "{found}"
        );
        assert_eq!(describe(&ec2).await, found);
    }
}

#[tokio::test]
async fn an_answer_that_is_not_ec2s_says_what_it_is() {
    for (answer, class, message) in [
        (
            "HTTP/1.1 502 Bad Gateway\r\nconnection: close\r\ncontent-type: text/html\r\n\r\n\
             <html>Bad Gateway<hr></html>",
            ErrorClass::Transient,
            "BadResponse: HTTP status 502 without an error code",
        ),
        (
            "HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\r\n",
            ErrorClass::Unknown,
            "BadResponse: HTTP status 403 without an error code",
        ),
    ] {
        // given a proxy that answers for EC2
        let ec2 = answering(answer).await;
        // when machines are described and changed
        let found = describe(&ec2).await;
        let ids = ["i-0123456789abcdef0", "i-0123456789abcdef1"].map(ToOwned::to_owned);
        let results = ec2.mutate(&Unlimited, &Mutation::Start, &ids).await;
        // then the message says what came
        assert_eq!((found.class, found.to_string().as_str()), (class, message));
        assert!(results.values().all(|result| result.as_ref() == Err(&found)), "{results:?}");
    }
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_or_no_http_is_a_connection_that_failed() {
    // given a server that does not speak HTTP, and one that does not speak TLS
    let cloud = Cloud::start().await;
    let plain = common::ec2(&cloud.simulator.url().replace("http:", "https:"), GROUP_TAG);
    for ec2 in [plain, answering("220 mail.example.com ESMTP 12345\r\n").await] {
        // when machines are described
        let found = describe(&ec2).await;
        // then the error says so each time
        assert_eq!(
            (found.class, found.code.as_str()),
            (ErrorClass::Transient, "ConnectionFailed"),
            "{found}"
        );
        assert!(!found.message.is_empty());
        assert_eq!(describe(&ec2).await, found);
    }
}
