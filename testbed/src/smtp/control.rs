//! The connection to the mail server's process. It carries orders to the server, and the messages that the server took.

use std::collections::VecDeque;
use std::io;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixListener;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};

use super::mail::ReceivedMail;

/// An order to the server, and the caller that waits for its result.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) what: &'static str,
    pub(super) done: oneshot::Sender<Result<(), String>>,
}

/// An event from the server.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event {
    Done,
    Failed { reason: String },
    Mail(Box<ReceivedMail>),
}

/// A connection on which the server has said that it is ready. A line may be as long as the longest message that the
/// server takes.
#[derive(Debug)]
pub(super) struct Connection {
    lines: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
}

impl Connection {
    /// Waits for the server and its first event, which says that it is ready.
    pub(super) async fn accept(listener: &UnixListener) -> io::Result<Self> {
        let (stream, _) = listener.accept().await?;
        let (reader, writer) = stream.into_split();
        let mut lines = BufReader::new(reader).lines();
        lines.next_line().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(Self { lines, writer })
    }

    /// Sends orders and collects mail until either side is gone.
    pub(super) async fn follow(
        mut self,
        mut orders: mpsc::Receiver<Order>,
        mail: watch::Sender<Vec<ReceivedMail>>,
    ) {
        // The server carries out orders one after another. If it ends, the waiting callers are dropped here and notice
        // that.
        let mut given = VecDeque::new();
        loop {
            let written = tokio::select! {
                line = self.lines.next_line() => {
                    let Ok(Some(line)) = line else { return };
                    match serde_json::from_str(&line) {
                        Ok(Event::Mail(received)) => {
                            mail.send_modify(|mail| mail.push(*received));
                            self.writer.write_all(b"taken\n").await
                        }
                        Ok(Event::Done) => {
                            answer(given.pop_front(), Ok(()));
                            Ok(())
                        }
                        Ok(Event::Failed { reason }) => {
                            answer(given.pop_front(), Err(reason));
                            Ok(())
                        }
                        Err(error) => {
                            tracing::error!(%error, %line, "the mail server cannot be understood");
                            return;
                        }
                    }
                }
                order = orders.recv() => {
                    let Some(Order { what, done }) = order else { return };
                    given.push_back(done);
                    self.writer.write_all(format!("{what}\n").as_bytes()).await
                }
            };
            if written.is_err() {
                return;
            }
        }
    }
}

fn answer(waiting: Option<oneshot::Sender<Result<(), String>>>, outcome: Result<(), String>) {
    // The caller may have given up.
    let _ = waiting.map(|waiting| waiting.send(outcome));
}
