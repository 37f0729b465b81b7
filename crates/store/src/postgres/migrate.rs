//! Brings a database to this program's schema: numbered files, all in one transaction, each written down.

use super::connect::medium;
use super::row::rows;
use crate::StoreError;
use crate::migration::{Migration, refuse_future};
use deadpool_postgres::{Object, Transaction};
use std::time::Duration;

/// Every step, in order, numbered from 1: the same numbers with the same meaning as in SQLite.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "books",
        sql: include_str!("../../migrations/postgres/0001_books.sql"),
    },
    Migration {
        version: 2,
        name: "floors",
        sql: include_str!("../../migrations/postgres/0002_floors.sql"),
    },
    Migration {
        version: 3,
        name: "projects",
        sql: include_str!("../../migrations/postgres/0003_projects.sql"),
    },
    Migration {
        version: 4,
        name: "ledger",
        sql: include_str!("../../migrations/postgres/0004_ledger.sql"),
    },
    Migration {
        version: 5,
        name: "bank",
        sql: include_str!("../../migrations/postgres/0005_bank.sql"),
    },
    Migration {
        version: 6,
        name: "terms",
        sql: include_str!("../../migrations/postgres/0006_terms.sql"),
    },
    Migration {
        version: 7,
        name: "classes",
        sql: include_str!("../../migrations/postgres/0007_classes.sql"),
    },
    Migration {
        version: 8,
        name: "jobs",
        sql: include_str!("../../migrations/postgres/0008_jobs.sql"),
    },
    Migration {
        version: 9,
        name: "accelerator_prices",
        sql: include_str!("../../migrations/postgres/0009_accelerator_prices.sql"),
    },
    Migration {
        version: 10,
        name: "rates",
        sql: include_str!("../../migrations/postgres/0010_rates.sql"),
    },
    Migration {
        version: 11,
        name: "job_terms",
        sql: include_str!("../../migrations/postgres/0011_job_terms.sql"),
    },
    Migration {
        version: 12,
        name: "secrets",
        sql: include_str!("../../migrations/postgres/0012_secrets.sql"),
    },
    Migration {
        version: 13,
        name: "power",
        sql: include_str!("../../migrations/postgres/0013_power.sql"),
    },
    Migration {
        version: 14,
        name: "busy",
        sql: include_str!("../../migrations/postgres/0014_busy.sql"),
    },
    Migration {
        version: 15,
        name: "energy",
        sql: include_str!("../../migrations/postgres/0015_energy.sql"),
    },
    Migration {
        version: 16,
        name: "jobs_open",
        sql: include_str!("../../migrations/postgres/0016_jobs_open.sql"),
    },
    Migration {
        version: 17,
        name: "untold",
        sql: include_str!("../../migrations/postgres/0017_untold.sql"),
    },
    Migration {
        version: 18,
        name: "power_orders",
        sql: include_str!("../../migrations/postgres/0018_power_orders.sql"),
    },
];

/// How long a step may take, and how long one that another gateway takes is waited for: tables may be long.
pub(super) const WAIT_MAX: Duration = Duration::from_mins(15);

/// "MDNG" in ASCII: who holds this lock migrates.
const LOCK: i64 = 0x4d44_4e47;

/// Looked for before it is made: a user who may use the tables need not be one who may make them.
const TABLE: &str = "CREATE TABLE schema_migrations (
    version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL
)";

/// Applies what is missing, or nothing. Safe where many gateways start at once: one migrates, the others wait for it.
///
/// # Errors
/// [`StoreError::Unavailable`] where the database was written by a newer program or by an edited step, or cannot hold
/// our text.
pub(super) async fn migrate(client: &mut Object, steps: &[Migration]) -> Result<(), StoreError> {
    let failed = |e: tokio_postgres::Error| medium("begin the migration", &e);
    let tx = client.transaction().await.map_err(failed)?;
    let patience = format!("SET LOCAL statement_timeout TO {}", WAIT_MAX.as_millis());
    tx.batch_execute(&patience).await.map_err(failed)?;
    refuse_encoding(&tx).await?;
    tx.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK])
        .await
        .map_err(failed)?;
    make_table(&tx).await?;
    for step in steps {
        apply(&tx, step).await?;
    }
    let sql = "SELECT max(version) FROM schema_migrations";
    let newest = tx.query_one(sql, &[]).await;
    let newest: i64 = newest
        .and_then(|row| row.try_get(0))
        .map_err(|e| medium("read the schema's version", &e))?;
    refuse_future(u32::try_from(newest).unwrap_or(u32::MAX), steps)?;
    let committed = tx.commit().await;
    committed.map_err(|e| medium("commit the migration", &e))
}

/// Whether the database has this program's schema.
///
/// # Errors
/// [`StoreError::Unavailable`] where it has another, or none.
pub(super) async fn check(client: &mut Object) -> Result<(), StoreError> {
    let sql = "SELECT to_regclass('madang.schema_migrations') IS NOT NULL";
    let there = rows(client, ("look for the schema", sql), &[], |columns| {
        columns.get::<bool>()
    });
    if there.await? != [true] {
        return Err(StoreError::Unavailable(
            "the database has no books: start `madang up` with this --store first".into(),
        ));
    }
    let sql = "SELECT version, checksum FROM schema_migrations ORDER BY version";
    let found = rows(client, ("read the schema's version", sql), &[], |columns| {
        Ok((columns.number()?, columns.get::<String>()?))
    });
    let found: Vec<(u32, String)> = found.await?;
    let newest = found.last().map_or(0, |(version, _)| *version);
    refuse_future(newest, MIGRATIONS)?;
    for (step, place) in MIGRATIONS.iter().zip(0..) {
        let checksum = found.get(place).map(|(_, checksum)| checksum.as_str());
        if step.is_missing(checksum)? {
            return Err(StoreError::Unavailable(format!(
                "the database has schema version {newest}: start `madang up` of this version on it first"
            )));
        }
    }
    Ok(())
}

async fn refuse_encoding(tx: &Transaction<'_>) -> Result<(), StoreError> {
    let found = tx.query_one("SHOW server_encoding", &[]).await;
    let encoding: String = found
        .and_then(|row| row.try_get(0))
        .map_err(|e| medium("read the database's encoding", &e))?;
    if encoding != "UTF8" {
        return Err(StoreError::Unavailable(format!(
            "the database's encoding is {encoding}; make one with ENCODING 'UTF8'"
        )));
    }
    Ok(())
}

async fn make_table(tx: &Transaction<'_>) -> Result<(), StoreError> {
    let failed = |e: tokio_postgres::Error| medium("make the schema madang", &e);
    let found = "SELECT to_regnamespace('madang') IS NOT NULL, to_regclass('madang.schema_migrations') IS NOT NULL";
    let found = tx.query_one(found, &[]).await.map_err(failed)?;
    if !found.try_get::<_, bool>(0).map_err(failed)? {
        tx.batch_execute("CREATE SCHEMA madang")
            .await
            .map_err(failed)?;
    }
    if !found.try_get::<_, bool>(1).map_err(failed)? {
        tx.batch_execute(TABLE).await.map_err(failed)?;
    }
    Ok(())
}

async fn apply(tx: &Transaction<'_>, step: &Migration) -> Result<(), StoreError> {
    let failed = |e: tokio_postgres::Error| medium(&step.shown(), &e);
    let version = i64::from(step.version);
    let sql = "SELECT checksum FROM schema_migrations WHERE version = $1";
    let found = tx.query_opt(sql, &[&version]).await.map_err(failed)?;
    let found: Option<String> = match found {
        Some(row) => Some(row.try_get(0).map_err(failed)?),
        None => None,
    };
    if !step.is_missing(found.as_deref())? {
        return Ok(());
    }
    tx.batch_execute(step.sql).await.map_err(failed)?;
    tx.execute(
        "INSERT INTO schema_migrations (version, name, checksum, applied_at)
         VALUES ($1, $2, $3, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)",
        &[&version, &step.name, &step.checksum()],
    )
    .await
    .map(drop)
    .map_err(failed)
}
