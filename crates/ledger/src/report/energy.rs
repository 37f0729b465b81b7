//! Whose energy it was in a span, and whether that is what sites drew.

use super::LegSum;
use crate::Account;
use madang_types::{SiteId, TenantId, Unit};
use std::collections::BTreeMap;

/// What a site drew in a span, and where that went. Thousandths of a joule at its meter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SiteEnergy {
    /// What its meters counted.
    pub measured_mj: i64,
    /// What a model says of what no meter counted.
    pub modelled_mj: i64,
    /// What of it requests took.
    pub requests_mj: i64,
    /// What of it runs of jobs took that ended in the span.
    pub jobs_mj: i64,
    /// What was drawn for nobody.
    pub idle_mj: i64,
}

impl SiteEnergy {
    /// What was drawn and is nobody's yet: that of runs that are not over. Below zero where runs ended in the span that drew it before.
    pub fn open_mj(&self) -> i64 {
        let drawn = self.measured_mj.saturating_add(self.modelled_mj);
        let told = [self.requests_mj, self.jobs_mj, self.idle_mj];
        told.into_iter().fold(drawn, i64::saturating_sub)
    }
}

/// What a tenant took in a span, in thousandths of a joule at sites' meters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TenantEnergy {
    /// By its requests.
    pub requests_mj: i64,
    /// By runs of its jobs that ended in the span.
    pub jobs_mj: i64,
}

/// Energy by site and by tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnergyUse {
    /// By site; of an extract of some tenants it has what those took there, and no more.
    pub sites: BTreeMap<SiteId, SiteEnergy>,
    /// By tenant.
    pub tenants: BTreeMap<TenantId, TenantEnergy>,
}

/// Of the sums over the legs of entries about energy, and about jobs.
pub fn energy_use(energy_legs: &[LegSum], job_legs: &[LegSum]) -> EnergyUse {
    let mut all = EnergyUse::default();
    let of_requests = energy_legs.iter().map(|leg| (leg, false));
    let of_jobs = job_legs.iter().map(|leg| (leg, true));
    for (leg, is_job) in of_requests.chain(of_jobs) {
        if leg.unit == Unit::MilliJoules {
            all.add(leg, is_job);
        }
    }
    all
}

impl EnergyUse {
    fn add(&mut self, leg: &LegSum, is_job: bool) {
        let mut site = |id: &SiteId, part: fn(&mut SiteEnergy) -> &mut i64, amount: i64| {
            let sum = part(self.sites.entry(id.clone()).or_default());
            *sum = sum.saturating_add(amount);
        };
        match (&leg.from, &leg.to) {
            (Account::Meter(_), Account::Site(id)) => {
                site(id, |site| &mut site.measured_mj, leg.amount);
            }
            (Account::Model(_), Account::Site(id)) => {
                site(id, |site| &mut site.modelled_mj, leg.amount);
            }
            (Account::Site(id), Account::Idle(_)) => site(id, |site| &mut site.idle_mj, leg.amount),
            // Runs' own entries had more than they drew.
            (Account::Idle(_), Account::Site(id)) => {
                site(id, |site| &mut site.idle_mj, leg.amount.saturating_neg());
            }
            (Account::Site(id), to) => {
                let Some(tenant) = to.tenant() else {
                    return;
                };
                let part: fn(&mut SiteEnergy) -> &mut i64 = match is_job {
                    true => |site| &mut site.jobs_mj,
                    false => |site| &mut site.requests_mj,
                };
                site(id, part, leg.amount);
                let sums = self.tenants.entry(tenant.clone()).or_default();
                let sum = match is_job {
                    true => &mut sums.jobs_mj,
                    false => &mut sums.requests_mj,
                };
                *sum = sum.saturating_add(leg.amount);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leg(unit: Unit, from: &str, to: &str, amount: i64) -> LegSum {
        LegSum {
            unit,
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            amount,
        }
    }

    #[test]
    fn what_a_site_drew_is_requests_jobs_idle_or_open() {
        let mj = |from, to, amount| leg(Unit::MilliJoules, from, to, amount);
        let energy = [
            mj("meter:pohang", "site:pohang", 700),
            mj("model:pohang", "site:pohang", 300),
            mj("site:pohang", "idle:pohang", 250),
            mj("idle:pohang", "site:pohang", 50),
            mj("site:pohang", "project:hanbit:search", 400),
            mj("site:pohang", "tenant:hanbit", 100),
            mj("site:ulsan", "tenant:haneul", 7),
        ];
        let jobs = [
            mj("site:pohang", "project:hanbit:search", 60),
            leg(Unit::AcceleratorMs, "site:pohang", "tenant:hanbit", 9_000),
            leg(Unit::MicroWon, "allocation:a", "site:pohang", 9_000),
        ];
        let found = energy_use(&energy, &jobs);
        let pohang = SiteEnergy {
            measured_mj: 700,
            modelled_mj: 300,
            requests_mj: 500,
            jobs_mj: 60,
            idle_mj: 200,
        };
        assert_eq!(found.sites[&"pohang".parse().unwrap()], pohang);
        assert_eq!(pohang.open_mj(), 240);
        let hanbit = TenantEnergy {
            requests_mj: 500,
            jobs_mj: 60,
        };
        assert_eq!(found.tenants[&"hanbit".parse().unwrap()], hanbit);
        assert_eq!((found.sites.len(), found.tenants.len()), (2, 2));
    }
}
