//! Appends a second by callers at once, beside a bare loop that commits each row, on the same disk in the same run; and
//! rows a second into SQLite and into a PostgreSQL beside it, counted once the database has them all.
//! `cargo bench -p madang-store`; without `--bench` (under `cargo test`) it only shows that it runs.

#![expect(clippy::print_stdout, reason = "a bench prints its table")]

use madang_store::conformance::sample::full;
use madang_store::{PostgresOptions, PostgresStore, SqliteStore, Store, UsageFilter, UsageGroup};
use madang_testkit::Postgres;
use madang_types::{Micros, RequestId};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Callers at once where rows are counted.
const ROW_CALLERS: u128 = 64;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn per_second(count: u128, since: Instant) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / since.elapsed().as_secs_f64()
}

/// One commit for each row, with the store's settings and the same row, and no queue or thread between.
fn bare_loop(folder: &Path, rows: u128) -> Outcome<f64> {
    let path = folder.join("bare.sqlite");
    drop(SqliteStore::open(&path)?);
    let conn = rusqlite::Connection::open(&path)?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "cache_size", -16_384)?;
    let mut insert = conn.prepare(
        "INSERT INTO usage VALUES (?1, ?2, 'kma', 'k2', 'responses', 'LGAI/EXAONE-4.0:32b', 'pohang', 'pohang-h200-0',
         'engine_cut', 502, 'engine_cut', 1, 2, 'classified', 'critical', 11, 12, 13, 1, 14, 15, 16, 17, 18, 19, -20,
         21, 'pohang: 가장 한가함 \"0\"')",
    )?;
    let start = Instant::now();
    for id in 0..rows {
        insert.execute((id.to_be_bytes(), i64::try_from(id)?))?;
    }
    Ok(per_second(rows, start))
}

async fn callers(folder: &Path, count: u128, rows: u128) -> Outcome<f64> {
    let store = Arc::new(SqliteStore::open(&folder.join(format!("{count}.sqlite")))?);
    let start = Instant::now();
    append(store, count, rows).await?;
    Ok(per_second(rows, start))
}

/// `rows` records by `count` callers at once.
async fn append(store: Arc<dyn Store>, count: u128, rows: u128) -> Outcome<()> {
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..count {
        let store = store.clone();
        tasks.spawn(async move {
            for number in 0..rows / count {
                let id = number * count + caller;
                store
                    .usage_append(full(id, Micros(i64::try_from(id)?))?)
                    .await?;
            }
            Outcome::Ok(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    Ok(())
}

/// Rows a second, as a server has them appended: synced every 10 ms, and counted once the database has them all.
async fn rows_into(store: Arc<dyn Store>, rows: u128) -> Outcome<f64> {
    store.usage_sync_ms_max_set(10);
    let start = Instant::now();
    append(store.clone(), ROW_CALLERS, rows).await?;
    let sum = store.usage_sum(UsageFilter::default(), UsageGroup::All);
    let found = u128::from(sum.await?[0].requests);
    if found != rows / ROW_CALLERS * ROW_CALLERS {
        return Err(format!("{found} of {rows} rows are in the database").into());
    }
    Ok(per_second(rows, start))
}

/// Prints rows a second into both databases, on the disk, and their ratio.
async fn both(folder: &Path, rows: u128) -> Outcome<()> {
    let sqlite = SqliteStore::open(&folder.join("rows.sqlite"))?;
    let sqlite = rows_into(Arc::new(sqlite), rows).await?;
    let server = Postgres::own_at(Path::new("/var/tmp"), &[])?;
    let database = server.database()?;
    let options = PostgresOptions {
        journal: Some(folder.join("records")),
        ..PostgresOptions::default()
    };
    let postgres = PostgresStore::open(&database.url().parse()?, &options)?;
    let postgres = rows_into(Arc::new(postgres), rows).await?;
    for (name, rate) in [("SQLite", sqlite), ("PostgreSQL", postgres)] {
        let name = format!("{rows} rows into {name}");
        println!("{name:>30} {rate:>10.0} rows/s    {:>6.2}", rate / sqlite);
    }
    Ok(())
}

/// Milliseconds for one report over `rows` records.
async fn report(folder: &Path, rows: u128, group: UsageGroup) -> Outcome<f64> {
    let path = folder.join("report.sqlite");
    let store = SqliteStore::open(&path)?;
    if store
        .usage_sum(UsageFilter::default(), UsageGroup::All)
        .await?[0]
        .requests
        == 0
    {
        store.usage_append(full(0, Micros(0))?).await?;
        // A read has it moved from the journal into the file.
        store.usage_get(RequestId(0)).await?;
        let conn = rusqlite::Connection::open(&path)?;
        conn.execute_batch("CREATE TEMP TABLE sample AS SELECT * FROM usage")?;
        conn.execute(
            "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
             INSERT INTO usage SELECT unhex(printf('%032x', i)), i * 1000000, tenant, key, endpoint, model, site,
             replica, outcome, status, error, streamed, attempts, data_class, priority, uncached_tokens, cached_tokens,
             output_tokens, tokens_estimated, bytes_in, bytes_out, queued_us, first_token_us, per_token_us, total_us,
             cost_micro_won, energy_mj, decision FROM n, sample",
            [i64::try_from(rows)?],
        )?;
    }
    let start = Instant::now();
    store.usage_sum(UsageFilter::default(), group).await?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let scale = if measured { 1 } else { 200 };
    // Beside the build and not in /tmp, which may be memory and would make syncs free.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let bare = bare_loop(folder.path(), 4_000 / scale)?;
    println!(
        "{:>30} {bare:>10.0} appends/s   1.00",
        "bare loop, a commit each"
    );
    for (count, rows) in [(1, 4_000), (16, 32_000), (256, 102_400)] {
        let rate = callers(folder.path(), count, (rows / scale).max(count)).await?;
        println!(
            "{count:>22} callers {rate:>10.0} appends/s {:>6.2}",
            rate / bare
        );
    }
    both(folder.path(), 320_000 / scale).await?;
    let rows = 500_000 / scale;
    for (name, group) in [
        ("all", UsageGroup::All),
        ("model", UsageGroup::Model),
        ("day", UsageGroup::Day { offset_s: 32_400 }),
    ] {
        let report_ms = report(folder.path(), rows, group).await?;
        println!(
            "{:>30} {report_ms:>10.1} ms",
            format!("sums by {name} of {rows}")
        );
    }
    Ok(())
}
