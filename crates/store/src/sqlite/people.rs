//! Programmes, tenants, projects and keys as rows.

use super::convert::{Columns, medium, rows};
use crate::{StoreError, list};
use madang_types::{
    KeyId, KeyRecord, KeyTerms, MicroWon, Micros, Period, Programme, ProgrammeId, ProgrammeJobs,
    ProgrammeTerms, Project, ProjectId, Tenant, TenantId, Zone,
};
use rusqlite::{Connection, named_params};
use std::sync::Arc;

const PROGRAMMES: &str = "SELECT id, weight, starts_at, until_at, eligibility, residency_floor, \
    jobs_when_ended, jobs_preempted, origin, created_at, disabled_at \
    FROM programmes";
const TENANTS: &str = "SELECT id, programme, weight, class_floor, data_flags, origin, created_at, disabled_at FROM tenants";
const PROJECTS: &str =
    "SELECT id, tenant, label, limit_micro_won, created_at, disabled_at FROM projects";
const KEYS: &str = "SELECT id, tenant, programme, project, role, models, endpoints, rate_requests_per_min, \
    rate_tokens_per_min, limit_micro_won, class_floor, data_flags, label, secret_hash, created_at, expires_at, revoked_at \
    FROM keys";

/// Inserts or replaces a programme.
pub(super) fn programme_put(conn: &Connection, programme: &Programme) -> Result<(), StoreError> {
    let Programme {
        id,
        weight,
        terms,
        origin,
        created_at: Micros(created_at),
        disabled_at,
    } = programme;
    let ProgrammeTerms {
        period: Period { from, until },
        eligibility,
        residency_floor,
        jobs,
    } = terms;
    let failed = |e: rusqlite::Error| medium("write a programme", &e);
    conn.prepare_cached(
        "INSERT OR REPLACE INTO programmes (id, weight, starts_at, until_at, eligibility, residency_floor, jobs_when_ended,
             jobs_preempted, origin, created_at, disabled_at)
         VALUES (:id, :weight, :starts_at, :until_at, :eligibility, :residency_floor, :jobs_when_ended, :jobs_preempted, :origin,
             :created_at, :disabled_at)",
    )
    .map_err(failed)?
    .execute(named_params! {
        ":id": id.as_str(), ":weight": weight, ":starts_at": from.map(|at| at.0), ":until_at": until.map(|at| at.0),
        ":eligibility": eligibility, ":residency_floor": residency_floor.map(Zone::as_str),
        ":jobs_when_ended": jobs.when_ended.as_str(), ":jobs_preempted": jobs.preempted.as_str(), ":origin": origin.as_str(),
        ":created_at": created_at, ":disabled_at": disabled_at.map(|at| at.0),
    })
    .map(drop)
    .map_err(failed)
}

/// One programme, or all by id.
pub(super) fn programmes(
    conn: &Connection,
    id: Option<&ProgrammeId>,
) -> Result<Vec<Programme>, StoreError> {
    select(
        conn,
        PROGRAMMES,
        id.map(|id| ("id", id.as_str())),
        |columns| {
            Ok(Programme {
                id: columns.word()?,
                weight: columns.number()?,
                terms: ProgrammeTerms {
                    period: Period {
                        from: columns.get::<Option<i64>>()?.map(Micros),
                        until: columns.get::<Option<i64>>()?.map(Micros),
                    },
                    eligibility: columns.get()?,
                    residency_floor: columns.word_opt()?,
                    jobs: ProgrammeJobs {
                        when_ended: columns.word()?,
                        preempted: columns.word()?,
                    },
                },
                origin: columns.word()?,
                created_at: Micros(columns.get()?),
                disabled_at: columns.get::<Option<i64>>()?.map(Micros),
            })
        },
    )
}

/// Inserts or replaces a tenant.
pub(super) fn tenant_put(conn: &Connection, tenant: &Tenant) -> Result<(), StoreError> {
    let Tenant {
        id,
        programme,
        weight,
        class_floor,
        data_flags,
        origin,
        created_at: Micros(created_at),
        disabled_at,
    } = tenant;
    let failed = |e: rusqlite::Error| medium("write a tenant", &e);
    conn.prepare_cached(
        "INSERT OR REPLACE INTO tenants (id, programme, weight, class_floor, data_flags, origin, created_at, disabled_at)
         VALUES (:id, :programme, :weight, :class_floor, :data_flags, :origin, :created_at, :disabled_at)",
    )
    .map_err(failed)?
    .execute(named_params! {
        ":id": id.as_str(), ":programme": programme.as_ref().map(|id| id.as_str()), ":weight": weight,
        ":class_floor": class_floor.as_str(), ":data_flags": data_flags.to_string(), ":origin": origin.as_str(), ":created_at": created_at,
        ":disabled_at": disabled_at.map(|at| at.0),
    })
    .map(drop)
    .map_err(failed)
}

/// One tenant, or all by id.
pub(super) fn tenants(conn: &Connection, id: Option<&TenantId>) -> Result<Vec<Tenant>, StoreError> {
    select(conn, TENANTS, id.map(|id| ("id", id.as_str())), |columns| {
        Ok(Tenant {
            id: columns.word()?,
            programme: columns.word_opt()?,
            weight: columns.number()?,
            class_floor: columns.word()?,
            data_flags: columns.word()?,
            origin: columns.word()?,
            created_at: Micros(columns.get()?),
            disabled_at: columns.get::<Option<i64>>()?.map(Micros),
        })
    })
}

/// Inserts or replaces a project.
pub(super) fn project_put(conn: &Connection, project: &Project) -> Result<(), StoreError> {
    let Project {
        id,
        tenant,
        label,
        won_limit,
        created_at: Micros(created_at),
        disabled_at,
    } = project;
    let failed = |e: rusqlite::Error| medium("write a project", &e);
    conn.prepare_cached(
        "INSERT OR REPLACE INTO projects (tenant, id, label, limit_micro_won, created_at, disabled_at)
         VALUES (:tenant, :id, :label, :limit_micro_won, :created_at, :disabled_at)",
    )
    .map_err(failed)?
    .execute(named_params! {
        ":tenant": tenant.as_str(), ":id": id.as_str(), ":label": label,
        ":limit_micro_won": won_limit.map(|MicroWon(limit)| limit), ":created_at": created_at,
        ":disabled_at": disabled_at.map(|at| at.0),
    })
    .map(drop)
    .map_err(failed)
}

/// All projects by tenant and id, or a tenant's.
pub(super) fn projects(
    conn: &Connection,
    tenant: Option<&TenantId>,
) -> Result<Vec<Project>, StoreError> {
    match tenant {
        Some(id) => select(conn, PROJECTS, Some(("tenant", id.as_str())), read_project),
        None => rows(
            conn,
            &format!("{PROJECTS} ORDER BY tenant, id"),
            &[],
            read_project,
        ),
    }
}

/// One project of a tenant.
pub(super) fn project_get(
    conn: &Connection,
    (tenant, id): (&TenantId, &ProjectId),
) -> Result<Option<Project>, StoreError> {
    let found = rows(
        conn,
        &format!("{PROJECTS} WHERE tenant = :tenant AND id = :id"),
        &[
            (":tenant", tenant.as_str().to_owned().into()),
            (":id", id.as_str().to_owned().into()),
        ],
        read_project,
    )?;
    Ok(found.into_iter().next())
}

fn read_project(columns: &mut Columns<'_>) -> Result<Project, StoreError> {
    Ok(Project {
        id: columns.word()?,
        tenant: columns.word()?,
        label: columns.get()?,
        won_limit: columns.get::<Option<i64>>()?.map(MicroWon),
        created_at: Micros(columns.get()?),
        disabled_at: columns.get::<Option<i64>>()?.map(Micros),
    })
}

/// Adds a key.
pub(super) fn key_insert(conn: &Connection, key: &KeyRecord) -> Result<(), StoreError> {
    match key_write(conn, key, ("INSERT", "ON CONFLICT (id) DO NOTHING"))? {
        0 => Err(StoreError::Exists(format!("the key {}", key.id))),
        _ => Ok(()),
    }
}

/// Inserts or replaces a key.
pub(super) fn key_put(conn: &Connection, key: &KeyRecord) -> Result<(), StoreError> {
    key_write(conn, key, ("INSERT OR REPLACE", "")).map(drop)
}

/// Gives how many rows were written.
fn key_write(
    conn: &Connection,
    key: &KeyRecord,
    (insert, conflict): (&'static str, &'static str),
) -> Result<usize, StoreError> {
    let KeyRecord {
        id,
        tenant,
        programme,
        project,
        role,
        terms,
        class_floor,
        data_flags,
        label,
        secret_hash,
        created_at: Micros(created_at),
        expires_at,
        revoked_at,
    } = key;
    let KeyTerms {
        models,
        endpoints,
        rate_requests_per_min,
        rate_tokens_per_min,
        won_limit,
    } = &**terms;
    let failed = |e: rusqlite::Error| medium("write a key", &e);
    let sql = format!(
        "{insert} INTO keys (id, tenant, programme, project, role, models, endpoints, rate_requests_per_min,
                 rate_tokens_per_min, limit_micro_won, class_floor, data_flags, label, secret_hash, created_at, expires_at, revoked_at)
             VALUES (:id, :tenant, :programme, :project, :role, :models, :endpoints, :rate_requests_per_min,
                 :rate_tokens_per_min, :limit_micro_won, :class_floor, :data_flags, :label, :secret_hash, :created_at, :expires_at, :revoked_at)
             {conflict}"
    );
    conn.prepare_cached(&sql)
        .map_err(failed)?
        .execute(named_params! {
            ":id": id.as_str(), ":tenant": tenant.as_ref().map(|id| id.as_str()),
            ":programme": programme.as_ref().map(|id| id.as_str()), ":project": project.as_ref().map(|id| id.as_str()),
            ":role": role.as_str(), ":models": list::join(models), ":endpoints": list::join(endpoints),
            ":rate_requests_per_min": rate_requests_per_min, ":rate_tokens_per_min": rate_tokens_per_min,
            ":limit_micro_won": won_limit.map(|MicroWon(limit)| limit),
            ":class_floor": class_floor.as_str(), ":data_flags": data_flags.to_string(), ":label": label, ":secret_hash": secret_hash, ":created_at": created_at,
            ":expires_at": expires_at.map(|at| at.0), ":revoked_at": revoked_at.map(|at| at.0),
        })
        .map_err(failed)
}

/// Marks a key revoked, once.
pub(super) fn key_revoke(
    conn: &Connection,
    id: &KeyId,
    at: Micros,
) -> Result<KeyRecord, StoreError> {
    let failed = |e: rusqlite::Error| medium("revoke a key", &e);
    conn.prepare_cached("UPDATE keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL")
        .map_err(failed)?
        .execute((id.as_str(), at.0))
        .map_err(failed)?;
    key_get(conn, id)?.ok_or_else(|| StoreError::Absent(format!("the key {id}")))
}

/// One key.
pub(super) fn key_get(conn: &Connection, id: &KeyId) -> Result<Option<KeyRecord>, StoreError> {
    let found = select(conn, KEYS, Some(("id", id.as_str())), read_key)?;
    Ok(found.into_iter().next())
}

/// All keys by id, or a tenant's.
pub(super) fn keys(
    conn: &Connection,
    tenant: Option<&TenantId>,
) -> Result<Vec<KeyRecord>, StoreError> {
    select(
        conn,
        KEYS,
        tenant.map(|id| ("tenant", id.as_str())),
        read_key,
    )
}

fn read_key(columns: &mut Columns<'_>) -> Result<KeyRecord, StoreError> {
    Ok(KeyRecord {
        id: columns.word()?,
        tenant: columns.word_opt()?,
        programme: columns.word_opt()?,
        project: columns.word_opt()?,
        role: columns.word()?,
        terms: Arc::new(KeyTerms {
            models: columns.list()?,
            endpoints: columns.list()?,
            rate_requests_per_min: columns.number_opt()?,
            rate_tokens_per_min: columns.number_opt()?,
            won_limit: columns.get::<Option<i64>>()?.map(MicroWon),
        }),
        class_floor: columns.word()?,
        data_flags: columns.word()?,
        label: columns.get()?,
        secret_hash: columns.get()?,
        created_at: Micros(columns.get()?),
        expires_at: columns.get::<Option<i64>>()?.map(Micros),
        revoked_at: columns.get::<Option<i64>>()?.map(Micros),
    })
}

fn select<T>(
    conn: &Connection,
    from: &'static str,
    only: Option<(&'static str, &str)>,
    read: fn(&mut Columns<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    match only {
        Some((column, value)) => rows(
            conn,
            &format!("{from} WHERE {column} = :only ORDER BY id"),
            &[(":only", value.to_owned().into())],
            read,
        ),
        None => rows(conn, &format!("{from} ORDER BY id"), &[], read),
    }
}
