//! Usage records as rows.

use super::convert::{Columns, count, count_opt, medium, rows};
use crate::day::day_text;
use crate::{StoreError, USAGE_LIST_COUNT_MAX, UsageFilter, UsageGroup, UsageSum};
use madang_types::{
    MicroWon, Micros, MilliJoules, Outcome, RequestId, TokenUse, Tokens, UsageRecord,
};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params};

const COLUMNS: &str = "id, arrived_at, tenant, project, key, endpoint, model, site, replica, outcome, status, error, streamed, \
    attempts, data_class, priority, uncached_tokens, cached_tokens, output_tokens, tokens_estimated, bytes_in, \
    bytes_out, queued_us, first_token_us, per_token_us, total_us, cost_micro_won, energy_mj, decision";

/// In the order of [`COLUMNS`]: by number, since names would be looked up for each row.
const INSERT: &str = "INSERT INTO usage (id, arrived_at, tenant, project, key, endpoint, model, site, replica, outcome, status, \
    error, streamed, attempts, data_class, priority, uncached_tokens, cached_tokens, output_tokens, tokens_estimated, \
    bytes_in, bytes_out, queued_us, first_token_us, per_token_us, total_us, cost_micro_won, energy_mj, decision) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, \
    ?24, ?25, ?26, ?27, ?28, ?29) ON CONFLICT (id) DO NOTHING";

/// Writes one record and says whether it is new; the first of an id stays.
pub(super) fn append(conn: &Connection, record: &UsageRecord) -> Result<bool, StoreError> {
    // Without `..`: a new field must be given its column before this builds.
    let UsageRecord {
        id,
        arrived_at: Micros(arrived_at),
        tenant,
        project,
        key,
        endpoint,
        model,
        site,
        replica,
        outcome,
        status,
        error,
        streamed,
        attempts,
        data_class,
        priority,
        tokens:
            TokenUse {
                uncached: Tokens(uncached),
                cached: Tokens(cached),
                output: Tokens(output),
                estimated,
            },
        bytes_in,
        bytes_out,
        queued_us,
        first_token_us,
        per_token_us,
        total_us,
        cost,
        energy,
        decision,
    } = record;
    let failed = |e: rusqlite::Error| medium("write a usage record", &e);
    let mut insert = conn.prepare_cached(INSERT).map_err(failed)?;
    insert
        .execute(params![
            id.0.to_be_bytes(),
            arrived_at,
            tenant.as_str(),
            project.as_ref().map(|id| id.as_str()),
            key.as_str(),
            endpoint.as_str(),
            model.as_ref().map(|id| id.as_str()),
            site.as_ref().map(|id| id.as_str()),
            replica.as_ref().map(|id| id.as_str()),
            outcome.as_str(),
            status,
            error.map(|code| code.as_str()),
            streamed,
            attempts,
            data_class.as_str(),
            priority.as_str(),
            count("uncached_tokens", *uncached)?,
            count("cached_tokens", *cached)?,
            count("output_tokens", *output)?,
            estimated,
            count("bytes_in", *bytes_in)?,
            count("bytes_out", *bytes_out)?,
            count("queued_us", *queued_us)?,
            count_opt("first_token_us", *first_token_us)?,
            count_opt("per_token_us", *per_token_us)?,
            count("total_us", *total_us)?,
            cost.map(|MicroWon(cost)| cost),
            energy.map(|MilliJoules(energy)| energy),
            decision,
        ])
        .map(|rows| rows == 1)
        .map_err(failed)
}

/// One record.
pub(super) fn get(conn: &Connection, id: RequestId) -> Result<Option<UsageRecord>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM usage WHERE id = :id");
    let found = rows(
        conn,
        &sql,
        &[(":id", id.0.to_be_bytes().to_vec().into())],
        read,
    )?;
    Ok(found.into_iter().next())
}

/// Records, newest first.
pub(super) fn list(
    conn: &Connection,
    filter: &UsageFilter,
    before: Option<RequestId>,
    count_max: u32,
) -> Result<Vec<UsageRecord>, StoreError> {
    let mut clause = Clause::new(filter);
    if let Some(before) = before {
        clause
            .conditions
            .push("(arrived_at, id) < (:before_at, :before_id)");
        clause.bind(":before_at", arrived_at(conn, before)?);
        clause.bind(":before_id", before.0.to_be_bytes().to_vec());
    }
    clause.bind(":count_max", i64::from(count_max.min(USAGE_LIST_COUNT_MAX)));
    let sql = format!(
        "SELECT {COLUMNS} FROM usage {} ORDER BY arrived_at DESC, id DESC LIMIT :count_max",
        clause.text()
    );
    rows(conn, &sql, &clause.params, read)
}

fn arrived_at(conn: &Connection, id: RequestId) -> Result<i64, StoreError> {
    conn.query_row(
        "SELECT arrived_at FROM usage WHERE id = ?1",
        [id.0.to_be_bytes()],
        |row| row.get(0),
    )
    .optional()
    .map_err(|e| medium("find the page", &e))?
    .ok_or_else(|| StoreError::Absent(format!("the usage record {id}")))
}

/// Sums. Each is taken in two halves, so that no sum of counts that fit can fail.
pub(super) fn sum(
    conn: &Connection,
    filter: &UsageFilter,
    group: UsageGroup,
) -> Result<Vec<UsageSum>, StoreError> {
    let mut clause = Clause::new(filter);
    clause.bind(":finished", Outcome::Finished.as_str().to_owned());
    let (key, by) = match group {
        UsageGroup::All => ("''", ""),
        UsageGroup::Model => ("ifnull(model, '-')", "GROUP BY 1"),
        UsageGroup::Tenant => ("tenant", "GROUP BY 1"),
        UsageGroup::Project => ("tenant || '/' || ifnull(project, '-')", "GROUP BY 1"),
        UsageGroup::TenantModel => ("tenant || '/' || ifnull(model, '-')", "GROUP BY 1"),
        UsageGroup::Day { offset_s } => {
            clause.bind(":offset_s", i64::from(offset_s));
            ("day", "GROUP BY 1")
        }
    };
    // SQLite's division cuts toward zero and a day begins at its floor, before 1970 too.
    let from = match group {
        UsageGroup::Day { .. } => {
            "(SELECT *, s / 86400 - (s % 86400 < 0) AS day FROM \
             (SELECT *, arrived_at / 1000000 - (arrived_at % 1000000 < 0) + :offset_s AS s FROM usage))"
        }
        _ => "usage",
    };
    let halves = [
        "uncached_tokens",
        "cached_tokens",
        "output_tokens",
        "bytes_in",
        "bytes_out",
    ]
    .map(|column| format!("ifnull(sum({column} >> 32), 0), ifnull(sum({column} & 4294967295), 0)"))
    .join(", ");
    let sql = format!(
        "SELECT {key}, count(*), count(*) FILTER (WHERE outcome = :finished), \
         count(*) FILTER (WHERE tokens_estimated), {halves} FROM {from} {} {by} ORDER BY 1",
        clause.text()
    );
    let mut sums = rows(conn, &sql, &clause.params, |columns| {
        let group = match group {
            UsageGroup::Day { .. } => day_text(columns.get()?),
            _ => columns.get()?,
        };
        read_sum(group, columns)
    })?;
    // By text for days too: years beyond four digits do not sort as numbers do.
    sums.sort_by(|a, b| a.group.cmp(&b.group));
    Ok(sums)
}

fn read_sum(group: String, columns: &mut Columns<'_>) -> Result<UsageSum, StoreError> {
    let requests = columns.number()?;
    let finished = columns.number()?;
    let estimated = columns.number()?;
    let mut whole = || -> Result<u64, StoreError> {
        let (high, low): (u64, u64) = (columns.number()?, columns.number()?);
        let whole = (u128::from(high) << 32) + u128::from(low);
        Ok(u64::try_from(whole).unwrap_or(u64::MAX))
    };
    Ok(UsageSum {
        group,
        requests,
        finished,
        uncached_tokens: whole()?,
        cached_tokens: whole()?,
        output_tokens: whole()?,
        estimated,
        bytes_in: whole()?,
        bytes_out: whole()?,
    })
}

/// The WHERE of a filter: only the conditions that are asked for, so that the planner can take their index.
pub(super) struct Clause {
    conditions: Vec<&'static str>,
    pub(super) params: Vec<(&'static str, Value)>,
}

impl Clause {
    pub(super) fn new(filter: &UsageFilter) -> Self {
        let UsageFilter {
            programme,
            tenant,
            project,
            model,
            from,
            until,
        } = filter;
        let mut clause = Self {
            conditions: Vec::new(),
            params: Vec::new(),
        };
        let mut add = |condition, name, value: Option<Value>| {
            if let Some(value) = value {
                clause.conditions.push(condition);
                clause.params.push((name, value));
            }
        };
        add(
            "tenant IN (SELECT id FROM tenants WHERE programme = :programme)",
            ":programme",
            programme.as_ref().map(|id| id.as_str().to_owned().into()),
        );
        add(
            "project = :project",
            ":project",
            project.as_ref().map(|id| id.as_str().to_owned().into()),
        );
        add(
            "tenant = :tenant",
            ":tenant",
            tenant.as_ref().map(|id| id.as_str().to_owned().into()),
        );
        add(
            "model = :model",
            ":model",
            model.as_ref().map(|id| id.as_str().to_owned().into()),
        );
        add("arrived_at >= :from", ":from", from.map(|at| at.0.into()));
        add("arrived_at < :until", ":until", until.map(|at| at.0.into()));
        clause
    }

    pub(super) fn bind(&mut self, name: &'static str, value: impl Into<Value>) {
        self.params.push((name, value.into()));
    }

    pub(super) fn text(&self) -> String {
        if self.conditions.is_empty() {
            return String::new();
        }
        format!("WHERE {}", self.conditions.join(" AND "))
    }
}

fn read(columns: &mut Columns<'_>) -> Result<UsageRecord, StoreError> {
    Ok(UsageRecord {
        id: RequestId(u128::from_be_bytes(columns.get()?)),
        arrived_at: Micros(columns.get()?),
        tenant: columns.word()?,
        project: columns.word_opt()?,
        key: columns.word()?,
        endpoint: columns.word()?,
        model: columns.word_opt()?,
        site: columns.word_opt()?,
        replica: columns.word_opt()?,
        outcome: columns.word()?,
        status: columns.number()?,
        error: columns.word_opt()?,
        streamed: columns.get()?,
        attempts: columns.number()?,
        data_class: columns.word()?,
        priority: columns.word()?,
        tokens: TokenUse {
            uncached: Tokens(columns.number()?),
            cached: Tokens(columns.number()?),
            output: Tokens(columns.number()?),
            estimated: columns.get()?,
        },
        bytes_in: columns.number()?,
        bytes_out: columns.number()?,
        queued_us: columns.number()?,
        first_token_us: columns.number_opt()?,
        per_token_us: columns.number_opt()?,
        total_us: columns.number()?,
        cost: columns.get::<Option<i64>>()?.map(MicroWon),
        energy: columns.get::<Option<i64>>()?.map(MilliJoules),
        decision: columns.get()?,
    })
}
