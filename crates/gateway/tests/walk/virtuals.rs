//! Names that lead to one of several models, and models that stand in for one that policy denies: a frontier service abroad, and
//! an engine of ours.

use crate::harness::{CHAT, Plan, World, chat, code, header, text_below};
use http::HeaderMap;
use madang_testkit::{FakeEngine, FakeEngineOptions, HttpAnswer, http_get};
use serde_json::{Value, json};

const PHONE: &str = "010-2345-6789";
const SENSITIVE: [(&str, &str); 1] = [("x-madang-data-class", "sensitive")];
/// Prefers the frontier model.
const AUTO: &str =
    "[[virtual_model]]\nid = \"auto\"\ncandidates = [{ model = \"gpt\" }, { model = \"m\" }]\n";

struct Tracks {
    world: World,
    far: FakeEngine,
}

impl Tracks {
    async fn start(more: &str) -> Self {
        let far = FakeEngine::start(FakeEngineOptions::default()).await;
        let world = World::start(Plan::default()).await;
        let fleet = format!(
            "{}\n[[upstream]]\nid = \"far\"\ndialect = \"openai\"\nurl = \"{}\"\ncountry = \"US\"\noperator_country = \"US\"\n\
             models = [{{ id = \"gpt\", upstream_model = \"m\" }}]\n{more}",
            world.fleet(),
            far.url()
        );
        world.fleet_apply(&fleet);
        Self { world, far }
    }

    async fn ask(&self, model: &str, headers: &[(&str, &str)], text: &str) -> HttpAnswer {
        let more = json!({"model": model, "messages": [{"role": "user", "content": text}]});
        let answer = self.world.send(CHAT, headers, &chat(more)).await;
        answer.collect().await.unwrap()
    }

    /// What the engine of a track was sent last.
    fn sent(engine: &FakeEngine) -> Value {
        let requests = engine.requests();
        serde_json::from_slice(&requests.last().unwrap().body).unwrap()
    }
}

/// Model, site and country of an answer.
fn served(headers: &HeaderMap) -> [String; 3] {
    ["model", "site", "jurisdiction"].map(|name| header(headers, &format!("x-madang-{name}")))
}

/// All that lies in a folder, as text.
#[tokio::test]
async fn what_is_open_goes_abroad_and_what_is_sensitive_stays_at_home() {
    let tracks = Tracks::start(AUTO).await;
    let open = tracks.ask("auto", &[], "hello").await;
    assert_eq!(served(&open.headers), ["gpt", "far", "US"]);
    let decision = header(&open.headers, "x-madang-decision");
    assert!(decision.ends_with(" virtual:auto"), "{decision}");
    let closed = tracks.ask("auto", &SENSITIVE, "hello").await;
    assert_eq!(served(&closed.headers), ["m", "home", "KR"]);
    // Engines are asked by their own names, and their answers stay what they are.
    for engine in [&tracks.far, &tracks.world.engines[0]] {
        assert_eq!(Tracks::sent(engine)["model"], "m");
    }
    assert_eq!(open.json().unwrap()["model"], "m");
    let records = tracks.world.records(2).await;
    let models: Vec<String> = records
        .iter()
        .map(|record| record.model.as_ref().unwrap().to_string())
        .collect();
    assert_eq!(models, ["gpt", "m"]);
    let log = text_below(tracks.world.gateway.audit.folder());
    for model in ["gpt", "m"] {
        let leaf = format!("\"model_asked\":\"auto\",\"model\":\"{model}\"");
        assert!(log.contains(&leaf), "{leaf} in {log}");
    }
}

#[tokio::test]
async fn personal_data_is_masked_or_stays_at_home_as_the_operator_says() {
    let say = format!("call {PHONE}");
    let masked = Tracks::start(AUTO).await;
    let answer = masked.ask("auto", &[], &say).await;
    assert_eq!(served(&answer.headers), ["gpt", "far", "US"]);
    let decision = header(&answer.headers, "x-madang-decision");
    assert!(decision.starts_with("pii-abroad-masked "), "{decision}");
    assert!(!Tracks::sent(&masked.far).to_string().contains(PHONE));

    let at_home = "[[virtual_model]]\nid = \"auto\"\n\
                   candidates = [{ model = \"gpt\", flags_none = [\"pii\"] }, { model = \"m\" }]\n";
    let substitute = "[[policy.rule]]\nid = \"no-pii-abroad\"\neffect = \"deny\"\nreroute = \"m\"\ntext = \"-\"\n\
                      when = { flags_any = [\"pii\"], model = [\"gpt\"] }\n";
    for (more, model, via) in [
        (at_home, "auto", " virtual:auto"),
        (substitute, "gpt", " reroute:gpt"),
    ] {
        let tracks = Tracks::start(more).await;
        let answer = tracks.ask(model, &[], &say).await;
        assert_eq!(served(&answer.headers), ["m", "home", "KR"]);
        let decision = header(&answer.headers, "x-madang-decision");
        assert!(decision.ends_with(via), "{decision}");
        assert!(tracks.far.requests().is_empty());
        let sent = Tracks::sent(&tracks.world.engines[0]).to_string();
        assert!(sent.contains(PHONE), "{sent}");
        // What is open of it goes abroad as before.
        let answer = tracks.ask(model, &[], "hello").await;
        assert_eq!(served(&answer.headers), ["gpt", "far", "US"]);
    }
}

#[tokio::test]
async fn what_cannot_be_masked_is_served_where_it_need_not_be() {
    // A telephone number, where no placeholder can stand.
    let say = "data:text/plain;base64,Y2FsbCAwMTAtMjM0NS02Nzg5";
    let substitute = "[[policy.rule]]\nid = \"gpt-masked\"\neffect = \"mask\"\nreroute = \"m\"\ntext = \"-\"\n\
                      when = { model = [\"gpt\"] }\n";
    for (more, model, via) in [
        (AUTO, "auto", " virtual:auto"),
        (substitute, "gpt", " reroute:gpt"),
    ] {
        let tracks = Tracks::start(more).await;
        let answer = tracks.ask(model, &[], say).await;
        assert_eq!(served(&answer.headers), ["m", "home", "KR"], "{via}");
        let decision = header(&answer.headers, "x-madang-decision");
        assert!(decision.ends_with(via), "{decision}");
        assert!(tracks.far.requests().is_empty());
    }
    let tracks = Tracks::start("").await;
    let answer = tracks.ask("gpt", &[], say).await;
    let refused = answer.json().unwrap();
    assert_eq!((answer.status, code(&refused)), (403, "policy_denied"));
    let reason = &refused["error"]["reasons"][0];
    assert_eq!(reason["location"], "far", "{refused}");
    assert_eq!(reason["rules"], json!(["pii-abroad-masked"]));
    assert_eq!(reason["unmet"], json!(["pii-abroad-masked(maskable)"]));
    assert!(tracks.far.requests().is_empty());
    let log = text_below(tracks.world.gateway.audit.folder());
    let unmet = "\"unmet\":[\"far: pii-abroad-masked(maskable)\"]";
    assert!(log.contains(unmet), "{log}");
}

#[tokio::test]
async fn the_next_model_answers_where_the_first_one_is_down() {
    let tracks = Tracks::start(AUTO).await;
    tracks.far.set_behaviour("status:503".parse().unwrap());
    let answer = tracks.ask("auto", &[], "hello").await;
    assert_eq!(answer.status, 200);
    assert_eq!(served(&answer.headers), ["m", "home", "KR"]);
    let record = tracks.world.record().await;
    let told = (record.attempts, record.model.unwrap().to_string());
    assert_eq!(told, (2, "m".into()));
    // A name that is one model's stays so.
    let answer = tracks.ask("gpt", &[], "hello").await;
    assert_eq!(answer.status, 502);
    tracks.world.behave("status:503");
    let answer = tracks.ask("auto", &[], "hello").await;
    assert_eq!(answer.status, 502);
    tracks.world.assert_idle("after failures").await;
}

#[tokio::test]
async fn a_refusal_says_why_for_each_place_of_each_model() {
    let tracks = Tracks::start(AUTO).await;
    let classified = [("x-madang-data-class", "classified")];
    let answer = tracks.ask("auto", &classified, "hello").await;
    let json = answer.json().unwrap();
    assert_eq!((answer.status, code(&json)), (403, "policy_denied"));
    let reasons = json["error"]["reasons"].as_array().unwrap();
    let places: Vec<&str> = reasons
        .iter()
        .map(|reason| reason["location"].as_str().unwrap())
        .collect();
    assert_eq!(places, ["far", "home"], "{json}");
    assert!(tracks.far.requests().is_empty());
}

#[tokio::test]
async fn such_a_name_is_listed_with_its_candidates() {
    let tracks = Tracks::start(AUTO).await;
    let key = Some(tracks.world.key.as_str());
    let get = |path: &str| format!("{}{path}", tracks.world.url);
    let listed = http_get(&get("/v1/models"), key).await.unwrap();
    let listed = listed.json().unwrap();
    let rows = listed["data"].as_array().unwrap();
    let marked: Vec<(&str, bool)> = rows
        .iter()
        .map(|row| (row["id"].as_str().unwrap(), row["virtual"] == true))
        .collect();
    assert_eq!(marked, [("auto", true), ("gpt", false), ("m", false)]);
    let auto = http_get(&get("/v1/models/auto"), key).await.unwrap();
    let auto = auto.json().unwrap();
    assert_eq!(auto["candidates"], json!(["gpt", "m"]));
    assert_eq!(auto["sites"], json!(["far", "home"]));
    assert_eq!(auto["context_tokens"], 4096);
}
