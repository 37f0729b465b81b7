//! What requests may spend, and what the books say of it.

use crate::harness::{CHAT, Plan, World, chat, code, header, key_put, streamed};
use http::Method;
use madang_gateway::clock;
use madang_ledger::{Account, Currency, Price};
use madang_store::{Bank, Ledger, Store};
use madang_testkit::http_send;
use madang_types::{
    Allocation, KeyTerms, MicroWon, Micros, Outcome, Programme, ProgrammeBudget, ProgrammeTerms,
    Role, Tenant, Tranche, Unit,
};
use serde_json::{Value, json};
use std::sync::Arc;

/// A token that is made costs ₩1, a prompt nothing.
pub const WON: i64 = 1_000_000;

/// A world where `demo` may spend so many won, by a grant that is hard or not.
async fn granted(won: i64, hard: bool) -> World {
    let world = priced(Plan::default()).await;
    grant(&world, won, hard).await;
    world
}

pub async fn priced(plan: Plan) -> World {
    let world = World::start(plan).await;
    let bank = world.store.bank();
    let now = clock::now();
    let price = Price {
        model: "m".parse().unwrap(),
        place: None,
        from: now,
        currency: Currency::KRW,
        uncached: 0,
        cached: 0,
        output: WON * 1_000_000,
    };
    bank.price_insert(price, now).await.unwrap();
    world.gateway.purses.refresh().await.unwrap();
    world
}

async fn grant(world: &World, won: i64, hard: bool) {
    grant_parts(world, (won, hard), &[]).await;
}

/// The same in parts: when from now, in milliseconds, and how many won.
pub async fn grant_parts(world: &World, (won, hard): (i64, bool), parts: &[(u64, i64)]) {
    fund(world).await;
    let now = clock::now();
    let parts = parts.iter().map(|(after_ms, won)| Tranche {
        from: now.plus_ms(*after_ms),
        amount: won * WON,
    });
    let allocation = Allocation {
        id: "demo-2026".parse().unwrap(),
        programme: "startups".parse().unwrap(),
        tenant: "demo".parse().unwrap(),
        unit: Unit::MicroWon,
        class: None,
        amount: won * WON,
        hard,
        from: now,
        tranches: parts.collect(),
        until: Micros(i64::MAX),
        created_at: now,
        recalled_at: None,
    };
    world
        .store
        .bank()
        .allocation_insert(allocation)
        .await
        .unwrap();
    world.gateway.purses.refresh().await.unwrap();
}

/// `demo` is of a programme that has a budget.
pub async fn fund(world: &World) {
    let programme = Programme {
        id: "startups".parse().unwrap(),
        weight: 1,
        terms: ProgrammeTerms::default(),
        origin: madang_types::Origin::Api,
        created_at: clock::now(),
        disabled_at: None,
    };
    let tenant = world
        .store
        .tenant_get("demo".parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    let tenant = Tenant {
        programme: Some(programme.id.clone()),
        ..tenant
    };
    world.store.programme_put(programme).await.unwrap();
    world.store.tenant_put(tenant).await.unwrap();
    let budget = ProgrammeBudget {
        programme: "startups".parse().unwrap(),
        unit: Unit::MicroWon,
        class: None,
        amount: 1_000_000 * WON,
        concentration_permille_max: 1_000,
    };
    world
        .store
        .bank()
        .budget_put(budget, clock::now())
        .await
        .unwrap();
    world.gateway.people_refresh().await.unwrap();
    world.gateway.purses.refresh().await.unwrap();
}

/// What an account has, in won.
pub async fn won(world: &World, account: &str) -> i64 {
    let balances = world
        .store
        .bank()
        .balance(account.parse().unwrap())
        .await
        .unwrap();
    let won = balances.iter().find(|(unit, _)| *unit == Unit::MicroWon);
    won.map_or(0, |(_, balance)| balance.available() / WON)
}

/// What of the grant nobody has spent, wherever it is.
async fn unspent(world: &World) -> i64 {
    let bank = world.store.bank();
    let mut sum = won(world, "allocation:demo-2026").await;
    for row in bank.balances("lease:".into(), None, 1000).await.unwrap() {
        sum += row.balance.available() / WON;
    }
    sum
}

#[tokio::test]
async fn an_answer_says_what_it_cost_and_the_books_say_the_same() {
    let world = granted(1_000, true).await;
    let answer = world.chat(json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let made = answer.json().unwrap()["usage"]["completion_tokens"]
        .as_i64()
        .unwrap();
    assert_eq!(
        header(&answer.headers, "x-madang-cost-krw"),
        made.to_string()
    );
    let record = world.record().await;
    assert_eq!(record.cost, Some(MicroWon(made * WON)));
    assert_eq!(won(&world, "site:home").await, made);
    assert_eq!(unspent(&world).await, 1_000 - made);
    let entry = world
        .store
        .bank()
        .entry(record.id.into())
        .await
        .unwrap()
        .remove(0)
        .entry;
    let units: Vec<&str> = entry.legs.iter().map(|leg| leg.unit.as_str()).collect();
    assert_eq!(units[0], "micro_won");
    assert_eq!(units.last(), Some(&"output_tokens"));
    assert!(matches!(entry.legs[0].from, Account::Lease { .. }));
    let report = world.store.bank().ledger_verify().await.unwrap();
    assert!(report.findings.is_empty(), "{report:?}");
}

#[tokio::test]
async fn a_stream_says_at_its_end_what_it_cost() {
    let world = granted(1_000, true).await;
    let answer = world
        .send(CHAT, &[], &streamed(json!({})))
        .await
        .collect()
        .await
        .unwrap();
    let record = world.record().await;
    let cost = record.cost.unwrap().0 / WON;
    assert!(cost > 0);
    let end = format!("data: [DONE]\n\n: x-madang-cost-krw: {cost}\n\n");
    assert!(answer.text().ends_with(&end), "{}", answer.text());
    assert_eq!(u64::try_from(answer.body.len()).unwrap(), record.bytes_out);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_or_clamped() {
    let world = granted(100, true).await;
    let check = async |body: Value, clamp: Option<&str>, expected: Result<u64, (u16, &str)>| {
        let headers: Vec<_> = clamp
            .into_iter()
            .map(|word| ("x-madang-clamp", word))
            .collect();
        let answer = world
            .send(CHAT, &headers, &chat(body))
            .await
            .collect()
            .await
            .unwrap();
        let json = answer.json().unwrap();
        match expected {
            Ok(tokens) => {
                assert_eq!(answer.status, 200, "{json}");
                let told = header(&answer.headers, "x-madang-output-tokens-max");
                let sent = world.engines[0].requests().pop().unwrap().body;
                let sent: Value = serde_json::from_slice(&sent).unwrap();
                let asked = sent["max_tokens"].as_u64();
                assert_eq!(asked, Some(tokens));
                assert_eq!(told.is_empty(), clamp.is_none(), "{told}");
            }
            Err((status, expected)) => {
                assert_eq!((answer.status, code(&json)), (status, expected), "{json}");
            }
        }
        unspent(&world).await
    };
    let left = check(
        json!({"max_tokens": 101}),
        None,
        Err((402, "budget_exhausted")),
    )
    .await;
    assert_eq!(left, 100);
    let left = check(json!({"max_tokens": 4}), None, Ok(4)).await;
    assert_eq!(left, 96);
    let refuse = Err((402, "budget_exhausted"));
    check(json!({"max_tokens": 4000}), Some("refuse"), refuse).await;
    let unknown = Err((400, "header_invalid"));
    check(json!({"max_tokens": 4}), Some("perhaps"), unknown).await;
    let left = check(json!({"max_tokens": 4000}), Some("allow"), Ok(96)).await;
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_hard_grant_is_never_passed_by_streams_side_by_side() {
    let world = granted(400, true).await;
    let body = streamed(json!({"max_tokens": 3}));
    let one = async || world.send(CHAT, &[], &body).await.collect().await.unwrap();
    let streams: Vec<_> = (0..1_000).map(|_| one()).collect();
    let (mut served, mut refused) = (0, 0);
    for answer in futures_util::future::join_all(streams).await {
        match answer.status {
            200 => served += 1,
            402 | 429 => refused += 1,
            other => unreachable!("{other}: {}", answer.text()),
        }
    }
    assert!(served > 0 && refused > 0, "{served} {refused}");
    world.records(1_000).await;
    let spent = won(&world, "site:home").await;
    assert!(spent <= 400, "{spent}");
    assert_eq!(unspent(&world).await, 400 - spent);
    assert_eq!(won(&world, "tenant:demo").await, 0);
}

#[tokio::test]
async fn an_engine_that_makes_more_than_it_was_asked_for_costs_nobody_more() {
    let world = granted(1_000, true).await;
    world.behave("endless");
    let body = streamed(json!({"max_tokens": 5}));
    let answer = world.send(CHAT, &[], &body).await.collect().await.unwrap();
    assert!(
        answer.text().contains("engine_answer_invalid"),
        "{}",
        answer.text()
    );
    let record = world.record().await;
    assert_eq!(record.cost, Some(MicroWon(5 * WON)));
    assert_eq!(unspent(&world).await, 995);
}

#[tokio::test]
async fn nothing_is_free_where_things_have_prices() {
    let world = priced(Plan::default()).await;
    // No programme pays: the tenant owes it.
    assert_eq!(world.chat(json!({})).await.status, 200);
    let owed = won(&world, "tenant:demo").await;
    assert!(owed < 0, "{owed}");
    // A programme with a budget, and no grant from it.
    fund(&world).await;
    let answer = world.chat(json!({})).await;
    assert_eq!(answer.status, 402);
    assert_eq!(code(&answer.json().unwrap()), "allocation_missing");
    assert_eq!(won(&world, "tenant:demo").await, owed);
    // A model that nobody gave a price.
    let more = "[[model]]\nid = \"dear\"\ncontext_tokens = 4096\n[[replica]]\nid = \"spare\"\nsite = \"home\"\nmodel = \"dear\"\nurl = \"{URL}\"\nengine = \"vllm\"\nslots = 4\n";
    let world = priced(Plan {
        more: more.into(),
        ..Plan::default()
    })
    .await;
    let answer = world.chat(json!({"model": "dear"})).await;
    assert_eq!(answer.status, 503);
    assert_eq!(code(&answer.json().unwrap()), "price_missing");
    assert!(world.spare.served().is_empty());
}

#[tokio::test]
async fn who_leaves_pays_for_what_came_and_the_rest_is_free_again() {
    let world = granted(1_000, true).await;
    world.behave("stall-after:3");
    let body = streamed(json!({"max_tokens": 900}));
    let mut stream = world.send(CHAT, &[], &body).await.sse();
    for _ in 0..3 {
        stream.next_event().await.unwrap().unwrap();
    }
    let answer = world.chat(json!({"max_tokens": 900})).await;
    assert_eq!(code(&answer.json().unwrap()), "budget_busy");
    drop(stream);
    let records = world.records(2).await;
    let left = records
        .iter()
        .find(|record| record.outcome == Outcome::ClientGone)
        .unwrap();
    let cost = left.cost.unwrap().0 / WON;
    assert!((1..10).contains(&cost), "{cost}");
    world.assert_idle("the stream was left").await;
    assert_eq!(unspent(&world).await, 1_000 - cost);
}

#[tokio::test]
async fn a_key_spends_its_own_limit_and_no_more() {
    let world = priced(Plan::default()).await;
    let key = key_put(&*world.store, Some("demo"), Role::Member, |key| {
        key.terms = Arc::new(KeyTerms {
            won_limit: Some(MicroWon(10 * WON)),
            ..KeyTerms::default()
        });
    });
    let bearer = format!("Bearer {}", key.await);
    world.gateway.people_refresh().await.unwrap();
    let ask = async |tokens: u64| {
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        let body = chat(json!({"max_tokens": tokens}));
        let url = format!("{}{CHAT}", world.url);
        let sent = http_send(Method::POST, &url, &headers, body).await.unwrap();
        sent.collect().await.unwrap()
    };
    assert_eq!(ask(4).await.status, 200);
    assert_eq!(ask(4).await.status, 200);
    let answer = ask(4).await;
    assert_eq!(code(&answer.json().unwrap()), "budget_exhausted");
    assert!(answer.text().contains("2 won"), "{}", answer.text());
    assert_eq!(ask(2).await.status, 200);
    assert_eq!(world.chat(json!({})).await.status, 200);
    world.records(5).await;
    assert_eq!(won(&world, "site:home").await, 14);
    assert_eq!(won(&world, "tenant:demo").await, -14);
    let report = world.store.bank().ledger_verify().await.unwrap();
    assert!(report.findings.is_empty(), "{report:?}");
}

#[tokio::test]
async fn what_is_recalled_goes_back_to_the_programme() {
    let world = granted(1_000, true).await;
    assert_eq!(world.chat(json!({})).await.status, 200);
    world.record().await;
    let spent = won(&world, "site:home").await;
    let bank = world.store.bank();
    let now = clock::now();
    bank.allocation_recall("demo-2026".parse().unwrap(), now, now)
        .await
        .unwrap();
    world.gateway.purses.refresh().await.unwrap();
    let answer = world.chat(json!({})).await;
    assert_eq!(code(&answer.json().unwrap()), "allocation_missing");
    // The gateway sends back what it holds, and the next sweep takes it home.
    let mut left = i64::MAX;
    for _ in 0..100 {
        bank.allocations_sweep(clock::now()).await.unwrap();
        left = unspent(&world).await;
        if left == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(left, 0);
    assert_eq!(won(&world, "programme:startups").await, 1_000_000 - spent);
}

#[tokio::test]
async fn a_process_that_dies_leaves_what_its_requests_had_used() {
    let world = granted(1_000, true).await;
    world.behave("stall-after:3");
    let body = streamed(json!({"max_tokens": 900}));
    let mut stream = world.send(CHAT, &[], &body).await.sse();
    for _ in 0..3 {
        stream.next_event().await.unwrap().unwrap();
    }
    let path = world.folder.path().join("books.db");
    let journal = world.folder.path().join("books.db-records");
    // Twice a second it is written down; a copy of the files is what a kill would leave.
    let copy = tempfile::tempdir().unwrap();
    let mut orphan = None;
    for _ in 0..100 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        for from in [&path, &journal, &path.with_file_name("books.db-wal")] {
            std::fs::copy(from, copy.path().join(from.file_name().unwrap())).unwrap();
        }
        let store = madang_store::SqliteStore::open(&copy.path().join("books.db")).unwrap();
        let records = store
            .usage_list(madang_store::UsageFilter::default(), None, 10)
            .await
            .unwrap();
        if let [record] = &records[..] {
            let entry = store.entry(record.id.into()).await.unwrap();
            orphan = Some((record.clone(), entry.len()));
            assert!(store.ledger_verify().await.unwrap().findings.is_empty());
            // A second start settles nothing twice.
            drop(store);
            let store = madang_store::SqliteStore::open(&copy.path().join("books.db")).unwrap();
            let again = store
                .usage_list(madang_store::UsageFilter::default(), None, 10)
                .await
                .unwrap();
            assert_eq!(again, records);
            break;
        }
        drop(store);
        std::fs::remove_dir_all(copy.path()).unwrap();
        std::fs::create_dir(copy.path()).unwrap();
    }
    let (record, entries) = orphan.unwrap();
    assert_eq!((record.outcome, entries), (Outcome::Orphaned, 1));
    let cost = record.cost.unwrap().0 / WON;
    assert!((1..10).contains(&cost), "{cost}");
    drop(stream);
}
