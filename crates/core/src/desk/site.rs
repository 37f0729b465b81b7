//! Which of several machines with room a job is given: by price and by power, and why these.

use super::Desk;
use crate::jobs::{JobKey, NodesKey};
use madang_types::{MicroWon, NodesId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Work that costs twice as much as where it is cheapest weighs as an hour of waiting, in milliseconds for each thousandth more.
const DEAR_PERMILLE_MS: u64 = 3_600;
/// Machines for which no power is left weigh as a day.
const DARK_MS: u64 = 86_400_000;
/// Other machines that are told of.
const OTHERS_SHOWN_MAX: usize = 4;

/// What is known of some `[[nodes]]` for the choice among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodesCost {
    /// What an hour of one accelerator costs; `None` where it has no price.
    pub hour: Option<MicroWon>,
    /// Watts that one accelerator draws with its part of the machine, and watts that are left for all; `None` where nobody knows.
    pub watts: Option<(u64, u64)>,
}

impl NodesCost {
    fn is_dark(&self) -> bool {
        self.watts.is_some_and(|(one, left)| left < one)
    }
}

impl Desk {
    /// What is known of machines from now on; those that are not named, or have no price, weigh nothing.
    pub fn costs(&mut self, costs: BTreeMap<NodesId, NodesCost>) {
        self.costs = costs;
        self.weigh();
    }

    /// What is known of machines.
    pub fn known_costs(&self) -> &BTreeMap<NodesId, NodesCost> {
        &self.costs
    }

    /// Tells the queue what each of the machines weighs.
    pub(super) fn weigh(&mut self) {
        let weights = (0u8..).zip(&self.nodes).map(|(key, _)| {
            let dark = if self.is_dark(NodesKey(key)) {
                DARK_MS
            } else {
                0
            };
            self.dear_permille(NodesKey(key)) * DEAR_PERMILLE_MS + dark
        });
        self.jobs.costs(weights.collect());
    }

    /// By how many thousandths the same work is dearer there than where it is cheapest: what an hour costs, by what it counts.
    fn dear_permille(&self, key: NodesKey) -> u64 {
        let prices = (0..=u8::MAX).zip(&self.nodes);
        let prices = prices.filter_map(|(key, _)| self.work_price(NodesKey(key)));
        let own = self.work_price(key);
        let (Some(own), Some(cheapest)) = (own, prices.min()) else {
            return 0;
        };
        let more = own.saturating_sub(cheapest).saturating_mul(1_000);
        u64::try_from(more / cheapest.max(1))
            .unwrap_or(u64::from(u32::MAX))
            .min(1_000_000)
    }

    /// What a thousand hours that count whole cost there.
    fn work_price(&self, key: NodesKey) -> Option<u128> {
        let nodes = self.nodes.get(usize::from(key.0))?;
        let hour = self.costs.get(&nodes.id)?.hour?;
        let hour = u128::try_from(hour.0).ok()?;
        Some(hour * 1_000_000 / u128::from(nodes.worth_milli.max(1)))
    }

    fn is_dark(&self, key: NodesKey) -> bool {
        let nodes = self.nodes.get(usize::from(key.0));
        let cost = nodes.and_then(|nodes| self.costs.get(&nodes.id));
        cost.is_some_and(NodesCost::is_dark)
    }

    /// Why a job that just was given machines is there and not on others on which it may be; `None` where there are none, or where
    /// nothing that is known speaks against them.
    pub(super) fn why_here(&self, job: JobKey) -> Option<String> {
        let (here, others) = self.jobs.elsewhere(job)?;
        let own = self.dear_permille(here);
        let told = others.into_iter().filter_map(|(key, has_room)| {
            let id = &self.nodes.get(usize::from(key.0))?.id;
            let dearer = self.dear_permille(key).saturating_sub(own) / 10;
            if !has_room {
                Some(format!("{id} has no room now"))
            } else if self.is_dark(key) {
                Some(format!("{id} has no power left"))
            } else {
                (dearer > 0).then(|| format!("{id} is {dearer} % dearer"))
            }
        });
        let told: Vec<String> = told.take(OTHERS_SHOWN_MAX).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }
}
