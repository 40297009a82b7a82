//! The connection to the mail server's process: orders to it, and the messages it took.

use std::collections::VecDeque;
use std::io;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixListener;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};

use super::mail::ReceivedMail;

/// Something that the server has to do, and who waits for it to be done.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) what: &'static str,
    pub(super) done: oneshot::Sender<Result<(), String>>,
}

/// What the server tells.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event {
    Done,
    Failed { reason: String },
    Mail(Box<ReceivedMail>),
}

/// A connection on which the server has said that it is ready. Its lines are as long as the longest
/// message that it takes.
#[derive(Debug)]
pub(super) struct Connection {
    lines: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
}

impl Connection {
    /// Waits for the server and its first words, which say that it is ready.
    pub(super) async fn accept(listener: &UnixListener) -> io::Result<Self> {
        let (stream, _) = listener.accept().await?;
        let (reader, writer) = stream.into_split();
        let mut lines = BufReader::new(reader).lines();
        lines.next_line().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(Self { lines, writer })
    }

    /// Passes orders on and collects mail until either side is gone.
    pub(super) async fn follow(
        mut self,
        mut orders: mpsc::Receiver<Order>,
        mail: watch::Sender<Vec<ReceivedMail>>,
    ) {
        // Carried out one after another; each who waits hears of an end by what is dropped here.
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
    // Who gave the order may have given up.
    let _ = waiting.map(|waiting| waiting.send(outcome));
}
