//! One connector for TCP, TLS and unix sockets.

use super::ClientOptions;
use super::address::EngineAddress;
use super::error::{ClientBuildError, ConnectFailure};
use super::trust::{self, Trust};
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

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
            trust::roots_add(&mut roots, path)?;
        }
        Ok(Self {
            tls: TlsConnector::from(trust::config(roots)?),
            connect_max: Duration::from_millis(options.connect_ms_max),
        })
    }

    /// Opens a connection within the time for it: to the first of `sockets` that takes it, or to what the host's name stands for.
    pub(super) async fn connect(
        &self,
        address: &EngineAddress,
        sockets: Option<&[SocketAddr]>,
    ) -> Result<EngineStream, ConnectFailure> {
        match tokio::time::timeout(self.connect_max, self.open(address, sockets)).await {
            Ok(opened) => opened,
            Err(_) => Err(ConnectFailure::Timeout(self.connect_max.as_millis())),
        }
    }

    async fn open(
        &self,
        address: &EngineAddress,
        sockets: Option<&[SocketAddr]>,
    ) -> Result<EngineStream, ConnectFailure> {
        let (tls, host, port) = match address {
            EngineAddress::Tcp { tls, .. } => {
                let (host, port) = address.host_and_port();
                (tls, host, port)
            }
            EngineAddress::Unix { path, .. } => {
                let stream = UnixStream::connect(path).await?;
                return Ok(EngineStream::Unix(stream));
            }
        };
        let stream = match sockets {
            Some(sockets) => TcpStream::connect(sockets).await?,
            None => TcpStream::connect((host, port)).await?,
        };
        // Small pieces of a stream leave when they came.
        stream.set_nodelay(true)?;
        let tls = match tls {
            None => return Ok(EngineStream::Tcp(stream)),
            Some(Trust::Public) => self.tls.clone(),
            Some(Trust::Own(authorities)) => TlsConnector::from(authorities.config()),
        };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| ConnectFailure::Tls(error.to_string()))?;
        match tls.connect(name, stream).await {
            Ok(stream) => Ok(EngineStream::Tls(Box::new(stream))),
            Err(error) => Err(ConnectFailure::Tls(error.to_string())),
        }
    }
}

/// An open connection to an engine.
pub(super) enum EngineStream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Calls a method on whichever stream it is.
macro_rules! each {
    ($stream:expr, $io:ident => $call:expr) => {
        match $stream.get_mut() {
            EngineStream::Tcp($io) => $call,
            EngineStream::Unix($io) => $call,
            EngineStream::Tls($io) => $call,
        }
    };
}

impl AsyncRead for EngineStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, io => Pin::new(io).poll_read(cx, buf))
    }
}

impl AsyncWrite for EngineStream {
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
        match self {
            EngineStream::Tcp(io) => io.is_write_vectored(),
            EngineStream::Unix(io) => io.is_write_vectored(),
            EngineStream::Tls(io) => io.is_write_vectored(),
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
