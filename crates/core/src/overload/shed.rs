//! Who gives way where a queue is full: what takes what is left, then tenants over their share by how many they have waiting.
//! A request of a tenant under its share that is critical never does.

use crate::request::{FlowIndex, RequestIndex};
use crate::share::LANES;
use crate::state::Pool;

/// What to do with a newcomer at a full queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shedding {
    /// This one gives its place.
    Waiting(RequestIndex),
    /// The newcomer is refused.
    Newcomer,
}

impl Pool {
    /// Who gives way to a newcomer of `tenant` in `lane`.
    pub fn shed(&self, tenant: FlowIndex, lane: u8) -> Shedding {
        let last = LANES - 1;
        if usize::from(lane) < last && self.tree.waiting_in(last) > 0 {
            return self.longest(last, None);
        }
        if usize::from(lane) == last {
            return Shedding::Newcomer;
        }
        let over = |index: FlowIndex| {
            self.tree
                .node(index)
                .and_then(|node| node.usage.as_deref())
                .is_some_and(|usage| usage.over)
        };
        if over(tenant) {
            return Shedding::Newcomer;
        }
        match self.longest(1, Some(&over)) {
            Shedding::Newcomer if lane == 0 => self.longest(1, None),
            other => other,
        }
    }

    /// The last request of the tenant that has the most waiting for its part, among those that `which` lets through.
    fn longest(&self, lane: usize, which: Option<&dyn Fn(FlowIndex) -> bool>) -> Shedding {
        let crowd = self
            .tree
            .tenants()
            .filter(|(index, node)| node.waiting[lane] > 0 && which.is_none_or(|which| which(*index)))
            .max_by_key(|(index, node)| (node.waiting[lane], std::cmp::Reverse(*index)));
        let Some((tenant, _)) = crowd else {
            return Shedding::Newcomer;
        };
        let leaf = self
            .tree
            .leaves(tenant)
            .into_iter()
            .max_by_key(|leaf| self.tree.node(*leaf).map_or(0, |node| node.waiting[lane]));
        leaf.and_then(|leaf| self.tree.tail(leaf))
            .map_or(Shedding::Newcomer, Shedding::Waiting)
    }
}
