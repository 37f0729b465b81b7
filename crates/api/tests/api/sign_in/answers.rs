//! Answers that reach the callback: forged, mixed up, replayed, or saying no.

use super::{Begun, World, cookie, hanbit, refused};
use serde_json::json;

/// What comes back with which cookies; `CODE`, `STATE` and `OTHER` stand for what was given out, `LOGIN` for the browser's cookie
/// and `THEIRS` for another browser's.
const FORGED: [(&str, &str, &str); 18] = [
    ("no cookie", "code=CODE&state=STATE", ""),
    ("another's cookie", "code=CODE&state=STATE", "THEIRS"),
    ("two cookies", "code=CODE&state=STATE", "LOGIN; THEIRS"),
    (
        "a cookie that is none",
        "code=CODE&state=STATE",
        "madang_login=x",
    ),
    (
        "a cookie by another name",
        "code=CODE&state=STATE",
        "__Host-LOGIN",
    ),
    (
        "a cookie with more in it",
        "code=CODE&state=STATE",
        "LOGIN.x",
    ),
    ("no state", "code=CODE", "LOGIN"),
    ("an empty state", "code=CODE&state=", "LOGIN"),
    ("another's state", "code=CODE&state=OTHER", "LOGIN"),
    ("two states", "code=CODE&state=STATE&state=x", "LOGIN"),
    ("two codes", "code=CODE&code=x&state=STATE", "LOGIN"),
    ("no code", "state=STATE", "LOGIN"),
    ("a code that was never given", "code=x&state=STATE", "LOGIN"),
    ("no", "error=access_denied&state=STATE", "LOGIN"),
    (
        "no, and a code",
        "error=access_denied&code=CODE&state=STATE",
        "LOGIN",
    ),
    ("no, without a state", "error=access_denied", "LOGIN"),
    (
        "another issuer",
        "code=CODE&state=STATE&iss=https://evil.example",
        "LOGIN",
    ),
    ("an empty issuer", "code=CODE&state=STATE&iss=", "LOGIN"),
];

#[tokio::test]
async fn an_answer_counts_for_the_sign_in_that_the_browser_began() {
    let world = World::start().await;
    let other = world.begin().await;
    let Begun {
        cookie: login,
        query,
    } = world.begin().await;
    let state = query["state"].clone();
    let code = world.provider.approve(query, hanbit());
    let filled = |text: &str| {
        [
            ("CODE", &code),
            ("STATE", &state),
            ("OTHER", &other.query["state"]),
            ("LOGIN", &login),
            ("THEIRS", &other.cookie),
        ]
        .iter()
        .fold(text.to_owned(), |text, (name, value)| {
            text.replace(name, value)
        })
    };
    for (what, query, cookies) in FORGED {
        let path = format!("/auth/callback?{}", filled(query));
        let headers = [("cookie", filled(cookies))];
        let headers = headers
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        let answer = world.bench.request(("GET", &path), &headers, None).await;
        assert_eq!(refused(&answer), (401, "sign_in_invalid"), "{what}");
    }
    // None of these has used the code up.
    let issuer = world.provider.issuer.clone();
    let answer = world
        .back(
            &[("code", &code), ("state", &state), ("iss", &issuer)],
            &login,
        )
        .await;
    assert_eq!(answer.status, 303, "{}", answer.text);
}

#[tokio::test]
async fn an_answer_ends_the_sign_in_whatever_it_says() {
    let world = World::start().await;
    let ends = |answer: &crate::bench::Answer| {
        let lines = answer.headers.get_all("set-cookie").iter();
        lines
            .filter(|line| line.to_str().unwrap().starts_with("madang_login=; "))
            .count()
            == 1
    };
    let Begun {
        cookie: login,
        query,
    } = world.begin().await;
    let no = world
        .back(
            &[("error", "<b>no</b>"), ("state", &query["state"])],
            &login,
        )
        .await;
    assert_eq!(refused(&no), (401, "sign_in_invalid"));
    assert!(ends(&no) && no.text.contains("'bnob'"), "{}", no.text);
    // But no stranger ends it.
    let Begun { cookie: login, .. } = world.begin().await;
    let forged = world.back(&[("error", "no"), ("state", "x")], &login).await;
    assert!(!ends(&forged), "{forged:?}");
}

#[tokio::test]
async fn a_code_of_another_sign_in_is_of_no_use() {
    let world = World::start().await;
    // A code that somebody else got, put into one's own answer: the verifier is another one.
    let stolen = world.begin().await;
    let code = world
        .provider
        .approve(stolen.query, json!({"groups": ["ops"]}));
    let Begun {
        cookie: login,
        query,
    } = world.begin().await;
    let answer = world
        .back(&[("code", &code), ("state", &query["state"])], &login)
        .await;
    assert_eq!(refused(&answer), (401, "sign_in_invalid"));
}

#[tokio::test]
async fn an_answer_to_a_sign_in_at_another_provider_is_of_no_use() {
    let world = World::start().await;
    let Begun {
        cookie: login,
        query,
    } = world.begin().await;
    let state = query["state"].clone();
    let other = World::start().await;
    let code = other.provider.approve(query, hanbit());
    let answer = other
        .back(&[("code", &code), ("state", &state)], &login)
        .await;
    assert_eq!(refused(&answer), (401, "sign_in_invalid"));
}

#[tokio::test]
async fn a_provider_that_names_itself_in_answers_must_do_so() {
    let world = World::start().await;
    let names = json!({"authorization_response_iss_parameter_supported": true});
    world.provider.set(|script| script.configuration = names);
    let answer = world.sign_in(hanbit()).await;
    assert_eq!(refused(&answer), (401, "sign_in_invalid"));
    let Begun {
        cookie: login,
        query,
    } = world.begin().await;
    let state = query["state"].clone();
    let code = world.provider.approve(query, hanbit());
    let issuer = world.provider.issuer.clone();
    let answer = world
        .back(
            &[("code", &code), ("state", &state), ("iss", &issuer)],
            &login,
        )
        .await;
    assert!(
        cookie(&answer, "madang_sign_in").is_some(),
        "{}",
        answer.text
    );
}
