//! What answers a connection's requests, and a count of those under way.

use super::leftover::WholeBody;
use super::socket::{InFlight, Progress};
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, header};
use hyper::body::{Frame, Incoming, SizeHint};
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tower::Service;

/// Whence a request came; set as an extension of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// An answer in the making. Dropped where the client leaves.
pub type Answering = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// What answers requests. Cheap to clone.
pub trait Doors: Clone + Send + Sync + 'static {
    /// Answers one request.
    fn answer(&self, request: Request<Body>) -> Answering;
}

impl Doors for axum::Router {
    fn answer(&self, request: Request<Body>) -> Answering {
        // A router is always ready.
        let answer = self.clone().call(request);
        Box::pin(async move {
            match answer.await {
                Ok(answer) => answer,
                Err(never) => match never {},
            }
        })
    }
}

/// The doors, with a count of requests under way.
pub(super) struct CountedService<D> {
    pub(super) doors: D,
    pub(super) peer: PeerAddress,
    pub(super) progress: Arc<Progress>,
}

impl<D: Doors> hyper::service::Service<Request<Incoming>> for CountedService<D> {
    type Response = Response<CountedBody>;
    type Error = Infallible;
    type Future = CountedAnswering;

    fn call(&self, mut request: Request<Incoming>) -> CountedAnswering {
        let in_flight = InFlight::begin(self.progress.clone());
        request.extensions_mut().insert(self.peer);
        let waits = request.headers().contains_key(header::EXPECT);
        let request = request.map(|body| WholeBody::of(body, waits));
        CountedAnswering {
            answering: self.doors.answer(request),
            in_flight: Some(in_flight),
        }
    }
}

/// An answer in the making that counts as under way.
pub(super) struct CountedAnswering {
    answering: Answering,
    in_flight: Option<InFlight>,
}

impl Future for CountedAnswering {
    type Output = Result<Response<CountedBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(self.answering.as_mut().poll(cx));
        let in_flight = self.in_flight.take();
        Poll::Ready(Ok(answer.map(|body| CountedBody {
            body,
            _in_flight: in_flight,
        })))
    }
}

/// An answer's body that counts as under way until it is dropped.
pub(super) struct CountedBody {
    body: Body,
    _in_flight: Option<InFlight>,
}

impl hyper::body::Body for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
