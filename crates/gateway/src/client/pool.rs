//! Idle connections, kept for the next request to the same engine.

use super::address::EngineAddress;
use super::connection::EngineConnection;
use super::trust::Trust;
use http::uri::Authority;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

/// Which connections are alike: those to one engine that were opened by one thread. What happens to a connection is
/// told to the event loop that opened it, so that used by another thread each piece would cross over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PoolKey {
    thread: ThreadId,
    engine: EngineKey,
}

/// What tells engines apart: the way of connecting and the place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum EngineKey {
    Plain(Authority),
    Tls(Authority, Trust),
    Unix(Authority),
}

impl PoolKey {
    /// Connections of this thread to the engine there.
    pub(super) fn of(address: &EngineAddress) -> Self {
        Self {
            thread: std::thread::current().id(),
            engine: EngineKey::of(address),
        }
    }
}

impl EngineKey {
    fn of(address: &EngineAddress) -> Self {
        match address {
            EngineAddress::Tcp {
                tls: None,
                authority,
                ..
            } => Self::Plain(authority.clone()),
            EngineAddress::Tcp {
                tls: Some(trust),
                authority,
                ..
            } => Self::Tls(authority.clone(), trust.clone()),
            EngineAddress::Unix { authority, .. } => Self::Unix(authority.clone()),
        }
    }
}

struct Idle {
    connection: Box<EngineConnection>,
    since: Instant,
}

/// Idle connections of all engines, the longest idle first.
pub(super) struct Pool {
    idle: Mutex<HashMap<PoolKey, VecDeque<Idle>>>,
    per_host_max: usize,
    idle_max: Duration,
}

impl Pool {
    pub(super) fn new(per_host_max: usize, idle_max: Duration) -> Self {
        Self {
            idle: Mutex::default(),
            per_host_max,
            idle_max,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PoolKey, VecDeque<Idle>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that was used last, if it is still good.
    pub(super) fn take(&self, key: &PoolKey) -> Option<Box<EngineConnection>> {
        loop {
            let newest = self.lock().get_mut(key)?.pop_back()?;
            let mut connection = newest.connection;
            if newest.since.elapsed() < self.idle_max && connection.is_idle() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection if it can take a further request, else closes it.
    pub(super) fn put(&self, key: PoolKey, mut connection: Box<EngineConnection>) {
        if !connection.is_idle() {
            return;
        }
        let since = Instant::now();
        let mut idle = self.lock();
        let of_host = idle.entry(key).or_default();
        if of_host.len() < self.per_host_max {
            of_host.push_back(Idle { connection, since });
        }
    }

    /// Closes what was idle for too long.
    pub(super) fn reap(&self) {
        self.lock().retain(|_, of_host| {
            while of_host
                .front()
                .is_some_and(|oldest| oldest.since.elapsed() >= self.idle_max)
            {
                of_host.pop_front();
            }
            !of_host.is_empty()
        });
    }
}
