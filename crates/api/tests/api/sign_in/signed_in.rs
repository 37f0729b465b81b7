//! What a sign-in may do, how it ends, and that it does not pile up.

use super::{PUBLIC, World, cookie, hanbit, refused};
use madang_testkit::eventually;
use serde_json::json;
use std::collections::BTreeMap;

#[tokio::test]
async fn a_session_may_what_its_role_may() {
    let world = World::start().await;
    let cookie = world.signed_in(hanbit()).await;
    for (method, path, status, code) in [
        ("GET", "/api/v1/tenants/hanbit", 200, ""),
        ("GET", "/openapi.json", 200, ""),
        ("GET", "/api/v1/status", 403, "role_forbidden"),
        ("POST", "/api/v1/reload", 403, "role_forbidden"),
        ("GET", "/audit/checkpoint", 403, "role_forbidden"),
        // The data plane takes no cookies.
        ("GET", "/v1/models", 401, "key_missing"),
        ("GET", "/metrics", 401, "key_missing"),
    ] {
        let answer = world.with(method, path, &cookie).await;
        assert_eq!(
            (answer.status, answer.code()),
            (status, code),
            "{method} {path}"
        );
    }
    let ops = world
        .signed_in(json!({"groups": ["ops"], "sub": "lee"}))
        .await;
    assert_eq!(world.with("POST", "/api/v1/reload", &ops).await.status, 200);
    let audit = &world.bench.control.gateway().audit;
    let signed = || audit.status().checkpoint_size > 0;
    assert!(eventually(signed).await, "a checkpoint is written");
    assert_eq!(
        world.with("GET", "/audit/checkpoint", &ops).await.status,
        200
    );
}

#[tokio::test]
async fn what_a_session_makes_ends_with_it() {
    let world = World::start().await;
    let admin = world
        .signed_in(json!({"email": "kim@hanbit.kr", "email_verified": true}))
        .await;
    let make = async |body: serde_json::Value| {
        let headers = [("cookie", admin.as_str()), ("origin", PUBLIC)];
        let body = body.to_string();
        world
            .bench
            .request(("POST", "/api/v1/keys"), &headers, Some(&body))
            .await
    };
    let lasting = make(json!({"tenant": "hanbit"})).await;
    assert_eq!(
        (lasting.status, lasting.param()),
        (403, "expires_at"),
        "{}",
        lasting.text
    );
    let me = world
        .with("GET", "/api/v1/me", &admin)
        .await
        .text_of("expires_at");
    let bounded = make(json!({"tenant": "hanbit", "expires_at": me})).await;
    assert_eq!(bounded.status, 201, "{}", bounded.text);
}

#[tokio::test]
async fn a_cookie_changes_nothing_for_another_site() {
    let world = World::start().await;
    let ops = world.signed_in(json!({"groups": ["ops"]})).await;
    let body = json!({"id": "evil"}).to_string();
    for headers in [
        vec![],
        vec![("origin", "https://evil.example")],
        vec![("origin", "null"), ("sec-fetch-site", "cross-site")],
        vec![("sec-fetch-site", "same-site")],
        vec![("origin", PUBLIC), ("sec-fetch-site", "cross-site")],
    ] {
        for (method, path) in [
            ("POST", "/api/v1/tenants"),
            ("POST", "/api/v1/reload"),
            ("PATCH", "/api/v1/tenants/hanbit"),
            ("DELETE", "/api/v1/programmes/startups-2026"),
            ("POST", "/auth/logout"),
            ("POST", "/api/v1/nothing"),
        ] {
            let mut headers = headers.clone();
            headers.push(("cookie", &ops));
            let answer = world
                .bench
                .request((method, path), &headers, Some(&body))
                .await;
            let refused = (answer.status, answer.code());
            assert_eq!(
                refused,
                (403, "origin_forbidden"),
                "{method} {path} {headers:?}"
            );
        }
    }
    let tenants = world.with("GET", "/api/v1/tenants", &ops).await;
    assert!(!tenants.text.contains("evil"));
    // A key in the header is no browser's doing.
    let key = format!("Bearer {}", world.bench.operator);
    let headers = [("cookie", ops.as_str()), ("authorization", key.as_str())];
    let answer = world
        .bench
        .request(("POST", "/api/v1/tenants"), &headers, Some(&body))
        .await;
    assert_eq!(answer.status, 201, "{}", answer.text);
}

#[tokio::test]
async fn a_key_is_taken_before_a_cookie_and_two_cookies_are_none() {
    let world = World::start().await;
    let signed_in = world.signed_in(hanbit()).await;
    let key = format!("Bearer {}", world.bench.operator);
    let role = async |headers: &[(&str, &str)]| {
        let answer = world
            .bench
            .request(("GET", "/api/v1/me"), headers, None)
            .await;
        answer.json["role"]
            .as_str()
            .unwrap_or(answer.code())
            .to_owned()
    };
    let cookie = ("cookie", signed_in.as_str());
    assert_eq!(role(&[cookie]).await, "member");
    assert_eq!(role(&[cookie, ("authorization", &key)]).await, "operator");
    assert_eq!(
        role(&[cookie, ("authorization", "Bearer mdg_x_y")]).await,
        "key_invalid"
    );
    assert_eq!(
        role(&[cookie, ("cookie", "madang_sign_in=x")]).await,
        "key_invalid"
    );
    assert_eq!(role(&[("cookie", "madang_sign_in=x")]).await, "key_invalid");
    assert_eq!(
        role(&[("cookie", &signed_in.replace("madang_", "__Host-madang_"))]).await,
        "key_missing"
    );
    // The operator's own key, in the cookie, is a key.
    let planted = format!("madang_sign_in={}", world.bench.operator);
    assert_eq!(role(&[("cookie", &planted)]).await, "operator");
}

#[tokio::test]
async fn who_signs_out_is_out() {
    let world = World::start().await;
    let [first, second] = [
        world.signed_in(hanbit()).await,
        world.signed_in(hanbit()).await,
    ];
    let answer = world.with("POST", "/auth/logout", &first).await;
    assert_eq!(answer.status, 204, "{}", answer.text);
    assert_eq!(
        answer.headers["set-cookie"],
        "madang_sign_in=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
    );
    let dead = world.with("GET", "/api/v1/me", &first).await;
    assert_eq!((dead.status, dead.code()), (401, "key_revoked"));
    assert!(
        dead.json["error"]["remedy"]
            .as_str()
            .unwrap()
            .contains("/auth/login")
    );
    let again = world.with("POST", "/auth/logout", &first).await;
    assert_eq!((again.status, again.code()), (401, "key_revoked"));
    assert_eq!(world.with("GET", "/api/v1/me", &second).await.status, 200);
    // A key is revoked as keys are.
    let answer = world
        .bench
        .send("POST", "/auth/logout", Some(&world.bench.operator), None)
        .await;
    assert_eq!((answer.status, answer.code()), (409, "conflict"));
    assert_eq!(
        world
            .bench
            .get("/api/v1/me", &world.bench.operator)
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_sign_in_ends_by_itself() {
    let world = World::start().await;
    let cookie = world.signed_in(hanbit()).await;
    let gateway = world.bench.control.gateway();
    let rows = world.bench.store().key_list(None).await.unwrap();
    let mut row = rows
        .into_iter()
        .find(|row| row.label == "oidc:kim")
        .unwrap();
    row.expires_at = Some(madang_gateway::clock::now());
    world.bench.store().key_put(row.clone()).await.unwrap();
    gateway.key_apply(row);
    let dead = world.with("GET", "/api/v1/me", &cookie).await;
    assert_eq!((dead.status, dead.code()), (401, "key_expired"));
    assert!(
        dead.text.contains("Sign in again: /auth/login."),
        "{}",
        dead.text
    );
    world.signed_in(hanbit()).await;
}

#[tokio::test]
async fn over_tls_cookies_are_this_hosts_alone() {
    let world = World::start().await;
    let file = std::fs::read_to_string(&world.bench.fleet_file).unwrap();
    let file = file.replace(PUBLIC, "https://madang.example.kr");
    std::fs::write(&world.bench.fleet_file, file).unwrap();
    world.bench.control.reload().await.unwrap();
    let begun = world.bench.request(("GET", "/auth/login"), &[], None).await;
    let place = begun.headers["location"].to_str().unwrap();
    assert!(
        place.contains("redirect_uri=https%3A%2F%2Fmadang.example.kr%2Fauth%2Fcallback"),
        "{place}"
    );
    let login = cookie(&begun, "__Host-madang_login").unwrap();
    let query = place.split_once('?').unwrap().1;
    let query: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let state = query["state"].clone();
    let code = world.provider.approve(query, json!({"groups": ["ops"]}));
    let answer = world
        .back(&[("code", &code), ("state", &state)], &login)
        .await;
    let line = answer.headers["set-cookie"].to_str().unwrap();
    assert!(
        line.ends_with("; Path=/; Max-Age=28800; HttpOnly; SameSite=Lax; Secure"),
        "{line}"
    );
    let ours = cookie(&answer, "__Host-madang_sign_in").unwrap();
    for (origin, status) in [
        ("https://madang.example.kr", 200),
        ("http://madang.example.kr", 403),
        (PUBLIC, 403),
    ] {
        let headers = [("cookie", ours.as_str()), ("origin", origin)];
        let answer = world
            .bench
            .request(("POST", "/api/v1/reload"), &headers, None)
            .await;
        assert_eq!(answer.status, status, "{origin}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_sign_in_stands_in_for_no_operators_key() {
    let world = World::start().await;
    let ops = world.signed_in(json!({"groups": ["ops"]})).await;
    let id = |key: &str| {
        key.rsplit_once("mdg_")
            .unwrap()
            .1
            .rsplit_once('_')
            .unwrap()
            .0
            .to_owned()
    };
    let last = id(&world.bench.operator);
    let kept = world
        .with("DELETE", &format!("/api/v1/keys/{last}"), &ops)
        .await;
    assert_eq!(
        (kept.status, kept.code()),
        (409, "conflict"),
        "{}",
        kept.text
    );
    let path = format!("/api/v1/keys/{}", id(&ops));
    let ended = world.bench.delete(&path, &world.bench.operator).await;
    assert_eq!(ended.status, 200, "{}", ended.text);
    assert_eq!(
        world.with("GET", "/api/v1/me", &ops).await.code(),
        "key_revoked"
    );
}

#[tokio::test]
async fn sign_ins_do_not_pile_up() {
    let world = World::start().await;
    let before = world.bench.store().key_list(None).await.unwrap().len();
    let mut cookies = Vec::new();
    for _ in 0..10 {
        cookies.push(world.signed_in(hanbit()).await);
    }
    let rows = world.bench.store().key_list(None).await.unwrap();
    assert_eq!(rows.len() - before, 4, "{rows:?}");
    for (place, cookie) in cookies.iter().enumerate() {
        let answer = world.with("GET", "/api/v1/me", cookie).await;
        let expected = if place < 6 { 401 } else { 200 };
        assert_eq!(answer.status, expected, "sign-in {place}: {}", answer.text);
    }
    world
        .signed_in(json!({"groups": ["hanbit"], "sub": "lee"}))
        .await;
    let rows = world.bench.store().key_list(None).await.unwrap();
    assert_eq!(rows.len() - before, 5, "another person has rows of its own");
}

#[tokio::test]
async fn who_is_given_something_else_keeps_nothing() {
    let world = World::start().await;
    let ops = world.signed_in(json!({"groups": ["ops"]})).await;
    let member = world.signed_in(hanbit()).await;
    // Its row is the new one's.
    let dead = world.with("GET", "/api/v1/me", &ops).await;
    assert_eq!((dead.status, dead.code()), (401, "key_invalid"));
    assert_eq!(world.with("GET", "/api/v1/me", &member).await.status, 200);
    let answer = world.sign_in(json!({"groups": ["others"]})).await;
    assert_eq!(refused(&answer), (403, "sign_in_unmapped"));
    let dead = world.with("GET", "/api/v1/me", &member).await;
    assert_eq!((dead.status, dead.code()), (401, "key_revoked"));
}

#[tokio::test]
async fn no_cookie_counts_where_nobody_signs_in() {
    let world = World::start().await;
    let cookie = world.signed_in(hanbit()).await;
    std::fs::write(&world.bench.fleet_file, &world.file).unwrap();
    world.bench.control.reload().await.unwrap();
    let answer = world.with("GET", "/api/v1/me", &cookie).await;
    assert_eq!((answer.status, answer.code()), (401, "key_missing"));
    for path in ["/auth/login", "/auth/callback?state=x&code=y"] {
        let answer = world.bench.request(("GET", path), &[], None).await;
        assert_eq!(
            (answer.status, answer.code()),
            (404, "url_not_found"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn sign_ins_are_in_the_audit_log_and_whose_they_are_is_not() {
    let world = World::start().await;
    let cookie = world
        .signed_in(json!({"groups": ["hanbit"], "sub": "a-very-personal-name"}))
        .await;
    world.with("POST", "/auth/logout", &cookie).await;
    let entries = world.bench.leaves().await;
    let key = cookie
        .trim_start_matches("madang_sign_in=mdg_")
        .rsplit_once('_')
        .unwrap()
        .0;
    for begun in [true, false] {
        let leaf = format!(
            r#"{{"sign_in":{{"key":"{key}","begun":{begun},"role":"member","tenant":"hanbit"}}}}"#
        );
        assert_eq!(entries.matches(&leaf).count(), 1, "{leaf}");
    }
    assert!(!entries.contains("personal"));
}
