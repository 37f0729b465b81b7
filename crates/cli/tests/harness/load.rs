//! Clients that ask, and whether books, clients and engine agree afterwards.

use super::{Madang, chat_body};
use http::Method;
use madang_ledger::Account;
use madang_store::conformance::bank::Books;
use madang_testkit::http_stream;
use madang_types::{MicroWon, Outcome, Unit, UsageRecord};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Ids of requests whose answer came to its end.
pub type Finished = Vec<String>;

/// What the first key's tenant pays from.
const GRANT: &str = "demo-2026";
/// A million won.
const GRANTED: i64 = 1_000_000_000_000;

/// The tenant of the first key pays from a grant, and tokens have a price.
pub async fn grant(madang: &Madang) {
    let post = Method::POST;
    madang
        .operate(
            post.clone(),
            "/api/v1/programmes",
            json!({"id": "startups"}),
        )
        .await;
    madang
        .operate(
            Method::PATCH,
            "/api/v1/tenants/demo",
            json!({"programme": "startups"}),
        )
        .await;
    let price = json!({"model": "m", "uncached": "350", "cached": "90", "output": "1400"});
    madang.operate(post.clone(), "/api/v1/prices", price).await;
    let budget = json!({"programme": "startups", "amount": GRANTED});
    madang
        .operate(post.clone(), "/api/v1/budgets", budget)
        .await;
    let grant =
        json!({"id": GRANT, "tenant": "demo", "amount": GRANTED, "until": "2100-01-01T00:00:00Z"});
    madang.operate(post, "/api/v1/allocations", grant).await;
}

/// The request's id where its answer was whole; an error where the server is gone.
pub async fn ask(url: &str, key: &str, streamed: bool) -> anyhow::Result<Option<String>> {
    let answer = http_stream(url, Some(key), chat_body("count for me", 16, streamed)).await?;
    let id = answer
        .headers
        .get("x-madang-request-id")
        .map(|id| id.to_str().unwrap().to_owned());
    let whole = if streamed {
        let (events, cut) = answer.sse().to_end().await;
        if let Some(cut) = cut
            && !events.iter().any(|event| event.is_done())
        {
            return Err(cut);
        }
        events.last().is_some_and(|event| event.is_done())
    } else {
        answer.collect().await?.status == 200
    };
    Ok(id.filter(|_| whole))
}

/// That what clients saw whole is in the books once, and that the books hold nothing finished that the engine did not serve.
pub fn compare(finished: &Finished, records: &[UsageRecord], served: &BTreeMap<String, Value>) {
    let mut books: BTreeMap<String, &UsageRecord> = BTreeMap::new();
    for record in records {
        assert!(
            books.insert(record.id.to_string(), record).is_none(),
            "{} is in the books twice",
            record.id
        );
    }
    for id in finished {
        let record = books
            .get(id)
            .unwrap_or_else(|| panic!("{id} was answered to its end and is not in the books"));
        assert_eq!(record.outcome, Outcome::Finished, "{id}");
    }
    for (id, record) in books
        .iter()
        .filter(|(_, record)| record.outcome == Outcome::Finished)
    {
        let line = served
            .get(id)
            .unwrap_or_else(|| panic!("{id} is in the books and no engine served it"));
        let tokens = record.tokens;
        let prompt = tokens.uncached.0 + tokens.cached.0;
        assert!(!tokens.estimated, "{id}");
        assert_eq!(
            [Some(prompt), Some(tokens.cached.0), Some(tokens.output.0)],
            ["prompt_tokens", "cached_tokens", "output_tokens"].map(|name| line[name].as_u64()),
            "{id}"
        );
    }
    println!(
        "{} answers seen whole, {} records, {} served",
        finished.len(),
        records.len(),
        served.len()
    );
}

/// That the ledger follows its rules, and says of each request what its record says. Gives how many requests were orphaned.
pub async fn check_ledger(books: &dyn Books, records: &[UsageRecord]) -> usize {
    let report = books.ledger_verify().await.unwrap();
    assert!(report.findings.is_empty(), "{report:?}");
    let (mut charged, mut orphans) = (0, 0);
    for record in records {
        let rows = books.entry(record.id.into()).await.unwrap();
        let legs: Vec<_> = rows.iter().flat_map(|row| &row.entry.legs).collect();
        let sum = |unit| -> i64 {
            let of = legs.iter().filter(|leg| leg.unit == unit);
            of.map(|leg| leg.amount).sum()
        };
        let tokens = record.tokens;
        let expected = [tokens.uncached, tokens.cached, tokens.output];
        let expected = expected.map(|tokens| i64::try_from(tokens.0).unwrap());
        let units = [Unit::UncachedTokens, Unit::CachedTokens, Unit::OutputTokens];
        assert_eq!(units.map(sum), expected, "{record:?}");
        let cost = record.cost.unwrap_or_default();
        assert_eq!(MicroWon(sum(Unit::MicroWon)), cost, "{record:?}");
        charged += cost.0;
        orphans += usize::from(record.outcome == Outcome::Orphaned);
    }
    let site = Account::Site("here".parse().unwrap());
    let earned = books.balance(site).await.unwrap();
    let earned = earned.iter().find(|(unit, _)| *unit == Unit::MicroWon);
    assert_eq!(earned.map_or(0, |(_, balance)| balance.total_in), charged);
    let purse = format!("allocation:{GRANT}").parse().unwrap();
    let left = books.purse_left(purse, Unit::MicroWon);
    assert_eq!(left.await.unwrap(), GRANTED - charged);
    orphans
}
