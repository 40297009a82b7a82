//! A receiver of webhooks of one's own.

#![allow(clippy::unwrap_used, reason = "clippy's exception for tests does not reach their helper functions")]

mod tls;

use std::time::Duration;

use http::header::LOCATION;
use http::{HeaderValue, Method, StatusCode};
use testbed::patience::patient;
use testbed::webhook::{Answer, Webhook, WebhookError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Much longer than any answer takes.
const LIMIT: Duration = Duration::from_secs(30);

/// A caller that follows no redirect.
fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

#[tokio::test]
async fn requests_are_kept_and_answered_as_told() {
    // given a receiver that redirects once, and then refuses
    let webhook = Webhook::start().await.unwrap();
    assert!(webhook.ca_pem_path().is_none());
    let elsewhere = HeaderValue::from_static("http://127.0.0.1:1/");
    webhook.answer(Answer::of(StatusCode::INTERNAL_SERVER_ERROR).body("broken"));
    webhook.answer_once(Answer::of(StatusCode::FOUND).header(LOCATION, elsewhere.clone()));
    // when it is called twice
    let url = format!("{}/hook?a=b", webhook.url());
    let first = client().post(&url).header("x-kind", "one").body("hello").send().await.unwrap();
    let second = client().get(&url).send().await.unwrap();
    // then it answers so
    assert_eq!((first.status(), first.headers().get(LOCATION)), (StatusCode::FOUND, Some(&elsewhere)));
    assert_eq!(second.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(second.text().await.unwrap(), "broken");
    // and knows what it was asked
    let requests = webhook.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!((&requests[0].method, requests[0].path.as_str()), (&Method::POST, "/hook?a=b"));
    assert_eq!((requests[0].header("X-Kind"), requests[0].text().as_str()), (Some("one"), "hello"));
    assert_eq!(requests[1].method, Method::GET);
    // and no other comes
    let missing = webhook.wait_for(3, Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(missing, WebhookError::Missing { expected: 3, arrived: 2, .. }), "{missing}");
}

#[tokio::test]
async fn a_slow_answer_is_given_when_the_receiver_shuts_down() {
    // given a receiver that takes its time, and a caller
    let webhook = Webhook::start().await.unwrap();
    webhook.answer(Answer::default().delay(Duration::from_hours(1)));
    let url = webhook.url().to_owned();
    let call = tokio::spawn(async move { client().get(url).send().await });
    webhook.wait_for(1, patient(LIMIT)).await.unwrap();
    assert!(!call.is_finished());
    // when it shuts down, then the caller has its answer
    tokio::time::timeout(patient(LIMIT), webhook.stop()).await.unwrap();
    assert_eq!(call.await.unwrap().unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn https_is_served_even_while_another_caller_says_nothing() {
    // given a receiver with TLS, and a caller that is silent
    let webhook = Webhook::start_https().await.unwrap();
    let address = webhook.url().strip_prefix("https://").unwrap();
    let _silent = TcpStream::connect(address).await.unwrap();
    // when another calls
    let tcp = TcpStream::connect(address).await.unwrap();
    let mut stream = tls::handshake(tcp, "127.0.0.1", webhook.ca_pem_path().unwrap()).await;
    stream
        .write_all(
            b"POST /hook HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi",
        )
        .await
        .unwrap();
    stream.flush().await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(patient(LIMIT), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    // then it is answered, and its request is there
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(webhook.requests()[0].text(), "hi");
}
