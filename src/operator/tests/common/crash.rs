//! Crashes at a chosen effect: the process is cut off before or after its n-th write or call. Nothing that it still
//! tries has an effect.

use std::{
    future::{Future, pending},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use async_trait::async_trait;
use booking_cloud::{Aws, Cloud, CloudError, CloudKey, Clouds, Instance, Mutation, Provider, Results, Tag};
use booking_decision::permit::Permit;
use kube::{Client, client::ClientBuilder};
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The effect does not happen.
    Before,
    /// The effect happens, but the process gets no answer.
    After,
}

/// Counts effects, and crashes at one of them.
#[derive(Debug)]
pub struct CrashPoint {
    at: Option<(usize, Side)>,
    effects: AtomicUsize,
    /// Cancelled at the crash.
    pub crashed: CancellationToken,
}

impl CrashPoint {
    pub fn new(at: Option<(usize, Side)>) -> Arc<Self> {
        Arc::new(Self { at, effects: AtomicUsize::new(0), crashed: CancellationToken::new() })
    }

    pub fn effects(&self) -> usize {
        self.effects.load(Ordering::SeqCst)
    }

    async fn effect<T>(&self, effect: impl Future<Output = T>) -> T {
        if self.crashed.is_cancelled() {
            return pending().await;
        }
        let number = self.effects.fetch_add(1, Ordering::SeqCst);
        match self.at {
            Some((at, Side::Before)) if at == number => {
                self.crashed.cancel();
                pending().await
            }
            Some((at, Side::After)) if at == number => {
                effect.await;
                self.crashed.cancel();
                pending().await
            }
            _ => effect.await,
        }
    }
}

/// Clouds whose mutations are effects.
pub struct CrashingClouds {
    pub inner: Aws,
    pub point: Arc<CrashPoint>,
}

#[async_trait]
impl Clouds for CrashingClouds {
    fn region(&self) -> &str {
        self.inner.region()
    }

    async fn open(&self, cloud: &Cloud) -> Arc<dyn Provider> {
        Arc::new(Crashing { inner: self.inner.open(cloud).await, point: self.point.clone() })
    }
}

struct Crashing {
    inner: Arc<dyn Provider>,
    point: Arc<CrashPoint>,
}

#[async_trait]
impl Provider for Crashing {
    fn key(&self) -> &CloudKey {
        self.inner.key()
    }
    async fn discover(&self, mark: &Tag) -> Result<Vec<Instance>, CloudError> {
        self.inner.discover(mark).await
    }

    async fn describe(&self, groups: &[String]) -> Result<Vec<Instance>, CloudError> {
        self.inner.describe(groups).await
    }
    async fn mutate(&self, permit: &dyn Permit, mutation: &Mutation, ids: &[String]) -> Results {
        self.point.effect(self.inner.mutate(permit, mutation, ids)).await
    }
}

/// A client whose writes are effects.
pub fn crashing_client(config: kube::Config, point: Arc<CrashPoint>) -> Client {
    ClientBuilder::try_from(config).unwrap().with_layer(&WriteLayer(point)).build()
}

#[derive(Clone)]
struct WriteLayer(Arc<CrashPoint>);

impl<S> Layer<S> for WriteLayer {
    type Service = Writes<S>;
    fn layer(&self, inner: S) -> Writes<S> {
        Writes { inner, point: self.0.clone() }
    }
}

#[derive(Clone)]
struct Writes<S> {
    inner: S,
    point: Arc<CrashPoint>,
}

impl<S, B> Service<http::Request<B>> for Writes<S>
where
    S: Service<http::Request<B>>,
    S::Future: Send + 'static,
    S::Response: Send,
    S::Error: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let is_read = request.method() == http::Method::GET;
        let sent = self.inner.call(request);
        let point = self.point.clone();
        Box::pin(async move { if is_read { sent.await } else { point.effect(sent).await } })
    }
}
