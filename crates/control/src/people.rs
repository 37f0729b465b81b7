//! The tenants and programmes of the fleet file, written into the books; what left the file is disabled there.

use crate::source::ApplyError;
use madang_fleet::Fleet;
use madang_gateway::audit::SaidBy;
use madang_gateway::clock;
use madang_gateway::gateway::Gateway;
use madang_types::{Origin, Programme, ProgrammeJobs, Tenant};

/// Makes the books equal to the fleet file, whose SHA-256 goes into the audit log with what it says of programmes' jobs and of
/// where tenants' data may go. Rows
/// made by the API are not touched, but for one: a name that the file claims becomes the file's.
///
/// # Errors
/// The books or the audit log cannot be read or written. What was written stays; the next load writes the rest.
pub(crate) async fn sync(
    (fleet, sha256): (&Fleet, &str),
    gateway: &Gateway,
) -> Result<(), ApplyError> {
    sync_programmes((fleet, sha256), gateway).await?;
    sync_tenants((fleet, sha256), gateway).await?;
    Ok(gateway.people_refresh().await?)
}

async fn sync_programmes(
    (fleet, sha256): (&Fleet, &str),
    gateway: &Gateway,
) -> Result<(), ApplyError> {
    let said_by = SaidBy::FleetFile(sha256);
    let store = gateway.books.store();
    let known = store.programme_list().await?;
    for (id, entry) in &fleet.programmes {
        let before = known.iter().find(|row| row.id == *id);
        let row = Programme {
            id: id.clone(),
            weight: entry.weight,
            terms: entry.terms.clone(),
            origin: Origin::Fleet,
            created_at: before.map_or_else(clock::now, |row| row.created_at),
            disabled_at: None,
        };
        if jobs_held(Some(&row)) != jobs_held(before) {
            gateway.audit.programme(&row, said_by).await?;
        }
        if before != Some(&row) {
            store.programme_put(row).await?;
        }
    }
    for row in known {
        let gone = row.origin == Origin::Fleet && !fleet.programmes.contains_key(&row.id);
        if gone && row.disabled_at.is_none() {
            let row = Programme {
                disabled_at: Some(clock::now()),
                ..row
            };
            gateway.audit.programme(&row, said_by).await?;
            store.programme_put(row).await?;
        }
    }
    Ok(())
}

/// What holds of a programme's jobs: what is usual, where it is not there.
fn jobs_held(row: Option<&Programme>) -> ProgrammeJobs {
    let there = row.filter(|row| row.disabled_at.is_none());
    there.map(|row| row.terms.jobs).unwrap_or_default()
}

async fn sync_tenants(
    (fleet, sha256): (&Fleet, &str),
    gateway: &Gateway,
) -> Result<(), ApplyError> {
    let store = gateway.books.store();
    let known = store.tenant_list().await?;
    for (id, entry) in &fleet.tenants {
        let before = known.iter().find(|row| row.id == *id);
        let row = Tenant {
            id: id.clone(),
            programme: entry.programme.clone(),
            weight: entry.weight,
            class_floor: entry.class_floor,
            data_flags: entry.data_flags,
            origin: Origin::Fleet,
            created_at: before.map_or_else(clock::now, |row| row.created_at),
            disabled_at: None,
        };
        put_tenant(gateway, before, row, sha256).await?;
    }
    for row in &known {
        let gone = row.origin == Origin::Fleet && !fleet.tenants.contains_key(&row.id);
        if gone && row.disabled_at.is_none() {
            let removed = Tenant {
                disabled_at: Some(clock::now()),
                ..row.clone()
            };
            put_tenant(gateway, Some(row), removed, sha256).await?;
        }
    }
    Ok(())
}

/// Into the audit log where it decides where data may go, then into the books; nothing where nothing has changed.
async fn put_tenant(
    gateway: &Gateway,
    before: Option<&Tenant>,
    row: Tenant,
    sha256: &str,
) -> Result<(), ApplyError> {
    if before == Some(&row) {
        return Ok(());
    }
    if before.map(Tenant::ground) != Some(row.ground()) {
        let said_by = SaidBy::FleetFile(sha256);
        gateway.audit.tenant(&row, said_by).await?;
    }
    Ok(gateway.books.store().tenant_put(row).await?)
}
