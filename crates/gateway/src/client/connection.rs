//! One HTTP/1.1 connection to an engine, driven by the request that uses it and by no task of its own.
//!
//! A task for each connection would hand every piece of a stream over to the request's task: a wake-up, often of
//! another thread, for each token. Driven in place, all that has come leaves in one go.

use super::connect::EngineStream;
use super::pool::{Pool, PoolKey};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// An open connection with at most one request under way.
pub(super) struct EngineConnection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// `None` once it has ended.
    http: Option<http1::Connection<EngineStream, Full<Bytes>>>,
    /// It has carried an answer.
    used: bool,
}

/// A request that got no answer.
pub(super) struct SendFailure {
    pub error: hyper::Error,
    /// The request, where not a byte of it was sent.
    pub unsent: Option<Request<Full<Bytes>>>,
    /// The connection had carried an answer before.
    pub reused: bool,
}

impl EngineConnection {
    pub(super) async fn new(stream: EngineStream) -> Result<Box<Self>, hyper::Error> {
        let (sender, http) = http1::handshake(stream).await?;
        Ok(Box::new(Self {
            sender,
            http: Some(http),
            used: false,
        }))
    }

    /// Sends the request and waits for the answer's headers. Dropping the future closes the connection.
    pub(super) async fn send(
        mut self: Box<Self>,
        request: Request<Full<Bytes>>,
    ) -> Result<(Box<Self>, Response<Incoming>), SendFailure> {
        let mut answer = pin!(self.sender.try_send_request(request));
        let http = &mut self.http;
        let sent = poll_fn(|cx| {
            // What ended is dropped, which tells the answer's future.
            if !drive(http, cx) {
                *http = None;
            }
            answer.as_mut().poll(cx)
        })
        .await;
        match sent {
            Ok(answer) => {
                self.used = true;
                Ok((self, answer))
            }
            Err(mut failure) => Err(SendFailure {
                unsent: failure.take_message(),
                error: failure.into_error(),
                reused: self.used,
            }),
        }
    }

    /// Whether a request may be sent now. Nobody is woken for what happens to the connection later.
    pub(super) fn is_idle(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        drive(&mut self.http, &mut cx) && self.sender.is_ready()
    }
}

/// Reads and writes what can be read and written now; whether the connection goes on.
fn drive(
    http: &mut Option<http1::Connection<EngineStream, Full<Bytes>>>,
    cx: &mut Context<'_>,
) -> bool {
    http.as_mut()
        .is_some_and(|http| Pin::new(http).poll(cx).is_pending())
}

/// An engine's answer as it comes. After its end the connection takes further requests; dropped before, it is closed,
/// which tells the engine to stop.
pub struct EngineBody {
    incoming: Option<Incoming>,
    connection: Option<Box<EngineConnection>>,
    pool: Arc<Pool>,
    key: PoolKey,
}

impl EngineBody {
    pub(super) fn new(
        incoming: Incoming,
        connection: Box<EngineConnection>,
        pool: Arc<Pool>,
        key: PoolKey,
    ) -> Self {
        Self {
            incoming: Some(incoming),
            connection: Some(connection),
            pool,
            key,
        }
    }

    fn give_back(&mut self) {
        // Dropped first: the connection then knows that nobody reads what may be left of the answer.
        self.incoming = None;
        if let Some(connection) = self.connection.take() {
            self.pool.put(self.key.clone(), connection);
        }
    }
}

impl std::fmt::Debug for EngineBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineBody").finish_non_exhaustive()
    }
}

impl Body for EngineBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        if let Some(connection) = &mut this.connection
            && !drive(&mut connection.http, cx)
        {
            this.connection = None;
        }
        let Some(incoming) = &mut this.incoming else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(incoming).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) {
            this.give_back();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming
            .as_ref()
            .map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for EngineBody {
    fn drop(&mut self) {
        self.give_back();
    }
}
