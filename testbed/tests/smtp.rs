//! A mail server of one's own, spoken to line by line.

#![allow(clippy::unwrap_used, reason = "clippy's exception for tests does not reach their helper functions")]

mod tls;

use std::io::ErrorKind;
use std::time::Duration;

use testbed::patience::patient;
use testbed::smtp::{SmtpConfig, SmtpError, SmtpLogin, SmtpMode, SmtpServer};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Much longer than any answer takes.
const LIMIT: Duration = Duration::from_secs(30);

/// AUTH PLAIN for the user `op` with the password `secret`.
const PLAIN: &str = "AUTH PLAIN AG9wAHNlY3JldA==";

/// A sender's side of a connection.
struct Dialogue<S>(BufReader<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Dialogue<S> {
    /// All lines of the next reply; what there is, if the connection ends.
    async fn reply(&mut self) -> String {
        let mut reply = String::new();
        let read = async {
            loop {
                let begin = reply.len();
                let length = self.0.read_line(&mut reply).await.unwrap_or(0);
                if length == 0 || reply.as_bytes().get(begin + 3) != Some(&b'-') {
                    break;
                }
            }
        };
        tokio::time::timeout(patient(LIMIT), read).await.unwrap();
        reply
    }

    async fn say(&mut self, line: &str) -> String {
        // A connection that was cut shows in the reply.
        let _ = self.0.write_all(format!("{line}\r\n").as_bytes()).await;
        let _ = self.0.flush().await;
        self.reply().await
    }

    /// Says each line, and expects a reply that begins so.
    async fn talk<const N: usize>(&mut self, lines: [(&str, &str); N]) {
        for (line, expected) in lines {
            let reply = self.say(line).await;
            assert!(reply.starts_with(expected), "{line}: {reply}");
        }
    }
}

async fn call(server: &SmtpServer) -> Dialogue<TcpStream> {
    let tcp = TcpStream::connect(("127.0.0.1", server.port())).await.unwrap();
    let mut dialogue = Dialogue(BufReader::new(tcp));
    assert!(dialogue.reply().await.starts_with("220 "));
    dialogue
}

fn only_for_op(mode: SmtpMode) -> SmtpConfig {
    let auth = Some(SmtpLogin { user: "op".to_owned(), password: "secret".to_owned() });
    SmtpConfig { mode, auth, ..SmtpConfig::default() }
}

#[tokio::test]
async fn what_was_taken_is_there_decoded() {
    // given a server that refuses one recipient, and another at first
    let config = SmtpConfig {
        refused: vec!["nobody@example.test".to_owned()],
        greylisted: vec!["late@example.test".to_owned()],
        ..SmtpConfig::default()
    };
    let server = SmtpServer::start(config).await.unwrap();
    assert!(server.ca_pem_path().is_none());
    // when a message is sent to both and to a third
    let mut sender = call(&server).await;
    let message = "From: Operator <op@example.test>\r\nTo: ann@example.test\r\n\
        Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <1@example.test>\r\nX-Kind: one\r\n two\r\n\
        Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
        H=C3=A4l=\r\nlo\r\n..\r\n.";
    sender
        .talk([
            ("EHLO here", "250-"),
            ("MAIL FROM:<op@example.test>", "250 "),
            ("RCPT TO:<nobody@example.test>", "550 "),
            ("RCPT TO:<late@example.test>", "450 "),
            ("RCPT TO:<late@example.test>", "250 "),
            ("RCPT TO:<ann@example.test>", "250 "),
            ("DATA", "354 "),
            (message, "250 "),
        ])
        .await;
    // then it is there, for those who were not refused
    let mail = server.messages().pop().unwrap();
    assert_eq!(mail.envelope_from, "op@example.test");
    assert_eq!(mail.recipients, ["late@example.test", "ann@example.test"]);
    assert_eq!(mail.from.as_deref(), Some("Operator <op@example.test>"));
    assert_eq!(mail.to.as_deref(), Some("ann@example.test"));
    assert_eq!(mail.subject.as_deref(), Some("Grüße"));
    assert_eq!(mail.message_id.as_deref(), Some("<1@example.test>"));
    assert_eq!(mail.header("x-kind"), Some("one two"));
    assert_eq!(mail.body, "Hällo\n.\n");
    assert!(mail.raw.contains("H=C3=A4l=\r\nlo"));
    assert!(!mail.tls && mail.auth_user.is_none());
    // and no other comes
    let missing = server.wait_for(2, Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(missing, SmtpError::Missing { expected: 2, arrived: 1, .. }), "{missing}");
    server.stop().await;
}

#[tokio::test]
async fn down_refuses_hang_is_silent_and_up_serves_on_the_same_port() {
    // given a server with a sender
    let server = SmtpServer::start(SmtpConfig::default()).await.unwrap();
    let port = server.port();
    let mut sender = call(&server).await;
    // when it goes down
    server.down().await.unwrap();
    // then the sender is cut off, and others are refused
    assert_eq!(sender.say("NOOP").await, "");
    let refused = TcpStream::connect(("127.0.0.1", port)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    // when it hangs, then a sender gets no greeting
    server.hang().await.unwrap();
    let mut silent = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    let mut line = String::new();
    let greeting = tokio::time::timeout(Duration::from_millis(200), silent.read_line(&mut line)).await;
    assert!(greeting.is_err());
    // when it is up, then it serves where it did
    server.up().await.unwrap();
    assert_eq!(server.port(), port);
    let mut sender = call(&server).await;
    sender
        .talk([
            ("EHLO here", "250-"),
            ("MAIL FROM:<op@example.test>", "250 "),
            ("RCPT TO:<ann@example.test>", "250 "),
            ("DATA", "354 "),
            ("Subject: up\r\n\r\nagain\r\n.", "250 "),
        ])
        .await;
    let mail = server.wait_for(1, patient(LIMIT)).await.unwrap();
    assert_eq!(mail[0].subject.as_deref(), Some("up"));
}

#[tokio::test]
async fn down_ends_what_is_being_taken_and_cut_does_not() {
    for is_cut in [false, true] {
        // given a sender in the middle of a message
        let server = SmtpServer::start(SmtpConfig::default()).await.unwrap();
        let mut sender = call(&server).await;
        sender
            .talk([
                ("EHLO here", "250-"),
                ("MAIL FROM:<op@example.test>", "250 "),
                ("RCPT TO:<ann@example.test>", "250 "),
                ("DATA", "354 "),
            ])
            .await;
        // when the server goes away
        let (order, rest) = if is_cut {
            (server.cut().await, sender.say("Subject: x\r\n\r\nlate\r\n.").await)
        } else {
            tokio::join!(server.down(), sender.say("Subject: x\r\n\r\nlate\r\n."))
        };
        order.unwrap();
        // then the message is taken and its sender told so, or neither
        assert_eq!(
            (rest.starts_with("250 "), server.messages().len()),
            (!is_cut, usize::from(!is_cut)),
            "{rest}"
        );
    }
}

#[tokio::test]
async fn starttls_and_a_login_can_be_required() {
    // given a server that takes mail only through TLS, from one user
    let server = SmtpServer::start(only_for_op(SmtpMode::StarttlsRequired)).await.unwrap();
    let mut sender = call(&server).await;
    // when a sender does without, then it is refused
    let offered = sender.say("EHLO here").await;
    assert!(offered.contains("STARTTLS") && !offered.contains("AUTH"), "{offered}");
    sender.talk([("MAIL FROM:<op@example.test>", "530 "), ("STARTTLS", "220 ")]).await;
    // when it speaks TLS
    let secure = tls::handshake(sender.0.into_inner(), "localhost", server.ca_pem_path().unwrap()).await;
    let mut sender = Dialogue(BufReader::new(secure));
    // then it has to log in, and can send
    sender
        .talk([
            ("EHLO here", "250-"),
            ("MAIL FROM:<op@example.test>", "530 "),
            ("AUTH PLAIN AG9wAHdyb25n", "535 "),
            (PLAIN, "235 "),
            ("MAIL FROM:<op@example.test>", "250 "),
            ("RCPT TO:<ann@example.test>", "250 "),
            ("DATA", "354 "),
            ("Subject: secret\r\n\r\nhush\r\n.", "250 "),
        ])
        .await;
    let mail = server.messages().pop().unwrap();
    assert!(mail.tls);
    assert_eq!(mail.auth_user.as_deref(), Some("op"));
}

#[tokio::test]
async fn tls_can_be_there_from_the_beginning() {
    // given a server with TLS from the beginning, for one user
    let server = SmtpServer::start(only_for_op(SmtpMode::Tls)).await.unwrap();
    // when a sender speaks it
    let tcp = TcpStream::connect(("127.0.0.1", server.port())).await.unwrap();
    let secure = tls::handshake(tcp, "127.0.0.1", server.ca_pem_path().unwrap()).await;
    let mut sender = Dialogue(BufReader::new(secure));
    // then it is greeted, and can log in by either way
    assert!(sender.reply().await.starts_with("220 "));
    let offered = sender.say("EHLO here").await;
    assert!(offered.contains("AUTH LOGIN PLAIN") && !offered.contains("STARTTLS"), "{offered}");
    sender.talk([("AUTH LOGIN", "334 "), ("b3A=", "334 "), ("c2VjcmV0", "235 ")]).await;
}
