//! Stop switches as rows.

use super::row::{Columns, rows};
use crate::StoreError;
use deadpool_postgres::Object;
use madang_types::{Micros, Stop, StopScope};

const COLUMNS: &str = "scope, reason, set_by, set_at";

/// Sets a stop; one that is in force stays as it was set.
pub(super) async fn stop_put(client: &Object, stop: &Stop) -> Result<Stop, StoreError> {
    let Stop {
        scope,
        reason,
        set_by,
        set_at: Micros(set_at),
    } = stop;
    // An update that changes nothing: with DO NOTHING the row that stands would not be given back.
    let sql = format!(
        "INSERT INTO stops ({COLUMNS}) VALUES ($1, $2, $3, $4)
         ON CONFLICT (scope) DO UPDATE SET scope = excluded.scope RETURNING {}",
        "stops.scope, stops.reason, stops.set_by, stops.set_at"
    );
    let put = rows(
        client,
        ("write a stop", &sql),
        &[&scope.to_string(), reason, &set_by.as_str(), set_at],
        read,
    )
    .await?;
    one(put, scope)
}

/// Lifts a stop.
pub(super) async fn stop_delete(client: &Object, scope: &StopScope) -> Result<Stop, StoreError> {
    let sql = format!("DELETE FROM stops WHERE scope = $1 RETURNING {COLUMNS}");
    let scope_text = scope.to_string();
    let lifted = rows(client, ("lift a stop", &sql), &[&scope_text], read).await?;
    one(lifted, scope)
}

fn one(found: Vec<Stop>, scope: &StopScope) -> Result<Stop, StoreError> {
    let absent = || StoreError::Absent(format!("the stop {scope}"));
    found.into_iter().next().ok_or_else(absent)
}

/// All stops by scope.
pub(super) async fn stops(client: &Object) -> Result<Vec<Stop>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM stops ORDER BY scope");
    rows(client, ("read the stops", &sql), &[], read).await
}

fn read(columns: &mut Columns<'_>) -> Result<Stop, StoreError> {
    Ok(Stop {
        scope: columns.word()?,
        reason: columns.get()?,
        set_by: columns.word()?,
        set_at: Micros(columns.get()?),
    })
}
