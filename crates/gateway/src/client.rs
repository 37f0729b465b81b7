//! The way to an engine: one pooled HTTP/1.1 client over TCP, TLS and unix sockets.
//!
//! Bytes pass as they are: no redirects, no decompression, no retries of its own beyond a pooled connection that was
//! found closed before anything was written to it. Limits on waiting for an answer belong to the caller.

mod address;
mod connect;
mod error;
#[cfg(test)]
mod tests;

pub use address::{AddressError, EngineAddress};
pub use error::{ClientBuildError, ClientError, ClientErrorKind};

use bytes::Bytes;
use connect::{EngineConnector, Used};
use http::header::HOST;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::path::PathBuf;
use std::time::Duration;

/// Limits of an [`EngineClient`].
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Longest wait for name, connection and TLS handshake together.
    pub connect_ms_max: u64,
    /// Most idle connections kept for each engine.
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
#[derive(Clone, Debug)]
pub struct EngineClient {
    client: Client<EngineConnector, Full<Bytes>>,
}

impl EngineClient {
    /// Reads the trusted certificates and opens an empty pool.
    ///
    /// # Errors
    /// Where `roots_file` cannot be read or holds no certificate.
    pub fn new(options: ClientOptions) -> Result<Self, ClientBuildError> {
        let connector = EngineConnector::new(&options)?;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_millis(options.idle_ms_max))
            .pool_max_idle_per_host(options.idle_per_host_max)
            .retry_canceled_requests(true)
            .build(connector);
        Ok(Self { client })
    }

    /// Sends a request whose URI is a path such as `/v1/chat/completions`; the address's base path is put before it
    /// and `host` is set. Returns once the answer's headers are here. Dropping this future, or the answer's body,
    /// closes the connection, which tells the engine to stop.
    ///
    /// # Errors
    /// Says whose fault it was and whether the engine may have seen the request.
    pub async fn request(
        &self,
        address: &EngineAddress,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, ClientError> {
        *request.uri_mut() = address.uri(request.uri()).map_err(ClientError::uri)?;
        *request.version_mut() = http::Version::HTTP_11;
        request.headers_mut().insert(HOST, address.host().clone());
        let answer = self
            .client
            .request(request)
            .await
            .map_err(ClientError::new)?;
        if let Some(used) = answer.extensions().get::<Used>() {
            used.mark();
        }
        Ok(answer)
    }
}
