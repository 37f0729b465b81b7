//! Which of several machines with room a job is given: by price, and why these.

use super::{Desk, DeskNodes};
use crate::jobs::{JobKey, NodesKey};
use madang_types::{MicroWon, NodesId};
use std::collections::BTreeMap;

/// Work that costs twice as much as where it is cheapest weighs as an hour of waiting, in milliseconds for each thousandth more.
const DEAR_PERMILLE_MS: u64 = 3_600;
/// Dearer than that counts as that: a thousand times as dear.
const DEAR_PERMILLE_MAX: u64 = 1_000_000;
/// Other machines that are told of.
const OTHERS_SHOWN_MAX: usize = 4;

impl Desk {
    /// What an hour of one accelerator costs from now on; machines that are not named weigh nothing.
    pub fn prices(&mut self, hours: BTreeMap<NodesId, MicroWon>) {
        self.hours = hours;
        self.weigh();
    }

    /// What an hour of one accelerator costs, where that is known.
    pub fn known_prices(&self) -> &BTreeMap<NodesId, MicroWon> {
        &self.hours
    }

    /// Tells the queue what each of the machines weighs.
    pub(super) fn weigh(&mut self) {
        let cheapest = self.cheapest();
        let keys = (0u8..).zip(&self.nodes).map(|(key, _)| NodesKey(key));
        let weights = keys.map(|key| self.dear_permille(key, cheapest) * DEAR_PERMILLE_MS);
        self.jobs.costs(weights.collect());
    }

    /// What a thousand hours that count whole cost where they are cheapest.
    fn cheapest(&self) -> Option<u128> {
        let prices = self.nodes.iter().map(|nodes| self.work_price(nodes));
        prices.flatten().min()
    }

    /// By how many thousandths the same work is dearer there than where it is cheapest: what an hour costs, by what it counts.
    fn dear_permille(&self, key: NodesKey, cheapest: Option<u128>) -> u64 {
        let nodes = self.nodes.get(usize::from(key.0));
        let own = nodes.and_then(|nodes| self.work_price(nodes));
        let (Some(own), Some(cheapest)) = (own, cheapest) else {
            return 0;
        };
        let more = own.saturating_sub(cheapest).saturating_mul(1_000);
        u64::try_from(more / cheapest.max(1))
            .unwrap_or(DEAR_PERMILLE_MAX)
            .min(DEAR_PERMILLE_MAX)
    }

    /// What a thousand hours that count whole cost there.
    fn work_price(&self, nodes: &DeskNodes) -> Option<u128> {
        let hour = u128::try_from(self.hours.get(&nodes.id)?.0).ok()?;
        Some(hour * 1_000_000 / u128::from(nodes.worth_milli.max(1)))
    }

    /// Why a job that just was given machines is there and not on others on which it may be; `None` where there are none, or where
    /// nothing that is known speaks against them.
    pub(super) fn why_here(&self, job: JobKey) -> Option<String> {
        let (here, others) = self.jobs.elsewhere(job)?;
        let cheapest = self.cheapest();
        let own = self.dear_permille(here, cheapest);
        let told = others.into_iter().filter_map(|(key, has_room)| {
            let id = &self.nodes.get(usize::from(key.0))?.id;
            let dearer = self.dear_permille(key, cheapest).saturating_sub(own) / 10;
            match has_room {
                false => Some(format!("{id} has no room now")),
                true => (dearer > 0).then(|| format!("{id} is {dearer} % dearer")),
            }
        });
        let told: Vec<String> = told.take(OTHERS_SHOWN_MAX).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }
}
