//! Notes of energy as rows.

use super::convert::{Columns, execute, rows};
use crate::StoreError;
use crate::power::{ENERGY_NOTES_LIST_MAX, EnergyRow, note_of, note_text};
use madang_ledger::EnergySpan;
use madang_types::Micros;
use rusqlite::{Connection, named_params};

/// One write, by the writer.
pub(super) enum EnergyWrite {
    Put(Vec<EnergyRow>),
    Drop(EnergySpan),
}

pub(super) fn perform(conn: &Connection, write: &EnergyWrite) -> Result<(), StoreError> {
    match write {
        EnergyWrite::Put(rows) => put(conn, rows),
        EnergyWrite::Drop(EnergySpan { site, from, until }) => {
            let sql = "DELETE FROM energy_notes WHERE until_us = :until AND from_us = :from AND site = :site";
            let params =
                named_params! { ":until": until.0, ":from": from.0, ":site": site.as_str() };
            execute(conn, ("drop notes of energy", sql), params).map(drop)
        }
    }
}

fn put(conn: &Connection, rows: &[EnergyRow]) -> Result<(), StoreError> {
    let sql = "INSERT INTO energy_notes (until_us, from_us, site, gateway, note) VALUES (:until, :from, :site, :gateway, :note)
         ON CONFLICT (until_us, from_us, site, gateway) DO UPDATE SET note = excluded.note";
    // Before anything is written: all or none.
    let notes = rows.iter().map(|row| note_text(&row.note));
    let notes: Vec<String> = notes.collect::<Result<_, _>>()?;
    for (row, note) in rows.iter().zip(notes) {
        let EnergySpan { site, from, until } = &row.span;
        let params = named_params! {
            ":until": until.0, ":from": from.0, ":site": site.as_str(), ":gateway": row.gateway.as_str(), ":note": note,
        };
        execute(conn, ("note energy", sql), params)?;
    }
    Ok(())
}

pub(super) fn list(conn: &Connection) -> Result<Vec<EnergyRow>, StoreError> {
    let sql = format!(
        "SELECT until_us, from_us, site, gateway, note FROM energy_notes
         ORDER BY until_us, from_us, site, gateway LIMIT {ENERGY_NOTES_LIST_MAX}"
    );
    rows(conn, &sql, &[], read)
}

fn read(columns: &mut Columns<'_>) -> Result<EnergyRow, StoreError> {
    let (until, from) = (Micros(columns.get()?), Micros(columns.get()?));
    let site = columns.word()?;
    Ok(EnergyRow {
        span: EnergySpan { site, from, until },
        gateway: columns.word()?,
        note: note_of(&columns.get::<String>()?)?,
    })
}
