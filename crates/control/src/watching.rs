//! One task per replica: probes it, tells the core how it is, restarts a launched engine that hangs.

use crate::launching::gateway_address;
use crate::probe::{self, Change, EngineLoad, Health, Process, Served};
use crate::probe_client::ProbeClient;
use madang_core::ReplicaHealth;
use madang_executor::{State, SupervisorHandle};
use madang_fleet::{Engine, Probe};
use madang_gateway::clock;
use madang_gateway::gateway::Gateway;
use madang_types::{Micros, ReplicaId};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Failed starts in a row of an engine that requests still wait for; after more of them it counts as down.
const STARTS_WAITED_FOR: u32 = 1;

/// What the last probes found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Watched {
    /// Whether it serves.
    pub up: bool,
    /// Why not, or what is odd.
    pub reason: Option<String>,
    /// The engine's own figures.
    pub load: Option<EngineLoad>,
}

/// What the watching task needs.
pub(crate) struct Watch {
    pub gateway: Arc<Gateway>,
    pub replica: ReplicaId,
    pub upstream_model: String,
    /// Its dialect.
    pub engine: Engine,
    /// Path that answers 200 once the engine can serve.
    pub health_path: String,
    pub probe: Probe,
    pub supervised: Option<Arc<SupervisorHandle>>,
    pub watched: Arc<Mutex<Watched>>,
}

/// What a watch remembers from probe to probe.
struct Memory {
    health: Health,
    /// What the engine answered when it was asked which names it serves; asked once after each start.
    name_warning: Option<Option<String>>,
    /// Whether enough probes were made to call it up or down.
    decided: bool,
    process: Process,
    /// What the core was told last of its load.
    load: madang_core::EngineLoad,
    /// Whether it was said that this engine tells nothing of its load.
    silence_said: bool,
}

impl Memory {
    fn new(probe: &Probe) -> Self {
        Self {
            health: Health::new(probe.failures_max),
            name_warning: None,
            decided: false,
            process: Process::default(),
            load: madang_core::EngineLoad::default(),
            silence_said: false,
        }
    }
}

impl Watch {
    /// Runs until it is aborted.
    pub async fn run(self) {
        let mut memory = Memory::new(&self.probe);
        let mut ticks = interval(Duration::from_millis(self.probe.interval_ms));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut status = self.supervised.as_ref().map(|handle| handle.watch());
        loop {
            let changed = async {
                match &mut status {
                    Some(status) => status.changed().await.is_ok(),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = ticks.tick() => {}
                alive = changed => if !alive { return },
            }
            if self.engine_is_away() {
                memory = Memory::new(&self.probe);
            } else {
                self.probe_once(&mut memory).await;
            }
        }
    }

    /// A launched engine that is not ready: no need to probe what the supervisor knows.
    fn engine_is_away(&self) -> bool {
        let Some(handle) = &self.supervised else {
            return false;
        };
        let status = handle.status();
        if status.state == State::Ready {
            let address = status
                .address
                .as_ref()
                .and_then(|address| gateway_address(address).ok());
            self.gateway.launched_address_set(&self.replica, address);
            return false;
        }
        self.note(Watched {
            up: false,
            reason: status.reason,
            load: None,
        });
        let ending = matches!(status.state, State::Stopping | State::Stopped);
        let health = if ending || status.failures_count > STARTS_WAITED_FOR {
            ReplicaHealth::Down
        } else {
            ReplicaHealth::Starting
        };
        self.gateway.replica_report(&self.replica, health);
        self.gateway.launched_address_set(&self.replica, None);
        true
    }

    async fn probe_once(&self, memory: &mut Memory) {
        let Some(served) = self.ask(memory.name_warning.is_none()).await else {
            return;
        };
        if served.models.is_some() {
            let warning = served.name_warning(&self.upstream_model);
            if let Some(warning) = &warning {
                tracing::warn!(replica = %self.replica, warning, "replica serves other names");
            }
            memory.name_warning = Some(warning);
        }
        let change = memory.health.on_probe(served.is_ok());
        memory.decided |= change.is_some();
        let reason = match &served.answer {
            probe::Answer::Ok => memory.name_warning.clone().flatten(),
            probe::Answer::Loading => Some("it loads its weights".to_owned()),
            probe::Answer::Failed(reason) => Some(reason.clone()),
        };
        match change {
            Some(Change::Up) => tracing::info!(replica = %self.replica, "replica is up"),
            Some(Change::Down) => {
                tracing::warn!(replica = %self.replica, reason, "replica is down");
                if let Some(handle) = &self.supervised {
                    handle.restart("it does not answer its probes");
                }
            }
            None => {}
        }
        if served.is_ok() {
            self.tell_load(memory, served.load.as_ref());
        }
        let up = memory.health.is_up();
        self.note(Watched {
            up,
            reason,
            load: served.load,
        });
        // Told each time: a replica that left and came back has a new member in the core.
        let health = match (up, memory.decided) {
            (true, _) => ReplicaHealth::Up,
            // Not enough probes yet to call it down.
            (false, false) => ReplicaHealth::Starting,
            (false, true) => ReplicaHealth::Down,
        };
        self.gateway.replica_report(&self.replica, health);
    }

    /// Tells the core of the engine's load and process, where anything changed. Before its health is told: what comes
    /// back as another process must not be given work for a cache that it no longer has.
    fn tell_load(&self, memory: &mut Memory, load: Option<&EngineLoad>) {
        if load.is_none() && self.engine != Engine::OpenAi && !memory.silence_said {
            memory.silence_said = true;
            tracing::info!(replica = %self.replica, "replica serves, but its /metrics tells nothing of its load");
        }
        let load = load.copied().unwrap_or_default();
        let supervised = self.supervised.as_ref().map(|handle| handle.status().since);
        let started_s = memory.process.started_s(
            &load,
            supervised.map(whole_seconds),
            whole_seconds(clock::now()),
        );
        let load = probe::for_core(&load, started_s);
        if load != memory.load {
            memory.load = load;
            self.gateway.replica_load(&self.replica, load);
        }
    }

    async fn ask(&self, ask_models: bool) -> Option<Served> {
        let address = self.gateway.address(&self.replica)?;
        let snapshot = self.gateway.snapshot();
        let target = snapshot.targets.get(&self.replica);
        let http = ProbeClient {
            client: &self.gateway.client,
            address: &address,
            credential: target.and_then(|target| target.credential.clone()),
        };
        let what = probe::Probe {
            health_path: self.health_path.clone(),
            timeout_ms: self.probe.timeout_ms,
            ask_models,
            ask_metrics: true,
        };
        Some(probe::probe(&http, &what).await)
    }

    fn note(&self, now: Watched) {
        *self.watched.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

fn whole_seconds(at: Micros) -> u64 {
    u64::try_from(at.0 / 1_000_000).unwrap_or(0)
}
