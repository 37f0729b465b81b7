//! What the books and the engine wrote down.

use madang_store::{Store, UsageFilter};
use madang_types::UsageRecord;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Every record in the books.
pub async fn records(store: &dyn Store) -> Vec<UsageRecord> {
    let mut all: Vec<UsageRecord> = Vec::new();
    loop {
        let before = all.last().map(|record| record.id);
        let page = store.usage_list(UsageFilter::default(), before, 1000).await;
        let page = page.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// What the engine wrote down, by request id.
pub fn served(log: &Path) -> BTreeMap<String, Value> {
    let text = std::fs::read_to_string(log).unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .map(|line| (line["request_id"].as_str().unwrap().to_owned(), line))
        .collect()
}
