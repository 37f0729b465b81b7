//! Stop switches as rows.

use super::convert::{medium, rows};
use crate::StoreError;
use madang_types::{Micros, Stop, StopScope};
use rusqlite::{Connection, named_params};

const STOPS: &str = "SELECT scope, reason, set_by, set_at FROM stops";

/// Sets a stop; one that is in force stays as it was set.
pub(super) fn stop_put(conn: &Connection, stop: &Stop) -> Result<Stop, StoreError> {
    let Stop {
        scope,
        reason,
        set_by,
        set_at: Micros(set_at),
    } = stop;
    let failed = |e: rusqlite::Error| medium("write a stop", &e);
    conn.prepare_cached(
        "INSERT INTO stops (scope, reason, set_by, set_at) VALUES (:scope, :reason, :set_by, :set_at)
         ON CONFLICT (scope) DO NOTHING",
    )
    .map_err(failed)?
    .execute(named_params! {
        ":scope": scope.to_string(), ":reason": reason, ":set_by": set_by.as_str(), ":set_at": set_at,
    })
    .map_err(failed)?;
    stop_get(conn, scope)
}

/// Lifts a stop.
pub(super) fn stop_delete(conn: &Connection, scope: &StopScope) -> Result<Stop, StoreError> {
    let failed = |e: rusqlite::Error| medium("lift a stop", &e);
    let stop = stop_get(conn, scope)?;
    conn.prepare_cached("DELETE FROM stops WHERE scope = ?1")
        .map_err(failed)?
        .execute([scope.to_string()])
        .map_err(failed)?;
    Ok(stop)
}

fn stop_get(conn: &Connection, scope: &StopScope) -> Result<Stop, StoreError> {
    let found = stops(conn, Some(scope))?;
    let absent = || StoreError::Absent(format!("the stop {scope}"));
    found.into_iter().next().ok_or_else(absent)
}

/// One stop, or all by scope.
pub(super) fn stops(conn: &Connection, scope: Option<&StopScope>) -> Result<Vec<Stop>, StoreError> {
    let (sql, params) = match scope {
        Some(scope) => {
            let only = (":scope", scope.to_string().into());
            (format!("{STOPS} WHERE scope = :scope"), vec![only])
        }
        None => (format!("{STOPS} ORDER BY scope"), Vec::new()),
    };
    rows(conn, &sql, &params, |columns| {
        Ok(Stop {
            scope: columns.word()?,
            reason: columns.get()?,
            set_by: columns.word()?,
            set_at: Micros(columns.get()?),
        })
    })
}
