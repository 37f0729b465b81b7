//! What the ledger costs: in SQLite appends beside bare inserts of the same rows, and how long it takes to verify all of them; in both
//! databases the settling of requests, which is a record and an entry each.
//! `cargo bench -p madang-store --bench ledger [-- ENTRIES]`; without `--bench` (under `cargo test`) it only shows that it runs.

#![expect(clippy::print_stdout, reason = "a bench prints its table")]

use madang_ledger::{Account, Entry, EntryId, Leg, Phase, Subject};
use madang_store::conformance::bank::Books;
use madang_store::conformance::sample::{entry, full, won};
use madang_store::{
    ENTRIES_APPEND_COUNT_MAX, Ledger, PostgresOptions, PostgresStore, Settlement, SqliteLedger,
    SqliteStore, UsageFilter, UsageGroup,
};
use madang_testkit::Postgres;
use madang_types::{Micros, RequestId, Unit};
use rusqlite::{Connection, params};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Tenants, each with a lease and a project; they take turns.
const TENANTS: i64 = 2_000;
const SITES: i64 = 3;
/// Entries of one call.
const CALL: i64 = ENTRIES_APPEND_COUNT_MAX as i64;
/// Rows of each request's entry: itself, four legs, and one for each account that it names.
const ROWS: i64 = 8;
/// Legs of each.
const LEGS: i64 = 4;

/// A request's id: the time first and then noise, as those that are made at the edge.
fn id(number: i64) -> u128 {
    let number = number.unsigned_abs();
    let noise = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    (u128::from(number) << 64) | u128::from(noise)
}

/// What tenants, sites and the world are called.
struct Names {
    leases: Vec<Account>,
    projects: Vec<Account>,
    sites: Vec<Account>,
}

impl Names {
    fn new() -> Outcome<Self> {
        let named = |count, name: fn(i64) -> String| -> Outcome<Vec<Account>> {
            (0..count).map(|number| Ok(name(number).parse()?)).collect()
        };
        Ok(Self {
            leases: named(TENANTS, |t| {
                format!("lease:gw-1:7:allocation:tenant-{t}-2026")
            })?,
            projects: named(TENANTS, |t| format!("project:tenant-{t}:search"))?,
            sites: named(SITES, |s| format!("site:site-{s}"))?,
        })
    }

    /// A request's entry: what it costs, and three classes of tokens the other way.
    fn request(&self, number: i64) -> Entry {
        let tenant = usize::try_from(number % TENANTS).unwrap_or(0);
        let site = &self.sites[usize::try_from(number % SITES).unwrap_or(0)];
        let leg = |unit, amount, from: &Account, to: &Account| Leg {
            unit,
            amount,
            from: from.clone(),
            to: to.clone(),
        };
        let project = &self.projects[tenant];
        let tokens = [Unit::UncachedTokens, Unit::CachedTokens, Unit::OutputTokens];
        let mut legs = vec![leg(Unit::MicroWon, 2_345_678, &self.leases[tenant], site)];
        legs.extend(tokens.map(|unit| leg(unit, 1_234, site, project)));
        Entry {
            id: EntryId(id(number)),
            phase: Phase::Direct,
            at: Micros(1_794_279_600_000_000 + number),
            subject: Subject::Request(RequestId(id(number))),
            legs,
        }
    }

    /// What every lease holds at the start.
    fn grants(&self) -> Outcome<Vec<Entry>> {
        let grant = |(number, lease): (u128, &Account)| -> Outcome<Entry> {
            let leg = won("world", &lease.to_string(), 1 << 50)?;
            Ok(entry(u128::MAX - number, Phase::Direct, vec![leg]))
        };
        (0..).zip(&self.leases).map(grant).collect()
    }
}

async fn open(path: &Path, names: &Names) -> Outcome<SqliteStore> {
    let store = SqliteStore::open(path)?;
    for part in names.grants()?.chunks(ENTRIES_APPEND_COUNT_MAX) {
        store.entries_append(part.to_vec()).await?;
    }
    Ok(store)
}

fn per_second(count: i64, since: Instant) -> f64 {
    count as f64 / since.elapsed().as_secs_f64()
}

/// The same rows of the same entries, as many to a transaction, without rules, look-ups, queue or balances.
fn bare(path: &Path, entries: i64) -> Outcome<f64> {
    drop(SqliteStore::open(path)?);
    let conn = Connection::open(path)?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "cache_size", -16_384)?;
    let mut head =
        conn.prepare("INSERT INTO ledger_entries VALUES (?1, ?2, 1, ?3, 4, NULL, 4294967295)")?;
    let mut leg = conn.prepare("INSERT INTO ledger_legs VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    let mut named = conn.prepare("INSERT INTO ledger_account_entries VALUES (?1, ?2, ?3)")?;
    let start = Instant::now();
    for first in (0..entries).step_by(ENTRIES_APPEND_COUNT_MAX) {
        conn.execute_batch("BEGIN IMMEDIATE")?;
        for number in first..entries.min(first + CALL) {
            let seq = number + 1;
            let at = 1_794_279_600_000_000 + number;
            head.execute(params![seq, id(number).to_be_bytes(), at])?;
            let [lease, project, site] = [
                number % TENANTS,
                TENANTS + number % TENANTS,
                2 * TENANTS + number % SITES,
            ];
            leg.execute(params![seq, 0, 1, 2_345_678, lease, site])?;
            for (place, unit) in [(1, 3), (2, 4), (3, 5)] {
                leg.execute(params![seq, place, unit, 1_234, site, project])?;
            }
            for account in [lease, project, site] {
                named.execute([seq / 4096, account, seq])?;
            }
        }
        conn.execute_batch("COMMIT")?;
    }
    Ok(per_second(entries, start))
}

/// One caller that brings as many as one call takes.
async fn whole_batches(path: &Path, names: &Names, entries: i64) -> Outcome<f64> {
    let store = open(path, names).await?;
    let start = Instant::now();
    for first in (0..entries).step_by(ENTRIES_APPEND_COUNT_MAX) {
        let end = entries.min(first + CALL);
        let batch = (first..end).map(|number| names.request(number)).collect();
        for told in store.entries_append(batch).await? {
            told?;
        }
    }
    Ok(per_second(entries, start))
}

/// Callers that bring one each.
async fn callers(path: &Path, names: &Arc<Names>, entries: i64) -> Outcome<f64> {
    const CALLERS: i64 = 256;
    let store = Arc::new(open(path, names).await?);
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let (store, names) = (store.clone(), names.clone());
        tasks.spawn(async move {
            for number in (caller..entries).step_by(CALLERS as usize) {
                let told = store.entries_append(vec![names.request(number)]).await?;
                for told in told {
                    told?;
                }
            }
            Outcome::Ok(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    Ok(per_second(entries, start))
}

/// Seconds to verify, and the memory in MiB that it took at most beside what was there.
fn verify(path: &Path) -> Outcome<(f64, f64)> {
    let ledger = SqliteLedger::open(path)?;
    // Linux forgets the greatest size so far.
    std::fs::write("/proc/self/clear_refs", "5")?;
    let before = resident_mib("VmRSS:")?;
    let start = Instant::now();
    let report = ledger.verify()?;
    let seconds = start.elapsed().as_secs_f64();
    if let Some(finding) = report.findings.first() {
        return Err(format!("{}: {finding}", finding.place()).into());
    }
    Ok((seconds, resident_mib("VmHWM:")? - before))
}

fn resident_mib(field: &str) -> Outcome<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib
        .ok_or("the system says nothing of memory")?
        .parse::<f64>()?
        / 1024.0)
}

/// Requests that are settled as a server has them settled: records with their entries, by the journal and from there many at a
/// time; counted once the database has them all.
async fn settled(books: Arc<dyn Books>, names: &Arc<Names>, entries: i64) -> Outcome<f64> {
    const CALLERS: i64 = 256;
    books.usage_sync_ms_max_set(10);
    for part in names.grants()?.chunks(ENTRIES_APPEND_COUNT_MAX) {
        books.entries_append(part.to_vec()).await?;
    }
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let (books, names) = (Arc::clone(&books), Arc::clone(names));
        tasks.spawn(async move {
            for number in (caller..entries).step_by(CALLERS as usize) {
                let entry = names.request(number);
                let record = full(entry.id.0, entry.at)?;
                let entry = Some(entry);
                books.usage_settle(Settlement { record, entry }).await?;
            }
            Outcome::Ok(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    let sum = books.usage_sum(UsageFilter::default(), UsageGroup::All);
    let found = sum.await?.first().map_or(0, |sum| sum.requests);
    if found != entries.unsigned_abs() {
        return Err(format!("{found} of {entries} records are there").into());
    }
    let rate = per_second(entries, start);
    let report = books.ledger_verify().await?;
    match report.findings.first() {
        Some(finding) => Err(format!("{}: {finding}", finding.place()).into()),
        None => Ok(rate),
    }
}

/// Prints requests a second that are settled in both databases.
async fn both(folder: &Path, names: &Arc<Names>, entries: i64) -> Outcome<()> {
    let sqlite = SqliteStore::open(&folder.join("settled.sqlite"))?;
    let sqlite = settled(Arc::new(sqlite), names, entries).await?;
    let server = Postgres::own_at(Path::new("/var/tmp"), &[])?;
    let database = server.database()?;
    let options = PostgresOptions {
        gateway: Some("gw-1".parse()?),
        journal: Some(folder.join("records")),
        ..PostgresOptions::default()
    };
    let postgres = PostgresStore::open(&database.url().parse()?, &options)?;
    let postgres = settled(Arc::new(postgres), names, entries).await?;
    for (name, rate) in [("SQLite", sqlite), ("PostgreSQL", postgres)] {
        let name = format!("{entries} requests settled in {name}");
        println!("{name:>38} {rate:>9.0} requests/s {:>6.2}", rate / sqlite);
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let asked = std::env::args().find_map(|argument| argument.parse().ok());
    let entries: i64 = asked.unwrap_or(if measured { 2_500_000 } else { 5_000 });
    // Beside the build and not in /tmp, which may be memory and would make syncs free.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let names = Arc::new(Names::new()?);
    let part = entries / 10;
    let bare = bare(&folder.path().join("bare.sqlite"), part)?;
    let line = |what: &str, rate: f64| {
        let rows = rate * ROWS as f64;
        println!(
            "{what:>34} {rate:>9.0} entries/s {rows:>9.0} rows/s {:>6.2}",
            rate / bare
        );
    };
    line("bare inserts, 512 a commit", bare);
    let path = folder.path().join("part.sqlite");
    line(
        "one caller, 512 a call",
        whole_batches(&path, &names, part).await?,
    );
    let path = folder.path().join("callers.sqlite");
    line(
        "256 callers, one a call",
        callers(&path, &names, part).await?,
    );
    let path = folder.path().join("whole.sqlite");
    let what = format!("one caller, {entries} in all");
    line(&what, whole_batches(&path, &names, entries).await?);
    let (seconds, mib) = verify(&path)?;
    let legs = entries * LEGS;
    let bytes = std::fs::metadata(&path)?.len() / entries.unsigned_abs();
    println!(
        "{:>34} {seconds:>9.1} s for {entries} entries with {legs} legs ({bytes} bytes each), {mib:.0} MiB; {:.0} s for 10^8 legs",
        "verify",
        seconds * 1e8 / legs as f64
    );
    both(folder.path(), &names, part).await
}
