//! Two gateways share a site: the one that drives jobs governs it, and the other one does as it does, from its first request on.

use super::{Engine, acts, busy, engines, fleet, goes_on, limit_of, state_of, submit, until};
use crate::harness::{Madang, Place, chat_body, json_of, wait_for};
use madang_testkit::{Database, Postgres, http_get, http_post_json};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::JoinSet;

/// Of two gateways the first one drives jobs.
pub(super) struct Pair {
    pub(super) place: Place,
    pub(super) first: Madang,
    pub(super) other_place: Place,
    other: Madang,
    key: String,
    pub(super) engines: Arc<Vec<Engine>>,
    // In order of dropping: the database goes before its server.
    database: Database,
    _server: Postgres,
}

impl Pair {
    async fn up() -> Self {
        Self::up_on(|text| text).await
    }

    /// With engines that are busy for as long as its second part is there.
    async fn busy() -> (Self, JoinSet<()>) {
        let pair = Self::up().await;
        let load = busy(&pair.engines);
        until(&pair.place, "the engines are busy", |power| {
            power["watts"].as_u64() > Some(600)
        })
        .await;
        (pair, load)
    }

    /// On the fleet that is made of the usual one.
    pub(super) async fn up_on(shape: impl Fn(String) -> String) -> Self {
        let server = Postgres::shared().unwrap();
        let database = server.database().unwrap();
        let engines = engines().await;
        // A machine of shared books says whose it is.
        let own = "executor = \"local\", gateway = \"first\"";
        let text = shape(fleet(&engines).replace("executor = \"local\"", own));
        let (place, other_place) = (Place::new(), Place::new());
        for (place, name) in [(&place, "first"), (&other_place, "other")] {
            std::fs::create_dir(place.data()).unwrap();
            std::fs::write(place.data().join("gateway"), name).unwrap();
            place.write("fleet.toml", &text);
        }
        let first = place.up_with(&["--store", &database.url()]).await;
        other_place.copy_keys_of(&place);
        let mut other = other_place.start(&["--store", &database.url()]);
        other.listening().await;
        let key = first.operator_key();
        let pair = Self {
            place,
            first,
            other_place,
            other,
            key,
            engines: Arc::new(engines),
            database,
            _server: server,
        };
        pair.other_until("the other one looks", |power| {
            power["watts"].as_u64() > Some(0)
        })
        .await;
        pair
    }

    /// The first one begins anew.
    pub(super) async fn first_again(&mut self) {
        self.first = self.place.up_with(&["--store", &self.database.url()]).await;
    }

    /// The other one is killed, and begins anew.
    async fn restart(&mut self) {
        self.other.kill().await;
        self.other = self.other_place.start(&["--store", &self.database.url()]);
        self.other.listening().await;
    }

    pub(super) async fn other_until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let url = self.other.at("/api/v1/sites/here/power");
        wait_for(what, async || {
            let answer = http_get(&url, Some(&self.key)).await.ok()?;
            let power: Value = serde_json::from_str(&answer.text()).ok()?;
            (power["acts"].is_array() && is_so(&power)).then_some(power)
        })
        .await
    }

    /// What a person who asks the other one is told.
    async fn asked(&self) -> u16 {
        let url = self.other.at("/v1/chat/completions");
        let answer = http_post_json(&url, Some(&self.first.key), chat_body("hi", 1, false)).await;
        answer.map_or(0, |answer| answer.status)
    }

    pub(super) async fn stop(mut self) {
        assert_eq!(self.other.stop().await, 0);
        assert_eq!(self.first.stop().await, 0);
    }
}

/// Whether an engine was ever without a limit, from now on until it is asked.
struct Limits(Arc<AtomicBool>, JoinSet<()>);

impl Limits {
    fn watch(engines: &Arc<Vec<Engine>>) -> Self {
        let (lifted, engines) = (Arc::new(AtomicBool::new(false)), Arc::clone(engines));
        let mut tasks = JoinSet::new();
        let told = Arc::clone(&lifted);
        tasks.spawn(async move {
            loop {
                for engine in engines.iter() {
                    if limit_of(engine).await >= 400.0 {
                        told.store(true, Ordering::Relaxed);
                    }
                }
            }
        });
        Self(lifted, tasks)
    }

    fn was_lifted(self) -> bool {
        drop(self.1);
        self.0.load(Ordering::Relaxed)
    }
}

/// Engines draw what they may because their clocks are low: who knew nothing of that would lift the limit.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_begins_anew_in_an_event_lifts_no_limit_that_another_one_set() {
    let (mut pair, _load) = Pair::busy().await;
    json_of(&pair.place, "power event here --to 550 --for 1h").await;
    let met = until(&pair.place, "the event is met", |power| {
        power["watts"].as_u64() <= Some(550) && !acts(power).is_empty()
    })
    .await;
    assert!(acts(&met).iter().all(|kind| *kind == "clock"), "{met}");
    let is_like = |power: &Value| acts(power) == acts(&met) && power["cap_watts"] == 550;
    pair.other_until("the other one does the same", is_like)
        .await;
    let limits = Limits::watch(&pair.engines);
    pair.restart().await;
    let again = pair
        .other_until("it looks again", |power| power["cap_watts"] == 550)
        .await;
    assert_eq!(acts(&again), acts(&met), "{again}");
    // Its own word has come by then.
    pair.restart().await;
    pair.other_until("it looks once more", is_like).await;
    assert!(!limits.was_lifted());
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_begins_anew_refuses_from_its_first_request_on_whom_the_others_refuse() {
    let (mut pair, _load) = Pair::busy().await;
    wait_for("the other one serves", async || {
        (pair.asked().await == 200).then_some(())
    })
    .await;
    // What keeps the engines busy did not come through a gateway: nothing is enough.
    json_of(&pair.place, "power event here --to 240 --for 1h").await;
    let sheds = |power: &Value| acts(power).contains(&"shed");
    until(&pair.place, "people are refused", sheds).await;
    pair.other_until("the other one refuses them", sheds).await;
    for _ in 0..3 {
        pair.restart().await;
        let mut looked = false;
        while !looked {
            let status = pair.asked().await;
            assert_ne!(status, 200, "nobody is served");
            let url = pair.other.at("/api/v1/sites/here/power");
            let power = http_get(&url, Some(&pair.key)).await;
            let power = power.map(|answer| serde_json::from_str::<Value>(&answer.text()));
            looked = power.is_ok_and(|power| power.is_ok_and(|power| power["cap_watts"] == 240));
        }
    }
    pair.stop().await;
}

/// The other one sees no runs: by itself it would lower clocks and refuse people though a job's pause is enough.
#[tokio::test(flavor = "multi_thread")]
async fn people_at_another_gateway_do_not_notice_what_a_job_that_stands_still_saves() {
    let pair = Pair::up().await;
    let _load = busy(&pair.engines);
    let bends = submit(&pair.place, "bends-shared", "[flex]\npause = \"1h\"").await;
    let all = until(&pair.place, "the engines and the job are busy", |power| {
        power["watts"].as_u64() > Some(740)
    })
    .await;
    let left = all["watts"].as_u64().unwrap() - 100;
    let command = format!("power event here --to {left} --for 1h");
    let event = json_of(&pair.place, &command).await;
    until(&pair.place, "the job stands", |power| {
        acts(power) == ["pause"]
    })
    .await;
    let shared = pair
        .other_until("the other one knows", |power| !acts(power).is_empty())
        .await;
    assert_eq!(acts(&shared), ["pause"], "{shared}");
    assert_eq!(state_of(&bends), Some('T'));
    json_of(&pair.place, &format!("power cancel here {}", event["id"])).await;
    wait_for("it goes on", async || goes_on(&bends).then_some(())).await;
    pair.other_until("all comes back there", |power| acts(power).is_empty())
        .await;
    pair.stop().await;
}
