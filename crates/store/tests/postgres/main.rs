//! PostgreSQL's own days, good and bad: starts, refusals, a server that is away, killed, silent, or behind TLS.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod away;
mod ledger;
mod rates;
mod start;
mod tls;

use madang_store::{PostgresOptions, PostgresStore, PostgresUrl, Store, StoreError, UsageFilter};
use madang_types::RequestId;
use std::path::Path;

/// With a journal in the folder and waits that a test can wait for.
fn options(folder: &Path) -> PostgresOptions {
    PostgresOptions {
        journal: Some(folder.join("records")),
        connect_wait_ms_max: 2_000,
        ..PostgresOptions::default()
    }
}

fn url(text: &str) -> PostgresUrl {
    text.parse().unwrap()
}

/// Why it cannot be opened.
fn refusal(text: &str, options: &PostgresOptions) -> String {
    let refused = PostgresStore::open(&url(text), options).err();
    let refused = refused.expect("it is refused");
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
    refused.to_string()
}

/// All ids in the books, the newest first.
async fn all_ids(store: &dyn Store) -> Result<Vec<u128>, StoreError> {
    let (mut ids, mut before): (Vec<u128>, Option<RequestId>) = (Vec::new(), None);
    loop {
        let page = store
            .usage_list(UsageFilter::default(), before, 1000)
            .await?;
        let Some(last) = page.last() else {
            return Ok(ids);
        };
        before = Some(last.id);
        ids.extend(page.iter().map(|record| record.id.0));
    }
}
