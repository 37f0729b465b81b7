//! Brings a database to this program's schema: numbered files, each in one transaction, each written down.

use super::convert::medium;
use crate::StoreError;
use crate::migration::{self, Migration};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

/// Every step, in order, numbered from 1.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "books",
        sql: include_str!("../../migrations/sqlite/0001_books.sql"),
    },
    Migration {
        version: 2,
        name: "floors",
        sql: include_str!("../../migrations/sqlite/0002_floors.sql"),
    },
    Migration {
        version: 3,
        name: "projects",
        sql: include_str!("../../migrations/sqlite/0003_projects.sql"),
    },
    Migration {
        version: 4,
        name: "ledger",
        sql: include_str!("../../migrations/sqlite/0004_ledger.sql"),
    },
    Migration {
        version: 5,
        name: "bank",
        sql: include_str!("../../migrations/sqlite/0005_bank.sql"),
    },
    Migration {
        version: 6,
        name: "terms",
        sql: include_str!("../../migrations/sqlite/0006_terms.sql"),
    },
    Migration {
        version: 7,
        name: "classes",
        sql: include_str!("../../migrations/sqlite/0007_classes.sql"),
    },
    Migration {
        version: 8,
        name: "jobs",
        sql: include_str!("../../migrations/sqlite/0008_jobs.sql"),
    },
    Migration {
        version: 9,
        name: "accelerator_prices",
        sql: include_str!("../../migrations/sqlite/0009_accelerator_prices.sql"),
    },
    Migration {
        version: 10,
        name: "rates",
        sql: include_str!("../../migrations/sqlite/0010_rates.sql"),
    },
    Migration {
        version: 11,
        name: "job_terms",
        sql: include_str!("../../migrations/sqlite/0011_job_terms.sql"),
    },
    Migration {
        version: 12,
        name: "secrets",
        sql: include_str!("../../migrations/sqlite/0012_secrets.sql"),
    },
    Migration {
        version: 13,
        name: "power",
        sql: include_str!("../../migrations/sqlite/0013_power.sql"),
    },
    Migration {
        version: 14,
        name: "busy",
        sql: include_str!("../../migrations/sqlite/0014_busy.sql"),
    },
    Migration {
        version: 15,
        name: "energy",
        sql: include_str!("../../migrations/sqlite/0015_energy.sql"),
    },
    Migration {
        version: 16,
        name: "jobs_open",
        sql: include_str!("../../migrations/sqlite/0016_jobs_open.sql"),
    },
    Migration {
        version: 17,
        name: "untold",
        sql: include_str!("../../migrations/sqlite/0017_untold.sql"),
    },
    Migration {
        version: 18,
        name: "power_orders",
        sql: include_str!("../../migrations/sqlite/0018_power_orders.sql"),
    },
];

const TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    version INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at INTEGER NOT NULL
) STRICT";

/// Applies what is missing. Safe where two programs open one file at once: each step looks again under the write lock.
///
/// # Errors
/// [`StoreError::Unavailable`] where the database was written by a newer program or by an edited step.
pub(super) fn migrate(conn: &mut Connection, steps: &[Migration]) -> Result<(), StoreError> {
    for step in steps {
        let tx = conn
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|e| medium("begin the migration", &e))?;
        apply(&tx, step)
            .and_then(|()| refuse_future(&tx, steps))
            .and_then(|()| tx.commit().map_err(|e| medium("commit the migration", &e)))?;
    }
    Ok(())
}

fn apply(tx: &Transaction<'_>, step: &Migration) -> Result<(), StoreError> {
    let failed = |e: rusqlite::Error| medium(&step.shown(), &e);
    tx.execute_batch(TABLE).map_err(failed)?;
    let found: Option<String> = tx
        .query_row(
            "SELECT checksum FROM schema_migrations WHERE version = ?1",
            [step.version],
            |row| row.get(0),
        )
        .optional()
        .map_err(failed)?;
    if !step.is_missing(found.as_deref())? {
        return Ok(());
    }
    tx.execute_batch(step.sql).map_err(failed)?;
    tx.execute(
        "INSERT INTO schema_migrations (version, name, checksum, applied_at)
         VALUES (?1, ?2, ?3, CAST(unixepoch('subsec') * 1000000 AS INTEGER))",
        (step.version, step.name, step.checksum()),
    )
    .map_err(failed)?;
    // Shown by `file` and other tools; `schema_migrations` is what counts.
    tx.pragma_update(None, "user_version", step.version)
        .map_err(failed)
}

fn refuse_future(tx: &Transaction<'_>, steps: &[Migration]) -> Result<(), StoreError> {
    let newest: u32 = tx
        .query_row("SELECT max(version) FROM schema_migrations", [], |row| {
            row.get(0)
        })
        .map_err(|e| medium("read the schema's version", &e))?;
    migration::refuse_future(newest, steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_types::{DataClass, DataFlags, KeyTerms};

    const TWO: &[Migration] = &[
        Migration {
            version: 1,
            name: "a",
            sql: "CREATE TABLE a (x INTEGER) STRICT",
        },
        Migration {
            version: 2,
            name: "b",
            sql: "CREATE TABLE b (x INTEGER) STRICT; INSERT INTO b VALUES (1)",
        },
    ];

    fn tables(conn: &Connection) -> u32 {
        let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('a', 'b')";
        conn.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn steps_apply_once_and_old_databases_move_on() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, &TWO[..1]).unwrap();
        assert_eq!(tables(&conn), 1);
        migrate(&mut conn, TWO).unwrap();
        migrate(&mut conn, TWO).unwrap();
        assert_eq!(tables(&conn), 2);
        let rows: u32 = conn
            .query_row("SELECT count(*) FROM b", [], |row| row.get(0))
            .unwrap();
        assert_eq!(rows, 1);
        let version: u32 = conn
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap();
        assert_eq!(version, 2);
    }

    #[test]
    fn rows_of_the_first_schema_read_with_the_widest_floors() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, &MIGRATIONS[..1]).unwrap();
        conn.execute_batch(
            "INSERT INTO tenants (id, weight, class_floor, origin, created_at)
                 VALUES ('hanbit', 3, 'sensitive', 'api', 7);
             INSERT INTO keys (id, tenant, role, label, secret_hash, created_at)
                 VALUES ('k1', 'hanbit', 'member', 'laptop', zeroblob(32), 8)",
        )
        .unwrap();
        migrate(&mut conn, MIGRATIONS).unwrap();
        let tenants = super::super::people::tenants(&conn, None).unwrap();
        assert_eq!(tenants[0].class_floor, DataClass::Sensitive);
        assert_eq!(tenants[0].data_flags, DataFlags::NONE);
        let keys = super::super::people::keys(&conn, None).unwrap();
        assert_eq!(keys[0].class_floor, DataClass::Open);
        assert_eq!(keys[0].data_flags, DataFlags::NONE);
        assert_eq!((&keys[0].programme, &keys[0].project), (&None, &None));
        assert_eq!(*keys[0].terms, KeyTerms::default());
    }

    #[test]
    fn a_database_from_the_future_is_refused() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, TWO).unwrap();
        let refused = migrate(&mut conn, &TWO[..1]).unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("has schema version 2 and this program knows 1"),
            "{refused}"
        );
    }

    #[test]
    fn an_edited_step_is_refused() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, TWO).unwrap();
        let edited = [Migration {
            version: 1,
            name: "a",
            sql: "CREATE TABLE a (y INTEGER) STRICT",
        }];
        let refused = migrate(&mut conn, &edited).unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("0001_a was applied with other text"),
            "{refused}"
        );
    }

    #[test]
    fn a_step_that_fails_leaves_nothing() {
        let mut conn = Connection::open_in_memory().unwrap();
        let bad = [Migration {
            version: 1,
            name: "a",
            sql: "CREATE TABLE a (x INTEGER) STRICT; CREATE NONSENSE",
        }];
        assert!(migrate(&mut conn, &bad).is_err());
        assert_eq!(tables(&conn), 0);
        migrate(&mut conn, TWO).unwrap();
    }

    #[test]
    fn every_file_of_the_folder_is_a_step() {
        migration::check_folder("sqlite", MIGRATIONS);
    }
}
