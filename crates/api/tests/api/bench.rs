//! A whole server without its socket, and calls that check each answer against the OpenAPI document.

use crate::executor::Paper;
use crate::schema;
use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use madang_control::jobs::{Executors, JobsOptions, Meters};
use madang_control::secrets::SecretKeys;
use madang_control::{Control, ControlOptions, FleetSource};
use madang_executor::GuardProgram;
use madang_executor::jobs::{JobExecutor, RunMeter};
use madang_fleet::JobsExecutor;
use madang_gateway::audit::{Audit, Settings};
use madang_gateway::client::ClientOptions;
use madang_gateway::clock;
use madang_gateway::gateway::{Gateway, GatewayOptions};
use madang_gateway::keyring::{KeySecret, hash_secret, key_text};
use madang_ledger::{Order, OrderKind};
use madang_provision::{Cache, Quiet};
use madang_store::{SqliteStore, Store};
use madang_testkit::{FakeEngine, FakeEngineOptions, eventually};
use madang_types::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tower::ServiceExt;

pub struct Bench {
    pub router: Router,
    pub control: Arc<Control>,
    pub operator: String,
    pub fleet_file: PathBuf,
    pub engine: FakeEngine,
    /// What runs jobs.
    pub paper: Arc<Paper>,
    document: Value,
    dir: tempfile::TempDir,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub text: String,
    pub json: Value,
}

impl Answer {
    pub fn code(&self) -> &str {
        self.json["error"]["code"].as_str().unwrap_or_default()
    }

    pub fn param(&self) -> &str {
        self.json["error"]["param"].as_str().unwrap_or_default()
    }

    /// The text of a field.
    pub fn text_of(&self, field: &str) -> String {
        self.json[field].as_str().unwrap().to_owned()
    }
}

fn fleet_text(engine: &str) -> String {
    format!(
        r#"
[[site]]
id = "here"
country = "KR"

[[nodes]]
id = "here-cpu"
site = "here"
accelerator = "cpu"
per_node = 1
count = 1
jobs = {{ executor = "local" }}

[[model]]
id = "m"
context_tokens = 4096

[[replica]]
id = "r1"
site = "here"
model = "m"
url = "{engine}"
engine = "vllm"
slots = 4
kv_tokens = 100000

[probe]
interval_ms = 200

[[programme]]
id = "startups-2026"

[[tenant]]
id = "hanbit"
programme = "startups-2026"
"#
    )
}

impl Bench {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let engine = FakeEngine::start(FakeEngineOptions::default()).await;
        let fleet_file = dir.path().join("fleet.toml");
        std::fs::write(&fleet_file, fleet_text(engine.url())).unwrap();
        let store = Arc::new(SqliteStore::open(&dir.path().join("books.sqlite")).unwrap());
        let paper = Arc::<Paper>::default();
        let executor: Arc<dyn JobExecutor> = Arc::<Paper>::clone(&paper);
        let meter: Arc<dyn RunMeter> = Arc::<Paper>::clone(&paper);
        let jobs = JobsOptions {
            id: "test".parse().unwrap(),
            book: Arc::<SqliteStore>::clone(&store),
            ledger: Arc::<SqliteStore>::clone(&store),
            executors: Executors::from([((JobsExecutor::Local, None), executor)]),
            meters: Meters::from([((JobsExecutor::Local, None), meter)]),
            sites: BTreeMap::new(),
            shared: false,
            secret_keys: SecretKeys::Own(dir.path().join("secrets.key")),
        };
        let options = GatewayOptions {
            id: "test".parse().unwrap(),
            bank: Arc::<SqliteStore>::clone(&store),
            store: Arc::<SqliteStore>::clone(&store),
            audit: Audit::open(&dir.path().join("audit"), &Settings::new("test"), 0).unwrap(),
            client: ClientOptions::default(),
            record: None,
        };
        let (gateway, drained) = Gateway::new(options).await.unwrap();
        let options = ControlOptions {
            source: FleetSource::File(fleet_file.clone()),
            data_dir: dir.path().join("data"),
            guard: GuardProgram::this_binary("no-engine-is-launched-here"),
            cache: Cache::at(dir.path().join("cache")),
            progress: Arc::new(Quiet),
            jobs,
            power: store,
        };
        let control = Control::start(Arc::clone(&gateway), drained, options)
            .await
            .unwrap();
        control.reload().await.unwrap();
        let router = madang_gateway::doors::router(Arc::clone(&gateway))
            .merge(madang_api::router(Arc::clone(&control)))
            .merge(madang_api::audit_router(Arc::clone(&control)));
        let document = serde_json::to_value(madang_api::document()).unwrap();
        let mut bench = Self {
            router,
            control,
            operator: String::new(),
            fleet_file,
            engine,
            document,
            dir,
            paper,
        };
        bench.operator = bench.first_operator_key().await;
        bench
    }

    /// The key that the first start of the program would write to a file.
    async fn first_operator_key(&self) -> String {
        let (id, secret) = KeySecret::generate();
        let record = KeyRecord {
            id,
            tenant: None,
            programme: None,
            project: None,
            terms: Arc::default(),
            role: Role::Operator,
            class_floor: DataClass::default(),
            data_flags: DataFlags::NONE,
            label: "first".into(),
            secret_hash: hash_secret(&secret),
            created_at: clock::now(),
            expires_at: None,
            revoked_at: None,
        };
        let gateway = self.control.gateway();
        gateway
            .books
            .store()
            .key_insert(record.clone())
            .await
            .unwrap();
        gateway.key_apply(record.clone());
        key_text(&record.id, &secret)
    }

    /// Another gateway on these books that is not heard of any more: given up long ago, where it held a part of an allocation.
    pub async fn gone(&self, gateway: &str, held: Option<&str>) {
        let bank = self.control.gateway().purses.bank();
        let gateway: GatewayId = gateway.parse().unwrap();
        let holder = bank.run_begin(gateway.clone(), Micros(0)).await.unwrap();
        let Some(allocation) = held else { return };
        let order = Order {
            number: 1,
            purse: format!("allocation:{allocation}").parse().unwrap(),
            unit: Unit::MicroWon,
            kind: OrderKind::Take { want: 0, need: 100 },
        };
        let moved = bank.order(holder, order, clock::now()).await.unwrap();
        assert_eq!(moved.moved, 100);
        let given_up = bank.give_up(gateway, Micros(60_000_000)).await.unwrap();
        assert_eq!(given_up, 1);
    }

    /// All leaves of the audit log so far.
    pub async fn leaves(&self) -> String {
        let audit = &self.control.gateway().audit;
        let size = audit.status().size;
        let covered = || audit.status().checkpoint_size == size;
        assert!(eventually(covered).await, "a checkpoint is written");
        let path = format!("/audit/tile/entries/000.p/{size}");
        self.get(&path, &self.operator).await.text
    }

    /// The file that the books are in.
    pub fn books_file(&self) -> PathBuf {
        self.dir.path().join("books.sqlite")
    }

    pub fn store(&self) -> &dyn Store {
        self.control.gateway().books.store()
    }

    pub fn document(&self) -> &Value {
        &self.document
    }

    /// A call as sent, its answer checked against the document where the document has the path.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: Option<&str>,
    ) -> Answer {
        let bearer = key.map(|key| format!("Bearer {key}"));
        let headers: Vec<_> = bearer
            .iter()
            .map(|key| ("authorization", key.as_str()))
            .collect();
        self.request((method, path), &headers, body).await
    }

    /// The same with any headers.
    pub async fn request(
        &self,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map(str::to_owned).map_or_else(Body::empty, Body::from);
        let request = request.body(body).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        let answer = Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text,
            json,
        };
        schema::check_answer(&self.document, method, path, &answer);
        answer
    }

    pub async fn get(&self, path: &str, key: &str) -> Answer {
        self.send("GET", path, Some(key), None).await
    }

    pub async fn post(&self, path: &str, key: &str, body: Value) -> Answer {
        self.send("POST", path, Some(key), Some(&body.to_string()))
            .await
    }

    pub async fn patch(&self, path: &str, key: &str, body: Value) -> Answer {
        self.send("PATCH", path, Some(key), Some(&body.to_string()))
            .await
    }

    pub async fn delete(&self, path: &str, key: &str) -> Answer {
        self.send("DELETE", path, Some(key), None).await
    }

    /// Makes a tenant and a key of it: id and whole key.
    pub async fn tenant(&self, id: &str) -> (String, String) {
        let made = self
            .post(
                "/api/v1/tenants",
                &self.operator,
                serde_json::json!({ "id": id }),
            )
            .await;
        assert_eq!(made.status, StatusCode::CREATED.as_u16(), "{}", made.text);
        self.key(id).await
    }

    /// Makes a key of a tenant: id and whole key.
    pub async fn key(&self, tenant: &str) -> (String, String) {
        self.key_of("", tenant, Role::Member).await
    }

    /// Makes a key of a role, for the programme or the tenant that it takes: id and whole key.
    pub async fn key_of(&self, programme: &str, tenant: &str, role: Role) -> (String, String) {
        let mut body = serde_json::json!({ "role": role, "label": "test" });
        match role {
            Role::ProgrammeManager => body["programme"] = programme.into(),
            Role::TenantAdmin | Role::Member => body["tenant"] = tenant.into(),
            Role::Operator | Role::Auditor => {}
        }
        self.key_made(&self.operator, body).await
    }

    /// Makes a key as asked, with a key: id and whole key.
    pub async fn key_made(&self, maker: &str, body: Value) -> (String, String) {
        let made = self.post("/api/v1/keys", maker, body).await;
        assert_eq!(made.status, StatusCode::CREATED.as_u16(), "{}", made.text);
        (made.text_of("id"), made.text_of("key"))
    }

    /// Writes a record into the books and gives its id.
    pub async fn record(&self, number: u32, tenant: &str, model: Option<&str>) -> String {
        self.record_of(number, (tenant, None), model).await
    }

    /// The same, of a project.
    pub async fn record_of(
        &self,
        number: u32,
        (tenant, project): (&str, Option<ProjectId>),
        model: Option<&str>,
    ) -> String {
        let id = RequestId(u128::from(number) + 1);
        let record = UsageRecord {
            id,
            // 2026-11-21 00:00 in Seoul and an hour for each number: the UTC day before, at first.
            arrived_at: Micros(1_795_186_800_000_000 + i64::from(number) * 3_600_000_000),
            tenant: TenantId::new(tenant).unwrap(),
            project,
            key: KeyId::new("k").unwrap(),
            endpoint: Endpoint::Chat,
            model: model.map(|m| ModelId::new(m).unwrap()),
            site: Some(SiteId::new("here").unwrap()),
            replica: Some(ReplicaId::new("r1").unwrap()),
            outcome: Outcome::Finished,
            status: 200,
            error: None,
            streamed: true,
            attempts: 1,
            data_class: DataClass::Open,
            priority: Priority::Standard,
            tokens: TokenUse {
                uncached: Tokens(10),
                cached: Tokens(5),
                output: Tokens(7),
                estimated: false,
            },
            bytes_in: 100,
            bytes_out: 200,
            queued_us: 3,
            first_token_us: Some(40),
            per_token_us: None,
            total_us: 500,
            cost: None,
            energy: None,
            decision: Some("least work".into()),
        };
        self.store().usage_append(record).await.unwrap();
        id.to_string()
    }
}
