//! What the core is told of a request: who pays, how its prompt begins, how its answer goes on and what it cost.

use crate::harness::{CHAT, Plan, World, chat, events, header, streamed};
use madang_core::recording::Step;
use madang_core::{AttemptEnd, Input, RequestSubmit};
use madang_gateway::clock;
use madang_store::conformance::sample;
use madang_testkit::{FakeEngineOptions, http_get};
use madang_types::Tenant;
use serde_json::{Value, json};

async fn recorded(engine: FakeEngineOptions, replica: &str) -> World {
    World::start(Plan {
        engine,
        replica: replica.into(),
        record: true,
        ..Plan::default()
    })
    .await
}

/// What the core was told since the start.
async fn inputs(world: World) -> Vec<Input> {
    let text = world.close().await;
    let steps = text.lines().map(serde_json::from_str::<Step>);
    steps.map(|step| step.unwrap().input).collect()
}

fn submits(inputs: &[Input]) -> Vec<&RequestSubmit> {
    inputs
        .iter()
        .filter_map(|input| match input {
            Input::RequestSubmit(submit) => Some(submit),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn prompts_that_begin_alike_are_told_to() {
    let world = recorded(FakeEngineOptions::default(), "").await;
    let long = "a story that goes on and on. ".repeat(200);
    let turn = |role: &str, content: &str| json!({"role": role, "content": content});
    let talk = [
        turn("system", &long),
        turn("user", "what then?"),
        turn("assistant", &long),
    ];
    for (headers, more) in [
        (vec![], json!({"messages": talk[..2]})),
        (
            vec![("x-madang-session", "talk-1")],
            json!({"messages": talk}),
        ),
        (
            vec![],
            json!({"messages": talk, "prompt_cache_key": "talk-1"}),
        ),
        (
            vec![],
            json!({"messages": [turn("user", &long)], "prompt_cache_key": "talk-2"}),
        ),
    ] {
        let answer = world.send(CHAT, &headers, &chat(more)).await;
        assert_eq!(answer.collect().await.unwrap().status, 200);
    }
    let key = world.key.clone();
    let inputs = inputs(world).await;
    let submits = submits(&inputs);
    let [short, talk, again, other] = submits.as_slice() else {
        panic!("{submits:?}");
    };
    assert_eq!(short.payer.tenant.as_str(), "demo");
    assert!(key.contains(short.payer.key.as_str()));
    let blocks = &short.prefix.blocks;
    assert_eq!((blocks.len(), talk.prefix.blocks.len()), (5, 11));
    assert_eq!(talk.prefix.blocks[..5], blocks[..]);
    assert_eq!(talk.prefix, again.prefix);
    assert_eq!(
        other
            .prefix
            .blocks
            .iter()
            .filter(|hash| blocks.contains(hash))
            .count(),
        0
    );
    assert!(
        (200..300).contains(&short.prefix.block_tokens),
        "{:?}",
        short.prefix
    );
    assert_eq!(short.session, None);
    assert!(talk.session.is_some());
    assert_eq!(talk.session, again.session);
    assert_ne!(other.session, again.session);
}

#[tokio::test]
async fn the_core_hears_how_a_stream_goes_on_and_what_it_cost() {
    let engine = FakeEngineOptions {
        token_ms: 15,
        ..FakeEngineOptions::default()
    };
    let world = recorded(engine, "").await;
    world.stream(json!({"max_tokens": 150})).await;
    let whole = world.chat(json!({"max_tokens": 3})).await.json().unwrap();
    world.behave("no-usage");
    world.chat(json!({})).await;
    let inputs = inputs(world).await;
    let progress = inputs.iter().filter_map(|input| match input {
        Input::Progress { output_tokens, .. } => Some(*output_tokens),
        _ => None,
    });
    // At 15 ms for each token the second one is due after a second, with at least 64 more.
    let progress: Vec<u64> = progress.collect();
    assert!((64..128).contains(&progress[0]), "{progress:?}");
    assert!(progress.len() <= 2 && progress.iter().all(|tokens| *tokens <= 150));
    let ends = inputs.iter().filter_map(|input| match input {
        Input::AttemptEnd {
            attempt: 1,
            end: AttemptEnd::Done,
            spent,
            ..
        } => Some(*spent),
        _ => None,
    });
    let ends: Vec<_> = ends.collect();
    let [Some(stream), Some(last), None] = ends.as_slice() else {
        panic!("{ends:?}");
    };
    assert_eq!((stream.output_tokens, stream.cached_tokens), (150, Some(2)));
    assert_eq!((last.output_tokens, last.cached_tokens), (3, Some(2)));
    assert_eq!(
        Value::from(last.prompt_tokens),
        whole["usage"]["prompt_tokens"]
    );
    let first_bytes = inputs
        .iter()
        .filter(|i| matches!(i, Input::FirstByte { .. }));
    assert_eq!(first_bytes.count(), 1, "a whole answer has none of its own");
}

#[tokio::test]
async fn the_core_hears_of_shares_where_they_changed() {
    let world = recorded(FakeEngineOptions::default(), "").await;
    let tenant = crate::harness::tenant_row("demo");
    let programme = sample::programme("startups", 2).unwrap();
    let put = |weight: u32| {
        let weighted = Tenant {
            weight,
            programme: Some(programme.id.clone()),
            ..tenant.clone()
        };
        world.gateway.tenant_apply(weighted);
    };
    world.gateway.tenant_apply(tenant.clone());
    world.gateway.programme_apply(programme.clone());
    put(3);
    put(3);
    world.gateway.people_refresh().await.unwrap();
    world.gateway.tenant_apply(Tenant {
        disabled_at: Some(clock::now()),
        ..tenant.clone()
    });
    let told = inputs(world)
        .await
        .into_iter()
        .filter_map(|input| match input {
            Input::SharesApply(shares) => {
                let programmes = shares.programmes.iter().map(|(id, w)| format!("{id}={w}"));
                let tenants = shares.tenants.iter().map(|share| {
                    let of = share.programme.as_ref().map(ToString::to_string);
                    format!(
                        "{}={} of {}",
                        share.tenant,
                        share.weight,
                        of.unwrap_or_default()
                    )
                });
                Some(programmes.chain(tenants).collect::<Vec<_>>().join(", "))
            }
            _ => None,
        });
    let weight = programme.weight;
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            // At the start, and nothing where nothing changed.
            "demo=1 of ".to_owned(),
            format!("startups={weight}, demo=1 of "),
            format!("startups={weight}, demo=3 of startups"),
            // The books know of none of these changes.
            "demo=1 of ".to_owned(),
            String::new(),
        ]
    );
}

#[tokio::test]
async fn an_adapter_is_a_model_of_its_own_name() {
    let engine = FakeEngineOptions {
        engine: "llama.cpp".into(),
        ..FakeEngineOptions::default()
    };
    let world = recorded(
        engine,
        "adapters = [\"m-legal\"]\nupstream_model = \"base\"",
    )
    .await;
    let body = json!({"model": "m-legal"});
    let url = format!("{}/v1/models", world.url);
    let listed = http_get(&url, Some(&world.key))
        .await
        .unwrap()
        .json()
        .unwrap();
    let names: Vec<&str> = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["m", "m-legal"]);
    assert_eq!(listed["data"][1]["sites"], json!(["home"]));
    let stream = world.send(CHAT, &[], &streamed(body.clone())).await;
    assert_eq!(header(&stream.headers, "x-madang-model"), "m-legal");
    events(stream).await;
    assert_eq!(world.chat(json!({})).await.status, 200);
    let sent: Vec<Value> = world.engines[0]
        .requests_to(CHAT)
        .iter()
        .map(|request| serde_json::from_slice(&request.body).unwrap())
        .collect();
    assert_eq!(
        (&sent[0]["model"], &sent[1]["model"]),
        (&json!("m-legal"), &json!("base"))
    );
    let record = world.records(2).await.remove(0);
    assert_eq!(record.model.unwrap().as_str(), "m-legal");
    let inputs = inputs(world).await;
    let submits = submits(&inputs);
    assert_eq!(submits[0].model.as_str(), "m-legal");
}
