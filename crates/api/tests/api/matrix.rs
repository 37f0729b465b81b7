//! Every route of the document, called by everyone: a route without a row here fails.

use crate::bench::Bench;
use madang_types::Micros;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// One operation and what each caller gets of it.
struct Row {
    operation: &'static str,
    /// The path for what is the member's own.
    own: String,
    /// The path for what is another tenant's, or is not there.
    foreign: Option<String>,
    /// The path that the operator calls.
    operator: String,
    body: Option<Value>,
    /// What the member gets for its own.
    member_status: u16,
    operator_status: u16,
}

fn row(operation: &'static str, member_status: u16, operator_status: u16) -> Row {
    let path = operation.split(' ').nth(1).unwrap().to_owned();
    Row {
        operation,
        own: path.clone(),
        foreign: None,
        operator: path,
        body: None,
        member_status,
        operator_status,
    }
}

impl Row {
    fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Own, another tenant's (which the operator asks for).
    fn paths(mut self, own: &str, foreign: &str) -> Self {
        self.own = self.own.replace("{id}", own);
        self.operator = self.operator.replace("{id}", foreign);
        self.foreign = Some(self.operator.clone());
        self
    }

    /// For objects that belong to no tenant.
    fn object(mut self, id: &str) -> Self {
        self.own = self.own.replace("{id}", id).replace("{scope}", id);
        self.operator = self.own.clone();
        self
    }

    /// For lists that can be asked for another tenant's.
    fn filtered(mut self, foreign: &str) -> Self {
        self.foreign = Some(format!("{}?tenant={foreign}", self.own));
        self
    }
}

async fn rows(bench: &Bench, (alpha_key, beta_key): (&str, &str)) -> Vec<Row> {
    let alpha_request = bench.record(1, "alpha", Some("m")).await;
    let beta_request = bench.record(2, "beta", Some("m")).await;
    bench
        .post(
            "/api/v1/programmes",
            &bench.operator,
            json!({"id": "going"}),
        )
        .await;
    let alpha = "alpha".parse().unwrap();
    let audit = &bench.control.gateway().audit;
    audit.hmac(&alpha, Micros(0), b"a prompt").unwrap();
    vec![
        row("GET /api/v1/status", 403, 200),
        row("GET /api/v1/pools", 403, 200),
        row("GET /api/v1/replicas", 403, 200),
        row("GET /api/v1/replicas/{id}", 403, 200).object("r1"),
        row("GET /api/v1/replicas/{id}/logs", 403, 200).object("r1"),
        row("GET /api/v1/sites", 403, 200),
        row("GET /api/v1/models", 200, 200),
        row("POST /api/v1/reload", 403, 200),
        row("GET /api/v1/programmes", 403, 200),
        row("POST /api/v1/programmes", 403, 201).body(json!({"id": "coming"})),
        row("GET /api/v1/programmes/{id}", 403, 200).object("startups-2026"),
        row("DELETE /api/v1/programmes/{id}", 403, 200).object("going"),
        row("GET /api/v1/tenants", 200, 200),
        row("POST /api/v1/tenants", 403, 201).body(json!({"id": "gamma"})),
        row("GET /api/v1/tenants/{id}", 200, 200).paths("alpha", "beta"),
        row("PATCH /api/v1/tenants/{id}", 403, 200)
            .paths("alpha", "beta")
            .body(json!({"weight": 2})),
        row("GET /api/v1/keys", 200, 200).filtered("beta"),
        row("POST /api/v1/keys", 403, 201).body(json!({"tenant": "alpha"})),
        row("GET /api/v1/keys/{id}", 200, 200).paths(alpha_key, beta_key),
        row("DELETE /api/v1/keys/{id}", 403, 200).paths(alpha_key, beta_key),
        row("GET /api/v1/stops", 403, 200),
        row("POST /api/v1/stops", 403, 201).body(json!({"scope": "country:US", "reason": "drill"})),
        row("DELETE /api/v1/stops/{scope}", 403, 200).object("country:US"),
        row("POST /api/v1/audit/erasures", 403, 201)
            .body(json!({"tenant": "alpha", "month": "1970-01"})),
        row("POST /api/v1/explain", 200, 200).body(json!({"tenant": "alpha", "model": "m"})),
        row("GET /api/v1/usage", 200, 200).filtered("beta"),
        row("GET /api/v1/requests", 200, 200).filtered("beta"),
        row("GET /api/v1/requests/{id}", 200, 200).paths(&alpha_request, &beta_request),
        row("DELETE /api/v1/tenants/{id}", 403, 200).paths("alpha", "beta"),
    ]
}

#[tokio::test]
async fn every_route_answers_each_caller_as_it_should() {
    let bench = Bench::start().await;
    let (alpha_key, alpha) = bench.tenant("alpha").await;
    let (beta_key, _) = bench.tenant("beta").await;
    let rows = rows(&bench, (&alpha_key, &beta_key)).await;
    let told: BTreeSet<String> = rows.iter().map(|row| row.operation.to_owned()).collect();
    assert_eq!(
        told,
        operations(bench.document()),
        "a row for each operation"
    );
    for row in &rows {
        check(&bench, row, &alpha).await;
    }
    let still = bench.get("/api/v1/tenants", &alpha).await;
    assert_eq!(still.status, 200, "nothing above took the member's own key");
}

fn operations(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().unwrap();
    let methods = |(path, item): (&String, &Value)| {
        let methods = item.as_object().unwrap().keys();
        methods
            .map(|method| format!("{} {path}", method.to_uppercase()))
            .collect::<Vec<_>>()
    };
    paths.iter().flat_map(methods).collect()
}

async fn check(bench: &Bench, row: &Row, member: &str) {
    let method = row.operation.split(' ').next().unwrap();
    let body = row.body.as_ref().map(Value::to_string);
    let call =
        async |path: &str, key: Option<&str>| bench.send(method, path, key, body.as_deref()).await;
    let told = row.operation;

    let missing = call(&row.operator, None).await;
    assert_eq!(
        (missing.status, missing.code()),
        (401, "key_missing"),
        "{told}"
    );
    assert_eq!(missing.headers["www-authenticate"], "Bearer", "{told}");
    for garbage in ["mdg_nobody_nothing", "x", "mdg__"] {
        let answer = call(&row.operator, Some(garbage)).await;
        assert_eq!(
            (answer.status, answer.code()),
            (401, "key_invalid"),
            "{told} {garbage}"
        );
    }

    let own = call(&row.own, Some(member)).await;
    assert_eq!(own.status, row.member_status, "{told}: {}", own.text);
    if own.status == 403 {
        assert_eq!(own.code(), "role_forbidden", "{told}");
    }
    if let Some(foreign) = &row.foreign {
        let answer = call(foreign, Some(member)).await;
        assert_eq!(
            (answer.status, answer.code()),
            (404, "not_found"),
            "{told}: {}",
            answer.text
        );
    }

    if told.contains("{id}") {
        for absent in [
            "absent",
            "req_00000000000000000000000000000abc",
            "%20",
            "%FF",
        ] {
            let path = told.split(' ').nth(1).unwrap().replace("{id}", absent);
            let answer = call(&path, Some(&bench.operator)).await;
            assert_eq!(
                (answer.status, answer.code()),
                (404, "not_found"),
                "{told} {absent}"
            );
        }
    }
    let operator = call(&row.operator, Some(&bench.operator)).await;
    assert_eq!(
        operator.status, row.operator_status,
        "{told}: {}",
        operator.text
    );
}

#[tokio::test]
async fn what_is_not_there_says_so_only_to_callers_with_a_key() {
    let bench = Bench::start().await;
    let (_, member) = bench.tenant("alpha").await;
    for path in [
        "/api/v1",
        "/api/v1/",
        "/api/v1/nothing",
        "/api/v1/tenants/a/b",
    ] {
        assert_eq!(
            bench.send("GET", path, None, None).await.status,
            401,
            "{path}"
        );
        let answer = bench.get(path, &member).await;
        assert_eq!(
            (answer.status, answer.code()),
            (404, "url_not_found"),
            "{path}"
        );
    }
    assert_eq!(
        bench
            .send("PUT", "/api/v1/tenants", None, None)
            .await
            .status,
        401
    );
    let answer = bench
        .send("PUT", "/api/v1/tenants", Some(&member), None)
        .await;
    assert_eq!((answer.status, answer.code()), (405, "method_not_allowed"));
    let allowed = answer.headers["allow"].to_str().unwrap();
    assert!(
        allowed.contains("GET") && allowed.contains("POST"),
        "{allowed}"
    );
}
