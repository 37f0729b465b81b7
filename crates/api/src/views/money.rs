//! Budgets, allocations and prices.

use super::instant;
use madang_ledger::{AcceleratorPrice, Exchange, Price, decimal_text, next_tranche, unreleased};
use madang_types::{Allocation, Class, Micros, ProgrammeBudget, Tranche, Unit};
use serde::Serialize;
use utoipa::ToSchema;

/// The class of an amount by what it is: a class of models, and a kind of accelerator.
pub(super) fn class_names(unit: Unit, class: Option<Class>) -> (Option<String>, Option<String>) {
    let name = class.map(|class| class.to_string());
    match unit {
        Unit::AcceleratorMs => (None, name),
        _ => (name, None),
    }
}

/// What a programme has to allocate, in one unit; perhaps for one class of models, or one kind of accelerator.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BudgetView {
    /// Whose.
    programme: String,
    /// In what it is counted.
    #[schema(value_type = String)]
    unit: &'static str,
    /// Of tokens: for models of this class alone; null: for any.
    model_class: Option<String>,
    /// Of accelerator time: for this kind alone; null: for any.
    accelerator: Option<String>,
    /// How much in all, in that unit.
    amount: i64,
    /// The most of it that one tenant may be granted, in thousandths.
    concentration_permille_max: u32,
}

impl From<ProgrammeBudget> for BudgetView {
    fn from(budget: ProgrammeBudget) -> Self {
        let ProgrammeBudget {
            programme,
            unit,
            class,
            amount,
            concentration_permille_max,
        } = budget;
        let (model_class, accelerator) = class_names(unit, class);
        Self {
            programme: programme.to_string(),
            unit: unit.as_str(),
            model_class,
            accelerator,
            amount,
            concentration_permille_max,
        }
    }
}

/// A grant from a programme to a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AllocationView {
    /// Its name.
    id: String,
    /// Who grants.
    programme: String,
    /// To whom.
    tenant: String,
    /// In what it is counted.
    #[schema(value_type = String)]
    unit: &'static str,
    /// Of tokens: they pay for models of this class alone; null: for any. While no model has the class, nothing is spent of it.
    model_class: Option<String>,
    /// Of accelerator time: it pays for this kind alone; null: for any.
    accelerator: Option<String>,
    /// How much, in that unit.
    amount: i64,
    /// What of it nobody has spent; less what was taken back.
    left: i64,
    /// What of that has not come yet.
    unreleased: i64,
    /// When the next part of it comes.
    #[schema(format = DateTime)]
    next_tranche_at: Option<String>,
    /// The parts that it comes in; empty where all of it comes at its beginning.
    tranches: Vec<TrancheView>,
    /// It is never passed, not by one token.
    hard: bool,
    /// From when on it may be spent.
    #[schema(format = DateTime)]
    from: String,
    /// Until when.
    #[schema(format = DateTime)]
    until: String,
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
    /// When the programme took back what was not spent.
    #[schema(format = DateTime)]
    recalled_at: Option<String>,
}

impl AllocationView {
    /// The view of an allocation as it stands at `now`.
    pub fn of(allocation: Allocation, left: i64, now: Micros) -> Self {
        let over = allocation.ends_at() <= now;
        let next = next_tranche(&allocation, now).filter(|_| !over);
        let waits = if over {
            0
        } else {
            unreleased(&allocation, now)
        };
        let Allocation {
            id,
            programme,
            tenant,
            unit,
            class,
            amount,
            hard,
            from,
            tranches,
            until,
            created_at,
            recalled_at,
        } = allocation;
        let (model_class, accelerator) = class_names(unit, class);
        Self {
            id: id.to_string(),
            programme: programme.to_string(),
            tenant: tenant.to_string(),
            unit: unit.as_str(),
            model_class,
            accelerator,
            amount,
            left,
            unreleased: waits,
            next_tranche_at: next.map(instant),
            tranches: tranches.into_iter().map(Into::into).collect(),
            hard,
            from: instant(from),
            until: instant(until),
            created_at: instant(created_at),
            recalled_at: recalled_at.map(instant),
        }
    }
}

/// A part of an allocation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrancheView {
    /// From when on it may be spent.
    #[schema(format = DateTime)]
    from: String,
    /// How much, in the allocation's unit.
    amount: i64,
}

impl From<Tranche> for TrancheView {
    fn from(tranche: Tranche) -> Self {
        let Tranche { from, amount } = tranche;
        Self {
            from: instant(from),
            amount,
        }
    }
}

/// What a model costs from an instant on: decimal numbers, for a million tokens each.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PriceView {
    /// Of which model.
    model: String,
    /// At this site or upstream alone; null: wherever no price of its own says otherwise.
    place: Option<String>,
    /// From when on.
    #[schema(format = DateTime)]
    from: String,
    /// What the prices are in.
    currency: String,
    /// Prompt tokens that are computed.
    uncached: String,
    /// Prompt tokens from a cache.
    cached: String,
    /// Tokens that are made.
    output: String,
}

impl From<Price> for PriceView {
    fn from(price: Price) -> Self {
        let Price {
            model,
            place,
            from,
            currency,
            uncached,
            cached,
            output,
        } = price;
        Self {
            model: model.to_string(),
            place: place.map(|place| place.to_string()),
            from: instant(from),
            currency: currency.to_string(),
            uncached: decimal_text(uncached),
            cached: decimal_text(cached),
            output: decimal_text(output),
        }
    }
}

/// What an hour of one accelerator of a kind costs from an instant on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AcceleratorPriceView {
    /// Of which kind.
    accelerator: String,
    /// At this site alone; null: wherever no price of its own says otherwise.
    site: Option<String>,
    /// From when on.
    #[schema(format = DateTime)]
    from: String,
    /// In won, a decimal number.
    won_per_hour: String,
}

impl From<AcceleratorPrice> for AcceleratorPriceView {
    fn from(price: AcceleratorPrice) -> Self {
        let AcceleratorPrice {
            accelerator,
            site,
            from,
            hour,
        } = price;
        Self {
            accelerator: accelerator.to_string(),
            site: site.map(|site| site.to_string()),
            from: instant(from),
            won_per_hour: decimal_text(hour.0),
        }
    }
}

/// What one unit of a currency is worth from an instant on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExchangeView {
    /// Which.
    currency: String,
    /// From when on.
    #[schema(format = DateTime)]
    from: String,
    /// In won, a decimal number.
    won: String,
}

impl From<Exchange> for ExchangeView {
    fn from(exchange: Exchange) -> Self {
        let Exchange {
            currency,
            from,
            won,
        } = exchange;
        Self {
            currency: currency.to_string(),
            from: instant(from),
            won: decimal_text(won.0),
        }
    }
}
