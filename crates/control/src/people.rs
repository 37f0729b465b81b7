//! The tenants and programmes of the fleet file, written into the books; what left the file is disabled there.

use madang_fleet::Fleet;
use madang_gateway::clock;
use madang_gateway::gateway::Gateway;
use madang_store::{Store, StoreError};
use madang_types::{Origin, Programme, Tenant};

/// Makes the books equal to the fleet file. Rows made by the API are not touched, but for one: a name that the file
/// claims becomes the file's.
///
/// # Errors
/// The books cannot be read or written. What was written stays; the next load writes the rest.
pub(crate) async fn sync(fleet: &Fleet, gateway: &Gateway) -> Result<(), StoreError> {
    let store = gateway.books.store();
    sync_programmes(fleet, store).await?;
    sync_tenants(fleet, store).await?;
    gateway.people_refresh().await
}

async fn sync_programmes(fleet: &Fleet, store: &dyn Store) -> Result<(), StoreError> {
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
        if before != Some(&row) {
            store.programme_put(row).await?;
        }
    }
    for row in known {
        let gone = row.origin == Origin::Fleet && !fleet.programmes.contains_key(&row.id);
        if gone && row.disabled_at.is_none() {
            store
                .programme_put(Programme {
                    disabled_at: Some(clock::now()),
                    ..row
                })
                .await?;
        }
    }
    Ok(())
}

async fn sync_tenants(fleet: &Fleet, store: &dyn Store) -> Result<(), StoreError> {
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
        if before != Some(&row) {
            store.tenant_put(row).await?;
        }
    }
    for row in known {
        let gone = row.origin == Origin::Fleet && !fleet.tenants.contains_key(&row.id);
        if gone && row.disabled_at.is_none() {
            store
                .tenant_put(Tenant {
                    disabled_at: Some(clock::now()),
                    ..row
                })
                .await?;
        }
    }
    Ok(())
}
