//! `madang report`: what a request used and cost stands in every form of its month's report as in its answer, and a report that does
//! not add up ends in code 1.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{Madang, Place, chat_body, wait_for};
use jiff::Timestamp;
use madang_testkit::{FakeEngine, Postgres, http_post_json};
use serde_json::Value;

/// A running server where `acme` of `ours` has spent of a grant, after a request that nothing was charged for.
struct World {
    place: Place,
    madang: Madang,
    _engine: FakeEngine,
}

impl World {
    /// With these further arguments of `madang up`.
    async fn start(up: &[&str]) -> Self {
        let place = Place::new();
        let engine = place.start_engine().await;
        let madang = place.up_with(up).await;
        let world = Self {
            place,
            madang,
            _engine: engine,
        };
        world.json("programme create ours").await;
        world.json("tenant create acme --programme ours").await;
        let key = world.json("key create --tenant acme").await;
        let key = key["key"].as_str().unwrap();
        world.ask(key).await;
        world.json("budget set ours --won 1000").await;
        let price = "price set m --uncached 350 --cached 90 --output 1400";
        let from = world.json(price).await["from"].clone();
        let from: Timestamp = from.as_str().unwrap().parse().unwrap();
        let begun = async || (Timestamp::now() >= from).then_some(());
        wait_for("the price begins, at once or after its notice", begun).await;
        let grant = "allocation create acme-1 --tenant acme --won 500 --until 2099-01-01T00:00:00Z";
        world.json(grant).await;
        for _ in 0..3 {
            world.ask(key).await;
        }
        world
    }

    async fn ask(&self, key: &str) {
        let url = self.madang.at("/v1/chat/completions");
        let answer = http_post_json(&url, Some(key), chat_body("hi", 8, false)).await;
        assert_eq!(answer.expect("the server answers").status, 200);
    }

    async fn json(&self, command: &str) -> Value {
        self.place.json(&words(command)).await
    }

    /// What the command prints, and what it says to people, where it ends with this code.
    async fn run(&self, command: &str, code: i32) -> (String, String) {
        let ended = self.place.run(&words(command)).await.expect_code(code);
        (ended.out, ended.err)
    }
}

fn words(command: &str) -> Vec<&str> {
    command.split(' ').collect()
}

/// The sum of a column of a CSV without quotes.
fn column(csv: &str, name: &str) -> f64 {
    let mut lines = csv.lines();
    let names = lines.next().unwrap().split(',');
    let place = names.into_iter().position(|column| column == name).unwrap();
    let cell = |line: &str| -> f64 { line.split(',').nth(place).unwrap().parse().unwrap() };
    lines.map(cell).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_says_what_the_requests_did() {
    check_every_form(World::start(&[]).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_says_what_the_requests_did_in_shared_books_too() {
    let server = Postgres::shared().unwrap();
    let database = server.database().unwrap();
    check_every_form(World::start(&["--store", &database.url()]).await).await;
}

async fn check_every_form(mut world: World) {
    let (text, _) = world.run("report programme ours", 0).await;
    let json: Value = serde_json::from_str(&text).unwrap();
    let total = &json["total"];
    assert_eq!(total["requests"], 4);
    assert_eq!(
        (&total["unmetered_requests"], &json["complete"]),
        (&1.into(), &false.into())
    );
    let usage = world.json("usage --tenant acme").await["data"][0].clone();
    for count in [
        "requests",
        "uncached_tokens",
        "cached_tokens",
        "output_tokens",
    ] {
        assert_eq!(total[count], usage[count], "{count}");
    }
    let spent = json["units"][0]["delivered"].as_i64().unwrap();
    let left = world.json("allocation list").await["data"][0]["left"]
        .as_i64()
        .unwrap();
    assert!(spent > 0);
    assert_eq!(spent, 500_000_000 - left, "what is not left was delivered");

    let csv = "report programme ours --format csv --output report.csv";
    let (out, said) = world.run(csv, 0).await;
    assert_eq!(
        (out.as_str(), said.as_str()),
        ("", "written to report.csv\n")
    );
    let csv = std::fs::read_to_string(world.place.path("report.csv")).unwrap();
    for count in ["requests", "uncached_tokens", "output_tokens"] {
        assert_eq!(
            column(&csv, count),
            total[count].as_f64().unwrap(),
            "{count}"
        );
    }
    let (costs, _) = world.run("report costs --programme ours", 0).await;
    assert!(costs.starts_with("BilledCost,BillingAccountId,"), "{costs}");
    assert!(
        costs.contains(r#"{""madang/programme"":""ours""}"#),
        "{costs}"
    );
    let (page, _) = world
        .run("report programme ours --format html --lang ko", 0)
        .await;
    assert!(page.starts_with("<!doctype html>") && page.contains("월간 보고서"));
    world.madang.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_does_not_add_up_is_shown_and_fails() {
    let mut world = World::start(&[]).await;
    world.run("report programme ours", 0).await;
    let books = world.place.data().join("madang.sqlite");
    let changed = rusqlite::Connection::open(books).unwrap().execute(
        "UPDATE usage SET output_tokens = output_tokens + 1 WHERE id = \
         (SELECT id FROM usage WHERE cost_micro_won IS NOT NULL LIMIT 1)",
        [],
    );
    assert_eq!(changed.unwrap(), 1);
    for command in [
        "report programme ours",
        "report programme ours --format csv",
        "report programme ours --format html",
        "report costs --tenant acme",
    ] {
        let (out, said) = world.run(command, 1).await;
        assert!(!out.is_empty(), "{command}");
        let told = "the ledger's entries do not sum to what the records of requests do";
        assert!(
            said.contains(told) && said.contains("ledger verify"),
            "{said}"
        );
    }
    world.madang.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reported_is_named() {
    let place = Place::new();
    let _engine = place.start_engine().await;
    let mut madang = place.up_with(&[]).await;
    for (command, code, told) in [
        ("report programme nobody", 1, "not_found"),
        (
            "report programme nobody --month 2026-13",
            1,
            "'2026-13' is not a month, such as 2026-11",
        ),
        (
            "report costs --month 3000-01",
            1,
            "the month 3000-01 has not begun",
        ),
        ("report costs --json", 1, "leave --json out"),
        (
            "report costs --tenant a --programme b",
            2,
            "cannot be used with",
        ),
        (
            "report programme p --format csv --json",
            2,
            "cannot be used with",
        ),
    ] {
        let ended = place.run(&words(command)).await.expect_code(code);
        assert!(ended.err.contains(told), "{command}: {}", ended.err);
    }
    let command = "report costs --output missing/costs.csv";
    let ended = place.run(&words(command)).await.expect_code(1);
    assert!(
        ended.err.contains("cannot write missing/costs.csv"),
        "{}",
        ended.err
    );
    madang.stop().await;
}
