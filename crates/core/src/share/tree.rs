//! The share tree of one pool. Each node carries the virtual time of its service: service divided by weight. Among siblings that
//! wait, the one with the least is next (start-time fair queueing over a hierarchy; for one level and a service of weighted
//! tokens it is the virtual token counter of OSDI'24). Who comes back from idleness begins where the others are.

mod known;
mod order;
mod tilt;

use super::level::TenantUse;
use super::weights::Weights;
use crate::fleet_view::Payer;
use crate::learn::{Peak, Rate, signed};
use crate::request::{FlowIndex, RequestIndex};
use madang_types::{KeyId, ProgrammeId, ProjectId, TenantId};
use std::collections::{BTreeMap, BTreeSet};

/// Queues of a pool, the first goes first: what is urgent and under its share, the ordinary, what takes what is left.
pub(crate) const LANES: usize = 3;
/// The last of them.
pub(crate) const REST_LANE: usize = 2;
/// Requests of one leaf that are looked at: the first may wait for a member while the second goes to another.
const LEAF_HEADS: usize = 8;
/// Virtual time of one unit of service at weight 1.
const UNIT: u64 = 1_000;
/// A weight that counts for itself.
const LEVEL: u32 = 1_000;
const ROOT: FlowIndex = 0;

/// What stands at a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    Root,
    Programme(ProgrammeId),
    Tenant(TenantId),
    Project(ProjectId),
    Key(KeyId),
}

/// A node; leaves hold queues.
#[derive(Debug)]
pub(crate) struct Node {
    pub name: Name,
    parent: FlowIndex,
    /// The tenant above it, or itself.
    pub tenant: FlowIndex,
    weight: u32,
    /// What its weight counts for now, in thousandths: credit raises it, debt lowers it.
    tilt_permille: u32,
    children: BTreeMap<Name, FlowIndex>,
    virtual_time: u64,
    /// Start tag of the child that was served last: where a child that comes back begins.
    floor: u64,
    /// Children that wait, by virtual time.
    ready: [BTreeSet<(u64, FlowIndex)>; LANES],
    pub waiting: [u32; LANES],
    pub running: u32,
    /// A leaf's requests, by order.
    queue: [BTreeMap<(i64, u64), RequestIndex>; LANES],
    /// A tenant's use of the pool.
    pub usage: Option<Box<TenantUse>>,
    /// A leaf's answers so far: mean output tokens.
    pub output: Option<crate::learn::Mean>,
}

impl Node {
    fn new(name: Name, parent: FlowIndex, weight: u32) -> Self {
        Self {
            usage: matches!(name, Name::Tenant(_)).then(Box::default),
            name,
            parent,
            tenant: ROOT,
            weight,
            tilt_permille: LEVEL,
            children: BTreeMap::new(),
            virtual_time: 0,
            floor: 0,
            ready: Default::default(),
            waiting: [0; LANES],
            running: 0,
            queue: Default::default(),
            output: None,
        }
    }

    fn waits(&self) -> bool {
        self.waiting.iter().any(|count| *count > 0)
    }

    pub fn waiting_total(&self) -> u32 {
        self.waiting.iter().sum()
    }

    /// What it is charged by: its weight, tilted, in thousandths.
    fn pull(&self) -> u64 {
        u64::from(self.weight.max(1)) * u64::from(self.tilt_permille.max(1))
    }

    fn is_idle(&self) -> bool {
        !self.waits() && self.running == 0 && self.children.is_empty()
    }
}

/// The tree. Node 0 is the root.
#[derive(Debug)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    free: Vec<FlowIndex>,
    /// Nodes whose weights are tilted.
    tilted: Vec<FlowIndex>,
    /// Accelerator time charged to whomever, in microseconds.
    served: Rate<10_000>,
    /// The most of that of late.
    served_most: Peak<300_000>,
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            nodes: vec![Node::new(Name::Root, ROOT, 1)],
            free: Vec::new(),
            tilted: Vec::new(),
            served: Rate::default(),
            served_most: Peak::default(),
        }
    }
}

fn at(index: FlowIndex) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

impl Tree {
    pub fn node(&self, index: FlowIndex) -> Option<&Node> {
        self.nodes.get(at(index))
    }

    pub fn node_mut(&mut self, index: FlowIndex) -> Option<&mut Node> {
        self.nodes.get_mut(at(index))
    }

    /// A leaf's tenant.
    pub fn tenant_of(&self, leaf: FlowIndex) -> FlowIndex {
        self.node(leaf).map_or(ROOT, |node| node.tenant)
    }

    /// The use of a leaf's tenant.
    pub fn usage_mut(&mut self, leaf: FlowIndex) -> Option<&mut TenantUse> {
        let tenant = self.tenant_of(leaf);
        self.node_mut(tenant)?.usage.as_deref_mut()
    }

    /// The use of a leaf's tenant.
    pub fn usage(&self, leaf: FlowIndex) -> Option<&TenantUse> {
        self.node(self.tenant_of(leaf))?.usage.as_deref()
    }

    /// Accelerator time is charged to a leaf's tenant, or given back.
    pub fn book(&mut self, leaf: FlowIndex, now_us: i64, service_us: i64) {
        let amount = signed(service_us);
        self.served.add(now_us, amount);
        if let Some(usage) = self.usage_mut(leaf) {
            usage.service.add(now_us, amount);
            usage.service_us = usage.service_us.saturating_add_signed(service_us);
            usage.unsettled.served_us += amount;
        }
    }

    /// The most accelerator time that was charged in a second of late, in microseconds. While floods wait for others engines give
    /// less than they can: the least of late would say that whoever is served asks for more than its part.
    pub fn served_us_per_second(&mut self, now_us: i64) -> f64 {
        let served = self.served.per_second(now_us);
        self.served_most.follow(now_us, served)
    }

    /// Requests waiting.
    pub fn waiting(&self) -> u32 {
        self.node(ROOT).map_or(0, Node::waiting_total)
    }

    /// Requests running.
    pub fn running(&self) -> u32 {
        self.node(ROOT).map_or(0, |root| root.running)
    }

    /// Requests waiting in one lane.
    pub fn waiting_in(&self, lane: usize) -> u32 {
        self.node(ROOT).map_or(0, |root| root.waiting[lane])
    }

    /// All tenants, by index.
    pub fn tenants(&self) -> impl Iterator<Item = (FlowIndex, &Node)> {
        (0..)
            .zip(&self.nodes)
            .filter(|(_, node)| node.usage.is_some() && node.parent_is_set())
    }

    /// All tenants, by index.
    pub fn tenants_mut(&mut self) -> impl Iterator<Item = (FlowIndex, &mut Node)> {
        (0..)
            .zip(&mut self.nodes)
            .filter(|(_, node)| node.usage.is_some() && node.parent_is_set())
    }

    /// Their uses of the pool.
    pub fn uses(&self) -> impl Iterator<Item = &TenantUse> {
        self.nodes.iter().filter_map(|node| node.usage.as_deref())
    }

    /// A node's parent and its weights: its own, and the programme's above it (1 where there is none).
    pub fn weights(&self, tenant: FlowIndex) -> (Option<(FlowIndex, u32)>, u32) {
        let Some(node) = self.node(tenant) else {
            return (None, 1);
        };
        let above = self
            .node(node.parent)
            .filter(|parent| matches!(parent.name, Name::Programme(_)))
            .map(|parent| (node.parent, parent.weight));
        (above, node.weight)
    }

    /// A tenant's count, for its weight (and its programme's), in parts that can be compared.
    pub fn per_weight(&self, tenant: FlowIndex, count: u32) -> u64 {
        let (above, weight) = self.weights(tenant);
        let programme = above.map_or(1, |(_, weight)| weight);
        u64::from(count) * 1_000_000 / (u64::from(weight) * u64::from(programme)).max(1)
    }

    /// The leaf of a payer, made where it is new.
    pub fn leaf(&mut self, payer: &Payer, weights: &Weights) -> FlowIndex {
        let (programme, tenant_weight) = weights.tenant(&payer.tenant);
        let mut parent = ROOT;
        if let Some(programme) = programme {
            let weight = weights.programme(&programme);
            parent = self.child(parent, Name::Programme(programme), weight);
        }
        let tenant = self.child(parent, Name::Tenant(payer.tenant.clone()), tenant_weight);
        parent = tenant;
        if let Some(project) = &payer.project {
            parent = self.child(parent, Name::Project(project.clone()), 1);
            self.belong(parent, tenant);
        }
        let leaf = self.child(parent, Name::Key(payer.key.clone()), 1);
        self.belong(tenant, tenant);
        self.belong(leaf, tenant);
        leaf
    }

    fn belong(&mut self, index: FlowIndex, tenant: FlowIndex) {
        if let Some(node) = self.node_mut(index) {
            node.tenant = tenant;
        }
    }

    fn child(&mut self, parent: FlowIndex, name: Name, weight: u32) -> FlowIndex {
        if let Some(&child) = self.node(parent).and_then(|node| node.children.get(&name)) {
            if let Some(node) = self.node_mut(child) {
                node.weight = weight;
            }
            return child;
        }
        let floor = self.node(parent).map_or(0, |node| node.floor);
        let mut node = Node::new(name.clone(), parent, weight);
        node.virtual_time = floor;
        let index = match self.free.pop() {
            Some(index) => {
                if let Some(slot) = self.node_mut(index) {
                    *slot = node;
                }
                index
            }
            None => {
                self.nodes.push(node);
                u32::try_from(self.nodes.len() - 1).unwrap_or(u32::MAX)
            }
        };
        if let Some(node) = self.node_mut(parent) {
            node.children.insert(name, index);
        }
        index
    }

    /// A leaf is about to be served without having waited: whoever was idle begins where the others are.
    pub fn join(&mut self, leaf: FlowIndex) {
        let mut index = leaf;
        while index != ROOT {
            let Some(parent) = self.node(index).map(|node| node.parent) else {
                return;
            };
            let floor = self.node(parent).map_or(0, |node| node.floor);
            if let Some(node) = self.node_mut(index)
                && !node.waits()
            {
                node.virtual_time = node.virtual_time.max(floor);
            }
            index = parent;
        }
    }

    /// Adds a request to its leaf.
    pub fn push(&mut self, leaf: FlowIndex, lane: u8, order: (i64, u64), request: RequestIndex) {
        let lane = usize::from(lane);
        if let Some(node) = self.node_mut(leaf) {
            node.queue[lane].insert(order, request);
        }
        let mut index = leaf;
        while index != ROOT {
            let Some(parent) = self.node(index).map(|node| node.parent) else {
                break;
            };
            let floor = self.node(parent).map_or(0, |node| node.floor);
            let Some(node) = self.node_mut(index) else {
                break;
            };
            if !node.waits() {
                // Nobody banks idle time.
                node.virtual_time = node.virtual_time.max(floor);
            }
            node.waiting[lane] += 1;
            let entry = (node.virtual_time, index);
            let first = node.waiting[lane] == 1;
            if first && let Some(parent) = self.node_mut(parent) {
                parent.ready[lane].insert(entry);
            }
            index = parent;
        }
        if let Some(root) = self.node_mut(ROOT) {
            root.waiting[lane] += 1;
        }
    }

    /// Takes a request out of its leaf.
    pub fn remove(&mut self, leaf: FlowIndex, lane: u8, order: (i64, u64)) {
        let lane = usize::from(lane);
        let found = self
            .node_mut(leaf)
            .is_some_and(|node| node.queue[lane].remove(&order).is_some());
        if !found {
            return;
        }
        let mut index = leaf;
        loop {
            let Some(node) = self.node_mut(index) else {
                return;
            };
            node.waiting[lane] -= 1;
            let (empty, parent) = (node.waiting[lane] == 0, node.parent);
            let entry = (node.virtual_time, index);
            if index == ROOT {
                return;
            }
            if empty && let Some(parent) = self.node_mut(parent) {
                parent.ready[lane].remove(&entry);
            }
            index = parent;
        }
    }

    /// A request of this leaf is served: later arrivals begin where it began.
    pub fn served(&mut self, leaf: FlowIndex) {
        self.each_up(leaf, |node| node.running += 1);
        let mut index = leaf;
        while index != ROOT {
            let Some((parent, start)) = self
                .node(index)
                .map(|node| (node.parent, node.virtual_time))
            else {
                return;
            };
            if let Some(parent) = self.node_mut(parent) {
                parent.floor = parent.floor.max(start);
            }
            index = parent;
        }
    }

    /// A request of this leaf runs no more.
    pub fn ended(&mut self, leaf: FlowIndex) {
        self.each_up(leaf, |node| node.running = node.running.saturating_sub(1));
    }

    fn each_up(&mut self, leaf: FlowIndex, act: impl Fn(&mut Node)) {
        let mut index = leaf;
        while let Some(node) = self.node_mut(index) {
            act(node);
            if index == ROOT {
                return;
            }
            index = node.parent;
        }
    }

    /// Charges service to a leaf and all above it; negative amounts give back.
    pub fn charge(&mut self, leaf: FlowIndex, amount: i64) {
        let mut index = leaf;
        while index != ROOT {
            let Some(node) = self.node_mut(index) else {
                return;
            };
            let before = (node.virtual_time, index);
            let step = amount
                .unsigned_abs()
                .saturating_mul(UNIT * u64::from(LEVEL))
                / node.pull();
            node.virtual_time = if amount < 0 {
                node.virtual_time.saturating_sub(step)
            } else {
                node.virtual_time.saturating_add(step)
            };
            let (after, parent, waiting) = (node.virtual_time, node.parent, node.waiting);
            if let Some(parent) = self.node_mut(parent) {
                for (ready, waiting) in parent.ready.iter_mut().zip(waiting) {
                    if waiting > 0 {
                        ready.remove(&before);
                        ready.insert((after, index));
                    }
                }
            }
            index = parent;
        }
    }

    /// Forgets leaves that hold nothing and whose tenant has been away since `before_us`.
    pub fn sweep(&mut self, before_us: i64) {
        let away = |tree: &Self, tenant: FlowIndex| {
            tree.node(tenant)
                .and_then(|node| node.usage.as_deref())
                .is_none_or(|usage| usage.last_seen_us < before_us)
        };
        loop {
            let idle: Vec<FlowIndex> = (1..)
                .zip(self.nodes.iter().skip(1))
                .filter(|(_, node)| {
                    node.is_idle() && node.parent_is_set() && away(self, node.tenant)
                })
                .map(|(index, _)| index)
                .collect();
            if idle.is_empty() {
                return;
            }
            for index in idle {
                self.forget(index);
            }
        }
    }

    fn forget(&mut self, index: FlowIndex) {
        let Some((parent, name)) = self
            .node(index)
            .map(|node| (node.parent, node.name.clone()))
        else {
            return;
        };
        if let Some(parent) = self.node_mut(parent) {
            parent.children.remove(&name);
        }
        if let Some(node) = self.node_mut(index) {
            *node = Node::new(Name::Root, ROOT, 1);
        }
        self.free.push(index);
    }
}

impl Node {
    /// False for the root, and for places of nodes that were forgotten.
    fn parent_is_set(&self) -> bool {
        self.name != Name::Root
    }
}

#[cfg(test)]
mod tests;
