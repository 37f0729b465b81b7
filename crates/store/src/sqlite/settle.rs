//! What requests come to: records and entries, and what is booked of requests whose program has died.

use super::bank::cover;
use super::convert::medium;
use super::ledger::page::Page;
use super::usage;
use crate::StoreError;
use crate::settlement::{Line, Settlement};
use madang_types::RequestId;
use rusqlite::{Connection, params};
use std::collections::BTreeMap;

/// After so many lines, of some 3 µs each, the thread lets others go first.
const LINES_AT_ONCE: usize = 128;

/// Writes the journal's lines, in their order.
pub(super) fn lines(conn: &Connection, page: &mut Page, lines: &[Line]) -> Result<(), StoreError> {
    // Of the drafts of one batch the last one of each request counts, and none where it has ended.
    let mut drafts: BTreeMap<RequestId, &Settlement> = BTreeMap::new();
    let drafted = has_drafts(conn)?;
    for (at, line) in lines.iter().enumerate() {
        if at % LINES_AT_ONCE == LINES_AT_ONCE - 1 {
            // Under load requests wait for a part of a batch, not for a whole slice of processor time; where a processor is free
            // this costs nothing.
            std::thread::yield_now();
        }
        match line {
            Line::Settled(settlement) => {
                drafts.remove(&settlement.record.id);
                settled(conn, page, (settlement, drafted))?;
            }
            Line::Record(record) => {
                usage::append(conn, record)?;
            }
            Line::Draft { draft } => {
                drafts.insert(draft.record.id, draft);
            }
        }
    }
    for draft in drafts.values() {
        put_draft(conn, draft)?;
    }
    Ok(())
}

/// Whether any request has a draft: most end before they have one, and need not have it looked for.
fn has_drafts(conn: &Connection) -> Result<bool, StoreError> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM drafts)")
        .and_then(|mut select| select.query_row([], |row| row.get(0)))
        .map_err(|e| medium("look for drafts", &e))
}

fn settled(
    conn: &Connection,
    page: &mut Page,
    (settlement, drafted): (&Settlement, bool),
) -> Result<(), StoreError> {
    let Settlement { record, entry } = settlement;
    let new = usage::append(conn, record)?;
    if drafted {
        conn.prepare_cached("DELETE FROM drafts WHERE id = ?1")
            .and_then(|mut delete| delete.execute([record.id.0.to_be_bytes()]))
            .map_err(|e| medium("delete a draft", &e))?;
    }
    let Some(entry) = entry.as_ref().filter(|_| new) else {
        return Ok(());
    };
    let entered = page.append_one(conn, entry)?.map(drop);
    let Err(fault) = cover(conn, page, (entry, &record.tenant), entered)? else {
        return Ok(());
    };
    tracing::error!(request = %record.id, %fault, "the ledger refused a request's entry: it is kept in refused_entries");
    conn.prepare_cached(
        "INSERT INTO refused_entries (id, fault, entry) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )
    .and_then(|mut insert| {
        insert.execute(params![
            record.id.0.to_be_bytes(),
            fault.to_string(),
            json(entry)
        ])
    })
    .map(drop)
    .map_err(|e| medium("keep a refused entry", &e))
}

fn put_draft(conn: &Connection, draft: &Settlement) -> Result<(), StoreError> {
    let failed = |e: rusqlite::Error| medium("write a draft", &e);
    // What has ended has no draft, whenever this one comes.
    conn.prepare_cached(
        "INSERT INTO drafts (id, settlement) SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM usage WHERE id = ?1)
         ON CONFLICT (id) DO UPDATE SET settlement = excluded.settlement",
    )
    .and_then(|mut put| put.execute(params![draft.record.id.0.to_be_bytes(), json(draft)]))
    .map(drop)
    .map_err(failed)
}

/// Settles what has a draft and was never ended: the program that wrote it is gone.
pub(super) fn orphans(conn: &Connection, page: &mut Page) -> Result<(), StoreError> {
    let failed = |e: rusqlite::Error| medium("read the drafts", &e);
    let mut select = conn
        .prepare("SELECT settlement FROM drafts ORDER BY id")
        .map_err(failed)?;
    let drafts = select
        .query_map([], |row| row.get::<_, String>(0))
        .map_err(failed)?;
    let drafts = drafts.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    for draft in &drafts {
        let draft = serde_json::from_str(draft)
            .map_err(|e| StoreError::Damaged(format!("a draft: {e}")))?;
        settled(conn, page, (&draft, true))?;
    }
    if !drafts.is_empty() {
        tracing::warn!(
            requests = drafts.len(),
            "requests that a dead process had under way are settled"
        );
    }
    Ok(())
}

/// As text. What is written here has names and numbers alone, which JSON can say.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
