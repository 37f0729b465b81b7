//! A goal whose references all resolve.

use crate::effects::Effects;
use crate::said::Said;
use madang_catalog::{Chip, EngineKind, Model};
use madang_fleet::energy::Tariff;
use madang_twin::scenario::Renewables;
use madang_types::Country;
use serde::Serialize;

/// What is to be served, with what, where and at what price.
#[derive(Clone, Debug)]
pub struct Goal {
    /// What it is about.
    pub about: Said,
    /// The first year.
    pub start_year: i16,
    /// How many years.
    pub years: u32,
    /// Part of an engine's capacity that is used at the peak.
    pub utilisation: f64,
    /// Part of the requests of the confirming run that must keep the SLO.
    pub good_part: f64,
    /// Who asks for how much.
    pub demand: Demand,
    /// Time to the first token of a good answer, in milliseconds.
    pub ttft_ms: f64,
    /// Time for each further token of a good answer, in milliseconds.
    pub tpot_ms: f64,
    /// Models, whose shares add up to 1.
    pub models: Vec<ModelGoal>,
    /// Accelerators that may be bought.
    pub chips: Vec<ChipGoal>,
    /// Where they may stand.
    pub sites: Vec<SiteGoal>,
    /// What money costs.
    pub money: Money,
    /// Power of a server beside that of its accelerators.
    pub server_power_factor: f64,
    /// Part of their greatest power that machines draw where they do nothing.
    pub idle_part: f64,
    /// Effects on the economy, where a table was given.
    pub effects: Option<Effects>,
    /// Each key as written, with what the file says beside it.
    pub inputs: Vec<Input>,
}

/// Who asks for how much, in the first year.
#[derive(Clone, Debug)]
pub struct Demand {
    /// People.
    pub users: f64,
    /// Messages of each.
    pub messages_per_user_day: f64,
    /// Mean of a prompt.
    pub input_tokens: f64,
    /// Mean of an answer.
    pub output_tokens: f64,
    /// Part of prompts that caches hold.
    pub cached_part: f64,
    /// Standard deviation of lengths ÷ mean.
    pub length_cv: f64,
    /// The greatest load ÷ the mean one.
    pub peak_over_mean: f64,
    /// Load of each hour ÷ the mean one.
    pub hours: [f64; 24],
    /// More each year.
    pub growth_per_year: f64,
    /// How long KV is kept between turns.
    pub kv_keep_s: f64,
}

impl Demand {
    /// Requests a second, the mean of a day.
    pub fn mean_per_s(&self) -> f64 {
        self.users * self.messages_per_user_day / 86_400.0
    }

    /// Requests a second at the peak.
    pub fn peak_per_s(&self) -> f64 {
        self.mean_per_s() * self.peak_over_mean
    }

    /// Prompt and output tokens of a year.
    pub fn year_tokens(&self) -> f64 {
        self.mean_per_s() * (self.input_tokens + self.output_tokens) * YEAR_S
    }
}

/// Seconds of a year of 365 days.
pub const YEAR_S: f64 = 365.0 * 86_400.0;

/// A model, and its part of the demand.
#[derive(Clone, Debug)]
pub struct ModelGoal {
    /// It.
    pub model: Model,
    /// Its part.
    pub share: f64,
    /// Forms of weights that may be served.
    pub precisions: Vec<String>,
    /// What serves it.
    pub engine: EngineKind,
    /// Tuned for its peak.
    pub tuned: bool,
}

/// An accelerator that may be bought.
#[derive(Clone, Debug)]
pub struct ChipGoal {
    /// It.
    pub chip: Chip,
    /// At most, in watts.
    pub watts: f64,
    /// What one costs.
    pub price_won: f64,
    /// What renting one costs.
    pub rent_won_per_hour: Option<f64>,
    /// How its price changes each year.
    pub price_trend_per_year: f64,
    /// How many can be had.
    pub count_max: Option<u64>,
    /// Of one machine.
    pub per_machine: u32,
}

/// Where accelerators may stand.
#[derive(Clone, Debug)]
pub struct SiteGoal {
    /// Its name.
    pub id: String,
    /// Of which country's law.
    pub country: Country,
    /// Greatest power at its meter.
    pub cap_watts: f64,
    /// Power at the meter ÷ power of the machines.
    pub pue: f64,
    /// What electricity costs.
    pub tariff: Tariff,
    /// Times its prices, for sensitivity.
    pub tariff_factor: f64,
    /// Of the greatest power.
    pub demand_charge_won_per_kw_month: f64,
    /// CO2 of the grid.
    pub carbon_g_per_kwh: f64,
    /// What one watt of the site's own renewables gives, by hour.
    pub renewables: Option<Renewables>,
    /// Their capacity, in watts.
    pub renewables_watts: f64,
    /// What they cost.
    pub renewables_won_per_kwh: f64,
}

/// What money costs.
#[derive(Clone, Debug)]
pub struct Money {
    /// Price of a server ÷ price of its accelerators.
    pub server_price_factor: f64,
    /// Years that servers last.
    pub life_years: f64,
    /// Buildings, cooling and power supply, for each kW at the meter.
    pub facility_won_per_kw: f64,
    /// Years that they last.
    pub facility_life_years: f64,
    /// Interest of a year.
    pub discount_per_year: f64,
    /// Staff, repair and software of a year ÷ price of servers.
    pub opex_part_per_year: f64,
}

impl Money {
    /// What one won that lasts so many years costs each year: r ÷ (1 − (1 + r)^−n).
    pub fn annuity(&self, years: f64) -> f64 {
        let rate = self.discount_per_year;
        if rate < 1e-9 {
            1.0 / years
        } else {
            rate / (1.0 - (1.0 + rate).powf(-years))
        }
    }
}

/// One key of the goal's file.
#[derive(Clone, Debug, Serialize)]
pub struct Input {
    /// Its table, its row and itself, as `site.ulsan.pue`.
    pub key: String,
    /// As written.
    pub value: String,
    /// What stands beside it: where it is from.
    pub source: String,
}
