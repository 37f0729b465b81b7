//! Notes of energy as rows.

use super::row::{Columns, Param, column, execute, rows};
use crate::StoreError;
use crate::power::{ENERGY_NOTES_LIST_MAX, EnergyRow, note_of, note_text};
use deadpool_postgres::Object;
use madang_ledger::EnergySpan;
use madang_types::Micros;

pub(super) async fn put(client: &Object, rows: &[EnergyRow]) -> Result<(), StoreError> {
    let notes = rows.iter().map(|row| note_text(&row.note));
    let notes: Vec<String> = notes.collect::<Result<_, _>>()?;
    let sql = "INSERT INTO energy_notes (until_us, from_us, site, gateway, note)
         SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[])
         ON CONFLICT (until_us, from_us, site, gateway) DO UPDATE SET note = excluded.note";
    let params: &[Param<'_>] = &[
        &column(rows, |row| row.span.until.0),
        &column(rows, |row| row.span.from.0),
        &column(rows, |row| row.span.site.as_str()),
        &column(rows, |row| row.gateway.as_str()),
        &notes,
    ];
    execute(client, ("note energy", sql), params)
        .await
        .map(drop)
}

pub(super) async fn list(client: &Object) -> Result<Vec<EnergyRow>, StoreError> {
    let sql = format!(
        "SELECT until_us, from_us, site, gateway, note FROM energy_notes
         ORDER BY until_us, from_us, site, gateway LIMIT {ENERGY_NOTES_LIST_MAX}"
    );
    rows(client, ("read notes of energy", &sql), &[], read).await
}

pub(super) async fn drop_span(client: &Object, span: &EnergySpan) -> Result<(), StoreError> {
    let sql = "DELETE FROM energy_notes WHERE until_us = $1 AND from_us = $2 AND site = $3";
    let params: &[Param<'_>] = &[&span.until.0, &span.from.0, &span.site.as_str()];
    execute(client, ("drop notes of energy", sql), params)
        .await
        .map(drop)
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
