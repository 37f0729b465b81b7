//! A client's socket that gives up on a client which takes nothing of its answer.

use super::{EdgeOptions, refusal};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// What socket, service and connection know of one another. One task touches it; the atomics only satisfy `Send`.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Requests whose answer is not yet complete.
    in_flight: AtomicUsize,
    /// Grows with each request that begins or ends.
    turns: AtomicUsize,
    /// Bytes came since the last request began or ended.
    head_begun: AtomicBool,
    /// The client took nothing for too long.
    stalled: AtomicBool,
}

impl Progress {
    pub(super) fn in_flight(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) > 0
    }

    pub(super) fn turns(&self) -> usize {
        self.turns.load(Ordering::Relaxed)
    }

    pub(super) fn head_begun(&self) -> bool {
        self.head_begun.load(Ordering::Relaxed)
    }

    pub(super) fn stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    fn turn(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
        self.head_begun.store(false, Ordering::Relaxed);
    }
}

/// Held from a request's headers to the end of its answer.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Progress>);

impl InFlight {
    pub(super) fn begin(progress: Arc<Progress>) -> Self {
        progress.in_flight.fetch_add(1, Ordering::Relaxed);
        progress.turn();
        Self(progress)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.turn();
    }
}

/// A client's stream, read and written by its [`Socket`] and looked at by its connection, in the same task: the lock is
/// never waited for. Reading takes the stream whole, since only that way tokio remembers that nothing is left to read and
/// spares a call of the kernel.
#[derive(Clone)]
pub(super) struct SharedStream(Arc<Mutex<TcpStream>>);

impl SharedStream {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self(Arc::new(Mutex::new(stream)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, TcpStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stream itself, once nobody else has it.
    pub(super) fn into_inner(self) -> Option<TcpStream> {
        let stream = Arc::into_inner(self.0)?;
        Some(stream.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The stream that the HTTP connection reads and writes.
pub(super) struct Socket {
    stream: SharedStream,
    progress: Arc<Progress>,
    options: Arc<EdgeOptions>,
    /// Runs while a write waits for the client.
    stall: Pin<Box<Sleep>>,
    waiting: bool,
}

impl Socket {
    pub(super) fn new(
        stream: SharedStream,
        progress: Arc<Progress>,
        options: Arc<EdgeOptions>,
    ) -> Self {
        let stall = Box::pin(tokio::time::sleep(stall_max(&options)));
        Self {
            stream,
            progress,
            options,
            stall,
            waiting: false,
        }
    }

    /// Runs `write` once the socket has room, or fails where it had none for too long.
    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let stream = self.stream.lock();
        loop {
            let ready = stream.poll_write_ready(cx);
            if ready.is_pending() {
                drop(stream);
                return self.poll_stall(cx);
            }
            ready!(ready)?;
            match write(&stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => {
                    drop(stream);
                    self.waiting = false;
                    return Poll::Ready(done);
                }
            }
        }
    }

    /// What is said in place of these bytes, where the HTTP connection answers by itself.
    fn in_place_of(&self, bytes: &[u8]) -> Option<String> {
        if self.progress.in_flight() {
            return None;
        }
        refusal::in_place_of(bytes, &self.options)
    }

    /// Says that in place of so many bytes. The connection ends with it: where only its beginning finds room, nothing more is said.
    fn poll_say(
        &mut self,
        cx: &mut Context<'_>,
        said: &str,
        bytes: usize,
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |stream| stream.try_write(said.as_bytes()))
            .map_ok(|_| bytes)
    }

    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if !self.waiting {
            self.waiting = true;
            let until = Instant::now() + stall_max(&self.options);
            self.stall.as_mut().reset(until);
        }
        ready!(self.stall.as_mut().poll(cx));
        self.progress.stalled.store(true, Ordering::Relaxed);
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client takes nothing of its answer",
        )))
    }
}

fn stall_max(options: &EdgeOptions) -> Duration {
    Duration::from_millis(options.client_stall_ms_max)
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut *self.stream.lock()).poll_read(cx, buf))?;
        if buf.filled().len() > before && !self.progress.in_flight() {
            self.progress.head_begun.store(true, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(said) = self.in_place_of(buf) {
            return self.poll_say(cx, &said, buf.len());
        }
        self.poll_write_with(cx, |stream| stream.try_write(buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut filled = bufs.iter().filter(|buf| !buf.is_empty());
        if let (Some(buf), None) = (filled.next(), filled.next())
            && let Some(said) = self.in_place_of(buf)
        {
            return self.poll_say(cx, &said, buf.len());
        }
        self.poll_write_with(cx, |stream| stream.try_write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(close_write(&self.stream.lock()))
    }
}

/// Sends the client the end of our side.
pub(super) fn close_write(stream: &TcpStream) -> io::Result<()> {
    socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Write)
}

/// What is known of the client's side without taking bytes from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peek {
    /// Nothing came; the task is woken when something does.
    Quiet,
    /// Bytes lie unread. The end may lie behind them, and nothing wakes the task for it.
    Unread,
    /// The client closed its side, or the connection broke.
    Gone,
}

/// Looks whether the client is still there.
pub(super) fn poll_peek(stream: &TcpStream, cx: &mut Context<'_>) -> Peek {
    match stream.poll_peek(cx, &mut ReadBuf::new(&mut [0; 1])) {
        Poll::Pending => Peek::Quiet,
        Poll::Ready(Ok(0) | Err(_)) => Peek::Gone,
        Poll::Ready(Ok(_)) => {
            let ready = std::pin::pin!(stream.ready(Interest::READABLE)).poll(cx);
            match ready {
                Poll::Ready(Ok(ready)) if ready.is_read_closed() => Peek::Gone,
                Poll::Ready(Err(_)) => Peek::Gone,
                Poll::Ready(Ok(_)) | Poll::Pending => Peek::Unread,
            }
        }
    }
}
