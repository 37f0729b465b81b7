//! A request wants a replica: it starts, waits, or is refused at once.

use crate::effect::{Effect, Refusal};
use crate::input::RequestSubmit;
use crate::learn::{rounded, whole};
use crate::member::Member;
use crate::overload::{Pace, Shedding};
use crate::request::{Request, RequestIndex};
use crate::route::Choice;
use crate::share::Meter;
use crate::state::Core;
use madang_types::{Micros, Priority};

/// When trying again makes sense where a pool has no available member: probes come every few seconds.
const RETRY_NO_REPLICA_MS: u64 = 2_000;
/// When trying again makes sense where nothing is known of the pool's pace.
const RETRY_UNKNOWN_MS: u64 = 1_000;
/// Output tokens expected of a key that has not asked this pool yet.
const OUTPUT_PRIOR_TOKENS: u64 = 256;
/// Answers after which a key's mean output is believed.
const ANSWERS_KNOWN: u64 = 3;

/// The queue that a request waits in.
pub(super) fn lane(priority: Priority, over: bool) -> u8 {
    match priority {
        Priority::Critical if !over => 0,
        Priority::Critical | Priority::Standard => 1,
        Priority::Batch => 2,
    }
}

impl Core {
    pub(super) fn on_request_submit(
        &mut self,
        now: Micros,
        submit: RequestSubmit,
        effects: &mut Vec<Effect>,
    ) {
        let id = submit.request;
        // An id is submitted once; a second submit would leak the first one's slot.
        if self.requests.index(id).is_some() {
            return;
        }
        let refusal = if self.draining {
            Refusal::Draining
        } else {
            self.credits_settle(now);
            self.sequence += 1;
            let newcomer = Request::new(now, self.sequence, submit);
            let mut scratch = std::mem::take(&mut self.scratch);
            let set_out = self.set_out(now, newcomer, &mut scratch);
            self.scratch = scratch;
            match set_out {
                Ok(request) => {
                    let index = self.admit(now, request);
                    return self.place(now, index, effects);
                }
                Err(refusal) => refusal,
            }
        };
        effects.push(Effect::Refuse {
            request: id,
            refusal,
            retry_after_ms: matches!(refusal, Refusal::Draining | Refusal::NoReplica)
                .then_some(RETRY_NO_REPLICA_MS),
            denials: Vec::new(),
        });
    }

    /// Takes a request into the books of its pool: it holds nothing and waits nowhere yet.
    pub(super) fn admit(&mut self, now: Micros, mut request: Request) -> RequestIndex {
        let pool_index = request.pool;
        let weights = std::mem::take(&mut self.weights);
        let leaf = self
            .pool_mut(pool_index)
            .map_or(0, |pool| pool.tree.leaf(&request.submit.payer, &weights));
        self.weights = weights;
        self.credit_known(pool_index, leaf);
        self.stand(&mut request, leaf);
        let (output_tokens, kv_tokens) = (request.predicted_output, request.kv_tokens);
        let (prefill_us, cost_us) =
            self.offered_us(pool_index, request.submit.prompt_tokens, output_tokens);
        let nobody_waits = self.pool(pool_index).is_some_and(|pool| {
            let tenant = pool.tree.node(pool.tree.tenant_of(leaf));
            tenant.is_some_and(|tenant| tenant.waiting_total() == 0)
        });
        let rest = request.takes_rest();
        let pool = self.pool_mut(pool_index);
        let usage = pool.and_then(|pool| {
            if !rest {
                pool.asked_at = now;
            }
            pool.tree.usage_mut(leaf)
        });
        if let Some(usage) = usage {
            usage.came(now.0);
            usage.unsettled.asked_us += whole(cost_us);
            if nobody_waits {
                usage.unbacked_us = now.0;
            }
        }
        // What takes what is left asks for nothing: its tenant's other requests are not over their share for it.
        if let Some(usage) = self
            .pool_mut(pool_index)
            .and_then(|pool| pool.tree.usage_mut(leaf))
            .filter(|_| !rest)
        {
            usage.offered.add(now.0, whole(cost_us));
            usage.offered_long.add(now.0, whole(cost_us));
            usage.arrivals.add(now.0, 1.0);
            usage.need.add(whole(kv_tokens), 0.02);
            usage.output.add(whole(output_tokens), 0.02);
            usage.prompts.add(now.0, whole(prefill_us));
        }
        request.stands_by(prefill_us);
        request.charged = 0;
        self.requests.insert(request)
    }

    /// Output tokens that a request is predicted to make: its key's mean, within what it allows; and the memory that it needs at its
    /// end. A key whose answers are not known yet may make as much as it is allowed.
    pub(super) fn foreseen(&self, request: &Request) -> (u64, u64) {
        let pool = self.pool(request.pool);
        let learnt = pool
            .and_then(|pool| pool.tree.node(request.leaf))
            .and_then(|node| node.output);
        let max = request.submit.output_tokens_max;
        let mean = learnt.map_or(OUTPUT_PRIOR_TOKENS, |mean| rounded(mean.value));
        let output = mean.min(max).max(1);
        let known = learnt.is_some_and(|mean| mean.count >= ANSWERS_KNOWN);
        let most = if known { output } else { max };
        (output, request.submit.prompt_tokens.saturating_add(most))
    }

    /// Prompt work, and all accelerator time, that a request asks of a pool, before anybody knows where it will run or what is cached.
    fn offered_us(&self, pool: u32, prompt_tokens: u64, output_tokens: u64) -> (u64, u64) {
        let first = self.pool(pool).and_then(|pool| pool.members.first());
        let Some(member) = first.and_then(|index| self.member(*index)) else {
            return (0, 0);
        };
        let meter = Meter {
            prefill_us: member.speed.prefill_us(prompt_tokens, 0),
            prompt_tokens,
            output_tokens,
            batch: self.batch_of(pool, member),
            pace_permille: member.speed.pace_permille(),
        };
        (meter.prefill_us, meter.accelerator_us(&member.view.costs))
    }

    /// Sequences that share a full batch there: its slots, or as many as its memory holds.
    pub(super) fn batch_of(&self, pool: u32, member: &Member) -> u32 {
        let need = self.pool(pool).map_or(0.0, |pool| pool.need.value);
        let by_memory = member
            .view
            .kv_tokens
            .filter(|_| need > 0.0)
            .map_or(u64::MAX, |kv| rounded(whole(kv) / need));
        let by_memory = u32::try_from(by_memory).unwrap_or(u32::MAX);
        member.view.slots.min(by_memory).max(1)
    }

    /// Starts, queues or refuses a request that holds nothing.
    pub(super) fn place(&mut self, now: Micros, index: RequestIndex, effects: &mut Vec<Effect>) {
        let Some(request) = self.requests.get(index) else {
            return;
        };
        let pool = request.pool;
        let others = self.is_preceded(request);
        self.guard_refresh(now, pool);
        self.scratch.promises_clear();
        match self.choice_or_preempt(now, index, effects) {
            Choice::Member(chosen) if !others => {
                let leaf = self.requests.get(index).map_or(0, |request| request.leaf);
                if let Some(pool) = self.pool_mut(pool) {
                    pool.tree.join(leaf);
                }
                self.start(now, index, &chosen, effects);
            }
            Choice::Member(_) | Choice::Wait | Choice::WaitTurn => {
                self.line_up(index);
                self.enqueue(now, index, effects);
            }
            refused => {
                let refusal = self.refusal(index, &refused);
                self.give_up(now, index, refusal, effects);
            }
        }
    }

    /// Nobody overtakes those who wait in the same lane or a more urgent one, but by the rules of the queue.
    pub(super) fn is_preceded(&self, request: &Request) -> bool {
        let lane = usize::from(request.lane);
        self.pool(request.pool)
            .is_some_and(|pool| (0..=lane).any(|lane| pool.tree.waiting_in(lane) > 0))
    }

    /// A newcomer stands in its queue by its own work where most of it is cached, once it is known who could serve it.
    fn line_up(&mut self, index: RequestIndex) {
        let Some(work_us) = self.scratch.least_work_us else {
            return;
        };
        if let Some(request) = self.requests.get_mut(index).filter(|r| r.attempts == 0) {
            request.stands_by(work_us);
        }
    }

    /// Whoever waited is judged by what its key is known to make now, not by what was known when it came: a flood comes before its
    /// first answers.
    fn predict_anew(&mut self, index: RequestIndex) {
        let Some(request) = self.requests.get(index).filter(|r| r.runs.is_empty()) else {
            return;
        };
        let foreseen = self.foreseen(request);
        if let Some(request) = self.requests.get_mut(index) {
            (request.predicted_output, request.kv_tokens) = foreseen;
        }
    }

    /// The choice for a request, with the scratch space lent to it.
    pub(super) fn choice(&mut self, now: Micros, index: RequestIndex) -> Choice {
        self.predict_anew(index);
        let mut scratch = std::mem::take(&mut self.scratch);
        let choice = match self.requests.get(index) {
            Some(request) => self.choose(now, request, &mut scratch),
            None => Choice::NoReplica,
        };
        self.scratch = scratch;
        choice
    }

    /// The same, once a slow prompt that alone made it late has given way.
    pub(super) fn choice_or_preempt(
        &mut self,
        now: Micros,
        index: RequestIndex,
        effects: &mut Vec<Effect>,
    ) -> Choice {
        let choice = self.choice(now, index);
        if self.preempt(now, (index, &choice), effects) {
            return self.choice(now, index);
        }
        choice
    }

    /// The refusal that a choice without a member means.
    pub(super) fn refusal(&self, index: RequestIndex, choice: &Choice) -> Refusal {
        let tried = self.requests.get(index).is_some_and(|r| r.attempts > 0);
        match choice {
            Choice::PolicyDenied => Refusal::PolicyDenied,
            Choice::PowerShort => Refusal::PowerShort,
            // It was served through this door and allowed there: what is left of the fleet is not its fault.
            _ if tried => Refusal::AttemptsExhausted,
            Choice::EndpointUnsupported => Refusal::EndpointUnsupported,
            _ => Refusal::NoReplica,
        }
    }

    fn enqueue(&mut self, now: Micros, index: RequestIndex, effects: &mut Vec<Effect>) {
        let Some(request) = self.requests.get(index) else {
            return;
        };
        let (pool_index, leaf, lane) = (request.pool, request.leaf, request.lane);
        let full = self.limits.queue_length_max;
        let Some(pool) = self.pool_mut(pool_index) else {
            return self.refuse(now, index, Refusal::ModelUnknown, effects);
        };
        if pool.tree.waiting() >= full {
            match pool.shed(pool.tree.tenant_of(leaf), lane) {
                Shedding::Newcomer => {
                    return self.give_up(now, index, Refusal::QueueFull, effects);
                }
                Shedding::Waiting(other) => self.refuse(now, other, Refusal::Shed, effects),
            }
        }
        self.line_in(now, index);
        self.serve(now, pool_index, effects);
        self.settle_in(now, index, effects);
    }

    /// Puts a request into its queue.
    pub(crate) fn line_in(&mut self, now: Micros, index: RequestIndex) {
        let Some(request) = self.requests.get_mut(index) else {
            return;
        };
        request.waiting = true;
        let (pool, leaf, lane, order) = (request.pool, request.leaf, request.lane, request.order);
        let deadline = (request.wait_until, index);
        if let Some(pool) = self.pool_mut(pool) {
            if pool.tree.waiting() == 0 {
                pool.pace = Pace::begin(now);
            }
            pool.tree.push(leaf, lane, order, index);
            pool.deadlines.insert(deadline);
        }
    }

    /// A newcomer that still waits is told its place, or refused where it would wait for longer than is of use.
    fn settle_in(&mut self, now: Micros, index: RequestIndex, effects: &mut Vec<Effect>) {
        let Some(request) = self.requests.get(index).filter(|request| request.waiting) else {
            return;
        };
        let (id, pool, attempts) = (request.submit.request, request.pool, request.attempts);
        let bound_ms = self.wait_bound_ms(request);
        let place = self.place_of(request);
        let wait_ms = self.wait_ms(now, pool, place);
        let hopeless = bound_ms
            .zip(wait_ms)
            .is_some_and(|(bound, wait)| wait > bound);
        if hopeless && attempts == 0 {
            return self.give_up(now, index, Refusal::Overloaded, effects);
        }
        effects.push(Effect::Queued {
            request: id,
            place,
            wait_ms,
        });
    }

    /// Refuses a request that runs nowhere; says when trying again makes sense.
    pub(crate) fn refuse(
        &mut self,
        now: Micros,
        index: RequestIndex,
        refusal: Refusal,
        effects: &mut Vec<Effect>,
    ) {
        let Some(request) = self.requests.get(index) else {
            return;
        };
        let pool_index = request.pool;
        let place = match refusal {
            // Its turn did not come in time, and what is before it now says nothing of what is before it then.
            Refusal::QueueTimeout => self.place_anew(request),
            _ => self.place_of(request),
        };
        let retry_after_ms = match refusal {
            Refusal::NoReplica | Refusal::AttemptsExhausted | Refusal::Draining => {
                Some(RETRY_NO_REPLICA_MS)
            }
            Refusal::QueueFull | Refusal::QueueTimeout | Refusal::Overloaded | Refusal::Shed => {
                let bound_ms = self.useful_wait_ms().unwrap_or(0);
                let wait_ms = self.wait_ms(now, pool_index, place);
                // By then those before it are served, and it would be within its bound.
                Some(wait_ms.map_or(RETRY_UNKNOWN_MS, |wait| {
                    wait.saturating_sub(bound_ms).max(RETRY_UNKNOWN_MS)
                }))
            }
            Refusal::PowerShort => Some(self.power_back_ms(now, request)),
            Refusal::ModelUnknown | Refusal::EndpointUnsupported | Refusal::PolicyDenied => None,
        };
        self.unqueue(index);
        let denials = self.denials(index, refusal);
        if let Some(request) = self.requests.remove(index) {
            if let Some(pool) = self.pool_mut(pool_index) {
                *pool.refusals.entry(refusal).or_default() += 1;
            }
            effects.push(Effect::Refuse {
                request: request.submit.request,
                refusal,
                retry_after_ms,
                denials,
            });
        }
    }

    /// Takes a request out of its queue, if it stands there.
    pub(crate) fn unqueue(&mut self, index: RequestIndex) {
        let Some(request) = self.requests.get_mut(index) else {
            return;
        };
        if !std::mem::take(&mut request.waiting) {
            return;
        }
        let (pool, leaf, lane, order) = (request.pool, request.leaf, request.lane, request.order);
        let deadline = (request.wait_until, index);
        if let Some(pool) = self.pool_mut(pool) {
            pool.tree.remove(leaf, lane, order);
            pool.deadlines.remove(&deadline);
        }
    }
}
