//! Caps and events of power as rows.

use super::PostgresStore;
use super::energy;
use super::row::{Columns, Param, execute, rows};
use crate::StoreError;
use crate::count::count;
use crate::power::{EnergyRow, POWER_EVENTS_MAX, PowerBook, absent, columns_of, kind_of, too_many};
use async_trait::async_trait;
use deadpool_postgres::Object;
use madang_ledger::EnergySpan;
use madang_types::{Micros, PowerEvent};

const COLUMNS: &str = "id, site, cap_watts, cut_milli, baseline_watts, from_us, until_us, reason, set_by, set_at, grid_order";

async fn put(client: &Object, event: &PowerEvent) -> Result<PowerEvent, StoreError> {
    if list(client, event.set_at).await?.len() >= POWER_EVENTS_MAX {
        return Err(too_many());
    }
    let (cap, cut, baseline) = columns_of(event.kind)?;
    let sql = format!(
        "INSERT INTO power_events (site, cap_watts, cut_milli, baseline_watts, from_us, until_us, reason, set_by, set_at, grid_order)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING {COLUMNS}"
    );
    let params: &[Param<'_>] = &[
        &event.site.as_str(),
        &cap,
        &cut,
        &baseline,
        &event.from.0,
        &event.until.map(|at| at.0),
        &event.reason,
        &event.set_by.as_str(),
        &event.set_at.0,
        &event.order,
    ];
    let put = rows(client, ("write a power event", &sql), params, read).await?;
    put.into_iter().next().ok_or_else(|| absent(event.id))
}

async fn baseline(client: &Object, id: u64, watts: u64) -> Result<PowerEvent, StoreError> {
    let sql = "UPDATE power_events SET baseline_watts = $2
         WHERE id = $1 AND cut_milli IS NOT NULL AND baseline_watts IS NULL";
    let params: &[Param<'_>] = &[&count("id", id)?, &count("watts", watts)?];
    execute(client, ("note a baseline", sql), params).await?;
    get(client, id).await
}

async fn end(client: &Object, id: u64, at: Micros) -> Result<PowerEvent, StoreError> {
    let sql = "UPDATE power_events SET until_us = $2 WHERE id = $1 AND (until_us IS NULL OR until_us > $2)";
    let params: &[Param<'_>] = &[&count("id", id)?, &at.0];
    execute(client, ("end a power event", sql), params).await?;
    get(client, id).await
}

async fn get(client: &Object, id: u64) -> Result<PowerEvent, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM power_events WHERE id = $1");
    let params: &[Param<'_>] = &[&count("id", id)?];
    let found = rows(client, ("read a power event", &sql), params, read).await?;
    found.into_iter().next().ok_or_else(|| absent(id))
}

async fn list(client: &Object, at: Micros) -> Result<Vec<PowerEvent>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM power_events WHERE until_us IS NULL OR until_us > $1 ORDER BY id"
    );
    rows(client, ("read power events", &sql), &[&at.0], read).await
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

#[async_trait]
impl PowerBook for PostgresStore {
    async fn power_put(&self, event: PowerEvent) -> Result<PowerEvent, StoreError> {
        super::check_text("reason", &event.reason)?;
        super::check_text("order", event.order.as_deref().unwrap_or_default())?;
        self.ask(move |client| Box::pin(async move { put(client, &event).await }))
            .await
    }

    async fn power_list(&self, at: Micros) -> Result<Vec<PowerEvent>, StoreError> {
        self.ask(move |client| Box::pin(list(client, at))).await
    }

    async fn power_baseline(&self, id: u64, watts: u64) -> Result<PowerEvent, StoreError> {
        self.ask(move |client| Box::pin(baseline(client, id, watts)))
            .await
    }

    async fn power_end(&self, id: u64, at: Micros) -> Result<PowerEvent, StoreError> {
        self.ask(move |client| Box::pin(end(client, id, at))).await
    }

    async fn energy_put(&self, rows: Vec<EnergyRow>) -> Result<(), StoreError> {
        self.ask(move |client| Box::pin(async move { energy::put(client, &rows).await }))
            .await
    }

    async fn energy_list(&self) -> Result<Vec<EnergyRow>, StoreError> {
        self.ask(move |client| Box::pin(energy::list(client))).await
    }

    async fn energy_drop(&self, span: EnergySpan) -> Result<(), StoreError> {
        self.ask(move |client| Box::pin(async move { energy::drop_span(client, &span).await }))
            .await
    }
}
