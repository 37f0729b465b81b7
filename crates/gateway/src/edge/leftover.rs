//! The rest of a body that nobody reads: a request is often refused before its body is there, and the connection would then be closed
//! without a word while its client sends the next request on it.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// So much of a body that nobody wants is read to its end: with more a connection is better closed.
const REST_BYTES_MAX: u64 = 64 * 1024;
/// And for so long.
const REST_TIME_MAX: Duration = Duration::from_secs(2);

/// A request's body, of which a small rest is read though it is dropped.
pub(super) struct WholeBody(Option<Incoming>);

impl WholeBody {
    /// Of a client that waits to be told to send its body nothing is read that is not wanted: `waits`.
    pub(super) fn of(incoming: Incoming, waits: bool) -> axum::body::Body {
        match waits {
            true => axum::body::Body::new(incoming),
            false => axum::body::Body::new(Self(Some(incoming))),
        }
    }
}

impl Body for WholeBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.0 {
            Some(incoming) => Pin::new(incoming).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.0.as_ref().map(Incoming::size_hint);
        hint.unwrap_or_else(|| SizeHint::with_exact(0))
    }
}

impl Drop for WholeBody {
    fn drop(&mut self) {
        let rest = self.0.take().filter(|incoming| !incoming.is_end_stream());
        let small = |incoming: &Incoming| {
            let most = incoming.size_hint().upper();
            most.is_some_and(|bytes| bytes <= REST_BYTES_MAX)
        };
        // Where the program ends nobody is left to read it.
        let (Some(mut rest), Ok(runtime)) = (rest.filter(small), Handle::try_current()) else {
            return;
        };
        runtime.spawn(async move {
            let read = async { while let Some(Ok(_)) = rest.frame().await {} };
            drop(timeout(REST_TIME_MAX, read).await);
        });
    }
}
