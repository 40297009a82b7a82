//! The simulator as a server. Its port speaks the APIs of EC2, RDS and STS to callers, and JSON to administrators.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::{IncomingStream, Listener};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::admin;
use super::endpoint::{Reply, serve};
use super::handle::{Ec2Config, Ec2World};
use super::wire::Call;

/// The largest body. To add 100,000 instances by their ids takes some 3 MB.
const MAX_BODY: usize = 64 * 1024 * 1024;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// The simulator could not start.
#[derive(Debug, Error)]
#[error("can't listen on {listen}: {source}")]
pub struct StartError {
    listen: String,
    source: io::Error,
}

/// A running simulator. It shuts down when it is dropped.
#[derive(Debug)]
pub struct Ec2Simulator {
    world: Ec2World,
    address: SocketAddr,
    shutdown: watch::Sender<bool>,
    server: Option<JoinHandle<()>>,
}

impl Ec2Simulator {
    /// Starts a simulator on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// If it cannot listen on the address.
    pub async fn start(config: Ec2Config) -> Result<Self, StartError> {
        let failed = |source| StartError { listen: config.listen.clone(), source };
        let listener = TcpListener::bind(&config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let world = Ec2World::new(config);
        let (shutdown, stopped) = watch::channel(false);
        let app = axum::Router::new()
            .route("/", post(call))
            .with_state(Served { world: world.clone(), stopped: stopped.clone() })
            .merge(admin::routes(world.clone()))
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .into_make_service_with_connect_info::<ResetSwitch>();
        let server = tokio::spawn(async move {
            let serving = axum::serve(ResettableListener(listener), app);
            if let Err(error) = serving.with_graceful_shutdown(until_stopped(stopped)).await {
                tracing::error!(%error, "the EC2 simulator stopped serving");
            }
        });
        Ok(Self { world, address, shutdown, server: Some(server) })
    }

    /// The URL of the simulator, which is the endpoint URL for an SDK.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The simulated cloud.
    pub fn world(&self) -> &Ec2World {
        &self.world
    }

    /// Shuts down, and waits until calls under way have ended and the port is free.
    pub async fn stop(mut self) {
        self.shutdown.send_replace(true);
        if let Some(server) = self.server.take() {
            let _ = server.await;
        }
    }
}

impl Drop for Ec2Simulator {
    fn drop(&mut self) {
        self.shutdown.send_replace(true);
    }
}

#[derive(Clone)]
struct Served {
    world: Ec2World,
    stopped: watch::Receiver<bool>,
}

async fn until_stopped(mut stopped: watch::Receiver<bool>) {
    // An error means that the simulator is gone, so it is stopped, too.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn call(
    State(served): State<Served>,
    ConnectInfo(connection): ConnectInfo<ResetSwitch>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let call = Call::read(&headers, &body);
    // The call has a task of its own, so it goes on if its caller hangs up.
    let reply = tokio::spawn(serve(served.world, call)).await;
    match reply {
        Ok(Reply::Answer { status, request_id, body }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let headers =
                [(header::CONTENT_TYPE, "text/xml;charset=UTF-8".to_owned()), (REQUEST_ID, request_id)];
            (status, headers, body).into_response()
        }
        Ok(Reply::Hang) => {
            until_stopped(served.stopped).await;
            connection.reset()
        }
        Ok(Reply::Reset) | Err(_) => connection.reset(),
    }
}

/// Resets a connection from within a handler.
#[derive(Clone, Debug, Default)]
struct ResetSwitch(Arc<AtomicBool>);

impl ResetSwitch {
    /// The next answer resets the connection instead.
    fn reset(&self) -> Response {
        self.0.store(true, Ordering::Relaxed);
        Response::new(Body::empty())
    }
}

impl Connected<IncomingStream<'_, ResettableListener>> for ResetSwitch {
    fn connect_info(stream: IncomingStream<'_, ResettableListener>) -> Self {
        stream.io().switch.clone()
    }
}

struct ResettableListener(TcpListener);

impl Listener for ResettableListener {
    type Io = ResettableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // Small answers must not wait for acknowledgements.
        let _ = stream.set_nodelay(true);
        (ResettableStream { stream, switch: ResetSwitch::default() }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

/// A connection that ends with a reset if its switch is used.
struct ResettableStream {
    stream: TcpStream,
    switch: ResetSwitch,
}

impl ResettableStream {
    fn check(&self) -> io::Result<()> {
        if self.switch.0.load(Ordering::Relaxed) {
            // The close then sends a reset instead of an orderly end.
            self.stream.set_zero_linger()?;
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

impl AsyncRead for ResettableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for ResettableStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
