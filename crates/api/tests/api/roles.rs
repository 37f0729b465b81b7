//! What a role may hand on, and the page that tells it.

use crate::bench::{Answer, Bench};
use madang_store::conformance::sample;
use madang_types::{Action, Reach, Role};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

const KEYS: &str = "/api/v1/keys";
const FORBIDDEN: &str = "role_forbidden";

/// Programme `ours` with the tenant `alpha`, `theirs` with `beta`.
async fn bench() -> Bench {
    let bench = Bench::start().await;
    for (programme, tenant) in [("ours", "alpha"), ("theirs", "beta")] {
        let op = &bench.operator;
        let made = json!({"id": programme});
        bench.post("/api/v1/programmes", op, made).await;
        let made = json!({"id": tenant, "programme": programme, "class_floor": "sensitive", "data_flags": ["health"]});
        assert_eq!(bench.post("/api/v1/tenants", op, made).await.status, 201);
    }
    bench
}

fn refused(answer: &Answer) -> (u16, &str, &str) {
    (answer.status, answer.code(), answer.param())
}

#[test]
fn the_page_holds_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/roles.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = page.split_once("<!-- rights -->\n").unwrap();
    let (_, tail) = rest.split_once("<!-- /rights -->\n").unwrap();
    let expected = format!("{head}<!-- rights -->\n{}<!-- /rights -->\n{tail}", table());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap();
    assert!(
        page == expected,
        "docs/roles.md is not what the table says: run the test with UPDATE=1"
    );
}

fn table() -> String {
    let roles = Role::ALL.map(|role| format!("`{role}`")).join(" | ");
    let mut text = format!("| | {roles} |\n|---|---|---|---|---|---|\n");
    for action in Action::ALL {
        let reaches = Role::ALL.map(|role| match role.reach(*action) {
            Reach::Nothing => "–",
            Reach::Own => "own",
            Reach::All => "all",
        });
        text += &format!("| {} | {} |\n", action.what(), reaches.join(" | "));
    }
    text
}

#[tokio::test]
async fn a_role_makes_no_key_of_one_above_it() {
    let bench = bench().await;
    for maker in Role::ALL {
        let (_, key) = bench.key_of("ours", "alpha", maker).await;
        for made in Role::ALL {
            let mut body = json!({"role": made});
            match made {
                Role::ProgrammeManager => body["programme"] = "ours".into(),
                Role::TenantAdmin | Role::Member => body["tenant"] = "alpha".into(),
                Role::Operator | Role::Auditor => {}
            }
            let mut allowed = vec![];
            match maker {
                Role::Operator => allowed.extend(Role::ALL),
                Role::ProgrammeManager => {
                    allowed = vec![Role::ProgrammeManager, Role::TenantAdmin, Role::Member];
                }
                Role::TenantAdmin => allowed = vec![Role::TenantAdmin, Role::Member],
                Role::Member | Role::Auditor => {}
            }
            let answer = bench.post(KEYS, &key, body).await;
            let expected = if allowed.contains(&made) { 201 } else { 403 };
            assert_eq!(
                answer.status, expected,
                "{maker} makes {made}: {}",
                answer.text
            );
        }
    }
}

#[tokio::test]
async fn who_a_key_belongs_to_follows_from_its_role() {
    let bench = bench().await;
    let (_, manager) = bench.key_of("ours", "", Role::ProgrammeManager).await;
    let (_, admin) = bench.key_of("", "alpha", Role::TenantAdmin).await;
    for (maker, body, expected) in [
        (
            &manager,
            json!({"role": "programme_manager"}),
            json!([null, "ours"]),
        ),
        (&admin, json!({}), json!(["alpha", null])),
        (
            &bench.operator,
            json!({"role": "auditor"}),
            json!([null, null]),
        ),
    ] {
        let made = bench.post(KEYS, maker, body).await;
        assert_eq!(
            json!([made.json["tenant"], made.json["programme"]]),
            expected,
            "{}",
            made.text
        );
    }
}

#[tokio::test]
async fn an_owner_that_does_not_fit_the_role_is_named() {
    let bench = bench().await;
    let (_, manager) = bench.key_of("ours", "", Role::ProgrammeManager).await;
    let check = async |maker: &str, body: &str, expected: &str| {
        let answer = bench.send("POST", KEYS, Some(maker), Some(body)).await;
        let got = format!("{} {}", answer.code(), answer.param());
        assert_eq!(got, expected, "{body}: {}", answer.text);
    };
    let (op, manager) = (bench.operator.as_str(), manager.as_str());
    check(
        op,
        r#"{"role": "programme_manager"}"#,
        "field_missing programme",
    )
    .await;
    check(op, r#"{"role": "tenant_admin"}"#, "field_missing tenant").await;
    check(manager, "{}", "field_missing tenant").await;
    let of_nobody = r#"{"role": "auditor", "tenant": "alpha"}"#;
    check(op, of_nobody, "field_invalid tenant").await;
    let of_nobody = r#"{"role": "operator", "programme": "ours"}"#;
    check(op, of_nobody, "field_invalid programme").await;
    let of_both = r#"{"tenant": "alpha", "programme": "ours"}"#;
    check(op, of_both, "field_invalid programme").await;
    let unknown = r#"{"role": "programme_manager", "programme": "our"}"#;
    check(op, unknown, "field_invalid programme").await;
    let foreign = r#"{"role": "programme_manager", "programme": "theirs"}"#;
    check(manager, foreign, "field_invalid programme").await;
    let rated = r#"{"role": "operator", "rate_requests_per_min": 1}"#;
    check(op, rated, "field_invalid role").await;
    check(
        op,
        r#"{"role": "auditor", "models": ["m"]}"#,
        "field_invalid role",
    )
    .await;
    let in_a_project = r#"{"role": "programme_manager", "programme": "ours", "project": "web"}"#;
    check(op, in_a_project, "field_invalid role").await;
}

#[tokio::test]
async fn no_key_makes_one_that_may_do_more_than_itself() {
    let bench = bench().await;
    let narrow = json!({
        "models": ["m"], "endpoints": ["chat", "messages"], "rate_requests_per_min": 10, "rate_tokens_per_min": 1000,
        "limit_micro_won": 5_000_000, "expires_at": "2099-01-01T00:00:00Z", "class_floor": "sensitive",
        "data_flags": ["minor"],
    });
    let with = |field: &str, value: Value| {
        let mut body = narrow.clone();
        body[field] = value;
        body
    };
    let mut admin = with("role", json!("tenant_admin"));
    admin["tenant"] = "alpha".into();
    let (_, admin) = bench.key_made(&bench.operator, admin).await;
    for same_or_less in [
        narrow.clone(),
        with("endpoints", json!(["chat"])),
        with("rate_requests_per_min", json!(9)),
        with("expires_at", json!("2098-01-01T00:00:00Z")),
        with("class_floor", json!("classified")),
        with("data_flags", json!(["minor", "health"])),
    ] {
        let made = bench.post(KEYS, &admin, same_or_less.clone()).await;
        assert_eq!(made.status, 201, "{same_or_less}: {}", made.text);
    }
    for (field, wider) in [
        ("models", json!([])),
        ("endpoints", json!([])),
        ("endpoints", json!(["chat", "embeddings"])),
        ("rate_requests_per_min", json!(11)),
        ("rate_requests_per_min", Value::Null),
        ("rate_tokens_per_min", json!(1001)),
        ("limit_micro_won", json!(5_000_001)),
        ("limit_micro_won", Value::Null),
        ("expires_at", json!("2099-01-01T00:00:00.000001Z")),
        ("expires_at", Value::Null),
        ("class_floor", json!("open")),
        ("data_flags", json!([])),
        ("data_flags", json!(["minor", "pseudonymised"])),
    ] {
        let body = with(field, wider);
        let answer = bench.post(KEYS, &admin, body.clone()).await;
        assert_eq!(
            refused(&answer),
            (403, FORBIDDEN, field),
            "{body}: {}",
            answer.text
        );
    }
    let (_, brief) = bench
        .key_made(
            &bench.operator,
            json!({"role": "operator", "expires_days": 1}),
        )
        .await;
    let answer = bench.post(KEYS, &brief, json!({"role": "operator"})).await;
    assert_eq!(
        refused(&answer),
        (403, FORBIDDEN, "expires_at"),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn a_manager_raises_floors_and_keeps_its_tenants_in_its_programme() {
    let bench = bench().await;
    let (_, manager) = bench.key_of("ours", "", Role::ProgrammeManager).await;
    let alpha = "/api/v1/tenants/alpha";
    for (body, status, code, param) in [
        (
            json!({"class_floor": "open"}),
            403,
            FORBIDDEN,
            "class_floor",
        ),
        (json!({"data_flags": []}), 403, FORBIDDEN, "data_flags"),
        (
            json!({"data_flags": ["health", "pseudonymised"]}),
            403,
            FORBIDDEN,
            "data_flags",
        ),
        (json!({"programme": null}), 403, FORBIDDEN, "programme"),
        (
            json!({"programme": "theirs"}),
            400,
            "field_invalid",
            "programme",
        ),
        (json!({"programme": "ours", "weight": 3}), 200, "", ""),
        (
            json!({"class_floor": "classified", "data_flags": ["health", "minor"]}),
            200,
            "",
            "",
        ),
    ] {
        let answer = bench.patch(alpha, &manager, body.clone()).await;
        assert_eq!(
            refused(&answer),
            (status, code, param),
            "{body}: {}",
            answer.text
        );
    }
    let made = bench
        .post("/api/v1/tenants", &manager, json!({"id": "gamma"}))
        .await;
    assert_eq!(
        (made.status, &made.json["programme"]),
        (201, &json!("ours"))
    );
    let flagged = json!({"id": "delta", "data_flags": ["pseudonymised"]});
    let answer = bench.post("/api/v1/tenants", &manager, flagged).await;
    assert_eq!(refused(&answer), (403, FORBIDDEN, "data_flags"));

    // What an operator moves is another's at once.
    let moved = bench
        .patch(alpha, &bench.operator, json!({"programme": "theirs"}))
        .await;
    assert_eq!(moved.status, 200, "{}", moved.text);
    assert_eq!(bench.get(alpha, &manager).await.status, 404);
}

#[tokio::test]
async fn a_tenant_that_was_removed_is_not_anothers_to_make_again() {
    let bench = bench().await;
    bench.record(1, "beta", Some("m")).await;
    let (_, manager) = bench.key_of("ours", "", Role::ProgrammeManager).await;
    bench.delete("/api/v1/tenants/beta", &bench.operator).await;
    let taken = bench
        .post("/api/v1/tenants", &manager, json!({"id": "beta"}))
        .await;
    assert_eq!(refused(&taken), (409, "conflict", "id"), "{}", taken.text);
    bench.delete("/api/v1/tenants/alpha", &manager).await;
    let lower = json!({"id": "alpha", "class_floor": "open"});
    let answer = bench.post("/api/v1/tenants", &manager, lower).await;
    assert_eq!(refused(&answer), (403, FORBIDDEN, "class_floor"));
    let again = json!({"id": "alpha", "class_floor": "sensitive", "data_flags": ["health"]});
    assert_eq!(
        bench.post("/api/v1/tenants", &manager, again).await.status,
        201
    );
}

#[tokio::test]
async fn a_manager_ends_with_its_programme() {
    let bench = bench().await;
    let (id, manager) = bench.key_of("ours", "", Role::ProgrammeManager).await;
    assert_eq!(bench.get("/api/v1/tenants", &manager).await.status, 200);
    bench
        .delete("/api/v1/programmes/ours", &bench.operator)
        .await;
    assert_eq!(
        bench.get("/api/v1/tenants", &manager).await.code(),
        "key_revoked"
    );
    let shown = bench.get(&format!("{KEYS}/{id}"), &bench.operator).await;
    assert_eq!(shown.json["programme"], "ours");
}

/// Writes rows into the books, many at a time.
async fn fill<F: Future<Output = ()> + Send + 'static>(rows: impl Iterator<Item = F>) {
    let mut writes: tokio::task::JoinSet<()> = rows.collect();
    while let Some(written) = writes.join_next().await {
        written.unwrap();
    }
}

#[tokio::test]
async fn nobody_but_an_operator_fills_the_books() {
    let bench = bench().await;
    let (_, manager) = bench.key_of("ours", "", Role::ProgrammeManager).await;
    let (_, admin) = bench.key_of("", "alpha", Role::TenantAdmin).await;
    let store = bench.control.gateway().books.store_arc();
    let ids = || 0..10_000;
    let key = |n| {
        let mut key = sample::key(&format!("k{n}")).unwrap();
        key.tenant = Some("alpha".parse().unwrap());
        let store = Arc::clone(&store);
        async move { store.key_insert(key).await.unwrap() }
    };
    let tenant = |n| {
        let mut tenant = sample::tenant(&format!("t{n}"), 1).unwrap();
        tenant.programme = Some("ours".parse().unwrap());
        let store = Arc::clone(&store);
        async move { store.tenant_put(tenant).await.unwrap() }
    };
    let project = |n| {
        let project = sample::project("alpha", &format!("p{n}")).unwrap();
        let store = Arc::clone(&store);
        async move { store.project_put(project).await.unwrap() }
    };
    fill(ids().map(key)).await;
    fill(ids().map(tenant)).await;
    fill((0..1_000).map(project)).await;
    let op = bench.operator.clone();
    for (maker, path, body, status) in [
        (&admin, KEYS, json!({}), 409),
        (&op, KEYS, json!({"tenant": "alpha"}), 201),
        (&manager, KEYS, json!({"role": "programme_manager"}), 201),
        (&manager, "/api/v1/tenants", json!({"id": "more"}), 409),
        (
            &op,
            "/api/v1/tenants",
            json!({"id": "more", "programme": "ours"}),
            201,
        ),
        (&admin, "/api/v1/projects", json!({"id": "more"}), 409),
    ] {
        let answer = bench.post(path, maker, body.clone()).await;
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.text);
    }
}
