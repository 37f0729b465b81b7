//! The goal's file as written: every key optional and with its place, so that one wrong key hides no other problem.

use madang_fleet::text::At;
use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) type Text = Option<At<String>>;
pub(crate) type Number = Option<At<f64>>;
pub(crate) type Rows<T> = Option<Vec<At<T>>>;

/// A goal of Madang's planner: who asks for what, which models and chips may serve it, where, and at what price.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawGoal {
    /// What is planned, and for how long.
    #[schemars(required)]
    pub plan: Option<At<RawPlan>>,
    /// Who asks for how much.
    #[schemars(required)]
    pub demand: Option<At<RawDemand>>,
    /// What a good answer keeps.
    #[schemars(required)]
    pub slo: Option<At<RawSlo>>,
    /// Models, and their parts of the demand.
    #[schemars(required)]
    pub model: Rows<RawModel>,
    /// Accelerators that may be bought.
    #[schemars(required)]
    pub chip: Rows<RawChip>,
    /// Where they may stand.
    #[schemars(required)]
    pub site: Rows<RawSite>,
    /// What money costs.
    #[schemars(required)]
    pub money: Option<At<RawMoney>>,
    /// What machines draw.
    pub power: Option<At<RawPower>>,
    /// Effects on the economy, by a table of coefficients of one's own.
    pub effects: Option<At<RawEffects>>,
}

/// What is planned, and for how long.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawPlan {
    /// What it is about, in a line.
    pub about: Text,
    /// The same in Korean, for the Korean page; `about` where not given.
    pub about_ko: Text,
    /// The first year.
    #[schemars(required, range(min = 2000, max = 2200))]
    pub start_year: Option<At<i16>>,
    /// How many years.
    #[schemars(required, range(min = 1, max = 20))]
    pub years: Option<At<u32>>,
    /// Part of an engine's capacity that is used at the peak; 0.8 where not given.
    #[schemars(range(min = 0.1, max = 1))]
    pub utilisation: Number,
    /// Part of the requests of the confirming run that must keep the SLO; 0.9 where not given.
    #[schemars(range(min = 0.5, max = 0.999))]
    pub good_part: Number,
}

/// Who asks for how much.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawDemand {
    /// People who use it, in the first year.
    #[schemars(required, range(min = 0, max = 10_000_000_000_i64))]
    pub users: Number,
    /// Messages of each, a day.
    #[schemars(required, range(min = 0, max = 100_000))]
    pub messages_per_user_day: Number,
    /// Prompt tokens of a message, on average.
    #[schemars(required, range(min = 1, max = 10_000_000))]
    pub input_tokens: Number,
    /// Output tokens of a message, on average.
    #[schemars(required, range(min = 1, max = 1_000_000))]
    pub output_tokens: Number,
    /// Part of the prompt tokens that engines find in their caches; 0 where not given.
    #[schemars(range(min = 0, max = 0.99))]
    pub cached_part: Number,
    /// Standard deviation of lengths, beside their mean; 0.5 where not given.
    #[schemars(range(min = 0, max = 5))]
    pub length_cv: Number,
    /// The greatest load beside the mean one.
    #[schemars(required, range(min = 1, max = 100))]
    pub peak_over_mean: Number,
    /// How much of a day's messages come in each of its 24 hours, beside each other.
    #[schemars(required)]
    pub hours: Option<At<Vec<f64>>>,
    /// How much more is asked each year; 0.5: half as much again.
    #[schemars(range(min = -0.9, max = 10))]
    pub growth_per_year: Number,
    /// How long a conversation's KV is kept in host memory between its turns, in seconds; 0 where not given.
    #[schemars(range(min = 0, max = 86_400))]
    pub kv_keep_s: Number,
}

/// What a good answer keeps.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSlo {
    /// Time to the first token, in milliseconds.
    #[schemars(required, range(min = 1, max = 3_600_000))]
    pub ttft_ms: Number,
    /// Time for each further token, in milliseconds.
    #[schemars(required, range(min = 1, max = 3_600_000))]
    pub tpot_ms: Number,
}

/// A model, and its part of the demand.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawModel {
    /// Its name in the catalogue.
    #[schemars(required)]
    pub id: Text,
    /// Its part of the demand, beside the others'.
    #[schemars(required, range(min = 0, max = 1_000_000))]
    pub share: Number,
    /// Forms of its weights that may be served: bf16, fp8, fp4, int8, int4. bf16 and fp8 where not given.
    pub precisions: Option<At<Vec<String>>>,
    /// What serves it: vllm, sglang or trtllm. vllm where not given.
    #[schemars(extend("enum" = ["vllm", "sglang", "trtllm"]))]
    pub engine: Text,
    /// It is tuned for its peak, as far as MLPerf's rows tell; it is as public rows have it where not given.
    pub tuned: Option<At<bool>>,
}

/// An accelerator that may be bought.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawChip {
    /// Its name in the catalogue.
    #[schemars(required)]
    pub id: Text,
    /// What one costs, in won, without the rest of its server.
    #[schemars(required, range(min = 1, max = 100_000_000_000_i64))]
    pub price_won: Number,
    /// What renting one costs an hour, in won: compared with buying.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub rent_won_per_hour: Number,
    /// How its price changes each year: -0.2 is a fifth less.
    #[schemars(range(min = -0.9, max = 5))]
    pub price_trend_per_year: Number,
    /// Greatest power of one, in watts, where the catalogue does not say it.
    #[schemars(range(min = 1, max = 100_000))]
    pub watts: Number,
    /// How many can be had.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub count_max: Option<At<u64>>,
    /// Of one machine: an engine with tensor parallel lies within one; 8 where not given.
    #[schemars(range(min = 1, max = 128))]
    pub per_machine: Option<At<u32>>,
}

/// Where accelerators may stand.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSite {
    /// Its name.
    #[schemars(required)]
    pub id: Text,
    /// Country where it stands: ISO 3166-1 alpha-2, such as `KR`.
    #[schemars(required, extend("pattern" = "^[A-Z]{2}$"))]
    pub country: Text,
    /// Greatest power at its meter, in kW.
    #[schemars(required, extend("exclusiveMinimum" = 0, "maximum" = 10_000_000))]
    pub power_cap_kw: Number,
    /// Power at the meter divided by power of the machines.
    #[schemars(required, range(min = 1, max = 10))]
    pub pue: Number,
    /// A file with what electricity costs, by dated bands.
    #[schemars(required)]
    pub tariff: Text,
    /// What a kilowatt of the greatest power costs a month, in won.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub demand_charge_won_per_kw_month: Number,
    /// CO2 of a kilowatt-hour from the grid, in grams.
    #[schemars(required, range(min = 0, max = 5_000))]
    pub carbon_g_per_kwh: Number,
    /// A file with the part of their capacity that the site's own renewables give, by month and hour.
    pub renewables: Text,
    /// Capacity of the site's own renewables, in kW.
    #[schemars(range(min = 0, max = 100_000_000))]
    pub renewables_kw: Number,
    /// What a kilowatt-hour of them costs, in won; 0 where not given.
    #[schemars(range(min = 0, max = 10_000))]
    pub renewables_won_per_kwh: Number,
}

/// What money costs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawMoney {
    /// Price of a server with its part of the network, beside that of its accelerators.
    #[schemars(required, range(min = 1, max = 10))]
    pub server_price_factor: Number,
    /// Years that servers last.
    #[schemars(required, range(min = 1, max = 30))]
    pub life_years: Number,
    /// Buildings, cooling and power supply for each kW at the meter, in won.
    #[schemars(required, range(min = 0, max = 1_000_000_000))]
    pub facility_won_per_kw: Number,
    /// Years that they last.
    #[schemars(required, range(min = 1, max = 60))]
    pub facility_life_years: Number,
    /// Interest of a year.
    #[schemars(required, range(min = 0, max = 1))]
    pub discount_per_year: Number,
    /// Staff, repair and software of a year, beside the price of servers.
    #[schemars(required, range(min = 0, max = 1))]
    pub opex_part_per_year: Number,
}

/// What machines draw.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawPower {
    /// Power of a server beside that of its accelerators; 1.25 where not given.
    #[schemars(range(min = 1, max = 5))]
    pub server_power_factor: Number,
    /// Part of their greatest power that machines draw where they do nothing; 0.27 where not given.
    #[schemars(range(min = 0, max = 1))]
    pub idle_part: Number,
}

/// Effects on the economy.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawEffects {
    /// A file of coefficients: sector, kind (production, value_added or jobs), coefficient, year, source.
    #[schemars(required)]
    pub table: Text,
    /// Where the money goes.
    #[schemars(required)]
    pub spend: Rows<RawSpend>,
}

/// One flow of money.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSpend {
    /// Which money: servers and facility are spent once, opex and energy each year.
    #[schemars(required, extend("enum" = ["servers", "facility", "opex", "energy"]))]
    pub of: Text,
    /// To which sector of the table it goes.
    #[schemars(required)]
    pub sector: Text,
    /// Part of that money.
    #[schemars(required, range(min = 0, max = 1))]
    pub part: Number,
    /// Part of it that goes abroad.
    #[schemars(required, range(min = 0, max = 1))]
    pub import_part: Number,
}
