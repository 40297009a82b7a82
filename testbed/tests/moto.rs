//! A moto server of one's own.

#![allow(clippy::unwrap_used, reason = "clippy's exception for tests does not reach their helper functions")]

use std::path::PathBuf;

use testbed::moto::MotoServer;

fn runs(pid: i32) -> bool {
    PathBuf::from(format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn two_servers_answer_side_by_side_and_are_gone_when_they_are_let_go() {
    // given two servers
    let (one, other) = tokio::try_join!(MotoServer::start(), MotoServer::start()).unwrap();
    assert_ne!(one.url(), other.url());
    // when they are asked for their dashboards
    for server in [&one, &other] {
        let answer = reqwest::get(format!("{}/moto-api/", server.url())).await.unwrap();
        // then they answer
        assert!(answer.status().is_success());
    }
    // and when one is stopped and the other dropped
    let pids = [one.pid(), other.pid()];
    one.stop().await;
    drop(other);
    // then both are gone
    assert!(!pids.into_iter().any(runs));
}
