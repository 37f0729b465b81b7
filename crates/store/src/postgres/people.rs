//! Programmes, tenants and keys as rows.

use super::row::{Columns, execute, rows};
use crate::{StoreError, list};
use deadpool_postgres::Object;
use madang_types::{
    KeyId, KeyRecord, KeyTerms, MicroWon, Micros, Period, Programme, ProgrammeId, ProgrammeJobs,
    ProgrammeTerms, Project, ProjectId, Tenant, TenantId, Zone,
};
use std::sync::Arc;

const PROGRAMMES: &str = "SELECT id, weight, starts_at, until_at, eligibility, residency_floor, \
    jobs_when_ended, jobs_preempted, origin, created_at, disabled_at \
    FROM programmes";
const TENANTS: &str = "SELECT id, programme, weight, class_floor, data_flags, origin, created_at, disabled_at FROM tenants";
const PROJECTS: &str =
    "SELECT id, tenant, label, limit_micro_won, created_at, disabled_at FROM projects";
const KEY_COLUMNS: &str = "id, tenant, programme, project, role, models, endpoints, rate_requests_per_min, \
    rate_tokens_per_min, limit_micro_won, class_floor, data_flags, label, secret_hash, created_at, expires_at, revoked_at";

/// Inserts or replaces a programme.
pub(super) async fn programme_put(
    client: &Object,
    programme: &Programme,
) -> Result<(), StoreError> {
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
    let sql = "INSERT INTO programmes (id, weight, starts_at, until_at, eligibility, residency_floor, jobs_when_ended, jobs_preempted,
             origin, created_at, disabled_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (id) DO UPDATE SET (weight, starts_at, until_at, eligibility, residency_floor, jobs_when_ended, jobs_preempted,
             origin, created_at, disabled_at)
         = (excluded.weight, excluded.starts_at, excluded.until_at, excluded.eligibility, excluded.residency_floor,
            excluded.jobs_when_ended, excluded.jobs_preempted, excluded.origin, excluded.created_at, excluded.disabled_at)";
    execute(
        client,
        ("write a programme", sql),
        &[
            &id.as_str(),
            &i64::from(*weight),
            &from.map(|at| at.0),
            &until.map(|at| at.0),
            eligibility,
            &residency_floor.map(Zone::as_str),
            &jobs.when_ended.as_str(),
            &jobs.preempted.as_str(),
            &origin.as_str(),
            created_at,
            &disabled_at.map(|at| at.0),
        ],
    )
    .await
    .map(drop)
}

/// One programme, or all by id.
pub(super) async fn programmes(
    client: &Object,
    id: Option<&ProgrammeId>,
) -> Result<Vec<Programme>, StoreError> {
    let only = id.map(|id| ("id", id.as_str()));
    select(client, PROGRAMMES, only, |columns| {
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
    })
    .await
}

/// Inserts or replaces a tenant.
pub(super) async fn tenant_put(client: &Object, tenant: &Tenant) -> Result<(), StoreError> {
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
    let sql = "INSERT INTO tenants (id, programme, weight, class_floor, data_flags, origin, created_at, disabled_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (id) DO UPDATE SET (programme, weight, class_floor, data_flags, origin, created_at, disabled_at)
         = (excluded.programme, excluded.weight, excluded.class_floor, excluded.data_flags, excluded.origin,
            excluded.created_at, excluded.disabled_at)";
    execute(
        client,
        ("write a tenant", sql),
        &[
            &id.as_str(),
            &programme.as_ref().map(|id| id.as_str()),
            &i64::from(*weight),
            &class_floor.as_str(),
            &data_flags.to_string(),
            &origin.as_str(),
            created_at,
            &disabled_at.map(|at| at.0),
        ],
    )
    .await
    .map(drop)
}

/// One tenant, or all by id.
pub(super) async fn tenants(
    client: &Object,
    id: Option<&TenantId>,
) -> Result<Vec<Tenant>, StoreError> {
    let only = id.map(|id| ("id", id.as_str()));
    select(client, TENANTS, only, |columns| {
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
    .await
}

/// Inserts or replaces a project.
pub(super) async fn project_put(client: &Object, project: &Project) -> Result<(), StoreError> {
    let Project {
        id,
        tenant,
        label,
        won_limit,
        created_at: Micros(created_at),
        disabled_at,
    } = project;
    let sql = "INSERT INTO projects (tenant, id, label, limit_micro_won, created_at, disabled_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (tenant, id) DO UPDATE SET (label, limit_micro_won, created_at, disabled_at)
         = (excluded.label, excluded.limit_micro_won, excluded.created_at, excluded.disabled_at)";
    let disabled_at = disabled_at.map(|at| at.0);
    execute(
        client,
        ("write a project", sql),
        &[
            &tenant.as_str(),
            &id.as_str(),
            label,
            &won_limit.map(|MicroWon(limit)| limit),
            created_at,
            &disabled_at,
        ],
    )
    .await
    .map(drop)
}

/// All projects by tenant and id, or a tenant's.
pub(super) async fn projects(
    client: &Object,
    tenant: Option<&TenantId>,
) -> Result<Vec<Project>, StoreError> {
    match tenant {
        Some(id) => {
            select(
                client,
                PROJECTS,
                Some(("tenant", id.as_str())),
                read_project,
            )
            .await
        }
        None => {
            let sql = format!("{PROJECTS} ORDER BY tenant, id");
            rows(client, ("read the people", &sql), &[], read_project).await
        }
    }
}

/// One project of a tenant.
pub(super) async fn project_get(
    client: &Object,
    (tenant, id): (&TenantId, &ProjectId),
) -> Result<Option<Project>, StoreError> {
    let sql = format!("{PROJECTS} WHERE tenant = $1 AND id = $2");
    let about = ("read the people", sql.as_str());
    let found = rows(
        client,
        about,
        &[&tenant.as_str(), &id.as_str()],
        read_project,
    )
    .await?;
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
pub(super) async fn key_insert(client: &Object, key: &KeyRecord) -> Result<(), StoreError> {
    match key_write(client, key, "NOTHING").await? {
        0 => Err(StoreError::Exists(format!("the key {}", key.id))),
        _ => Ok(()),
    }
}

/// Inserts or replaces a key.
pub(super) async fn key_put(client: &Object, key: &KeyRecord) -> Result<(), StoreError> {
    let columns = KEY_COLUMNS.split(',').map(str::trim);
    let set: Vec<String> = columns
        .map(|name| format!("{name} = EXCLUDED.{name}"))
        .collect();
    let update = format!("UPDATE SET {}", set.join(", "));
    key_write(client, key, &update).await.map(drop)
}

/// Gives how many rows were written; one that is there already is left or made anew, as `otherwise` says.
async fn key_write(client: &Object, key: &KeyRecord, otherwise: &str) -> Result<u64, StoreError> {
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
    let sql = format!(
        "INSERT INTO keys ({KEY_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
         ON CONFLICT (id) DO {otherwise}"
    );
    execute(
        client,
        ("write a key", &sql),
        &[
            &id.as_str(),
            &tenant.as_ref().map(|id| id.as_str()),
            &programme.as_ref().map(|id| id.as_str()),
            &project.as_ref().map(|id| id.as_str()),
            &role.as_str(),
            &list::join(models),
            &list::join(endpoints),
            &rate_requests_per_min.map(i64::from),
            &rate_tokens_per_min.map(i64::from),
            &won_limit.map(|MicroWon(limit)| limit),
            &class_floor.as_str(),
            &data_flags.to_string(),
            label,
            &secret_hash.as_slice(),
            created_at,
            &expires_at.map(|at| at.0),
            &revoked_at.map(|at| at.0),
        ],
    )
    .await
}

/// Marks a key revoked, once.
pub(super) async fn key_revoke(
    client: &Object,
    id: &KeyId,
    at: Micros,
) -> Result<KeyRecord, StoreError> {
    let sql = format!(
        "UPDATE keys SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1 RETURNING {KEY_COLUMNS}"
    );
    let (id_text, at) = (id.as_str(), at.0);
    let revoked = rows(client, ("revoke a key", &sql), &[&id_text, &at], read_key).await?;
    let absent = || StoreError::Absent(format!("the key {id}"));
    revoked.into_iter().next().ok_or_else(absent)
}

/// One key.
pub(super) async fn key_get(client: &Object, id: &KeyId) -> Result<Option<KeyRecord>, StoreError> {
    let found = select_keys(client, Some(("id", id.as_str()))).await?;
    Ok(found.into_iter().next())
}

/// All keys by id, or a tenant's.
pub(super) async fn keys(
    client: &Object,
    tenant: Option<&TenantId>,
) -> Result<Vec<KeyRecord>, StoreError> {
    select_keys(client, tenant.map(|id| ("tenant", id.as_str()))).await
}

/// See [`crate::Store::people_revision`].
pub(super) async fn revision(client: &Object) -> Result<u64, StoreError> {
    let sql = "SELECT revision FROM people_revision";
    let found = rows(client, ("read the revision", sql), &[], |columns| {
        columns.number()
    })
    .await?;
    let lost = || StoreError::Damaged("people_revision has no row".into());
    found.into_iter().next().ok_or_else(lost)
}

async fn select_keys(
    client: &Object,
    only: Option<(&str, &str)>,
) -> Result<Vec<KeyRecord>, StoreError> {
    let from = format!("SELECT {KEY_COLUMNS} FROM keys");
    select(client, &from, only, read_key).await
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
        secret_hash: columns.bytes()?,
        created_at: Micros(columns.get()?),
        expires_at: columns.get::<Option<i64>>()?.map(Micros),
        revoked_at: columns.get::<Option<i64>>()?.map(Micros),
    })
}

async fn select<T>(
    client: &Object,
    from: &str,
    only: Option<(&str, &str)>,
    read: fn(&mut Columns<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let what = "read the people";
    match only {
        Some((column, value)) => {
            let sql = format!("{from} WHERE {column} = $1 ORDER BY id");
            rows(client, (what, &sql), &[&value], read).await
        }
        None => rows(client, (what, &format!("{from} ORDER BY id")), &[], read).await,
    }
}
