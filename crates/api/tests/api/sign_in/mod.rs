//! People sign in at a provider that plays by the rules, and at one that does not.

mod answers;
mod provider;
mod providers;
mod signed_in;
mod terminal;
mod tokens;

use crate::bench::{Answer, Bench};
use provider::{CLIENT, Provider, SECRET};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Where the tests' browser believes that Madang is.
const PUBLIC: &str = "http://127.0.0.1:7080";

/// A server, a provider, and the browser of one person.
struct World {
    bench: Bench,
    provider: Provider,
    file: String,
}

/// A sign-in that has come to the provider's page.
struct Begun {
    cookie: String,
    query: BTreeMap<String, String>,
}

impl World {
    async fn start() -> Self {
        let bench = Bench::start().await;
        let provider = Provider::start().await;
        std::fs::write(
            bench.fleet_file.with_file_name("oidc.key"),
            format!("{SECRET}\n"),
        )
        .unwrap();
        let file = std::fs::read_to_string(&bench.fleet_file).unwrap();
        let world = Self {
            bench,
            provider,
            file,
        };
        world.fleet("").await;
        world
    }

    /// Loads the fleet with rules of sign-in, these before the usual ones; what is known of the provider is read anew.
    async fn fleet(&self, rules: &str) {
        let Self {
            bench,
            provider: Provider { issuer, .. },
            file,
        } = self;
        let text = format!(
            r#"{file}
[sign_in]
issuer = "{issuer}"
client_id = "{CLIENT}"
key_file = "oidc.key"
public_url = "{PUBLIC}"
scopes = ["groups", "email"]
rule = [ {rules}
    {{ claim = "groups", value = "ops", role = "operator" }},
    {{ claim = "groups", value = "hanbit", role = "member", tenant = "hanbit" }},
    {{ claim = "groups", value = "startups", role = "programme_manager", programme = "startups-2026" }},
    {{ claim = "groups", value = "ghosts", role = "member", tenant = "ghost" }},
    {{ claim = "groups", value = "ghost-makers", role = "programme_manager", programme = "ghost" }},
    {{ claim = "email", value = "kim@hanbit.kr", role = "tenant_admin", tenant = "hanbit" }},
]
"#
        );
        std::fs::write(&bench.fleet_file, text).unwrap();
        bench.control.reload().await.unwrap();
    }

    /// The browser is sent to the provider's page.
    async fn begin(&self) -> Begun {
        let answer = self
            .bench
            .request(("GET", "/auth/login?return_to=/console"), &[], None)
            .await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        let place = answer.headers["location"].to_str().unwrap();
        let (page, query) = place.split_once("?theme=dark&").unwrap();
        assert_eq!(page, format!("{}/authorize", self.provider.issuer));
        Begun {
            cookie: cookie(&answer, "madang_login").unwrap(),
            query: form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
        }
    }

    /// The browser comes back from the provider with this query and these cookies.
    async fn back(&self, query: &[(&str, &str)], cookies: &str) -> Answer {
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(query)
            .finish();
        let path = format!("/auth/callback?{query}");
        self.bench
            .request(("GET", &path), &[("cookie", cookies)], None)
            .await
    }

    /// A person with these claims signs in: what Madang says to that.
    async fn sign_in(&self, claims: Value) -> Answer {
        let Begun { cookie, query } = self.begin().await;
        let state = query["state"].clone();
        let code = self.provider.approve(query, claims);
        self.back(&[("code", &code), ("state", &state)], &cookie)
            .await
    }

    /// The same for a person who is let in: the cookie.
    async fn signed_in(&self, claims: Value) -> String {
        let answer = self.sign_in(claims).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        assert_eq!(answer.headers["location"], "/console");
        cookie(&answer, "madang_sign_in").unwrap()
    }

    /// A request of the browser's with a sign-in's cookie.
    async fn with(&self, method: &str, path: &str, cookie: &str) -> Answer {
        let headers = [
            ("cookie", cookie),
            ("origin", PUBLIC),
            ("sec-fetch-site", "same-origin"),
        ];
        self.bench.request((method, path), &headers, None).await
    }
}

/// A cookie that an answer sets, as a browser sends it.
fn cookie(answer: &Answer, name: &str) -> Option<String> {
    let all = answer.headers.get_all("set-cookie").iter();
    let mut all = all.map(|line| line.to_str().unwrap());
    let line = all.find(|line| line.starts_with(&format!("{name}=")))?;
    let pair = line.split(';').next().unwrap();
    (!pair.ends_with('=')).then(|| pair.to_owned())
}

fn hanbit() -> Value {
    json!({"groups": ["hanbit"]})
}

/// Nobody was signed in, and why.
fn refused(answer: &Answer) -> (u16, &str) {
    assert_eq!(cookie(answer, "madang_sign_in"), None, "{}", answer.text);
    (answer.status, answer.code())
}

#[tokio::test]
async fn a_person_signs_in_by_code_and_pkce() {
    let world = World::start().await;
    let Begun {
        cookie: login,
        query,
    } = world.begin().await;
    let expected = [
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", "http://127.0.0.1:7080/auth/callback"),
        ("scope", "openid groups email"),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in expected {
        assert_eq!(query[name], value, "{name}");
    }
    let state = query["state"].clone();
    let code = world.provider.approve(query, hanbit());
    let answer = world
        .back(
            &[("code", &code), ("state", &state), ("session_state", "x")],
            &login,
        )
        .await;
    assert_eq!(
        (answer.status, &answer.headers["location"]),
        (303, &"/console".parse().unwrap())
    );
    assert_eq!(answer.headers["cache-control"], "no-store");
    let lines: Vec<_> = answer
        .headers
        .get_all("set-cookie")
        .iter()
        .map(|line| line.to_str().unwrap())
        .collect();
    assert!(
        lines[0].ends_with("; Path=/; Max-Age=28800; HttpOnly; SameSite=Lax"),
        "{lines:?}"
    );
    assert_eq!(
        lines[1],
        "madang_login=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
    );

    let cookie = cookie(&answer, "madang_sign_in").unwrap();
    let me = world.with("GET", "/api/v1/me", &cookie).await;
    assert_eq!(me.status, 200, "{}", me.text);
    let told = ["role", "tenant", "label", "state"].map(|field| me.text_of(field));
    assert_eq!(told, ["member", "hanbit", "oidc:kim", "active"]);
    assert!(me.json["expires_at"].is_string());

    // The code is the provider's to refuse, the cookie is gone: an answer counts once.
    let again = world
        .back(&[("code", &code), ("state", &state)], &login)
        .await;
    assert_eq!(refused(&again), (401, "sign_in_invalid"));
}

#[tokio::test]
async fn a_claim_gives_a_role_and_nothing_gives_none() {
    let world = World::start().await;
    for (claims, role) in [
        (json!({"groups": ["x", "ops"]}), "operator"),
        (json!({"groups": "startups"}), "programme_manager"),
        (
            json!({"email": "kim@hanbit.kr", "email_verified": true}),
            "tenant_admin",
        ),
    ] {
        let cookie = world.signed_in(claims).await;
        let me = world.with("GET", "/api/v1/me", &cookie).await;
        assert_eq!(me.text_of("role"), role);
    }
    for claims in [
        json!({}),
        json!({"groups": []}),
        json!({"groups": ["others"]}),
        json!({"email": "kim@hanbit.kr", "email_verified": false}),
        json!({"groups": ["ghosts"]}),
        json!({"groups": ["ghost-makers"]}),
    ] {
        let answer = world.sign_in(claims.clone()).await;
        assert_eq!(refused(&answer), (403, "sign_in_unmapped"), "{claims}");
    }
}

#[tokio::test]
async fn a_sign_in_returns_to_a_path_of_our_own_alone() {
    let world = World::start().await;
    for place in [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "javascript:x",
        "",
        "console",
    ] {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("return_to", place)
            .finish();
        let path = format!("/auth/login?{query}");
        let answer = world.bench.request(("GET", &path), &[], None).await;
        let refused = (answer.status, answer.code(), answer.param());
        assert_eq!(refused, (400, "field_invalid", "return_to"), "{place}");
    }
    assert_eq!(
        world.provider.asked_count("/keys"),
        0,
        "nobody was asked for that"
    );
}
