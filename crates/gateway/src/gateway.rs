//! The data plane's parts in one place, and what the control plane may do with them.

use crate::audit::Audit;
use crate::books::Books;
use crate::client::{ClientBuildError, ClientOptions, EngineAddress, EngineClient};
use crate::drafts::{self, Drafts};
use crate::driver::Driver;
use crate::energy::EnergyClaims;
use crate::follow::Seen;
use crate::key_rates::KeyRates;
use crate::key_slots::KeySlots;
use crate::keyring::Keyring;
use crate::metrics::{FleetSample, Metrics};
use crate::purses::Purses;
use crate::recorder::Recorder;
use crate::snapshot::Snapshot;
use crate::walk::Apart;
use arc_swap::ArcSwap;
use madang_core::{EngineLoad, Input, PoolStatus, ReplicaHealth, ShareStatus, Shares};
use madang_store::{Bank, Store, StoreError};
use madang_types::{GatewayId, ReplicaId};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// What a gateway is made of.
pub struct GatewayOptions {
    /// Its name among the gateways that share the books.
    pub id: GatewayId,
    /// The books.
    pub store: Arc<dyn Store>,
    /// The same books, as the bank of those that share them.
    pub bank: Arc<dyn Bank>,
    /// The audit log.
    pub audit: Audit,
    /// The upstream client's bounds.
    pub client: ClientOptions,
    /// Where the core's inputs and effects are recorded, if anywhere.
    pub record: Option<PathBuf>,
}

/// Why a gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The books cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The upstream client cannot be built.
    #[error(transparent)]
    Client(#[from] ClientBuildError),
    /// The recording cannot be made.
    #[error("the recording {path} cannot be made: {reason}")]
    Record {
        /// Where.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Gives the fleet's gauges at the time of a scrape.
pub type Sampler = Box<dyn Fn() -> FleetSample + Send + Sync>;

/// The data plane.
pub struct Gateway {
    /// The books, and whether they can be written.
    pub books: Arc<Books>,
    /// What requests may spend, and what they cost.
    pub purses: Arc<Purses>,
    /// Requests under way, as they would be booked now.
    pub(crate) drafts: Arc<Drafts>,
    /// What requests under way claim of engines' energy.
    pub energy: Arc<EnergyClaims>,
    /// What goes on beside the requests; it ends with this.
    tasks: Mutex<JoinSet<()>>,
    /// Keys, tenants, programmes.
    pub keyring: Keyring,
    /// Requests under way, by key.
    pub(crate) key_slots: Arc<KeySlots>,
    /// How fast each key goes.
    pub(crate) rates: Arc<KeyRates>,
    /// Where large bodies are looked at.
    pub(crate) apart: Apart,
    /// Counters and histograms.
    pub metrics: Arc<Metrics>,
    /// The pooled client to engines and upstreams.
    pub client: EngineClient,
    /// The audit log.
    pub audit: Audit,
    pub(crate) driver: Driver,
    /// The weights that the core was told last.
    pub(crate) shares: Mutex<Shares>,
    /// What was seen of the books that other gateways may write too. Held over a look, so that looks do not mix.
    pub(crate) seen: tokio::sync::Mutex<Seen>,
    snapshot: ArcSwap<Snapshot>,
    /// Addresses of launched engines; those of `url` replicas stand in the snapshot.
    launched: ArcSwap<BTreeMap<ReplicaId, EngineAddress>>,
    /// Asked at each scrape for what only the control plane knows.
    sampler: OnceLock<Sampler>,
    /// Serialises loads: the generation counts them.
    loading: Mutex<()>,
    /// True once running streams must end.
    cut: watch::Sender<bool>,
}

impl Gateway {
    /// A gateway with no fleet. The receiver hears which removed replicas are idle.
    ///
    /// # Errors
    /// The books, the client or the recording cannot be had.
    pub async fn new(
        options: GatewayOptions,
    ) -> Result<(Arc<Self>, mpsc::UnboundedReceiver<ReplicaId>), GatewayError> {
        let GatewayOptions {
            id,
            store,
            bank,
            audit,
            client,
            record,
        } = options;
        let recorder = record.map(|path| {
            Recorder::create(&path).map_err(|e| GatewayError::Record {
                path,
                reason: e.to_string(),
            })
        });
        let (driver, drained) = Driver::new(recorder.transpose()?);
        let metrics = Arc::new(Metrics::new());
        let keyring = Keyring::load(&*store).await?;
        let purses = Purses::open(bank, id).await?;
        purses.refresh().await?;
        let books = Arc::new(Books::new(store, Arc::clone(&metrics)));
        let rates = KeyRates::new(Arc::clone(&purses));
        let drafts = Arc::<Drafts>::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&purses).attend());
        tasks.spawn(Arc::clone(&rates).attend());
        tasks.spawn(drafts::attend(Arc::clone(&drafts), Arc::clone(&books)));
        let gateway = Self {
            keyring,
            key_slots: Arc::default(),
            rates,
            books,
            purses,
            drafts,
            energy: Arc::default(),
            tasks: Mutex::new(tasks),
            apart: Apart::default(),
            metrics,
            client: EngineClient::new(client)?,
            audit,
            driver,
            shares: Mutex::default(),
            seen: tokio::sync::Mutex::default(),
            snapshot: ArcSwap::default(),
            launched: ArcSwap::default(),
            sampler: OnceLock::new(),
            loading: Mutex::new(()),
            cut: watch::Sender::new(false),
        };
        gateway.limits_apply();
        gateway.shares_apply();
        gateway.stops_load().await?;
        Ok((Arc::new(gateway), drained))
    }

    /// The fleet as requests see it now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Publishes a fleet; returns how many were published, this one included. Replicas in `held_back` take nothing new
    /// until [`Gateway::hold_back`] leaves them out of the set.
    pub fn publish(&self, mut snapshot: Snapshot, held_back: &BTreeSet<ReplicaId>) -> u64 {
        let loading = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = self.snapshot.load().generation + 1;
        snapshot.generation = generation;
        let view = snapshot.view(held_back);
        let sync_ms_max = snapshot.fleet.limits.books_sync_ms_max;
        self.books.store().usage_sync_ms_max_set(sync_ms_max);
        // Targets first: the core may start a request at a new member at once.
        self.snapshot.store(Arc::new(snapshot));
        self.driver.apply(Input::FleetApply(view));
        drop(loading);
        generation
    }

    /// Changes which replicas of the published fleet are held back.
    pub fn hold_back(&self, held_back: &BTreeSet<ReplicaId>) {
        let loading = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let view = self.snapshot.load().view(held_back);
        self.driver.apply(Input::FleetApply(view));
        drop(loading);
    }

    /// Where a launched engine listens; `None` once it is stopped.
    pub fn launched_address_set(&self, replica: &ReplicaId, address: Option<EngineAddress>) {
        self.launched.rcu(|addresses| {
            let mut addresses = BTreeMap::clone(addresses);
            match &address {
                Some(address) => addresses.insert(replica.clone(), address.clone()),
                None => addresses.remove(replica),
            };
            addresses
        });
    }

    /// Where a replica is, if it is anywhere.
    pub fn address(&self, replica: &ReplicaId) -> Option<EngineAddress> {
        let snapshot = self.snapshot.load();
        let fixed = snapshot
            .targets
            .get(replica)
            .and_then(|target| target.address.clone());
        fixed.or_else(|| self.launched.load().get(replica).cloned())
    }

    /// A probe or a supervisor learnt how a replica is.
    pub fn replica_report(&self, replica: &ReplicaId, health: ReplicaHealth) {
        self.driver.apply(Input::ReplicaReport {
            replica: replica.clone(),
            health,
        });
    }

    /// An engine said how it is loaded and which process it is.
    pub fn replica_load(&self, replica: &ReplicaId, load: EngineLoad) {
        self.driver.apply(Input::ReplicaLoad {
            replica: replica.clone(),
            load,
        });
    }

    /// Time went by: deadlines in queues are looked at, connections that nobody needs are closed.
    pub fn tick(&self) {
        self.client.reap();
        self.driver.apply(Input::Tick);
    }

    /// Nothing new is admitted from here on.
    pub fn drain(&self) {
        self.driver.apply(Input::Drain);
    }

    /// The time to drain is over: running streams end with an error event.
    pub fn cut(&self) {
        self.cut.send_replace(true);
    }

    pub(crate) fn cut_watch(&self) -> watch::Receiver<bool> {
        self.cut.subscribe()
    }

    /// Pools and members as they stand.
    pub fn status(&self) -> Vec<PoolStatus> {
        self.driver.status()
    }

    /// What every tenant has beside its share.
    pub fn share_status(&self) -> Vec<ShareStatus> {
        self.driver.shares()
    }

    /// Requests that wait or run.
    pub fn requests_count(&self) -> usize {
        self.driver.requests_count()
    }

    /// Who is asked for the fleet's gauges at each scrape. The first caller stays.
    pub fn sampler_set(&self, sampler: Sampler) {
        if self.sampler.set(sampler).is_err() {
            tracing::warn!("a sampler is set already");
        }
    }

    /// The metrics page.
    pub fn metrics_text(&self) -> String {
        if let Some(sampler) = self.sampler.get() {
            self.metrics.fleet_set(sampler());
        }
        self.metrics.encode()
    }

    /// Closes the recording and waits until records of abandoned requests are written.
    pub async fn close(&self) {
        self.driver.recording_close();
        self.books.close().await;
        // After the last request, and before the last word to the bank.
        self.rates.close().await;
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .abort_all();
        self.purses.close().await;
    }
}
