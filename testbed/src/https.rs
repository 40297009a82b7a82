//! A listener for axum that speaks TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{Error, ServerConfig};
use tokio_rustls::server::TlsStream;

use crate::patience::patient;
use crate::tls::Identity;

/// How long a caller may take for the TLS handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(30);

/// The number of handshakes at the same time.
const HANDSHAKES: usize = 64;

/// Returns only connections with a finished handshake. So a slow caller does not delay the others.
pub(crate) struct HttpsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl HttpsListener {
    pub(crate) fn new(tcp: TcpListener, identity: &Identity) -> Result<Self, Error> {
        let unreadable =
            |error: tokio_rustls::rustls::pki_types::pem::Error| Error::General(error.to_string());
        let certificate =
            CertificateDer::from_pem_slice(identity.certificate.as_bytes()).map_err(unreadable)?;
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).map_err(unreadable)?;
        // The provider is named here, because rustls chooses none by itself if a program has several.
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        Ok(Self { tcp, acceptor: TlsAcceptor::from(Arc::new(config)), handshakes: JoinSet::new() })
    }
}

impl Listener for HttpsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                (stream, address) = Listener::accept(&mut self.tcp), if self.handshakes.len() < HANDSHAKES => {
                    let handshake = self.acceptor.accept(stream);
                    self.handshakes.spawn(async move {
                        let stream = tokio::time::timeout(patient(HANDSHAKE_LIMIT), handshake).await.ok()?.ok()?;
                        Some((stream, address))
                    });
                }
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = done {
                        return connection;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}
