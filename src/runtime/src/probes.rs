//! Serves `/livez`, `/readyz`, `/healthz` and `/metrics` over HTTP.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use futures::future::BoxFuture;
use kube::Client;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{net::TcpListener, sync::Mutex};
use tokio_util::sync::CancellationToken;

/// How long an answer of the API server is reused, so that several probes share one read.
const REACHABLE_FOR: Duration = Duration::from_secs(5);
const REACH_TIMEOUT: Duration = Duration::from_secs(2);

/// A check of `/readyz`: its name, and its problem if there is one.
pub type Check = (String, Result<(), String>);

/// A source of further checks.
type Checks = Box<dyn Fn() -> Vec<Check> + Send + Sync>;

/// The state from which readiness is computed.
pub struct Readiness {
    client: Client,
    /// What the start waits for now, if anything.
    waiting_for: RwLock<Option<String>>,
    /// Further checks of families and of the ring.
    more: RwLock<Vec<Checks>>,
    reached: Mutex<Option<(Instant, Result<(), String>)>>,
}

impl Readiness {
    /// Creates it. It is not ready before [`Self::waits_for`] is called with None.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            waiting_for: RwLock::new(Some("start".to_owned())),
            more: RwLock::default(),
            reached: Mutex::default(),
        }
    }

    /// Sets what the start waits for. None after the start.
    pub fn waits_for(&self, what: Option<String>) {
        *self.waiting_for.write().unwrap_or_else(PoisonError::into_inner) = what;
    }

    /// Adds further checks.
    pub fn also(&self, checks: impl Fn() -> Vec<Check> + Send + Sync + 'static) {
        self.more.write().unwrap_or_else(PoisonError::into_inner).push(Box::new(checks));
    }

    /// The results of all checks, by name. The process is ready if none has a problem.
    async fn checks(&self) -> Vec<Check> {
        let waiting = self.waiting_for.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut checks = vec![
            ("startup".to_owned(), waiting.map_or(Ok(()), |what| Err(format!("waits for {what}")))),
            ("apiserver".to_owned(), self.api_server().await),
        ];
        let more = self.more.read().unwrap_or_else(PoisonError::into_inner);
        checks.extend(more.iter().flat_map(|checks| checks()));
        checks
    }

    async fn api_server(&self) -> Result<(), String> {
        let mut reached = self.reached.lock().await;
        if let Some((_, known)) = reached.as_ref().filter(|(at, _)| at.elapsed() < REACHABLE_FOR) {
            return known.clone();
        }
        let answer = match tokio::time::timeout(REACH_TIMEOUT, self.client.apiserver_version()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", REACH_TIMEOUT.as_secs())),
        };
        *reached = Some((Instant::now(), answer.clone()));
        answer
    }
}

async fn ready(State(readiness): State<Arc<Readiness>>) -> (StatusCode, String) {
    let checks = readiness.checks().await;
    let well = checks.iter().all(|(_, state)| state.is_ok());
    let lines: String = checks
        .iter()
        .map(|(name, state)| match state {
            Ok(()) => format!("[+]{name} ok\n"),
            Err(why) => format!("[-]{name} failed: {why}\n"),
        })
        .collect();
    if well { (StatusCode::OK, lines) } else { (StatusCode::SERVICE_UNAVAILABLE, lines) }
}

/// The routes of the probes.
pub fn probe_routes(readiness: Arc<Readiness>) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        // The only probe of the predecessor: it says that the process is alive.
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(readiness)
}

/// The route of the metrics. `measure` sets the gauges before each scrape.
pub fn metrics_routes(
    handle: PrometheusHandle,
    measure: Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
) -> Router {
    let render = async move || {
        measure().await;
        handle.run_upkeep();
        handle.render()
    };
    Router::new().route("/metrics", get(render))
}

/// Binds an address. `[::]` accepts IPv4 and IPv6. On a machine without IPv6, IPv4 alone is used.
///
/// # Errors
/// The address cannot be bound. The error names it.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, std::io::Error> {
    let bound = match TcpListener::bind(address).await {
        Err(_) if address.ip() == Ipv6Addr::UNSPECIFIED => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    };
    bound.map_err(|error| std::io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))
}

/// Serves until `stop`.
pub async fn serve(listener: TcpListener, routes: Router, stop: CancellationToken) {
    let served = axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!(%error, "listener ended");
    }
}
