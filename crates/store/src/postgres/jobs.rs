//! Jobs, their runs and who drives them as rows.

use super::busy;
use super::connect::medium;
use super::row::{Columns, Param, column, execute, rows};
use super::secrets;
use super::{PostgresStore, check_text};
use crate::StoreError;
use crate::jobs::{
    BusyFilter, BusyRun, ChangeRows, JOBS_LIST_COUNT_MAX, JOBS_USED_COUNT_MAX, JobBook, JobFilter,
    JobTerm, JobWish, JobsChange, JobsUsed, OPEN, RunKey, USED_SPAN_US, absent, bound, json_text,
    json_value, last_before, middle_of, superseded,
};
use async_trait::async_trait;
use deadpool_postgres::{GenericClient, Object};
use madang_types::{
    GatewayId, Job, JobId, Micros, NodesHeld, RunBusy, RunId, RunRecord, SecretId, SecretRow,
    TenantId,
};

const COLUMNS: &str = "id, tenant, project, programme, key, spec, state, held, cancelled_at, why, submitted_at, ended_at";
const LIMIT: i64 = JOBS_LIST_COUNT_MAX as i64;

/// The revision's lock comes before the number, so that numbers are seen in their order.
async fn insert(client: &Object, job: &Job) -> Result<Job, StoreError> {
    let sql = format!(
        "WITH turn AS (UPDATE jobs_revision SET revision = revision + 1 RETURNING revision)
         INSERT INTO jobs (tenant, project, programme, key, spec, state, held, cancelled_at, why, submitted_at, ended_at)
         SELECT $1, $2, $3, $4, $5, $6, $7::boolean, $8::bigint, $9, $10::bigint, $11::bigint FROM turn RETURNING {COLUMNS}"
    );
    let params: &[Param<'_>] = &[
        &job.tenant.as_str(),
        &job.project.as_ref().map(|id| id.as_str()),
        &job.programme.as_ref().map(|id| id.as_str()),
        &job.key.as_ref().map(|id| id.as_str()),
        &json_text("the job's spec", &job.spec)?,
        &job.state.as_str(),
        &job.held,
        &job.cancelled_at.map(|at| at.0),
        &job.why,
        &job.submitted_at.0,
        &job.ended_at.map(|at| at.0),
    ];
    let inserted = rows(client, ("write a job", &sql), params, read).await?;
    let lost = || StoreError::Damaged("jobs_revision has no row".into());
    inserted.into_iter().next().ok_or_else(lost)
}

async fn get(client: &Object, id: JobId) -> Result<Option<Job>, StoreError> {
    let Ok(id) = i64::try_from(id.0) else {
        return Ok(None);
    };
    let sql = format!("SELECT {COLUMNS} FROM jobs WHERE id = $1");
    let found = rows(client, ("read a job", &sql), &[&id], read).await?;
    Ok(found.into_iter().next())
}

async fn wish(client: &Object, id: JobId, wish: JobWish) -> Result<Job, StoreError> {
    let (held, cancelled_at) = match wish {
        JobWish::Hold => (Some(true), None),
        JobWish::Release => (Some(false), None),
        JobWish::Cancel(Micros(at)) => (None, Some(at)),
    };
    let sql = format!(
        "WITH turn AS (UPDATE jobs_revision SET revision = revision + 1)
         UPDATE jobs SET held = coalesce($2, held), cancelled_at = coalesce(cancelled_at, $3)
         WHERE id = $1 AND {OPEN} RETURNING {COLUMNS}"
    );
    let params: &[Param<'_>] = &[&bound(id), &held, &cancelled_at];
    let wished = rows(client, ("write a job", &sql), params, read).await?;
    match wished.into_iter().next() {
        Some(job) => Ok(job),
        None => get(client, id).await?.ok_or_else(|| absent(id)),
    }
}

/// See [`JobBook::term_hold`].
async fn hold(
    client: &Object,
    gateway: &GatewayId,
    (Micros(at), Micros(until)): (Micros, Micros),
) -> Result<Option<JobTerm>, StoreError> {
    let sql = "UPDATE job_term SET term = term + (gateway IS DISTINCT FROM $1 OR until_at <= $2)::int, gateway = $1, until_at = $3
         WHERE gateway IS NULL OR gateway = $1 OR until_at <= $2 RETURNING term";
    let params: &[Param<'_>] = &[&gateway.as_str(), &at, &until];
    let held = rows(client, ("hold the term", sql), params, |columns| {
        columns.number().map(JobTerm)
    });
    Ok(held.await?.into_iter().next())
}

async fn change(client: &mut Object, term: JobTerm, change: &JobsChange) -> Result<(), StoreError> {
    let change = ChangeRows::new(change)?;
    let failed = |e: tokio_postgres::Error| medium("write jobs", &e);
    let tx = client.transaction().await.map_err(failed)?;
    // Whoever takes the driving over waits until this is written.
    let sql = "SELECT term FROM job_term FOR SHARE";
    let last = rows(&tx, ("read the term", sql), &[], |columns| {
        columns.number::<u64>()
    });
    let last = last.await?;
    if last != [term.0] {
        return Err(superseded(last.first().copied().unwrap_or(0)));
    }
    refuse_absent(&tx, &change).await?;
    jobs_update(&tx, &change).await?;
    runs_put(&tx, &change).await?;
    tx.commit().await.map_err(failed)
}

async fn refuse_absent(tx: &impl GenericClient, change: &ChangeRows<'_>) -> Result<(), StoreError> {
    let ids = column(change.job_ids(), |id| id);
    let sql = "SELECT id FROM unnest($1::bigint[]) AS asked (id)
         WHERE NOT EXISTS (SELECT FROM jobs WHERE jobs.id = asked.id) ORDER BY id LIMIT 1";
    let missing = rows(tx, ("look for jobs", sql), &[&ids], |columns| {
        columns.get::<i64>()
    })
    .await?;
    match missing.first() {
        Some(id) => Err(absent(id)),
        None => Ok(()),
    }
}

async fn jobs_update(tx: &impl GenericClient, change: &ChangeRows<'_>) -> Result<(), StoreError> {
    let jobs = || change.jobs.values();
    let sql = "UPDATE jobs SET state = new.state, why = new.why, ended_at = new.ended_at
         FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[]) AS new (id, state, why, ended_at)
         WHERE jobs.id = new.id";
    let params: &[Param<'_>] = &[
        &column(change.jobs.keys(), |id| *id),
        &column(jobs(), |job| job.state.as_str()),
        &column(jobs(), |job| job.why.as_deref()),
        &column(jobs(), |job| job.ended_at.map(|at| at.0)),
    ];
    execute(tx, ("write jobs", sql), params).await.map(drop)
}

async fn runs_put(tx: &impl GenericClient, change: &ChangeRows<'_>) -> Result<(), StoreError> {
    let keys = || change.runs.keys();
    let sql = "INSERT INTO job_runs (job, task, number, record, used_at, used_ms, untold)
         SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bool[])
         ON CONFLICT (job, task, number) DO UPDATE
         SET record = excluded.record, used_at = excluded.used_at, used_ms = excluded.used_ms, untold = excluded.untold";
    let params: &[Param<'_>] = &[
        &column(keys(), |key| key.job),
        &column(keys(), |key| key.task),
        &column(keys(), |key| key.number),
        &column(change.runs.values(), |row| row.record.as_str()),
        &column(change.runs.values(), |row| row.used_at),
        &column(change.runs.values(), |row| row.used_ms),
        &column(change.runs.values(), |row| row.untold),
    ];
    execute(tx, ("write runs", sql), params).await.map(drop)
}

async fn list(
    client: &Object,
    filter: &JobFilter,
    (before, count_max): (Option<JobId>, u32),
) -> Result<Vec<Job>, StoreError> {
    let words = [
        ("programme", filter.programme.as_ref().map(|id| id.as_str())),
        ("tenant", filter.tenant.as_ref().map(|id| id.as_str())),
        ("project", filter.project.as_ref().map(|id| id.as_str())),
    ];
    let (last, limit) = (
        last_before(before),
        i64::from(count_max.min(JOBS_LIST_COUNT_MAX)),
    );
    let mut params: Vec<Param<'_>> = vec![&last, &limit];
    let mut conditions = vec!["id <= $1".to_owned()];
    for (column, id) in &words {
        if let Some(id) = id {
            params.push(id);
            conditions.push(format!("{column} = ${}", params.len()));
        }
    }
    conditions.extend(filter.state_condition());
    let conditions = conditions.join(" AND ");
    let sql = format!("SELECT {COLUMNS} FROM jobs WHERE {conditions} ORDER BY id DESC LIMIT $2");
    rows(client, ("read jobs", &sql), &params, read).await
}

async fn open(client: &Object, after: Option<JobId>) -> Result<Vec<Job>, StoreError> {
    let sql =
        format!("SELECT {COLUMNS} FROM jobs WHERE {OPEN} AND id > $1 ORDER BY id LIMIT {LIMIT}");
    let after = after.map_or(0, bound);
    rows(client, ("read jobs", &sql), &[&after], read).await
}

async fn open_count(client: &Object, tenant: &TenantId) -> Result<u64, StoreError> {
    let sql = "SELECT count FROM jobs_open_counts WHERE tenant = $1";
    let params: [Param<'_>; 1] = [&tenant.as_str()];
    let found = rows(client, ("count jobs", sql), &params, |columns| {
        columns.number::<u64>()
    });
    Ok(found.await?.into_iter().sum())
}

async fn revision(client: &Object) -> Result<u64, StoreError> {
    let sql = "SELECT revision FROM jobs_revision";
    let found = rows(client, ("read the revision", sql), &[], |columns| {
        columns.number()
    });
    let lost = || StoreError::Damaged("jobs_revision has no row".into());
    found.await?.into_iter().next().ok_or_else(lost)
}

async fn run_list(client: &Object, key: RunKey) -> Result<Vec<RunRecord>, StoreError> {
    let sql = format!(
        "SELECT record FROM job_runs WHERE job = $1 AND (task, number) > ($2, $3) ORDER BY task, number LIMIT {LIMIT}"
    );
    let params: &[Param<'_>] = &[&key.job, &key.task, &key.number];
    rows(client, ("read runs", &sql), params, read_run).await
}

/// The rest of the job in which the last page ended, where it is not over, and the jobs after it.
async fn runs_open(client: &Object, after: Option<RunId>) -> Result<Vec<RunRecord>, StoreError> {
    let key = after.map_or(RunKey::START, RunKey::from);
    let mut found = match get(client, JobId(key.job.unsigned_abs())).await? {
        Some(job) if !job.state.is_over() => run_list(client, key).await?,
        _ => Vec::new(),
    };
    let left = LIMIT - i64::try_from(found.len()).unwrap_or(LIMIT);
    let sql = format!(
        "SELECT record FROM jobs JOIN job_runs ON job = id WHERE {OPEN} AND id > $1 ORDER BY id, task, number LIMIT $2"
    );
    let params: &[Param<'_>] = &[&key.job, &left];
    found.extend(rows(client, ("read runs", &sql), params, read_run).await?);
    Ok(found)
}

async fn runs_untold(client: &Object, after: Option<RunId>) -> Result<Vec<RunRecord>, StoreError> {
    let key = after.map_or(RunKey::START, RunKey::from);
    let sql = format!(
        "SELECT record FROM job_runs WHERE untold AND (job, task, number) > ($1, $2, $3) ORDER BY job, task, number LIMIT {LIMIT}"
    );
    let params: &[Param<'_>] = &[&key.job, &key.task, &key.number];
    rows(client, ("read runs", &sql), params, read_run).await
}

async fn used(client: &Object, since: Micros) -> Result<Vec<JobsUsed>, StoreError> {
    let sql = format!(
        "SELECT programme, tenant, project, used_at / {USED_SPAN_US} AS span, least(sum(used_ms), 9e18)::bigint
         FROM job_runs JOIN jobs ON id = job WHERE used_at >= $1
         GROUP BY programme, tenant, project, span ORDER BY span DESC, tenant, programme, project LIMIT {JOBS_USED_COUNT_MAX}"
    );
    rows(client, ("sum up runs", &sql), &[&since.0], |columns| {
        Ok(JobsUsed {
            programme: columns.word_opt()?,
            tenant: columns.word()?,
            project: columns.word_opt()?,
            at: middle_of(columns.get()?),
            accelerator_ms: columns.number()?,
        })
    })
    .await
}

fn read(columns: &mut Columns<'_>) -> Result<Job, StoreError> {
    Ok(Job {
        id: JobId(columns.number()?),
        tenant: columns.word()?,
        project: columns.word_opt()?,
        programme: columns.word_opt()?,
        key: columns.word_opt()?,
        spec: json_value("a job's spec", &columns.get::<String>()?)?,
        state: columns.word()?,
        held: columns.get()?,
        cancelled_at: columns.get::<Option<i64>>()?.map(Micros),
        why: columns.get()?,
        submitted_at: Micros(columns.get()?),
        ended_at: columns.get::<Option<i64>>()?.map(Micros),
    })
}

pub(super) fn read_run(columns: &mut Columns<'_>) -> Result<RunRecord, StoreError> {
    json_value("a job's run", &columns.get::<String>()?)
}

/// Refuses text that PostgreSQL cannot hold; in JSON nothing is left of it.
fn check(job: &Job) -> Result<(), StoreError> {
    check_text("why", job.why.as_deref().unwrap_or_default())
}

#[async_trait]
impl JobBook for PostgresStore {
    async fn job_insert(&self, job: Job) -> Result<Job, StoreError> {
        check(&job)?;
        self.ask(move |client| Box::pin(async move { insert(client, &job).await }))
            .await
    }

    async fn job_get(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        self.ask(move |client| Box::pin(get(client, id))).await
    }

    async fn job_list(
        &self,
        filter: JobFilter,
        before: Option<JobId>,
        count_max: u32,
    ) -> Result<Vec<Job>, StoreError> {
        self.ask(move |client| {
            Box::pin(async move { list(client, &filter, (before, count_max)).await })
        })
        .await
    }

    async fn jobs_open_count(&self, tenant: TenantId) -> Result<u64, StoreError> {
        self.ask(move |client| Box::pin(async move { open_count(client, &tenant).await }))
            .await
    }

    async fn jobs_open(&self, after: Option<JobId>) -> Result<Vec<Job>, StoreError> {
        self.ask(move |client| Box::pin(open(client, after))).await
    }

    async fn job_wish(&self, id: JobId, wished: JobWish) -> Result<Job, StoreError> {
        self.ask(move |client| Box::pin(wish(client, id, wished)))
            .await
    }

    async fn jobs_revision(&self) -> Result<Option<u64>, StoreError> {
        self.ask(|client| Box::pin(revision(client)))
            .await
            .map(Some)
    }

    async fn term_hold(
        &self,
        gateway: GatewayId,
        at: Micros,
        until: Micros,
    ) -> Result<Option<JobTerm>, StoreError> {
        self.ask(move |client| Box::pin(async move { hold(client, &gateway, (at, until)).await }))
            .await
    }

    async fn jobs_write(&self, term: JobTerm, changed: JobsChange) -> Result<(), StoreError> {
        changed.jobs.iter().try_for_each(check)?;
        self.ask(move |client| Box::pin(async move { change(client, term, &changed).await }))
            .await
    }

    async fn run_list(
        &self,
        job: JobId,
        after: Option<RunId>,
    ) -> Result<Vec<RunRecord>, StoreError> {
        let key = RunKey::of_job(job, after);
        self.ask(move |client| Box::pin(run_list(client, key)))
            .await
    }

    async fn jobs_used(&self, since: Micros) -> Result<Vec<JobsUsed>, StoreError> {
        self.report(move |client| Box::pin(used(client, since)))
            .await
    }

    async fn runs_open(&self, after: Option<RunId>) -> Result<Vec<RunRecord>, StoreError> {
        self.ask(move |client| Box::pin(runs_open(client, after)))
            .await
    }

    async fn runs_untold(&self, after: Option<RunId>) -> Result<Vec<RunRecord>, StoreError> {
        self.ask(move |client| Box::pin(runs_untold(client, after)))
            .await
    }

    async fn busy_write(
        &self,
        at: Micros,
        runs: Vec<RunBusy>,
        held: Vec<NodesHeld>,
    ) -> Result<(), StoreError> {
        self.ask(move |client| {
            Box::pin(async move { busy::write(client, at, (&runs, &held)).await })
        })
        .await
    }

    async fn busy_of(&self, runs: Vec<RunId>) -> Result<Vec<RunBusy>, StoreError> {
        self.ask(move |client| Box::pin(async move { busy::of(client, &runs).await }))
            .await
    }

    async fn busy_list(&self, filter: BusyFilter) -> Result<Vec<BusyRun>, StoreError> {
        self.report(move |client| Box::pin(async move { busy::list(client, &filter).await }))
            .await
    }

    async fn nodes_held(&self, span: (Micros, Micros)) -> Result<Vec<NodesHeld>, StoreError> {
        self.report(move |client| Box::pin(busy::held(client, span)))
            .await
    }

    async fn secret_put(&self, row: SecretRow) -> Result<(), StoreError> {
        self.ask(move |client| Box::pin(async move { secrets::put(client, &row).await }))
            .await
    }

    async fn secret_list(&self, tenant: TenantId) -> Result<Vec<SecretRow>, StoreError> {
        self.ask(move |client| Box::pin(async move { secrets::list(client, &tenant).await }))
            .await
    }

    async fn secret_delete(&self, id: SecretId) -> Result<(), StoreError> {
        self.ask(move |client| Box::pin(async move { secrets::delete(client, &id).await }))
            .await
    }
}
