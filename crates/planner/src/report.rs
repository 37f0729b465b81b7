//! What a plan says.

use crate::effects::EffectsReport;
use crate::energy::{HourPower, YearEnergy};
use crate::fleet::YearCost;
use crate::goal::Input;
use crate::said::Said;
use crate::sizing::{Bound, Refused};
use serde::Serialize;

/// A plan.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What it is about.
    pub about: Said,
    /// The first year, for which the fleet is.
    pub year: i16,
    /// What is asked and what the fleet is, in sum.
    pub totals: Totals,
    /// Engines of each model.
    pub fleet: Vec<Line>,
    /// Each site.
    pub sites: Vec<SiteLine>,
    /// What keeps the plan from being cheaper or greater.
    pub binding: Binding,
    /// What a run of the twin says of the closed form; nothing where it was not asked.
    pub confirmed: Vec<Confirmed>,
    /// What one more of each would change, the greatest saving first.
    pub shadows: Vec<ShadowLine>,
    /// Won per million tokens where one input is a fifth less or more, the widest first.
    pub tornado: Vec<TornadoLine>,
    /// Year by year.
    pub phases: Vec<PhaseLine>,
    /// Effects on the economy; none where the goal has no table.
    pub effects: Option<EffectsReport>,
    /// Ways that do not serve, and why.
    pub refused: Vec<Refused>,
    /// What to know.
    pub notes: Vec<Said>,
    /// The goal, key by key.
    pub inputs: Vec<Input>,
}

/// What is asked and what the fleet is.
#[derive(Clone, Debug, Serialize)]
pub struct Totals {
    /// Requests a day.
    pub requests_per_day: f64,
    /// Requests a second, the mean.
    pub mean_per_s: f64,
    /// Requests a second, at the peak.
    pub peak_per_s: f64,
    /// Output tokens a second, at the peak.
    pub peak_output_tokens_per_s: f64,
    /// Prompt and output tokens of a year that are served.
    pub year_tokens: f64,
    /// Part of the peak that the sites hold.
    pub served_part: f64,
    /// Accelerators.
    pub accelerators: u64,
    /// From: the error band at its best.
    pub accelerators_low: u64,
    /// To: the error band at its worst.
    pub accelerators_high: u64,
    /// Memory of accelerators.
    pub hbm_bytes: f64,
    /// Host memory for KV between turns.
    pub dram_bytes: f64,
    /// Greatest power at the meters.
    pub peak_kw: f64,
    /// Of a year.
    pub energy: YearEnergy,
    /// Part of the energy that comes from own renewables.
    pub renewable_part: f64,
    /// Price of servers.
    pub servers_won: f64,
    /// Price of buildings, cooling and power supply.
    pub facility_won: f64,
    /// Of a year.
    pub cost: YearCost,
    /// For a million prompt and output tokens.
    pub won_per_m_tokens: f64,
    /// The same for output tokens alone, as if prompts were free.
    pub won_per_m_output_tokens: f64,
    /// Of electricity, for a million tokens.
    pub gco2_per_m_tokens: f64,
    /// What the same accelerators cost to rent, for a million tokens; without where to put them.
    pub rent_won_per_m_tokens: Option<f64>,
}

/// Engines of one model.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// The model.
    pub model: String,
    /// The chip.
    pub chip: String,
    /// How it is divided, and in which form.
    pub division: String,
    /// Accelerators of one engine.
    pub accelerators_per_engine: u64,
    /// Engines.
    pub engines: u64,
    /// Engines that the peak needs.
    pub engines_needed: u64,
    /// Accelerators.
    pub accelerators: u64,
    /// Sequences at once in each engine.
    pub sequences: u32,
    /// Requests a second of one engine where it is full.
    pub requests_per_s: f64,
    /// Output tokens a second of one accelerator.
    pub output_tokens_per_s: f64,
    /// Prompt tokens a second of one accelerator.
    pub input_tokens_per_s: f64,
    /// Time to the first token.
    pub ttft_ms: f64,
    /// Time for each further token.
    pub tpot_ms: f64,
    /// What keeps the engine from more.
    pub bound: Bound,
    /// The truth is at most so many times more or less, in nine of ten cases.
    pub band: f64,
    /// Weights on one accelerator.
    pub weight_bytes: f64,
    /// Tokens that KV memory of one engine holds.
    pub kv_tokens: u64,
    /// From the start of an engine's process until it serves: its weights are read.
    pub load_s: f64,
}

/// One site.
#[derive(Clone, Debug, Serialize)]
pub struct SiteLine {
    /// Its name.
    pub id: String,
    /// Engines of each line of the fleet.
    pub engines: Vec<u64>,
    /// Accelerators.
    pub accelerators: u64,
    /// Memory of accelerators.
    pub hbm_bytes: f64,
    /// Host memory for KV between turns.
    pub dram_bytes: f64,
    /// Greatest power at the meter.
    pub peak_kw: f64,
    /// What it may be.
    pub cap_kw: f64,
    /// Of a year.
    pub energy: YearEnergy,
    /// Part of the energy that comes from own renewables.
    pub renewable_part: f64,
    /// A weekday of July.
    pub summer: Vec<HourPower>,
    /// A weekday of January.
    pub winter: Vec<HourPower>,
    /// What the law asks of it.
    pub notes: Vec<Said>,
}

/// What keeps the plan from being cheaper or greater.
#[derive(Clone, Debug, Serialize)]
pub struct Binding {
    /// power, chips, or what binds most accelerators: hbm_bytes, hbm_bandwidth, compute, link, engine, first_token, schedule.
    pub resource: String,
    /// In words.
    pub why: Said,
}

/// What a run of the twin says of one kind of engine.
#[derive(Clone, Debug, Serialize)]
pub struct Confirmed {
    /// The model.
    pub model: String,
    /// The chip.
    pub chip: String,
    /// How it is divided, and in which form.
    pub division: String,
    /// Engines that were run.
    pub engines: u32,
    /// Requests a second of one engine in closed form, at the planned utilisation.
    pub planned_per_s: f64,
    /// The greatest rate up to the planned one that kept the SLO.
    pub simulated_per_s: f64,
    /// The one beside the other.
    pub ratio: f64,
    /// Part of the requests that kept the SLO at that rate.
    pub good_part: f64,
    /// Runs that it took.
    pub runs: u32,
}

/// What one more of something would change.
#[derive(Clone, Debug, Serialize)]
pub struct ShadowLine {
    /// One more of what.
    pub what: Said,
    /// The keys of the goal that say how much there is.
    pub inputs: Vec<String>,
    /// Saved a year.
    pub saved_won_per_year: f64,
    /// Fewer accelerators; negative: more.
    pub saved_accelerators: i64,
    /// More of the peak that is served.
    pub more_served_part: f64,
}

/// Won per million tokens where one input is a fifth less or more.
#[derive(Clone, Debug, Serialize)]
pub struct TornadoLine {
    /// Which input.
    pub what: &'static str,
    /// The keys of the goal that hold it.
    pub inputs: Vec<String>,
    /// Where it is a fifth less; none: then nothing serves.
    pub less: Option<f64>,
    /// Where it is a fifth more.
    pub more: Option<f64>,
    /// Accelerators where it is a fifth less.
    pub accelerators_less: Option<u64>,
    /// Accelerators where it is a fifth more.
    pub accelerators_more: Option<u64>,
}

/// One year.
#[derive(Clone, Debug, Serialize)]
pub struct PhaseLine {
    /// Which.
    pub year: i16,
    /// Requests a second at the peak.
    pub peak_per_s: f64,
    /// Part of it that the sites hold.
    pub served_part: f64,
    /// Accelerators that stand.
    pub accelerators: u64,
    /// Bought in that year, what replaces old ones included.
    pub bought: u64,
    /// Greatest power at the meters.
    pub peak_kw: f64,
    /// Paid for servers and buildings.
    pub capex_won: f64,
    /// Paid for running them.
    pub running_won: f64,
    /// All costs of the year by life and interest, for a million tokens: servers that stand at the price at which each was bought.
    pub won_per_m_tokens: f64,
    /// Grams of CO2.
    pub gco2: f64,
}
