//! Connections to judged addresses, plain or with TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use policy::{Scheme, Target};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Host;
use wasmtime_wasi_http::Error;

/// How long connecting to one address, TLS included, may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What servers are trusted to be who they say.
#[derive(Debug, Clone)]
pub struct Tls(Arc<ClientConfig>);

/// Root certificates that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRoots {
    #[error("a root certificate cannot be read: {0}")]
    Certificate(rustls::Error),
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

impl Tls {
    /// Returns TLS that trusts the public web's roots, and `further` ones (DER).
    pub fn new(further: Vec<CertificateDer<'static>>) -> Result<Self, InvalidRoots> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for certificate in further {
            roots.add(certificate).map_err(InvalidRoots::Certificate)?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(InvalidRoots::Setup)?;
        Ok(Self(Arc::new(config.with_root_certificates(roots).with_no_client_auth())))
    }
}

/// A connection that HTTP is spoken over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects to the first of `addresses` that answers, and to nothing else.
pub(super) async fn dial(target: &Target, addresses: &[IpAddr], tls: &Tls) -> Result<(Box<dyn Stream>, IpAddr), Error> {
    let mut last = Error::DestinationUnavailable;
    for address in addresses {
        match timeout(CONNECT_TIMEOUT, connect(target, *address, tls)).await {
            Ok(Ok(stream)) => return Ok((stream, *address)),
            Ok(Err(error)) => last = error,
            Err(_) => last = Error::ConnectionTimeout,
        }
    }
    Err(last)
}

async fn connect(target: &Target, address: IpAddr, tls: &Tls) -> Result<Box<dyn Stream>, Error> {
    let stream = TcpStream::connect(SocketAddr::new(address, target.port())).await.map_err(refused)?;
    // Requests are written in one go; waiting for more only delays them.
    stream.set_nodelay(true).map_err(Error::Connect)?;
    if target.scheme() != Scheme::Https {
        return Ok(Box::new(stream));
    }
    let connector = TlsConnector::from(tls.0.clone());
    let stream = connector.connect(server_name(target)?, stream).await.map_err(distrusted)?;
    Ok(Box::new(stream))
}

fn server_name(target: &Target) -> Result<ServerName<'static>, Error> {
    match target.host() {
        Host::Domain(name) => ServerName::try_from(name.clone()).map_err(|_| Error::TlsCertificateError),
        Host::Ipv4(address) => Ok(IpAddr::V4(*address).into()),
        Host::Ipv6(address) => Ok(IpAddr::V6(*address).into()),
    }
}

fn refused(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        _ => Error::Connect(error),
    }
}

fn distrusted(error: io::Error) -> Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(_)) => Error::TlsCertificateError,
        _ => Error::Tls(error),
    }
}
