//! Shares over time: each pool's service is set against the shares, and the trees are told what follows.

use crate::credit::{CreditRow, PoolInterval};
use crate::fleet_view::ShareRule;
use crate::request::FlowIndex;
use crate::share::Name;
use crate::state::Core;
use madang_types::Micros;

impl Core {
    /// Ends the interval where it is due. While nothing waits or runs nobody asks, and what is idle lends nothing.
    pub(super) fn credits_settle(&mut self, now: Micros) {
        let own = self.rules.share == ShareRule::Madang;
        if !own || !self.credits.is_due(now) {
            return;
        }
        let mut intervals = Vec::new();
        for index in self.pool_indices() {
            let accelerators = self.available_count(now, index);
            let Some(pool) = self.pool_mut(index) else {
                continue;
            };
            intervals.push(PoolInterval {
                accelerators,
                contended: pool.tree.waiting() > 0,
                used: pool.tree.unsettled(),
            });
        }
        self.credits.settle(now, &intervals);
        self.reaches_apply();
    }

    fn available_count(&self, now: Micros, pool: u32) -> u32 {
        let members = self.pool(pool).map(|pool| pool.members.iter());
        let serving = members
            .into_iter()
            .flatten()
            .filter_map(|index| self.member(*index))
            .filter(|member| member.available(now));
        u32::try_from(serving.count()).unwrap_or(u32::MAX)
    }

    pub(super) fn on_credits_restore(&mut self, rows: Vec<CreditRow>) {
        self.credits.restore(rows);
        self.reaches_apply();
    }

    /// Tells the trees what each tenant's share may become.
    fn reaches_apply(&mut self) {
        for pool in self.pools.iter_mut().flatten() {
            for (tenant, usage) in pool.tree.uses_mut() {
                usage.reach = Some(self.credits.reach(tenant));
            }
        }
    }

    /// A flow that is new in a pool hears what its tenant's share may become.
    pub(super) fn credit_known(&mut self, pool_index: u32, leaf: FlowIndex) {
        let reach = self.pool(pool_index).and_then(|pool| {
            let node = pool.tree.node(pool.tree.tenant_of(leaf))?;
            let (Name::Tenant(tenant), Some(usage)) = (&node.name, &node.usage) else {
                return None;
            };
            usage.reach.is_none().then(|| self.credits.reach(tenant))
        });
        let usage = self
            .pool_mut(pool_index)
            .and_then(|pool| pool.tree.usage_mut(leaf));
        if let (Some(reach), Some(usage)) = (reach, usage) {
            usage.reach = Some(reach);
        }
    }
}
