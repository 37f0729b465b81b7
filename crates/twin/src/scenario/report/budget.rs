//! What tenants spent of what they were granted.

use crate::scenario::Scenario;
use crate::scenario::purses::Spending;
use madang_types::Unit;
use serde::Serialize;
use std::collections::BTreeMap;

const MICRO: f64 = 1e-6;

/// A tenant's grant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BudgetLine {
    /// Whose.
    pub tenant: String,
    /// `tokens` or `won`.
    pub unit: &'static str,
    /// What it might spend.
    pub granted: f64,
    /// What it did.
    pub spent: f64,
    /// Answers that were cut short because the grant came to its end.
    pub clamped: u64,
}

/// One line for each tenant that was granted something.
pub(super) fn lines(scenario: &Scenario, spent: &BTreeMap<usize, Spending>) -> Vec<BudgetLine> {
    let tenants = scenario.tenants.iter().enumerate();
    let line = |(place, tenant): (usize, &crate::scenario::model::Tenant)| {
        let grant = tenant.grant?;
        let of = spent.get(&place).copied().unwrap_or_default();
        let (unit, by) = match grant.unit {
            Unit::MicroWon => ("won", MICRO),
            _ => ("tokens", 1.0),
        };
        Some(BudgetLine {
            tenant: tenant.payer.tenant.to_string(),
            unit,
            granted: grant.amount as f64 * by,
            spent: of.spent as f64 * by,
            clamped: of.clamped,
        })
    };
    tenants.filter_map(line).collect()
}
