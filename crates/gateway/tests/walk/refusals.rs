//! What is refused, with which status, code and field; and that nobody without a key learns anything.

use crate::harness::{CHAT, Plan, World, chat, code, header, key_put};
use http::Method;
use madang_gateway::clock;
use madang_testkit::{HttpAnswer, RawClient, RawEnd, http_get, http_send};
use madang_types::{Micros, Role};
use serde_json::{Value, json};
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(20);
const EMBEDDER: &str = "[[model]]\nid = \"embed-ko\"\nkind = \"embedding\"\ncontext_tokens = 512\n[[replica]]\nid = \"re\"\nsite = \"home\"\nmodel = \"embed-ko\"\nupstream_model = \"m\"\nurl = \"{URL}\"\nengine = \"vllm\"\nslots = 2\n";

async fn world() -> World {
    World::start(Plan {
        model: "tools = \"none\"".into(),
        more: EMBEDDER.into(),
        limits:
            "body_bytes_max = 20000\njson_depth_max = 8\nbody_read_ms_max = 1000\nmessages_max = 3"
                .into(),
        ..Plan::default()
    })
    .await
}

fn assert_refused(answer: &HttpAnswer, expected: (u16, &str, Option<&str>), what: &str) {
    let json = answer.json().unwrap();
    let param = json["error"]["param"].as_str();
    assert_eq!(
        (answer.status, code(&json), param),
        expected,
        "{what}: {json}"
    );
    let error = &json["error"];
    for field in ["message", "type", "remedy", "doc"] {
        assert!(error[field].is_string(), "{what}: {json}");
    }
    let id = header(&answer.headers, "x-madang-request-id");
    assert_eq!(error["request_id"], Value::from(id), "{what}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

type Expected<'a> = (u16, &'static str, Option<&'a str>);

const NOT_JSON: Expected = (400, "body_not_json", None);

fn invalid(field: &str) -> Expected<'_> {
    (400, "field_invalid", Some(field))
}

fn missing(field: &str) -> Expected<'_> {
    (400, "field_missing", Some(field))
}

fn unsupported(field: &str) -> Expected<'_> {
    (400, "feature_unsupported", Some(field))
}

/// Each body at its path is refused as expected, and no engine hears of it.
async fn check_bodies(cases: &[(&str, &str, Expected<'_>)]) {
    let world = world().await;
    for (path, body, expected) in cases {
        let answer = world.post(path, body).await;
        let what: String = body.chars().take(100).collect();
        assert_refused(&answer, *expected, &what);
    }
    assert!(world.engines[0].requests().is_empty() && world.spare.requests().is_empty());
    world.records(cases.len()).await;
}

#[tokio::test]
async fn bodies_that_are_no_object_are_refused() {
    let good = chat(json!({}));
    let deep = format!(
        "{{\"model\":\"m\",\"x\":{}{}}}",
        "[".repeat(9),
        "]".repeat(9)
    );
    let (trailing, marked) = (format!("{good}x"), format!("\u{feff}{good}"));
    let large = "x".repeat(20_001);
    let twice = (400, "field_duplicate", Some("model"));
    let no_objects = [
        "",
        " ",
        "x",
        "{",
        "[]",
        "null",
        "\"m\"",
        "7",
        "{} {}",
        "{\"model\":\"m\",}",
    ];
    let mut cases: Vec<(&str, &str, Expected)> = vec![
        (CHAT, &trailing, NOT_JSON),
        (CHAT, &marked, NOT_JSON),
        (CHAT, &deep, (400, "body_too_deep", None)),
        (CHAT, &large, (413, "body_too_large", None)),
        (CHAT, r#"{"model":"m","model":"m"}"#, twice),
        (CHAT, r#"{"model":"m","\u006dodel":"m"}"#, twice),
    ];
    cases.extend(no_objects.iter().map(|body| (CHAT, *body, NOT_JSON)));
    check_bodies(&cases).await;
}

#[tokio::test]
async fn bodies_with_a_field_at_fault_are_refused_with_its_name() {
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let with = |more: Value| chat(more);
    let (stream, bound) = (
        with(json!({"stream": "yes"})),
        with(json!({"max_tokens": -1})),
    );
    let (none, tools) = (with(json!({"n": 0})), with(json!({"tools": tools})));
    let embedder = with(json!({"model": "embed-ko"}));
    let four = vec![json!({"role": "user", "content": "hi"}); 4];
    let many = with(json!({"messages": four}));
    let many_items = json!({"model": "m", "input": four}).to_string();
    let wrong_door = (400, "model_endpoint_unsupported", Some("model"));
    let (embed, respond) = ("/v1/embeddings", "/v1/responses");
    check_bodies(&[
        (CHAT, "{}", missing("model")),
        (CHAT, r#"{"model":null}"#, missing("model")),
        (CHAT, r#"{"model":7}"#, invalid("model")),
        (CHAT, r#"{"model":"m"}"#, missing("messages")),
        (CHAT, r#"{"model":"m","messages":[]}"#, invalid("messages")),
        (
            CHAT,
            r#"{"model":"m","messages":"hi"}"#,
            invalid("messages"),
        ),
        (CHAT, r#"{"model":"m","messages":{}}"#, invalid("messages")),
        (
            CHAT,
            r#"{"model":"m","messages":[7]}"#,
            invalid("messages[0]"),
        ),
        (CHAT, &many, invalid("messages")),
        (respond, &many_items, invalid("input")),
        (CHAT, &stream, invalid("stream")),
        (CHAT, &bound, invalid("max_tokens")),
        (CHAT, &none, invalid("n")),
        (CHAT, &tools, unsupported("tools")),
        (CHAT, &embedder, wrong_door),
        (embed, r#"{"model":"m","input":"a"}"#, wrong_door),
        (
            embed,
            r#"{"model":"embed-ko","input":"a","stream":true}"#,
            unsupported("stream"),
        ),
        (embed, r#"{"model":"embed-ko"}"#, missing("input")),
        ("/v1/completions", r#"{"model":"m"}"#, missing("prompt")),
        (
            respond,
            r#"{"model":"m","input":"a","previous_response_id":"x"}"#,
            unsupported("previous_response_id"),
        ),
        (
            respond,
            r#"{"model":"m","input":"a","background":true}"#,
            unsupported("background"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn an_unknown_model_is_answered_with_the_nearest() {
    let world = world().await;
    let unknown = (404, "model_not_found", Some("model"));
    for (name, near) in [
        ("embed-kr", "embed-ko"),
        ("EMBED_KO", "embed-ko"),
        ("M", "m"),
        ("한국", "embed-ko"),
        ("a b", "embed-ko"),
        ("", "embed-ko"),
    ] {
        let answer = world.chat(json!({"model": name})).await;
        assert_refused(&answer, unknown, name);
        assert!(answer.text().contains(near), "{name}: {}", answer.text());
    }
    let long = "x".repeat(10_000);
    let answer = world.chat(json!({"model": long})).await;
    assert_refused(&answer, unknown, "long");
    assert!(answer.body.len() < 1_000);
    let url = format!("{}/v1/models/embed-kr", world.url);
    let answer = http_get(&url, Some(&world.key)).await.unwrap();
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("embed-ko"));
}

#[tokio::test]
async fn headers_that_say_nothing_known_are_refused() {
    let world = world().await;
    let (class, priority) = ("x-madang-data-class", "x-madang-priority");
    let (session, long) = ("x-madang-session", "x".repeat(257));
    for (headers, at) in [
        (vec![(class, "secret")], class),
        (vec![(class, "Open")], class),
        (vec![(class, "")], class),
        (vec![(class, "open"), (class, "classified")], class),
        (vec![(priority, "urgent")], priority),
        (vec![(priority, "0")], priority),
        (vec![(session, "a"), (session, "b")], session),
        (vec![(session, long.as_str())], session),
        (
            vec![("x-madang-data-clas", "classified")],
            "x-madang-data-clas",
        ),
        (
            vec![(class, "open"), ("x-madang_data_flags", "pii")],
            "x-madang_data_flags",
        ),
        (vec![("x-madang-site", "here")], "x-madang-site"),
        (vec![("x-madang-tenant", "court")], "x-madang-tenant"),
        (vec![("x-madang-class", "open")], "x-madang-class"),
    ] {
        let answer = world.send(CHAT, &headers, &chat(json!({}))).await;
        let answer = answer.collect().await.unwrap();
        let expected = (400, "header_invalid", Some(at));
        assert_refused(&answer, expected, &format!("{headers:?}"));
        assert!(answer.text().contains(at));
    }
    assert!(world.engines[0].requests().is_empty());
}

/// Sends a head and these parts of a body; gives what comes back.
async fn raw(world: &World, head: &str, parts: &[&[u8]]) -> (Option<u16>, String, RawEnd) {
    let mut client = RawClient::connect(&world.url).await.unwrap();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n{head}\r\n\r\n",
        world.key
    );
    client.send(head.as_bytes()).await.unwrap();
    for part in parts {
        // The gateway may have answered and closed already.
        client.send(part).await.ok();
    }
    let read = client.read_until(b"}}", WAIT).await;
    let end = client.read_to_close(Duration::from_millis(1)).await.end;
    (read.status(), read.text(), end)
}

#[tokio::test]
async fn bodies_that_come_oddly() {
    let world = world().await;
    let check = async |head: &str, parts: &[&[u8]], expected: (u16, &str)| {
        let (status, text, _) = raw(&world, head, parts).await;
        assert_eq!(status, Some(expected.0), "{head}: {text}");
        assert!(text.contains(expected.1), "{head}: {text}");
    };
    let chunked = "transfer-encoding: chunked";
    let good = chat(json!({}));
    let chunk = |bytes: &[u8]| {
        let mut all = format!("{:x}\r\n", bytes.len()).into_bytes();
        all.extend_from_slice(bytes);
        all.extend_from_slice(b"\r\n");
        all
    };
    let (first, second) = good.as_bytes().split_at(20);
    let parts = [chunk(first), chunk(second), b"0\r\n\r\n".to_vec()];
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    check(chunked, &parts, (200, "usage")).await;

    let large = chunk(&[b' '; 15_000]);
    let parts: [&[u8]; 3] = [&large, &large, &large];
    check(chunked, &parts, (413, "body_too_large")).await;
    check("content-length: 20001", &[b"{"], (413, "body_too_large")).await;
    check("content-length: 99999999999", &[], (413, "body_too_large")).await;

    let mut text = good.clone().into_bytes();
    let at = text.windows(2).position(|w| w == b"wh").unwrap();
    text[at] = 0xff;
    let head = format!("content-length: {}", text.len());
    check(&head, &[&text], (400, "UTF-8")).await;

    check(
        "content-length: 100",
        &[b"{\"model\":"],
        (408, "body_timeout"),
    )
    .await;
    check(chunked, &[b"5\r\n{"], (408, "limits.body_read_ms_max")).await;
    world.assert_idle("odd bodies").await;
}

#[tokio::test]
async fn keys() {
    let world = world().await;
    let put = async |tenant, role, edit: &dyn Fn(&mut madang_types::KeyRecord)| {
        let text = key_put(&*world.store, tenant, role, edit).await;
        world.gateway.people_refresh().await.unwrap();
        text
    };
    let expired = put(Some("demo"), Role::Member, &|k| {
        k.expires_at = Some(Micros(1))
    })
    .await;
    let revoked = put(Some("demo"), Role::Member, &|k| {
        k.revoked_at = Some(Micros(1))
    })
    .await;
    let disabled = put(Some("gone"), Role::Member, &|_| {}).await;
    let mut gone = crate::harness::tenant_row("gone");
    gone.disabled_at = Some(clock::now());
    world.gateway.tenant_apply(gone);
    let (good, wrong) = (&world.key, format!("{}x", world.key));
    let check = async |headers: &[(&str, &str)], expected: (u16, &str)| {
        let url = format!("{}{CHAT}", world.url);
        let stream = http_send(Method::POST, &url, headers, chat(json!({}))).await;
        let answer = stream.unwrap().collect().await.unwrap();
        let json = answer.json().unwrap();
        assert_eq!((answer.status, code(&json)), expected, "{headers:?}");
        if answer.status == 401 {
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            assert!(!answer.text().contains(&good[..8]), "{}", answer.text());
        }
    };
    let bearer = |key: &str| format!("Bearer {key}");
    let check_key = async |key: &str, expected: (u16, &str)| {
        check(&[("authorization", &bearer(key))], expected).await;
        check(&[("x-api-key", key)], expected).await;
    };
    check(&[], (401, "key_missing")).await;
    check_key(good, (200, "")).await;
    check_key(&wrong, (401, "key_invalid")).await;
    check_key("sk-1234", (401, "key_invalid")).await;
    check_key(&"x".repeat(5_000), (401, "key_invalid")).await;
    check_key(&expired, (401, "key_expired")).await;
    check_key(&revoked, (401, "key_revoked")).await;
    check_key(&disabled, (401, "key_revoked")).await;
    check_key(&world.operator_key, (403, "role_forbidden")).await;
    // Nobody is billed for them.
    world.records(2).await;
}

async fn ask(world: &World, (method, path): (&Method, &str), key: Option<&str>) -> HttpAnswer {
    let bearer = key.map(|key| format!("Bearer {key}"));
    let headers: Vec<(&str, &str)> = bearer
        .iter()
        .map(|bearer| ("authorization", bearer.as_str()))
        .collect();
    let url = format!("{}{path}", world.url);
    let stream = http_send(method.clone(), &url, &headers, "").await.unwrap();
    stream.collect().await.unwrap()
}

#[tokio::test]
async fn every_route_wants_a_key() {
    let world = world().await;
    let (get, post) = (Method::GET, Method::POST);
    let routes = [
        (&post, CHAT),
        (&post, "/v1/completions"),
        (&post, "/v1/embeddings"),
        (&post, "/v1/responses"),
        (&get, "/v1/models"),
        (&get, "/v1/models/m"),
        (&get, "/metrics"),
    ];
    for (method, path) in routes {
        for method in [method, &Method::DELETE, &Method::PUT] {
            let answer = ask(&world, (method, path), None).await;
            assert_eq!(answer.status, 401, "{method} {path}");
        }
        let answer = ask(&world, (&Method::DELETE, path), Some(&world.key)).await;
        assert_refused_method(&answer, method, path);
    }
    for path in [
        "/",
        "/v1",
        "/v1/chat",
        "/v1/images",
        "/api/v2",
        "/v1/chat/completions/x",
        "/admin",
    ] {
        for method in [&get, &post] {
            assert_eq!(
                ask(&world, (method, path), None).await.status,
                401,
                "{path}"
            );
            let answer = ask(&world, (method, path), Some(&world.key)).await;
            let json = answer.json().unwrap();
            assert_eq!(
                (answer.status, code(&json)),
                (404, "url_not_found"),
                "{path}"
            );
        }
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(ask(&world, (&get, path), None).await.status, 200, "{path}");
    }
}

fn assert_refused_method(answer: &HttpAnswer, method: &Method, path: &str) {
    let json = answer.json().unwrap();
    let found = (answer.status, code(&json));
    assert_eq!(found, (405, "method_not_allowed"), "{path}");
    let allowed = answer.header("allow").unwrap_or_default();
    let allows = allowed.split(',').any(|m| m.trim() == method.as_str());
    assert!(allows, "{path} allows '{allowed}'");
}

#[tokio::test]
async fn pages_about_the_gateway() {
    let (world, get) = (world().await, Method::GET);
    assert_eq!(
        ask(&world, (&get, "/metrics"), Some(&world.key))
            .await
            .status,
        403
    );
    let metrics = ask(&world, (&get, "/metrics"), Some(&world.operator_key)).await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.header("content-type").unwrap().contains("text"));
    let models = ask(&world, (&get, "/v1/models"), Some(&world.key))
        .await
        .json()
        .unwrap();
    let names: Vec<&Value> = models["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| &m["id"])
        .collect();
    assert_eq!(names, ["embed-ko", "m"]);
    let one = ask(&world, (&get, "/v1/models/m"), Some(&world.key))
        .await
        .json()
        .unwrap();
    assert_eq!(one["id"], "m");
}

#[tokio::test]
async fn before_the_first_fleet_callers_are_asked_to_wait() {
    let world = World::start(Plan {
        loading: true,
        ..Plan::default()
    })
    .await;
    let answer = world.chat(json!({})).await;
    assert_refused(&answer, (503, "no_replica", None), "while it loads");
    assert_eq!(answer.header("retry-after"), Some("1"));
    world.fleet_apply(&world.fleet());
    assert_eq!(world.chat(json!({})).await.status, 200);
}
