//! One connection from its first byte to its end.

use super::service::{CountedService, Doors, PeerAddress};
use super::socket::{Peek, Progress, SharedStream, Socket, poll_peek};
use super::{EdgeOptions, refusal};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep};

/// Least size of a connection's read and write buffers.
const BUFFER_BYTES_MIN: usize = 64 * 1024;
/// How often a client that has sent more than is read is looked at: it may have left, and nothing tells us.
const UNREAD_LOOK: Duration = Duration::from_millis(500);
/// A client machine that vanished is noticed after 60 + 3 · 10 s, even while its request waits in a queue.
const KEEPALIVE_FIRST: Duration = Duration::from_secs(60);
const KEEPALIVE_NEXT: Duration = Duration::from_secs(10);
const KEEPALIVE_COUNT: u32 = 3;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// In good order, or by a request that is not HTTP.
    Done,
    /// Without a request under way.
    Idle,
    /// In good order, at work when the edge was told to stop.
    Drained,
    /// The headers came too slowly.
    HeadTimeout,
    /// The client took nothing of its answer.
    Stall,
    /// The client left while its request was under way.
    ClientGone,
    /// Too many were open.
    Refused,
}

/// A connection that was taken in.
pub(super) struct Connection<D> {
    pub(super) doors: D,
    pub(super) options: Arc<EdgeOptions>,
    pub(super) stopping: watch::Receiver<bool>,
}

impl<D: Doors> Connection<D> {
    /// Serves requests until the connection ends, and closes it.
    pub(super) async fn serve(self, stream: TcpStream) -> End {
        let Ok(peer) = prepare(&stream) else {
            return End::Idle;
        };
        let stream = SharedStream::new(stream);
        let progress = Arc::new(Progress::default());
        let socket = Socket::new(stream.clone(), progress.clone(), self.options.clone());
        let service = CountedService {
            doors: self.doors,
            peer: PeerAddress(peer),
            progress: progress.clone(),
        };
        let http = builder(&self.options).serve_connection(TokioIo::new(socket), service);
        let watch = Watch::new(stream.clone(), progress, self.options.clone());
        let end = run(http, watch, self.stopping).await;
        let Some(stream) = stream.into_inner() else {
            return end;
        };
        match end {
            End::HeadTimeout => refusal::head_timeout(&stream, &self.options).await,
            End::Done => refusal::linger(&stream).await,
            // What lies unsent is thrown away at once instead of being kept for a client that takes nothing.
            End::Stall => reset(&stream),
            End::Idle | End::Drained | End::ClientGone | End::Refused => {}
        }
        end
    }
}

fn prepare(stream: &TcpStream) -> io::Result<SocketAddr> {
    // Each piece of a stream leaves when it came.
    stream.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(KEEPALIVE_FIRST)
        .with_interval(KEEPALIVE_NEXT)
        .with_retries(KEEPALIVE_COUNT);
    socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive)?;
    stream.peer_addr()
}

fn reset(stream: &TcpStream) {
    if let Err(error) = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "cannot reset a connection");
    }
}

fn builder(options: &EdgeOptions) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .max_header_size(options.header_bytes_max)
        .max_buf_size(options.header_bytes_max.max(BUFFER_BYTES_MIN))
        .half_close(false)
        .keep_alive(true)
        // Watch holds this limit: hyper's would also end idle connections.
        .header_read_timeout(None);
    builder
}

type Http<D> = http1::Connection<TokioIo<Socket>, CountedService<D>>;

/// Drives a connection to its end. The handler and the answer's body are dropped before this returns.
async fn run<D: Doors>(
    http: Http<D>,
    mut watch: Watch,
    mut stopping: watch::Receiver<bool>,
) -> End {
    let mut http = pin!(http);
    let mut stop = pin!(async move { stopping.wait_for(|stop| *stop).await.is_ok() });
    poll_fn(move |cx| {
        if watch.stopping.is_none() && stop.as_mut().poll(cx).is_ready() {
            http.as_mut().graceful_shutdown();
            watch.stopping = Some(watch.phase());
        }
        match http.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(watch.end(&result)),
            Poll::Pending => watch.poll(cx),
        }
    })
    .await
}

/// What a connection is waiting for, and until when.
struct Watch {
    stream: SharedStream,
    progress: Arc<Progress>,
    options: Arc<EdgeOptions>,
    deadline: Pin<Box<Sleep>>,
    /// The state that `deadline` was set for.
    seen: (Phase, usize),
    /// What the connection did when the edge was told to stop.
    stopping: Option<Phase>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No byte of a next request is here.
    Idle,
    /// A request's headers are on their way.
    Head,
    /// A request is being worked on.
    Busy,
}

impl Watch {
    fn new(stream: SharedStream, progress: Arc<Progress>, options: Arc<EdgeOptions>) -> Self {
        let deadline = Box::pin(sleep(Duration::from_millis(options.header_read_ms_max)));
        Self {
            stream,
            progress,
            options,
            deadline,
            seen: (Phase::Head, 0),
            stopping: None,
        }
    }

    fn phase(&self) -> Phase {
        let first = self.progress.turns() == 0;
        if self.progress.in_flight() {
            Phase::Busy
        } else if first || self.progress.head_begun() {
            Phase::Head
        } else {
            Phase::Idle
        }
    }

    /// Called after the HTTP connection was polled, in the same task.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let phase = self.phase();
        let nothing_asked = phase != Phase::Busy && !self.progress.head_begun();
        if nothing_asked && matches!(self.stopping, Some(Phase::Idle | Phase::Head)) {
            return Poll::Ready(End::Idle);
        }
        let now = (phase, self.progress.turns());
        if now != self.seen {
            self.seen = now;
            let limit_ms = match phase {
                Phase::Idle => self.options.idle_ms_max,
                Phase::Head => self.options.header_read_ms_max,
                Phase::Busy => return self.poll_client(cx),
            };
            self.deadline
                .as_mut()
                .reset(Instant::now() + Duration::from_millis(limit_ms));
        }
        match phase {
            Phase::Busy => self.poll_client(cx),
            Phase::Idle => self.deadline.as_mut().poll(cx).map(|()| End::Idle),
            Phase::Head => self.deadline.as_mut().poll(cx).map(|()| self.head_end()),
        }
    }

    fn head_end(&self) -> End {
        if self.progress.head_begun() {
            End::HeadTimeout
        } else {
            End::Idle
        }
    }

    /// Whether the client of a request that is being worked on is still there. The HTTP connection sees its end by
    /// itself, except where the client has sent more than is read (a further request, say).
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            match poll_peek(&self.stream.lock(), cx) {
                Peek::Gone => return Poll::Ready(End::ClientGone),
                Peek::Quiet => return Poll::Pending,
                Peek::Unread => {
                    self.deadline.as_mut().reset(Instant::now() + UNREAD_LOOK);
                    if self.deadline.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    fn end(&self, result: &Result<(), hyper::Error>) -> End {
        match result {
            _ if self.progress.stalled() => End::Stall,
            Ok(()) => match self.stopping {
                None => End::Done,
                Some(Phase::Busy) => End::Drained,
                Some(Phase::Idle | Phase::Head) => End::Idle,
            },
            Err(error) if error.is_parse() => End::Done,
            Err(_) if self.progress.in_flight() => End::ClientGone,
            Err(_) => End::Idle,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_leave_at_once_and_dead_machines_are_noticed() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        assert_eq!(prepare(&accepted).unwrap(), client.local_addr().unwrap());
        assert!(accepted.nodelay().unwrap());
        assert!(socket2::SockRef::from(&accepted).keepalive().unwrap());
    }
}
