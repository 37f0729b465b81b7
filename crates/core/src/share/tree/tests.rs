//! The tree against a plain one: vectors, scanned from end to end.

use super::*;
use crate::fleet_view::{Shares, TenantShare};
use proptest::collection::vec;
use proptest::prelude::*;

/// A node of the plain tree, known by its path from the root.
struct Plain {
    path: Vec<Name>,
    weight: u64,
    virtual_time: u64,
    floor: u64,
    running: u32,
}

/// A request that waits: the path of its leaf, its lane, its order, and what it is called.
type Waiting = (Vec<Name>, usize, (i64, u64), RequestIndex);

struct Model {
    nodes: Vec<Plain>,
    waiting: Vec<Waiting>,
    weights: Weights,
}

impl Model {
    fn new(weights: Weights) -> Self {
        let mut model = Self {
            nodes: Vec::new(),
            waiting: Vec::new(),
            weights,
        };
        model.add(&[], 1);
        model
    }

    fn node(&self, path: &[Name]) -> &Plain {
        let found = self.nodes.iter().find(|node| node.path == path);
        found.expect("the path was added")
    }

    fn node_mut(&mut self, path: &[Name]) -> &mut Plain {
        let found = self.nodes.iter_mut().find(|node| node.path == path);
        found.expect("the path was added")
    }

    /// The path of a payer's leaf; what is new on it begins at its parent's floor.
    fn path(&mut self, payer: &Payer) -> Vec<Name> {
        let (programme, tenant_weight) = self.weights.tenant(&payer.tenant);
        let mut steps = Vec::new();
        if let Some(programme) = programme {
            let weight = self.weights.programme(&programme);
            steps.push((Name::Programme(programme), weight));
        }
        steps.push((Name::Tenant(payer.tenant.clone()), tenant_weight));
        steps.extend(
            payer
                .project
                .clone()
                .map(|project| (Name::Project(project), 1)),
        );
        steps.push((Name::Key(payer.key.clone()), 1));
        let mut path = Vec::new();
        for (name, weight) in steps {
            path.push(name);
            self.add(&path, weight.into());
        }
        path
    }

    fn add(&mut self, path: &[Name], weight: u64) {
        if self.nodes.iter().any(|node| node.path == path) {
            self.node_mut(path).weight = weight;
            return;
        }
        let above = path.len().checked_sub(1);
        let virtual_time = above.map_or(0, |above| self.node(&path[..above]).floor);
        self.nodes.push(Plain {
            path: path.to_vec(),
            weight,
            virtual_time,
            floor: 0,
            running: 0,
        });
    }

    fn waits(&self, path: &[Name]) -> bool {
        self.waiting.iter().any(|(leaf, ..)| leaf.starts_with(path))
    }

    fn count(&self, path: &[Name], lane: usize) -> usize {
        let here = |(leaf, its, ..): &&Waiting| leaf.starts_with(path) && *its == lane;
        self.waiting.iter().filter(here).count()
    }

    /// Whoever was idle begins where the others are.
    fn join(&mut self, path: &[Name]) {
        for depth in 1..=path.len() {
            if !self.waits(&path[..depth]) {
                let floor = self.node(&path[..depth - 1]).floor;
                let node = self.node_mut(&path[..depth]);
                node.virtual_time = node.virtual_time.max(floor);
            }
        }
    }

    fn served(&mut self, path: &[Name]) {
        for depth in 0..=path.len() {
            self.node_mut(&path[..depth]).running += 1;
        }
        for depth in 1..=path.len() {
            let start = self.node(&path[..depth]).virtual_time;
            let above = self.node_mut(&path[..depth - 1]);
            above.floor = above.floor.max(start);
        }
    }

    fn ended(&mut self, path: &[Name]) {
        for depth in 0..=path.len() {
            self.node_mut(&path[..depth]).running -= 1;
        }
    }

    fn charge(&mut self, path: &[Name], amount: i64) {
        for depth in 1..=path.len() {
            let node = self.node_mut(&path[..depth]);
            let step = amount.unsigned_abs() * UNIT / node.weight;
            node.virtual_time = if amount < 0 {
                node.virtual_time.saturating_sub(step)
            } else {
                node.virtual_time + step
            };
        }
    }

    /// The first few of each leaf, leaves in the order of their virtual times, level by level. Those of like virtual times follow
    /// the order that `index` gives.
    fn heads(
        &self,
        path: &[Name],
        lane: usize,
        index: &impl Fn(&[Name]) -> FlowIndex,
    ) -> Vec<RequestIndex> {
        let mut own: Vec<((i64, u64), RequestIndex)> = self
            .waiting
            .iter()
            .filter(|(leaf, its, ..)| leaf == path && *its == lane)
            .map(|(_, _, order, request)| (*order, *request))
            .collect();
        own.sort_unstable();
        let mut heads: Vec<RequestIndex> = own
            .into_iter()
            .take(LEAF_HEADS)
            .map(|(_, request)| request)
            .collect();
        let mut children: Vec<(u64, FlowIndex, &[Name])> = self
            .nodes
            .iter()
            .filter(|node| node.path.len() == path.len() + 1 && node.path.starts_with(path))
            .filter(|node| self.count(&node.path, lane) > 0)
            .map(|node| (node.virtual_time, index(&node.path), node.path.as_slice()))
            .collect();
        children.sort_unstable();
        for (_, _, child) in children {
            heads.extend(self.heads(child, lane, index));
        }
        heads
    }
}

/// Where the tree keeps a path.
fn find(tree: &Tree, path: &[Name]) -> Option<FlowIndex> {
    let mut index = ROOT;
    for name in path {
        index = *tree.node(index)?.children.get(name)?;
    }
    Some(index)
}

fn compare(tree: &Tree, model: &Model) -> Result<(), TestCaseError> {
    for plain in &model.nodes {
        let path = &plain.path;
        let index = find(tree, path).expect("the tree has every node");
        let node = tree.node(index).expect("it was found");
        let counts: Vec<usize> = (0..LANES).map(|lane| model.count(path, lane)).collect();
        let waiting: Vec<usize> = node.waiting.iter().map(|count| at(*count)).collect();
        prop_assert_eq!(&waiting, &counts, "{:?}", path);
        prop_assert_eq!(
            (node.virtual_time, node.floor, node.running),
            (plain.virtual_time, plain.floor, plain.running),
            "{:?}",
            path
        );
    }
    let index = |path: &[Name]| find(tree, path).unwrap_or(FlowIndex::MAX);
    for lane in 0..LANES {
        let heads = model.heads(&[], lane, &index);
        prop_assert_eq!(tree.heads(lane, usize::MAX).to_vec(), heads);
    }
    let mut all = tree.all();
    all.sort_unstable();
    let mut waiting: Vec<RequestIndex> = model.waiting.iter().map(|(.., index)| *index).collect();
    waiting.sort_unstable();
    prop_assert_eq!(all, waiting);
    Ok(())
}

#[derive(Clone, Debug)]
enum Step {
    Push(Payer, u8, i64),
    /// The one of those who wait is served, after that many.
    Serve(usize, i64),
    Remove(usize),
    /// Served without having waited.
    Join(Payer),
    End(usize),
    Charge(Payer, i64),
    Weights(Shares),
}

fn name<T>(made: Result<T, madang_types::NameError>) -> T {
    made.expect("the name is well formed")
}

prop_compose! {
    fn any_payer()(t in 0u8..4, k in 0u8..2, project in any::<bool>()) -> Payer {
        Payer {
            tenant: name(TenantId::new(&format!("t{t}"))),
            project: project.then(|| name(ProjectId::new("unit"))),
            key: name(KeyId::new(&format!("k{k}"))),
        }
    }
}

/// Programmes stay what they are: a tenant that changes its programme is another flow there.
fn any_shares() -> impl Strategy<Value = Shares> {
    (vec(0u32..5, 2), vec(0u32..5, 3)).prop_map(|(programmes, tenants)| {
        let programme = |n: usize| name(ProgrammeId::new(&format!("p{n}")));
        Shares {
            programmes: (0..).map(programme).zip(programmes).collect(),
            tenants: (0..)
                .zip(tenants)
                .map(|(n, weight)| TenantShare {
                    tenant: name(TenantId::new(&format!("t{n}"))),
                    programme: (n < 3).then(|| programme(n / 2)),
                    weight,
                })
                .collect(),
            floors: Vec::new(),
        }
    })
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any_payer(), 0u8..3, 0i64..20).prop_map(|(payer, lane, order)| Step::Push(payer, lane, order)),
        4 => (any::<usize>(), 0i64..10_000).prop_map(|(which, amount)| Step::Serve(which, amount)),
        1 => any::<usize>().prop_map(Step::Remove),
        1 => any_payer().prop_map(Step::Join),
        3 => any::<usize>().prop_map(Step::End),
        2 => (any_payer(), -10_000i64..10_000).prop_map(|(payer, amount)| Step::Charge(payer, amount)),
        1 => any_shares().prop_map(Step::Weights),
    ]
}

/// Both trees, step by step.
struct Pair {
    tree: Tree,
    model: Model,
    running: Vec<(FlowIndex, Vec<Name>)>,
    count: RequestIndex,
}

impl Pair {
    fn leaf(&mut self, payer: &Payer) -> (FlowIndex, Vec<Name>) {
        let leaf = self.tree.leaf(payer, &self.model.weights);
        (leaf, self.model.path(payer))
    }

    /// Takes one of those who wait out of both.
    fn take(&mut self, which: usize) -> Option<(FlowIndex, Vec<Name>)> {
        let which = which.checked_rem(self.model.waiting.len())?;
        let (path, lane, order, _) = self.model.waiting.remove(which);
        let leaf = find(&self.tree, &path)?;
        let lane = u8::try_from(lane).unwrap_or(u8::MAX);
        self.tree.remove(leaf, lane, order);
        Some((leaf, path))
    }

    fn serve(&mut self, (leaf, path): (FlowIndex, Vec<Name>)) {
        self.tree.served(leaf);
        self.model.served(&path);
        self.running.push((leaf, path));
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Push(payer, lane, order) => {
                let (leaf, path) = self.leaf(&payer);
                self.count += 1;
                let (order, request) = ((order, self.count.into()), self.count);
                self.tree.push(leaf, lane, order, request);
                self.model.join(&path);
                self.model.waiting.push((path, lane.into(), order, request));
            }
            Step::Serve(which, amount) => {
                if let Some((leaf, path)) = self.take(which) {
                    self.serve((leaf, path.clone()));
                    self.tree.charge(leaf, amount);
                    self.model.charge(&path, amount);
                }
            }
            Step::Remove(which) => {
                self.take(which);
            }
            Step::Join(payer) => {
                let (leaf, path) = self.leaf(&payer);
                self.tree.join(leaf);
                self.model.join(&path);
                self.serve((leaf, path));
            }
            Step::End(which) => {
                if let Some(which) = which.checked_rem(self.running.len()) {
                    let (leaf, path) = self.running.remove(which);
                    self.tree.ended(leaf);
                    self.model.ended(&path);
                }
            }
            Step::Charge(payer, amount) => {
                let (leaf, path) = self.leaf(&payer);
                self.tree.charge(leaf, amount);
                self.model.charge(&path, amount);
            }
            Step::Weights(shares) => self.model.weights = Weights::new(shares),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_tree_does_what_a_plain_one_does(shares in any_shares(), steps in vec(any_step(), 1..120)) {
        let mut pair = Pair {
            tree: Tree::default(),
            model: Model::new(Weights::new(shares)),
            running: Vec::new(),
            count: 0,
        };
        for step in steps {
            pair.step(step);
            compare(&pair.tree, &pair.model)?;
        }
        // Who waits or runs is never forgotten; when nobody does, everything is.
        let before = pair.tree.waiting();
        pair.tree.sweep(i64::MAX);
        prop_assert_eq!(pair.tree.waiting(), before);
        for (leaf, path) in &pair.running {
            prop_assert_eq!(find(&pair.tree, path), Some(*leaf));
        }
        while pair.take(0).is_some() {}
        for (leaf, _) in pair.running.drain(..) {
            pair.tree.ended(leaf);
        }
        pair.tree.sweep(i64::MAX);
        prop_assert_eq!(pair.tree.tenants().count(), 0);
        prop_assert_eq!(pair.tree.free.len() + 1, pair.tree.nodes.len());
    }
}

#[test]
fn a_place_of_one_forgotten_is_used_again_and_nobody_else_is_forgotten() {
    let payer = |tenant: &str| Payer {
        tenant: name(TenantId::new(tenant)),
        project: None,
        key: name(KeyId::new("k")),
    };
    let weights = Weights::default();
    let mut tree = Tree::default();
    let gone = tree.leaf(&payer("gone"), &weights);
    let late = tree.leaf(&payer("late"), &weights);
    if let Some(usage) = tree.usage_mut(late) {
        usage.last_seen_us = 100;
    }
    tree.sweep(50);
    assert_eq!(find(&tree, &[Name::Tenant(payer("gone").tenant)]), None);
    assert_eq!(tree.leaf(&payer("late"), &weights), late);
    let nodes = tree.nodes.len();
    tree.leaf(&payer("new"), &weights);
    assert_eq!(tree.nodes.len(), nodes, "{gone} was not used again");
}
