//! Gateways, their ways to the database, the engine, clients, and the trouble that is made.

use crate::harness::books::served;
use crate::harness::fleet::{fleet, url_replica};
use crate::harness::random::Random;
use crate::harness::{Madang, Place, chat_body, wait_for};
use http::Method;
use madang_ledger::Purse;
use madang_store::conformance::bank::Books;
use madang_store::{PostgresOptions, PostgresStore};
use madang_testkit::{
    Database, FakeEngine, FakeEngineOptions, Link, Postgres, Way, http_get, http_post_json,
    http_stream,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const GATEWAYS: usize = 3;
/// Clients of each tenant.
const CLIENTS: usize = 4;
/// Output tokens of an answer, and of one that is streamed.
const OUTPUT_TOKENS: [u64; 2] = [16, 120];
/// What the clients of one tenant spend in a second at the prices below, in µ₩: about.
const PACE: i64 = 300_000;

/// A tenant, and what it was granted in µ₩.
pub struct Tenant {
    pub name: &'static str,
    pub granted: i64,
    key: String,
}

/// A request whose answer a client has seen to its end.
#[derive(Default)]
pub struct Seen {
    /// By the tenant's name.
    pub finished: Vec<(&'static str, String)>,
    /// How often which answer came: `ok`, or an error's code.
    pub answers: BTreeMap<String, u64>,
}

/// What is there at the end.
pub struct End {
    /// What clients saw.
    pub seen: Seen,
    pub books: Box<dyn Books>,
    // In order of dropping: the database goes before its server.
    _database: Database,
    _server: Postgres,
    /// What the engine wrote down, by request.
    pub served: BTreeMap<String, Value>,
    pub tenants: Vec<Tenant>,
    /// After how long what was left was spent once all was well, in seconds.
    pub spent_s: f64,
}

pub struct Yard {
    gateways: Vec<Gateway>,
    server: Postgres,
    database: Database,
    _engine: FakeEngine,
    served_log: PathBuf,
    tenants: Vec<Tenant>,
    /// Where those gateways are that run.
    urls: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    clients: JoinSet<Seen>,
    seen: Seen,
    spent_s: f64,
}

struct Gateway {
    place: Place,
    link: Link,
    store: String,
    running: Option<Madang>,
}

impl Yard {
    pub async fn new(trouble_s: u64) -> Self {
        let server = Postgres::own(&[]).unwrap();
        let database = server.database().unwrap();
        let mut gateways = Vec::new();
        for _ in 0..GATEWAYS {
            let link = Link::to(database.socket()).await.unwrap();
            gateways.push(Gateway {
                place: Place::new(),
                store: database.url_at(link.address()),
                link,
                running: None,
            });
        }
        let served_log = gateways[0].place.path("served.jsonl");
        let engine = FakeEngine::start(FakeEngineOptions {
            served_log: Some(served_log.clone()),
            token_ms: 10,
            ..FakeEngineOptions::default()
        })
        .await;
        for gateway in &gateways {
            let replicas = [url_replica("a", engine.url())];
            gateway.place.write("fleet.toml", fleet(&replicas));
        }
        let mut yard = Self {
            gateways,
            server,
            database,
            _engine: engine,
            served_log,
            tenants: Vec::new(),
            urls: Arc::default(),
            stop: Arc::default(),
            clients: JoinSet::new(),
            seen: Seen::default(),
            spent_s: 0.0,
        };
        for place in 0..GATEWAYS {
            yard.start(place).await;
        }
        yard.gateways[0].running.as_mut().unwrap().ready().await;
        yard.grant(i64::try_from(trouble_s).unwrap()).await;
        yard.load();
        yard
    }

    async fn start(&mut self, place: usize) {
        let gateway = &mut self.gateways[place];
        let mut madang = gateway.place.start(&["--store", &gateway.store]);
        madang.listening().await;
        let ready = madang.at("/readyz");
        let is_ready = async || http_get(&ready, None).await.is_ok_and(|a| a.status == 200);
        madang.until("a replica serves", is_ready).await;
        self.urls.lock().unwrap().push(madang.url.clone());
        gateway.running = Some(madang);
    }

    async fn kill(&mut self, place: usize) {
        if let Some(mut madang) = self.gateways[place].running.take() {
            self.urls.lock().unwrap().retain(|url| *url != madang.url);
            madang.kill().await;
        }
    }

    /// Prices, a programme, and three tenants: one runs out early, one late, and one never.
    async fn grant(&mut self, trouble_s: i64) {
        let first = self.gateways[0].running.as_ref().unwrap();
        let post = async |path: &str, body| first.operate(Method::POST, path, body).await;
        post("/api/v1/programmes", json!({ "id": "startups" })).await;
        let price = json!({ "model": "m", "uncached": "350", "cached": "90", "output": "1400" });
        post("/api/v1/prices", price).await;
        let all = trouble_s * PACE;
        let budget = json!({ "programme": "startups", "amount": all * 60 });
        post("/api/v1/budgets", budget).await;
        let grants = [
            ("brook", all / 6),
            ("river", all * 6 / 5),
            ("sea", all * 50),
        ];
        for (name, granted) in grants {
            post(
                "/api/v1/tenants",
                json!({ "id": name, "programme": "startups" }),
            )
            .await;
            let until = "2100-01-01T00:00:00Z";
            let grant = json!({ "id": name, "tenant": name, "amount": granted, "until": until });
            post("/api/v1/allocations", grant).await;
            let made = post("/api/v1/keys", json!({ "tenant": name })).await;
            let key = made["key"].as_str().unwrap().to_owned();
            self.tenants.push(Tenant { name, granted, key });
        }
        for gateway in &self.gateways {
            let madang = gateway.running.as_ref().unwrap();
            let priced = async || {
                let url = madang.at("/v1/chat/completions");
                let asked = http_post_json(&url, Some(&first.key), chat_body("hi", 1, false)).await;
                let answer = asked.ok()?;
                let cost = answer.headers.get("x-madang-cost-krw")?;
                (cost != "0").then_some(())
            };
            wait_for("the price is in force", priced).await;
            let models = madang.at("/v1/models");
            for tenant in &self.tenants {
                let taken = async || {
                    let asked = http_get(&models, Some(&tenant.key)).await;
                    asked.is_ok_and(|answer| answer.status == 200).then_some(())
                };
                wait_for("a key is known to all", taken).await;
            }
        }
    }

    fn load(&mut self) {
        for tenant in &self.tenants {
            for client in 0..CLIENTS {
                let (name, key) = (tenant.name, tenant.key.clone());
                let (urls, stop) = (Arc::clone(&self.urls), Arc::clone(&self.stop));
                self.clients.spawn(async move {
                    let mut seen = Seen::default();
                    for number in client.. {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let known = urls.lock().unwrap().clone();
                        if let Some(url) = known.get(number % known.len().max(1)) {
                            seen.ask(url, (name, &key), number.is_multiple_of(3)).await;
                        }
                        sleep(Duration::from_millis(20)).await;
                    }
                    seen
                });
            }
        }
    }

    /// One piece of trouble.
    pub async fn trouble(&mut self, random: &mut Random) {
        let place = usize::try_from(random.below(GATEWAYS as u64)).unwrap();
        match random.below(7) {
            0 | 1 => {
                self.kill(place).await;
                self.gateways[place].link.set(Way::Open);
                self.start(place).await;
            }
            2 => self.gateways[place].link.set(Way::Silent),
            3 => self.gateways[place].link.set(Way::Refused),
            4 => self.gateways[place].link.set(Way::Slow(random.below(100))),
            5 => self.open_all(),
            _ => {
                self.server.kill().unwrap();
                sleep(Duration::from_millis(random.below(1_000))).await;
                self.server.start().unwrap();
            }
        }
    }

    fn open_all(&self) {
        for gateway in &self.gateways {
            gateway.link.set(Way::Open);
        }
    }

    /// Ends all trouble. From now on only the first gateway is asked.
    pub async fn heal(&mut self) {
        self.open_all();
        self.stop.store(true, Ordering::Relaxed);
        while let Some(client) = self.clients.join_next().await {
            self.seen.add(client.unwrap());
        }
    }

    /// One gateway spends what is left of the grant that runs out late, also what the others held.
    pub async fn spend_what_is_left(&mut self) {
        let begun = Instant::now();
        let url = self.gateways[0].running.as_ref().unwrap().url.clone();
        let tenant = &self.tenants[1];
        let books = self.books();
        let purse: Purse = format!("allocation:{}", tenant.name).parse().unwrap();
        let unit = madang_types::Unit::MicroWon;
        loop {
            let mut clients = JoinSet::new();
            for _ in 0..32 {
                let (url, name, key) = (url.clone(), tenant.name, tenant.key.clone());
                clients.spawn(async move {
                    let mut seen = Seen::default();
                    for _ in 0..8 {
                        seen.ask(&url, (name, &key), false).await;
                    }
                    seen
                });
            }
            while let Some(client) = clients.join_next().await {
                self.seen.add(client.unwrap());
            }
            let left = books.purse_left(purse.clone(), unit).await.unwrap();
            if left * 10 <= tenant.granted || begun.elapsed() > Duration::from_secs(120) {
                break;
            }
        }
        self.spent_s = begun.elapsed().as_secs_f64();
    }

    fn books(&self) -> Box<dyn Books> {
        let url = self.database.url().parse().unwrap();
        Box::new(PostgresStore::open(&url, &PostgresOptions::default()).unwrap())
    }

    /// Stops all gateways in order.
    pub async fn end(mut self) -> End {
        for gateway in &mut self.gateways {
            if let Some(mut madang) = gateway.running.take() {
                assert_eq!(madang.stop().await, 0);
            }
        }
        let books = self.books();
        End {
            seen: self.seen,
            books,
            served: served(&self.served_log),
            tenants: self.tenants,
            spent_s: self.spent_s,
            _database: self.database,
            _server: self.server,
        }
    }
}

impl Seen {
    /// One request and what came of it.
    async fn ask(&mut self, url: &str, (tenant, key): (&'static str, &str), streamed: bool) {
        let url = format!("{url}/v1/chat/completions");
        let body = chat_body(
            "count for me",
            OUTPUT_TOKENS[usize::from(streamed)],
            streamed,
        );
        let Ok(answer) = http_stream(&url, Some(key), body).await else {
            return;
        };
        if answer.status != 200 {
            let answer = answer.collect().await.map(|answer| answer.text());
            let error: Value =
                serde_json::from_str(&answer.unwrap_or_default()).unwrap_or_default();
            let code = error["error"]["code"].as_str().unwrap_or("cut");
            return self.count(code, 1);
        }
        self.count("ok", 1);
        let id = answer.headers["x-madang-request-id"].to_str().unwrap();
        let id = id.to_owned();
        let whole = if streamed {
            let (events, _) = answer.sse().to_end().await;
            events.iter().any(|event| event.is_done())
        } else {
            answer.collect().await.is_ok()
        };
        if whole {
            self.finished.push((tenant, id));
        }
    }

    fn add(&mut self, other: Self) {
        self.finished.extend(other.finished);
        for (answer, count) in other.answers {
            self.count(&answer, count);
        }
    }

    fn count(&mut self, answer: &str, count: u64) {
        *self.answers.entry(answer.to_owned()).or_default() += count;
    }
}
