//! Who is next in the tree, and who stands before whom. Looking changes nothing.

use super::{LANES, LEAF_HEADS, Name, Node, ROOT, Tree};
use crate::request::{FlowIndex, RequestIndex};
use smallvec::SmallVec;

impl Tree {
    /// The first requests of the leaves that wait in a lane, in the order in which they would be served; at most `max`.
    pub fn heads(&self, lane: usize, max: usize) -> SmallVec<[RequestIndex; 8]> {
        let mut heads = SmallVec::new();
        self.collect(ROOT, lane, max, &mut heads);
        heads
    }

    fn collect(
        &self,
        index: FlowIndex,
        lane: usize,
        max: usize,
        heads: &mut SmallVec<[RequestIndex; 8]>,
    ) {
        let Some(node) = self.node(index) else { return };
        heads.extend(node.queue[lane].values().take(LEAF_HEADS).copied());
        for (_, child) in &node.ready[lane] {
            if heads.len() >= max {
                return;
            }
            self.collect(*child, lane, max, heads);
        }
    }

    /// Has a request that waits stand elsewhere in its own queue: its tenant's turn stays what it is.
    pub fn stand(&mut self, (leaf, lane): (FlowIndex, u8), from: (i64, u64), to: (i64, u64)) {
        if let Some(node) = self.node_mut(leaf) {
            let queue = &mut node.queue[usize::from(lane)];
            if let Some(request) = queue.remove(&from) {
                queue.insert(to, request);
            }
        }
    }

    /// Every request that waits, by lane, leaf and order.
    pub fn all(&self) -> Vec<RequestIndex> {
        (0..LANES)
            .flat_map(|lane| {
                self.nodes
                    .iter()
                    .flat_map(move |node| node.queue[lane].values())
            })
            .copied()
            .collect()
    }

    /// The last request of a leaf in its least urgent lane.
    pub fn tail(&self, leaf: FlowIndex) -> Option<RequestIndex> {
        let node = self.node(leaf)?;
        node.queue
            .iter()
            .rev()
            .find_map(|queue| queue.last_key_value())
            .map(|(_, request)| *request)
    }

    /// The leaves under a node.
    pub fn leaves(&self, index: FlowIndex) -> Vec<FlowIndex> {
        let Some(node) = self.node(index) else {
            return Vec::new();
        };
        if matches!(node.name, Name::Key(_)) {
            return vec![index];
        }
        node.children
            .values()
            .flat_map(|child| self.leaves(*child))
            .collect()
    }

    /// How many requests stand before this one in its own leaf.
    pub fn before(&self, leaf: FlowIndex, lane: u8, order: (i64, u64)) -> u32 {
        let Some(node) = self.node(leaf) else {
            return 0;
        };
        let lane = usize::from(lane);
        let queue = &node.queue[lane];
        // From both ends at once: who comes stands near the last, whoever is asked about again near the first.
        let (mut before, mut behind) = (queue.range(..order), queue.range(order..));
        let mut passed = 0;
        let same = loop {
            if before.next().is_none() {
                break passed;
            }
            if behind.next().is_none() {
                break queue.len() - passed;
            }
            passed += 1;
        };
        let ahead: u32 = node.waiting[..lane].iter().sum();
        u32::try_from(same)
            .unwrap_or(u32::MAX)
            .saturating_add(ahead)
    }

    /// Siblings that wait in the same lane, at the level of tenants: who takes turns with this leaf.
    pub fn rivals(&self, lane: u8) -> u32 {
        let lane = usize::from(lane);
        let waiting = |(_, node): &(FlowIndex, &Node)| node.waiting[lane] > 0;
        u32::try_from(self.tenants().filter(waiting).count()).unwrap_or(u32::MAX)
    }
}
