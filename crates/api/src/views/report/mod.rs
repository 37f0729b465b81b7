//! Reports of programmes: as JSON, as tables, as a page.

mod chart;
mod costs;
mod html;
mod text;
mod words;

pub(crate) use costs::costs_csv;
pub(crate) use html::html as report_html;

use super::csv::{csv, text_cell};
use super::instant;
use super::money::class_names;
use super::usage::won;
use madang_ledger::report::{
    Cell, Compared, Concentration, Delivered, Difference, Line, Reconciliation, Report, Sums,
};
use madang_store::day::day_text;
use madang_types::{Micros, MilliJoules, ProgrammeId};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What a report is about.
#[derive(Clone, Debug)]
pub(crate) struct About {
    /// Whose.
    pub programme: ProgrammeId,
    /// The month, as `2026-11`.
    pub month: String,
    /// Where its days begin, in seconds east of UTC.
    pub offset_s: i32,
    /// Its first instant, and the first after it.
    pub span: (Micros, Micros),
    /// When the books were read.
    pub made_at: Micros,
}

impl About {
    /// Whether the month was over when the books were read.
    fn is_complete(&self) -> bool {
        self.span.1 <= self.made_at
    }
}

/// What a programme promised and delivered in a month.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReportView {
    /// The programme.
    programme: String,
    /// The civil month, as `2026-11`.
    month: String,
    /// Where its days begin: seconds east of UTC.
    offset_s: i32,
    /// Its first instant.
    #[schema(format = DateTime)]
    from: String,
    /// The first instant after it.
    #[schema(format = DateTime)]
    until: String,
    /// When the books were read.
    #[schema(format = DateTime)]
    made_at: String,
    /// Whether the month was over then.
    complete: bool,
    /// Promised and delivered, by unit and class.
    units: Vec<LineView>,
    /// All that was delivered to the programme's tenants.
    total: DeliveredView,
    /// By tenant.
    by_tenant: Vec<GroupView>,
    /// By model.
    by_model: Vec<GroupView>,
    /// By site or upstream.
    by_site: Vec<GroupView>,
    /// By civil day, as `2026-11-21`.
    by_day: Vec<GroupView>,
    /// By tenant, model, site and day, as in the CSV.
    rows: Vec<RowView>,
    /// How tokens are spread over tenants; null where there are none.
    tokens_among: Option<ConcentrationView>,
    /// Whether the ledger says the same.
    reconciliation: ReconciliationView,
}

/// Promised and delivered in one unit, perhaps for one class of models or one kind of accelerator. Amounts are in that unit.
#[derive(Debug, Serialize, ToSchema)]
struct LineView {
    /// `micro_won`, `tokens` or `accelerator_ms`.
    #[schema(value_type = String)]
    unit: &'static str,
    /// What is for models of this class alone; null for the rest.
    model_class: Option<String>,
    /// What is for accelerators of this kind alone; null for the rest.
    accelerator: Option<String>,
    /// What the programme has to allocate in all; null where it has no budget in it.
    budget: Option<i64>,
    /// The most of it that one tenant may be granted, in thousandths.
    concentration_permille_max: Option<u32>,
    /// Allocations that were in force in the month, whole.
    granted: i64,
    /// The parts of them that fall into the month.
    promised: i64,
    /// What was spent of the programme's allocations.
    delivered: i64,
    /// What of that was spent by tenants that are not in the programme now.
    delivered_to_others: i64,
    /// What the programme's tenants spent of other programmes' allocations.
    delivered_by_others: i64,
    /// What the programme's tenants owe, as no allocation pays it.
    owed: i64,
    /// `promised` less `delivered`; below zero where more was spent than the month's part.
    unspent: i64,
    /// How `promised` is spread over tenants.
    promised_among: Option<ConcentrationView>,
    /// How `delivered` and `owed` are.
    delivered_among: Option<ConcentrationView>,
}

/// How an amount is spread over tenants.
#[derive(Debug, Serialize, ToSchema)]
struct ConcentrationView {
    /// Tenants that have any of it.
    tenants: usize,
    /// The one that has the most.
    largest: String,
    /// Its share, in thousandths.
    largest_permille: u32,
    /// The share of the three that have the most.
    largest_three_permille: u32,
    /// The Herfindahl-Hirschman index: 10,000 where one tenant has all.
    herfindahl: u32,
}

/// What was delivered.
#[derive(Debug, Serialize, ToSchema)]
struct DeliveredView {
    /// Requests.
    requests: u64,
    /// Requests whose answer was complete.
    finished: u64,
    /// Requests whose counts are estimates.
    estimated: u64,
    /// Prompt tokens computed.
    uncached_tokens: u64,
    /// Prompt tokens from caches.
    cached_tokens: u64,
    /// Tokens made.
    output_tokens: u64,
    /// What they cost in won, exact to a millionth.
    cost_krw: String,
    /// What of it was paid with tokens of a grant, and not in won.
    cost_in_tokens_krw: String,
    /// Requests that were served while nothing had a price or a budget.
    unmetered_requests: u64,
    /// Energy in thousandths of a joule at sites' meters, as foretold, of the requests for which it is known.
    energy_millijoules: i64,
}

/// What was delivered to one of several.
#[derive(Debug, Serialize, ToSchema)]
struct GroupView {
    /// A tenant, a model, a site or a day; null where a request names no known model, or was sent nowhere.
    name: Option<String>,
    /// What was delivered.
    delivered: DeliveredView,
}

/// What was delivered to one tenant by one model at one site on one day.
#[derive(Debug, Serialize, ToSchema)]
struct RowView {
    /// Who is billed.
    tenant: String,
    /// The model; null where none is known.
    model: Option<String>,
    /// The site or upstream; null where it was sent nowhere.
    site: Option<String>,
    /// The civil day.
    day: String,
    /// What was delivered.
    delivered: DeliveredView,
}

/// Records and ledger beside each other.
#[derive(Debug, Serialize, ToSchema)]
struct ReconciliationView {
    /// Whether nothing differs and nothing is missing.
    agrees: bool,
    /// Both sides' sums.
    totals: Vec<ComparedView>,
    /// Where they differ, the first hundred.
    differences: Vec<DifferenceView>,
    /// In how many places they differ.
    differences_count: usize,
    /// Requests that have a cost and no entry.
    missing_requests: u64,
    /// Requests that were served while nothing had a price or a budget: they have no entries.
    unmetered_requests: u64,
    /// Their tokens.
    unmetered_tokens: u64,
}

/// A unit's sums on both sides.
#[derive(Debug, Serialize, ToSchema)]
struct ComparedView {
    /// `uncached_tokens`, `cached_tokens`, `output_tokens` or `micro_won`.
    #[schema(value_type = String)]
    unit: &'static str,
    /// What the records of requests say.
    records: i64,
    /// What the ledger's entries say.
    ledger: i64,
}

/// Where the sides differ.
#[derive(Debug, Serialize, ToSchema)]
struct DifferenceView {
    /// Whose.
    tenant: String,
    /// Where.
    site: Option<String>,
    /// The sums.
    sums: ComparedView,
}

impl ReportView {
    pub fn of(about: &About, report: Report) -> Self {
        let Report {
            lines,
            total,
            by_tenant,
            by_model,
            by_site,
            by_day,
            rows,
            tokens_among,
            reconciliation,
        } = report;
        let About {
            programme,
            month,
            offset_s,
            span: (from, until),
            made_at,
        } = about;
        Self {
            programme: programme.to_string(),
            month: month.clone(),
            offset_s: *offset_s,
            from: instant(*from),
            until: instant(*until),
            made_at: instant(*made_at),
            complete: about.is_complete(),
            units: lines.into_iter().map(Into::into).collect(),
            total: total.into(),
            by_tenant: groups(by_tenant, |tenant| Some(tenant.to_string())),
            by_model: groups(by_model, |model| model.map(|id| id.to_string())),
            by_site: groups(by_site, |site| site.map(|id| id.to_string())),
            by_day: groups(by_day, |day| Some(day_text(day))),
            rows: rows.into_iter().map(Into::into).collect(),
            tokens_among: tokens_among.map(Into::into),
            reconciliation: reconciliation.into(),
        }
    }
}

fn groups<K>(groups: BTreeMap<K, Delivered>, name: impl Fn(K) -> Option<String>) -> Vec<GroupView> {
    let views = groups.into_iter().map(|(key, delivered)| GroupView {
        name: name(key),
        delivered: delivered.into(),
    });
    views.collect()
}

impl From<(Cell, Delivered)> for RowView {
    fn from((cell, delivered): (Cell, Delivered)) -> Self {
        let Cell {
            tenant,
            model,
            site,
            day,
        } = cell;
        Self {
            tenant: tenant.to_string(),
            model: model.map(|id| id.to_string()),
            site: site.map(|id| id.to_string()),
            day: day_text(day),
            delivered: delivered.into(),
        }
    }
}

impl From<Line> for LineView {
    fn from(line: Line) -> Self {
        let Line {
            unit,
            class,
            budget,
            concentration_permille_max,
            granted,
            promised,
            delivered,
            delivered_to_others,
            delivered_by_others,
            owed,
            unspent,
            promised_among,
            delivered_among,
        } = line;
        let (model_class, accelerator) = class_names(unit, class);
        Self {
            unit: unit.as_str(),
            model_class,
            accelerator,
            budget,
            concentration_permille_max,
            granted,
            promised,
            delivered,
            delivered_to_others,
            delivered_by_others,
            owed,
            unspent,
            promised_among: promised_among.map(Into::into),
            delivered_among: delivered_among.map(Into::into),
        }
    }
}

impl From<Concentration> for ConcentrationView {
    fn from(concentration: Concentration) -> Self {
        let Concentration {
            tenants,
            largest,
            largest_permille,
            largest_three_permille,
            herfindahl,
        } = concentration;
        Self {
            tenants,
            largest: largest.to_string(),
            largest_permille,
            largest_three_permille,
            herfindahl,
        }
    }
}

impl From<Delivered> for DeliveredView {
    fn from(delivered: Delivered) -> Self {
        let Delivered {
            sums:
                Sums {
                    requests,
                    finished,
                    estimated,
                    uncached_tokens,
                    cached_tokens,
                    output_tokens,
                    cost,
                    energy: MilliJoules(energy_millijoules),
                },
            cost_in_tokens,
            unmetered_requests,
        } = delivered;
        Self {
            requests,
            finished,
            estimated,
            uncached_tokens,
            cached_tokens,
            output_tokens,
            cost_krw: won(cost),
            cost_in_tokens_krw: won(cost_in_tokens),
            unmetered_requests,
            energy_millijoules,
        }
    }
}

impl From<Reconciliation> for ReconciliationView {
    fn from(reconciliation: Reconciliation) -> Self {
        let agrees = reconciliation.agrees();
        let Reconciliation {
            totals,
            differences,
            differences_count,
            missing_requests,
            unmetered_requests,
            unmetered_tokens,
        } = reconciliation;
        Self {
            agrees,
            totals: totals.into_iter().map(Into::into).collect(),
            differences: differences.into_iter().map(Into::into).collect(),
            differences_count,
            missing_requests,
            unmetered_requests,
            unmetered_tokens,
        }
    }
}

impl From<Compared> for ComparedView {
    fn from(compared: Compared) -> Self {
        let Compared {
            unit,
            records,
            ledger,
        } = compared;
        Self {
            unit: unit.as_str(),
            records,
            ledger,
        }
    }
}

impl From<Difference> for DifferenceView {
    fn from(difference: Difference) -> Self {
        let Difference { tenant, site, sums } = difference;
        Self {
            tenant: tenant.to_string(),
            site: site.map(|id| id.to_string()),
            sums: sums.into(),
        }
    }
}

/// The finest rows as a table.
pub(crate) fn report_csv(about: &About, report: &Report) -> String {
    let names = [
        "programme",
        "month",
        "tenant",
        "model",
        "site",
        "day",
        "requests",
        "finished",
        "estimated",
        "uncached_tokens",
        "cached_tokens",
        "output_tokens",
        "cost_krw",
        "cost_in_tokens_krw",
        "unmetered_requests",
        "energy_millijoules",
    ];
    let rows = report.rows.iter().map(|(cell, delivered)| {
        let RowView {
            tenant,
            model,
            site,
            day,
            delivered,
        } = (cell.clone(), *delivered).into();
        let [model, site] = [model, site].map(|name| text_cell(&name.unwrap_or_default()));
        vec![
            text_cell(about.programme.as_str()),
            about.month.clone(),
            text_cell(&tenant),
            model,
            site,
            day,
            delivered.requests.to_string(),
            delivered.finished.to_string(),
            delivered.estimated.to_string(),
            delivered.uncached_tokens.to_string(),
            delivered.cached_tokens.to_string(),
            delivered.output_tokens.to_string(),
            delivered.cost_krw,
            delivered.cost_in_tokens_krw,
            delivered.unmetered_requests.to_string(),
            delivered.energy_millijoules.to_string(),
        ]
    });
    csv(&names, rows)
}
