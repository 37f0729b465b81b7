//! How busy runs were and what of machines was held, as rows.

use super::convert::{Columns, execute, rows};
use super::jobs::read_run;
use crate::StoreError;
use crate::jobs::{
    BUSY_LIST_COUNT_MAX, BusyFilter, BusyRun, HELD_KEPT_HOURS, HOUR_US, RunKey, column_number,
    hour_from, run_of,
};
use madang_types::{BusySource, Micros, NodesHeld, RunBusy, RunId};
use rusqlite::types::Value;
use rusqlite::{Connection, named_params};

const COLUMNS: &str = "b.job, b.task, b.number, began_at, measured_at, at_work_at, measured_ms, busy_ms, samples, source";

pub(super) fn write(
    conn: &Connection,
    Micros(at): Micros,
    (runs, held): (&[RunBusy], &[NodesHeld]),
) -> Result<(), StoreError> {
    let sql = "INSERT INTO run_busy (job, task, number, began_at, measured_at, at_work_at, measured_ms, busy_ms, samples, source)
         VALUES (:job, :task, :number, :began_at, :measured_at, :at_work_at, :measured_ms, :busy_ms, :samples, :source)
         ON CONFLICT (job, task, number) DO UPDATE SET measured_at = excluded.measured_at, at_work_at = excluded.at_work_at,
         measured_ms = excluded.measured_ms, busy_ms = excluded.busy_ms, samples = excluded.samples, source = excluded.source";
    for busy in runs {
        let RunKey { job, task, number } = RunKey::from(busy.run);
        let params = named_params! {
            ":job": job, ":task": task, ":number": number, ":began_at": busy.began_at.0, ":measured_at": busy.measured_at.0,
            ":at_work_at": busy.at_work_at.map(|at| at.0), ":measured_ms": column_number(busy.measured_ms),
            ":busy_ms": column_number(busy.busy_ms), ":samples": busy.samples,
            ":source": busy.source.map(BusySource::as_str),
        };
        execute(conn, ("note how busy a run was", sql), params)?;
    }
    let hour = at.div_euclid(HOUR_US);
    let sql = "INSERT INTO nodes_held (hour, nodes, capacity_ms, held_ms) VALUES (:hour, :nodes, :capacity_ms, :held_ms)
         ON CONFLICT (hour, nodes) DO UPDATE SET capacity_ms = capacity_ms + excluded.capacity_ms, held_ms = held_ms + excluded.held_ms";
    for one in held {
        let params = named_params! {
            ":hour": hour, ":nodes": one.nodes.as_str(), ":capacity_ms": column_number(one.capacity_ms),
            ":held_ms": column_number(one.held_ms),
        };
        execute(conn, ("note what was held", sql), params)?;
    }
    let sql = "DELETE FROM nodes_held WHERE hour < :oldest";
    let params = named_params! { ":oldest": hour.saturating_sub(HELD_KEPT_HOURS) };
    execute(conn, ("drop what was held long ago", sql), params).map(drop)
}

pub(super) fn of(conn: &Connection, runs: &[RunId]) -> Result<Vec<RunBusy>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM run_busy b WHERE b.job = :job AND b.task = :task AND b.number = :number"
    );
    let mut found = Vec::new();
    for run in runs {
        let RunKey { job, task, number } = RunKey::from(*run);
        let params = [
            (":job", job.into()),
            (":task", task.into()),
            (":number", number.into()),
        ];
        found.extend(rows(conn, &sql, &params, read)?);
    }
    found.sort_by_key(|busy| busy.run);
    Ok(found)
}

pub(super) fn list(conn: &Connection, filter: &BusyFilter) -> Result<Vec<BusyRun>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS}, programme, tenant, project, record
         FROM run_busy b JOIN job_runs r ON r.job = b.job AND r.task = b.task AND r.number = b.number JOIN jobs ON id = b.job
         WHERE measured_at >= :from AND measured_at < :until
           AND (:programme IS NULL OR programme = :programme) AND (:tenant IS NULL OR tenant = :tenant)
         ORDER BY measured_ms - busy_ms DESC, b.job, b.task, b.number LIMIT {BUSY_LIST_COUNT_MAX}"
    );
    let BusyFilter {
        span: (from, until),
        programme,
        tenant,
    } = filter;
    let text = |id: Option<&str>| id.map_or(Value::Null, |id| id.to_owned().into());
    let params = [
        (":from", from.0.into()),
        (":until", until.0.into()),
        (":programme", text(programme.as_ref().map(|id| id.as_str()))),
        (":tenant", text(tenant.as_ref().map(|id| id.as_str()))),
    ];
    rows(conn, &sql, &params, |columns| {
        let busy = read(columns)?;
        Ok(BusyRun {
            busy,
            programme: columns.word_opt()?,
            tenant: columns.word()?,
            project: columns.word_opt()?,
            record: read_run(columns)?,
        })
    })
}

/// A sum beyond 63 bits is no whole number any more, so it is held below.
pub(super) fn held(
    conn: &Connection,
    (from, until): (Micros, Micros),
) -> Result<Vec<NodesHeld>, StoreError> {
    let sql = "SELECT nodes, CAST(min(total(capacity_ms), 9e18) AS INTEGER), CAST(min(total(held_ms), 9e18) AS INTEGER)
         FROM nodes_held WHERE hour >= :from AND hour < :until GROUP BY nodes ORDER BY nodes";
    let params = [
        (":from", hour_from(from).into()),
        (":until", hour_from(until).into()),
    ];
    rows(conn, sql, &params, |columns| {
        Ok(NodesHeld {
            nodes: columns.word()?,
            capacity_ms: columns.number()?,
            held_ms: columns.number()?,
        })
    })
}

fn read(columns: &mut Columns<'_>) -> Result<RunBusy, StoreError> {
    let key = RunKey {
        job: columns.get()?,
        task: columns.get()?,
        number: columns.get()?,
    };
    let damaged = || StoreError::Damaged(format!("run_busy holds a run {key:?}"));
    Ok(RunBusy {
        run: run_of(key).ok_or_else(damaged)?,
        began_at: Micros(columns.get()?),
        measured_at: Micros(columns.get()?),
        at_work_at: columns.get::<Option<i64>>()?.map(Micros),
        measured_ms: columns.number()?,
        busy_ms: columns.number()?,
        samples: columns.number()?,
        source: columns.word_opt()?,
    })
}
