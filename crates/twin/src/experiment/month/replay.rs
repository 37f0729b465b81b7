//! The month by the minute: what there is flows to those who want it, by their parts; the core keeps the accounts.

use super::demand::{Demand, TENANTS};
use madang_core::credit::{Claimant, Credits, PoolInterval, Reach, Used, leans};
use madang_core::{CreditTerms, Shares};
use madang_types::{Micros, TenantId};

/// A whole accelerator: shares are parts of it.
const ACCELERATORS: u32 = 1;
const MINUTE_US: i64 = 60_000_000;
const MINUTES_A_DAY: u64 = 24 * 60;
const DAY_US: f64 = 86_400e6;
/// Who asks for more than its part by this factor asks for more than its part: the core's own bound.
const OVER_FACTOR: f64 = 1.25;

/// What came of it.
pub(super) struct Replay {
    pub tenants: Vec<TenantMonth>,
    /// Part of what there was that was used.
    pub used_ratio: f64,
}

/// One tenant's month.
pub(super) struct TenantMonth {
    pub part: f64,
    pub asked_ratio: f64,
    pub ratio: f64,
    pub balance_days: f64,
}

/// Replays so many days of that seed.
pub(super) fn replay(shares: &Shares, terms: CreditTerms, (seed, days): (u64, u64)) -> Replay {
    let mut credits = Credits::new(terms);
    credits.shares_apply(shares);
    credits.settle(Micros(0), &[interval(false, Vec::new())]);
    let mut askers: Vec<Asker> = (0..)
        .zip(&TENANTS)
        .zip(&shares.tenants)
        .map(|((number, wish), share)| {
            let account = credits.account(&share.tenant);
            Asker {
                tenant: share.tenant.clone(),
                demand: Demand::new(seed, number, wish),
                part: account.map_or(0.0, |account| account.part),
                waiting: 0.0,
                waiting_max: f64::from(wish.waits_h * 60) * wish.level,
            }
        })
        .collect();
    let minutes = days * MINUTES_A_DAY;
    let mut used = 0.0;
    for minute in 0..minutes {
        used += step(minute, &mut askers, &mut credits);
    }
    Replay {
        tenants: askers.iter().map(|asker| asker.month(&credits)).collect(),
        used_ratio: used / (minutes.max(1) as f64),
    }
}

/// One tenant. Work is in minutes of all that there is.
struct Asker {
    tenant: TenantId,
    demand: Demand,
    part: f64,
    waiting: f64,
    /// In times its part.
    waiting_max: f64,
}

impl Asker {
    fn month(&self, credits: &Credits) -> TenantMonth {
        let account = credits.account(&self.tenant).cloned().unwrap_or_default();
        let month = account.month;
        let ratio = |part: u64, whole: u64| part as f64 / (whole as f64).max(1.0);
        TenantMonth {
            part: self.part,
            asked_ratio: ratio(month.asked_us, month.entitled_us),
            ratio: ratio(month.delivered_us, month.promised_us()),
            balance_days: account.balance_us / DAY_US / self.part,
        }
    }
}

fn interval(contended: bool, used: Vec<(TenantId, Used)>) -> PoolInterval {
    PoolInterval {
        accelerators: ACCELERATORS,
        contended,
        used,
    }
}

/// One minute; returns the part of what there was that was used.
fn step(minute: u64, askers: &mut [Asker], credits: &mut Credits) -> f64 {
    let asks: Vec<f64> = askers
        .iter_mut()
        .map(|asker| asker.demand.next(minute) * asker.part)
        .collect();
    let wants: Vec<f64> = askers
        .iter()
        .zip(&asks)
        .map(|(asker, asks)| asker.waiting + asks)
        .collect();
    let reaches: Vec<Reach> = askers
        .iter()
        .map(|asker| credits.reach(&asker.tenant))
        .collect();
    let served = divide(&wants, &reaches);
    let mut used = Vec::with_capacity(askers.len());
    for (asker, ((asks, wants), served)) in
        askers.iter_mut().zip(asks.iter().zip(&wants).zip(&served))
    {
        asker.waiting = (wants - served).min(asker.waiting_max * asker.part);
        let minute_us = MINUTE_US as f64;
        let all = Used {
            served_us: served * minute_us,
            asked_us: asks * minute_us,
        };
        used.push((asker.tenant.clone(), all));
    }
    let contended = wants.iter().sum::<f64>() > f64::from(ACCELERATORS);
    let now = Micros(i64::try_from(minute + 1).unwrap_or(0) * MINUTE_US);
    credits.settle(now, &[interval(contended, used)]);
    served.iter().sum()
}

/// One minute's service: of all that there is, by the programmes' parts and inside them by the tenants', nobody more than it wants.
fn divide(wants: &[f64], reaches: &[Reach]) -> Vec<f64> {
    let programme = |n: usize| TENANTS[n].programme;
    let parts = parts(wants);
    let claimants: Vec<Claimant> = parts
        .iter()
        .zip(wants.iter().zip(reaches))
        .map(|(part, (wants, reach))| Claimant {
            part: *part,
            reach: if reach.factor > 1.0 || *wants > part * OVER_FACTOR {
                *reach
            } else {
                Reach::LEVEL
            },
            asks: *wants,
        })
        .collect();
    let parts = leans(&claimants).unwrap_or(parts);
    let mut sums = [(0.0, 0.0); super::PROGRAMMES.len()];
    for (n, (want, part)) in wants.iter().zip(&parts).enumerate() {
        sums[programme(n)].0 += want;
        sums[programme(n)].1 += part;
    }
    let total = f64::from(ACCELERATORS);
    let rooms = fill(&sums, total);
    let mut served = vec![0.0; wants.len()];
    for (of, room) in rooms.into_iter().enumerate() {
        let members: Vec<usize> = (0..wants.len()).filter(|n| programme(*n) == of).collect();
        let inside: Vec<(f64, f64)> = members.iter().map(|n| (wants[*n], parts[*n])).collect();
        for (n, got) in members.into_iter().zip(fill(&inside, room)) {
            served[n] = got;
        }
    }
    served
}

/// Each one's part by weight among those who want something.
fn parts(wants: &[f64]) -> Vec<f64> {
    let active = |n: &usize| wants[*n] > 0.0;
    let mut counts = [0.0; super::PROGRAMMES.len()];
    for n in (0..wants.len()).filter(active) {
        counts[TENANTS[n].programme] += 1.0;
    }
    let weight = |of: usize| f64::from(super::PROGRAMMES[of].1);
    let total: f64 = (0..counts.len())
        .filter(|of| counts[*of] > 0.0)
        .map(weight)
        .sum();
    let part = |n: usize| {
        let of = TENANTS[n].programme;
        if active(&n) {
            weight(of) / total / counts[of]
        } else {
            0.0
        }
    };
    (0..wants.len()).map(part).collect()
}

/// Max-min fairness by weight: everybody gets what it wants, but at most a level × its weight, and `total` is used up.
fn fill(wants: &[(f64, f64)], total: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wants.len())
        .filter(|n| wants[*n].0 > 0.0 && wants[*n].1 > 0.0)
        .collect();
    order.sort_by(|one, other| {
        (wants[*one].0 / wants[*one].1).total_cmp(&(wants[*other].0 / wants[*other].1))
    });
    let mut weights: f64 = order.iter().map(|n| wants[*n].1).sum();
    let (mut left, mut got) = (total, vec![0.0; wants.len()]);
    for n in order {
        let (want, weight) = wants[n];
        got[n] = want.min(left * weight / weights);
        left -= got[n];
        weights -= weight;
    }
    got
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::month::demand;

    fn check(wants: &[(f64, f64)], total: f64, expected: &[f64]) {
        let got = fill(wants, total);
        let near = got
            .iter()
            .zip(expected)
            .all(|(one, other)| (one - other).abs() < 1e-9);
        assert!(near, "{got:?}, not {expected:?}");
    }

    /// Months in which a large tenant bursts on demo day out of what its own programme's debtor gives.
    #[test]
    fn small_programmes_get_theirs_while_a_large_ones_tenant_bursts() {
        let shares = demand::shares().expect("the names are well formed");
        for seed in [1, 3] {
            let month = replay(&shares, CreditTerms::default(), (seed, 28));
            for (wish, tenant) in TENANTS.iter().zip(&month.tenants) {
                let (name, ratio) = (wish.name, tenant.ratio);
                assert!(ratio >= 0.95, "seed {seed}: {name} gets {ratio}");
            }
        }
    }

    #[test]
    fn who_wants_little_gets_it_and_the_rest_is_by_weight() {
        check(&[(0.1, 1.0), (5.0, 1.0)], 1.0, &[0.1, 0.9]);
        check(&[(5.0, 3.0), (5.0, 1.0)], 1.0, &[0.75, 0.25]);
        check(&[(0.1, 1.0), (0.2, 1.0), (0.0, 9.0)], 1.0, &[0.1, 0.2, 0.0]);
    }
}
