//! The report of what stood idle.

use super::report::{of_span, span};
use super::usage::{CSV, tenant_asked};
use super::{Result, programme};
use crate::caller::{Ground, May, right};
use crate::extract::Query;
use crate::params::{IdleFormat, IdleQuery};
use crate::state::Api;
use crate::views::{IdleRunView, IdleView, idle_csv, instant};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use madang_gateway::clock;
use madang_ledger::Leg;
use madang_ledger::report::{MeasuredRun, awards};
use madang_store::{BusyFilter, BusyRun};
use madang_types::RunId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most runs that are told.
const RUNS_SHOWN_MAX: usize = 1_000;

/// What of awards and accelerators stood idle in a month
///
/// Per award: what was promised, what was used, what of it stood idle as far as it was measured, and what was not used at all. Beside
/// them the runs that were little used. A run counts for the month in which it was last measured; of what nobody measured nothing is said.
#[utoipa::path(get, path = "/api/v1/reports/idle", tag = "usage", params(IdleQuery),
    responses((status = 200, content((IdleView = "application/json"), (String = "text/csv")))))]
pub(crate) async fn idle_get(
    may: May<right::AllocationRead>,
    State(api): State<Arc<Api>>,
    Query(asked): Query<IdleQuery>,
) -> Result<Response> {
    let programme = programme::asked(&api, &may.ground, asked.programme).await?;
    let tenant = tenant_asked(&api, &may.ground, asked.tenant).await?;
    let (month, span) = span(asked.month, asked.offset_s)?;
    let filter = of_span(span, (programme.clone(), tenant.clone()));
    let extract = api.store().usage_extract(filter, asked.offset_s).await?;
    let legs = [extract.legs.as_slice(), &extract.job_legs].concat();
    let jobs = api.control.jobs();
    let filter = BusyFilter {
        span,
        programme: programme.clone(),
        tenant: tenant.clone(),
    };
    let rows = jobs.book().busy_list(filter).await?;
    let paid = jobs.paid(rows.iter().map(|row| row.busy.run)).await?;
    // After the rest: whatever it names is there by now.
    let allocations = api.bank().allocation_list((programme, tenant)).await?;
    let measured: Vec<MeasuredRun<'_>> = rows
        .iter()
        .map(|row| MeasuredRun {
            busy: &row.busy,
            legs: legs_of(&paid, row.busy.run),
        })
        .collect();
    let awards = awards(&allocations, span, &legs, &measured);
    if asked.format == IdleFormat::Csv {
        return Ok(([(header::CONTENT_TYPE, CSV)], idle_csv(&awards)).into_response());
    }
    let machines = match may.ground {
        Ground::All => {
            let held = jobs.book().nodes_held(span).await?;
            Some(held.into_iter().map(Into::into).collect())
        }
        Ground::Programme(_) | Ground::Tenant(_) => None,
    };
    let bounds = (asked.below_permille, asked.after_s);
    let (runs, runs_left_out) = little_used(&rows, &paid, bounds);
    Ok(Json(IdleView {
        month: month.to_string(),
        offset_s: asked.offset_s,
        made_at: instant(clock::now()),
        below_permille: asked.below_permille,
        awards: awards.into_iter().map(Into::into).collect(),
        runs,
        runs_left_out,
        machines,
    })
    .into_response())
}

fn legs_of(paid: &BTreeMap<RunId, Vec<Leg>>, run: RunId) -> &[Leg] {
    paid.get(&run).map_or(&[], Vec::as_slice)
}

/// Those that were less busy than so many thousandths, and were measured for so many seconds; and how many more there are.
fn little_used(
    rows: &[BusyRun],
    paid: &BTreeMap<RunId, Vec<Leg>>,
    (below_permille, after_s): (u32, u32),
) -> (Vec<IdleRunView>, u64) {
    let mut left_out = 0;
    let mut runs = Vec::new();
    for row in rows {
        let busy = &row.busy;
        let long = busy.measured_at.since_us(busy.began_at) >= u64::from(after_s) * 1_000_000;
        let little = busy
            .busy_permille()
            .filter(|permille| long && *permille < below_permille);
        match little {
            Some(permille) if runs.len() < RUNS_SHOWN_MAX => {
                let legs = legs_of(paid, busy.run);
                runs.push(IdleRunView::of(row, permille, legs));
            }
            Some(_) => left_out += 1,
            None => {}
        }
    }
    (runs, left_out)
}
