//! One HTTP/1.1 connection to an engine, driven by the request that uses it and by no task of its own.
//!
//! A task for each connection would hand every piece of a stream over to the request's task: a wake-up, often of
//! another thread, for each token. Driven in place, all that has come leaves in one go. A connection has no buffer: it is
//! read into its thread's, so that thousands of silent streams cost no memory for bytes that do not come.

use super::connect::EngineStream;
use super::error::HttpFailure;
use super::http1::{self, AnswerHead, Framing, NotHttp};
use super::pool::{Pool, PoolKey};
use bytes::{Buf, Bytes, BytesMut};
use http::{Request, Response};
use hyper::body::{Body, Frame, SizeHint};
use smallvec::SmallVec;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Pieces of a request that are written at once without asking for memory: its head, and what one or two edits make.
const SLICES: usize = 8;
/// Bytes that are read at once.
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    /// Where what comes is read into, before what belongs to an answer is copied out.
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// An open connection with at most one request under way.
pub(super) struct EngineConnection {
    io: EngineStream,
    /// It has carried an answer.
    used: bool,
}

/// A request that got no answer.
pub(super) struct SendFailure {
    pub error: HttpFailure,
    /// The request, where not a byte of it was sent.
    pub unsent: Option<Request<Vec<Bytes>>>,
    /// The connection had carried an answer before.
    pub reused: bool,
}

/// An answer's head, and what came behind it.
pub(super) struct Answered {
    pub head: AnswerHead,
    pub behind: Bytes,
}

/// A request on its way out and its answer's head on its way in.
struct Exchange {
    /// The request's head and the pieces of its body, as far as they are not yet written; the first one comes next.
    unsent: VecDeque<Bytes>,
    /// Not a byte of it is written.
    whole: bool,
    flushed: bool,
    /// Why no more of it can be written. The engine may have answered all the same.
    broken: Option<io::Error>,
    /// What came of the answer's head.
    came: BytesMut,
}

impl EngineConnection {
    pub(super) fn new(io: EngineStream) -> Box<Self> {
        Box::new(Self { io, used: false })
    }

    /// Sends the request and waits for the answer's headers. Dropping the future closes the connection.
    pub(super) async fn send(
        mut self: Box<Self>,
        request: Request<Vec<Bytes>>,
    ) -> Result<(Box<Self>, Answered), Box<SendFailure>> {
        let head = Bytes::from(http1::request_head(&request));
        let pieces = request.body().iter().filter(|piece| !piece.is_empty());
        let mut exchange = Exchange {
            unsent: std::iter::once(&head).chain(pieces).cloned().collect(),
            whole: true,
            flushed: false,
            broken: None,
            came: BytesMut::new(),
        };
        let io = &mut self.io;
        match poll_fn(|cx| exchange.poll(io, cx)).await {
            Ok(answered) => {
                self.used = true;
                Ok((self, answered))
            }
            Err(error) => Err(Box::new(SendFailure {
                error,
                unsent: exchange.whole.then_some(request),
                reused: self.used,
            })),
        }
    }

    /// Whether a request may be sent now: nothing came and nothing ended. Nobody is woken for what happens later.
    pub(super) fn is_idle(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let (mut byte, io) = ([0], Pin::new(&mut self.io));
        io.poll_read(&mut cx, &mut ReadBuf::new(&mut byte))
            .is_pending()
    }
}

impl Exchange {
    fn poll(
        &mut self,
        io: &mut EngineStream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Answered, HttpFailure>> {
        let written = match self.poll_write(io, cx) {
            Poll::Pending => false,
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(error)) => {
                self.broken.get_or_insert(error);
                true
            }
        };
        loop {
            // An engine that refuses says so before it has read all; one that serves is given the rest first.
            if let Some(head) = http1::answer_head(&self.came)?
                && (written || !head.answer.status().is_success() || self.came.len() > READ_BYTES)
            {
                return Poll::Ready(Ok(self.answered(head)));
            }
            let came = read(io, cx, |bytes| {
                self.came.extend_from_slice(bytes);
                bytes.len()
            });
            match came {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(HttpFailure::Ended)),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(HttpFailure::Io(error))),
                Poll::Pending => {
                    return match self.broken.take() {
                        Some(error) => Poll::Ready(Err(HttpFailure::Io(error))),
                        None => Poll::Pending,
                    };
                }
            }
        }
    }

    fn answered(&mut self, mut head: AnswerHead) -> Answered {
        head.keep &= self.unsent.is_empty() && self.broken.is_none();
        let mut came = std::mem::take(&mut self.came);
        came.advance(head.length);
        Answered {
            head,
            behind: came.freeze(),
        }
    }

    /// Writes until all is written or there is no room.
    fn poll_write(&mut self, io: &mut EngineStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.broken.is_none() && !self.unsent.is_empty() {
            let slices: SmallVec<[IoSlice<'_>; SLICES]> = self
                .unsent
                .iter()
                .map(|piece| IoSlice::new(piece))
                .collect();
            let count = ready!(Pin::new(&mut *io).poll_write_vectored(cx, &slices))?;
            drop(slices);
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written(count);
        }
        if !self.flushed {
            ready!(Pin::new(io).poll_flush(cx))?;
            self.flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    fn written(&mut self, mut count: usize) {
        self.whole = false;
        while let Some(piece) = self.unsent.front_mut() {
            if count < piece.len() {
                return piece.advance(count);
            }
            count -= piece.len();
            self.unsent.pop_front();
        }
    }
}

/// Reads once and hands over what came, nothing at the connection's end.
fn read<T>(
    io: &mut EngineStream,
    cx: &mut Context<'_>,
    take: impl FnOnce(&[u8]) -> T,
) -> Poll<io::Result<T>> {
    READ.with_borrow_mut(|bytes| {
        let mut buffer = ReadBuf::new(bytes);
        ready!(Pin::new(io).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(take(buffer.filled())))
    })
}

/// An engine's answer as it comes. After its end the connection takes further requests; dropped before, it is closed,
/// which tells the engine to stop.
pub struct EngineBody {
    /// `None` once the body is over or broken.
    connection: Option<Box<EngineConnection>>,
    framing: Framing,
    keep: bool,
    /// What came behind the head.
    behind: Bytes,
    pool: Arc<Pool>,
    key: PoolKey,
}

impl EngineBody {
    /// The answer whose head has come.
    pub(super) fn answer(
        Answered { head, behind }: Answered,
        connection: Box<EngineConnection>,
        (pool, key): (Arc<Pool>, PoolKey),
    ) -> Response<Self> {
        let mut body = Self {
            connection: Some(connection),
            framing: head.framing,
            keep: head.keep,
            behind,
            pool,
            key,
        };
        if body.framing.is_over() {
            body.keep &= body.behind.is_empty();
            body.over();
        }
        head.answer.map(|()| body)
    }

    /// The body has come to its end.
    fn over(&mut self) {
        if let Some(connection) = self.connection.take()
            && self.keep
        {
            self.pool.put(self.key.clone(), connection);
        }
    }

    /// Takes the body's part of what came from the connection or behind the head.
    fn took(&mut self, came: usize, decoded: Result<usize, NotHttp>) -> io::Result<()> {
        let taken = decoded.map_err(io::Error::other)?;
        if self.framing.is_over() {
            // What comes behind an answer belongs to none.
            self.keep &= taken == came;
            self.over();
        }
        Ok(())
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let mut out = BytesMut::new();
        while out.is_empty() {
            let behind = std::mem::take(&mut self.behind);
            let framing = &mut self.framing;
            let Some(connection) = &mut self.connection else {
                return Poll::Ready(None);
            };
            let mut decode = |bytes: &[u8]| (bytes.len(), framing.decode(bytes, &mut out));
            let (came, decoded) = if behind.is_empty() {
                ready!(read(&mut connection.io, cx, decode))?
            } else {
                decode(&behind)
            };
            if came == 0 {
                return if self.framing.ends_with_connection() {
                    self.connection = None;
                    Poll::Ready(None)
                } else {
                    Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())))
                };
            }
            self.took(came, decoded)?;
        }
        Poll::Ready(Some(Ok(out.freeze())))
    }
}

impl std::fmt::Debug for EngineBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineBody").finish_non_exhaustive()
    }
}

impl Body for EngineBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let polled = ready!(self.poll_bytes(cx));
        if matches!(polled, Some(Err(_))) {
            self.connection = None;
        }
        Poll::Ready(polled.map(|read| read.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.connection.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.framing {
            Framing::Length(left) => SizeHint::with_exact(left),
            Framing::Chunked(_) | Framing::UntilClose => SizeHint::default(),
        }
    }
}
