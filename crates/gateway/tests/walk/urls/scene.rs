//! The fleet of these tests: engines, upstreams, and hosts that write down what they are asked for.

use super::host::{Asked, Host};
use crate::harness::{CHAT, Plan, World, chat};
use madang_audit::leaf::{Decision, Event};
use madang_gateway::clock;
use madang_testkit::{FakeEngine, FakeEngineOptions, HttpAnswer};
use madang_types::Stop;
use serde_json::{Value, json};

/// Our own engine `m`, upstreams `near` and `far` in the US, and one host that is listed twice: at home and abroad.
pub struct Scene {
    pub world: World,
    /// Of `near`, which speaks OpenAI's format, and `far`, which speaks Anthropic's.
    pub upstreams: [FakeEngine; 2],
    pub home: Host,
    pub abroad: Host,
    /// Is listed as a public one, and is not.
    pub sneaky: Host,
}

pub async fn scene() -> Scene {
    let speaking = |engine: &str| {
        FakeEngine::start(FakeEngineOptions {
            engine: engine.into(),
            ..FakeEngineOptions::default()
        })
    };
    let upstreams = [speaking("openai").await, speaking("anthropic").await];
    let (home, abroad, sneaky) = (
        Host::start().await,
        Host::start().await,
        Host::start().await,
    );
    let world = World::start(Plan {
        engines: 2,
        limits: "fetch_count_max = 4\nfetch_bytes_max = 65536\nfetch_ms_max = 5000".into(),
        ..Plan::default()
    })
    .await;
    home.watch(&world.gateway);
    let mut more =
        String::from("[policy]\nhome = \"KR\"\n[[site]]\nid = \"there\"\ncountry = \"US\"\n");
    for (id, site, host) in [("pics", "home", &home), ("pics-us", "there", &abroad)] {
        let url = host.url("");
        more += &format!("[[origin]]\nid = \"{id}\"\nsite = \"{site}\"\nurl = \"{url}\"\n");
    }
    more += &format!(
        "[[origin]]\nid = \"sneaky\"\nurl = \"http://localhost:{}\"\ncountry = \"KR\"\noperator_country = \"KR\"\n\
         [[origin]]\nid = \"tools\"\nurl = \"https://tools.example.kr\"\ncountry = \"KR\"\noperator_country = \"KR\"\n",
        sneaky.port
    );
    for (upstream, (id, dialect)) in upstreams
        .iter()
        .zip([("near", "openai"), ("far", "anthropic")])
    {
        more += &format!(
            "[[upstream]]\nid = \"{id}\"\ndialect = \"{dialect}\"\nurl = \"{}\"\ncountry = \"US\"\n\
             operator_country = \"US\"\nmodels = [{{ id = \"{id}\", upstream_model = \"m\" }}]\n",
            upstream.url()
        );
    }
    world.fleet_apply(&format!("{}\n{more}", world.fleet()));
    Scene {
        world,
        upstreams,
        home,
        abroad,
        sneaky,
    }
}

impl Scene {
    pub async fn ask(&self, model: &str, content: Value) -> HttpAnswer {
        self.ask_as(&[], model, content).await
    }

    pub async fn ask_as(
        &self,
        headers: &[(&str, &str)],
        model: &str,
        content: Value,
    ) -> HttpAnswer {
        let body =
            chat(json!({"model": model, "messages": [{"role": "user", "content": content}]}));
        self.world
            .send(CHAT, headers, &body)
            .await
            .collect()
            .await
            .unwrap()
    }

    /// All bodies that engines and upstreams were sent.
    pub fn sent(&self) -> Vec<Value> {
        let engines = self.world.engines.iter().chain(&self.upstreams);
        let requests = engines.flat_map(FakeEngine::requests);
        requests
            .map(|request| serde_json::from_slice(&request.body).unwrap())
            .collect()
    }

    pub fn asked(&self) -> Vec<Asked> {
        let hosts = [&self.home, &self.abroad, &self.sneaky];
        hosts.into_iter().flat_map(Host::asked).collect()
    }

    pub async fn stop(&self, scope: &str) {
        let stop = Stop {
            scope: scope.parse().unwrap(),
            reason: String::new(),
            set_by: "k1".parse().unwrap(),
            set_at: clock::now(),
        };
        self.world.gateway.stop_set(stop).await.unwrap();
    }

    /// The decisions in the log, each with its number.
    pub async fn decisions(&self) -> Vec<(u64, Decision)> {
        let leaves = (0..).zip(self.world.leaves().await);
        let decisions = leaves.filter_map(|(at, leaf)| match leaf.event {
            Event::Decision(decision) => Some((at, *decision)),
            _ => None,
        });
        decisions.collect()
    }
}
