//! What the core remembers. Only `apply` changes it.

use crate::fleet_view::{CoreLimits, PoolMember, ReplicaHealth};
use crate::input::RequestSubmit;
use crate::queue::Queue;
use crate::status::{MemberStatus, PoolStatus};
use madang_types::{Micros, ModelId, ReplicaId, RequestId};
use std::collections::{BTreeMap, BTreeSet};

/// The decision core: one value, one owner.
#[derive(Debug, Default)]
pub struct Core {
    pub(crate) limits: CoreLimits,
    pub(crate) draining: bool,
    pub(crate) members: BTreeMap<ReplicaId, Member>,
    pub(crate) pools: BTreeMap<ModelId, Pool>,
    /// Models with a member that is held back and comes back: their requests wait rather than being refused.
    pub(crate) returning: BTreeSet<ModelId>,
    pub(crate) requests: BTreeMap<RequestId, Request>,
    /// Counts submissions and starts; orders the queue and breaks ties by least recent use.
    pub(crate) sequence: u64,
}

/// A pool member and what it holds.
#[derive(Debug)]
pub(crate) struct Member {
    pub view: PoolMember,
    pub health: ReplicaHealth,
    /// Left the fleet: finishes what it has and takes nothing new.
    pub leaving: bool,
    /// Requests running there.
    pub running: BTreeSet<RequestId>,
    /// Their estimated tokens, prompt and greatest output.
    pub work_tokens: u64,
    /// Failed attempts in a row.
    pub failures: u32,
    /// Taken out by failed attempts until then.
    pub ejected_until: Option<Micros>,
    /// Sequence number of its latest start.
    pub started_at_sequence: u64,
}

impl Member {
    pub fn new(view: PoolMember) -> Self {
        Self {
            health: view.health,
            view,
            leaving: false,
            running: BTreeSet::new(),
            work_tokens: 0,
            failures: 0,
            ejected_until: None,
            started_at_sequence: 0,
        }
    }

    /// Serves at all, whether or not it has a free slot.
    pub fn available(&self, now: Micros) -> bool {
        let ejected = self.ejected_until.is_some_and(|until| now < until);
        !self.leaving && self.health == ReplicaHealth::Up && !ejected
    }

    pub fn running_count(&self) -> u32 {
        u32::try_from(self.running.len()).unwrap_or(u32::MAX)
    }

    pub fn has_free_slot(&self) -> bool {
        self.running_count() < self.view.slots
    }
}

/// Replicas that serve the same model, and who waits for them.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    pub queue: Queue,
}

/// A request that the core knows: waiting, or running at one member.
#[derive(Debug)]
pub(crate) struct Request {
    pub submit: RequestSubmit,
    /// Orders it in its queue; kept through retries, so that a retry does not go to the end.
    pub sequence: u64,
    /// Refused if still waiting then.
    pub wait_until: Micros,
    /// Attempts started.
    pub attempts: u32,
    /// Where it was tried.
    pub tried: Vec<ReplicaId>,
    /// Where it runs now.
    pub running_at: Option<ReplicaId>,
    /// The engine's first byte came: it will not be tried elsewhere.
    pub first_byte: bool,
}

impl Request {
    /// Estimated tokens that it occupies, never zero.
    pub fn work_tokens(&self) -> u64 {
        self.submit
            .prompt_tokens
            .saturating_add(self.submit.output_tokens_max)
            .max(1)
    }
}

impl Core {
    /// A core that knows no fleet yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every pool and member, in the order of their ids.
    pub fn status(&self, now: Micros) -> Vec<PoolStatus> {
        let member_status = |member: &Member| MemberStatus {
            replica: member.view.replica.clone(),
            site: member.view.site.clone(),
            model: member.view.model.clone(),
            available: member.available(now),
            leaving: member.leaving,
            running: member.running_count(),
            slots: member.view.slots,
            ejected: member.ejected_until.is_some_and(|until| now < until),
            slots_limit: member.view.slots,
            kv_tokens_used: member.work_tokens,
            kv_tokens: member.view.kv_tokens,
            prefill_us: 0,
            cached_tokens: 0,
            tpot_us: 0,
            ttft_error_permille: None,
        };
        self.pools
            .iter()
            .map(|(model, pool)| PoolStatus {
                model: Some(model.clone()),
                waiting: pool.queue.len(),
                members: self
                    .members
                    .values()
                    .filter(|member| member.view.model == *model)
                    .map(member_status)
                    .collect(),
                ..PoolStatus::default()
            })
            .collect()
    }

    /// Where a request stands in its queue, and its predicted wait where that is known; `None` where it does not wait.
    pub fn queue_place(&self, request: RequestId, _now: Micros) -> Option<(u32, Option<u64>)> {
        let waiting = self.requests.get(&request)?;
        let pool = self.pools.get(&waiting.submit.model)?;
        let place = pool.queue.in_order().position(|id| id == request)?;
        Some((u32::try_from(place).unwrap_or(u32::MAX), None))
    }

    /// Requests that wait or run.
    pub fn requests_count(&self) -> usize {
        self.requests.len()
    }

    /// Breaks down where a rule of the books inside the core is broken. Cheap enough for tests and samples.
    ///
    /// # Errors
    /// Names the first broken rule.
    pub fn check_invariants(&self) -> Result<(), String> {
        for (id, member) in &self.members {
            let mut work_tokens = 0_u64;
            for request_id in &member.running {
                let request = self
                    .requests
                    .get(request_id)
                    .ok_or_else(|| format!("{id} runs {request_id}, which is unknown"))?;
                if request.running_at.as_ref() != Some(id) {
                    return Err(format!("{request_id} does not know that it runs at {id}"));
                }
                work_tokens = work_tokens.saturating_add(request.work_tokens());
            }
            if work_tokens != member.work_tokens {
                return Err(format!(
                    "{id} counts {} tokens of work, not {work_tokens}",
                    member.work_tokens
                ));
            }
            if member.leaving && member.running.is_empty() {
                return Err(format!("{id} left, holds nothing and is still here"));
            }
        }
        for (id, request) in &self.requests {
            let queue = self
                .pools
                .get(&request.submit.model)
                .map(|pool| &pool.queue);
            let waiting =
                queue.is_some_and(|q| q.contains(request.submit.priority, request.sequence));
            let running = request
                .running_at
                .as_ref()
                .and_then(|replica| self.members.get(replica))
                .is_some_and(|member| member.running.contains(id));
            if waiting == running {
                return Err(format!(
                    "{id} must either wait or run (waiting {waiting}, running {running})"
                ));
            }
        }
        Ok(())
    }
}
