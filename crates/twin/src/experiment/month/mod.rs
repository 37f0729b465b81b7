//! Shares over a month: nine tenants that want more at some times and nothing at others. How much of what each was promised does
//! it get, with credit and with max-min fairness alone; and does the queue realise it within a minute?
//!
//! Twenty-eight days are replayed by the minute: service flows, and is divided by parts that the core's own accounts and their leaning
//! move; the division itself is this replay's. That the queue gives such parts is shown request by request, over minutes.

mod demand;
mod minutes;
mod replay;

pub use minutes::{MinutesReport, MinutesRow};

use super::noisy::ExperimentError;
use crate::engine::Profile;
use demand::{PROGRAMMES, TENANTS, shares};
use madang_core::CreditTerms;
use serde::Serialize;

/// What is run.
#[derive(Clone, Debug)]
pub struct MonthOptions {
    /// Of what tenants want.
    pub seed: u64,
    /// How many days.
    pub days: u64,
    /// How credit lives.
    pub terms: CreditTerms,
    /// Engines of the minutes that are run request by request.
    pub replicas: usize,
    /// What each is.
    pub profile: Profile,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct MonthReport {
    /// Of what tenants want.
    pub seed: u64,
    /// How many days.
    pub days: u64,
    /// How credit lived.
    pub terms: CreditTerms,
    /// Each tenant's month.
    pub tenants: Vec<MonthRow>,
    /// Least delivered ÷ promised of all tenants, max-min fairness alone.
    pub max_min_min_ratio: f64,
    /// The same with credit.
    pub credit_min_ratio: f64,
    /// Part of what there was that was used, max-min fairness alone.
    pub max_min_used_ratio: f64,
    /// The same with credit.
    pub credit_used_ratio: f64,
    /// Minutes, request by request: nobody has credit.
    pub minutes: MinutesReport,
    /// The same where some have credit in full and others are in debt.
    pub minutes_credit: MinutesReport,
}

/// One tenant's month. Promised is its share of what there was, or what it asked for, where that is less.
#[derive(Clone, Debug, Serialize)]
pub struct MonthRow {
    /// Who.
    pub tenant: String,
    /// Of which programme.
    pub programme: String,
    /// When it wants something.
    pub wants: String,
    /// Its part of everything.
    pub part: f64,
    /// Asked for ÷ its share of what there was.
    pub asked_ratio: f64,
    /// Delivered ÷ promised, max-min fairness alone.
    pub max_min_ratio: f64,
    /// Delivered ÷ promised, with credit.
    pub credit_ratio: f64,
    /// Credit at the end, in days of its own share; debt where below zero.
    pub balance_days: f64,
}

/// Runs the month twice, and the minutes.
///
/// # Errors
/// The built-in trace or a name is broken.
pub fn month(options: &MonthOptions) -> Result<MonthReport, ExperimentError> {
    let alone = CreditTerms {
        factor_max: 1,
        ..options.terms
    };
    let shares = shares()?;
    let max_min = replay::replay(&shares, alone, (options.seed, options.days));
    let credit = replay::replay(&shares, options.terms, (options.seed, options.days));
    let mut tenants = Vec::new();
    for ((wish, plain), with) in TENANTS.iter().zip(&max_min.tenants).zip(&credit.tenants) {
        tenants.push(MonthRow {
            tenant: wish.name.to_owned(),
            programme: PROGRAMMES[wish.programme].0.to_owned(),
            wants: wish.words.to_owned(),
            part: with.part,
            asked_ratio: with.asked_ratio,
            max_min_ratio: plain.ratio,
            credit_ratio: with.ratio,
            balance_days: with.balance_days,
        });
    }
    let least =
        |ratio: fn(&MonthRow) -> f64| tenants.iter().map(ratio).fold(f64::INFINITY, f64::min);
    Ok(MonthReport {
        seed: options.seed,
        days: options.days,
        terms: options.terms,
        max_min_min_ratio: least(|row| row.max_min_ratio),
        credit_min_ratio: least(|row| row.credit_ratio),
        max_min_used_ratio: max_min.used_ratio,
        credit_used_ratio: credit.used_ratio,
        tenants,
        minutes: minutes::minutes(options, false)?,
        minutes_credit: minutes::minutes(options, true)?,
    })
}
