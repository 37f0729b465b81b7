//! Providers that are away, broken, or not who they should be: a clear refusal, and keys go on working.

use super::{World, hanbit, refused};
use serde_json::{Value, json};

const CONFIGURATION: &str = "/.well-known/openid-configuration";
const NO_HTTPS: &str = "is not one of https://";
/// URLs of a configuration that lead elsewhere, and what is said of each.
const ELSEWHERE: [(&str, &str, &str); 9] = [
    (
        "authorization_endpoint",
        "http://evil.example/authorize",
        NO_HTTPS,
    ),
    ("authorization_endpoint", "javascript:alert(1)", NO_HTTPS),
    (
        "authorization_endpoint",
        "https://evil.example/#x",
        NO_HTTPS,
    ),
    ("token_endpoint", "http://evil.example/token", NO_HTTPS),
    ("token_endpoint", "http://127.0.0.1:1/token", NO_HTTPS),
    ("token_endpoint", "/token", NO_HTTPS),
    ("token_endpoint", "unix:/run/x", "is none"),
    ("jwks_uri", "http://10.0.0.7/keys", NO_HTTPS),
    (
        "jwks_uri",
        "https://user@evil.example/keys",
        "an engine's address holds no user name or password",
    ),
];

#[tokio::test]
async fn a_provider_that_cannot_be_used_is_told_of() {
    let world = World::start().await;
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(300_000));
    let text = str::to_owned;
    for (path, status, body, told) in [
        (CONFIGURATION, 500, text("{}"), "status 500"),
        (CONFIGURATION, 404, text("not here"), "no JSON"),
        (CONFIGURATION, 200, text("<html>"), "no JSON"),
        (CONFIGURATION, 200, text("[]"), "is wrong"),
        (CONFIGURATION, 200, large.clone(), "262144 bytes"),
        (CONFIGURATION, 302, text("{}"), "redirects"),
        ("/keys", 200, text("{}"), "no set of keys"),
        ("/keys", 500, text("{\"keys\": []}"), "no set of keys"),
        ("/keys", 200, large.clone(), "262144 bytes"),
        ("/token", 500, text("{}"), "status 500"),
        ("/token", 200, text("{}"), "no ID token"),
        ("/token", 200, text("{\"id_token\": 7}"), "no ID token"),
        (
            "/token",
            401,
            text("{\"error\": \"invalid_client\"}"),
            "'invalid_client'",
        ),
        ("/token", 400, text("{\"error\": \"<script>\"}"), "'script'"),
        ("/token", 302, text("{}"), "redirects"),
        ("/token", 200, large, "262144 bytes"),
    ] {
        world.provider.set(|script| {
            script.answers.clear();
        });
        world.fleet("").await;
        let begun = match path {
            "/token" => Some(world.begin().await),
            _ => None,
        };
        world
            .provider
            .set(|script| drop(script.answers.insert(path, (status, body))));
        let answer = match begun {
            None => world.bench.request(("GET", "/auth/login"), &[], None).await,
            Some(begun) => {
                let state = begun.query["state"].clone();
                let code = world.provider.approve(begun.query, hanbit());
                world
                    .back(&[("code", &code), ("state", &state)], &begun.cookie)
                    .await
            }
        };
        assert_eq!(
            refused(&answer),
            (503, "sign_in_unavailable"),
            "{path} {status}"
        );
        assert!(answer.text.contains(told), "{told}: {}", answer.text);
        assert!(
            answer.json["error"]["remedy"]
                .as_str()
                .unwrap()
                .contains("[sign_in]")
        );
    }
    assert_eq!(
        world.provider.asked_count("/elsewhere"),
        0,
        "no redirect is followed"
    );
    let keys = world.bench.get("/api/v1/me", &world.bench.operator).await;
    assert_eq!(keys.status, 200);
}

#[tokio::test]
async fn a_provider_that_is_away_is_left_alone_for_a_moment() {
    let world = World::start().await;
    world
        .provider
        .set(|script| drop(script.answers.insert(CONFIGURATION, (500, "{}".into()))));
    for _ in 0..3 {
        let answer = world.bench.request(("GET", "/auth/login"), &[], None).await;
        assert_eq!(refused(&answer), (503, "sign_in_unavailable"));
    }
    assert_eq!(world.provider.asked_count(CONFIGURATION), 1);
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let issuer = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let file = std::fs::read_to_string(&world.bench.fleet_file).unwrap();
    let file = file.replace(&world.provider.issuer, &issuer);
    std::fs::write(&world.bench.fleet_file, file).unwrap();
    world.bench.control.reload().await.unwrap();
    let answer = world.bench.request(("GET", "/auth/login"), &[], None).await;
    assert_eq!(refused(&answer), (503, "sign_in_unavailable"));
}

#[tokio::test]
async fn a_provider_that_says_nothing_is_not_waited_for() {
    let world = World::start().await;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let issuer = format!("http://{}", silent.local_addr().unwrap());
    let file = std::fs::read_to_string(&world.bench.fleet_file).unwrap();
    let file = file.replace(&world.provider.issuer, &issuer);
    std::fs::write(&world.bench.fleet_file, file).unwrap();
    world.bench.control.reload().await.unwrap();
    let answer = world.bench.request(("GET", "/auth/login"), &[], None).await;
    assert_eq!(refused(&answer), (503, "sign_in_unavailable"));
    assert!(
        answer.text.contains("no answer within 5000 ms"),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn a_configuration_that_leads_elsewhere_is_not_believed() {
    let world = World::start().await;
    let slashed = format!("{}/", world.provider.issuer);
    let names = |issuer: &str| format!("its configuration names the issuer '{issuer}'");
    let evil = "https://evil.example";
    let is_wrong = |what: &str| format!("its configuration is wrong: invalid type: {what}");
    let others = [
        ("issuer", json!(evil), names(evil)),
        ("issuer", json!(slashed), names(&slashed)),
        ("issuer", Value::Null, is_wrong("null")),
        ("authorization_endpoint", Value::Null, is_wrong("null")),
        ("jwks_uri", json!(7), is_wrong("integer `7`")),
    ];
    let urls =
        ELSEWHERE.map(|(name, url, why)| (name, json!(url), format!("its URL '{url}' {why}")));
    for (name, value, told) in others.into_iter().chain(urls) {
        world
            .provider
            .set(|script| script.configuration = json!({ name: value }));
        world.fleet("").await;
        let answer = world.bench.request(("GET", "/auth/login"), &[], None).await;
        let refused = refused(&answer);
        assert_eq!(refused, (503, "sign_in_unavailable"), "{name}: {value}");
        let message = answer.json["error"]["message"].as_str().unwrap();
        assert!(message.contains(&told), "{told}: {message}");
    }
}

#[tokio::test]
async fn the_secret_goes_the_way_that_the_provider_wants_it() {
    let world = World::start().await;
    for (methods, in_form) in [
        (Value::Null, false),
        (json!(["client_secret_basic", "client_secret_post"]), false),
        (json!(["client_secret_post"]), true),
        (json!(["private_key_jwt"]), false),
    ] {
        world.provider.set(|script| {
            script.asked.clear();
            script.configuration = match methods.clone() {
                Value::Null => json!({}),
                methods => json!({"token_endpoint_auth_methods_supported": methods}),
            };
        });
        world.fleet("").await;
        world.signed_in(hanbit()).await;
        let script = world.provider.script.lock().unwrap();
        let asked = script
            .asked
            .iter()
            .find(|(path, _)| path == "/token")
            .unwrap();
        assert_eq!(asked.1.is_empty(), in_form, "{methods}");
    }
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_told_at_the_load() {
    let world = World::start().await;
    let path = world.bench.fleet_file.with_file_name("oidc.key");
    std::fs::write(&path, "\n").unwrap();
    let error = world.bench.control.reload().await.unwrap_err().to_string();
    assert!(
        error.contains("the key of 'sign_in'") && error.contains("empty"),
        "{error}"
    );
    // What was loaded before goes on.
    world.signed_in(hanbit()).await;
}
