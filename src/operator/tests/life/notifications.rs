//! Recipients are told, through a real mail server and through a web server.

use std::{collections::BTreeMap, time::Duration};

use bookings::api::{Booking, BookingSpec, Notification};
use http::StatusCode;
use jiff::Timestamp;
use testbed::{
    ec2::InstanceState,
    patience::patient,
    smtp::{ReceivedMail, SmtpConfig, SmtpLogin, SmtpMode, SmtpServer},
    webhook::{Answer, Webhook},
};

use crate::common::{World, for_ms, patience, the_hour};

/// Minutes before the end, longer than the bookings: the notice is due as soon as a booking holds its group.
const EARLY: i64 = 90;

fn to(type_: &str, recipient: &str) -> Notification {
    Notification {
        type_: Some(type_.into()),
        recipient: Some(recipient.into()),
        notify_before_minutes: Some(EARLY),
        ..Notification::default()
    }
}

/// Books for an hour from now on. Returns the end.
async fn book(world: &World, name: &str, resource: &str, notifications: Vec<Notification>) -> Timestamp {
    let (start, end) = for_ms(3_600_000);
    let spec = BookingSpec {
        resource_name: Some(resource.into()),
        user_id: Some("ann".into()),
        start_at: Some(start.to_string()),
        end_at: Some(end.to_string()),
        notifications: Some(notifications),
        ..BookingSpec::default()
    };
    world.bookings().create(&kube::api::PostParams::default(), &Booking::new(name, spec)).await.unwrap();
    end
}

async fn told(world: &World, name: &str, count: usize) -> Booking {
    let all = move |booking: Option<&Booking>| {
        booking.and_then(|it| it.status.as_ref()).is_some_and(|status| status.notified.len() == count)
    };
    let told = kube::runtime::wait::await_condition(world.bookings(), name, all);
    tokio::time::timeout(patience(), told).await.expect("all are told").unwrap().unwrap()
}

fn args(server: &SmtpServer) -> Vec<String> {
    vec![
        "--smtp-host=127.0.0.1".into(),
        format!("--smtp-port={}", server.port()),
        "--smtp-sender=Bookings <bookings@example.org>".into(),
    ]
}

fn start(world: &World, args: &[String]) {
    world.start_operator(&args.iter().map(String::as_str).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_mail_tells_of_the_end_once_with_encrypted_password_and_true_figures() {
    // given a mail server that requires TLS and a password
    let login = SmtpLogin { user: "operator".into(), password: "secret".into() };
    let config = SmtpConfig { mode: SmtpMode::StarttlsRequired, auth: Some(login), ..SmtpConfig::default() };
    let server = SmtpServer::start(config).await.unwrap();
    let world = World::without_operator("mail").await;
    world.machines("web", 1, InstanceState::Stopped);
    world.resource("web", "web").await;
    let mut args = args(&server);
    args.push("--smtp-user=operator".into());
    args.push("--smtp-password=secret".into());
    args.push(format!("--smtp-ca-file={}", server.ca_pem_path().unwrap().display()));
    start(&world, &args);
    // when a notice of a booking is due
    let end = book(&world, "b", "web", vec![to("email", "ann@example.com")]).await;
    let booking = told(&world, "b", 1).await;
    // then a mail has arrived
    let mails = server.messages();
    let mail = &mails[0];
    assert_eq!((mails.len(), mail.tls, mail.auth_user.as_deref()), (1, true, Some("operator")));
    assert_eq!(mail.recipients, ["ann@example.com"]);
    // The mail rounds up to whole minutes. The time left is counted until the server accepted the mail.
    let least = (end.duration_since(mail.accepted_at).as_secs() + 59) / 60;
    let figures = (least..60).map(|left| format!("{left} minutes")).chain(["1 hour".to_owned()]);
    let mut subjects = figures.map(|left| format!("web: the booking of ann ends in {left}"));
    assert!(subjects.any(|true_one| mail.subject.as_ref() == Some(&true_one)), "{:?}", mail.subject);
    assert!(mail.body.contains("Booking b of ann for web"), "{}", mail.body);
    assert_eq!(booking.status.unwrap().notification_sent, Some(true));
}

#[tokio::test]
async fn what_cannot_be_sent_is_reported_and_not_tried_for_ever() {
    // given a server that does not know bob, and mail that may be sent to one domain only
    let refused = vec!["bob@example.com".to_owned()];
    let server = SmtpServer::start(SmtpConfig { refused, ..SmtpConfig::default() }).await.unwrap();
    let world = World::without_operator("mail-refused").await;
    world.machines("web", 1, InstanceState::Stopped);
    world.resource("web", "web").await;
    let mut args = args(&server);
    args.push("--mail-recipient-domains=example.com".into());
    start(&world, &args);
    // when many recipients are to be told, and most of them cannot be
    let recipients = ["bob@example.com", "eve@evil.org", "no address", "ann@example.com"];
    let mut notifications: Vec<_> = recipients.iter().map(|recipient| to("email", recipient)).collect();
    notifications.push(to("webhook", "https://hooks.example.com/a"));
    book(&world, "b", "web", notifications).await;
    // then each has a record, and the recipient who can be reached is told
    let status = told(&world, "b", 5).await.status.unwrap();
    let problems: Vec<&str> =
        status.notified.iter().map(|it| it.problem.as_deref().unwrap_or_default()).collect();
    let says = ["550", "--mail-recipient-domains", "is no mail address", "", "--webhook-allow"];
    let mut of: BTreeMap<&str, &str> = BTreeMap::new();
    for record in &status.notified {
        of.insert(&record.recipient, record.problem.as_deref().unwrap_or_default());
    }
    for (recipient, says) in recipients.iter().chain(&["https://hooks.example.com/a"]).zip(says) {
        assert!(of[recipient].contains(says), "{recipient}: {problems:?}");
    }
    assert_eq!(server.messages().len(), 1);
    assert_eq!(status.notification_sent, Some(false));
}

#[tokio::test]
async fn a_webhook_is_called_signed_and_tried_again_but_never_redirected() {
    let hook = Webhook::start_https().await.unwrap();
    let world = World::without_operator("webhook").await;
    world.machines("web", 1, InstanceState::Stopped);
    world.resource("web", "web").await;
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key");
    std::fs::write(&key, "shared\n").unwrap();
    start(
        &world,
        &[
            format!("--webhook-allow={}/team/", hook.url()),
            format!("--webhook-key-file={}", key.display()),
            format!("--webhook-ca-file={}", hook.ca_pem_path().unwrap().display()),
        ],
    );
    // given a server that is unavailable once
    hook.answer_once(Answer::of(StatusCode::SERVICE_UNAVAILABLE));
    let url = format!("{}/team/a", hook.url());
    let other = format!("{}/other", hook.url());
    book(&world, "b", "web", vec![to("webhook", &url), to("webhook", &other)]).await;
    let status = told(&world, "b", 2).await.status.unwrap();
    // then it was called twice, with a signature, and a URL that is not listed was not called
    let calls = hook.requests();
    assert!(calls.len() == 2 && calls.iter().all(|call| call.path == "/team/a"), "{calls:?}");
    let body: serde_json::Value = serde_json::from_slice(&calls[1].body).unwrap();
    assert_eq!((&body["event"], &body["booking"]), (&"before_end".into(), &"b".into()));
    assert!(calls[1].header("x-booking-signature").unwrap().starts_with("sha256="));
    assert_eq!(calls[0].header("x-booking-delivery"), calls[1].header("x-booking-delivery"));
    let refused = status.notified.iter().find(|record| record.recipient == other).unwrap();
    assert!(refused.problem.as_deref().unwrap().contains("not allowed"));
    // and a redirection counts as a refusal
    let away = Answer::of(StatusCode::FOUND)
        .header(http::header::LOCATION, format!("{}/team/b", hook.url()).parse().unwrap());
    hook.answer(away);
    book(&world, "c", "web", vec![to("webhook", &url)]).await;
    let status = told(&world, "c", 1).await.status.unwrap();
    assert_eq!(status.notified[0].problem.as_deref(), Some("HTTP status 302"));
    assert_eq!(hook.requests().len(), 3);
}

/// The bookings of the storm, and the recipients of each.
const BOOKINGS: usize = 20;
const RECIPIENTS: usize = 50;
/// How many mails are sent at once.
const SENT_AT_ONCE: usize = 8;

/// Books the other group, waits until it is held, and ends the booking. Returns how long that took.
async fn held_within(world: &World, name: &str) -> Duration {
    let begun = tokio::time::Instant::now();
    world.book(name, "other", "ann", the_hour()).await;
    world.booking_with_reason(name, "Held").await;
    let took = begun.elapsed();
    world.delete_booking(name).await;
    world.resource_with_reason("other", "Stopped").await;
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_mails_outlast_a_server_that_is_away_and_hold_up_no_booking() {
    // given a thousand mails that are due at once, one of them to an unknown recipient
    let refused = vec!["nobody@example.com".to_owned()];
    let server = SmtpServer::start(SmtpConfig { refused, ..SmtpConfig::default() }).await.unwrap();
    let world = World::without_operator("mail-storm").await;
    world.machines("web", 1, InstanceState::Stopped);
    world.machines("other", 1, InstanceState::Stopped);
    world.resource("web", "web").await;
    world.resource("other", "other").await;
    start(&world, &args(&server));
    world.resource_with_reason("other", "Stopped").await;
    let before = held_within(&world, "before").await;
    for n in 0..BOOKINGS {
        let recipient = |k: usize| format!("u{n}-{k}@example.com");
        let mut all: Vec<_> = (0..RECIPIENTS).map(|k| to("email", &recipient(k))).collect();
        if n == 0 {
            all[0] = to("email", "nobody@example.com");
        }
        book(&world, &format!("b-{n}"), "web", all).await;
    }
    // when the server is away for thirty seconds in between
    server.wait_for(200, patience()).await.unwrap();
    server.down().await.unwrap();
    let away = tokio::time::Instant::now();
    // then a booking is served, although the remaining mails cannot be sent
    let meanwhile = held_within(&world, "meanwhile").await;
    let wanted = BOOKINGS * RECIPIENTS - 1;
    assert!(server.messages().len() < wanted, "all mails were sent before");
    tokio::time::sleep_until(away + Duration::from_secs(30)).await;
    server.up().await.unwrap();
    // then each recipient is told once, and the refused mail is reported
    server.wait_for(wanted, patient(Duration::from_secs(150))).await.unwrap();
    for n in 0..BOOKINGS {
        let status = told(&world, &format!("b-{n}"), RECIPIENTS).await.status.unwrap();
        let failed: Vec<_> = status.notified.iter().filter(|record| record.problem.is_some()).collect();
        assert_eq!(failed.len(), usize::from(n == 0), "{failed:?}");
    }
    let mails = server.messages();
    assert_eq!((copies(&mails).len(), mails.len()), (wanted, wanted));
    println!("{} mails, {before:?} to Held before, {meanwhile:?} while the server was away", mails.len());
}

/// How often each mail arrived, by recipient and Message-ID.
fn copies(mails: &[ReceivedMail]) -> BTreeMap<(Option<&String>, Option<&str>), usize> {
    let mut copies = BTreeMap::new();
    for mail in mails {
        *copies.entry((mail.recipients.first(), mail.message_id.as_deref())).or_default() += 1;
    }
    copies
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_server_that_crashes_costs_copies_of_what_was_under_way_and_no_more() {
    // given two hundred mails that are due at once
    let server = SmtpServer::start(SmtpConfig::default()).await.unwrap();
    let world = World::without_operator("mail-crash").await;
    world.machines("web", 1, InstanceState::Stopped);
    world.resource("web", "web").await;
    start(&world, &args(&server));
    for n in 0..4 {
        let all = (0..RECIPIENTS).map(|k| to("email", &format!("u{n}-{k}@example.com"))).collect();
        book(&world, &format!("b-{n}"), "web", all).await;
    }
    // when the server's connections are cut in between
    server.wait_for(50, patience()).await.unwrap();
    server.cut().await.unwrap();
    server.up().await.unwrap();
    // then everybody is told, and a mail that arrived twice has the same Message-ID
    for n in 0..4 {
        told(&world, &format!("b-{n}"), RECIPIENTS).await;
    }
    let mails = server.messages();
    let copies = copies(&mails);
    assert_eq!(copies.len(), 4 * RECIPIENTS);
    assert!(mails.len() <= 4 * RECIPIENTS + SENT_AT_ONCE, "{} mails", mails.len());
    assert!(copies.values().all(|times| *times <= 2), "{copies:?}");
}

#[tokio::test]
async fn a_mail_that_is_on_its_way_when_the_process_stops_is_recorded_and_not_sent_again() {
    // given a mail that the server is about to accept
    let server = SmtpServer::start(SmtpConfig { slow_ms: 1_000, ..SmtpConfig::default() }).await.unwrap();
    let world = World::without_operator("mail-stop").await;
    world.machines("web", 1, InstanceState::Stopped);
    world.resource("web", "web").await;
    let (args, stop) = (args(&server), tokio_util::sync::CancellationToken::new());
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let clouds = std::sync::Arc::new(crate::common::aws(&world.ec2.url(), "first"));
    let first = world.run_operator(world.client.clone(), clouds, &args, stop.clone());
    book(&world, "b", "web", vec![to("email", "ann@example.com")]).await;
    server.wait_for(1, patience()).await.unwrap();
    // when the process is stopped before it has the answer
    stop.cancel();
    first.await.unwrap();
    // then the mail is recorded all the same, and the next process does not send it
    told(&world, "b", 1).await;
    world.start_operator(&args);
    book(&world, "c", "web", vec![to("email", "bob@example.com")]).await;
    told(&world, "c", 1).await;
    assert_eq!(server.messages().len(), 2);
}

#[tokio::test]
async fn a_process_that_takes_over_tells_nobody_what_is_recorded() {
    let server = SmtpServer::start(SmtpConfig::default()).await.unwrap();
    let world = World::without_operator("mail-again").await;
    world.machines("web", 1, InstanceState::Stopped);
    world.resource("web", "web").await;
    let (args, stop) = (args(&server), tokio_util::sync::CancellationToken::new());
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let clouds = |caller| std::sync::Arc::new(crate::common::aws(&world.ec2.url(), caller));
    let first = world.run_operator(world.client.clone(), clouds("first"), &args, stop.clone());
    book(&world, "b", "web", vec![to("email", "ann@example.com")]).await;
    told(&world, "b", 1).await;
    // when the process ends and another begins
    stop.cancel();
    first.await.unwrap();
    world.start_operator(&args);
    // then it sends only new notices
    book(&world, "c", "web", vec![to("email", "bob@example.com")]).await;
    told(&world, "c", 1).await;
    let recipients: Vec<String> = server.messages().into_iter().flat_map(|mail| mail.recipients).collect();
    assert_eq!(recipients, ["ann@example.com", "bob@example.com"]);
}
