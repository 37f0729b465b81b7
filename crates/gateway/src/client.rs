//! The way to an engine: one pooled HTTP/1.1 client over TCP, TLS and unix sockets.
//!
//! Bytes pass as they are: no redirects, no decompression, no retries of its own beyond a pooled connection that was
//! found closed before anything was written to it. Limits on waiting for an answer belong to the caller.

mod address;
mod connect;
mod connection;
mod error;
mod http1;
mod pool;
#[cfg(test)]
mod tests;
mod trust;

pub use address::{AddressError, EngineAddress};
pub use connection::EngineBody;
pub use error::{ClientBuildError, ClientError, ClientErrorKind};
pub use trust::{Authorities, Trust};

use bytes::Bytes;
use connect::EngineConnector;
use connection::{Answered, EngineConnection, SendFailure};
use http::header::HOST;
use http::{Request, Response};
use pool::{Pool, PoolKey};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Limits of an [`EngineClient`].
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Longest wait for name, connection and TLS handshake together.
    pub connect_ms_max: u64,
    /// Most idle connections kept for each engine by each thread that asks it.
    pub idle_per_host_max: usize,
    /// How long an idle connection is kept. Below the engine's own limit, so that the engine seldom closes first
    /// (llama.cpp and uvicorn close after 5 s).
    pub idle_ms_max: u64,
    /// A PEM file with certificates to trust beside the public ones.
    pub roots_file: Option<PathBuf>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect_ms_max: 5_000,
            idle_per_host_max: 256,
            idle_ms_max: 4_000,
            roots_file: None,
        }
    }
}

/// A client for all engines. Clones share one pool.
#[derive(Clone)]
pub struct EngineClient {
    connector: EngineConnector,
    pool: Arc<Pool>,
}

impl std::fmt::Debug for EngineClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineClient").finish_non_exhaustive()
    }
}

impl EngineClient {
    /// Reads the trusted certificates and opens an empty pool.
    ///
    /// # Errors
    /// Where `roots_file` cannot be read or holds no certificate.
    pub fn new(options: ClientOptions) -> Result<Self, ClientBuildError> {
        let connector = EngineConnector::new(&options)?;
        let idle_max = Duration::from_millis(options.idle_ms_max);
        let pool = Arc::new(Pool::new(options.idle_per_host_max, idle_max));
        Ok(Self { connector, pool })
    }

    /// Sends a request, its body in pieces, whose URI is a path such as `/v1/chat/completions`; the address's base path is put before it
    /// and `host` is set. Returns once the answer's headers are here. Dropping this future, or the answer's body,
    /// closes the connection, which tells the engine to stop.
    ///
    /// # Errors
    /// Says whose fault it was and whether the engine may have seen the request.
    pub async fn request(
        &self,
        address: &EngineAddress,
        mut request: Request<Vec<Bytes>>,
    ) -> Result<Response<EngineBody>, ClientError> {
        *request.uri_mut() = address.target(request.uri()).map_err(ClientError::uri)?;
        *request.version_mut() = http::Version::HTTP_11;
        request.headers_mut().insert(HOST, address.host().clone());
        let key = PoolKey::of(address);
        // Each turn but the last takes a connection out of the pool, which is bounded.
        while let Some(connection) = self.pool.take(&key) {
            match connection.send(request).await {
                Ok((connection, answered)) => return Ok(self.answer(connection, answered, key)),
                Err(failure) => match *failure {
                    SendFailure {
                        unsent: Some(unsent),
                        ..
                    } => request = unsent,
                    SendFailure { error, reused, .. } => {
                        return Err(ClientError::http(&error, true, reused));
                    }
                },
            }
        }
        let (connection, answered) = self.send_anew((address, None), request).await?;
        Ok(self.answer(connection, answered, key))
    }

    /// Sends a request over a connection of its own, to one of these sockets and none else: whoever asks has resolved the
    /// address's host and looked at what came of it.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn request_at(
        &self,
        (address, sockets): (&EngineAddress, &[SocketAddr]),
        mut request: Request<Vec<Bytes>>,
    ) -> Result<Response<EngineBody>, ClientError> {
        *request.uri_mut() = address.target(request.uri()).map_err(ClientError::uri)?;
        request.headers_mut().insert(HOST, address.host().clone());
        let (connection, mut answered) = self.send_anew((address, Some(sockets)), request).await?;
        answered.head.keep = false;
        Ok(self.answer(connection, answered, PoolKey::of(address)))
    }

    async fn send_anew(
        &self,
        (address, sockets): (&EngineAddress, Option<&[SocketAddr]>),
        request: Request<Vec<Bytes>>,
    ) -> Result<(Box<EngineConnection>, Answered), ClientError> {
        let stream = self.connector.connect(address, sockets).await;
        let stream = stream.map_err(|failure| ClientError::connect(&failure))?;
        let sent = EngineConnection::new(stream).send(request).await;
        sent.map_err(|failure| {
            let sent = failure.unsent.is_none();
            ClientError::http(&failure.error, sent, failure.reused)
        })
    }

    fn answer(
        &self,
        connection: Box<EngineConnection>,
        answered: Answered,
        key: PoolKey,
    ) -> Response<EngineBody> {
        EngineBody::answer(answered, connection, (Arc::clone(&self.pool), key))
    }

    /// Closes connections that were idle for too long. To be called about once a second.
    pub fn reap(&self) {
        self.pool.reap();
    }
}
