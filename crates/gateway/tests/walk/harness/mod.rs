//! A gateway between a client and fake engines, over a store that can be held and can fail.

mod gate;
mod log;
mod tls;

pub use gate::{Gate, GateStore};
pub use log::captured;
pub use tls::{testdata, tls_acceptor};

use http::{HeaderMap, Method};
use madang_audit::{Folder, Leaf, Reader, verifier_key};
use madang_core::ReplicaHealth;
use madang_gateway::audit::{Audit, Settings};
use madang_gateway::batches::Batches;
use madang_gateway::client::ClientOptions;
use madang_gateway::doors::FrontDoors;
use madang_gateway::edge::{EdgeOptions, EdgeReport, serve};
use madang_gateway::gateway::{Gateway, GatewayOptions};
use madang_gateway::keyring::{KeySecret, hash_secret, key_text};
use madang_gateway::snapshot::Snapshot;
use madang_gateway::worker::Worker;
use madang_gateway::{clock, doors};
use madang_store::conformance::sample;
use madang_store::{SqliteStore, Store, UsageFilter};
use madang_testkit::{
    Behaviour, FakeEngine, FakeEngineOptions, HttpAnswer, HttpStream, SseEvent, http_send,
};
use madang_types::{DataClass, DataFlags, KeyRecord, ReplicaId, Role, Tenant, UsageRecord};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What a world is made of; `engines` chat engines `r1`, `r2` … serve the model `m`.
pub struct Plan {
    pub engines: usize,
    /// Each engine's options.
    pub engine: FakeEngineOptions,
    /// Slots of each replica, as the core counts them.
    pub slots: u32,
    /// Lines for `[limits]`.
    pub limits: String,
    /// Lines for the model `m`.
    pub model: String,
    /// Lines for each replica.
    pub replica: String,
    /// More of the fleet; `{URL}` stands for the spare engine.
    pub more: String,
    /// Certificates that the way to engines trusts beside the public ones.
    pub roots_file: Option<PathBuf>,
    /// Whether the core's steps are recorded.
    pub record: bool,
    /// Whether the fleet is still being loaded.
    pub loading: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            engines: 1,
            engine: FakeEngineOptions::default(),
            slots: 64,
            limits: String::new(),
            model: String::new(),
            replica: String::new(),
            more: String::new(),
            roots_file: None,
            record: false,
            loading: false,
        }
    }
}

/// A running gateway with its engines. All of it ends when it is dropped.
pub struct World {
    pub gateway: Arc<Gateway>,
    pub engines: Vec<FakeEngine>,
    /// An engine beside those that serve `m`.
    pub spare: FakeEngine,
    pub store: Arc<GateStore>,
    /// Base URL of the gateway.
    pub url: String,
    /// A tenant's key.
    pub key: String,
    pub operator_key: String,
    pub folder: TempDir,
    /// Files and batches, below `folder`.
    pub batches: Batches,
    driver: Option<Worker>,
    stop: Option<oneshot::Sender<()>>,
    edge: Option<JoinHandle<std::io::Result<EdgeReport>>>,
    ticks: JoinHandle<()>,
    plan: Plan,
}

impl Drop for World {
    fn drop(&mut self) {
        self.ticks.abort();
        if let Some(edge) = self.edge.take() {
            edge.abort();
        }
    }
}

impl World {
    pub async fn of(engines: usize) -> Self {
        Self::start(Plan {
            engines,
            ..Plan::default()
        })
        .await
    }

    pub async fn start(plan: Plan) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(GateStore::new(
            SqliteStore::open(&folder.path().join("books.db")).unwrap(),
        ));
        let key = key_put(&*store, Some("demo"), Role::Member, |_| {}).await;
        let operator_key = key_put(&*store, None, Role::Operator, |_| {}).await;
        let mut engines = Vec::new();
        for _ in 0..plan.engines {
            engines.push(FakeEngine::start(plan.engine.clone()).await);
        }
        let spare = FakeEngine::start(FakeEngineOptions::default()).await;
        let options = GatewayOptions {
            id: "test".parse().unwrap(),
            store: Arc::<GateStore>::clone(&store),
            bank: store.bank(),
            audit: Audit::open(&folder.path().join("audit"), &Settings::new("test"), 0).unwrap(),
            client: ClientOptions {
                roots_file: plan.roots_file.clone(),
                ..ClientOptions::default()
            },
            record: plan.record.then(|| recording(folder.path())),
        };
        let (gateway, _) = Gateway::new(options).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let fallback = Arc::clone(&gateway);
        let batches = Batches::new(Arc::clone(&gateway), &folder.path().join("files"));
        let driver = Some(batches.start(5_000).unwrap());
        let router = doors::router(Arc::clone(&gateway))
            .merge(batches.router())
            .fallback(move |request| doors::fallback(Arc::clone(&fallback), request));
        let (stop, stopped) = oneshot::channel::<()>();
        let options = EdgeOptions {
            lanes: 2,
            drain_ms_max: 5_000,
            ..EdgeOptions::default()
        };
        let doors = FrontDoors::new(Arc::clone(&gateway), router);
        let edge = tokio::spawn(serve(listener, doors, options, stopped));
        let ticking = Arc::clone(&gateway);
        let ticks = tokio::spawn(async move {
            loop {
                ticking.tick();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        let (stop, edge) = (Some(stop), Some(edge));
        let world = Self {
            gateway,
            engines,
            spare,
            store,
            url,
            key,
            operator_key,
            folder,
            batches,
            driver,
            stop,
            edge,
            ticks,
            plan,
        };
        if !world.plan.loading {
            world.fleet_apply(&world.fleet());
        }
        world
    }

    /// The fleet's text.
    pub fn fleet(&self) -> String {
        let Plan {
            slots,
            limits,
            model,
            replica,
            more,
            ..
        } = &self.plan;
        let mut text = format!(
            "[[site]]\nid = \"home\"\ncountry = \"KR\"\n[[model]]\nid = \"m\"\ncontext_tokens = 4096\n{model}\n"
        );
        for (index, engine) in self.engines.iter().enumerate() {
            let (id, url) = (index + 1, engine.url());
            text += &format!(
                "[[replica]]\nid = \"r{id}\"\nsite = \"home\"\nmodel = \"m\"\nurl = \"{url}\"\nengine = \"vllm\"\nslots = {slots}\n{replica}\n"
            );
        }
        text += &more.replace("{URL}", self.spare.url());
        text + "\n[limits]\n" + limits + "\n"
    }

    /// Loads a fleet and says that each replica is up.
    pub fn fleet_apply(&self, text: &str) {
        let parsed = madang_fleet::parse(text, self.folder.path()).unwrap();
        let fleet = Arc::new(parsed.fleet);
        let replicas: Vec<ReplicaId> = fleet.replicas.keys().cloned().collect();
        let snapshot = Snapshot::build(fleet).unwrap();
        self.gateway.publish(snapshot, &BTreeSet::new());
        for replica in replicas {
            self.gateway.replica_report(&replica, ReplicaHealth::Up);
        }
    }

    /// Every engine behaves so from now on.
    pub fn behave(&self, behaviour: &str) {
        for engine in &self.engines {
            engine.set_behaviour(behaviour.parse().unwrap());
        }
    }

    pub fn script(&self, pieces: &[&str]) {
        let pieces = pieces.iter().map(|&piece| piece.into()).collect();
        self.engines[0].set_behaviour(Behaviour::Script { pieces });
    }

    /// POST with the tenant's key and these headers.
    pub async fn send(&self, path: &str, headers: &[(&str, &str)], body: &str) -> HttpStream {
        let bearer = format!("Bearer {}", self.key);
        let mut all = vec![
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        all.extend(headers);
        let url = format!("{}{path}", self.url);
        http_send(Method::POST, &url, &all, body.to_owned())
            .await
            .unwrap()
    }

    pub async fn post(&self, path: &str, body: &str) -> HttpAnswer {
        self.send(path, &[], body).await.collect().await.unwrap()
    }

    /// A chat with these fields beside the ordinary ones, collected.
    pub async fn chat(&self, more: Value) -> HttpAnswer {
        self.post(CHAT, &chat(more)).await
    }

    /// A streamed chat: its events.
    pub async fn stream(&self, more: Value) -> Vec<SseEvent> {
        events(self.send(CHAT, &[], &streamed(more)).await).await
    }

    /// Waits until nothing is under way, and gives all records, oldest first.
    pub async fn records(&self, count: usize) -> Vec<UsageRecord> {
        let mut found = Vec::new();
        for _ in 0..2000 {
            let list = self.store.usage_list(UsageFilter::default(), None, 1000);
            found = list.await.unwrap();
            if found.len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        found.reverse();
        assert_eq!(found.len(), count, "{found:#?}");
        found
    }

    /// The one record.
    pub async fn record(&self) -> UsageRecord {
        self.records(1).await.remove(0)
    }

    /// All leaves of the audit log, once a checkpoint covers them.
    pub async fn leaves(&self) -> Vec<Leaf> {
        let audit = &self.gateway.audit;
        let covered = || {
            let status = audit.status();
            status.waiting == 0 && status.checkpoint_size == status.size
        };
        assert!(
            madang_testkit::eventually(covered).await,
            "{:?}",
            audit.status()
        );
        let folder = audit.folder();
        let reader = Reader::open(Folder::new(folder), verifier_key(folder).unwrap()).unwrap();
        let mut leaves = Vec::new();
        reader
            .verify(|_, leaf| leaves.push(Leaf::decode(leaf).unwrap()))
            .unwrap();
        leaves
    }

    /// Nothing is held any more: not in the core, not at any engine.
    pub async fn assert_idle(&self, what: &str) {
        let idle = madang_testkit::eventually(|| {
            self.gateway.requests_count() == 0 && self.engines.iter().all(|e| e.in_flight() == 0)
        });
        assert!(idle.await, "{what}: something is held still");
        for pool in self.gateway.status() {
            assert_eq!(pool.waiting, 0, "{what}");
            for member in pool.members {
                assert_eq!(member.running, 0, "{what}");
            }
        }
    }

    /// Stops driving batches.
    pub async fn batches_stop(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.stop().await;
        }
    }

    /// Drives batches, as after a start.
    pub fn batches_start(&mut self) {
        self.driver = Some(self.batches.start(5_000).unwrap());
    }

    /// Stops accepting, waits for the last connection and closes the gateway; gives the recording's text.
    pub async fn close(mut self) -> String {
        drop(self.stop.take());
        self.edge.take().unwrap().await.unwrap().unwrap();
        self.batches_stop().await;
        self.gateway.close().await;
        std::fs::read_to_string(recording(self.folder.path())).unwrap_or_default()
    }
}

fn recording(folder: &Path) -> PathBuf {
    folder.join("recording.jsonl")
}

/// Adds a key, and its tenant where it has one; gives the key's text.
pub async fn key_put(
    store: &dyn Store,
    tenant: Option<&str>,
    role: Role,
    edit: impl Fn(&mut KeyRecord),
) -> String {
    if let Some(tenant) = tenant {
        store.tenant_put(tenant_row(tenant)).await.unwrap();
    }
    let (id, secret) = KeySecret::generate();
    let mut row = KeyRecord {
        id: id.clone(),
        tenant: tenant.map(|tenant| tenant.parse().unwrap()),
        programme: None,
        project: None,
        role,
        terms: Arc::default(),
        class_floor: DataClass::default(),
        data_flags: DataFlags::NONE,
        label: String::new(),
        secret_hash: hash_secret(&secret),
        created_at: clock::now(),
        expires_at: None,
        revoked_at: None,
    };
    edit(&mut row);
    store.key_insert(row).await.unwrap();
    key_text(&id, &secret)
}

/// A tenant of no programme with no floor.
pub fn tenant_row(id: &str) -> Tenant {
    Tenant {
        programme: None,
        class_floor: DataClass::Open,
        data_flags: DataFlags::NONE,
        ..sample::tenant(id, 1).unwrap()
    }
}

pub const CHAT: &str = "/v1/chat/completions";

/// A chat's body with these fields beside the ordinary ones.
pub fn chat(more: Value) -> String {
    let mut body = json!({
        "model": "m", "messages": [{"role": "user", "content": "안녕하세요, what is this?"}], "max_tokens": 4,
    });
    let more = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    body.to_string()
}

/// The same, streamed.
pub fn streamed(mut more: Value) -> String {
    more["stream"] = json!(true);
    chat(more)
}

/// All events of a stream that must end cleanly.
pub async fn events(stream: HttpStream) -> Vec<SseEvent> {
    let (events, error) = stream.sse().to_end().await;
    assert!(error.is_none(), "{error:?} after {events:?}");
    events
}

/// `error.code` of an answer or an event.
pub fn code(json: &Value) -> &str {
    json["error"]["code"].as_str().unwrap_or_default()
}

/// A header as text.
pub fn header(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).map(|v| v.to_str().unwrap().to_owned());
    value.unwrap_or_default()
}

/// Every file below a folder, one after the other; room that is set aside, which is zeros, is left out.
pub fn text_below(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text.push_str(&text_below(&path));
        } else {
            let mut bytes = std::fs::read(path).unwrap();
            bytes.retain(|byte| *byte != 0);
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
    text
}
