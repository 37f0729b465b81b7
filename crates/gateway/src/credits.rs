//! Credit from the books: what tenants left and took of each other's shares before this process began, or at other gateways.
//!
//! The books say how much of which model each tenant used in each hour. Set against the shares of now, by the core's own code,
//! that is what they have beside their shares. What the books do not say is lost: what was asked for and not served, when within
//! an hour it was used, and which shares and replicas there were then.

use crate::clock;
use crate::gateway::Gateway;
use madang_core::credit::{Booked, Credits, PoolInterval, Used};
use madang_core::{Input, PoolMember, Shares};
use madang_store::{StoreError, UsageFilter, UsageGroup, UsageSum};
use madang_types::{Micros, ModelId, TenantId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

const HOUR_US: i64 = 3_600_000_000;
/// The books are looked through as far back as two half-lives go, within these bounds: a month is always whole.
const DAYS: std::ops::RangeInclusive<u32> = 31..=60;
/// Records of an hour come from other gateways until so many hours later; later ones are seen by who starts after that.
const LATE_HOURS: i64 = 24;

/// What one look through the books leaves to the next: the accounts as they stood before the hours that records still come of.
#[derive(Default)]
pub struct Folded(Option<(i64, Credits)>);

/// A pool's replicas of now: how many, and the first of them.
type Pools = BTreeMap<ModelId, (u32, PoolMember)>;

impl Gateway {
    /// Works out from the books what tenants have beside their shares, and puts it in the place of what the core holds: from what the
    /// look before this one left, or from long ago. Says whether other gateways write to the books too.
    ///
    /// # Errors
    /// The books cannot be read; what the core holds stays.
    pub async fn credits_restore(&self, folded: &mut Folded) -> Result<bool, StoreError> {
        let view = self.snapshot().view(&BTreeSet::new());
        let mut pools = Pools::new();
        for member in view.members {
            let model = member.model.clone();
            pools.entry(model).or_insert((0, member)).0 += 1;
        }
        let now = clock::now();
        let until = now.0.div_euclid(HOUR_US) + 1;
        let closed = until - LATE_HOURS;
        // None of them, where the clock was set back.
        let before = folded.0.clone().filter(|(hour, _)| *hour <= closed);
        let (first, mut credits) = before.unwrap_or_else(|| {
            let days = (2 * view.credit.half_life_days).clamp(*DAYS.start(), *DAYS.end());
            let first = until - i64::from(days) * 24;
            let mut credits = Credits::new(view.credit);
            credits.settle(Micros(first * HOUR_US), &intervals(&pools, &[]));
            (first, credits)
        });
        credits.terms_apply(view.credit);
        credits.shares_apply(&self.shares_told());
        let mut left = None;
        for hour in first..until {
            if hour == closed {
                left = Some((hour, credits.clone()));
            }
            let span = UsageFilter {
                from: Some(Micros(hour * HOUR_US)),
                until: Some(Micros((hour + 1) * HOUR_US)),
                ..UsageFilter::default()
            };
            let store = self.books.store();
            let sums = store.usage_sum(span, UsageGroup::TenantModel).await?;
            let end = now.min(Micros((hour + 1) * HOUR_US));
            credits.settle(end, &intervals(&pools, &sums));
        }
        let shared = self.books.store().people_revision().await?.is_some();
        self.driver.apply(Input::CreditsRestore(credits.rows()));
        folded.0 = left;
        Ok(shared)
    }

    fn shares_told(&self) -> Shares {
        let told = self.shares.lock();
        told.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// An hour of every pool. What was used of models that nobody serves now counts for nothing.
fn intervals(pools: &Pools, sums: &[UsageSum]) -> Vec<PoolInterval> {
    let mut used: BTreeMap<&ModelId, Vec<(TenantId, Used)>> = BTreeMap::new();
    for sum in sums {
        let Some((tenant, model)) = sum.group.split_once('/') else {
            continue;
        };
        let (Ok(tenant), Ok(model)) = (TenantId::new(tenant), ModelId::new(model)) else {
            continue;
        };
        let Some((model, (_, member))) = pools.get_key_value(&model) else {
            continue;
        };
        let booked = Booked {
            requests: sum.requests,
            uncached_tokens: sum.uncached_tokens,
            cached_tokens: sum.cached_tokens,
            output_tokens: sum.output_tokens,
        };
        let served_us = booked.service_us(member) as f64;
        let all = Used {
            served_us,
            asked_us: served_us,
        };
        used.entry(model).or_default().push((tenant, all));
    }
    let interval = |(model, (replicas, _)): (&ModelId, &(u32, PoolMember))| PoolInterval {
        accelerators: *replicas,
        contended: false,
        used: used.remove(model).unwrap_or_default(),
    };
    pools.iter().map(interval).collect()
}
