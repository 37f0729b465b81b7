//! Who gives way where a queue is full: the least urgent lane first, in it the tenant that has the most waiting for its weight, of
//! that the latest. A critical request of a tenant under its share gives way to nobody of another lane.

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
        let own = usize::from(lane);
        // The least urgent lane that somebody waits in.
        let Some(last) = (0..LANES)
            .rev()
            .find(|lane| self.tree.waiting_in(*lane) > 0)
        else {
            return Shedding::Newcomer;
        };
        if last < own {
            return Shedding::Newcomer;
        }
        let Some((crowd, most)) = self.crowd(last) else {
            return Shedding::Newcomer;
        };
        let newcomers = self.tree.node(tenant).map_or(0, |node| node.waiting[last]);
        let larger =
            self.tree.per_weight(crowd, most) > self.tree.per_weight(tenant, newcomers + 1);
        if last == own && !larger {
            return Shedding::Newcomer;
        }
        self.tree
            .leaves(crowd)
            .into_iter()
            .max_by_key(|leaf| self.tree.node(*leaf).map_or(0, |node| node.waiting[last]))
            .and_then(|leaf| self.tree.tail(leaf))
            .map_or(Shedding::Newcomer, Shedding::Waiting)
    }

    /// The tenant that has the most waiting in a lane for its weight, and how many.
    fn crowd(&self, lane: usize) -> Option<(FlowIndex, u32)> {
        self.tree
            .tenants()
            .map(|(index, node)| (index, node.waiting[lane]))
            .filter(|(_, waiting)| *waiting > 0)
            .max_by_key(|(index, waiting)| {
                (
                    self.tree.per_weight(*index, *waiting),
                    std::cmp::Reverse(*index),
                )
            })
    }
}
