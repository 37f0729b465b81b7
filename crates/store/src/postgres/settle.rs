//! What requests come to: records and entries, and what is booked of requests whose program has died.

use super::bank::cover;
use super::ledger::page::Turn;
use super::row::{execute, rows};
use super::usage;
use crate::StoreError;
use crate::settlement::{Line, Settlement};
use deadpool_postgres::{GenericClient, Object};
use madang_ledger::{Entry, Fault};
use madang_types::{GatewayId, RequestId, TenantId, UsageRecord};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Writes lines, with entries in one transaction. Of two settlements of one request the first counts, of its drafts the last, and none where it has
/// ended.
///
/// # Errors
/// None of them is known to be kept.
pub(super) async fn lines(
    client: &mut Object,
    lines: &[Line],
    gateway: Option<&GatewayId>,
) -> Result<(), StoreError> {
    let batch = Batch::of(lines);
    // Without the ledger nobody need wait for it, and nothing goes wrong where a half of it is written again.
    if batch.entries.is_empty() {
        usage::append(client, &batch.records).await?;
        return batch.drafts(client, gateway).await;
    }
    let mut turn = Turn::begin(client).await?;
    let new = usage::append(&turn.tx, &batch.records).await?;
    batch.entries(&mut turn, &new).await?;
    batch.drafts(&turn.tx, gateway).await?;
    turn.commit().await
}

/// Settles what this gateway left a draft of and never ended: the program that wrote it is gone.
pub(super) async fn orphans(client: &mut Object, gateway: &GatewayId) -> Result<(), StoreError> {
    let sql = "SELECT settlement FROM drafts WHERE gateway = $1 ORDER BY id";
    let of = gateway.as_str();
    let drafts = rows(client, ("read the drafts", sql), &[&of], |columns| {
        let text: String = columns.get()?;
        serde_json::from_str(&text).map_err(|e| StoreError::Damaged(format!("a draft: {e}")))
    })
    .await?;
    let settled: Vec<Line> = drafts.into_iter().map(Line::Settled).collect();
    if !settled.is_empty() {
        tracing::warn!(
            requests = settled.len(),
            "requests that a dead process had under way are settled"
        );
    }
    for batch in settled.chunks(super::writer::BATCH_RECORDS_MAX) {
        lines(client, batch, Some(gateway)).await?;
    }
    Ok(())
}

/// What is to be written of some lines.
#[derive(Default)]
struct Batch<'a> {
    records: Vec<&'a UsageRecord>,
    /// By request: the first that was settled with it, and whose request it was.
    entries: BTreeMap<RequestId, (&'a Entry, &'a TenantId)>,
    drafts: BTreeMap<RequestId, &'a Settlement>,
}

impl<'a> Batch<'a> {
    fn of(lines: &'a [Line]) -> Self {
        let mut batch = Self::default();
        let mut settled = BTreeSet::new();
        for line in lines {
            let (record, entry) = match line {
                Line::Settled(settlement) => (&settlement.record, settlement.entry.as_ref()),
                Line::Record(record) => (&**record, None),
                Line::Draft { draft } => {
                    if !settled.contains(&draft.record.id) {
                        batch.drafts.insert(draft.record.id, draft);
                    }
                    continue;
                }
            };
            if settled.insert(record.id) {
                batch.records.push(record);
                let entry = entry.map(|entry| (record.id, (entry, &record.tenant)));
                batch.entries.extend(entry);
                batch.drafts.remove(&record.id);
            }
        }
        batch
    }

    /// Writes the entries of those requests whose record is new.
    async fn entries(
        &self,
        turn: &mut Turn<'_>,
        new: &BTreeSet<RequestId>,
    ) -> Result<(), StoreError> {
        let of = self.entries.iter().filter(|(id, _)| new.contains(id));
        let (entries, tenants): (Vec<Entry>, Vec<&TenantId>) = of
            .map(|(_, (entry, tenant))| ((*entry).clone(), *tenant))
            .unzip();
        let judged = turn.append(&entries).await?;
        for ((entry, tenant), judged) in entries.iter().zip(tenants).zip(judged) {
            let Err(fault) = judged else {
                continue;
            };
            if let Err(fault) = cover(turn, (entry, tenant), Err(fault)).await? {
                keep_apart(turn, entry, &fault).await?;
            }
        }
        Ok(())
    }

    async fn drafts(
        &self,
        client: &impl GenericClient,
        gateway: Option<&GatewayId>,
    ) -> Result<(), StoreError> {
        delete_drafts(client, &self.records).await?;
        let Some(gateway) = gateway.filter(|_| !self.drafts.is_empty()) else {
            return Ok(());
        };
        let ids: Vec<Uuid> = self.drafts.keys().map(|id| Uuid::from_u128(id.0)).collect();
        let texts: Vec<String> = self.drafts.values().map(json).collect();
        // What has ended has no draft, whenever this one comes.
        let sql = "INSERT INTO drafts (id, gateway, settlement)
             SELECT d.id, $2, d.settlement FROM unnest($1::uuid[], $3::text[]) d (id, settlement)
             WHERE NOT EXISTS (SELECT 1 FROM usage u WHERE u.id = d.id)
             ON CONFLICT (id) DO UPDATE SET settlement = excluded.settlement";
        execute(
            client,
            ("write drafts", sql),
            &[&ids, &gateway.as_str(), &texts],
        )
        .await
        .map(drop)
    }
}

async fn keep_apart(turn: &Turn<'_>, entry: &Entry, fault: &Fault) -> Result<(), StoreError> {
    let id = Uuid::from_u128(entry.id.0);
    tracing::error!(entry = %entry.id, %fault, "the ledger refused a request's entry: it is kept in refused_entries");
    let sql =
        "INSERT INTO refused_entries (id, fault, entry) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    execute(
        &turn.tx,
        ("keep a refused entry", sql),
        &[&id, &fault.to_string(), &json(entry)],
    )
    .await
    .map(drop)
}

async fn delete_drafts(
    client: &impl GenericClient,
    ended: &[&UsageRecord],
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = ended.iter().map(|r| Uuid::from_u128(r.id.0)).collect();
    let sql = "DELETE FROM drafts WHERE id = ANY($1)";
    execute(client, ("delete drafts", sql), &[&ids])
        .await
        .map(drop)
}

/// As text. What is written here has names and numbers alone, which JSON can say.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
