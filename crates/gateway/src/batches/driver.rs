//! The thread that drives batches: it finds those that are not over, a few at a time, and takes away what is.

use super::batch::Batch;
use super::id::BatchId;
use super::run::{self, Desk};
use super::{Batches, unix_s};
use crate::worker::{Worker, logged};
use madang_types::TenantId;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// Batches that are driven at once; the others wait, those of tenants with the fewest first.
const RUNNING_MAX: usize = 16;
/// How often it is looked for batches that nobody told of: those that other gateways were asked for or left behind.
const LOOK: Duration = Duration::from_secs(5);
/// How often what is over is looked for.
const SWEEP: Duration = Duration::from_secs(600);

/// The name of the thread, and who it is that logs.
const NAME: &str = "batches";

impl Batches {
    /// Starts driving. Told to stop, it begins nothing more, and lines that are under way have `drain_ms_max`.
    ///
    /// # Errors
    /// The thread or its event loop cannot be had.
    pub fn start(&self, drain_ms_max: u64) -> io::Result<Worker> {
        let batches = self.clone();
        let drain_max = Duration::from_millis(drain_ms_max);
        Worker::start(NAME, move |stopping| {
            let driving = Driving {
                desk: Desk {
                    gateway: Arc::clone(&batches.gateway),
                    shelf: batches.shelf.clone(),
                    running: Arc::new(AtomicU32::new(0)),
                    stopping,
                },
                batches,
                driven: BTreeMap::new(),
                over: BTreeSet::new(),
                tasks: JoinSet::new(),
            };
            driving.run(drain_max)
        })
    }
}

struct Driving {
    batches: Batches,
    desk: Desk,
    driven: BTreeMap<BatchId, TenantId>,
    /// Known to be over: they are not read again.
    over: BTreeSet<BatchId>,
    tasks: JoinSet<BatchId>,
}

impl Driving {
    async fn run(mut self, drain_max: Duration) {
        let mut sweep_at = Instant::now();
        let mut stopping = self.desk.stopping.clone();
        let wake = Arc::clone(&self.batches.wake);
        while !*stopping.borrow() {
            if Instant::now() >= sweep_at {
                sweep_at = Instant::now() + SWEEP;
                logged((NAME, "sweep"), self.sweep());
            }
            logged((NAME, "look for batches"), self.begin());
            tokio::select! {
                () = wake.notified() => {}
                Some(ended) = self.tasks.join_next() => self.ended(ended),
                () = sleep_until(Instant::now() + LOOK) => {}
                changed = stopping.changed() => if changed.is_err() { break },
            }
        }
        let all_end = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(drain_max, all_end).await.is_err() {
            tracing::warn!("lines of batches were cut: they are asked again at the next start");
        }
    }

    fn ended(&mut self, ended: Result<BatchId, tokio::task::JoinError>) {
        match ended {
            Ok(id) => {
                self.driven.remove(&id);
            }
            // It is not known which: all that do not run are found again.
            Err(error) => {
                tracing::error!(%error, "a batch had panicked");
                self.tasks.abort_all();
                self.driven.clear();
            }
        }
        self.count();
    }

    fn count(&self) {
        let running = u32::try_from(self.driven.len()).unwrap_or(u32::MAX);
        self.desk.running.store(running, Ordering::Relaxed);
    }

    /// Begins batches that nobody drives.
    fn begin(&mut self) -> io::Result<()> {
        for batch in self.open()? {
            if self.driven.len() >= RUNNING_MAX {
                return Ok(());
            }
            let (order, state) = (batch.order, batch.state);
            let (id, tenant) = (order.id, order.tenant.clone());
            let folder = self.batches.orders.at(&tenant, id);
            let Some(lock) = folder.take()? else {
                continue;
            };
            // Whoever had it may have ended it since it was read.
            let state = folder.read()?.map_or(state, |batch| batch.state);
            if state.status.is_over() {
                continue;
            }
            self.driven.insert(id, tenant);
            self.count();
            let desk = self.desk.clone();
            self.tasks.spawn(async move {
                let driven = run::run(desk, folder, (order, state)).await;
                logged((NAME, "drive a batch"), driven);
                drop(lock);
                id
            });
        }
        Ok(())
    }

    /// Batches that are not over and not driven here: of tenants with the fewest first, and of each the oldest.
    fn open(&mut self) -> io::Result<Vec<Batch>> {
        let orders = self.batches.orders.clone();
        let mut open: Vec<(usize, Batch)> = Vec::new();
        for tenant in orders.tenants()? {
            let mut place = self
                .driven
                .values()
                .filter(|other| **other == tenant)
                .count();
            for id in orders.ids(&tenant)?.into_iter().rev() {
                if self.driven.contains_key(&id) || self.over.contains(&id) {
                    continue;
                }
                let Some(batch) = orders.get(&tenant, id)? else {
                    continue;
                };
                if batch.state.status.is_over() {
                    self.over.insert(id);
                    continue;
                }
                open.push((place, batch));
                place += 1;
            }
        }
        open.sort_by_key(|(place, batch)| (*place, batch.order.id));
        Ok(open.into_iter().map(|(_, batch)| batch).collect())
    }

    fn sweep(&mut self) -> io::Result<()> {
        self.over.clear();
        let keep_s = self.batches.gateway.snapshot().fleet.limits.files_keep_s;
        let before_s = unix_s() - i64::try_from(keep_s).unwrap_or(i64::MAX);
        for tenant in self.batches.orders.tenants()? {
            self.batches.shelf.sweep(&tenant, unix_s())?;
            self.batches.orders.sweep(&tenant, before_s)?;
        }
        Ok(())
    }
}
