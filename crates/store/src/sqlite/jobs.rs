//! Jobs, their runs and who drives them as rows.

use super::SqliteStore;
use super::busy;
use super::convert::{Columns, execute, medium, rows};
use super::secrets;
use super::writer::{Write, Written};
use crate::StoreError;
use crate::jobs::{
    BusyFilter, BusyRun, ChangeRows, JOBS_LIST_COUNT_MAX, JOBS_USED_COUNT_MAX, JobBook, JobFilter,
    JobTerm, JobWish, JobsChange, JobsUsed, OPEN, RunKey, USED_SPAN_US, absent, bound, json_text,
    json_value, last_before, middle_of, superseded,
};
use async_trait::async_trait;
use madang_types::{
    GatewayId, Job, JobId, Micros, NodesHeld, RunBusy, RunId, RunRecord, SecretId, SecretRow,
    TenantId,
};
use rusqlite::{Connection, OptionalExtension, named_params, params};

const COLUMNS: &str = "id, tenant, project, programme, key, spec, state, held, cancelled_at, why, submitted_at, ended_at";
const LIMIT: i64 = JOBS_LIST_COUNT_MAX as i64;

/// One write, by the writer.
pub(super) enum JobsWrite {
    Insert(Box<Job>),
    Wish(JobId, JobWish),
    Hold {
        gateway: GatewayId,
        at: Micros,
        until: Micros,
    },
    Change(JobTerm, JobsChange),
    Busy(Micros, Vec<RunBusy>, Vec<NodesHeld>),
    SecretPut(Box<SecretRow>),
    SecretDelete(SecretId),
}

/// What it gives back.
pub(super) enum JobsWritten {
    Done,
    Job(Box<Job>),
    Term(Option<JobTerm>),
}

pub(super) fn perform(conn: &Connection, write: &JobsWrite) -> Result<JobsWritten, StoreError> {
    Ok(match write {
        JobsWrite::Insert(job) => JobsWritten::Job(Box::new(insert(conn, job)?)),
        JobsWrite::Wish(id, wish) => JobsWritten::Job(Box::new(self::wish(conn, *id, *wish)?)),
        JobsWrite::Hold { gateway, at, until } => {
            JobsWritten::Term(hold(conn, gateway, (*at, *until))?)
        }
        JobsWrite::Change(term, change) => {
            self::change(conn, *term, change)?;
            JobsWritten::Done
        }
        JobsWrite::Busy(at, runs, held) => {
            busy::write(conn, *at, (runs, held))?;
            JobsWritten::Done
        }
        JobsWrite::SecretPut(row) => {
            secrets::put(conn, row)?;
            JobsWritten::Done
        }
        JobsWrite::SecretDelete(id) => {
            secrets::delete(conn, id)?;
            JobsWritten::Done
        }
    })
}

fn insert(conn: &Connection, job: &Job) -> Result<Job, StoreError> {
    let sql = "INSERT INTO jobs (tenant, project, programme, key, spec, state, held, cancelled_at, why, submitted_at, ended_at)
         VALUES (:tenant, :project, :programme, :key, :spec, :state, :held, :cancelled_at, :why, :submitted_at, :ended_at)";
    let spec = json_text("the job's spec", &job.spec)?;
    execute(
        conn,
        ("write a job", sql),
        named_params! {
            ":tenant": job.tenant.as_str(), ":project": job.project.as_ref().map(|id| id.as_str()),
            ":programme": job.programme.as_ref().map(|id| id.as_str()), ":key": job.key.as_ref().map(|id| id.as_str()),
            ":spec": spec, ":state": job.state.as_str(), ":held": job.held, ":cancelled_at": job.cancelled_at.map(|at| at.0),
            ":why": job.why, ":submitted_at": job.submitted_at.0, ":ended_at": job.ended_at.map(|at| at.0),
        },
    )?;
    let id = conn.last_insert_rowid().unsigned_abs();
    Ok(Job {
        id: JobId(id),
        ..job.clone()
    })
}

fn get(conn: &Connection, id: JobId) -> Result<Option<Job>, StoreError> {
    let Ok(id) = i64::try_from(id.0) else {
        return Ok(None);
    };
    let sql = format!("SELECT {COLUMNS} FROM jobs WHERE id = :id");
    let found = rows(conn, &sql, &[(":id", id.into())], read)?;
    Ok(found.into_iter().next())
}

fn wish(conn: &Connection, id: JobId, wish: JobWish) -> Result<Job, StoreError> {
    let (held, cancelled_at) = match wish {
        JobWish::Hold => (Some(true), None),
        JobWish::Release => (Some(false), None),
        JobWish::Cancel(Micros(at)) => (None, Some(at)),
    };
    let sql = format!(
        "UPDATE jobs SET held = ifnull(:held, held), cancelled_at = ifnull(cancelled_at, :cancelled_at)
         WHERE id = :id AND {OPEN}"
    );
    execute(
        conn,
        ("write a job", &sql),
        named_params! { ":held": held, ":cancelled_at": cancelled_at, ":id": bound(id) },
    )?;
    get(conn, id)?.ok_or_else(|| absent(id))
}

/// See [`JobBook::term_hold`].
fn hold(
    conn: &Connection,
    gateway: &GatewayId,
    (Micros(at), Micros(until)): (Micros, Micros),
) -> Result<Option<JobTerm>, StoreError> {
    let sql = "UPDATE job_term SET term = term + (gateway IS NOT :gateway OR until_at <= :at), gateway = :gateway, until_at = :until
         WHERE gateway IS NULL OR gateway = :gateway OR until_at <= :at RETURNING term";
    let failed = |e: rusqlite::Error| medium("hold the term", &e);
    let mut statement = conn.prepare_cached(sql).map_err(failed)?;
    let params = named_params! { ":gateway": gateway.as_str(), ":at": at, ":until": until };
    let term: Option<i64> = statement
        .query_row(params, |row| row.get(0))
        .optional()
        .map_err(failed)?;
    Ok(term.map(|term| JobTerm(term.unsigned_abs())))
}

/// All that may be refused is looked at first: what follows is written whole or fails with the medium, and the batch with it.
fn change(conn: &Connection, term: JobTerm, change: &JobsChange) -> Result<(), StoreError> {
    let failed = |e: rusqlite::Error| medium("write jobs", &e);
    let change = ChangeRows::new(change)?;
    let sql = "SELECT term FROM job_term";
    let last = rows(conn, sql, &[], |columns| columns.number::<u64>())?;
    if last != [term.0] {
        return Err(superseded(last.first().copied().unwrap_or(0)));
    }
    let mut there = conn
        .prepare_cached("SELECT 1 FROM jobs WHERE id = ?1")
        .map_err(failed)?;
    for id in change.job_ids() {
        if !there.exists([id]).map_err(failed)? {
            return Err(absent(id));
        }
    }
    let mut job_update = conn
        .prepare_cached("UPDATE jobs SET state = ?2, why = ?3, ended_at = ?4 WHERE id = ?1")
        .map_err(failed)?;
    for (id, job) in &change.jobs {
        let ended_at = job.ended_at.map(|at| at.0);
        job_update
            .execute(params![id, job.state.as_str(), job.why, ended_at])
            .map_err(failed)?;
    }
    let mut run_put = conn
        .prepare_cached(
            "INSERT INTO job_runs (job, task, number, record, used_at, used_ms, untold) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (job, task, number) DO UPDATE
             SET record = excluded.record, used_at = excluded.used_at, used_ms = excluded.used_ms, untold = excluded.untold",
        )
        .map_err(failed)?;
    for (RunKey { job, task, number }, row) in &change.runs {
        run_put
            .execute(params![
                job,
                task,
                number,
                row.record,
                row.used_at,
                row.used_ms,
                row.untold
            ])
            .map_err(failed)?;
    }
    Ok(())
}

fn list(
    conn: &Connection,
    filter: &JobFilter,
    (before, count_max): (Option<JobId>, u32),
) -> Result<Vec<Job>, StoreError> {
    let sql = list_sql(filter);
    let mut params = vec![
        (":last", last_before(before).into()),
        (
            ":count_max",
            i64::from(count_max.min(JOBS_LIST_COUNT_MAX)).into(),
        ),
    ];
    for (name, id) in words(filter) {
        if let Some(id) = id {
            params.push((name, id.to_owned().into()));
        }
    }
    rows(conn, &sql, &params, read)
}

fn words(filter: &JobFilter) -> [(&'static str, Option<&str>); 3] {
    [
        (
            ":programme",
            filter.programme.as_ref().map(|id| id.as_str()),
        ),
        (":tenant", filter.tenant.as_ref().map(|id| id.as_str())),
        (":project", filter.project.as_ref().map(|id| id.as_str())),
    ]
}

/// The statement of a list.
pub(super) fn list_sql(filter: &JobFilter) -> String {
    let mut conditions = vec!["id <= :last".to_owned()];
    for (name, id) in words(filter) {
        if id.is_some() {
            conditions.push(format!("{} = {name}", &name[1..]));
        }
    }
    conditions.extend(filter.state_condition());
    let conditions = conditions.join(" AND ");
    format!("SELECT {COLUMNS} FROM jobs WHERE {conditions} ORDER BY id DESC LIMIT :count_max")
}

fn open(conn: &Connection, after: Option<JobId>) -> Result<Vec<Job>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM jobs WHERE {OPEN} AND id > :after ORDER BY id LIMIT {LIMIT}"
    );
    let after = after.map_or(0, bound);
    rows(conn, &sql, &[(":after", after.into())], read)
}

fn open_count(conn: &Connection, tenant: &TenantId) -> Result<u64, StoreError> {
    let sql = "SELECT count FROM jobs_open_counts WHERE tenant = :tenant";
    let tenant = tenant.as_str().to_owned();
    let found = rows(conn, sql, &[(":tenant", tenant.into())], |columns| {
        columns.number::<u64>()
    });
    Ok(found?.into_iter().sum())
}

fn run_list(conn: &Connection, key: RunKey) -> Result<Vec<RunRecord>, StoreError> {
    let sql = format!(
        "SELECT record FROM job_runs WHERE job = :job AND (task, number) > (:task, :number)
         ORDER BY task, number LIMIT {LIMIT}"
    );
    let RunKey { job, task, number } = key;
    let params = [
        (":job", job.into()),
        (":task", task.into()),
        (":number", number.into()),
    ];
    rows(conn, &sql, &params, read_run)
}

/// The rest of the job in which the last page ended, where it is not over, and the jobs after it.
fn runs_open(conn: &Connection, after: Option<RunId>) -> Result<Vec<RunRecord>, StoreError> {
    let key = after.map_or(RunKey::START, RunKey::from);
    let mut found = match get(conn, JobId(key.job.unsigned_abs()))? {
        Some(job) if !job.state.is_over() => run_list(conn, key)?,
        _ => Vec::new(),
    };
    let left = LIMIT - i64::try_from(found.len()).unwrap_or(LIMIT);
    let params = [(":after", key.job.into()), (":left", left.into())];
    found.extend(rows(conn, &runs_sql(), &params, read_run)?);
    Ok(found)
}

/// The statement of the runs of jobs after one. CROSS JOIN: the few jobs that are not over come first, not the many runs.
pub(super) fn runs_sql() -> String {
    format!(
        "SELECT record FROM jobs CROSS JOIN job_runs ON job = id WHERE {OPEN} AND id > :after
         ORDER BY id, task, number LIMIT :left"
    )
}

fn runs_untold(conn: &Connection, after: Option<RunId>) -> Result<Vec<RunRecord>, StoreError> {
    let RunKey { job, task, number } = after.map_or(RunKey::START, RunKey::from);
    let params = [
        (":job", job.into()),
        (":task", task.into()),
        (":number", number.into()),
    ];
    rows(conn, &untold_sql(), &params, read_run)
}

/// The statement of runs of whose end nobody has told yet.
pub(super) fn untold_sql() -> String {
    format!(
        "SELECT record FROM job_runs WHERE untold = 1 AND (job, task, number) > (:job, :task, :number)
         ORDER BY job, task, number LIMIT {LIMIT}"
    )
}

fn used(conn: &Connection, since: Micros) -> Result<Vec<JobsUsed>, StoreError> {
    rows(conn, &used_sql(), &[(":since", since.0.into())], read_used)
}

/// The statement of what was used. A sum beyond 63 bits is no whole number any more, so it is held below.
pub(super) fn used_sql() -> String {
    format!(
        "SELECT programme, tenant, project, used_at / {USED_SPAN_US} AS span, CAST(min(total(used_ms), 9e18) AS INTEGER)
         FROM job_runs JOIN jobs ON id = job WHERE used_at >= :since
         GROUP BY programme, tenant, project, span ORDER BY span DESC, tenant, programme, project LIMIT {JOBS_USED_COUNT_MAX}"
    )
}

fn read_used(columns: &mut Columns<'_>) -> Result<JobsUsed, StoreError> {
    Ok(JobsUsed {
        programme: columns.word_opt()?,
        tenant: columns.word()?,
        project: columns.word_opt()?,
        at: middle_of(columns.get()?),
        accelerator_ms: columns.number()?,
    })
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

impl SqliteStore {
    async fn jobs_perform(&self, write: JobsWrite) -> Result<JobsWritten, StoreError> {
        match self.write(Write::Jobs(Box::new(write))).await? {
            Written::Jobs(written) => Ok(written),
            _ => Err(silent()),
        }
    }

    async fn job_perform(&self, write: JobsWrite) -> Result<Job, StoreError> {
        match self.jobs_perform(write).await? {
            JobsWritten::Job(job) => Ok(*job),
            JobsWritten::Done | JobsWritten::Term(_) => Err(silent()),
        }
    }
}

fn silent() -> StoreError {
    StoreError::Damaged("the write said nothing of jobs".into())
}

#[async_trait]
impl JobBook for SqliteStore {
    async fn job_insert(&self, job: Job) -> Result<Job, StoreError> {
        self.job_perform(JobsWrite::Insert(Box::new(job))).await
    }

    async fn job_get(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        self.lookups.read(move |conn| get(conn, id)).await
    }

    async fn job_list(
        &self,
        filter: JobFilter,
        before: Option<JobId>,
        count_max: u32,
    ) -> Result<Vec<Job>, StoreError> {
        self.reports
            .read(move |conn| list(conn, &filter, (before, count_max)))
            .await
    }

    async fn jobs_open_count(&self, tenant: TenantId) -> Result<u64, StoreError> {
        self.lookups
            .read(move |conn| open_count(conn, &tenant))
            .await
    }

    async fn jobs_open(&self, after: Option<JobId>) -> Result<Vec<Job>, StoreError> {
        self.lookups.read(move |conn| open(conn, after)).await
    }

    async fn job_wish(&self, id: JobId, wish: JobWish) -> Result<Job, StoreError> {
        self.job_perform(JobsWrite::Wish(id, wish)).await
    }

    async fn jobs_revision(&self) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    async fn term_hold(
        &self,
        gateway: GatewayId,
        at: Micros,
        until: Micros,
    ) -> Result<Option<JobTerm>, StoreError> {
        let hold = JobsWrite::Hold { gateway, at, until };
        match self.jobs_perform(hold).await? {
            JobsWritten::Term(term) => Ok(term),
            JobsWritten::Done | JobsWritten::Job(_) => Err(silent()),
        }
    }

    async fn jobs_write(&self, term: JobTerm, change: JobsChange) -> Result<(), StoreError> {
        let change = JobsWrite::Change(term, change);
        self.jobs_perform(change).await.map(drop)
    }

    async fn run_list(
        &self,
        job: JobId,
        after: Option<RunId>,
    ) -> Result<Vec<RunRecord>, StoreError> {
        let key = RunKey::of_job(job, after);
        self.lookups.read(move |conn| run_list(conn, key)).await
    }

    async fn jobs_used(&self, since: Micros) -> Result<Vec<JobsUsed>, StoreError> {
        self.reports.read(move |conn| used(conn, since)).await
    }

    async fn runs_open(&self, after: Option<RunId>) -> Result<Vec<RunRecord>, StoreError> {
        self.lookups.read(move |conn| runs_open(conn, after)).await
    }

    async fn runs_untold(&self, after: Option<RunId>) -> Result<Vec<RunRecord>, StoreError> {
        self.lookups
            .read(move |conn| runs_untold(conn, after))
            .await
    }

    async fn busy_write(
        &self,
        at: Micros,
        runs: Vec<RunBusy>,
        held: Vec<NodesHeld>,
    ) -> Result<(), StoreError> {
        let write = JobsWrite::Busy(at, runs, held);
        self.jobs_perform(write).await.map(drop)
    }

    async fn busy_of(&self, runs: Vec<RunId>) -> Result<Vec<RunBusy>, StoreError> {
        self.lookups.read(move |conn| busy::of(conn, &runs)).await
    }

    async fn busy_list(&self, filter: BusyFilter) -> Result<Vec<BusyRun>, StoreError> {
        self.reports
            .read(move |conn| busy::list(conn, &filter))
            .await
    }

    async fn nodes_held(&self, span: (Micros, Micros)) -> Result<Vec<NodesHeld>, StoreError> {
        self.reports.read(move |conn| busy::held(conn, span)).await
    }

    async fn secret_put(&self, row: SecretRow) -> Result<(), StoreError> {
        let put = JobsWrite::SecretPut(Box::new(row));
        self.jobs_perform(put).await.map(drop)
    }

    async fn secret_list(&self, tenant: TenantId) -> Result<Vec<SecretRow>, StoreError> {
        self.lookups
            .read(move |conn| secrets::list(conn, &tenant))
            .await
    }

    async fn secret_delete(&self, id: SecretId) -> Result<(), StoreError> {
        self.jobs_perform(JobsWrite::SecretDelete(id))
            .await
            .map(drop)
    }
}
