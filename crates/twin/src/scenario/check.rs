//! From the scenario as written to one whose references all resolve. Every problem is said at once.

mod demand;
mod failures;
mod jobs;
mod parts;
mod place;
mod power;
mod tenants;

use super::Files;
use super::model::{EngineGroup, Scenario, ServedModel, Slo};
use super::raw::{RawEngine, RawLimits, RawModel, RawRules, RawScenario, RawSlo, Rows, Text};
use crate::world::Fleet;
use madang_catalog::Catalog;
use madang_core::{CoreLimits, Rules};
use madang_fleet::text::{At, Report, Shaped, brief, nearest};
use madang_ledger::TokenRates;
use madang_types::{Country, MicroWon, ModelId, NameError};
use std::collections::BTreeSet;
use std::ops::Range;

/// Rows of one table.
const ROWS_MAX: usize = 10_000;
/// How far forecasts err where nobody says: standard deviation beside the value.
const FORECAST_ERROR: f64 = 0.2;
/// Lines of the report: sites × models × tenants × hours.
const REPORT_LINES_MAX: u64 = 500_000;

/// What the checks share.
struct Check<'c, 's> {
    report: &'c mut Report<'s>,
    files: &'c Files,
    /// Chips and models, read once for all engines: what ships, a part of the program that a test of its own reads.
    catalog: Catalog,
    /// Tables of which something was taken out: what is absent there proves nothing.
    lost: BTreeSet<String>,
    hours: u32,
    /// Gateways that share the load.
    cells: u32,
    start: jiff::civil::Date,
}

/// Names of one table's rows, in their order.
struct Names(Vec<String>);

impl Names {
    fn position(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|known| known == name)
    }
}

/// Builds the scenario; `None` where something without which it cannot be built is missing, which has been said.
pub(super) fn build(
    shaped: Shaped<RawScenario>,
    files: &Files,
    report: &mut Report<'_>,
) -> Option<Scenario> {
    let Shaped { raw, lost, .. } = shaped;
    let run = raw.run?.value;
    let mut check = Check {
        report,
        files,
        catalog: Catalog::shipped().ok()?,
        lost,
        hours: run.hours.as_ref().map_or(1, |hours| hours.value),
        cells: run.cells.as_ref().map_or(1, |cells| cells.value),
        start: jiff::civil::Date::ZERO,
    };
    check.start = check.date(run.start.as_ref())?;
    let home = run.home.as_ref();
    let home = home.map_or_else(|| "KR".parse().ok(), |home| check.country(home));
    let slo = slo(raw.slo.as_ref().map(|slo| &slo.value));
    let span = run.hours.as_ref().map_or(0..0, |hours| hours.span.clone());
    if (raw.engine.is_none() || raw.demand.is_none()) && raw.jobs.is_none() {
        check.nothing(&span);
    }
    let site_names = check.names("site", &raw.site, |row| &row.id);
    let sites = check.sites(raw.site);
    let models = check.models(raw.model, raw.engine.as_ref(), slo);
    let known = models.iter().flatten().map(|model| model.id.to_string());
    let model_names = Names(known.collect());
    let engine_names = check.names("engine", &raw.engine, |row| &row.id);
    let engines = check.engines(raw.engine, (&site_names, &model_names), sites.as_deref());
    let failures = check.failures(raw.failure, (&engine_names, &engines));
    let (programme_weights, programmes) = check.programmes(raw.programme);
    check.names("tenant", &raw.tenant, |row| &row.id);
    let (tenants, shares) = check.tenants(raw.tenant, programmes, raw.demand.as_ref())?;
    let known = tenants.iter().map(|tenant| tenant.payer.tenant.to_string());
    let tenant_names = Names(known.collect());
    check.names("demand", &raw.demand, |row| &row.id);
    let demands = check.demands(raw.demand, (&model_names, &tenant_names, &engines));
    check.names("jobs", &raw.jobs, |row| &row.id);
    let seed = run.seed.map_or(1, |seed| seed.value);
    let (sites, models) = (sites?, models?);
    let jobs = check.jobs(raw.jobs, (&site_names, &sites), seed);
    check.names("event", &raw.event, |row| &row.id);
    let engines: Vec<EngineGroup> = engines.into_iter().flatten().collect();
    let events = check.events(raw.event, &site_names, (&engines, &jobs));
    let (governor, rise_milli_per_s) = power::terms(raw.power.map(|power| power.value));
    check.size(&span, [sites.len() + 1, models.len(), tenants.len()]);
    Some(Scenario {
        about: run.about.map(|about| about.value).unwrap_or_default(),
        start: check.start,
        hours: check.hours,
        seed,
        forecast_error: run.forecast_error.map_or(FORECAST_ERROR, |at| at.value),
        won_per_kg_co2: run.won_per_kg_co2.map_or(0.0, |at| at.value),
        cells: check.cells,
        round_trip_ns: run
            .round_trip_ms
            .map_or(500_000, |ms| (ms.value * 1e6) as u64),
        home: home?,
        sites,
        models,
        engines,
        failures,
        programme_weights,
        tenants,
        shares,
        demands,
        jobs,
        rules: rules(raw.rules.map(|rules| rules.value)),
        limits: limits(raw.limits.map(|limits| limits.value)),
        governor,
        rise_milli_per_s,
        events,
    })
}

fn rules(raw: Option<RawRules>) -> Rules {
    let Some(raw) = raw else {
        return Rules::default();
    };
    Rules {
        share: raw.share.map_or_else(Default::default, |at| at.value),
        route: raw.route.map_or_else(Default::default, |at| at.value),
    }
}

fn limits(raw: Option<RawLimits>) -> CoreLimits {
    let default = Fleet::default_limits();
    let Some(raw) = raw else { return default };
    CoreLimits {
        queue_length_max: raw
            .queue_length_max
            .map_or(default.queue_length_max, |at| at.value),
        tpot_ms_target: raw
            .tpot_ms_target
            .map_or(default.tpot_ms_target, |at| at.value),
        ttft_ms_max: raw.ttft_ms_max.map_or(default.ttft_ms_max, |at| at.value),
        ..default
    }
}

fn slo(raw: Option<&RawSlo>) -> Slo {
    let ns = |at: Option<&At<f64>>| at.map_or(u64::MAX, |ms| (ms.value * 1e6) as u64);
    Slo {
        ttft_ns: ns(raw.and_then(|raw| raw.ttft_ms.as_ref())),
        tpot_ns: ns(raw.and_then(|raw| raw.tpot_ms.as_ref())),
    }
}

/// What a million tokens cost; nothing where nothing is said.
fn rates(raw: &RawModel) -> TokenRates {
    let won = |at: &Option<At<f64>>| at.as_ref().map(|at| MicroWon((at.value * 1e6) as i64));
    let uncached = won(&raw.input_won).unwrap_or_default();
    TokenRates {
        uncached,
        cached: won(&raw.cached_won).unwrap_or(uncached),
        output: won(&raw.output_won).unwrap_or_default(),
    }
}

impl Check<'_, '_> {
    fn nothing(&mut self, span: &Range<usize>) {
        let message = "the scenario has no engine, or nobody who asks, and no jobs";
        self.report
            .error("nothing_to_serve", span, message)
            .help("add [[engine]] and [[demand]], or [[jobs]]");
    }

    /// The report's lines are bounded: sites, models and tenants, of each hour.
    fn size(&mut self, span: &Range<usize>, counts: [usize; 3]) {
        let counts = counts.map(|count| u64::try_from(count.max(1)).unwrap_or(u64::MAX));
        let lines = counts.iter().fold(u64::from(self.hours), |all, count| {
            all.saturating_mul(*count)
        });
        if lines > REPORT_LINES_MAX {
            let message = "sites × models × tenants × hours are too many to report";
            self.report
                .error("limits_conflict", span, message)
                .help(format!(
                    "they may be {REPORT_LINES_MAX} together: fewer hours, or fewer tenants"
                ));
        }
    }

    /// The names of a table's rows; those that stand twice are said.
    fn names<T>(&mut self, table: &str, rows: &Rows<T>, id: impl Fn(&T) -> &Text) -> Names {
        let mut names: Vec<String> = Vec::new();
        let rows = rows.as_ref().map(Vec::as_slice).unwrap_or_default();
        if let Some(row) = rows.get(ROWS_MAX) {
            let message = format!("[[{table}]] has more than {ROWS_MAX} rows");
            self.report
                .error("limits_conflict", &row.span, message)
                .help("put alike ones together");
        }
        for row in rows {
            let Some(id) = id(&row.value) else { continue };
            if names.contains(&id.value) {
                let message = format!("there are two of `{}` in [[{table}]]", brief(&id.value));
                self.report
                    .error("id_duplicate", &id.span, message)
                    .help("give one of them another `id`");
            }
            names.push(id.value.clone());
        }
        Names(names)
    }

    /// The place of what a text refers to.
    fn find(&mut self, text: &Text, table: &str, names: &Names) -> Option<usize> {
        let text = text.as_ref()?;
        let found = names.position(&text.value);
        if found.is_none() && !self.lost.contains(table) {
            self.unknown(&text.span, (table, &text.value), names);
        }
        found
    }

    /// One of several keys of a table is wanted: not said where a key of it was refused, which may be the one.
    fn choose(&mut self, table: &str, span: &Range<usize>, (message, help): (&str, &str)) {
        if !self.lost.contains(table) {
            self.report.error("choose_one", span, message).help(help);
        }
    }

    fn unknown(&mut self, span: &Range<usize>, (table, name): (&str, &str), names: &Names) {
        let known = names.0.iter().map(String::as_str);
        let help = match nearest(name, known.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.0.is_empty() => format!("there is no [[{table}]]"),
            None => format!("known: {}", known.take(20).collect::<Vec<_>>().join(", ")),
        };
        let message = format!("there is no {table} `{}`", brief(name));
        self.report
            .error("reference_unknown", span, message)
            .help(help);
    }

    /// A name of ours; what is wrong with it is said.
    fn name<T>(&mut self, text: &At<String>, new: fn(&str) -> Result<T, NameError>) -> Option<T> {
        match new(&text.value) {
            Ok(name) => Some(name),
            Err(error) => {
                let message = format!("`{}` is no name", brief(&text.value));
                self.report
                    .error("name_invalid", &text.span, message)
                    .help(error.to_string());
                None
            }
        }
    }

    fn date(&mut self, text: Option<&At<String>>) -> Option<jiff::civil::Date> {
        let text = text?;
        match text.value.parse() {
            Ok(date) => Some(date),
            Err(_) => {
                let message = format!("`{}` is no day", brief(&text.value));
                self.report
                    .error("date_invalid", &text.span, message)
                    .help("write it as 2026-07-15");
                None
            }
        }
    }

    fn country(&mut self, text: &At<String>) -> Option<Country> {
        match text.value.parse() {
            Ok(country) => Some(country),
            Err(_) => {
                let message = format!("`{}` is no country", brief(&text.value));
                self.report
                    .error("country_invalid", &text.span, message)
                    .help("two capital letters, such as KR");
                None
            }
        }
    }

    /// A file that cannot be used.
    fn bad_file(&mut self, text: &At<String>, error: impl std::fmt::Display) {
        let message = format!("`{}` cannot be used: {error}", brief(&text.value));
        let built_in: Vec<&str> = Files::built_in().collect();
        self.report
            .error("path_invalid", &text.span, message)
            .help(format!(
                "paths begin at the scenario's folder; built in are {}",
                built_in.join(", ")
            ));
    }

    /// Models that are named, and those that engines serve without a row of their own.
    fn models(
        &mut self,
        rows: Rows<RawModel>,
        engines: Option<&Vec<At<RawEngine>>>,
        slo: Slo,
    ) -> Option<Vec<ServedModel>> {
        self.names("model", &rows, |row| &row.id);
        let mut models: Vec<ServedModel> = Vec::new();
        for row in rows.into_iter().flatten() {
            let rates = rates(&row.value);
            let own = self::slo(Some(&RawSlo {
                ttft_ms: row.value.ttft_ms,
                tpot_ms: row.value.tpot_ms,
            }));
            let id = self.name(row.value.id.as_ref()?, ModelId::new)?;
            let or = |own, common| if own == u64::MAX { common } else { own };
            models.push(ServedModel {
                id,
                slo: Slo {
                    ttft_ns: or(own.ttft_ns, slo.ttft_ns),
                    tpot_ns: or(own.tpot_ns, slo.tpot_ns),
                },
                rates,
            });
        }
        for engine in engines.into_iter().flatten() {
            let Some(name) = &engine.value.model else {
                continue;
            };
            if models.iter().all(|model| model.id.as_str() != name.value) {
                let id = self.name(name, ModelId::new)?;
                let rates = TokenRates::default();
                models.push(ServedModel { id, slo, rates });
            }
        }
        Some(models)
    }
}
