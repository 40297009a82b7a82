//! A proxy between one process and the API server. Faults happen in it.
//!
//! The process speaks plain HTTP/1.1 to the proxy. The proxy speaks TLS to the API server, as the administrator. So the
//! proxy sees which request is a watch and which is a renewal. Bytes that the proxy holds are not lost. As in a network
//! with TCP, a request that was sent on an earlier connection arrives when the fault is over, even if its sender has
//! given up long before. A new connection cannot be opened during the fault.

mod request;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use request::{Request, Scanner};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};
use tokio_rustls::{
    TlsConnector,
    rustls::pki_types::{IpAddr, ServerName},
};

use crate::clock::At;

/// How long the end of a request's connection waits for the rest of the API server's reply.
const LINGER: Duration = Duration::from_secs(1);
const CHUNK: usize = 16 * 1024;

/// What the proxy does to bytes that pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It does nothing.
    #[default]
    Pass,
    /// It holds them until the fault is over.
    Hold {
        /// It holds what goes to the API server.
        requests: bool,
        /// It holds what comes from the API server.
        replies: bool,
    },
    /// It delays them by this time, in each direction.
    Slow(Duration),
    /// It holds the replies of watches. Everything else passes.
    StallWatches,
    /// It passes them, but it falsifies the families in Leases. So neither the process nor another ring finds out that
    /// they do the same work.
    Falsify,
}

/// The text of a Lease about its owner's family, and the false text.
const FAMILY: [&[u8]; 2] = [br#"/families":"bookings""#, br#"/families":"bookingz""#];

fn falsify(chunk: &mut [u8]) {
    let [of, to] = FAMILY;
    let found: Vec<usize> =
        chunk.windows(of.len()).enumerate().filter(|(_, at)| *at == of).map(|(at, _)| at).collect();
    for at in found {
        if let Some(place) = chunk.get_mut(at..at + to.len()) {
            place.copy_from_slice(to);
        }
    }
}

/// The requests that have passed since the proxy's start.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// Requests that came in, whether they were passed on or not.
    taken: AtomicU64,
    writes: AtomicU64,
    reads: AtomicU64,
    watches: AtomicU64,
    renewals: Mutex<Vec<(Request, At)>>,
}

impl Traffic {
    fn count(&self, request: Request) {
        let counter = match request {
            Request::Watch => &self.watches,
            Request::Read => &self.reads,
            Request::Write => &self.writes,
            Request::Renewal | Request::LeadRenewal => {
                let mut renewals = self.renewals.lock().unwrap_or_else(PoisonError::into_inner);
                renewals.push((request, At::now()));
                &self.writes
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// When the first renewal at or after `at` passed, or the first renewal of the lead if that was later.
    pub(crate) fn last_renewals_since(&self, at: At) -> Option<At> {
        let renewals = self.renewals.lock().unwrap_or_else(PoisonError::into_inner);
        let first = |kind: Request| renewals.iter().find(|(of, renewal)| *of == kind && *renewal >= at);
        [Request::Renewal, Request::LeadRenewal].into_iter().filter_map(first).map(|(_, at)| *at).max()
    }
}

/// The address of the API server, and the settings to connect to it.
#[derive(Clone)]
pub(crate) struct Upstream {
    address: SocketAddr,
    name: ServerName<'static>,
    tls: TlsConnector,
}

impl Upstream {
    /// The API server that a client configuration names.
    ///
    /// # Errors
    /// If the configuration names no address or no usable certificates.
    pub(crate) fn of(config: &kube::Config) -> Result<Self, UpstreamError> {
        use kube::client::ConfigExt;
        let authority = config.cluster_url.authority().ok_or(UpstreamError::NoAddress)?;
        let address: SocketAddr = authority.as_str().parse().map_err(|_| UpstreamError::NoAddress)?;
        let mut tls = config.rustls_client_config()?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::IpAddress(IpAddr::from(address.ip()));
        Ok(Self { address, name, tls: TlsConnector::from(Arc::new(tls)) })
    }
}

/// Why the API server cannot be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// The URL is not an IP address and a port.
    #[error("the API server's URL is no https://ADDRESS:PORT")]
    NoAddress,
    /// The certificates are not usable.
    #[error(transparent)]
    Certificates(#[from] kube::Error),
}

/// A running proxy. It and its connections end with this value.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    traffic: Arc<Traffic>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of the loopback interface.
    ///
    /// # Errors
    /// If there is no free port.
    pub(crate) async fn start(upstream: Upstream) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (mode, seen) = watch::channel(Mode::Pass);
        let traffic = Arc::new(Traffic::default());
        let task = tokio::spawn(accept(listener, upstream, seen, traffic.clone()));
        Ok(Self { address, mode, traffic, task })
    }

    /// The URL for a kubeconfig.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets what the proxy does from now on.
    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// The requests that have passed.
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.traffic
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    upstream: Upstream,
    mode: watch::Receiver<Mode>,
    traffic: Arc<Traffic>,
) {
    // The set is dropped with this future, and that aborts the connections.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // Most likely there are no file descriptors. The next connection may succeed.
                let Ok((client, _)) = accepted else { continue };
                let link = Link { mode: mode.clone(), traffic: traffic.clone(), watch: Arc::default() };
                connections.spawn(link.run(client, upstream.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection.
#[derive(Clone)]
struct Link {
    mode: watch::Receiver<Mode>,
    traffic: Arc<Traffic>,
    /// Whether the last request on it was a watch.
    watch: Arc<AtomicBool>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Requests,
    Replies,
}

impl Link {
    /// Runs the connection. An error ends it, and both ends notice that.
    async fn run(mut self, client: TcpStream, upstream: Upstream) -> io::Result<()> {
        if matches!(*self.mode.borrow(), Mode::Hold { .. }) {
            // With TLS on the whole way, no connection could be opened now, and no request could be sent.
            let _ = self.mode.wait_for(|mode| !matches!(mode, Mode::Hold { .. })).await;
            return Ok(());
        }
        client.set_nodelay(true)?;
        let server = TcpStream::connect(upstream.address).await?;
        server.set_nodelay(true)?;
        let server = upstream.tls.connect(upstream.name, server).await?;
        let (client_read, client_write) = client.into_split();
        let (server_read, server_write) = tokio::io::split(server);
        let replies = self.clone().pump(server_read, client_write, Way::Replies);
        tokio::pin!(replies);
        tokio::select! {
            ended = self.pump(client_read, server_write, Way::Requests) => {
                ended?;
                // A request takes effect even if its sender is gone.
                timeout(LINGER, replies).await.unwrap_or(Ok(()))
            }
            ended = &mut replies => ended,
        }
    }

    async fn pump(
        mut self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        way: Way,
    ) -> io::Result<()> {
        let mut scanner = Scanner::default();
        let mut buffer = vec![0; CHUNK];
        loop {
            let read = from.read(&mut buffer).await?;
            let chunk = buffer.get_mut(..read).unwrap_or_default();
            if *self.mode.borrow() == Mode::Falsify {
                falsify(chunk);
            }
            if chunk.is_empty() {
                return Ok(());
            }
            let requests = if way == Way::Requests { scanner.take(chunk) } else { Vec::new() };
            if let Some(last) = requests.last() {
                self.watch.store(*last == Request::Watch, Ordering::Relaxed);
            }
            self.traffic.taken.fetch_add(requests.len() as u64, Ordering::Relaxed);
            self.pass(way).await;
            for request in requests {
                self.traffic.count(request);
            }
            to.write_all(chunk).await?;
            to.flush().await?;
        }
    }

    /// Waits as long as the fault requires.
    async fn pass(&mut self, way: Way) {
        loop {
            let mode = *self.mode.borrow_and_update();
            let held = match (mode, way) {
                (Mode::Pass | Mode::Falsify, _) => false,
                (Mode::Hold { requests, .. }, Way::Requests) => requests,
                (Mode::Hold { replies, .. }, Way::Replies) => replies,
                (Mode::Slow(span), _) => {
                    sleep(span).await;
                    false
                }
                (Mode::StallWatches, way) => way == Way::Replies && self.watch.load(Ordering::Relaxed),
            };
            // If the sender is gone, the proxy is gone, and this connection ends with it.
            if !held || self.mode.changed().await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
