//! What shares promise, worked out a second time and in another way than the core does: for accelerators that can be cut at will, and
//! given to another at no cost.

use madang_core::jobs::JobTerms;
use serde::Serialize;

/// What a tenant had of what its share promised, over the time in which it wanted more.
#[derive(Clone, Debug, Serialize)]
pub struct ShareRow {
    /// Whose.
    pub tenant: String,
    /// How long it wanted more than it was promised, in hours.
    pub backlogged_h: f64,
    /// What it was promised meanwhile, in accelerator-hours, each by what its kind counts.
    pub promised_accelerator_h: f64,
    /// What it had ÷ what it was promised.
    pub ratio: f64,
}

/// All tenants, with equal weights.
#[derive(Debug)]
pub(super) struct Promises {
    half_life_s: f64,
    horizon_s: f64,
    /// What all accelerators count, in thousandths.
    worth_milli: f64,
    tenants: Vec<Tenant>,
}

/// In thousandths of accelerator-seconds.
#[derive(Clone, Debug, Default)]
struct Tenant {
    name: String,
    used: f64,
    promised: f64,
    delivered: f64,
    backlogged_s: f64,
}

/// What a tenant wants and has at one time, in thousandths of an accelerator that counts whole.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wish {
    pub(super) wanted_milli: u64,
    pub(super) held_milli: u64,
}

impl Promises {
    pub(super) fn new(terms: &JobTerms, worth_milli: u64, tenants: &[String]) -> Self {
        let tenant = |name: &String| Tenant {
            name: name.clone(),
            ..Tenant::default()
        };
        Self {
            half_life_s: terms.half_life_us as f64 / 1e6,
            horizon_s: terms.horizon_us as f64 / 1e6,
            worth_milli: worth_milli as f64,
            tenants: tenants.iter().map(tenant).collect(),
        }
    }

    /// So many seconds pass while tenants want and have that.
    pub(super) fn pass(&mut self, seconds: f64, wishes: &[Wish]) {
        if seconds <= 0.0 {
            return;
        }
        let promised = self.promised(wishes);
        let kept = 0.5f64.powf(seconds / self.half_life_s);
        for ((tenant, wish), promised) in self.tenants.iter_mut().zip(wishes).zip(promised) {
            let held = wish.held_milli as f64;
            // Somebody who wants half an accelerator more than it was promised wants none.
            if wish.wanted_milli as f64 > promised + 500.0 {
                tenant.promised += promised * seconds;
                tenant.delivered += held * seconds;
                tenant.backlogged_s += seconds;
            }
            tenant.used = tenant.used * kept + held * seconds;
        }
    }

    /// In thousandths of accelerators: all have the same of what counts as used, or all that they want.
    fn promised(&self, wishes: &[Wish]) -> Vec<f64> {
        let at = |level: f64| {
            let each = self.tenants.iter().zip(wishes);
            each.map(move |(tenant, wish)| {
                let promised = (level - tenant.used) / self.horizon_s;
                promised.clamp(0.0, wish.wanted_milli as f64)
            })
        };
        let wanted: f64 = wishes.iter().map(|wish| wish.wanted_milli as f64).sum();
        let given = wanted.min(self.worth_milli);
        let most = |(tenant, wish): (&Tenant, &Wish)| {
            tenant.used + wish.wanted_milli as f64 * self.horizon_s
        };
        let mut high = self
            .tenants
            .iter()
            .zip(wishes)
            .map(most)
            .fold(0.0, f64::max);
        let mut low = 0.0;
        for _ in 0..48 {
            let middle = f64::midpoint(low, high);
            if at(middle).sum::<f64>() < given {
                low = middle;
            } else {
                high = middle;
            }
        }
        at(high).collect()
    }

    pub(super) fn rows(&self) -> Vec<ShareRow> {
        let row = |tenant: &Tenant| ShareRow {
            tenant: tenant.name.clone(),
            backlogged_h: tenant.backlogged_s / 3_600.0,
            promised_accelerator_h: tenant.promised / 3_600_000.0,
            ratio: tenant.delivered / tenant.promised.max(1_000.0),
        };
        let mut rows: Vec<_> = self
            .tenants
            .iter()
            .filter(|tenant| tenant.backlogged_s > 0.0)
            .map(row)
            .collect();
        rows.sort_by(|one, other| other.backlogged_h.total_cmp(&one.backlogged_h));
        rows
    }
}
