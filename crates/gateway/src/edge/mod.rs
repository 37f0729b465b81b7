//! Connections: who may connect, how long each silence may last, and how all of them end.
//!
//! Nothing here looks into a request. Memory is bounded by the number of connections and their buffers; each wait
//! has a limit. A client that half-closes its side counts as gone: its request is dropped, and with it the engine's.

mod connection;
mod lanes;
mod leftover;
mod refusal;
mod service;
mod socket;
#[cfg(test)]
mod tests;

pub use service::{Answering, Doors, PeerAddress};

use connection::{Connection, End};
use lanes::Lanes;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

/// Connections over the cap that are told why at the same time; further ones are closed without a word.
const REFUSALS_AT_ONCE_MAX: usize = 64;
/// First and longest pause after `accept` failed for want of files or memory.
const ACCEPT_PAUSE_MS: (u64, u64) = (10, 1_000);

/// Limits of the edge.
#[derive(Clone, Debug)]
pub struct EdgeOptions {
    /// Threads that serve connections, each with an event loop of its own; 0 to serve them where [`serve`] runs.
    pub lanes: usize,
    /// Most connections at once. Further ones are answered `connections_exhausted` and closed.
    pub connections_max: usize,
    /// Most bytes of a request's line and headers.
    pub header_bytes_max: usize,
    /// Longest time from a request's first byte (or, for the first request, from the connection's start) to the end
    /// of its headers.
    pub header_read_ms_max: u64,
    /// Longest time in which a client takes not one byte of its answer.
    pub client_stall_ms_max: u64,
    /// Longest silence between two requests on one connection.
    pub idle_ms_max: u64,
    /// How long requests may go on once the edge is told to stop.
    pub drain_ms_max: u64,
}

impl Default for EdgeOptions {
    fn default() -> Self {
        Self {
            lanes: 0,
            connections_max: 10_000,
            header_bytes_max: 32 * 1024,
            header_read_ms_max: 10_000,
            client_stall_ms_max: 30_000,
            idle_ms_max: 75_000,
            drain_ms_max: 30_000,
        }
    }
}

/// What the edge did, counted in connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EdgeReport {
    /// Taken in.
    pub accepted: u64,
    /// Turned away because too many were open.
    pub refused: u64,
    /// Closed because the client was too slow to send its headers.
    pub head_timeouts: u64,
    /// Closed because the client did not take its answer.
    pub stalls: u64,
    /// Ended by the client while its request was being worked on.
    pub clients_gone: u64,
    /// Still at work when told to stop, and finished in time.
    pub drained: u64,
    /// Still at work when the time to finish was over.
    pub cut: u64,
}

/// Serves `doors` until `shutdown` is done, then lets running requests finish for `drain_ms_max`, then cuts them.
/// Returns once no connection is left. Dropping this future closes all connections at once.
///
/// # Errors
/// The lanes cannot be started.
pub async fn serve(
    listener: TcpListener,
    doors: impl Doors,
    options: EdgeOptions,
    shutdown: impl Future,
) -> io::Result<EdgeReport> {
    let (stop, stopping) = watch::channel(false);
    let drain_max = Duration::from_millis(options.drain_ms_max);
    let lanes = Lanes::start(options.lanes)?;
    let mut edge = Edge {
        slots: Arc::new(Semaphore::new(options.connections_max)),
        refusals: Arc::new(Semaphore::new(REFUSALS_AT_ONCE_MAX)),
        options: Arc::new(options),
        doors,
        stopping,
        tasks: JoinSet::new(),
        lanes,
        accept_pause: AcceptPause::default(),
        report: EdgeReport::default(),
    };
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            _ = &mut shutdown => break,
            Some(ended) = edge.tasks.join_next() => edge.ended(ended),
            accepted = edge.accept_pause.accept(&listener) => edge.admit(accepted),
        }
    }
    drop(listener);
    // No receiver is left where no connection is open, which is no fault.
    stop.send_replace(true);
    Ok(edge.drain(drain_max).await)
}

struct Edge<D> {
    options: Arc<EdgeOptions>,
    doors: D,
    slots: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
    // Before the lanes: what is dropped first is not waited for.
    tasks: JoinSet<End>,
    lanes: Lanes,
    accept_pause: AcceptPause,
    report: EdgeReport,
}

impl<D: Doors> Edge<D> {
    fn admit(&mut self, stream: TcpStream) {
        if let Ok(slot) = self.slots.clone().try_acquire_owned() {
            self.report.accepted += 1;
            let connection = Connection {
                doors: self.doors.clone(),
                options: self.options.clone(),
                stopping: self.stopping.clone(),
            };
            match self.lanes.place() {
                None => self.tasks.spawn(async move {
                    let end = connection.serve(stream).await;
                    drop(slot);
                    end
                }),
                Some((lane, place)) => self.tasks.spawn_on(
                    async move {
                        let end = match moved_here(stream) {
                            Ok(stream) => connection.serve(stream).await,
                            Err(_) => End::Idle,
                        };
                        drop((slot, place));
                        end
                    },
                    lane,
                ),
            };
            return;
        }
        self.report.refused += 1;
        if let Ok(slot) = self.refusals.clone().try_acquire_owned() {
            self.tasks.spawn(async move {
                refusal::connections_exhausted(stream).await;
                drop(slot);
                End::Refused
            });
        }
    }

    fn ended(&mut self, ended: Result<End, JoinError>) {
        let report = &mut self.report;
        match ended {
            Ok(End::Done | End::Idle | End::Refused) => {}
            Ok(End::Drained) => report.drained += 1,
            Ok(End::HeadTimeout) => report.head_timeouts += 1,
            Ok(End::Stall) => report.stalls += 1,
            Ok(End::ClientGone) => report.clients_gone += 1,
            Err(error) if error.is_panic() => {
                tracing::error!(%error, "a request handler failed, its connection is closed");
            }
            Err(_) => report.cut += 1,
        }
    }

    async fn drain(mut self, drain_max: Duration) -> EdgeReport {
        let all_end = async {
            while let Some(ended) = self.tasks.join_next().await {
                self.ended(ended);
            }
        };
        if timeout(drain_max, all_end).await.is_err() {
            self.tasks.abort_all();
            while let Some(ended) = self.tasks.join_next().await {
                self.ended(ended);
            }
        }
        self.report
    }
}

/// Has the event loop of this task watch a socket that another one watched.
fn moved_here(stream: TcpStream) -> io::Result<TcpStream> {
    TcpStream::from_std(stream.into_std()?)
}

/// Takes connections, and pauses where the system has no files or memory left for one.
#[derive(Debug, Default)]
struct AcceptPause {
    pause_ms: u64,
    until: Option<Instant>,
}

impl AcceptPause {
    /// The next connection. Nothing is lost where this future is dropped.
    async fn accept(&mut self, listener: &TcpListener) -> TcpStream {
        loop {
            if let Some(until) = self.until {
                sleep_until(until).await;
                self.until = None;
            }
            match listener.accept().await {
                Ok((stream, _)) => {
                    self.pause_ms = 0;
                    return stream;
                }
                Err(error) => self.failed(&error),
            }
        }
    }

    fn failed(&mut self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
        if matches!(
            error.kind(),
            ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
        ) {
            // The client left before it was taken in; the next one is not affected.
            return;
        }
        let (first_ms, longest_ms) = ACCEPT_PAUSE_MS;
        self.pause_ms = (self.pause_ms * 2).clamp(first_ms, longest_ms);
        self.until = Some(Instant::now() + Duration::from_millis(self.pause_ms));
        tracing::warn!(%error, pause_ms = self.pause_ms, "cannot accept connections, pausing");
    }
}
