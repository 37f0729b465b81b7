//! How busy runs were and what of machines was held, as rows.

use super::connect::medium;
use super::jobs::read_run;
use super::row::{Columns, Param, column, execute, rows};
use crate::StoreError;
use crate::jobs::{
    BUSY_LIST_COUNT_MAX, BusyFilter, BusyRun, HELD_KEPT_HOURS, HOUR_US, RunKey, column_number,
    hour_from, run_of,
};
use deadpool_postgres::{GenericClient, Object};
use madang_types::{BusySource, Micros, NodesHeld, RunBusy, RunId};

const COLUMNS: &str = "b.job, b.task, b.number, began_at, measured_at, at_work_at, measured_ms, busy_ms, samples, source";

pub(super) async fn write(
    client: &mut Object,
    Micros(at): Micros,
    (runs, held): (&[RunBusy], &[NodesHeld]),
) -> Result<(), StoreError> {
    let failed = |e: tokio_postgres::Error| medium("note how busy runs were", &e);
    let tx = client.transaction().await.map_err(failed)?;
    runs_put(&tx, runs).await?;
    let hour = at.div_euclid(HOUR_US);
    let sql = "INSERT INTO nodes_held (hour, nodes, capacity_ms, held_ms)
         SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::bigint[])
         ON CONFLICT (hour, nodes) DO UPDATE SET capacity_ms = nodes_held.capacity_ms + excluded.capacity_ms,
         held_ms = nodes_held.held_ms + excluded.held_ms";
    let params: &[Param<'_>] = &[
        &hour,
        &column(held, |one| one.nodes.as_str()),
        &column(held, |one| column_number(one.capacity_ms)),
        &column(held, |one| column_number(one.held_ms)),
    ];
    execute(&tx, ("note what was held", sql), params).await?;
    let sql = "DELETE FROM nodes_held WHERE hour < $1";
    let oldest = hour.saturating_sub(HELD_KEPT_HOURS);
    execute(&tx, ("drop what was held long ago", sql), &[&oldest]).await?;
    tx.commit().await.map_err(failed)
}

async fn runs_put(tx: &impl GenericClient, runs: &[RunBusy]) -> Result<(), StoreError> {
    let keys: Vec<RunKey> = runs.iter().map(|busy| RunKey::from(busy.run)).collect();
    let sql = "INSERT INTO run_busy (job, task, number, began_at, measured_at, at_work_at, measured_ms, busy_ms, samples, source)
         SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
             $8::bigint[], $9::bigint[], $10::text[])
         ON CONFLICT (job, task, number) DO UPDATE SET measured_at = excluded.measured_at, at_work_at = excluded.at_work_at,
         measured_ms = excluded.measured_ms, busy_ms = excluded.busy_ms, samples = excluded.samples, source = excluded.source";
    let params: &[Param<'_>] = &[
        &column(&keys, |key| key.job),
        &column(&keys, |key| key.task),
        &column(&keys, |key| key.number),
        &column(runs, |busy| busy.began_at.0),
        &column(runs, |busy| busy.measured_at.0),
        &column(runs, |busy| busy.at_work_at.map(|at| at.0)),
        &column(runs, |busy| column_number(busy.measured_ms)),
        &column(runs, |busy| column_number(busy.busy_ms)),
        &column(runs, |busy| i64::from(busy.samples)),
        &column(runs, |busy| busy.source.map(BusySource::as_str)),
    ];
    execute(tx, ("note how busy runs were", sql), params)
        .await
        .map(drop)
}

pub(super) async fn of(client: &Object, runs: &[RunId]) -> Result<Vec<RunBusy>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM run_busy b JOIN unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS asked (job, task, number)
         ON asked.job = b.job AND asked.task = b.task AND asked.number = b.number ORDER BY b.job, b.task, b.number"
    );
    let keys: Vec<RunKey> = runs.iter().map(|run| RunKey::from(*run)).collect();
    let params: &[Param<'_>] = &[
        &column(&keys, |key| key.job),
        &column(&keys, |key| key.task),
        &column(&keys, |key| key.number),
    ];
    rows(client, ("read how busy runs were", &sql), params, read).await
}

pub(super) async fn list(client: &Object, filter: &BusyFilter) -> Result<Vec<BusyRun>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS}, programme, tenant, project, record
         FROM run_busy b JOIN job_runs r ON r.job = b.job AND r.task = b.task AND r.number = b.number JOIN jobs ON id = b.job
         WHERE measured_at >= $1 AND measured_at < $2
           AND ($3::text IS NULL OR programme = $3) AND ($4::text IS NULL OR tenant = $4)
         ORDER BY measured_ms - busy_ms DESC, b.job, b.task, b.number LIMIT {BUSY_LIST_COUNT_MAX}"
    );
    let BusyFilter {
        span: (from, until),
        programme,
        tenant,
    } = filter;
    let params: &[Param<'_>] = &[
        &from.0,
        &until.0,
        &programme.as_ref().map(|id| id.as_str()),
        &tenant.as_ref().map(|id| id.as_str()),
    ];
    let found = rows(
        client,
        ("list how busy runs were", &sql),
        params,
        |columns| {
            let busy = read(columns)?;
            Ok(BusyRun {
                busy,
                programme: columns.word_opt()?,
                tenant: columns.word()?,
                project: columns.word_opt()?,
                record: read_run(columns)?,
            })
        },
    );
    found.await
}

pub(super) async fn held(
    client: &Object,
    (from, until): (Micros, Micros),
) -> Result<Vec<NodesHeld>, StoreError> {
    let sql =
        "SELECT nodes, least(sum(capacity_ms), 9e18)::bigint, least(sum(held_ms), 9e18)::bigint
         FROM nodes_held WHERE hour >= $1 AND hour < $2 GROUP BY nodes ORDER BY nodes";
    let params: &[Param<'_>] = &[&hour_from(from), &hour_from(until)];
    let found = rows(client, ("sum up what was held", sql), params, |columns| {
        Ok(NodesHeld {
            nodes: columns.word()?,
            capacity_ms: columns.number()?,
            held_ms: columns.number()?,
        })
    });
    found.await
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
