//! Caps and events of power as rows.

use super::SqliteStore;
use super::convert::{Columns, execute, rows};
use super::energy::{self, EnergyWrite};
use super::writer::{Write, Written};
use crate::StoreError;
use crate::count::count;
use crate::power::{EnergyRow, POWER_EVENTS_MAX, PowerBook, absent, columns_of, kind_of, too_many};
use async_trait::async_trait;
use madang_ledger::EnergySpan;
use madang_types::{Micros, PowerEvent};
use rusqlite::{Connection, named_params};

const COLUMNS: &str = "id, site, cap_watts, cut_milli, baseline_watts, from_us, until_us, reason, set_by, set_at, grid_order";

/// One write, by the writer.
pub(super) enum PowerWrite {
    Put(PowerEvent),
    Baseline(u64, u64),
    End(u64, Micros),
}

pub(super) fn perform(conn: &Connection, write: &PowerWrite) -> Result<PowerEvent, StoreError> {
    match write {
        PowerWrite::Put(event) => put(conn, event),
        PowerWrite::Baseline(id, watts) => {
            let sql = "UPDATE power_events SET baseline_watts = :watts
                 WHERE id = :id AND cut_milli IS NOT NULL AND baseline_watts IS NULL";
            let (id_row, watts) = (count("id", *id)?, count("watts", *watts)?);
            let params = named_params! { ":id": id_row, ":watts": watts };
            execute(conn, ("note a baseline", sql), params)?;
            get(conn, *id)
        }
        PowerWrite::End(id, Micros(at)) => {
            let sql = "UPDATE power_events SET until_us = :at WHERE id = :id AND (until_us IS NULL OR until_us > :at)";
            let params = named_params! { ":id": count("id", *id)?, ":at": at };
            execute(conn, ("end a power event", sql), params)?;
            get(conn, *id)
        }
    }
}

fn put(conn: &Connection, event: &PowerEvent) -> Result<PowerEvent, StoreError> {
    if list(conn, event.set_at)?.len() >= POWER_EVENTS_MAX {
        return Err(too_many());
    }
    let (cap, cut, baseline) = columns_of(event.kind)?;
    let sql = "INSERT INTO power_events (site, cap_watts, cut_milli, baseline_watts, from_us, until_us, reason, set_by, set_at, grid_order)
         VALUES (:site, :cap, :cut, :baseline, :from, :until, :reason, :set_by, :set_at, :order)";
    let params = named_params! {
        ":site": event.site.as_str(), ":cap": cap, ":cut": cut, ":baseline": baseline, ":from": event.from.0,
        ":until": event.until.map(|at| at.0), ":reason": event.reason, ":set_by": event.set_by.as_str(), ":set_at": event.set_at.0,
        ":order": event.order,
    };
    execute(conn, ("write a power event", sql), params)?;
    get(conn, conn.last_insert_rowid().unsigned_abs())
}

fn get(conn: &Connection, id: u64) -> Result<PowerEvent, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM power_events WHERE id = :id");
    let params = [(":id", count("id", id)?.into())];
    let found = rows(conn, &sql, &params, read)?;
    found.into_iter().next().ok_or_else(|| absent(id))
}

fn list(conn: &Connection, at: Micros) -> Result<Vec<PowerEvent>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM power_events WHERE until_us IS NULL OR until_us > :at ORDER BY id"
    );
    rows(conn, &sql, &[(":at", at.0.into())], read)
}

fn read(columns: &mut Columns<'_>) -> Result<PowerEvent, StoreError> {
    let (id, site) = (columns.number()?, columns.word()?);
    let kind = (
        columns.number_opt()?,
        columns.number_opt()?,
        columns.number_opt()?,
    );
    Ok(PowerEvent {
        id,
        site,
        kind: kind_of(kind)?,
        from: Micros(columns.get()?),
        until: columns.get::<Option<i64>>()?.map(Micros),
        reason: columns.get()?,
        set_by: columns.word()?,
        set_at: Micros(columns.get()?),
        order: columns.get()?,
    })
}

impl SqliteStore {
    async fn power_write(&self, write: PowerWrite) -> Result<PowerEvent, StoreError> {
        match self.write(Write::Power(Box::new(write))).await? {
            Written::Power(event) => Ok(*event),
            _ => Err(StoreError::Damaged("the write gave no event back".into())),
        }
    }
}

#[async_trait]
impl PowerBook for SqliteStore {
    async fn power_put(&self, event: PowerEvent) -> Result<PowerEvent, StoreError> {
        self.power_write(PowerWrite::Put(event)).await
    }

    async fn power_list(&self, at: Micros) -> Result<Vec<PowerEvent>, StoreError> {
        self.lookups.read(move |conn| list(conn, at)).await
    }

    async fn power_baseline(&self, id: u64, watts: u64) -> Result<PowerEvent, StoreError> {
        self.power_write(PowerWrite::Baseline(id, watts)).await
    }

    async fn power_end(&self, id: u64, at: Micros) -> Result<PowerEvent, StoreError> {
        self.power_write(PowerWrite::End(id, at)).await
    }

    async fn energy_put(&self, rows: Vec<EnergyRow>) -> Result<(), StoreError> {
        self.write(Write::Energy(EnergyWrite::Put(rows)))
            .await
            .map(drop)
    }

    async fn energy_list(&self) -> Result<Vec<EnergyRow>, StoreError> {
        self.lookups.read(energy::list).await
    }

    async fn energy_drop(&self, span: EnergySpan) -> Result<(), StoreError> {
        self.write(Write::Energy(EnergyWrite::Drop(span)))
            .await
            .map(drop)
    }
}
