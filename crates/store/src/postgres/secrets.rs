//! Secrets of jobs as rows.

use super::row::{Columns, Param, execute, rows};
use crate::StoreError;
use crate::jobs::{project_column, project_read, secret_absent, secret_newer};
use deadpool_postgres::Object;
use madang_types::{Micros, SecretId, SecretRow, TenantId};

const COLUMNS: &str = "tenant, project, name, version, seal_key, sealed, set_by, set_at";

pub(super) async fn put(client: &Object, row: &SecretRow) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO secrets ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (tenant, project, name) DO UPDATE SET version = excluded.version, seal_key = excluded.seal_key,
         sealed = excluded.sealed, set_by = excluded.set_by, set_at = excluded.set_at WHERE secrets.version < excluded.version"
    );
    let SecretRow {
        id,
        version,
        seal_key,
        sealed,
        set_by,
        set_at: Micros(set_at),
    } = row;
    let params: &[Param<'_>] = &[
        &id.tenant.as_str(),
        &project_column(id),
        &id.name.as_str(),
        &crate::count::count("version", *version)?,
        seal_key,
        sealed,
        &set_by.as_str(),
        set_at,
    ];
    match execute(client, ("write a secret", &sql), params).await? {
        0 => Err(secret_newer(id)),
        _ => Ok(()),
    }
}

pub(super) async fn delete(client: &Object, id: &SecretId) -> Result<(), StoreError> {
    let sql = "DELETE FROM secrets WHERE tenant = $1 AND project = $2 AND name = $3";
    let params: &[Param<'_>] = &[&id.tenant.as_str(), &project_column(id), &id.name.as_str()];
    match execute(client, ("delete a secret", sql), params).await? {
        0 => Err(secret_absent(id)),
        _ => Ok(()),
    }
}

pub(super) async fn list(client: &Object, tenant: &TenantId) -> Result<Vec<SecretRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM secrets WHERE tenant = $1 ORDER BY project, name");
    rows(client, ("read secrets", &sql), &[&tenant.as_str()], read).await
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
