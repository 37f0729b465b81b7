//! Reports of programmes: what the CSV, the JSON, the costs and the ledger say of random months is the same, to the last token and the
//! last millionth of a won; and what was changed behind them is found.

mod month;

use crate::bench::{Answer, Bench};
use madang_types::{Role, Unit};
use month::{MONTH, Month, Sums, made, sums_of};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const REPORT: &str = "/api/v1/programmes/ours/report";

/// Rows of a CSV, by the names of their columns.
fn rows(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader.deserialize().map(Result::unwrap).collect()
}

/// A decimal number of won in millionths.
fn micro(text: &str) -> i64 {
    let (whole, part) = text.split_once('.').unwrap();
    assert_eq!(part.len(), 6, "{text}");
    format!("{whole}{part}").parse().unwrap()
}

fn csv_sums(rows: &[BTreeMap<String, String>], names: [&str; 5]) -> Sums {
    let mut sums = Sums::default();
    for row in rows {
        let count = |name: &str| row[name].parse::<i64>().unwrap();
        sums.requests += count(names[0]);
        sums.uncached += count(names[1]);
        sums.cached += count(names[2]);
        sums.output += count(names[3]);
        sums.cost += micro(&row[names[4]]);
    }
    sums
}

fn json_sums(rows: &Value) -> Sums {
    let mut sums = Sums::default();
    for row in rows.as_array().unwrap() {
        let delivered = &row["delivered"];
        let count = |name: &str| delivered[name].as_i64().unwrap();
        sums.requests += count("requests");
        sums.uncached += count("uncached_tokens");
        sums.cached += count("cached_tokens");
        sums.output += count("output_tokens");
        sums.cost += micro(delivered["cost_krw"].as_str().unwrap());
    }
    sums
}

async fn report(bench: &Bench, query: &str) -> Answer {
    let answer = bench
        .get(&format!("{REPORT}?{query}"), &bench.operator)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer
}

fn reconciled(answer: &Answer) -> &str {
    answer.headers["x-madang-reconciled"].to_str().unwrap()
}

/// The report, in all its forms, of one month.
async fn check_month(world: &Month, month: &str) -> Sums {
    let bench = &world.bench;
    let expected = world.sums(month, |_| true);
    let json = report(bench, &format!("month={month}")).await;
    assert_eq!(
        reconciled(&json),
        "true",
        "{:#}",
        json.json["reconciliation"]
    );
    let whole = json!([{ "delivered": json.json["total"] }]);
    assert_eq!(json_sums(&whole), expected, "{month}");
    for part in ["by_tenant", "by_model", "by_site", "by_day", "rows"] {
        assert_eq!(json_sums(&json.json[part]), expected, "{month} {part}");
    }
    let csv = report(bench, &format!("month={month}&format=csv")).await;
    let names = [
        "requests",
        "uncached_tokens",
        "cached_tokens",
        "output_tokens",
        "cost_krw",
    ];
    let table = rows(&csv.text);
    assert_eq!(csv_sums(&table, names), expected, "{month}");
    assert_eq!(table.len(), json.json["rows"].as_array().unwrap().len());

    let path = format!("/api/v1/costs?month={month}&programme=ours");
    let costs = bench.get(&path, &bench.operator).await;
    assert_eq!((costs.status, reconciled(&costs)), (200, "true"));
    let names = [
        "x_Requests",
        "x_UncachedTokens",
        "x_CachedTokens",
        "x_OutputTokens",
        "ListCost",
    ];
    let used = world.sums(month, |record| record.tokens != Default::default());
    assert_eq!(csv_sums(&rows(&costs.text), names), used, "{month}");
    let billed = rows(&costs.text)
        .iter()
        .map(|row| micro(&row["BilledCost"]))
        .sum();
    check_ledger(world, month, (&json.json, billed));
    expected
}

/// The entries themselves, read beside the server.
fn check_ledger(world: &Month, month: &str, (json, billed): (&Value, i64)) {
    let ledger = world.ledger(month);
    let totals = json["reconciliation"]["totals"].as_array().unwrap();
    for total in totals {
        let unit: Unit = total["unit"].as_str().unwrap().parse().unwrap();
        let moved = ledger.get(&unit).copied().unwrap_or(0);
        assert_eq!(total["ledger"], json!(moved), "{month} {unit}");
        assert_eq!(total["records"], total["ledger"], "{month} {unit}");
    }
    assert_eq!(totals.len(), 4);
    let won = ledger.get(&Unit::MicroWon).copied().unwrap_or(0);
    assert_eq!(
        billed, won,
        "{month}: what is billed is what the ledger moved"
    );
}

async fn months_of(seed: u64) {
    let world = Month::random(seed, 400).await;
    let mut all = Sums::default();
    for month in ["2020-01", MONTH, "2020-03"] {
        all = all.plus(check_month(&world, month).await);
    }
    let every = sums_of(world.ours());
    assert_eq!(all, every, "seed {seed}: each request is in one month");
    assert!(all.requests > 200, "seed {seed}");
}

#[tokio::test]
async fn all_forms_of_a_month_and_its_ledger_agree() {
    for seed in [1, 2] {
        months_of(seed).await;
    }
}

/// What is changed and what undoes it, of a request's record, of its entry or of its leg in won; how many sums then differ, and how
/// many records lack their entry.
const CHANGES: [(&str, &str, &str, u64, u64); 9] = [
    (
        "usage",
        "output_tokens = output_tokens + 1",
        "output_tokens = output_tokens - 1",
        1,
        0,
    ),
    (
        "usage",
        "cached_tokens = cached_tokens - 1",
        "cached_tokens = cached_tokens + 1",
        1,
        0,
    ),
    (
        "usage",
        "cost_micro_won = cost_micro_won + 1",
        "cost_micro_won = cost_micro_won - 1",
        1,
        0,
    ),
    ("usage", "site = 'elsewhere'", "site = 'seoul'", 8, 0),
    ("usage", "tenant = 'a'", "tenant = 'c'", 8, 0),
    (
        "usage",
        "arrived_at = arrived_at + 2678400000000",
        "arrived_at = arrived_at - 2678400000000",
        4,
        0,
    ),
    (
        "entry",
        "at = at + 2678400000000",
        "at = at - 2678400000000",
        4,
        0,
    ),
    ("entry", "phase = 2", "phase = 1", 4, 1),
    ("leg", "amount = amount + 1", "amount = amount - 1", 1, 0),
];

#[tokio::test]
async fn what_was_changed_by_one_is_found() {
    let world = Month::random(7, 150).await;
    let bench = &world.bench;
    let id = world.one();
    let entry = format!("SELECT seq FROM ledger_entries WHERE id = {id}");
    for (table, change, back, differences, missing) in CHANGES {
        let run = |set: &str| {
            world.change(&match table {
                "usage" => format!("UPDATE usage SET {set} WHERE id = {id}"),
                "entry" => format!("UPDATE ledger_entries SET {set} WHERE id = {id}"),
                _ => format!("UPDATE ledger_legs SET {set} WHERE unit = 1 AND seq = ({entry})"),
            });
        };
        assert_eq!(reconciled(&report(bench, "month=2020-02").await), "true");
        run(change);
        let answer = report(bench, "month=2020-02").await;
        let found = &answer.json["reconciliation"];
        assert_eq!(reconciled(&answer), "false", "{change}");
        assert_eq!(
            found["differences_count"], differences,
            "{change}: {found:#}"
        );
        assert_eq!(found["missing_requests"], missing, "{change}");
        let page = report(bench, "month=2020-02&format=html&lang=ko").await;
        assert!(
            page.text.contains("이용 기록과 원장이 다릅니다"),
            "{change}"
        );
        run(back);
    }
}

#[tokio::test]
async fn a_grant_is_promised_by_its_days_and_spent_as_the_ledger_says() {
    let world = Month::random(3, 200).await;
    let json = report(&world.bench, "month=2020-02").await.json;
    let units = json["units"].as_array().unwrap();
    let words: Vec<&str> = units
        .iter()
        .map(|line| line["unit"].as_str().unwrap())
        .collect();
    assert_eq!(words, ["micro_won", "tokens"]);
    for line in units {
        assert_eq!(line["granted"], 300_000_000_000_000_i64);
        // 29 of the 91 days from January to March; each end of the month is rounded down.
        let (to_march, to_february) = (
            300_000_000_000_000_i64 * 60 / 91,
            300_000_000_000_000_i64 * 31 / 91,
        );
        assert_eq!(line["promised"], to_march - to_february);
        let amount = |name: &str| line[name].as_i64().unwrap();
        assert_eq!(amount("unspent"), amount("promised") - amount("delivered"));
        assert_eq!(line["promised_among"]["largest_permille"], 1000);
    }
    let of = |tenant: &'static str, amount: fn(&madang_types::UsageRecord) -> u64| {
        world.amount(move |record| (record.tenant.as_str() == tenant).then(|| amount(record)))
    };
    let cost =
        |record: &madang_types::UsageRecord| record.cost.unwrap_or_default().0.unsigned_abs();
    assert_eq!(units[0]["delivered"], of("a", cost));
    assert_eq!(units[0]["owed"], of("c", cost));
    let paid_tokens = |record: &madang_types::UsageRecord| {
        let tokens = &record.tokens;
        let all = tokens.uncached.0 + tokens.cached.0 + tokens.output.0;
        if record.cost.is_some() { all } else { 0 }
    };
    assert_eq!(units[1]["delivered"], of("b", paid_tokens));
}

#[tokio::test]
async fn a_page_has_all_of_it_and_loads_nothing() {
    let world = Month::random(5, 150).await;
    for (lang, told) in [
        ("en", "Records and ledger agree"),
        ("ko", "이용 기록과 원장이 일치합니다"),
    ] {
        let page = report(
            &world.bench,
            &format!("month=2020-02&format=html&lang={lang}"),
        )
        .await;
        let text = &page.text;
        assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
        assert!(
            text.contains(&format!("<html lang=\"{lang}\">")) && text.contains(told),
            "{text}"
        );
        for part in [
            "2020-02-29",
            "LGAI/EXAONE-4.0:32b",
            "<svg",
            "openai",
            "default-src 'none'",
        ] {
            assert!(text.contains(part), "{part}");
        }
        for load in ["http:", "https:", "<script", "src=", "url(", "@import"] {
            assert!(!text.contains(load), "{load}");
        }
        for (open, close) in [
            ("<table", "</table>"),
            ("<svg", "</svg>"),
            ("<tr", "</tr>"),
            ("<td", "</td>"),
            ("<g>", "</g>"),
        ] {
            assert_eq!(
                text.matches(open).count(),
                text.matches(close).count(),
                "{open}"
            );
        }
    }
    // The same books say the same again, and a table has no words.
    let table = report(&world.bench, "month=2020-02&format=csv").await;
    let again = report(&world.bench, "month=2020-02&format=csv&lang=ko").await;
    assert_eq!(again.text, table.text);
}

#[tokio::test]
async fn an_empty_month_is_empty_and_agrees() {
    let bench = Bench::start().await;
    made(&bench, "programmes", json!({"id": "ours"})).await;
    for query in [
        "",
        "month=1970-01",
        "month=0001-01",
        "month=2020-02&offset_s=-43200",
    ] {
        let answer = report(&bench, query).await;
        assert_eq!(reconciled(&answer), "true", "{query}");
        assert_eq!(answer.json["total"]["requests"], 0);
        assert_eq!(answer.json["units"], json!([]));
        let page = report(&bench, &format!("{query}&format=html")).await;
        assert!(page.text.contains("<svg"), "{query}");
        let csv = report(&bench, &format!("{query}&format=csv")).await;
        assert_eq!(csv.text.lines().count(), 1, "{query}");
    }
    assert_eq!(report(&bench, "").await.json["complete"], false);
}

#[tokio::test]
async fn what_is_wrong_with_a_question_is_named() {
    let bench = Bench::start().await;
    made(&bench, "programmes", json!({"id": "ours"})).await;
    let check = async |path: &str, code: &str, param: &str| {
        let answer = bench.get(path, &bench.operator).await;
        assert_eq!(
            (answer.code(), answer.param()),
            (code, param),
            "{path}: {}",
            answer.text
        );
    };
    for month in [
        "2026",
        "2026-13",
        "26-11",
        "2026-11-01",
        "November",
        "0000-01",
        "99999-01",
    ] {
        check(&format!("{REPORT}?month={month}"), "field_invalid", "month").await;
    }
    check(&format!("{REPORT}?month=9999-12"), "field_invalid", "month").await;
    check(&format!("{REPORT}?month=3000-01"), "field_invalid", "month").await;
    check(&format!("{REPORT}?format=xml"), "field_invalid", "format").await;
    check(&format!("{REPORT}?lang=fr"), "field_invalid", "lang").await;
    check(
        &format!("{REPORT}?offset_s=1000000"),
        "field_invalid",
        "offset_s",
    )
    .await;
    check(&format!("{REPORT}?tenant=a"), "field_invalid", "tenant").await;
    check("/api/v1/programmes/nobody/report", "not_found", "").await;
    check("/api/v1/costs?programme=nobody", "not_found", "programme").await;
    check("/api/v1/costs?tenant=nobody", "not_found", "tenant").await;
    check("/api/v1/costs?month=3000-01", "field_invalid", "month").await;
}

#[tokio::test]
async fn costs_are_of_what_one_may_see() {
    let world = Month::random(11, 120).await;
    let bench = &world.bench;
    let tenants = async |query: &str, key: &str| {
        let answer = bench
            .get(&format!("/api/v1/costs?month=2020-02{query}"), key)
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let names = rows(&answer.text)
            .into_iter()
            .map(|row| row["SubAccountId"].clone());
        names
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
    };
    let operator = bench.operator.clone();
    assert_eq!(tenants("", &operator).await, ["a", "b", "c", "x", "y"]);
    assert_eq!(tenants("&programme=theirs", &operator).await, ["x"]);
    assert_eq!(tenants("&tenant=y", &operator).await, ["y"]);
    assert!(
        tenants("&tenant=y&programme=ours", &operator)
            .await
            .is_empty()
    );
    let (_, manager) = bench.key_of("ours", "", Role::ProgrammeManager).await;
    assert_eq!(tenants("", &manager).await, ["a", "b", "c"]);
    let (_, member) = bench.key("b").await;
    assert_eq!(tenants("", &member).await, ["b"]);
    for query in ["programme=theirs", "programme=nobody"] {
        let foreign = bench.get(&format!("/api/v1/costs?{query}"), &manager).await;
        assert_eq!(
            (foreign.status, foreign.code()),
            (404, "not_found"),
            "{query}"
        );
    }
    let own = bench.get("/api/v1/costs?programme=ours", &member).await;
    assert_eq!((own.status, own.code()), (404, "not_found"));
}
