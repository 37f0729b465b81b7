//! Every route and every credential that is none: refused before anything happens.

use super::{World, operations};
use crate::bench::Bench;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use madang_gateway::clock;
use madang_types::{KeyId, ProgrammeId, Role, TenantId};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde_json::json;
use std::collections::BTreeSet;

/// What comes with a request in place of a good key.
struct Shown {
    headers: Vec<(&'static str, String)>,
    query: &'static str,
}

fn header(name: &'static str, value: impl Into<String>) -> Shown {
    let headers = vec![(name, value.into())];
    Shown { headers, query: "" }
}

/// One operation as its owner would ask it.
struct Route {
    method: String,
    path: String,
    body: Option<String>,
}

fn routes(world: &World) -> Vec<Route> {
    let rows = world.rows();
    let told: BTreeSet<String> = rows.iter().map(|row| row.operation.to_owned()).collect();
    assert_eq!(told, operations(world.bench.document()));
    let documented = rows.into_iter().map(|row| Route {
        method: row.operation.split(' ').next().unwrap().to_owned(),
        path: row.path,
        body: row.body.map(|body| body.to_string()),
    });
    let said = json!([{"role": "user", "content": "hi"}]);
    let ask =
        json!({"model": "m", "messages": said, "prompt": "hi", "input": "hi", "max_tokens": 2});
    let ask = ask.to_string();
    let others = [
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/completions"),
        ("POST", "/v1/embeddings"),
        ("POST", "/v1/responses"),
        ("POST", "/v1/messages"),
        ("POST", "/v1/messages/count_tokens"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/m"),
        ("GET", "/metrics"),
        ("GET", "/audit/checkpoint"),
        ("GET", "/audit/tile/0/000"),
        ("GET", "/audit"),
        ("GET", "/openapi.json"),
        ("GET", "/api/v1"),
        ("POST", "/api/v1/absent"),
        ("DELETE", "/v1/chat/completions"),
    ];
    let others = others.into_iter().map(|(method, path)| Route {
        method: method.to_owned(),
        path: path.to_owned(),
        body: (method == "POST").then(|| ask.clone()),
    });
    documented.chain(others).collect()
}

/// The keys that were good once: expired, revoked, of a tenant that was removed.
async fn ended(bench: &Bench) -> Vec<String> {
    let mut ended = Vec::new();
    for number in 0..2 {
        let (id, text) = bench.key_of("ours", "alpha", Role::TenantAdmin).await;
        let id = KeyId::new(&id).unwrap();
        let mut record = bench.store().key_get(id).await.unwrap().unwrap();
        match number {
            0 => record.expires_at = Some(clock::now()),
            _ => record.revoked_at = Some(clock::now()),
        }
        bench.store().key_put(record.clone()).await.unwrap();
        bench.control.gateway().key_apply(record);
        ended.push(text);
    }
    ended.push(bench.tenant("removed").await.1);
    let removed = TenantId::new("removed").unwrap();
    let mut removed = bench.store().tenant_get(removed).await.unwrap().unwrap();
    removed.disabled_at = Some(clock::now());
    bench.store().tenant_put(removed.clone()).await.unwrap();
    bench.control.gateway().tenant_apply(removed);
    ended
}

/// Texts that are no key, and are like one, lie beside one, or mean something to a database.
async fn no_keys(world: &World) -> Vec<String> {
    let bench = &world.bench;
    let good = &bench.operator;
    let (head, secret) = good.rsplit_once('_').unwrap();
    let (other_head, other_secret) = world.keys[1].rsplit_once('_').unwrap();
    let stored = KeyId::new(head.trim_start_matches("mdg_")).unwrap();
    let stored = bench.store().key_get(stored).await.unwrap().unwrap();
    let hash: String = stored
        .secret_hash
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    vec![
        String::new(),
        good[..good.len() - 1].to_owned(),
        format!("{good}x"),
        good.to_uppercase(),
        format!("{head}_"),
        format!("mdg__{secret}"),
        secret.to_owned(),
        format!("{head}_{other_secret}"),
        format!("{other_head}_{secret}"),
        // What lies in the books, and what other parts of the program call a token.
        format!("{head}_{hash}"),
        STANDARD.encode(stored.secret_hash),
        world.requests[0].clone(),
        bench.control.gateway().audit.status().size.to_string(),
        "eyJhbGciOiJub25lIn0.eyJyb2xlIjoib3BlcmF0b3IifQ.".to_owned(),
        "' OR '1'='1' --".to_owned(),
        format!("{head}_' OR secret_hash IS NOT NULL --"),
        "{{7*7}}".to_owned(),
        "null".to_owned(),
        "x".repeat(5_000),
    ]
}

/// Everything that is no valid credential, next to valid ones that are shown in the wrong way.
async fn credentials(world: &World, seed: u64) -> Vec<Shown> {
    let mut texts = no_keys(world).await;
    texts.extend(ended(&world.bench).await);
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    for _ in 0..8 {
        let length = random.random_range(1..60);
        let letters = (0..length).map(|_| char::from(random.random_range(0x20..0x7f_u8)));
        texts.push(letters.collect());
    }
    let mut shown: Vec<Shown> = Vec::new();
    for text in texts {
        shown.push(header("authorization", format!("Bearer {text}")));
        shown.push(header("x-api-key", text));
    }
    shown.extend(elsewhere(&world.bench.operator));
    shown
}

/// A good key where no key is looked for, and claims that nobody may make.
fn elsewhere(good: &str) -> Vec<Shown> {
    let mut shown = vec![
        Shown {
            headers: Vec::new(),
            query: "",
        },
        header(
            "authorization",
            format!("Basic {}", STANDARD.encode(format!("{good}:"))),
        ),
        header("authorization", good),
        header(
            "cookie",
            format!("madang_sign_in={good}; madang_login={good}"),
        ),
    ];
    shown.push(Shown {
        headers: vec![
            ("authorization", format!("Bearer {good}")),
            ("x-api-key", format!("{good}x")),
        ],
        query: "",
    });
    let claims = [
        "proxy-authorization",
        "api-key",
        "x-goog-api-key",
        "x-madang-key",
        "x-madang-tenant",
        "x-forwarded-user",
        "x-forwarded-for",
        "x-original-url",
        "forwarded",
    ];
    shown.extend(claims.map(|name| header(name, format!("Bearer {good}"))));
    for host in [
        "localhost",
        "127.0.0.1",
        "healthz",
        "/healthz?",
        "169.254.169.254",
    ] {
        shown.push(header("host", host));
    }
    shown.push(Shown {
        headers: Vec::new(),
        query: "?key=KEY&api_key=KEY&access_token=KEY",
    });
    shown
}

/// What a caller could have changed: the books, the log, the engine's work.
async fn state(world: &World) -> Vec<String> {
    let bench = &world.bench;
    let mut seen = world.theirs().await;
    for path in [
        "/api/v1/programmes",
        "/api/v1/tenants",
        "/api/v1/projects",
        "/api/v1/keys",
        "/api/v1/budgets",
        "/api/v1/allocations",
        "/api/v1/prices",
        "/api/v1/exchanges",
        "/api/v1/stops",
        "/api/v1/usage",
        "/api/v1/requests",
    ] {
        seen.push(bench.get(path, &bench.operator).await.text);
    }
    seen.push(format!("{:?}", bench.control.gateway().audit.status().size));
    seen.push(format!(
        "{:?}",
        bench.control.gateway().snapshot().generation
    ));
    seen.push(format!("{:?}", bench.engine.served()));
    seen
}

#[tokio::test]
async fn invariant_13_without_a_valid_credential_nothing_is_told_and_nothing_happens() {
    let world = World::start().await;
    let seed = clock::now().0.unsigned_abs();
    println!("seed {seed}");
    let shown = credentials(&world, seed).await;
    let before = state(&world).await;
    for route in routes(&world) {
        for Shown { headers, query } in &shown {
            let headers: Vec<_> = headers
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            let query = query.replace("KEY", &world.bench.operator);
            let path = format!("{}{query}", route.path);
            let call = (route.method.as_str(), path.as_str());
            let answer = world
                .bench
                .request(call, &headers, route.body.as_deref())
                .await;
            let told = format!("{} {path} {headers:?}: {}", route.method, answer.text);
            assert_eq!(answer.status, 401, "{told}");
            assert!(
                matches!(
                    answer.code(),
                    "key_missing" | "key_invalid" | "key_expired" | "key_revoked"
                ),
                "{told}"
            );
            assert_eq!(answer.headers["www-authenticate"], "Bearer", "{told}");
            for word in ["alpha", "beta", "theirs"] {
                assert!(!answer.text.contains(word), "{told}");
            }
        }
    }
    assert_eq!(state(&world).await, before, "something happened");
}

/// The gate and the router read one path: no header makes what is asked another thing than what was permitted.
#[tokio::test]
async fn cve_2026_49468_no_header_changes_the_route_that_the_gate_sees() {
    let world = World::start().await;
    let member = format!("Bearer {}", world.keys[3]);
    let named = [
        "/v1/models",
        "/healthz",
        "localhost",
        "127.0.0.1:80@evil.example",
    ];
    let names = [
        "host",
        "x-forwarded-host",
        "x-forwarded-prefix",
        "x-original-url",
        "x-rewrite-url",
        "x-http-method-override",
        "forwarded",
    ];
    for route in routes(&world).iter().filter(|route| route.method == "GET") {
        let call = (route.method.as_str(), route.path.as_str());
        let key = ("authorization", member.as_str());
        let plain = world.bench.request(call, &[key], None).await;
        for (name, value) in names
            .iter()
            .flat_map(|name| named.map(|value| (*name, value)))
        {
            let answer = world.bench.request(call, &[key, (name, value)], None).await;
            let told = format!("{call:?} {name}: {value}: {}", answer.text);
            assert_eq!(
                (answer.status, answer.code()),
                (plain.status, plain.code()),
                "{told}"
            );
        }
    }
}

/// No name of who somebody is can be empty, so no path of the code can make up such an identity.
#[test]
fn invariant_13_nobody_is_not_a_name() {
    assert!(KeyId::new("").is_err() && TenantId::new("").is_err());
    assert!("".parse::<ProgrammeId>().is_err());
}
