//! Reports: of programmes, and what things cost.

use super::usage::{CSV, tenant_asked};
use super::{Result, programme};
use crate::caller::{May, right};
use crate::extract::{PathId, Query};
use crate::params::{CostQuery, ReportFormat, ReportQuery};
use crate::refusal::Refusal;
use crate::state::Api;
use crate::views::{About, ReportView, costs_csv, report_csv, report_html};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, header};
use madang_audit::Month;
use madang_gateway::clock;
use madang_ledger::report::{Scope, cells, reconciled, report};
use madang_store::UsageFilter;
use madang_types::{ErrorCode, Micros, ProgrammeId, TenantId};
use std::sync::Arc;

/// Whether records and ledger say the same.
const RECONCILED: HeaderName = HeaderName::from_static("x-madang-reconciled");

/// What a programme promised and delivered in a month
///
/// The header `x-madang-reconciled` says whether the ledger's entries sum to what the records of requests do: `true` or `false`.
#[utoipa::path(get, path = "/api/v1/programmes/{id}/report", tag = "usage",
    params(("id" = String, Path, description = "The programme"), ReportQuery),
    responses((status = 200,
        content((ReportView = "application/json"), (String = "text/csv"), (String = "text/html")))))]
pub(crate) async fn report_get(
    may: May<right::ProgrammeRead>,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
    Query(asked): Query<ReportQuery>,
) -> Result<Response> {
    let ReportQuery {
        month,
        offset_s,
        format,
        lang,
    } = asked;
    let found = programme::find(&api, &may.ground, &id).await?;
    let about = about(found.id, (month, offset_s))?;
    let filter = of_span(about.span, (Some(about.programme.clone()), None));
    let extract = api.store().usage_extract(filter, offset_s).await?;
    // After the extract: whatever it names is there by now.
    let allocations = api.bank().allocation_list((None, None)).await?;
    let budgets = api.bank().budget_list().await?;
    let scope = Scope {
        programme: &about.programme,
        span: about.span,
        budgets: &budgets,
        allocations: &allocations,
    };
    let report = report(&scope, &extract);
    let agrees = report.reconciliation.agrees();
    Ok(match format {
        ReportFormat::Json => told(agrees, Json(ReportView::of(&about, report))),
        ReportFormat::Csv => {
            let csv = [(header::CONTENT_TYPE, CSV)];
            told(agrees, (csv, report_csv(&about, &report)))
        }
        ReportFormat::Html => {
            let html = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
            told(agrees, (html, report_html(&about, &report, lang)))
        }
    })
}

/// What things cost in a month, under the column names of FOCUS
///
/// One row for each tenant, model, site and day. The header `x-madang-reconciled` is that of the report.
#[utoipa::path(get, path = "/api/v1/costs", tag = "usage", params(CostQuery),
    responses((status = 200, content((String = "text/csv")))))]
pub(crate) async fn cost_list(
    may: May<right::UsageRead>,
    State(api): State<Arc<Api>>,
    Query(asked): Query<CostQuery>,
) -> Result<Response> {
    let CostQuery {
        month,
        offset_s,
        programme,
        tenant,
    } = asked;
    let programme = programme::asked(&api, &may.ground, programme).await?;
    let tenant = tenant_asked(&api, &may.ground, tenant).await?;
    let (_, span) = span(month, offset_s)?;
    let filter = of_span(span, (programme, tenant));
    let extract = api.store().usage_extract(filter, offset_s).await?;
    let allocations = api.bank().allocation_list((None, None)).await?;
    let agrees = reconciled(&extract, &allocations).agrees();
    let programme_of = |tenant: &TenantId| api.gateway().keyring.programme_of(tenant);
    let table = costs_csv(&cells(&extract.rows), (span, offset_s), programme_of);
    Ok(told(agrees, ([(header::CONTENT_TYPE, CSV)], table)))
}

fn told(agrees: bool, answer: impl IntoResponse) -> Response {
    let word = if agrees { "true" } else { "false" };
    ([(RECONCILED, word)], answer).into_response()
}

fn about(programme: ProgrammeId, (month, offset_s): (Option<Month>, i32)) -> Result<About> {
    let (month, span) = span(month, offset_s)?;
    Ok(About {
        programme,
        month: month.to_string(),
        offset_s,
        span,
        made_at: clock::now(),
    })
}

/// The month, the running one where none is named, and its ends. One that has not begun has nothing to tell.
pub(super) fn span(month: Option<Month>, offset_s: i32) -> Result<(Month, (Micros, Micros))> {
    let now = clock::now();
    let invalid = |message: String| Refusal::new(ErrorCode::FieldInvalid, message).at("month");
    let ended = |error: madang_audit::AuditError| invalid(error.to_string());
    let running = Month::of(now, offset_s).map_err(ended)?;
    let month = month.unwrap_or(running);
    if month > running {
        return Err(invalid(format!(
            "the month {month} has not begun: the running one is {running}"
        )));
    }
    Ok((month, month.span(offset_s).map_err(ended)?))
}

pub(super) fn of_span(
    (from, until): (Micros, Micros),
    (programme, tenant): (Option<ProgrammeId>, Option<TenantId>),
) -> UsageFilter {
    UsageFilter {
        programme,
        tenant,
        from: Some(from),
        until: Some(until),
        ..UsageFilter::default()
    }
}
