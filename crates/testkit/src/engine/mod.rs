//! An engine in this process: it takes OpenAI requests on the loopback, answers as told, and writes down what it did.

mod answer;
mod ask;
pub(crate) mod behaviour;
mod connection;
mod generate;
mod messages;
mod metrics;
pub(crate) mod options;
pub(crate) mod record;
mod responses;
mod script;
mod serve;
#[cfg(test)]
mod tests;

use anyhow::Context;
use behaviour::Behaviour;
use bytes::Bytes;
use connection::{Connection, Socket};
use options::{FakeEngineOptions, Listen};
use record::{Kept, Recorded, Served};
use std::fs::File;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

/// A running fake engine. It stops, and its connections break off, when the handle is dropped.
#[derive(Debug)]
pub struct FakeEngine {
    shared: Arc<Shared>,
    url: String,
    accepting: JoinHandle<()>,
}

/// What the connections share.
#[derive(Debug)]
struct Shared {
    options: FakeEngineOptions,
    behaviour: Mutex<Behaviour>,
    requests: Mutex<Kept<Recorded>>,
    served: Mutex<Kept<Served>>,
    served_log: Option<Mutex<File>>,
    slots: Semaphore,
    running: AtomicU64,
    waiting: AtomicU64,
    prompt_tokens: AtomicU64,
    output_tokens: AtomicU64,
    /// Answers begun; numbers their ids.
    answers: AtomicU64,
    /// Generations asked for; numbers their records.
    generations: AtomicU64,
    /// Connections accepted.
    connections: AtomicU64,
    /// When its process says that it began; 0 where it does not say.
    started_s: AtomicU64,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    async fn accept(&self) -> std::io::Result<Box<dyn Socket>> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Self::Unix(listener) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

impl FakeEngine {
    /// Starts one.
    ///
    /// # Panics
    /// Where it cannot listen or open its log: a test cannot go on then. [`FakeEngine::try_start`] says why instead.
    pub async fn start(options: FakeEngineOptions) -> Self {
        Self::try_start(options)
            .await
            .expect("a fake engine can listen on the loopback")
    }

    /// Starts one, or says why it cannot: the address is taken, the log cannot be opened.
    pub async fn try_start(options: FakeEngineOptions) -> anyhow::Result<Self> {
        let (listener, url) = listen(&options.listen).await?;
        let served_log = match &options.served_log {
            Some(path) => {
                let file = File::options().create(true).append(true).open(path);
                Some(Mutex::new(
                    file.with_context(|| format!("open {}", path.display()))?,
                ))
            }
            None => None,
        };
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(Behaviour::Normal),
            requests: Mutex::new(Kept::new(options.kept_max)),
            served: Mutex::new(Kept::new(options.kept_max)),
            served_log,
            slots: Semaphore::new(options.slots),
            running: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            prompt_tokens: AtomicU64::new(0),
            output_tokens: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            generations: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            started_s: AtomicU64::new(0),
            options,
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            shared,
            url,
            accepting,
        })
    }

    /// Base URL without `/v1`: `http://127.0.0.1:PORT` or `unix:/path`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `127.0.0.1:PORT`; the path for a unix socket.
    pub fn address(&self) -> &str {
        self.url
            .trim_start_matches("http://")
            .trim_start_matches("unix:")
    }

    /// What each request that names no behaviour of its own meets from now on.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        *lock(&self.shared.behaviour) = behaviour;
    }

    /// From now on `/metrics` says that its process began then, in seconds since 1970: as if it had been started anew.
    pub fn set_started_s(&self, started_s: u64) {
        self.shared.started_s.store(started_s, Ordering::SeqCst);
    }

    /// Every request read, oldest first, probes included.
    pub fn requests(&self) -> Vec<Recorded> {
        lock(&self.shared.requests).to_vec()
    }

    /// The requests whose path (without query) is this, oldest first.
    pub fn requests_to(&self, path: &str) -> Vec<Recorded> {
        let mut all = self.requests();
        all.retain(|request| request.path.split('?').next() == Some(path));
        all
    }

    /// Every generation that has ended, in the order in which they ended. A whole answer is listed before its last
    /// piece leaves, so a client that has it finds it here; one that broke off is listed once [`in_flight`](Self::in_flight)
    /// counts it no more.
    pub fn served(&self) -> Vec<Served> {
        lock(&self.shared.served).to_vec()
    }

    /// The generation with this request id, once it has ended.
    pub fn served_id(&self, request_id: &str) -> Option<Served> {
        self.served()
            .into_iter()
            .rev()
            .find(|s| s.request_id.as_deref() == Some(request_id))
    }

    /// The body of the answer that ended last, as sent, without transfer coding; empty where none has.
    pub fn last_answer_bytes(&self) -> Bytes {
        lock(&self.shared.served)
            .last()
            .map(|s| s.answer.clone())
            .unwrap_or_default()
    }

    /// Generations that have begun or wait for a slot and have not ended.
    pub fn in_flight(&self) -> u64 {
        self.shared.running.load(Ordering::SeqCst) + self.shared.waiting.load(Ordering::SeqCst)
    }

    /// Connections accepted since the start: tells whether a client pools them.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Stops now, as if killed: the address is free and all connections are broken when it returns.
    pub async fn stop(mut self) {
        self.accepting.abort();
        // it was aborted: the error says so
        (&mut self.accepting).await.ok();
    }
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        self.accepting.abort();
        if let Listen::Unix(path) = &self.shared.options.listen {
            // another engine may have replaced or removed it
            std::fs::remove_file(path).ok();
        }
    }
}

async fn listen(place: &Listen) -> anyhow::Result<(Listener, String)> {
    let port = match place {
        Listen::AnyPort => 0,
        Listen::Port(port) => *port,
        Listen::Unix(path) => {
            if path.exists() {
                std::fs::remove_file(path)
                    .with_context(|| format!("replace {}", path.display()))?;
            }
            let listener = UnixListener::bind(path)
                .with_context(|| format!("listen on {}", path.display()))?;
            return Ok((Listener::Unix(listener), format!("unix:{}", path.display())));
        }
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .with_context(|| format!("listen on 127.0.0.1:{port}"))?;
    let url = format!("http://{}", listener.local_addr()?);
    Ok((Listener::Tcp(listener), url))
}

/// Owns all connections: when it is aborted they are too.
async fn accept(listener: Listener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(socket) => {
                    shared.connections.fetch_add(1, Ordering::SeqCst);
                    connections.spawn(serve::serve(Connection::new(socket), Arc::clone(&shared)));
                }
                // out of file descriptors, or the client left at once: let the others go on
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A panic in another test thread must not hide this test's own failure.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Polls until the condition holds; false where it does not within ten seconds.
pub async fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    for _ in 0..2000 {
        if holds() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    holds()
}

/// The same of what has to be waited for itself.
pub async fn eventually_async(mut holds: impl AsyncFnMut() -> bool) -> bool {
    for _ in 0..2000 {
        if holds().await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    holds().await
}
