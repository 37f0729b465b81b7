//! Bodies and query strings about budgets, allocations and prices.

use super::{Instant, ranged};
use madang_ledger::{Currency, decimal};
use madang_types::{AllocationId, Class, ModelId, ProgrammeId, SiteId, TenantId, Unit};
use serde::{Deserialize, Deserializer, de};
use utoipa::{IntoParams, ToSchema};

/// A budget to set.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BudgetPut {
    /// Whose.
    #[schema(value_type = String, max_length = 96)]
    pub programme: ProgrammeId,
    /// In what it is counted: `micro_won`, `tokens` or `accelerator_ms`.
    #[serde(default = "won")]
    #[schema(value_type = String, default = "micro_won")]
    pub unit: Unit,
    /// Of tokens: for models of this class alone. A budget for each class, and one for any model, stand side by side.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 96)]
    pub model_class: Option<Class>,
    /// Of accelerator time: for this kind of accelerator alone, such as `h200`; likewise.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 96)]
    pub accelerator: Option<Class>,
    /// How much in all, allocated or not, in that unit.
    #[schema(minimum = 0)]
    pub amount: i64,
    /// The most of it that one tenant may be granted, in thousandths.
    #[serde(default = "no_cap")]
    #[schema(minimum = 1, maximum = 1000, default = 1000)]
    pub concentration_permille_max: u32,
}

fn won() -> Unit {
    Unit::MicroWon
}

fn no_cap() -> u32 {
    1_000
}

/// A grant to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AllocationCreate {
    /// Its name.
    #[schema(value_type = String, max_length = 96)]
    pub id: AllocationId,
    /// To whom. The tenant's programme grants it.
    #[schema(value_type = String, max_length = 96)]
    pub tenant: TenantId,
    /// In what it is counted: `micro_won`, `tokens` or `accelerator_ms`.
    #[serde(default = "won")]
    #[schema(value_type = String, default = "micro_won")]
    pub unit: Unit,
    /// Of tokens: they pay for models of this class alone, out of the programme's budget for it.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 96)]
    pub model_class: Option<Class>,
    /// Of accelerator time: it pays for this kind of accelerator alone, such as `h200`; likewise.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 96)]
    pub accelerator: Option<Class>,
    /// How much in all, in that unit.
    #[schema(minimum = 1)]
    pub amount: i64,
    /// The parts that it comes in, in order; all of it at its beginning where the list is empty or left out.
    #[serde(default)]
    #[schema(required = false, max_items = 24)]
    pub tranches: Vec<TrancheCreate>,
    /// It is never passed, not by one token.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub hard: bool,
    /// From when on it may be spent; where it is left out, with the first tranche, or now.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub from: Option<Instant>,
    /// Until when.
    #[schema(value_type = String, format = DateTime)]
    pub until: Instant,
}

/// A part of a grant.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrancheCreate {
    /// From when on it may be spent.
    #[schema(value_type = String, format = DateTime)]
    pub from: Instant,
    /// How much, in the allocation's unit.
    #[schema(minimum = 1)]
    pub amount: i64,
}

fn yes() -> bool {
    true
}

/// Which allocations.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AllocationQuery {
    /// Only this tenant's.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    pub tenant: Option<TenantId>,
}

/// An amount of money for a million tokens, for an hour, or for one unit of a currency, as a decimal number with at most six places.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decimal(pub i64);

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        decimal(&text).map(Self).ok_or_else(|| {
            de::Error::custom("not a decimal number such as \"1391.5\", of six places at most")
        })
    }
}

/// A price to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PriceCreate {
    /// Of which model.
    #[schema(value_type = String, max_length = 96)]
    pub model: ModelId,
    /// At this site or upstream alone.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub place: Option<SiteId>,
    /// From when on; now where it is left out.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub from: Option<Instant>,
    /// What the prices are in: three capital letters.
    #[serde(default = "krw")]
    #[schema(value_type = String, default = "KRW")]
    pub currency: Currency,
    /// A million prompt tokens that are computed.
    #[schema(value_type = String)]
    pub uncached: Decimal,
    /// A million prompt tokens from a cache.
    #[schema(value_type = String)]
    pub cached: Decimal,
    /// A million tokens that are made.
    #[schema(value_type = String)]
    pub output: Decimal,
}

/// A price of accelerator time to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcceleratorPriceCreate {
    /// Of which kind of accelerator, such as `h200`.
    #[schema(value_type = String, max_length = 96)]
    pub accelerator: Class,
    /// At this site alone.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub site: Option<SiteId>,
    /// From when on; now where it is left out.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub from: Option<Instant>,
    /// Won for an hour of one of them.
    #[schema(value_type = String)]
    pub won_per_hour: Decimal,
}

fn krw() -> Currency {
    Currency::KRW
}

/// A rate of exchange to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExchangeCreate {
    /// Three capital letters.
    #[schema(value_type = String)]
    pub currency: Currency,
    /// Won for one unit of it.
    #[schema(value_type = String)]
    pub won: Decimal,
    /// From when on; now where it is left out.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub from: Option<Instant>,
}

/// How an allocation is recalled.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecallQuery {
    /// So many seconds before it takes effect: a year at most, at once where it is left out.
    #[serde(default, deserialize_with = "notice")]
    #[param(minimum = 0, maximum = 31_536_000, default = 0, required = false)]
    pub notice_s: u32,
}

fn notice<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    ranged(from, 0..=31_536_000)
}
