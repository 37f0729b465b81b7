//! Who runs: accounts in the order of their standings, of each its jobs by rank, until accelerators are all given.
//!
//! What is decided here counts accelerators of each `[[nodes]]`; on which machines they are is `room.rs`'s.

mod start;

use super::account::{Accounts, Standing};
use super::ask::{AccountKey, JobKey, Need, NodesKey};
use super::crowd::Crowds;
use super::place::Wanted;
use super::plan::{End, Plan};
use super::queue::{Job, State};
use super::reserve::{Kept, KeptFree};
use super::site::Held;
use super::{Jobs, Rank};
use madang_types::Micros;
use std::cmp::Reverse;
use std::collections::btree_set::Iter;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// So many are looked at to whom machines are closed, and whose like found none.
const LOOKED_MAX: usize = 20_000;

/// Who is to run.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    /// Those that wait and are to start, the first first.
    pub(super) start: Vec<Start>,
    /// Those that run and may be stopped for them, the last to be stopped first.
    pub(super) loose: Vec<JobKey>,
    /// Those that wait and are planned: when each starts.
    pub(super) planned: Vec<(JobKey, Micros)>,
    /// Those that wait though they could start.
    pub(super) held: BTreeMap<JobKey, Held>,
    /// What is wanted of machines, as far as that was asked.
    pub(super) crowds: Crowds,
}

/// A job that is to start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) job: JobKey,
    pub(super) kind: Kind,
    pub(super) at: Wanted,
}

/// Those that need the same, and to whom the same is closed: what one cannot have, none of them can.
pub(super) type Kind = (Need, Kept);

/// Somebody's turn: by rank, those that run before those that wait, then by age.
type Turn = (Rank, bool, JobKey);

/// An account's jobs, the next one on top. The number says from which kind it comes.
struct Leaf<'a> {
    turns: BinaryHeap<Reverse<(Turn, Option<usize>)>>,
    kinds: Vec<Iter<'a, (Rank, JobKey)>>,
}

struct Walk<'a> {
    jobs: &'a Jobs,
    now: Micros,
    /// Those of the tier whose turn it is.
    leaves: BTreeMap<AccountKey, Leaf<'a>>,
    /// Those of lower tiers.
    below: BTreeMap<u8, BTreeMap<AccountKey, Leaf<'a>>>,
    /// Of each account with others below it, those that have jobs.
    open: BTreeMap<AccountKey, BinaryHeap<Reverse<(Standing, AccountKey)>>>,
    /// What accounts that have a bound hold in jobs of a class, or are to hold, in thousandths of an accelerator.
    held_milli: BTreeMap<(AccountKey, u8), u64>,
    /// What accounts, with all below them, are to hold, in thousandths of an accelerator.
    granted_milli: BTreeMap<AccountKey, u64>,
    /// Kinds that may still be had.
    alive: BTreeSet<Need>,
    /// Those of these that may not, as what others may have is closed to them.
    dead: BTreeSet<Kind>,
    /// What is free on machines that are kept.
    kept: KeptFree,
    /// Those that were looked at and are dead, or bound by their class.
    looked: usize,
    /// Accelerators that are not given yet, by [`NodesKey`].
    left_milli: Vec<u64>,
    /// What may be drawn besides on each feed, in watts.
    headroom_watts: Vec<u64>,
    ends: Vec<End>,
    /// The time to come, once somebody has to wait.
    plan: Option<Plan>,
    /// The same, of all that come first, once somebody may wait for machines that are cheaper.
    outlook: Option<Plan>,
    /// What is wanted of machines, once that was asked.
    crowds: Crowds,
    /// Those that were looked at behind all that are planned, and have to wait.
    behind: usize,
    /// Who comes after this one, or after so many, is not asked for.
    last: Option<(JobKey, usize)>,
    chosen: Chosen,
}

impl Jobs {
    /// Who is to run, where kinds in `dead` find no place.
    pub(super) fn walk(&self, now: Micros, dead: &BTreeSet<Kind>) -> Chosen {
        let mut walk = Walk::new(self, now, dead);
        walk.begin();
        walk.run();
        walk.end()
    }

    /// Those that wait, up to this one or so many, in the order in which they would start if there were room for each.
    pub(super) fn order(&self, now: Micros, last: JobKey, count_max: usize) -> Vec<JobKey> {
        let mut walk = Walk::new(self, now, &BTreeSet::new());
        walk.last = Some((last, count_max));
        walk.begin();
        // Enough for anybody, and far from the end of what can be counted.
        walk.left_milli.fill(u64::MAX / 2);
        walk.run();
        let start = walk.chosen.start.into_iter();
        start.map(|start| start.job).collect()
    }

    /// When a job will have ended that runs from `now` on.
    pub(super) fn ends_at(&self, now: Micros, job: &Job) -> Micros {
        let ran_us = job.used_at(now) / u128::from(job.milli().max(1));
        let ran_us = u64::try_from(ran_us).unwrap_or(u64::MAX);
        let run_us = if self.rule.is_fair() {
            self.estimates.run_us(&job.ask, ran_us)
        } else {
            job.ask.run_us_max
        };
        now.plus_us(run_us.saturating_sub(ran_us))
    }
}

impl<'a> Walk<'a> {
    fn new(jobs: &'a Jobs, now: Micros, dead: &BTreeSet<Kind>) -> Self {
        let mut walk = Self {
            jobs,
            now,
            leaves: BTreeMap::new(),
            below: BTreeMap::new(),
            held_milli: BTreeMap::new(),
            open: BTreeMap::new(),
            granted_milli: BTreeMap::new(),
            alive: BTreeSet::new(),
            dead: dead.clone(),
            kept: KeptFree::new(&jobs.floor),
            looked: 0,
            left_milli: jobs.floor.free_milli().to_vec(),
            headroom_watts: jobs.headroom_watts(),
            ends: Vec::new(),
            plan: None,
            outlook: None,
            crowds: Crowds::new(),
            behind: 0,
            last: None,
            chosen: Chosen::default(),
        };
        for (account, line) in &jobs.queues.lines {
            for ((need, class), kind) in line {
                if dead.contains(&(*need, 0)) {
                    continue;
                }
                walk.alive.insert(*need);
                let leaf = walk.leaf(class.tier, *account);
                leaf.kinds.push(kind.iter());
                leaf.advance(leaf.kinds.len() - 1);
            }
        }
        walk
    }

    /// Who holds accelerators whatever comes, and who may lose them.
    fn begin(&mut self) {
        for key in &self.jobs.running {
            let Some(job) = self.jobs.jobs.get(key) else {
                continue;
            };
            let State::Running {
                at,
                placements,
                stopping,
                ..
            } = &job.state
            else {
                continue;
            };
            let Some(nodes) = self.nodes_of(placements) else {
                continue;
            };
            self.hold(job);
            if !*stopping && !self.is_loose(job, *at) {
                self.grant(job, nodes);
                self.ends(job, nodes, placements);
                continue;
            }
            self.free(nodes, job.milli());
            self.kept.change(&self.jobs.floor, placements, true);
            if !*stopping {
                let rank = job.rank(&self.jobs.terms, job.used_at(self.now));
                let leaf = self.leaf(job.ask.class.tier, job.ask.account);
                leaf.turns.push(Reverse(((rank, false, *key), None)));
            }
        }
        self.next_tier();
    }

    fn leaf(&mut self, tier: u8, account: AccountKey) -> &mut Leaf<'a> {
        let leaves = self.below.entry(tier).or_default();
        leaves.entry(account).or_insert_with(Leaf::new)
    }

    /// Those of the next lower tier have their turns; false where there is none.
    fn next_tier(&mut self) -> bool {
        let Some((_, leaves)) = self.below.pop_last() else {
            return false;
        };
        self.leaves = leaves;
        self.leaves.retain(|_, leaf| !leaf.turns.is_empty());
        self.open.clear();
        let leaves: Vec<AccountKey> = self.leaves.keys().copied().collect();
        for leaf in leaves {
            self.open_above(leaf);
        }
        true
    }

    /// Puts `account` before its parent's eyes, and that before its own, up to where it is there already.
    fn open_above(&mut self, account: AccountKey) {
        let mut here = account;
        while let Some(parent) = self.jobs.accounts.parent(here) {
            let known = self.open.contains_key(&parent);
            let standing = self.standing(here);
            let open = self.open.entry(parent).or_default();
            open.push(Reverse((standing, here)));
            if known {
                break;
            }
            here = parent;
        }
    }

    fn run(&mut self) {
        while !self.alive.is_empty() && !self.is_enough() {
            let Some(account) = self.next_account() else {
                if self.next_tier() {
                    continue;
                }
                return;
            };
            let goes_on = self.turn(account);
            if self
                .leaves
                .get(&account)
                .is_some_and(|leaf| leaf.turns.is_empty())
            {
                self.leaves.remove(&account);
            }
            self.close(account);
            if !goes_on {
                return;
            }
        }
    }

    fn is_enough(&self) -> bool {
        let start = &self.chosen.start;
        self.last.is_some_and(|(last, most)| {
            start.last().map(|start| start.job) == Some(last) || start.len() >= most
        })
    }

    /// Whose turn it is; it is taken out of all that are above it.
    fn next_account(&mut self) -> Option<AccountKey> {
        let mut here = Accounts::ROOT;
        while !self.leaves.contains_key(&here) {
            let Reverse((_, next)) = self.open.get_mut(&here)?.pop()?;
            here = next;
        }
        Some(here)
    }

    /// Puts an account that had its turn back where it stands now, unless nothing of it is left.
    fn close(&mut self, account: AccountKey) {
        let mut here = account;
        while let Some(parent) = self.jobs.accounts.parent(here) {
            let is_left = self.leaves.contains_key(&here)
                || self.open.get(&here).is_some_and(|open| !open.is_empty());
            if is_left {
                let standing = self.standing(here);
                self.open
                    .entry(parent)
                    .or_default()
                    .push(Reverse((standing, here)));
            }
            here = parent;
        }
    }

    /// One job's turn; false where no other may come.
    fn turn(&mut self, account: AccountKey) -> bool {
        let Some(leaf) = self.leaves.get_mut(&account) else {
            return true;
        };
        let Some(Reverse(((_, _, key), kind))) = leaf.turns.pop() else {
            return true;
        };
        let Some(job) = self.jobs.jobs.get(&key) else {
            return true;
        };
        let Some(kind) = kind else {
            self.keep(job);
            return true;
        };
        if self.alive.contains(&job.ask.need) {
            leaf.advance(kind);
            let closed = self.jobs.closed(self.now, job);
            if !self.dead.contains(&(job.ask.need, closed)) && self.is_within_bound(job) {
                return self.start(job, closed);
            }
            self.looked += 1;
            return self.looked < LOOKED_MAX;
        }
        true
    }

    /// A job that runs goes on where there is enough for it.
    fn keep(&mut self, job: &Job) {
        let State::Running { placements, .. } = &job.state else {
            return;
        };
        let Some(nodes) = self.nodes_of(placements) else {
            return;
        };
        if self.give(nodes, job.milli()) {
            self.grant(job, nodes);
            self.kept.change(&self.jobs.floor, placements, false);
            self.ends(job, nodes, placements);
        } else {
            self.chosen.loose.push(job.ask.job);
        }
    }

    /// A job that runs ends, and its accelerators are for all once nobody keeps its machines.
    fn ends(&mut self, job: &Job, nodes: NodesKey, placements: &[super::Placement]) {
        let ends_at = self.jobs.ends_at(self.now, job);
        let kept_until = self.jobs.kept_until(self.now, placements);
        let at = kept_until.map_or(ends_at, |until| until.max(ends_at));
        self.ends.push((at, job.ask.job, nodes, job.milli()));
    }

    /// Those whose turn did not come are the first to be stopped.
    fn end(self) -> Chosen {
        let mut chosen = self.chosen;
        let below = self.below.into_values().rev();
        for leaves in std::iter::once(self.leaves).chain(below) {
            let left = leaves.into_values().flat_map(|leaf| leaf.turns);
            let mut others: Vec<Turn> = left
                .filter(|Reverse((_, kind))| kind.is_none())
                .map(|Reverse((turn, _))| turn)
                .collect();
            others.sort_unstable();
            let others = others.into_iter().map(|(_, _, job)| job);
            chosen.loose.extend(others);
        }
        chosen.crowds = self.crowds;
        chosen.planned = self.plan.map(Plan::into_starts).unwrap_or_default();
        chosen
    }

    fn is_loose(&self, job: &Job, at: Micros) -> bool {
        self.jobs.rule.preempts()
            && job.ask.preemptible
            && self.now.since_us(at) >= self.jobs.terms.run_us_min
    }

    /// The job's account and all above it are to hold what it needs.
    fn grant(&mut self, job: &Job, nodes: NodesKey) {
        let milli = self.jobs.counts(Some(nodes), job.milli());
        let mut next = Some(job.ask.account);
        while let Some(here) = next {
            *self.granted_milli.entry(here).or_default() += milli;
            next = self.jobs.accounts.parent(here);
        }
    }

    /// Whose bound counts for a job, and for which class; `None` where there is no bound.
    fn bounded(&self, job: &Job) -> Option<(AccountKey, u8)> {
        let class = job.ask.class;
        let above = self.jobs.accounts.parent(job.ask.account);
        let has_bound = class.held_milli_max < u64::MAX;
        has_bound.then_some((above.unwrap_or(job.ask.account), class.key))
    }

    /// Whether a job's class lets those above its account hold as much as it needs besides.
    fn is_within_bound(&self, job: &Job) -> bool {
        self.bounded(job).is_none_or(|bounded| {
            let held = self.held_milli.get(&bounded).copied().unwrap_or(0);
            held.saturating_add(job.milli()) <= job.ask.class.held_milli_max
        })
    }

    /// It holds what it needs, or is to.
    fn hold(&mut self, job: &Job) {
        if let Some(bounded) = self.bounded(job) {
            *self.held_milli.entry(bounded).or_default() += job.milli();
        }
    }

    fn standing(&self, account: AccountKey) -> Standing {
        let milli = self.granted_milli.get(&account).copied().unwrap_or(0);
        self.jobs.accounts.standing(account, milli, self.now)
    }

    fn nodes_of(&self, placements: &[super::Placement]) -> Option<NodesKey> {
        self.jobs.floor.nodes_of(placements)
    }

    fn free(&mut self, nodes: NodesKey, milli: u64) {
        if let Some(left) = self.left_milli.get_mut(usize::from(nodes.0)) {
            *left = left.saturating_add(milli);
        }
    }

    fn give(&mut self, nodes: NodesKey, milli: u64) -> bool {
        let left = self.left_milli.get_mut(usize::from(nodes.0));
        let enough = left.filter(|left| **left >= milli);
        enough.map(|left| *left -= milli).is_some()
    }
}

impl Leaf<'_> {
    fn new() -> Self {
        Self {
            turns: BinaryHeap::new(),
            kinds: Vec::new(),
        }
    }

    /// Puts the next job of a kind into the line.
    fn advance(&mut self, kind: usize) {
        let next = self.kinds.get_mut(kind).and_then(Iterator::next);
        if let Some((rank, job)) = next {
            self.turns.push(Reverse(((*rank, true, *job), Some(kind))));
        }
    }
}
