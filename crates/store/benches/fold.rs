//! What a gateway's look through sixty days of records costs, hour by hour as it works out credit from them, and what that does to the
//! records that are written meanwhile; in both databases.
//! `cargo bench -p madang-store --bench fold [-- ROWS]`; without `--bench` (under `cargo test`) it only shows that it runs.

#![expect(clippy::print_stdout, reason = "a bench prints its table")]

use madang_store::conformance::sample::full;
use madang_store::{PostgresOptions, PostgresStore, SqliteStore, Store, UsageFilter, UsageGroup};
use madang_testkit::Postgres;
use madang_types::{Micros, RequestId};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const HOUR_US: i64 = 3_600_000_000;
const HOURS: i64 = 60 * 24;
/// Who made the rows, and of what.
const TENANTS: i64 = 500;
const MODELS: i64 = 4;
/// Callers that write meanwhile.
const WRITERS: u128 = 16;
/// The ids of what they write, beyond all others.
const WRITTEN: u128 = 1 << 64;

/// The sample's row once for each `i` of `numbers`, spread over tenants, models and sixty days.
fn fill(numbers: &str, id: &str, rows: i64) -> String {
    let gap_us = HOURS * HOUR_US / rows;
    format!(
        "{numbers} INSERT INTO usage (id, arrived_at, tenant, key, endpoint, model, site, replica, outcome, status, error, streamed,
         attempts, data_class, priority, uncached_tokens, cached_tokens, output_tokens, tokens_estimated, bytes_in, bytes_out,
         queued_us, first_token_us, per_token_us, total_us, cost_micro_won, energy_mj, decision)
         SELECT {id}, i * {gap_us}, 'tenant-' || (i * 7919 % {TENANTS}), key, endpoint, 'model-' || (i * 104729 % {MODELS}), site,
         replica, outcome, status, error, streamed, attempts, data_class, priority, uncached_tokens, cached_tokens, output_tokens,
         tokens_estimated, bytes_in, bytes_out, queued_us, first_token_us, per_token_us, total_us, cost_micro_won, energy_mj,
         decision FROM n, (SELECT * FROM usage LIMIT 1) AS sample"
    )
}

async fn sqlite(folder: &Path, rows: i64) -> Outcome<SqliteStore> {
    let path = folder.join("fold.sqlite");
    let store = SqliteStore::open(&path)?;
    sample(&store).await?;
    let numbers = format!(
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {rows})"
    );
    let sql = fill(&numbers, "unhex(printf('%032x', i))", rows);
    rusqlite::Connection::open(&path)?.execute_batch(&sql)?;
    Ok(store)
}

/// A row to be copied. A read has it moved from the journal into the database.
async fn sample(store: &dyn Store) -> Outcome<()> {
    store.usage_append(full(0, Micros(0))?).await?;
    store.usage_get(RequestId(0)).await?;
    Ok(())
}

/// Milliseconds for so many of the last hours, one question each.
async fn fold(store: &dyn Store, hours: i64) -> Outcome<(f64, usize)> {
    let start = Instant::now();
    let mut groups = 0;
    for hour in HOURS - hours..HOURS {
        let span = UsageFilter {
            from: Some(Micros(hour * HOUR_US)),
            until: Some(Micros((hour + 1) * HOUR_US)),
            ..UsageFilter::default()
        };
        groups += store.usage_sum(span, UsageGroup::TenantModel).await?.len();
    }
    Ok((start.elapsed().as_secs_f64() * 1e3, groups))
}

/// The slowest write in milliseconds, and how many there were a second, while `work` is done.
async fn beside<T>(
    store: &Arc<dyn Store>,
    work: impl Future<Output = Outcome<T>>,
) -> Outcome<(T, f64, f64)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let over = Arc::new(AtomicBool::new(false));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        let (store, over) = (Arc::clone(store), Arc::clone(&over));
        tasks.spawn(async move {
            let (mut slowest_ms, mut written) = (0.0_f64, 0_u32);
            while !over.load(Ordering::Relaxed) {
                let id = WRITTEN + u128::from(NEXT.fetch_add(1, Ordering::Relaxed));
                let start = Instant::now();
                store.usage_append(full(id, Micros(0))?).await?;
                slowest_ms = slowest_ms.max(start.elapsed().as_secs_f64() * 1e3);
                written += 1;
                // A server's load and not the most that can be written.
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            Outcome::Ok((slowest_ms, written))
        });
    }
    let start = Instant::now();
    let done = work.await?;
    let seconds = start.elapsed().as_secs_f64();
    over.store(true, Ordering::Relaxed);
    let (mut slowest_ms, mut written) = (0.0_f64, 0);
    while let Some(task) = tasks.join_next().await {
        let one = task??;
        slowest_ms = slowest_ms.max(one.0);
        written += one.1;
    }
    Ok((done, slowest_ms, f64::from(written) / seconds))
}

async fn measure(name: &str, store: Arc<dyn Store>) -> Outcome<()> {
    store.usage_sync_ms_max_set(10);
    for hours in [HOURS, HOURS, 25] {
        let (took_ms, groups) = fold(&*store, hours).await?;
        let ((busy_ms, _), slowest_ms, per_s) = beside(&store, fold(&*store, hours)).await?;
        println!(
            "{name:>10} {hours:>5} hours, {groups:>7} sums {took_ms:>8.0} ms; beside {per_s:>5.0} writes/s {busy_ms:>8.0} ms, the slowest \
             write {slowest_ms:.1} ms"
        );
    }
    let quiet = async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        Outcome::Ok(())
    };
    let ((), slowest_ms, per_s) = beside(&store, quiet).await?;
    println!("{name:>10} no look; {per_s:.0} writes/s, the slowest {slowest_ms:.1} ms");
    Ok(())
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let asked = std::env::args().find_map(|argument| argument.parse().ok());
    let rows: i64 = asked.unwrap_or(if measured { 1_000_000 } else { 2_000 });
    // Beside the build and not in /tmp, which may be memory and would make syncs free.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    println!(
        "{rows} records over {} days of {TENANTS} tenants and {MODELS} models",
        HOURS / 24
    );
    measure("SQLite", Arc::new(sqlite(folder.path(), rows).await?)).await?;
    let server = Postgres::own_at(Path::new("/var/tmp"), &[])?;
    let database = server.database()?;
    let options = PostgresOptions {
        journal: Some(folder.path().join("records")),
        ..PostgresOptions::default()
    };
    let store = PostgresStore::open(&database.url().parse()?, &options)?;
    sample(&store).await?;
    let numbers = format!("WITH n(i) AS (SELECT generate_series(1::bigint, {rows}))");
    database.sql(&fill(&numbers, "lpad(to_hex(i), 32, '0')::uuid", rows))?;
    database.sql("ANALYZE usage")?;
    measure("PostgreSQL", Arc::new(store)).await
}
