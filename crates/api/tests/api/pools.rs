//! Pools as the API shows them, and what an engine's own page changes in them.

use crate::bench::{Answer, Bench};
use madang_testkit::eventually;
use serde_json::{Value, json};

/// Two thousand tokens or so: enough to be looked for in a cache.
async fn ask(bench: &Bench, key: &str) -> Answer {
    let words = "the same beginning each time ".repeat(400);
    let body =
        json!({"model": "m", "max_tokens": 4, "messages": [{"role": "user", "content": words}]});
    let answer = bench.post("/v1/chat/completions", key, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer
}

async fn pool(bench: &Bench) -> Value {
    let pools = bench.get("/api/v1/pools", &bench.operator).await;
    assert_eq!(pools.json["data"].as_array().unwrap().len(), 1);
    pools.json["data"][0].clone()
}

#[tokio::test]
async fn a_pool_tells_who_had_how_much_and_where() {
    let bench = Bench::start().await;
    let (_, key) = bench.tenant("alpha").await;
    assert!(eventually(|| bench.control.replicas().iter().any(|r| r.state == "up")).await);
    ask(&bench, &key).await;
    let shown = pool(&bench).await;
    assert_eq!(
        [&shown["model"], &shown["waiting"], &shown["jain_ratio"]],
        [&json!("m"), &json!(0), &json!(1.0)]
    );
    assert_eq!(
        shown["attempts"],
        json!({"first": 1, "retry": 0, "retry_denied": 0, "hedge": 0, "preempted": 0})
    );
    let tenant = &shown["tenants"][0];
    assert_eq!(
        [
            &tenant["tenant"],
            &tenant["service_ratio"],
            &tenant["over_share"]
        ],
        [&json!("alpha"), &json!(1.0), &json!(false)]
    );
    assert!(tenant["service_us"].as_u64() > Some(0), "{shown}");
    let member = &shown["members"][0];
    assert_eq!(
        [
            &member["replica"],
            &member["slots"],
            &member["kv_tokens"],
            &member["available"]
        ],
        [&json!("r1"), &json!(4), &json!(100_000), &json!(true)]
    );
    let status = bench.get("/api/v1/status", &bench.operator).await;
    assert_eq!(status.json["pools"][0]["members"][0]["replica"], "r1");
    // The same figures, for Prometheus.
    let metrics = bench.get("/metrics", &bench.operator).await.text;
    for line in [
        "madang_attempts_total{model=\"m\",kind=\"first\"} 1",
        "madang_tenant_service_ratio{model=\"m\",tenant=\"alpha\"} 1.0",
        "madang_replica_kv_tokens{model=\"m\",replica=\"r1\",site=\"here\"} 100000.0",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn an_engine_that_began_anew_has_lost_its_cache() {
    let bench = Bench::start().await;
    let (_, key) = bench.tenant("alpha").await;
    let told = |started_s| {
        let replicas = bench.control.replicas();
        let load = replicas.first().and_then(|r| r.load);
        load.and_then(|load| load.started_s) == Some(started_s)
    };
    bench.engine.set_started_s(1_795_000_000);
    assert!(eventually(|| told(1_795_000_000)).await);
    ask(&bench, &key).await;
    let believed = pool(&bench).await["members"][0]["cached_tokens"].as_u64();
    assert!(believed > Some(1_000), "{believed:?}");

    bench.engine.set_started_s(1_795_000_600);
    assert!(eventually(|| told(1_795_000_600)).await);
    assert_eq!(pool(&bench).await["members"][0]["cached_tokens"], 0);
}
