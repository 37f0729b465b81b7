//! A scenario whose references all resolve.

use super::energy::Renewables;
use crate::engine::Profile;
use crate::trace::{JobRow, Unordered};
use jiff::civil::{Date, DateTime};
use madang_core::power::governor::GovernorTerms;
use madang_core::power::model::PowerProfile;
use madang_core::{CoreLimits, Payer, Rules, Shares};
use madang_fleet::energy::{DAY_H, Tariff};
use madang_ledger::TokenRates;
use madang_types::{Country, DataClass, ModelId, PowerEventKind, Priority, SiteId, Unit};

/// What a good answer keeps, in nanoseconds; `u64::MAX` where nothing was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slo {
    /// Time to the first token.
    pub ttft_ns: u64,
    /// Time for each further token.
    pub tpot_ns: u64,
}

/// A data centre.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its name.
    pub id: SiteId,
    /// Where it stands.
    pub country: Country,
    /// Greatest power at its meter, in watts.
    pub cap_watts: Option<u64>,
    /// Power at the meter ÷ power of the machines, in thousandths.
    pub pue_milli: u32,
    /// What electricity costs.
    pub tariff: Option<Tariff>,
    /// CO2 of a kilowatt-hour from the grid, in grams: the mean.
    pub carbon_g_per_kwh: Option<f64>,
    /// What of that counts in each hour of the day.
    pub carbon_hours: Option<[f64; DAY_H]>,
    /// Its own renewables.
    pub renewables: Option<Renewables>,
    /// What each machine reads weights with, in 10^9 bytes a second; `None`: what is usual.
    pub storage_gb_s: Option<f64>,
}

impl Demand {
    /// How many requests it makes in so many hours, about.
    pub fn requests(&self, hours: u32) -> f64 {
        match &self.source {
            Source::Trace(trace) => {
                let all_h = trace.span_ms as f64 / 3.6e6 / trace.speed;
                let rounds = match trace.repeat {
                    true => f64::from(hours) / all_h.max(1e-9),
                    false => 1.0,
                };
                trace.requests as f64 * trace.copies * rounds
            }
            Source::Drawn(drawn) => {
                let sum: f64 = drawn.rates.iter().sum();
                f64::from(hours) * 3_600.0 * sum / drawn.rates.len().max(1) as f64
            }
        }
    }
}

impl Site {
    /// CO2 of a kilowatt-hour from the grid in the hour that begins then, in grams; none where it is not known.
    pub fn carbon_at(&self, at: DateTime) -> f64 {
        let hour = usize::try_from(at.hour()).unwrap_or(0);
        let part = self.carbon_hours.map_or(1.0, |parts| parts[hour]);
        self.carbon_g_per_kwh.unwrap_or(0.0) * part
    }
}

/// A served name.
#[derive(Clone, Debug)]
pub struct ServedModel {
    /// Its name.
    pub id: ModelId,
    /// What a good answer keeps.
    pub slo: Slo,
    /// What a million of its tokens cost whoever asks.
    pub rates: TokenRates,
}

/// Engines of one kind that serve one model at one site.
#[derive(Clone, Debug)]
pub struct EngineGroup {
    /// Its name.
    pub id: String,
    /// Its place among the sites.
    pub site: usize,
    /// Its place among the models.
    pub model: usize,
    /// How many.
    pub count: u32,
    /// What each can do.
    pub profile: Profile,
    /// By what factor its times may be above or below what is predicted; `None` for a profile, which says nothing of it.
    pub band: Option<f64>,
    /// What each draws.
    pub power: Option<PowerProfile>,
    /// When their processes are started, in nanoseconds; 0: they serve from the begin.
    pub from_ns: u64,
}

/// Engines that fail.
#[derive(Clone, Debug)]
pub struct FailureGroup {
    /// Their place among the groups of engines.
    pub group: usize,
    /// How many, the first of the group.
    pub count: u32,
    /// When, in nanoseconds.
    pub at_ns: u64,
    /// Until their processes are started again, in nanoseconds.
    pub down_ns: u64,
}

/// Who is billed, and how much it weighs.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// It, with its only key.
    pub payer: Payer,
    /// Its programme's place in [`Scenario::programme_weights`].
    pub programme: Option<usize>,
    /// Its weight beside the programme's others.
    pub weight: u32,
    /// What it may spend in the whole run; `None`: all that it likes.
    pub grant: Option<Grant>,
}

/// What a tenant was granted.
#[derive(Clone, Copy, Debug)]
pub struct Grant {
    /// In what it is counted: tokens, or millionths of a won.
    pub unit: Unit,
    /// How much.
    pub amount: i64,
    /// It is never passed, not by one token.
    pub hard: bool,
}

/// Where the requests of a demand come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file of requests.
    Trace(TraceSource),
    /// Drawn at random.
    Drawn(DrawnSource),
}

/// A file of requests.
#[derive(Clone, Debug)]
pub struct TraceSource {
    /// Its name, as in the scenario.
    pub file: String,
    /// Of a gateway's recording the requests for this model; all where not given.
    pub recorded_model: Option<String>,
    /// Its requests.
    pub requests: u64,
    /// How much faster than recorded it goes.
    pub speed: f64,
    /// How many ask for each request.
    pub copies: f64,
    /// It begins anew at its end.
    pub repeat: bool,
    /// From its first arrival to its last, in milliseconds.
    pub span_ms: u64,
}

/// Requests that are drawn at random.
#[derive(Clone, Debug)]
pub struct DrawnSource {
    /// Requests a second, and how long each holds, in nanoseconds; after the last comes the first again.
    pub rates: Vec<f64>,
    /// How long each holds, in nanoseconds.
    pub rate_span_ns: u64,
    /// How long they are.
    pub lengths: Lengths,
    /// Beginnings that prompts share; 0: none.
    pub prefix_families: u64,
    /// Part of each prompt that is such a beginning.
    pub prefix_part: f64,
}

/// Lengths of prompts and answers.
#[derive(Clone, Debug)]
pub enum Lengths {
    /// One of these pairs, each as likely.
    Rows(std::sync::Arc<[(u32, u32)]>),
    /// Mean and standard deviation ÷ mean of log-normal distributions: prompt, output.
    LogNormal((f64, f64), (f64, f64)),
}

/// Who asks for what, when and how much.
#[derive(Clone, Debug)]
pub struct Demand {
    /// Its name.
    pub id: String,
    /// Its place among the models.
    pub model: usize,
    /// Tenants by their places, and the part of the requests up to and with each: the last is 1.
    pub tenants: Vec<(usize, f64)>,
    /// Urgency.
    pub priority: Priority,
    /// How sensitive its data is.
    pub data_class: DataClass,
    /// Longest wait at the gateway, in milliseconds.
    pub wait_ms_max: u64,
    /// A client leaves where no first token has come by then, in nanoseconds; 0: it stays.
    pub patience_ns: u64,
    /// Where its requests come from.
    pub source: Source,
}

/// Batch jobs at a site.
#[derive(Clone, Debug)]
pub struct JobGroup {
    /// Their name.
    pub id: String,
    /// Its place among the sites.
    pub site: usize,
    /// How many accelerators there are for them.
    pub accelerators: u32,
    /// What one of those draws with its part of the machine.
    pub power: PowerProfile,
    /// The jobs, by their coming.
    pub rows: Vec<JobRow>,
    /// Rows of their trace that stood below later ones.
    pub unordered: Option<Unordered>,
    /// How they may be put off; `None` where they may not.
    pub flex: Option<FlexGroup>,
    /// How long each may stand still where power is short, in microseconds.
    pub pause_us: u64,
    /// By how much each may be slowed where power is short, in thousandths of its pace.
    pub slow_milli: u32,
    /// They write checkpoints, and may be stopped.
    pub checkpoints: bool,
}

/// A grid, or a contract, wants less of a site for a while.
#[derive(Clone, Debug)]
pub struct GridEvent {
    /// Its name.
    pub id: String,
    /// Its site's place among the sites.
    pub site: usize,
    /// When it is told, from the start of the run, in microseconds.
    pub set_us: u64,
    /// From when on it holds, likewise.
    pub from_us: u64,
    /// Until when.
    pub until_us: u64,
    /// What is left.
    pub kind: PowerEventKind,
}

/// How jobs may be put off.
#[derive(Clone, Debug)]
pub struct FlexGroup {
    /// For how long each, in microseconds.
    pub shift_us: u64,
    /// They may be stopped, and go on later.
    pub parts: bool,
    /// How many tasks each has, which are alike: an array where there is more than one.
    pub tasks: u32,
    /// Where they may run, their own site first.
    pub sites: Vec<usize>,
}

/// A scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it is about.
    pub about: String,
    /// The first day.
    pub start: Date,
    /// How many hours clients ask.
    pub hours: u32,
    /// Of everything that is drawn.
    pub seed: u64,
    /// How far forecasts of renewables and of run times may be from what comes: standard deviation beside the value.
    pub forecast_error: f64,
    /// What a kilogram of CO2 weighs beside what electricity costs, in won.
    pub won_per_kg_co2: f64,
    /// Gateways that share the load.
    pub cells: u32,
    /// From a gateway to an engine and back, in nanoseconds.
    pub round_trip_ns: u64,
    /// By whose law data is judged.
    pub home: Country,
    /// Data centres.
    pub sites: Vec<Site>,
    /// Served names.
    pub models: Vec<ServedModel>,
    /// Engines.
    pub engines: Vec<EngineGroup>,
    /// Engines that fail.
    pub failures: Vec<FailureGroup>,
    /// Weight of each programme.
    pub programme_weights: Vec<u32>,
    /// Who is billed.
    pub tenants: Vec<Tenant>,
    /// The same as the core needs it.
    pub shares: Shares,
    /// Who asks for what.
    pub demands: Vec<Demand>,
    /// Batch jobs.
    pub jobs: Vec<JobGroup>,
    /// By which rules.
    pub rules: Rules,
    /// The core's bounds.
    pub limits: CoreLimits,
    /// How sites are kept under their caps.
    pub governor: GovernorTerms,
    /// How fast what is drawn may rise by itself, in thousandths a second of what lies between idle and full.
    pub rise_milli_per_s: u32,
    /// When sites have to do with less.
    pub events: Vec<GridEvent>,
}
