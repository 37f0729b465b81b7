//! Every route of the document, called by every role, for what is its own and for what is another's: a route without a row
//! here fails.

mod credentials;
mod jobs;
mod money;

use crate::bench::{Answer, Bench};
use madang_types::{Micros, Role};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What each role gets, in the order of [`Role::ALL`].
type Statuses = [u16; 5];

const EVERYBODY: Statuses = [200, 200, 200, 200, 200];
const ALL_SEEING: Statuses = [200, 403, 403, 403, 200];
const OPERATOR: Statuses = [200, 403, 403, 403, 403];
const MANAGER_TOO: Statuses = [200, 200, 403, 403, 403];
const ADMIN_TOO: Statuses = [200, 200, 200, 403, 403];

/// An answer that tells nothing of what is another's.
const ABSENT: (u16, &str) = (404, "not_found");
const NO_SUCH_NAME: (u16, &str) = (400, "field_invalid");
const FORBIDDEN: (u16, &str) = (403, "role_forbidden");

/// One operation and what each caller gets of it.
struct Row {
    operation: &'static str,
    /// The path for what is the caller's own.
    path: String,
    body: Option<Value>,
    statuses: Statuses,
    foreign: Option<Foreign>,
}

/// The same for what is another's, and what a manager, an admin and a member get.
struct Foreign {
    /// The name that stands for it, in the path or the body.
    name: String,
    path: String,
    body: Option<Value>,
    answers: [(u16, &'static str); 3],
}

fn row(operation: &'static str, statuses: Statuses) -> Row {
    Row {
        operation,
        path: operation.split(' ').nth(1).unwrap().to_owned(),
        body: None,
        statuses,
        foreign: None,
    }
}

impl Row {
    fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// For what is made: 201 where it is not refused.
    fn made(mut self) -> Self {
        for status in &mut self.statuses {
            *status += u16::from(*status == 200);
        }
        self
    }

    /// For one object: its path, and that of another's.
    fn object(self, own: &str, foreign: &str) -> Self {
        let mut row = self.at(own);
        row.foreign = Some(Foreign {
            name: foreign.to_owned(),
            path: row.operation.split(' ').nth(1).unwrap().to_owned(),
            body: row.body.clone(),
            answers: [ABSENT; 3],
        });
        let foreign = row.foreign.as_mut().unwrap();
        foreign.path = fill(&foreign.path, &foreign.name);
        row
    }

    /// For an object that belongs to nobody.
    fn at(mut self, id: &str) -> Self {
        self.path = fill(&self.path, id);
        self
    }

    /// For lists that can be asked for another tenant's.
    fn filtered(mut self) -> Self {
        self.foreign = Some(Foreign {
            name: "beta".into(),
            path: format!("{}?tenant=beta", self.path),
            body: None,
            answers: [ABSENT; 3],
        });
        self
    }

    /// For what would be made of another's.
    fn foreign_body(mut self, name: &str, body: Value, answers: [(u16, &'static str); 3]) -> Self {
        self.foreign = Some(Foreign {
            name: name.into(),
            path: self.path.clone(),
            body: Some(body),
            answers,
        });
        self
    }

    /// What a manager, an admin and a member get of what is another's.
    fn answers(mut self, answers: [(u16, &'static str); 3]) -> Self {
        self.foreign.as_mut().unwrap().answers = answers;
        self
    }
}

/// The template with its ids: of `tenant/id` both.
fn fill(template: &str, id: &str) -> String {
    let (tenant, last) = id.split_once('/').unwrap_or(("", id));
    template
        .replace("{tenant}", tenant)
        .replace("{id}", last)
        .replace("{scope}", last)
        .replace("{event}", "1")
}

/// Two programmes with a tenant each; everybody's key is of the first.
struct World {
    bench: Bench,
    keys: Vec<String>,
    spare_key: String,
    beta_key: String,
    requests: [String; 2],
}

impl World {
    async fn start() -> Self {
        let bench = Bench::start().await;
        for (programme, tenant) in [("ours", "alpha"), ("theirs", "beta")] {
            for (path, body) in [
                ("/api/v1/programmes", json!({"id": programme})),
                (
                    "/api/v1/tenants",
                    json!({"id": tenant, "programme": programme}),
                ),
                ("/api/v1/projects", json!({"id": "web", "tenant": tenant})),
                (
                    "/api/v1/budgets",
                    json!({"programme": programme, "amount": 1_000_000_000}),
                ),
                (
                    "/api/v1/budgets",
                    json!({"programme": programme, "unit": "tokens", "amount": 1_000}),
                ),
                (
                    "/api/v1/allocations",
                    json!({"id": format!("{tenant}-2026"), "tenant": tenant, "amount": 1_000, "until": "2100-01-01T00:00:00Z"}),
                ),
            ] {
                let made = bench.post(path, &bench.operator, body).await;
                assert_eq!(made.status, 201, "{}", made.text);
            }
        }
        let mut keys = vec![bench.operator.clone()];
        for role in &Role::ALL[1..] {
            keys.push(bench.key_of("ours", "alpha", *role).await.1);
        }
        bench.key_of("theirs", "beta", Role::ProgrammeManager).await;
        bench.gone("gone", None).await;
        bench.gone("given-up", Some("alpha-2026")).await;
        let audit = &bench.control.gateway().audit;
        let alpha = "alpha".parse().unwrap();
        audit.hmac(&alpha, Micros(0), b"a prompt").unwrap();
        jobs::submit(&bench).await;
        Self {
            spare_key: bench.key("alpha").await.0,
            beta_key: bench.key("beta").await.0,
            requests: [
                bench.record(1, "alpha", Some("m")).await,
                bench.record(2, "beta", Some("m")).await,
            ],
            keys,
            bench,
        }
    }

    /// All that the operator sees of the second programme and its tenant.
    async fn theirs(&self) -> Vec<String> {
        let paths = [
            "/api/v1/programmes/theirs",
            "/api/v1/tenants/beta",
            "/api/v1/projects?tenant=beta",
            "/api/v1/keys?tenant=beta",
            "/api/v1/allocations?tenant=beta",
            "/api/v1/jobs?tenant=beta",
            "/api/v1/secrets?tenant=beta",
            "/api/v1/usage?tenant=beta",
            "/api/v1/requests?tenant=beta",
        ];
        let mut texts = Vec::new();
        for path in paths {
            texts.push(self.bench.get(path, &self.bench.operator).await.text);
        }
        texts
    }

    /// A row for each operation.
    fn rows(&self) -> Vec<Row> {
        let parts = [
            self.fleet_rows(),
            self.job_rows(),
            self.secret_rows(),
            self.money_rows(),
            self.people_rows(),
        ];
        parts.into_iter().flatten().collect()
    }

    fn fleet_rows(&self) -> Vec<Row> {
        vec![
            row("GET /api/v1/status", ALL_SEEING),
            row("GET /api/v1/pools", ALL_SEEING),
            row("GET /api/v1/shares", ALL_SEEING),
            row("GET /api/v1/replicas", ALL_SEEING),
            row("GET /api/v1/replicas/{id}", ALL_SEEING).at("r1"),
            row("GET /api/v1/replicas/{id}/logs", ALL_SEEING).at("r1"),
            row("GET /api/v1/sites", ALL_SEEING),
            row("GET /api/v1/models", EVERYBODY),
            row("POST /api/v1/reload", OPERATOR),
            row("GET /api/v1/gateways", ALL_SEEING),
            row("DELETE /api/v1/gateways/{id}", OPERATOR).at("gone"),
            row("POST /api/v1/gateways/{id}/release", OPERATOR).at("given-up"),
            row("GET /api/v1/stops", ALL_SEEING),
            row("POST /api/v1/stops", OPERATOR)
                .made()
                .body(json!({"scope": "country:US", "reason": "drill"})),
            row("DELETE /api/v1/stops/{scope}", OPERATOR).at("country:US"),
            row("GET /api/v1/power", ALL_SEEING),
            row("GET /api/v1/sites/{id}/power", ALL_SEEING).at("here"),
            row("GET /api/v1/sites/{id}/power-events", ALL_SEEING).at("here"),
            row("POST /api/v1/sites/{id}/power-events", OPERATOR)
                .made()
                .at("here")
                .body(json!({"cap_watts": 100_000, "for_ms": 3_600_000})),
            row("DELETE /api/v1/sites/{id}/power-events/{event}", OPERATOR).at("here"),
            row("POST /api/v1/audit/erasures", OPERATOR)
                .made()
                .body(json!({"tenant": "alpha", "month": "1970-01"})),
            row("POST /api/v1/explain", EVERYBODY)
                .body(json!({"tenant": "alpha", "model": "m"}))
                .foreign_body("beta", json!({"tenant": "beta", "model": "m"}), [ABSENT; 3]),
            row("GET /api/v1/usage", EVERYBODY).filtered(),
            row("GET /api/v1/requests", EVERYBODY).filtered(),
            row("GET /api/v1/requests/{id}", EVERYBODY)
                .object(&self.requests[0], &self.requests[1]),
        ]
    }

    fn people_rows(&self) -> Vec<Row> {
        let beyond_a_tenant = [ABSENT, FORBIDDEN, FORBIDDEN];
        let names_none = [NO_SUCH_NAME, NO_SUCH_NAME, FORBIDDEN];
        let (spare, beta) = (self.spare_key.as_str(), self.beta_key.as_str());
        vec![
            row("GET /api/v1/programmes", [200, 200, 403, 403, 200]),
            row("POST /api/v1/programmes", OPERATOR)
                .made()
                .body(json!({"id": "coming"})),
            row("GET /api/v1/programmes/{id}", [200, 200, 403, 403, 200])
                .object("ours", "theirs")
                .answers(beyond_a_tenant),
            row("PATCH /api/v1/programmes/{id}", OPERATOR)
                .body(json!({"weight": 2}))
                .object("ours", "theirs")
                .answers(beyond_a_tenant),
            row("GET /api/v1/tenants", EVERYBODY),
            row("POST /api/v1/tenants", MANAGER_TOO)
                .made()
                .body(json!({"id": "gamma", "programme": "ours"}))
                .foreign_body(
                    "theirs",
                    json!({"id": "delta", "programme": "theirs"}),
                    [NO_SUCH_NAME, FORBIDDEN, FORBIDDEN],
                ),
            row("GET /api/v1/tenants/{id}", EVERYBODY).object("alpha", "beta"),
            row("PATCH /api/v1/tenants/{id}", MANAGER_TOO)
                .body(json!({"weight": 2}))
                .object("alpha", "beta"),
            row("GET /api/v1/projects", EVERYBODY).filtered(),
            row("POST /api/v1/projects", ADMIN_TOO)
                .made()
                .body(json!({"id": "app", "tenant": "alpha"}))
                .foreign_body("beta", json!({"id": "app", "tenant": "beta"}), names_none),
            row("GET /api/v1/projects/{tenant}/{id}", EVERYBODY).object("alpha/web", "beta/web"),
            row("PATCH /api/v1/projects/{tenant}/{id}", ADMIN_TOO)
                .body(json!({"limit_micro_won": 5}))
                .object("alpha/web", "beta/web"),
            row("DELETE /api/v1/projects/{tenant}/{id}", ADMIN_TOO).object("alpha/web", "beta/web"),
            row("GET /api/v1/me", EVERYBODY),
            row("GET /api/v1/keys", EVERYBODY).filtered(),
            row("POST /api/v1/keys", ADMIN_TOO)
                .made()
                .body(json!({"tenant": "alpha"}))
                .foreign_body("beta", json!({"tenant": "beta"}), names_none),
            row("GET /api/v1/keys/{id}", EVERYBODY).object(spare, beta),
            row("DELETE /api/v1/keys/{id}", ADMIN_TOO).object(spare, beta),
            // Last, since they take what the rows above are about.
            row("DELETE /api/v1/tenants/{id}", MANAGER_TOO).object("alpha", "beta"),
            row("DELETE /api/v1/programmes/{id}", OPERATOR)
                .object("ours", "theirs")
                .answers(beyond_a_tenant),
        ]
    }
}

async fn every_route_as(role: Role) {
    let world = World::start().await;
    let before = world.theirs().await;
    let rows = world.rows();
    let told: BTreeSet<String> = rows.iter().map(|row| row.operation.to_owned()).collect();
    let all = operations(world.bench.document());
    assert_eq!(told, all, "a row for each operation");
    for row in &rows {
        check(&world, row, role).await;
    }
    if role != Role::Operator {
        assert_eq!(
            world.theirs().await,
            before,
            "{role} changed what is another's"
        );
    }
}

#[tokio::test]
async fn invariant_14_every_route_answers_an_operator_as_it_should() {
    every_route_as(Role::Operator).await;
}

#[tokio::test]
async fn invariant_14_every_route_answers_a_programme_manager_as_it_should() {
    every_route_as(Role::ProgrammeManager).await;
}

#[tokio::test]
async fn invariant_14_every_route_answers_a_tenant_admin_as_it_should() {
    every_route_as(Role::TenantAdmin).await;
}

#[tokio::test]
async fn invariant_14_every_route_answers_a_member_as_it_should() {
    every_route_as(Role::Member).await;
}

#[tokio::test]
async fn invariant_14_every_route_answers_an_auditor_as_it_should() {
    every_route_as(Role::Auditor).await;
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

async fn call(bench: &Bench, row: &Row, (path, body): (&str, Option<&Value>), key: &str) -> Answer {
    let method = row.operation.split(' ').next().unwrap();
    let body = body.map(Value::to_string);
    bench.send(method, path, Some(key), body.as_deref()).await
}

async fn check(world: &World, row: &Row, role: Role) {
    let bench = &world.bench;
    let told = format!("{role}: {}", row.operation);
    let place = Role::ALL.iter().position(|one| *one == role).unwrap();
    let key = world.keys[place].as_str();
    let own_call = (row.path.as_str(), row.body.as_ref());
    if let Some(foreign) = &row.foreign {
        let sees_all = matches!(role, Role::Operator | Role::Auditor);
        if !sees_all {
            check_foreign(bench, row, (foreign, foreign.answers[place - 1]), key).await;
        }
    }
    if role == Role::Operator && row.operation.contains("{id}") {
        for absent in [
            "absent",
            "req_00000000000000000000000000000abc",
            "%20",
            "%FF",
        ] {
            let path = row.operation.split(' ').nth(1).unwrap();
            let path = path.replace("{tenant}", "alpha").replace("{id}", absent);
            let answer = call(bench, row, (&path, row.body.as_ref()), key).await;
            assert_eq!((answer.status, answer.code()), ABSENT, "{told} {absent}");
        }
    }
    let own = call(bench, row, own_call, key).await;
    assert_eq!(own.status, row.statuses[place], "{told}: {}", own.text);
    if own.status == 403 {
        assert_eq!(own.code(), "role_forbidden", "{told}");
    }
    if !matches!(role, Role::Operator | Role::Auditor) {
        for word in ["beta", "theirs"] {
            assert!(
                !own.text.contains(word),
                "{told} shows {word}: {}",
                own.text
            );
        }
    }
}

/// What is another's is answered as it should, and as what is not there.
async fn check_foreign(
    bench: &Bench,
    row: &Row,
    (foreign, expected): (&Foreign, (u16, &str)),
    key: &str,
) {
    let Foreign {
        name, path, body, ..
    } = foreign;
    let told = row.operation;
    let answer = call(bench, row, (path, body.as_ref()), key).await;
    assert_eq!(
        (answer.status, answer.code()),
        expected,
        "{told}: {}",
        answer.text
    );
    let (from, to) = match name.split_once('/') {
        Some((tenant, _)) => (tenant, "nobody"),
        None if name.starts_with("req_") => (name.as_str(), "req_00000000000000000000000000000abc"),
        None => (name.as_str(), "nobody"),
    };
    let absent_path = path.replace(from, to);
    let absent_body = body.as_ref().map(|body| {
        let text = body.to_string().replace(from, to);
        serde_json::from_str::<Value>(&text).unwrap()
    });
    let absent = call(bench, row, (&absent_path, absent_body.as_ref()), key).await;
    assert_eq!(answer.text.replace(from, to), absent.text, "{told}");
}

/// What is served beside the document.
#[tokio::test]
async fn other_doors_answer_each_role_as_they_should() {
    let world = World::start().await;
    let nothing = Some("{}");
    for (method, path, body, statuses) in [
        ("GET", "/v1/models", None, [200, 403, 200, 200, 403]),
        ("GET", "/v1/models/m", None, [200, 403, 200, 200, 403]),
        // What is let through is then found wanting.
        (
            "POST",
            "/v1/chat/completions",
            nothing,
            [403, 403, 400, 400, 403],
        ),
        (
            "POST",
            "/v1/completions",
            nothing,
            [403, 403, 400, 400, 403],
        ),
        ("POST", "/v1/embeddings", nothing, [403, 403, 400, 400, 403]),
        ("POST", "/v1/responses", nothing, [403, 403, 400, 400, 403]),
        ("POST", "/v1/messages", nothing, [403, 403, 400, 400, 403]),
        (
            "POST",
            "/v1/messages/count_tokens",
            nothing,
            [400, 403, 400, 400, 403],
        ),
        ("GET", "/metrics", None, ALL_SEEING),
        ("GET", "/audit/checkpoint", None, ALL_SEEING),
        ("GET", "/openapi.json", None, EVERYBODY),
        // Nobody signs in where the fleet file says nothing of it: `sign_in/` has the rest.
        ("GET", "/auth/login", None, [404; 5]),
        ("GET", "/auth/callback", None, [404; 5]),
        ("POST", "/auth/logout", None, [404; 5]),
    ] {
        for (key, status) in world.keys.iter().zip(statuses) {
            let answer = world.bench.send(method, path, Some(key), body).await;
            assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
        }
    }
}
