//! A pool member: what it holds, how fast it is, whether it can be trusted.

mod account;
mod ahead;
mod breaker;
mod iteration;
mod limit;
mod power;
mod speed;

pub(crate) use account::{Account, Work};
pub(crate) use ahead::{Ahead, needed_at_once};
pub(crate) use breaker::Breaker;
pub(crate) use limit::SlotLimit;
pub(crate) use power::{Power, slots_milli};
pub(crate) use speed::{Estimate, Speed};

use crate::fleet_view::{PoolMember, ReplicaHealth};
use crate::input::RequestSubmit;
use crate::learn::{rounded, whole};
use crate::policy::PlaceIndex;
use crate::request::RequestIndex;
use madang_types::Micros;

/// A pool member and what it holds.
#[derive(Debug)]
pub(crate) struct Member {
    pub view: PoolMember,
    /// Index of its pool.
    pub pool: u32,
    /// Its place in the policy in force; in no policy, nothing may go there.
    pub place: PlaceIndex,
    pub health: ReplicaHealth,
    /// Left the fleet: finishes what it has and takes nothing new.
    pub leaving: bool,
    /// Requests running there.
    pub running: Vec<RequestIndex>,
    pub account: Account,
    pub speed: Speed,
    pub breaker: Breaker,
    pub limit: SlotLimit,
    pub power: Power,
    /// Sequence number of its latest start; breaks ties by least recent use.
    pub started_at_sequence: u64,
    /// Of which process it last heard, and how often that ran out of memory.
    pub process: Option<u64>,
    pub preemptions: Option<u64>,
    /// What running requests will not need at once of the memory that each will need at its end.
    pub evened_tokens: u64,
}

impl Member {
    pub fn new(view: PoolMember, pool: u32) -> Self {
        Self {
            health: view.health,
            pool,
            place: PlaceIndex::NOWHERE,
            leaving: false,
            running: Vec::new(),
            account: Account::default(),
            speed: Speed::new(&view.costs),
            breaker: Breaker::default(),
            limit: SlotLimit::new(view.slots),
            power: Power::default(),
            started_at_sequence: 0,
            process: None,
            preemptions: None,
            evened_tokens: 0,
            view,
        }
    }

    /// Serves at all, whether or not it has a free slot.
    pub fn available(&self, now: Micros) -> bool {
        !self.leaving && self.health == ReplicaHealth::Up && !self.breaker.is_open(now)
    }

    /// Serves that model through that door, and stays.
    pub fn serves(&self, submit: &RequestSubmit) -> bool {
        let named = self.view.model == submit.model || self.view.adapters.contains(&submit.model);
        !self.leaving && named && self.view.endpoints.contains(&submit.endpoint)
    }

    pub fn running_count(&self) -> u32 {
        u32::try_from(self.running.len()).unwrap_or(u32::MAX)
    }

    /// Time of an iteration with what runs there, prompts apart.
    pub fn iteration_us(&self) -> u64 {
        let (running, kv_tokens) = (self.running_count(), self.account.kv_tokens);
        self.speed.iteration_us(running, kv_tokens)
    }

    /// The same where it has no slot left, and each sequence needs as much memory as those that run.
    pub fn full_iteration_us(&self) -> u64 {
        let slots = self.slots_limit();
        let running = u64::from(self.running_count().max(1));
        let kv_tokens = self.needed_tokens().saturating_mul(slots.into()) / running;
        let kv_tokens = kv_tokens.min(self.view.kv_tokens.unwrap_or(0));
        self.speed.iteration_us(slots, kv_tokens)
    }

    /// Prompt work that its next iteration has already: no more than is left of all.
    pub fn next_work_us(&self, now: Micros) -> u64 {
        let next_us = self.account.next.work_us(now, self.iteration_us());
        next_us.min(self.account.outstanding_us(now))
    }

    /// Sequences that it may have at once, now.
    pub fn slots_limit(&self) -> u32 {
        let slots = self.breaker.slots(self.limit.slots(self.view.slots));
        self.power.slots(slots)
    }

    /// How much of its memory running requests will need, in thousandths; 0 where nobody said how much it has.
    pub fn kv_permille(&self) -> u64 {
        let held = self.account.kv_tokens.saturating_mul(1000);
        self.view.kv_tokens.map_or(0, |kv| held / kv.max(1))
    }

    /// Memory that what runs there will need at once.
    pub fn needed_tokens(&self) -> u64 {
        self.account.kv_tokens.saturating_sub(self.evened_tokens)
    }

    /// Whether its memory has room for that much more, once so much of it is free.
    pub fn has_memory(&self, kv_tokens: u64, freed_tokens: u64) -> bool {
        let held = self.needed_tokens().saturating_sub(freed_tokens);
        self.view
            .kv_tokens
            .is_none_or(|kv| held.saturating_add(kv_tokens) <= kv)
    }

    /// When its memory will have room for that much more, in microseconds, if what runs there makes as many tokens as
    /// `output_tokens` and ends evenly over that time. `None` where memory is not what it lacks.
    pub fn room_in_us(&self, kv_tokens: u64, output_tokens: u64) -> Option<u64> {
        if self.running_count() >= self.slots_limit() {
            return None;
        }
        let held = self.needed_tokens();
        let free = self.view.kv_tokens?.saturating_sub(held);
        let lacks = kv_tokens.saturating_sub(free).min(held);
        let stay_us = whole(output_tokens) * whole(self.speed.tpot_us());
        (lacks > 0).then(|| rounded(stay_us * whole(lacks) / whole(held)))
    }

    /// Tokens that its cache may hold beside what running requests need.
    pub fn cache_tokens(&self) -> u64 {
        let kv = self.view.kv_tokens.unwrap_or(0);
        kv.saturating_sub(self.account.kv_tokens)
            .max(self.view.host_tokens)
    }
}
