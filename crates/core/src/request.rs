//! Requests that the core knows: waiting, or running at one member (at two, where a hedge races).

use crate::effect::Via;
use crate::input::{RequestSubmit, TOKENS_MAX};
use crate::lookup::Lookup;
use crate::member::Work;
use crate::policy::{Denial, Subject};
use crate::share::REST_LANE;
use madang_types::{Micros, ModelId, RequestId};
use smallvec::SmallVec;

/// Index of a request in [`Requests`].
pub(crate) type RequestIndex = u32;
/// Index of a member.
pub(crate) type MemberIndex = u16;
/// Index of a node of a pool's share tree.
pub(crate) type FlowIndex = u32;

/// A request that the core knows.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// What it wants; its model is the one that it is at.
    pub submit: RequestSubmit,
    /// How it came there, and what is left.
    pub course: Course,
    /// Its pool.
    pub pool: u32,
    /// Who asks for what, to the policy in force.
    pub subject: Subject,
    /// Its leaf in the pool's share tree.
    pub leaf: FlowIndex,
    /// Which of the tree's queues it waits in: 0 goes first.
    pub lane: u8,
    /// Orders it inside its leaf; kept through retries, so that a retry does not go to the end.
    pub order: (i64, u64),
    /// Its prompt work, where that was least when it came.
    pub work_us: u64,
    /// It stands in the tree.
    pub waiting: bool,
    pub arrived_at: Micros,
    /// Refused if still waiting then.
    pub wait_until: Micros,
    /// Attempts started.
    pub attempts: u32,
    /// Those of them that were called off so that others come in time.
    pub preempted: u32,
    /// Where it failed.
    pub failed_at: SmallVec<[MemberIndex; 2]>,
    /// Where it runs now: a hedge makes two.
    pub runs: SmallVec<[Run; 1]>,
    /// The engine's first byte came: it will not be tried elsewhere.
    pub first_byte_at: Option<Micros>,
    /// Its prompt is off its members' accounts: its first byte came, or (of an answer in one piece, which shows no first byte) its
    /// time for that is over.
    pub prompt_done: bool,
    /// Output tokens that were predicted.
    pub predicted_output: u64,
    /// Memory that it is predicted to need at its end.
    pub kv_tokens: u64,
    /// Output tokens so far.
    pub output_tokens: u64,
    /// Charged to its flow so far.
    pub charged: u64,
}

/// How a request came to the model that it is at, and what is left should that one not serve it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Course {
    /// What was asked for, where it is not that model.
    pub via: Option<Via>,
    /// Other models that may serve it, best first.
    pub rest: Vec<ModelId>,
    /// Why policy denied it the models that it left.
    pub denials: Vec<Denial>,
}

impl Request {
    /// A request that stands in no book.
    pub fn new(now: Micros, sequence: u64, mut submit: RequestSubmit) -> Self {
        submit.prompt_tokens = submit.prompt_tokens.min(TOKENS_MAX);
        submit.output_tokens_max = submit.output_tokens_max.min(TOKENS_MAX);
        Self {
            course: Course::default(),
            pool: u32::MAX,
            subject: Subject::default(),
            leaf: FlowIndex::MAX,
            lane: 1,
            order: (now.0, sequence),
            work_us: 0,
            waiting: false,
            arrived_at: now,
            wait_until: now.plus_ms(submit.wait_ms_max),
            attempts: 0,
            preempted: 0,
            failed_at: SmallVec::new(),
            runs: SmallVec::new(),
            first_byte_at: None,
            prompt_done: false,
            predicted_output: 0,
            kv_tokens: 0,
            output_tokens: 0,
            charged: 0,
            submit,
        }
    }

    /// Attempts that count towards how often it may be tried.
    pub fn tries(&self) -> u32 {
        self.attempts.saturating_sub(self.preempted)
    }

    /// Whether it takes only what others leave.
    pub fn takes_rest(&self) -> bool {
        usize::from(self.lane) == REST_LANE
    }
}

/// One attempt under way.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub attempt: u32,
    pub member: MemberIndex,
    pub started_at: Micros,
    /// Predicted time from start to the first token.
    pub ttft_us: u64,
    /// Prompt work that it adds to its member.
    pub work: Work,
    /// What it counts as prompt work of a tenant over its share.
    pub over_us: u64,
    /// Work at the member before it, and its own, before the member's learnt factor.
    pub raw_us: u64,
    /// Prompt tokens that the member's cache is believed to hold.
    pub cached_tokens: u64,
    /// Memory that it is predicted to need.
    pub kv_tokens: u64,
    /// It takes what others leave.
    pub rest: bool,
}

/// All requests, by index and by id.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    slots: Vec<Option<Request>>,
    free: Vec<RequestIndex>,
    by_id: Lookup<u128, RequestIndex>,
}

impl Requests {
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn index(&self, id: RequestId) -> Option<RequestIndex> {
        self.by_id.get(&id.0).copied()
    }

    pub fn get(&self, index: RequestIndex) -> Option<&Request> {
        self.slots.get(usize::try_from(index).ok()?)?.as_ref()
    }

    pub fn get_mut(&mut self, index: RequestIndex) -> Option<&mut Request> {
        self.slots.get_mut(usize::try_from(index).ok()?)?.as_mut()
    }

    pub fn insert(&mut self, request: Request) -> RequestIndex {
        let id = request.submit.request.0;
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(slot) = usize::try_from(index)
            .ok()
            .and_then(|at| self.slots.get_mut(at))
        {
            *slot = Some(request);
        }
        self.by_id.insert(id, index);
        index
    }

    pub fn remove(&mut self, index: RequestIndex) -> Option<Request> {
        let request = self.slots.get_mut(usize::try_from(index).ok()?)?.take()?;
        self.by_id.remove(&request.submit.request.0);
        self.free.push(index);
        Some(request)
    }

    /// All, in the order of their indices.
    pub fn iter(&self) -> impl Iterator<Item = (RequestIndex, &Request)> {
        (0..)
            .zip(&self.slots)
            .filter_map(|(index, slot)| Some((index, slot.as_ref()?)))
    }
}
