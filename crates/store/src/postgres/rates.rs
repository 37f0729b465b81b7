//! Parts of keys' rates as rows: what a gateway asks is one transaction, beside the ledger's.

use super::connect::medium;
use super::row::{Param, execute, rows};
use super::{BANK_WAIT_MS_MAX, PostgresStore};
use crate::StoreError;
use crate::bank::RateBooks;
use async_trait::async_trait;
use deadpool_postgres::{GenericClient, Object, Transaction};
use madang_ledger::{Holder, KeyParts, PartAsk, PartGrant};
use madang_types::{GatewayId, KeyId, Micros};
use std::collections::BTreeMap;
use std::time::Duration;

/// "MDNR" in ASCII: who holds this lock divides rates. One at a time: two that ask first for a key find no row to lock.
const LOCK: i64 = 0x4d44_4e52;

/// How long a connection that falls silent may hold the others up, in milliseconds.
const SILENT_MS_MAX: u64 = 2_000;

#[async_trait]
impl RateBooks for PostgresStore {
    async fn rate_parts(
        &self,
        holder: Holder,
        asks: Vec<PartAsk>,
    ) -> Result<Option<Vec<PartGrant>>, StoreError> {
        self.ask_within(Duration::from_millis(BANK_WAIT_MS_MAX), move |client| {
            Box::pin(async move { divide(client, (&holder, &asks)).await })
        })
        .await
    }
}

async fn divide(
    client: &mut Object,
    (holder, asks): (&Holder, &[PartAsk]),
) -> Result<Option<Vec<PartGrant>>, StoreError> {
    let failed = |e: tokio_postgres::Error| medium("divide rates", &e);
    let tx = client.transaction().await.map_err(failed)?;
    let sql = format!(
        "SET LOCAL idle_in_transaction_session_timeout TO {SILENT_MS_MAX}; SELECT pg_advisory_xact_lock({LOCK})"
    );
    tx.batch_execute(&sql).await.map_err(failed)?;
    let (now, latest) = runs(&tx).await?;
    if latest.get(&holder.gateway) != Some(&holder.epoch) {
        return Ok(None);
    }
    let found = read(&tx, asks).await?;
    let mut all = found.clone();
    let mut divide = |ask: &PartAsk| {
        let parts = all.entry(ask.key.clone()).or_default();
        parts.end(now, &latest);
        parts.ask(now, holder, ask)
    };
    let told = asks.iter().map(&mut divide).collect();
    // Most often nothing has changed, and then nothing is synced either.
    all.retain(|key, parts| found.get(key) != Some(parts));
    write(&tx, (&all, now)).await?;
    tx.commit().await.map_err(failed)?;
    Ok(Some(told))
}

/// The server's clock, which is one for all gateways, and the latest run of each.
async fn runs(tx: &Transaction<'_>) -> Result<(Micros, BTreeMap<GatewayId, u32>), StoreError> {
    let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, gateway, epoch FROM runs";
    let found = rows(tx, ("read the runs", sql), &[], |columns| {
        Ok((columns.get::<i64>()?, (columns.word()?, columns.number()?)))
    });
    let (clock, latest): (Vec<i64>, BTreeMap<_, _>) = found.await?.into_iter().unzip();
    Ok((Micros(clock.last().copied().unwrap_or_default()), latest))
}

async fn read(
    tx: &impl GenericClient,
    asks: &[PartAsk],
) -> Result<BTreeMap<KeyId, KeyParts>, StoreError> {
    let keys: Vec<&str> = asks.iter().map(|ask| ask.key.as_str()).collect();
    let sql = "SELECT key, parts FROM rate_parts WHERE key = ANY($1)";
    let about: [Param<'_>; 1] = [&keys];
    let found = rows(tx, ("read parts of rates", sql), &about, |columns| {
        let (key, text): (KeyId, String) = (columns.word()?, columns.get()?);
        let parts: Result<KeyParts, _> = serde_json::from_str(&text);
        let parts = parts.map_err(|e| StoreError::Damaged(format!("the rates of {key}: {e}")))?;
        Ok((key, parts))
    });
    Ok(found.await?.into_iter().collect())
}

async fn write(
    tx: &impl GenericClient,
    (all, now): (&BTreeMap<KeyId, KeyParts>, Micros),
) -> Result<(), StoreError> {
    let (mut idle, mut keys, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    for (key, parts) in all {
        if parts.is_idle(now) {
            idle.push(key.as_str());
            continue;
        }
        let text = serde_json::to_string(parts);
        texts.push(text.map_err(|e| StoreError::Damaged(format!("the rates of {key}: {e}")))?);
        keys.push(key.as_str());
    }
    if !idle.is_empty() {
        let sql = "DELETE FROM rate_parts WHERE key = ANY($1)";
        execute(tx, ("forget parts of rates", sql), &[&idle]).await?;
    }
    if !keys.is_empty() {
        let sql = "INSERT INTO rate_parts (key, parts) SELECT * FROM unnest($1::text[], $2::text[])
         ON CONFLICT (key) DO UPDATE SET parts = excluded.parts";
        execute(tx, ("write parts of rates", sql), &[&keys, &texts]).await?;
    }
    Ok(())
}
