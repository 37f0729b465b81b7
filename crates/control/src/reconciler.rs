//! Makes what runs equal to what the fleet says: one task owns the running replicas and takes orders.
//!
//! A reload never drops a request: what left, or must start anew, is held back from new work, drains, and is
//! stopped when the core says that it is idle.

use crate::launching::{Launcher, Plan};
use crate::source::{ApplyError, FleetSource};
use crate::view::{ReplicaView, view};
use crate::watching::{Watch, Watched};
use crate::{Applied, people, policy_load};
use madang_core::PoolStatus;
use madang_executor::SupervisorHandle;
use madang_fleet::{Fleet, Loaded, ReplicaAt};
use madang_gateway::gateway::Gateway;
use madang_gateway::snapshot::Snapshot;
use madang_provision::{Cache, Prepared, Progress, prepare};
use madang_types::ReplicaId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

/// What the reconciler is told.
pub(crate) enum Order {
    Reload(oneshot::Sender<Result<Applied, ApplyError>>),
    Stop(oneshot::Sender<()>),
}

/// A replica that runs or is watched.
pub(crate) struct Running {
    pub plan: Plan,
    pub supervised: Option<Arc<SupervisorHandle>>,
    task: JoinHandle<()>,
}

/// Replicas as others may read them.
pub(crate) type Board = Arc<Mutex<BTreeMap<ReplicaId, BoardEntry>>>;

/// One line of the board.
#[derive(Clone)]
pub(crate) struct BoardEntry {
    pub plan: Plan,
    pub supervised: Option<Arc<SupervisorHandle>>,
    pub watched: Arc<Mutex<Watched>>,
}

/// The task's state.
pub(crate) struct Reconciler {
    pub gateway: Arc<Gateway>,
    pub source: FleetSource,
    pub cache: Cache,
    pub progress: Arc<dyn Progress>,
    pub launcher: Launcher,
    pub board: Board,
    pub drained: mpsc::UnboundedReceiver<ReplicaId>,
    pub wanted: Arc<Fleet>,
    pub prepared: Prepared,
    pub running: BTreeMap<ReplicaId, Running>,
    /// Running replicas that the fleet no longer has in this form.
    pub leaving: BTreeSet<ReplicaId>,
    /// Replicas whose engines are being stopped: a new form of one starts when the old one is gone.
    pub ending: BTreeSet<ReplicaId>,
    pub stopping: JoinSet<ReplicaId>,
    /// True once Madang stops: a reload that fetches weights is given up then.
    pub stop_asked: watch::Receiver<bool>,
}

impl Reconciler {
    /// Takes orders until it is told to stop.
    pub async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Reload(answer)) => {
                        let mut stop_asked = self.stop_asked.clone();
                        let result = tokio::select! {
                            result = self.reload() => result,
                            _ = stop_asked.wait_for(|asked| *asked) => Err(ApplyError::Stopping),
                        };
                        if answer.send(result).is_err() {
                            tracing::debug!("whoever asked for the reload has gone");
                        }
                    }
                    Some(Order::Stop(answer)) => {
                        self.stop_all().await;
                        if answer.send(()).is_err() {
                            tracing::debug!("whoever asked for the stop has gone");
                        }
                        return;
                    }
                    None => return self.stop_all().await,
                },
                Some(replica) = self.drained.recv() => self.on_drained(&replica),
                Some(stopped) = self.stopping.join_next() => match stopped {
                    Ok(replica) => self.on_stopped(&replica),
                    Err(error) => tracing::error!(%error, "a stopping task failed"),
                },
            }
        }
    }

    async fn reload(&mut self) -> Result<Applied, ApplyError> {
        let source = self.source.clone();
        let read = tokio::task::spawn_blocking(move || source.read()).await;
        let Loaded {
            fleet,
            warnings,
            policy: _,
            sha256,
        } = read.map_err(|_| ApplyError::Stopping)??;
        let (started, leaving) = self.apply(Arc::new(fleet), &sha256).await?;
        let generation = self.gateway.snapshot().generation;
        tracing::info!(generation, started, leaving, "fleet applied");
        Ok(Applied {
            generation,
            started,
            leaving,
            warnings,
        })
    }

    /// Makes `fleet` the wanted one, of a file of this SHA-256. Returns how many replicas start and how many leave.
    async fn apply(
        &mut self,
        fleet: Arc<Fleet>,
        sha256: &str,
    ) -> Result<(usize, usize), ApplyError> {
        // Whatever can fail comes before anything changes.
        let prepared = prepare(&self.cache, &fleet, &*self.progress).await?;
        let plans = plans(&fleet);
        let leaving: BTreeSet<ReplicaId> = self
            .running
            .iter()
            .filter(|(id, running)| {
                plans
                    .get(*id)
                    .is_none_or(|plan| must_restart(&running.plan, plan))
            })
            .map(|(id, _)| id.clone())
            .collect();
        let held_back = leaving
            .iter()
            .filter(|id| plans.contains_key(*id))
            .cloned()
            .collect();
        let snapshot = Snapshot::build(Arc::clone(&fleet))?;
        people::sync((&fleet, sha256), &self.gateway).await?;
        policy_load::tell(&self.gateway, &snapshot).await?;
        self.gateway.publish(snapshot, &held_back);

        self.wanted = fleet;
        self.prepared = prepared;
        self.leaving = leaving;
        let mut started = 0;
        for (id, plan) in plans {
            match self.running.get(&id) {
                None => {
                    if !self.ending.contains(&id) {
                        self.start(plan);
                    }
                    started += 1;
                }
                // Reached at another place or watched in another way: no engine of ours to restart.
                Some(running) if running.plan != plan && !self.leaving.contains(&id) => {
                    self.forget(&id);
                    self.start(plan);
                }
                Some(_) => {}
            }
        }
        Ok((started, self.leaving.len()))
    }

    fn start(&mut self, plan: Plan) {
        let id = plan.id.clone();
        let supervised = match &plan.replica.at {
            ReplicaAt::Url(_) => None,
            ReplicaAt::Launch(launch) => {
                let log_bytes_max = self.wanted.limits.replica_log_bytes_max;
                Some(Arc::new(self.launcher.start(
                    &plan,
                    launch,
                    &self.prepared,
                    log_bytes_max,
                )))
            }
        };
        let watched = Arc::new(Mutex::new(Watched::default()));
        let watch = Watch {
            gateway: Arc::clone(&self.gateway),
            replica: id.clone(),
            health_path: match &plan.replica.at {
                ReplicaAt::Launch(launch) => launch.ready.clone(),
                ReplicaAt::Url(_) => "/health".to_owned(),
            },
            upstream_model: plan.replica.upstream_model.clone(),
            engine: plan.replica.engine,
            probe: self.wanted.probe.clone(),
            supervised: supervised.clone(),
            watched: Arc::clone(&watched),
        };
        let task = tokio::spawn(watch.run());
        let entry = BoardEntry {
            plan: plan.clone(),
            supervised: supervised.clone(),
            watched,
        };
        self.board
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id.clone(), entry);
        self.running.insert(
            id,
            Running {
                plan,
                supervised,
                task,
            },
        );
    }

    /// The core says that nothing runs there any more.
    fn on_drained(&mut self, id: &ReplicaId) {
        if !self.leaving.contains(id) {
            return;
        }
        let Some(running) = self.forget(id) else {
            return;
        };
        tracing::info!(replica = %id, "replica has drained");
        self.ending.insert(id.clone());
        self.stop_engine(id.clone(), running);
    }

    /// Ends a forgotten replica's engine; `stopping` tells when it is gone.
    fn stop_engine(&mut self, id: ReplicaId, running: Running) {
        self.stopping.spawn(async move {
            if let Some(handle) = running.supervised {
                handle.stop().await;
            }
            id
        });
    }

    /// A drained engine is gone; if the fleet wants it in a new form, it starts now.
    fn on_stopped(&mut self, id: &ReplicaId) {
        self.leaving.remove(id);
        self.ending.remove(id);
        let Some(plan) = plans(&self.wanted).remove(id) else {
            return;
        };
        self.start(plan);
        self.gateway.hold_back(&self.leaving);
    }

    fn forget(&mut self, id: &ReplicaId) -> Option<Running> {
        let running = self.running.remove(id)?;
        running.task.abort();
        self.gateway.launched_address_set(id, None);
        self.board
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id);
        Some(running)
    }

    async fn stop_all(&mut self) {
        let ids: Vec<ReplicaId> = self.running.keys().cloned().collect();
        for id in ids {
            if let Some(running) = self.forget(&id) {
                self.stop_engine(id, running);
            }
        }
        while self.stopping.join_next().await.is_some() {}
    }
}

/// What the fleet wants to run, by replica.
fn plans(fleet: &Fleet) -> BTreeMap<ReplicaId, Plan> {
    let plan = |(id, replica): (&ReplicaId, &madang_fleet::Replica)| {
        let model = fleet.models.get(&replica.model)?.clone();
        let plan = Plan {
            id: id.clone(),
            replica: replica.clone(),
            model_id: replica.model.clone(),
            model,
        };
        Some((id.clone(), plan))
    };
    fleet.replicas.iter().filter_map(plan).collect()
}

/// Whether going from one form to the other needs another process.
fn must_restart(from: &Plan, to: &Plan) -> bool {
    let launched = |plan: &Plan| matches!(plan.replica.at, ReplicaAt::Launch(_));
    from != to && (launched(from) || launched(to))
}

/// The board as views, in the order of ids.
pub(crate) fn board_views(board: &Board, pools: &[PoolStatus]) -> Vec<ReplicaView> {
    let entries = board.lock().unwrap_or_else(PoisonError::into_inner).clone();
    entries.values().map(|entry| view(entry, pools)).collect()
}
