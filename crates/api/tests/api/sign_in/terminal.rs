//! A terminal signs in by a browser: what a person allows, and what an attacker gets of it.

use super::{PUBLIC, World, cookie, hanbit};
use crate::bench::Answer;
use serde_json::json;

/// Of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const HERE: &str = "http://127.0.0.1:7181/";
const STATE: &str = "state-of-the-terminal";

fn page(redirect_uri: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("redirect_uri", redirect_uri)
        .append_pair("challenge", CHALLENGE)
        .append_pair("state", STATE)
        .finish();
    format!("/auth/terminal?{query}")
}

impl World {
    /// The person in the browser says yes: the code.
    async fn allowed(&self, cookie: &str) -> String {
        let answer = self.with("POST", &page(HERE), cookie).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        let place = answer.headers["location"].to_str().unwrap();
        let (url, state) = place.split_once("&state=").unwrap();
        assert_eq!(state, STATE);
        url.strip_prefix("http://127.0.0.1:7181/?code=")
            .unwrap()
            .to_owned()
    }

    async fn trade(&self, code: &str, verifier: &str) -> Answer {
        let body = json!({ "code": code, "verifier": verifier }).to_string();
        self.bench
            .request(("POST", "/auth/terminal/key"), &[], Some(&body))
            .await
    }
}

#[tokio::test]
async fn a_person_allows_a_terminal_and_it_gets_a_key_that_ends_with_the_sign_in() {
    let world = World::start().await;
    let ask = async |headers: &[(&str, &str)]| {
        world
            .bench
            .request(("GET", &page(HERE)), headers, None)
            .await
    };
    let sent = ask(&[]).await;
    let login = format!(
        "{PUBLIC}/auth/login?return_to={}",
        form_urlencoded::byte_serialize(page(HERE).as_bytes()).collect::<String>()
    );
    assert_eq!(sent.status, 303, "{}", sent.text);
    assert_eq!(sent.headers["location"], login.as_str());
    let back = world
        .bench
        .request(("GET", &login[PUBLIC.len()..]), &[], None)
        .await;
    assert_eq!(back.status, 303, "the way back is taken: {}", back.text);

    let browser = world.signed_in(hanbit()).await;
    let shown = ask(&[("cookie", &browser)]).await;
    assert_eq!(shown.status, 200, "{}", shown.text);
    for told in [
        HERE,
        &CHALLENGE[..8],
        "member of the tenant hanbit",
        "method=\"post\"",
    ] {
        assert!(shown.text.contains(told), "{told}: {}", shown.text);
    }
    let policy = shown.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains("frame-ancestors 'none'") && !policy.contains("script"),
        "{policy}"
    );
    assert_eq!(shown.headers["cache-control"], "no-store");

    let code = world.allowed(&browser).await;
    let made = world.trade(&code, VERIFIER).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.headers["cache-control"], "no-store");
    let key = made.text_of("key");
    let me = world.bench.get("/api/v1/me", &key).await;
    let browsers = world.with("GET", "/api/v1/me", &browser).await;
    for field in ["role", "tenant", "label", "expires_at"] {
        assert_eq!(me.text_of(field), browsers.text_of(field), "{field}");
    }
    assert_ne!(me.text_of("id"), browsers.text_of("id"));
    let leaf = format!(r#"{{"sign_in":{{"key":"{}","begun":true"#, me.text_of("id"));
    let leaves = world.bench.leaves().await;
    assert_eq!(leaves.matches(&leaf).count(), 1, "{leaves}");
    assert!(!leaves.contains(&key) && !leaves.contains(&code));

    let bearer = format!("Bearer {key}");
    let out = [("authorization", &*bearer)];
    let out = world
        .bench
        .request(("POST", "/auth/logout"), &out, None)
        .await;
    assert_eq!(out.status, 204, "{}", out.text);
    assert_eq!(
        world.bench.get("/api/v1/me", &key).await.code(),
        "key_revoked"
    );
    assert_eq!(world.with("GET", "/api/v1/me", &browser).await.status, 200);
}

#[tokio::test]
async fn a_code_is_worth_nothing_without_its_verifier_and_counts_once() {
    let world = World::start().await;
    let browser = world.signed_in(hanbit()).await;
    let code = world.allowed(&browser).await;
    let refused = async |code: &str, verifier: &str| {
        let answer = world.trade(code, verifier).await;
        let told = (answer.status, answer.code());
        assert_eq!(
            told,
            (401, "sign_in_invalid"),
            "{code} {verifier}: {}",
            answer.text
        );
    };
    refused("", "").await;
    refused(&code[1..], VERIFIER).await;
    assert_eq!(world.trade(&code, VERIFIER).await.status, 201);
    refused(&code, VERIFIER).await;
    for wrong in ["", CHALLENGE, &VERIFIER[1..], &VERIFIER.to_uppercase()] {
        let code = world.allowed(&browser).await;
        refused(&code, wrong).await;
        // Whoever guesses has one try.
        refused(&code, VERIFIER).await;
    }
    let (earlier, later) = (world.allowed(&browser).await, world.allowed(&browser).await);
    refused(&earlier, VERIFIER).await;
    assert_eq!(world.trade(&later, VERIFIER).await.status, 201);
    let code = world.allowed(&browser).await;
    world.with("POST", "/auth/logout", &browser).await;
    refused(&code, VERIFIER).await;
}

#[tokio::test]
async fn nobody_but_our_own_page_has_a_code_made() {
    let world = World::start().await;
    let browser = world.signed_in(hanbit()).await;
    for headers in [
        vec![],
        vec![("origin", "https://evil.example")],
        vec![("origin", "null"), ("sec-fetch-site", "cross-site")],
        vec![("sec-fetch-site", "same-site")],
        vec![("origin", HERE.trim_end_matches('/'))],
    ] {
        let mut headers = headers;
        headers.push(("cookie", &browser));
        let answer = world
            .bench
            .request(("POST", &page(HERE)), &headers, None)
            .await;
        let told = (answer.status, answer.code());
        assert_eq!(told, (403, "origin_forbidden"), "{headers:?}");
    }
    let nobody = world.bench.request(("POST", &page(HERE)), &[], None).await;
    assert_eq!((nobody.status, nobody.code()), (401, "key_missing"));
    let key = format!("Bearer {}", world.bench.operator);
    let headers = [("authorization", &*key)];
    let key = world
        .bench
        .request(("POST", &page(HERE)), &headers, None)
        .await;
    assert_eq!(
        (key.status, key.code()),
        (409, "conflict"),
        "a key allows none"
    );
    for method in ["GET", "POST"] {
        for elsewhere in [
            "https://evil.example/",
            "http://evil.example:80/",
            "http://localhost:7181/",
            "http://127.0.0.1:7181@evil.example/",
            "http://127.0.0.1:7181/x",
            "http://127.0.0.1/",
            "javascript:alert(1)",
        ] {
            let answer = world.with(method, &page(elsewhere), &browser).await;
            let told = (answer.status, answer.code(), answer.param());
            assert_eq!(
                told,
                (400, "field_invalid", "redirect_uri"),
                "{method} {elsewhere}"
            );
            assert!(!answer.headers.contains_key("location"));
        }
    }
    let twice = format!("{}&redirect_uri=http%3A%2F%2Fevil.example%2F", page(HERE));
    let twice = world.with("POST", &twice, &browser).await;
    assert_eq!((twice.status, twice.code()), (400, "field_duplicate"));
}

#[tokio::test]
async fn a_dead_sign_in_is_sent_to_the_provider_and_terminals_count_among_a_persons_four() {
    let world = World::start().await;
    let browser = world.signed_in(hanbit()).await;
    let mut keys = Vec::new();
    for _ in 0..4 {
        let code = world.allowed(&browser).await;
        keys.push(world.trade(&code, VERIFIER).await);
    }
    // The fifth of a person's ended the oldest: the browser's own.
    assert_eq!(keys[3].status, 201, "{}", keys[3].text);
    for key in &keys {
        let me = world.bench.get("/api/v1/me", &key.text_of("key")).await;
        assert_eq!(me.status, 200, "{}", me.text);
    }
    let headers = [("cookie", &*browser)];
    let sent = world
        .bench
        .request(("GET", &page(HERE)), &headers, None)
        .await;
    let place = sent.headers["location"].to_str().unwrap();
    assert!(
        place.starts_with(&format!("{PUBLIC}/auth/login?")),
        "{place}"
    );
    assert_eq!(cookie(&sent, "madang_sign_in"), None);
    let two = [("cookie", &*browser), ("cookie", &*browser)];
    let two = world.bench.request(("GET", &page(HERE)), &two, None).await;
    assert_eq!(
        (two.status, two.code()),
        (401, "key_invalid"),
        "no endless way"
    );
}
