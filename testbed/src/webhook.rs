//! A receiver of webhooks. It keeps the requests that it gets, and it answers as it is told.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use axum::serve::Listener;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use jiff::Timestamp;
use tempfile::NamedTempFile;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::https::HttpsListener;
use crate::tls::LocalServer;

/// The longest body that it accepts.
const MAX_BODY: usize = 1024 * 1024;

/// The number of requests that it keeps. It answers later ones with 507.
const MAX_REQUESTS: usize = 10_000;

/// Why there is no receiver, or no request.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// A file or port could not be used.
    #[error("{what}: {source}")]
    Io {
        /// The file or port.
        what: &'static str,
        /// The reason.
        source: io::Error,
    },
    /// The throw-away certificates could not be made.
    #[error("cannot make certificates: {0}")]
    Certificates(#[from] rcgen::Error),
    /// The certificates could not be used.
    #[error("cannot speak TLS: {0}")]
    Tls(#[from] tokio_rustls::rustls::Error),
    /// Fewer requests than expected came in time.
    #[error("{arrived} of {expected} requests after {limit:?}")]
    Missing {
        /// The expected number of requests.
        expected: usize,
        /// The number of requests that arrived.
        arrived: usize,
        /// How long they were waited for.
        limit: Duration,
    },
}

impl WebhookError {
    fn io(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

/// An answer. The default is 200 at once, with an empty body.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The header, for example a Location.
    pub headers: HeaderMap,
    /// The body.
    pub body: String,
    /// How long the caller has to wait. A server that is shut down answers at once.
    pub delay: Duration,
}

impl Answer {
    /// An answer with this status.
    #[must_use]
    pub fn of(status: StatusCode) -> Self {
        Self { status, ..Self::default() }
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the delay.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

/// A request that arrived.
#[derive(Debug, Clone)]
pub struct ReceivedRequest {
    /// The method.
    pub method: Method,
    /// The path, with the query.
    pub path: String,
    /// The header.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// When it had arrived completely.
    pub at: Timestamp,
}

impl ReceivedRequest {
    /// The first header field of this name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text. Bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A running receiver. It shuts down when it is dropped.
#[derive(Debug)]
pub struct Webhook {
    url: String,
    ca: Option<NamedTempFile>,
    catcher: Arc<Catcher>,
    shutdown: watch::Sender<bool>,
    server: Option<JoinHandle<()>>,
}

impl Webhook {
    /// Starts a receiver for http on the current tokio runtime.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn start() -> Result<Self, WebhookError> {
        let (listener, address) = listen().await?;
        Ok(Self::serve(listener, format!("http://{address}"), None))
    }

    /// Starts a receiver for https on the current tokio runtime.
    ///
    /// # Errors
    /// If there is no free port, or the certificates cannot be made.
    pub async fn start_https() -> Result<Self, WebhookError> {
        let tls = LocalServer::generate()?;
        let kept = tempfile::Builder::new().prefix("booking-webhook-").suffix(".pem").tempfile();
        let failed = WebhookError::io("the CA's file");
        let ca = kept.map_err(&failed)?;
        std::fs::write(ca.path(), tls.ca).map_err(&failed)?;
        let (listener, address) = listen().await?;
        let listener = HttpsListener::new(listener, &tls.identity)?;
        Ok(Self::serve(listener, format!("https://{address}"), Some(ca)))
    }

    /// The URL of the receiver, without a slash at its end. Any path below it works.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The CA of its certificate for 127.0.0.1 and localhost. None without TLS.
    pub fn ca_pem_path(&self) -> Option<&Path> {
        self.ca.as_ref().map(NamedTempFile::path)
    }

    /// Sets the answer from now on.
    pub fn answer(&self, answer: Answer) {
        self.catcher.answers().standing = answer;
    }

    /// Sets the answer to the next request. If this was called before, the answers are used in order.
    pub fn answer_once(&self, answer: Answer) {
        self.catcher.answers().next.push_back(answer);
    }

    /// All requests so far. If a caller has its answer, its request is here.
    pub fn requests(&self) -> Vec<ReceivedRequest> {
        self.catcher.requests.borrow().clone()
    }

    /// Waits until there are `count` requests or more, answered or not, and returns all.
    ///
    /// # Errors
    /// If they do not arrive within `limit`.
    pub async fn wait_for(
        &self,
        count: usize,
        limit: Duration,
    ) -> Result<Vec<ReceivedRequest>, WebhookError> {
        let mut requests = self.catcher.requests.subscribe();
        // We own the sender, and it stays. So only the wait can fail.
        if let Ok(Ok(requests)) =
            tokio::time::timeout(limit, requests.wait_for(|requests| requests.len() >= count)).await
        {
            return Ok(Vec::clone(&requests));
        }
        Err(WebhookError::Missing { expected: count, arrived: self.catcher.requests.borrow().len(), limit })
    }

    /// Shuts down, and waits until requests under way are answered and the port is free.
    pub async fn stop(mut self) {
        self.shutdown.send_replace(true);
        if let Some(server) = self.server.take() {
            let _ = server.await;
        }
    }

    fn serve<L>(listener: L, url: String, ca: Option<NamedTempFile>) -> Self
    where
        L: Listener,
        L::Addr: Debug,
    {
        let (shutdown, stopped) = watch::channel(false);
        let catcher = Arc::new(Catcher {
            requests: watch::Sender::new(Vec::new()),
            answers: Mutex::default(),
            stopped: stopped.clone(),
        });
        let app: Router = Router::new()
            .fallback(receive)
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(Arc::clone(&catcher));
        let server = tokio::spawn(async move {
            let serving = axum::serve(listener, app).with_graceful_shutdown(until_stopped(stopped));
            if let Err(error) = serving.await {
                tracing::error!(%error, "the receiver of webhooks stopped serving");
            }
        });
        Self { url, ca, catcher, shutdown, server: Some(server) }
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.shutdown.send_replace(true);
    }
}

/// What all requests share.
#[derive(Debug)]
struct Catcher {
    requests: watch::Sender<Vec<ReceivedRequest>>,
    answers: Mutex<Answers>,
    stopped: watch::Receiver<bool>,
}

#[derive(Debug, Default)]
struct Answers {
    next: VecDeque<Answer>,
    standing: Answer,
}

impl Catcher {
    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a request. Returns its answer.
    fn take(&self, request: ReceivedRequest) -> Answer {
        // The lock is held, so that answers are given in the order in which requests are listed.
        let mut answers = self.answers();
        let kept = self.requests.send_if_modified(|requests| {
            let room = requests.len() < MAX_REQUESTS;
            if room {
                requests.push(request);
            }
            room
        });
        if !kept {
            return Answer::of(StatusCode::INSUFFICIENT_STORAGE);
        }
        answers.next.pop_front().unwrap_or_else(|| answers.standing.clone())
    }
}

async fn listen() -> Result<(TcpListener, SocketAddr), WebhookError> {
    let failed = WebhookError::io("a port of 127.0.0.1");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(&failed)?;
    let address = listener.local_addr().map_err(&failed)?;
    Ok((listener, address))
}

async fn until_stopped(mut stopped: watch::Receiver<bool>) {
    // An error means that the receiver is gone, so it is stopped, too.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn receive(
    State(catcher): State<Arc<Catcher>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path_and_query().map_or_else(|| uri.path().to_owned(), ToString::to_string);
    let answer = catcher.take(ReceivedRequest { method, path, headers, body, at: Timestamp::now() });
    tokio::select! {
        () = tokio::time::sleep(answer.delay) => {}
        () = until_stopped(catcher.stopped.clone()) => {}
    }
    answer.into_response()
}
