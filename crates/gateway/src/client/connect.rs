//! One connector for TCP, TLS and unix sockets.

use super::ClientOptions;
use super::error::{ClientBuildError, ConnectFailure};
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::Service;

/// Whether a connection has carried an answer before.
#[derive(Clone, Debug, Default)]
pub(super) struct Used(Arc<AtomicBool>);

impl Used {
    pub(super) fn mark(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Opens connections to `http`, `https` and `unix` URIs.
#[derive(Clone)]
pub(super) struct EngineConnector {
    tls: TlsConnector,
    connect_max: Duration,
}

impl std::fmt::Debug for EngineConnector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineConnector")
            .field("connect_max", &self.connect_max)
            .finish_non_exhaustive()
    }
}

impl EngineConnector {
    pub(super) fn new(options: &ClientOptions) -> Result<Self, ClientBuildError> {
        let mut roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        if let Some(path) = &options.roots_file {
            roots_add(&mut roots, path)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| ClientBuildError::Tls(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
            connect_max: Duration::from_millis(options.connect_ms_max),
        })
    }

    async fn open(&self, target: &Uri) -> Result<Io, ConnectFailure> {
        let host = target.host().unwrap_or_default();
        if target.scheme_str() == Some("unix") {
            let stream = UnixStream::connect(unix_path(host)?).await?;
            return Ok(Io::Unix(TokioIo::new(stream)));
        }
        let tls = target.scheme_str() == Some("https");
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = target.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let stream = TcpStream::connect((host, port)).await?;
        // Small pieces of a stream leave when they came.
        stream.set_nodelay(true)?;
        if !tls {
            return Ok(Io::Tcp(TokioIo::new(stream)));
        }
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| ConnectFailure::Tls(error.to_string()))?;
        match self.tls.connect(name, stream).await {
            Ok(stream) => Ok(Io::Tls(TokioIo::new(Box::new(stream)))),
            Err(error) => Err(ConnectFailure::Tls(error.to_string())),
        }
    }
}

fn roots_add(roots: &mut RootCertStore, path: &Path) -> Result<(), ClientBuildError> {
    let fault = |reason: String| ClientBuildError::Roots {
        path: path.to_owned(),
        reason,
    };
    let certificates =
        CertificateDer::pem_file_iter(path).map_err(|error| fault(error.to_string()))?;
    let mut count = 0;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| fault(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| fault(error.to_string()))?;
        count += 1;
    }
    if count == 0 {
        return Err(fault("it holds no certificate".into()));
    }
    Ok(())
}

fn unix_path(hex: &str) -> Result<OsString, ConnectFailure> {
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(text, 16).ok()
    };
    let bytes: Option<Vec<u8>> = hex.as_bytes().chunks(2).map(byte).collect();
    let malformed = || io::Error::new(io::ErrorKind::InvalidInput, "not the path of a unix socket");
    Ok(OsString::from_vec(bytes.ok_or_else(malformed)?))
}

impl Service<Uri> for EngineConnector {
    type Response = EngineStream;
    type Error = ConnectFailure;
    type Future = Pin<Box<dyn Future<Output = Result<EngineStream, ConnectFailure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let open = connector.open(&target);
            let io = match tokio::time::timeout(connector.connect_max, open).await {
                Ok(opened) => opened?,
                Err(_) => return Err(ConnectFailure::Timeout(connector.connect_max.as_millis())),
            };
            Ok(EngineStream {
                io,
                used: Used::default(),
            })
        })
    }
}

enum Io {
    Tcp(TokioIo<TcpStream>),
    Unix(TokioIo<UnixStream>),
    Tls(TokioIo<Box<TlsStream<TcpStream>>>),
}

/// An open connection to an engine.
pub(super) struct EngineStream {
    io: Io,
    used: Used,
}

impl Connection for EngineStream {
    fn connected(&self) -> Connected {
        Connected::new().extra(self.used.clone())
    }
}

/// Calls a method on whichever stream it is.
macro_rules! each {
    ($stream:expr, $io:ident => $call:expr) => {
        match &mut $stream.get_mut().io {
            Io::Tcp($io) => $call,
            Io::Unix($io) => $call,
            Io::Tls($io) => $call,
        }
    };
}

impl Read for EngineStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, io => Pin::new(io).poll_read(cx, buf))
    }
}

impl Write for EngineStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, io => Pin::new(io).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, io => Pin::new(io).poll_shutdown(cx))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Tcp(io) => io.is_write_vectored(),
            Io::Unix(io) => io.is_write_vectored(),
            Io::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, io => Pin::new(io).poll_write_vectored(cx, bufs))
    }
}
