//! What the core remembers. Only `apply` changes it.

use crate::credit::Credits;
use crate::fleet_view::{CoreLimits, Rules, VirtualCandidate};
use crate::learn::Mean;
use crate::member::Member;
use crate::overload::{Budget, Pace};
use crate::policy::PolicyTable;
use crate::power::governor::PowerTerms;
use crate::request::{MemberIndex, RequestIndex, Requests};
use crate::route::{PrefixIndex, Scratch};
use crate::share::{Guard, Holds, Lend, Rest, Tree, Weights};
use crate::status::AttemptCounts;
use crate::{Refusal, session::Sessions};
use madang_types::{
    Micros, ModelId, Place, Policy, ProgrammeId, ReplicaId, SiteId, StopScope, Zone,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Whoever asked a pool within that time asks it: it is not left to those who take what is left.
const ASKED_US: u64 = 10_000_000;

/// The decision core: one value, one owner.
#[derive(Debug, Default)]
pub struct Core {
    pub(crate) limits: CoreLimits,
    pub(crate) rules: Rules,
    pub(crate) draining: bool,
    /// Places that URLs in requests lead to.
    pub(crate) origins: BTreeSet<(SiteId, Place)>,
    /// The policy as written, and as compiled over the members' places and the origins.
    pub(crate) policy_source: Policy,
    pub(crate) policy: PolicyTable,
    pub(crate) stops: BTreeSet<StopScope>,
    /// Sites where power is short.
    pub(crate) power: BTreeMap<SiteId, PowerTerms>,
    pub(crate) weights: Weights,
    /// Ground below which no data of a programme goes.
    pub(crate) floors: BTreeMap<ProgrammeId, Zone>,
    pub(crate) credits: Credits,
    /// Members by index; a place whose member is gone is used again.
    pub(crate) members: Vec<Option<Member>>,
    pub(crate) member_ids: BTreeMap<ReplicaId, MemberIndex>,
    /// Pools by index, likewise.
    pub(crate) pools: Vec<Option<Pool>>,
    /// By model, and by the names of adapters.
    pub(crate) pool_ids: BTreeMap<ModelId, u32>,
    /// Models with a member that is held back and comes back: their requests wait rather than being refused.
    pub(crate) returning: BTreeSet<ModelId>,
    /// Names that lead to several models: which.
    pub(crate) virtuals: BTreeMap<ModelId, Vec<VirtualCandidate>>,
    pub(crate) requests: Requests,
    /// Requests that their model cannot serve, and why: by the end of the step they are at another one, or refused.
    pub(crate) moving: VecDeque<(RequestIndex, Refusal)>,
    /// Counts submissions and starts; orders the queue and breaks ties by least recent use.
    pub(crate) sequence: u64,
    pub(crate) scratch: Scratch,
    pub(crate) swept_at: Micros,
    /// When members were told last what power there is.
    pub(crate) power_at: Micros,
}

/// Replicas that serve the same model, and who waits for them.
#[derive(Debug)]
pub(crate) struct Pool {
    pub model: ModelId,
    pub members: Vec<MemberIndex>,
    pub tree: Tree,
    /// Those who wait, by their deadlines.
    pub deadlines: BTreeSet<(Micros, RequestIndex)>,
    pub prefix: PrefixIndex,
    pub sessions: Sessions,
    pub guard: Guard,
    pub holds: Holds,
    /// What those under their share lend to those over it.
    pub lend: Lend,
    /// Prompt work of tenants over their share that is under way, as the guard counts it.
    pub over_us: u64,
    /// When the last came that does not just take what is left.
    pub asked_at: Micros,
    /// When the guard was last worked out.
    pub guarded_at: Micros,
    /// How fast those who wait are started.
    pub pace: Pace,
    /// Memory that a request needs on average.
    pub need: Mean,
    pub retry_budget: Budget,
    pub hedge_budget: Budget,
    pub counts: AttemptCounts,
    pub refusals: BTreeMap<Refusal, u64>,
}

impl Pool {
    pub fn new(model: ModelId) -> Self {
        Self {
            model,
            members: Vec::new(),
            tree: Tree::default(),
            deadlines: BTreeSet::new(),
            prefix: PrefixIndex::default(),
            sessions: Sessions::default(),
            guard: Guard::default(),
            holds: Holds::default(),
            lend: Lend::default(),
            over_us: 0,
            asked_at: Micros(i64::MIN / 2),
            guarded_at: Micros(i64::MIN / 2),
            pace: Pace::default(),
            need: Mean::new(0.0),
            retry_budget: Budget::retries(),
            hedge_budget: Budget::hedges(),
            counts: AttemptCounts::default(),
            refusals: BTreeMap::new(),
        }
    }

    /// Whether others ask it beside those who take what is left.
    pub fn rest(&self, now: Micros) -> Rest {
        if now.since_us(self.asked_at) < ASKED_US {
            Rest::BesideOthers
        } else {
            Rest::Alone
        }
    }
}

fn at(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

impl Core {
    /// A core that knows no fleet yet.
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn member(&self, index: MemberIndex) -> Option<&Member> {
        self.members.get(usize::from(index))?.as_ref()
    }

    pub(crate) fn member_mut(&mut self, index: MemberIndex) -> Option<&mut Member> {
        self.members.get_mut(usize::from(index))?.as_mut()
    }

    pub(crate) fn pool(&self, index: u32) -> Option<&Pool> {
        self.pools.get(at(index))?.as_ref()
    }

    pub(crate) fn pool_mut(&mut self, index: u32) -> Option<&mut Pool> {
        self.pools.get_mut(at(index))?.as_mut()
    }

    /// Indices of all pools, in the order of their making.
    pub(crate) fn pool_indices(&self) -> Vec<u32> {
        (0..)
            .zip(&self.pools)
            .filter(|(_, pool)| pool.is_some())
            .map(|(index, _)| index)
            .collect()
    }

    /// Requests that wait or run.
    pub fn requests_count(&self) -> usize {
        self.requests.len()
    }
}
