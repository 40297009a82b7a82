use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::atomic::AtomicUsize,
    thread,
};

use kube::core::Status;
use serde_json::json;

use super::*;

fn meaning_of(status: Value) -> String {
    let status: Status = serde_json::from_value(status).unwrap();
    format!("{:?}", meaning(&Failure::Api(kube::Error::Api(Box::new(status)))))
}

#[test]
fn only_an_answer_about_the_object_itself_says_something_of_it() {
    let lease = json!({ "kind": "leases", "name": "x" });
    let uid = json!({ "kind": "Lease", "causes": [{ "field": "metadata.uid" }] });
    let duration = json!({ "kind": "Lease", "causes": [{ "field": "spec.leaseDurationSeconds" }] });
    for (status, answer) in [
        (json!({ "code": 404, "reason": "NotFound", "details": lease }), "NotFound"),
        (json!({ "code": 404, "reason": "NotFound", "details": { "kind": "namespaces" } }), "Failed"),
        (json!({ "code": 404, "message": "404 page not found" }), "Failed"),
        (json!({ "code": 409, "reason": "AlreadyExists", "details": lease }), "Exists"),
        (json!({ "code": 409, "reason": "Conflict", "details": lease }), "Conflict"),
        (json!({ "code": 422, "reason": "Invalid", "details": uid }), "Conflict"),
        (json!({ "code": 422, "reason": "Invalid", "details": duration }), "Failed"),
        (json!({ "code": 403, "reason": "Forbidden", "details": lease }), "Failed"),
        (json!({ "code": 504, "reason": "Timeout" }), "Failed"),
    ] {
        assert_eq!(meaning_of(status.clone()), answer, "{status}");
    }
    assert!(matches!(meaning(&Failure::Timeout(Duration::ZERO)), Answer::Failed));
}

/// An API server that gives every request the same answer, or none, and counts them. Its threads end with the client's
/// connections.
fn server(response: Option<&'static str>) -> (kube::Config, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let requests = count.clone();
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let requests = requests.clone();
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while connection.read(&mut buffer).is_ok_and(|read| read > 0) {
                    requests.fetch_add(1, Ordering::SeqCst);
                    connection.write_all(response.unwrap_or_default().as_bytes()).unwrap();
                }
            });
        }
    });
    (kube::Config::new(format!("http://{address}").parse().unwrap()), count)
}

/// Longer times on a busy machine, so that each request arrives in time.
fn quick() -> Timing {
    let ms = |ms| testbed::patience::patient(Duration::from_millis(ms));
    Timing::new(ms(1500), ms(300), ms(800), ms(400)).unwrap()
}

fn requests(cluster: kube::Config) -> Requests {
    let client = client(cluster, &quick()).unwrap();
    Requests::new(client, "default", Names::new("ring").unwrap(), &quick())
}

#[tokio::test]
async fn no_request_is_repeated_whatever_the_answer() {
    for response in [
        "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
    ] {
        let (cluster, count) = server(Some(response));
        let requests = requests(cluster);
        for sent in 1..=3 {
            let answer = requests.carry_out(Op::ReadLeader).await;
            assert!(matches!(answer, Answer::Failed), "{response}: {answer:?}");
            assert_eq!(count.load(Ordering::SeqCst), sent, "{response}");
        }
    }
}

#[tokio::test]
async fn a_request_without_an_answer_ends_in_time_as_failed() {
    let (cluster, count) = server(None);
    let requests = requests(cluster);
    let begun = std::time::Instant::now();
    assert!(matches!(requests.carry_out(Op::ReadRing).await, Answer::Failed));
    assert!(begun.elapsed() >= quick().request(), "{:?}", begun.elapsed());
    assert_eq!(count.load(Ordering::SeqCst), 1);
}
