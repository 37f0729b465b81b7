//! On what terms a programme's tenants are served, what comes in parts, and what a project may spend.

use crate::budgets::{WON, grant_parts, priced, won};
use crate::harness::{CHAT, Plan, World, chat, code, key_put};
use http::Method;
use madang_gateway::clock;
use madang_store::{Ledger, Store};
use madang_testkit::{HttpAnswer, http_send};
use madang_types::{MicroWon, Outcome, Period, Programme, ProgrammeTerms, Project, Role, Zone};
use serde_json::json;
use std::time::Duration;

/// Asks until it is answered so, for a while.
async fn until(status: u16, ask: impl AsyncFn() -> HttpAnswer) {
    for _ in 0..200 {
        if ask().await.status == status {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    unreachable!("{status} did not come")
}

async fn check_sound(world: &World) {
    let report = world.store.bank().ledger_verify().await.unwrap();
    assert!(report.findings.is_empty(), "{report:?}");
}

#[tokio::test]
async fn a_tranche_is_spent_from_its_instant_on() {
    let world = priced(Plan::default()).await;
    let parts = [(0, 4), (3_000, 96)];
    grant_parts(&world, (100, true), &parts).await;
    let ask = async || world.chat(json!({"max_tokens": 20})).await;
    let early = ask().await;
    assert_eq!(code(&early.json().unwrap()), "budget_exhausted");
    let told = early.text();
    assert!(told.contains("4 won; more comes at 2"), "{told}");
    assert_eq!(world.chat(json!({"max_tokens": 3})).await.status, 200);
    until(200, ask).await;
    // What is left of the first one is spent with the second.
    let spent = won(&world, "site:home").await;
    let rest = async || world.chat(json!({"max_tokens": 100 - spent})).await;
    until(200, rest).await;
    world.assert_idle("all is answered").await;
    assert!(won(&world, "site:home").await <= 100);
    assert_eq!(won(&world, "tenant:demo").await, 0);
    check_sound(&world).await;
}

#[tokio::test]
async fn all_keys_of_a_project_stay_under_its_ceiling_and_it_is_raised() {
    let world = priced(Plan::default()).await;
    let mut project = Project {
        id: "web".parse().unwrap(),
        tenant: "demo".parse().unwrap(),
        label: String::new(),
        won_limit: Some(MicroWon(10 * WON)),
        created_at: clock::now(),
        disabled_at: None,
    };
    world.store.project_put(project.clone()).await.unwrap();
    let edit = |key: &mut madang_types::KeyRecord| key.project = Some("web".parse().unwrap());
    let one = key_put(&*world.store, Some("demo"), Role::Member, edit).await;
    let other = key_put(&*world.store, Some("demo"), Role::Member, edit).await;
    world.gateway.people_refresh().await.unwrap();
    let ask = async |key: &str, tokens: u64| {
        let headers = [("x-api-key", key), ("content-type", "application/json")];
        let body = chat(json!({"max_tokens": tokens}));
        let url = format!("{}{CHAT}", world.url);
        let sent = http_send(Method::POST, &url, &headers, body).await.unwrap();
        sent.collect().await.unwrap()
    };
    assert_eq!(ask(&one, 4).await.status, 200);
    assert_eq!(ask(&other, 4).await.status, 200);
    let answer = ask(&other, 4).await;
    assert_eq!(code(&answer.json().unwrap()), "budget_exhausted");
    let told = answer.text();
    assert!(told.contains("ceiling:project:demo:web: 2 won"), "{told}");
    // A key of no project is not under it.
    assert_eq!(world.chat(json!({"max_tokens": 4})).await.status, 200);

    project.won_limit = Some(MicroWon(13 * WON));
    world.store.project_put(project.clone()).await.unwrap();
    world.gateway.project_apply(project);
    until(200, async || ask(&one, 5).await).await;
    assert_eq!(ask(&one, 1).await.status, 402);
    world.assert_idle("all is answered").await;
    assert_eq!(won(&world, "ceiling:project:demo:web").await, 0);
    check_sound(&world).await;
}

/// `demo`'s programme on these terms.
async fn on_terms(world: &World, terms: ProgrammeTerms) {
    let found = world.store.programme_get("startups".parse().unwrap()).await;
    let programme = Programme {
        terms,
        ..found.unwrap().unwrap()
    };
    world.gateway.programme_apply(programme);
}

#[tokio::test]
async fn outside_of_its_programmes_period_a_tenant_is_not_served() {
    let world = priced(Plan::default()).await;
    grant_parts(&world, (1_000, true), &[]).await;
    let now = clock::now();
    let hour = now.plus_ms(3_600_000);
    for (from, until, expected) in [
        (None, None, None),
        (Some(now), Some(hour), None),
        (None, Some(now), Some("ended at")),
        (Some(hour), None, Some("begins at")),
    ] {
        let terms = ProgrammeTerms {
            period: Period { from, until },
            ..ProgrammeTerms::default()
        };
        on_terms(&world, terms).await;
        let answer = world.chat(json!({"max_tokens": 4})).await;
        let told = answer.text();
        let Some(expected) = expected else {
            assert_eq!(answer.status, 200, "{told}");
            continue;
        };
        assert_eq!(answer.status, 403, "{told}");
        assert_eq!(code(&answer.json().unwrap()), "programme_closed");
        assert!(told.contains(expected), "{told}");
    }
    let records = world.records(4).await;
    let refused = records
        .iter()
        .filter(|record| record.outcome == Outcome::Refused);
    assert_eq!((refused.count(), world.engines[0].served().len()), (2, 2));
}

#[tokio::test]
async fn no_data_of_a_programme_goes_below_its_residency_floor() {
    let world = priced(Plan::default()).await;
    grant_parts(&world, (1_000, true), &[]).await;
    for (floor, expected) in [
        (None, 200),
        (Some(Zone::Foreign), 200),
        (Some(Zone::DomesticPrivate), 200),
        (Some(Zone::GovIsolated), 403),
    ] {
        let terms = ProgrammeTerms {
            residency_floor: floor,
            ..ProgrammeTerms::default()
        };
        on_terms(&world, terms).await;
        let answer = world.chat(json!({"max_tokens": 4})).await;
        let told = answer.text();
        assert_eq!(answer.status, expected, "{floor:?}: {told}");
        if expected == 403 {
            assert_eq!(code(&answer.json().unwrap()), "policy_denied");
            assert!(told.contains("residency-floor:gov_isolated"), "{told}");
        }
    }
    world.records(4).await;
    assert_eq!(world.engines[0].served().len(), 3);
}
