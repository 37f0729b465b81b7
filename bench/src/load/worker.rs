//! One connection of the load.

use super::{Due, Shared};
use crate::client::{Client, Timing, nanos};
use crate::gateways::Gateway;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

/// A request that has no answer by then has failed.
const REQUEST_MAX: Duration = Duration::from_secs(5);
/// Rest after a failure, so that a gateway that refuses at once is not asked as fast as the machine can.
const REST: Duration = Duration::from_millis(5);

/// Times of the requests that count.
#[derive(Default)]
pub struct Times {
    pub total_ns: Vec<u64>,
    pub first_ns: Vec<u64>,
    pub gaps_ns: Vec<u64>,
}

impl Times {
    /// Adds those of another connection.
    pub fn extend(&mut self, other: Self) {
        self.total_ns.extend(other.total_ns);
        self.first_ns.extend(other.first_ns);
        self.gaps_ns.extend(other.gaps_ns);
    }
}

pub struct Worker {
    client: Client,
    request: Arc<[u8]>,
    stream: bool,
    shared: Arc<Shared>,
    times: Times,
    is_warm: bool,
}

impl Worker {
    /// Opens its connection.
    pub async fn new(
        gateway: &Gateway,
        request: Arc<[u8]>,
        stream: bool,
        shared: Arc<Shared>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            client: Client::connect(gateway.address).await?,
            request,
            stream,
            shared,
            times: Times::default(),
            is_warm: false,
        })
    }

    /// The next request as soon as the last is answered; the first after `delay`.
    pub async fn closed(mut self, delay: Duration) -> Times {
        tokio::time::sleep(delay).await;
        while !self.shared.is_full() {
            let counts = self.shared.measuring.load(Ordering::Relaxed);
            self.one(Instant::now(), counts).await;
        }
        self.times
    }

    /// The next request when it is due and this connection is free.
    pub async fn open(mut self, due: Arc<Mutex<mpsc::Receiver<Due>>>) -> Times {
        loop {
            let next = due.lock().await.recv().await;
            let Some(Due { since, counts }) = next else {
                return self.times;
            };
            if self.shared.over.load(Ordering::Relaxed) {
                self.shared.unanswered.fetch_add(1, Ordering::Relaxed);
            } else {
                self.one(since, counts).await;
            }
        }
    }

    /// One request; its time runs from `since`.
    async fn one(&mut self, since: Instant, counts: bool) {
        let gaps_count = self.times.gaps_ns.len();
        let asked = self
            .client
            .ask(&self.request, self.stream, &mut self.times.gaps_ns);
        let answered = timeout(REQUEST_MAX, asked).await;
        let good = matches!(answered, Ok(Ok(_)));
        if !good || !counts {
            self.times.gaps_ns.truncate(gaps_count);
        }
        match answered {
            Ok(Ok(timing)) => self.answered(since, &timing, counts),
            Ok(Err(error)) => self.failed(format!("{error:#}")).await,
            Err(_) => {
                let seconds = REQUEST_MAX.as_secs();
                self.failed(format!("no answer within {seconds} s")).await;
            }
        }
    }

    fn answered(&mut self, since: Instant, timing: &Timing, counts: bool) {
        self.shared.done.fetch_add(1, Ordering::Relaxed);
        if !self.is_warm {
            self.is_warm = true;
            self.shared.warm.fetch_add(1, Ordering::Relaxed);
        }
        if counts {
            self.times.total_ns.push(nanos(since, timing.done));
            self.times.first_ns.push(nanos(since, timing.first));
        }
    }

    async fn failed(&mut self, why: String) {
        self.shared.fail(why);
        tokio::time::sleep(REST).await;
    }
}
