//! Opening connections: every setting that durability and speed rest on, with its reason.

use super::convert::medium;
use super::migrate::{MIGRATIONS, migrate};
use crate::StoreError;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// "MDNG" in ASCII: tells our files from other programs' SQLite files.
const APPLICATION_ID: u32 = 0x4d44_4e47;
/// Statements kept prepared: all of the writer's, and the filters that are in use.
const STATEMENTS_MAX: usize = 64;
/// Tries at the one switch to WAL of a new file, which SQLite refuses without waiting where another opener holds it.
const WAL_TRIES_MAX: u32 = 20;

/// The greatest page count that SQLite can have.
const FILE_PAGES_END: u32 = 4_294_967_294;

/// Settings of a connection that do not come from the code.
#[derive(Clone, Copy)]
pub(super) struct Settings {
    pub busy_wait_ms_max: u64,
    pub file_pages_max: Option<u32>,
}

/// Opens the file, made if need be, brings it to the newest schema and gives the one connection that writes.
pub(super) fn open(path: &Path, settings: Settings) -> Result<Connection, StoreError> {
    let fresh = !path.exists();
    let mut conn = connect(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        settings,
    )?;
    if fresh {
        keep_private(path)?;
    }
    claim(&conn, path)?;
    write_settings(&conn, settings)?;
    migrate(&mut conn, MIGRATIONS)?;
    Ok(conn)
}

/// Opens the file again after it failed. It must be there: an empty one would hide the loss of the books.
pub(super) fn reopen(path: &Path, settings: Settings) -> Result<Connection, StoreError> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, settings)?;
    write_settings(&conn, settings)?;
    Ok(conn)
}

/// Opens a connection that cannot write.
pub(super) fn open_reader(path: &Path, settings: Settings) -> Result<Connection, StoreError> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, settings)
}

/// Opens the books of others for reading. They must be of this program's schema.
pub(super) fn open_finished(path: &Path, settings: Settings) -> Result<Connection, StoreError> {
    let conn = open_reader(path, settings)?;
    let failed = |e: rusqlite::Error| medium(&format!("read {}", path.display()), &e);
    let number = |sql| {
        conn.query_row(sql, [], |row| row.get::<_, u32>(0))
            .map_err(failed)
    };
    if number("SELECT application_id FROM pragma_application_id")? != APPLICATION_ID {
        return Err(StoreError::Unavailable(format!(
            "{} holds no books of Madang",
            path.display()
        )));
    }
    let found = number("SELECT max(version) FROM schema_migrations")?;
    let known = MIGRATIONS.last().map_or(0, |step| step.version);
    if found != known {
        return Err(StoreError::Unavailable(format!(
            "{} has schema version {found} and this program reads {known}; `madang up` of this version brings older books to it",
            path.display()
        )));
    }
    Ok(conn)
}

fn connect(path: &Path, access: OpenFlags, settings: Settings) -> Result<Connection, StoreError> {
    let failed = |e: rusqlite::Error| medium(&format!("open {}", path.display()), &e);
    // One thread owns each connection, so SQLite's own locks are left out. Not SQLITE_OPEN_URI: a path is a path.
    let conn = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(failed)?;
    // Waits for another program's lock (a backup, a shell) for so long, then gives the write up.
    conn.busy_timeout(Duration::from_millis(settings.busy_wait_ms_max))
        .map_err(failed)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    let set = |name: &str, value: &dyn rusqlite::ToSql| {
        conn.pragma_update(None, name, value).map_err(failed)
    };
    // Later schemas may use references; SQLite leaves them unchecked unless told on each connection.
    set("foreign_keys", &true)?;
    // 16 MiB of pages (negative means KiB): the right edges of the trees and the hot part of the people.
    set("cache_size", &-16_384)?;
    // Groups of sums are sorted in memory, not in files beside the books.
    set("temp_store", &"MEMORY")?;
    // A crafted file runs none of its own functions in our process.
    set("trusted_schema", &false)?;
    Ok(conn)
}

fn write_settings(conn: &Connection, settings: Settings) -> Result<(), StoreError> {
    let failed = |e: rusqlite::Error| medium("set up the database", &e);
    use_wal(conn)?;
    // The write-ahead log is synced at each commit: an answered write survives the loss of power, not only a crash.
    conn.pragma_update(None, "synchronous", "FULL")
        .map_err(failed)?;
    // 1000 pages (4 MiB): the log is moved into the file this often, which bounds recovery time and the log's size.
    conn.pragma_update(None, "wal_autocheckpoint", 1000)
        .map_err(failed)?;
    // A log that a long read let grow is cut back to 64 MiB once it is moved.
    conn.pragma_update(None, "journal_size_limit", 64 << 20)
        .map_err(failed)?;
    limit_pages(conn, settings.file_pages_max)
}

/// Holds the file at so many pages (`None`: SQLite's own end).
pub(super) fn limit_pages(conn: &Connection, pages: Option<u32>) -> Result<(), StoreError> {
    let pages = pages.unwrap_or(FILE_PAGES_END);
    conn.pragma_update_and_check(None, "max_page_count", pages, |row| row.get::<_, i64>(0))
        .map(drop)
        .map_err(|e| medium("limit the file", &e))
}

/// Readers see the last commit while the writer goes on, and a commit is one append and one sync.
fn use_wal(conn: &Connection) -> Result<(), StoreError> {
    let failed = |e: rusqlite::Error| medium("switch to the write-ahead log", &e);
    for _ in 0..WAL_TRIES_MAX {
        match conn
            .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))
        {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                return Err(StoreError::Unavailable(format!(
                    "the file system gives no write-ahead log (journal mode stays '{mode}'); use a local disk"
                )));
            }
            Err(rusqlite::Error::SqliteFailure(e, _)) if e.code == ErrorCode::DatabaseBusy => {
                // Waits under the busy limit until the other opener has let go.
                conn.execute_batch("BEGIN IMMEDIATE; COMMIT")
                    .map_err(failed)?;
            }
            Err(e) => return Err(failed(e)),
        }
    }
    Err(StoreError::Unavailable(
        "another program holds the database".into(),
    ))
}

/// Refuses another program's database; marks an empty one as ours.
fn claim(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let failed = |e: rusqlite::Error| medium(&format!("read {}", path.display()), &e);
    // In one look: another opener may claim and fill it between two.
    let sql =
        "SELECT application_id, (SELECT count(*) FROM sqlite_schema) FROM pragma_application_id";
    let (id, tables): (u32, u32) = conn
        .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(failed)?;
    if id == APPLICATION_ID {
        return Ok(());
    }
    if id != 0 || tables > 0 {
        return Err(StoreError::Unavailable(format!(
            "{} is another program's database",
            path.display()
        )));
    }
    conn.pragma_update(None, "application_id", APPLICATION_ID)
        .map_err(failed)
}

/// The books name who asked when: for the owner's eyes. The log and its index take the file's mode.
fn keep_private(path: &Path) -> Result<(), StoreError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(|e| {
            StoreError::Unavailable(format!("cannot make {} private: {e}", path.display()))
        })?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}
