//! Rows about batch jobs. The first is of `alpha` and runs, the second is of `beta` and is held back.

use super::{ABSENT, EVERYBODY, FORBIDDEN, NO_SUCH_NAME, Row, Statuses, World, row};
use crate::bench::Bench;
use madang_testkit::eventually_async;
use madang_types::Role;
use serde_json::{Value, json};

const BY_TENANTS: Statuses = [403, 403, 200, 200, 403];
const BUT_AUDITORS: Statuses = [200, 200, 200, 200, 403];
/// Who sees names of secrets.
const NO_MANAGER: Statuses = [200, 403, 200, 200, 200];
/// Who reads outputs, and who puts secrets.
const READERS: Statuses = [200, 403, 200, 200, 403];

fn job() -> Value {
    json!({"name": "train", "command": ["true"], "resources": {}, "time_limit_ms": 60_000})
}

/// Submits them: the first one has machines when this returns, the second one is held back.
pub(super) async fn submit(bench: &Bench) {
    for tenant in ["alpha", "beta"] {
        let (_, key) = bench.key_of("", tenant, Role::Member).await;
        let made = bench.post("/api/v1/jobs", &key, job()).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let runs = async || {
            let shown = bench.get("/api/v1/jobs/1/runs", &bench.operator).await;
            shown.json["data"][0]["state"] == "running"
        };
        assert!(eventually_async(runs).await, "the first job runs");
    }
    let held = "/api/v1/jobs/2/hold";
    let held = bench.post(held, &bench.operator, json!({})).await;
    assert_eq!(held.status, 200, "{}", held.text);
    let is_held = async || {
        let shown = bench.get("/api/v1/jobs/2", &bench.operator).await;
        shown.json["state"] == "held"
    };
    assert!(eventually_async(is_held).await, "the second job is held");
}

impl World {
    pub(super) fn secret_rows(&self) -> Vec<Row> {
        let absent = [FORBIDDEN, ABSENT, ABSENT];
        let names_none = [FORBIDDEN, NO_SUCH_NAME, NO_SUCH_NAME];
        let secret = |tenant| json!({"name": "TOKEN", "tenant": tenant, "value": "sesame-7f3a"});
        let mut list = row("GET /api/v1/secrets", NO_MANAGER)
            .filtered()
            .answers(absent);
        list.path += "?tenant=alpha";
        vec![
            row("POST /api/v1/secrets", READERS)
                .made()
                .body(secret("alpha"))
                .foreign_body("beta", secret("beta"), names_none),
            list,
            row("DELETE /api/v1/secrets/{tenant}/{id}", READERS)
                .object("alpha/TOKEN", "beta/TOKEN")
                .answers(absent),
        ]
    }

    pub(super) fn job_rows(&self) -> Vec<Row> {
        let unread = [FORBIDDEN, ABSENT, ABSENT];
        vec![
            row("GET /api/v1/jobs", EVERYBODY).filtered(),
            row("POST /api/v1/jobs", BY_TENANTS).made().body(job()),
            row("GET /api/v1/jobs/{id}", EVERYBODY).object("1", "2"),
            row("GET /api/v1/jobs/{id}/runs", EVERYBODY).object("1", "2"),
            row("GET /api/v1/jobs/{id}/log", READERS)
                .object("1", "2")
                .answers(unread),
            row("GET /api/v1/jobs/{id}/shell", READERS)
                .object("1", "2")
                .answers(unread),
            row("POST /api/v1/jobs/{id}/hold", BUT_AUDITORS).object("1", "2"),
            row("POST /api/v1/jobs/{id}/release", BUT_AUDITORS).object("1", "2"),
            row("POST /api/v1/jobs/{id}/requeue", BUT_AUDITORS).object("1", "2"),
            row("POST /api/v1/jobs/{id}/cancel", BUT_AUDITORS).object("1", "2"),
        ]
    }
}
