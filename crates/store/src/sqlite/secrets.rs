//! Secrets of jobs as rows.

use super::convert::{Columns, execute, rows};
use crate::StoreError;
use crate::jobs::{project_column, project_read, secret_absent, secret_newer};
use madang_types::{Micros, SecretId, SecretRow, TenantId};
use rusqlite::{Connection, named_params};

const COLUMNS: &str = "tenant, project, name, version, seal_key, sealed, set_by, set_at";

pub(super) fn put(conn: &Connection, row: &SecretRow) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO secrets ({COLUMNS}) VALUES (:tenant, :project, :name, :version, :seal_key, :sealed, :set_by, :set_at)
         ON CONFLICT (tenant, project, name) DO UPDATE SET version = excluded.version, seal_key = excluded.seal_key,
         sealed = excluded.sealed, set_by = excluded.set_by, set_at = excluded.set_at WHERE version < excluded.version"
    );
    let SecretRow {
        id,
        version,
        seal_key,
        sealed,
        set_by,
        set_at: Micros(set_at),
    } = row;
    let version = crate::count::count("version", *version)?;
    let put = execute(
        conn,
        ("write a secret", &sql),
        named_params! {
            ":tenant": id.tenant.as_str(), ":project": project_column(id), ":name": id.name.as_str(), ":version": version,
            ":seal_key": seal_key, ":sealed": sealed, ":set_by": set_by.as_str(), ":set_at": set_at,
        },
    )?;
    match put {
        0 => Err(secret_newer(id)),
        _ => Ok(()),
    }
}

pub(super) fn delete(conn: &Connection, id: &SecretId) -> Result<(), StoreError> {
    let sql = "DELETE FROM secrets WHERE tenant = :tenant AND project = :project AND name = :name";
    let params = named_params! {
        ":tenant": id.tenant.as_str(), ":project": project_column(id), ":name": id.name.as_str(),
    };
    match execute(conn, ("delete a secret", sql), params)? {
        0 => Err(secret_absent(id)),
        _ => Ok(()),
    }
}

pub(super) fn list(conn: &Connection, tenant: &TenantId) -> Result<Vec<SecretRow>, StoreError> {
    let sql =
        format!("SELECT {COLUMNS} FROM secrets WHERE tenant = :tenant ORDER BY project, name");
    let params = [(":tenant", tenant.as_str().to_owned().into())];
    rows(conn, &sql, &params, read)
}

fn read(columns: &mut Columns<'_>) -> Result<SecretRow, StoreError> {
    let tenant = columns.word()?;
    let project: String = columns.get()?;
    Ok(SecretRow {
        id: SecretId {
            tenant,
            project: project_read(&project)?,
            name: columns.word()?,
        },
        version: columns.number()?,
        seal_key: columns.get()?,
        sealed: columns.get()?,
        set_by: columns.word()?,
        set_at: Micros(columns.get()?),
    })
}
