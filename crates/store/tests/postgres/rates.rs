//! The rows of keys' rates: one for each key in use and none for others, and written only where something has changed.

use super::url;
use madang_ledger::{Holder, PART_LEASE_MS, PartAsk};
use madang_store::{Bank, PostgresOptions, PostgresStore};
use madang_testkit::{Database, Postgres};
use madang_types::Micros;

/// Asks for the keys, of each of which the gateway holds so much.
async fn ask(
    store: &PostgresStore,
    (holder, number): (&Holder, u64),
    keys: &[(&str, u32, u32)],
) -> Vec<u32> {
    let ask = |(key, holds, demand): &(&str, u32, u32)| PartAsk {
        key: key.parse().unwrap(),
        number,
        holds: *holds,
        gives: 1_000 - holds,
        fill: 1_000,
        demand: *demand,
        least: 1,
    };
    let asks = keys.iter().map(ask).collect();
    let books = store.rate_books().unwrap();
    let told = books.rate_parts(holder.clone(), asks).await.unwrap();
    told.unwrap().iter().map(|grant| grant.permille).collect()
}

/// The keys that have a row, each with the transaction that wrote it.
fn rows(database: &Database) -> Vec<(String, String)> {
    let sql = "SELECT key, xmin FROM madang.rate_parts ORDER BY key";
    let found = database.sql(sql).unwrap();
    let row = |line: &str| {
        line.split_once('|')
            .map(|(key, by)| (key.into(), by.into()))
    };
    found.lines().filter_map(row).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_there_while_its_key_is_used_and_written_when_something_changes() {
    let server = Postgres::shared().unwrap();
    let database = server.database().unwrap();
    let store = PostgresStore::open(&url(&database.url()), &PostgresOptions::default()).unwrap();
    let holder = store.run_begin("gw-1".parse().unwrap(), Micros(1));
    let holder = holder.await.unwrap();
    let both = [("k1", 0, 1), ("k2", 0, 1)];
    assert_eq!(ask(&store, (&holder, 1), &both).await, [1_000, 1_000]);
    let written = rows(&database);
    assert_eq!(written.len(), 2);

    // It is alone with both, and its leases are young.
    let held = [("k1", 1_000, 1), ("k2", 1_000, 7)];
    assert_eq!(ask(&store, (&holder, 2), &held).await, [1_000, 1_000]);
    assert_eq!(rows(&database), written);

    // An old one is renewed.
    let until = "(parts::jsonb->'parts'->0->>'until')::bigint";
    let now = "extract(epoch FROM clock_timestamp()) * 1000000";
    let age = format!(
        "UPDATE madang.rate_parts SET parts = jsonb_set(parts::jsonb, '{{parts,0,until}}', to_jsonb(({now} + 1000000)::bigint))
         WHERE key = 'k1'"
    );
    database.sql(&age).unwrap();
    assert_eq!(ask(&store, (&holder, 3), &held).await, [1_000, 1_000]);
    let lasting = format!(
        "SELECT key FROM madang.rate_parts WHERE {until} > {now} + {PART_LEASE_MS} * 1000 ORDER BY key"
    );
    assert_eq!(database.sql(&lasting).unwrap(), "k1\nk2");
    assert_eq!(rows(&database)[1], written[1]);

    // What was given up full needs no row.
    let given = [("k1", 0, 0), ("k2", 1_000, 1)];
    assert_eq!(ask(&store, (&holder, 4), &given).await, [0, 1_000]);
    assert_eq!(rows(&database), written[1..]);
}
