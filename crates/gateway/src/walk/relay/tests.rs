//! Two attempts at once, as the core may ask for them: whoever is first answers, the other one is closed.

use crate::audit::{Audit, Settings};
use crate::client::ClientOptions;
use crate::clock;
use crate::gateway::{Gateway, GatewayOptions};
use crate::keyring::{KeySecret, hash_secret, key_text};
use crate::snapshot::Snapshot;
use crate::walk::walk;
use axum::body::{Body, Bytes};
use http_body_util::BodyExt;
use madang_core::{AttemptEnd, Decision, Effect, Input, Refusal, ReplicaHealth, RouteReason};
use madang_store::conformance::sample;
use madang_store::{SqliteStore, Store, UsageFilter};
use madang_testkit::{FakeEngine, FakeEngineOptions, eventually};
use madang_types::{
    DataClass, DataFlags, Endpoint, KeyRecord, ModelId, Outcome, ReplicaId, RequestId, Role,
    RuleId, SiteId, UsageRecord,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

struct World {
    gateway: Arc<Gateway>,
    store: Arc<SqliteStore>,
    engines: [FakeEngine; 2],
    key: String,
    /// Lets the first engine answer, where it is one that waits for it.
    gate: Arc<Notify>,
    _folder: tempfile::TempDir,
}

/// What came of one request.
struct Told {
    status: u16,
    replica: String,
    headers: http::HeaderMap,
    body: Bytes,
}

impl World {
    async fn start(behaviours: [&str; 2]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::open(&folder.path().join("books.db")).expect("books");
        let store = Arc::new(store);
        let tenant = sample::tenant("demo", 1).expect("a tenant");
        let tenant = madang_types::Tenant {
            programme: None,
            ..tenant
        };
        store.tenant_put(tenant.clone()).await.expect("it is kept");
        let (id, secret) = KeySecret::generate();
        let key = key_text(&id, &secret);
        let row = KeyRecord {
            id,
            tenant: Some(tenant.id),
            role: Role::Member,
            class_floor: DataClass::default(),
            data_flags: DataFlags::NONE,
            label: String::new(),
            secret_hash: hash_secret(&secret),
            created_at: clock::now(),
            expires_at: None,
            revoked_at: None,
        };
        store.key_insert(row).await.expect("it is kept");
        let options = GatewayOptions {
            id: "test".parse().expect("a name"),
            store: Arc::<SqliteStore>::clone(&store),
            bank: Arc::<SqliteStore>::clone(&store),
            audit: Audit::open(&folder.path().join("audit"), &Settings::new("test"), 0)
                .expect("a log"),
            client: ClientOptions::default(),
            record: None,
        };
        let (gateway, _) = Gateway::new(options).await.expect("a gateway");
        let engines = [
            FakeEngine::start(FakeEngineOptions::default()).await,
            FakeEngine::start(FakeEngineOptions::default()).await,
        ];
        let mut fleet = String::from(
            "[[site]]\nid = \"home\"\ncountry = \"KR\"\n[[model]]\nid = \"m\"\ncontext_tokens = 4096\n",
        );
        let gate = Arc::new(Notify::new());
        for (index, engine) in engines.iter().enumerate() {
            let number = index + 1;
            let url = match behaviours[index] {
                GATED => gated(engine.address().to_owned(), Arc::clone(&gate)).await,
                _ => engine.url().to_owned(),
            };
            fleet += &format!(
                "[[replica]]\nid = \"r{number}\"\nsite = \"home\"\nmodel = \"m\"\nurl = \"{url}\"\nengine = \"vllm\"\nslots = 4\n"
            );
            let behaviour = behaviours[index].replace(GATED, "normal");
            engine.set_behaviour(behaviour.parse().expect("a behaviour"));
        }
        let parsed = madang_fleet::parse(&fleet, folder.path()).expect("a fleet");
        let snapshot = Snapshot::build(Arc::new(parsed.fleet)).expect("a snapshot");
        gateway.publish(snapshot, &BTreeSet::new());
        // Only the first one is up, so that it gets the first attempt.
        gateway.replica_report(&replica(1), ReplicaHealth::Up);
        Self {
            gateway,
            store,
            engines,
            key,
            gate,
            _folder: folder,
        }
    }

    async fn ask(&self, stream: bool) -> Told {
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"hello"}}],"max_tokens":4,"stream":{stream}}}"#
        );
        let request = http::Request::post("/v1/chat/completions")
            .header("authorization", format!("Bearer {}", self.key))
            .body(Body::from(body))
            .expect("a request");
        let answer = walk(Arc::clone(&self.gateway), Endpoint::Chat, request).await;
        let (head, body) = answer.into_parts();
        let replica = head.headers.get(crate::headers::REPLICA);
        let replica = replica.and_then(|value| value.to_str().ok());
        Told {
            status: head.status.as_u16(),
            replica: replica.unwrap_or_default().to_owned(),
            headers: head.headers,
            body: body.collect().await.expect("a whole body").to_bytes(),
        }
    }

    /// The request, once its first attempt has started.
    async fn request(&self) -> RequestId {
        let submitted = || {
            let seen = self.gateway.driver.seen().into_iter();
            let submits = seen.filter_map(|input| match input {
                Input::RequestSubmit(submit) => Some(submit.request),
                _ => None,
            });
            submits.last()
        };
        assert!(eventually(|| submitted().is_some()).await);
        submitted().expect("it was there just now")
    }

    /// Once the first attempt is at its engine, the second one starts beside it.
    async fn hedge(&self) -> RequestId {
        let request = self.request().await;
        self.gateway.driver.inject(Effect::Start {
            request,
            attempt: 2,
            replica: replica(2),
            site: SiteId::new("home").expect("a name"),
            model: ModelId::new("m").expect("a name"),
            masked: false,
            decision: Decision {
                rule: RuleId::new("open-anywhere").expect("a name"),
                reason: RouteReason::Hedge,
                candidates: 2,
                ttft_us: 1_500,
                cached_tokens: 7,
                via: None,
            },
        });
        request
    }

    /// What the core was told of attempts so far.
    fn told(&self) -> Vec<String> {
        let told = self.gateway.driver.seen().into_iter();
        told.filter_map(|input| match input {
            Input::FirstByte { attempt, .. } => Some(format!("first byte {attempt}")),
            Input::AttemptEnd {
                attempt,
                end,
                spent,
                ..
            } => Some(match (end, spent) {
                (AttemptEnd::Done, Some(spent)) => {
                    format!("done {attempt}: {} out", spent.output_tokens)
                }
                _ => format!("{end:?} {attempt}"),
            }),
            Input::RequestCancel { .. } => Some("cancel".into()),
            _ => None,
        })
        .collect()
    }

    /// The one record, once everything is idle.
    async fn record(&self) -> UsageRecord {
        let idle = || self.engines.iter().all(|engine| engine.in_flight() == 0);
        assert!(eventually(idle).await, "an attempt is under way still");
        self.gateway.close().await;
        let filter = UsageFilter::default();
        let mut records = self
            .store
            .usage_list(filter, None, 10)
            .await
            .expect("books");
        assert_eq!(records.len(), 1);
        records.remove(0)
    }
}

/// A behaviour of the first engine: it answers once it is let.
const GATED: &str = "gated";

/// A way to an engine on which answers wait at the gate.
async fn gated(engine: String, gate: Arc<Notify>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (engine, gate) = (engine.clone(), Arc::clone(&gate));
            tokio::spawn(async move {
                let upstream = TcpStream::connect(engine)
                    .await
                    .expect("the engine listens");
                let (mut asked, mut answers) = client.into_split();
                let (mut answer, mut asks) = upstream.into_split();
                let forth = tokio::io::copy(&mut asked, &mut asks);
                let back = async {
                    gate.notified().await;
                    tokio::io::copy(&mut answer, &mut answers).await
                };
                // Whichever side closes ends both.
                tokio::select! { _ = forth => {}, _ = back => {} }
            });
        }
    });
    url
}

fn replica(number: u32) -> ReplicaId {
    ReplicaId::new(&format!("r{number}")).expect("a name")
}

#[tokio::test]
async fn the_first_byte_wins_and_the_other_attempt_is_closed() {
    for stream in [true, false] {
        let world = World::start(["stall", "normal"]).await;
        let (told, _) = tokio::join!(world.ask(stream), world.hedge());
        assert_eq!((told.status, told.replica.as_str()), (200, "r2"));
        let text = String::from_utf8_lossy(&told.body);
        assert_eq!(text.contains("[DONE]"), stream, "{text}");
        let record = world.record().await;
        let expected = ["first byte 2", "done 2: 4 out"];
        let from = usize::from(!stream);
        assert_eq!(
            world.told(),
            expected[from..],
            "a whole answer has no first byte of its own"
        );
        assert_eq!(record.outcome, Outcome::Finished);
        assert_eq!((record.attempts, record.replica), (2, Some(replica(2))));
        assert_eq!(
            record.decision.as_deref(),
            Some("open-anywhere hedge 1/2 ttft=2ms cached=7")
        );
        assert_eq!(record.queued_us / 1_000_000, 0);
    }
}

#[tokio::test]
async fn a_hedge_that_fails_leaves_the_first_attempt_alone() {
    for (behaviour, stream) in [
        ("close", true),
        ("status:503", false),
        ("status:500", false),
    ] {
        let world = World::start([GATED, behaviour]).await;
        let (told, ()) = tokio::join!(world.ask(stream), async {
            world.hedge().await;
            assert!(eventually(|| world.told() == ["FailedRetryable 2"]).await);
            world.gate.notify_one();
        });
        let expected = (200, "r1");
        assert_eq!(
            (told.status, told.replica.as_str()),
            expected,
            "{behaviour}"
        );
        let record = world.record().await;
        let mut expected = vec!["FailedRetryable 2", "done 1: 4 out"];
        if stream {
            expected.insert(1, "first byte 1");
        }
        assert_eq!(world.told(), expected, "{behaviour}");
        assert_eq!((record.attempts, record.replica), (2, Some(replica(1))));
    }
}

#[tokio::test]
async fn an_attempt_that_is_called_off_is_closed() {
    let world = World::start([GATED, "stall"]).await;
    let (told, ()) = tokio::join!(world.ask(true), async {
        let request = world.hedge().await;
        assert!(eventually(|| world.engines[1].in_flight() == 1).await);
        let attempt = 2;
        world
            .gateway
            .driver
            .inject(Effect::CallOff { request, attempt });
        assert!(eventually(|| world.engines[1].in_flight() == 0).await);
        world.gate.notify_one();
    });
    assert_eq!((told.status, told.replica.as_str()), (200, "r1"));
    let record = world.record().await;
    assert_eq!(world.told(), ["first byte 1", "done 1: 4 out"]);
    assert_eq!((record.attempts, record.replica), (2, Some(replica(1))));
}

#[tokio::test]
async fn a_client_that_leaves_closes_both() {
    let world = World::start(["stall", "stall"]).await;
    tokio::select! {
        _ = world.ask(true) => unreachable!("no engine answers"),
        () = async {
            world.hedge().await;
            assert!(eventually(|| world.engines[1].in_flight() == 1).await);
        } => {}
    }
    assert_eq!(world.gateway.requests_count(), 0);
    let record = world.record().await;
    assert_eq!(world.told(), ["cancel"]);
    assert_eq!((record.attempts, record.outcome), (2, Outcome::ClientGone));
}

#[tokio::test]
async fn what_the_core_refuses_is_said_with_what_to_do() {
    for (refusal, retry_after_ms, expected) in [
        (
            Refusal::Overloaded,
            8_400,
            ("overloaded", "9", "limits.queue_wait_ms_max"),
        ),
        (
            Refusal::Shed,
            1_000,
            ("shed", "1", "limits.queue_length_max"),
        ),
        (
            Refusal::QueueFull,
            1,
            ("queue_full", "1", "limits.queue_length_max"),
        ),
    ] {
        let (code, seconds, words) = expected;
        let world = World::start(["stall", "normal"]).await;
        let (told, ()) = tokio::join!(world.ask(true), async {
            let request = world.request().await;
            let place = Effect::Queued {
                request,
                place: 3,
                wait_ms: Some(1_200),
            };
            world.gateway.driver.inject(place);
            world.gateway.driver.inject(Effect::Refuse {
                request,
                refusal,
                retry_after_ms: Some(retry_after_ms),
                denials: Vec::new(),
            });
        });
        let header = |name: &str| told.headers[name].to_str().expect("a text").to_owned();
        assert_eq!(
            (told.status, header("retry-after").as_str()),
            (429, seconds)
        );
        assert_eq!(header("retry-after-ms"), retry_after_ms.to_string());
        assert_eq!(header("x-madang-queue-place"), "3");
        assert_eq!(header("x-madang-queue-wait-ms"), "1200");
        let text = String::from_utf8_lossy(&told.body);
        assert!(text.contains(&format!("\"code\":\"{code}\"")), "{text}");
        assert!(text.contains(words), "{text}");
        let record = world.record().await;
        assert_eq!(record.outcome, Outcome::Refused, "{code}");
    }
}
