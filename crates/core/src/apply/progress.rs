//! A stream went on: what was charged by prediction follows what is made.

use crate::input::TOKENS_MAX;
use crate::request::RequestIndex;
use crate::share::Meter;
use crate::state::Core;
use madang_types::{Micros, RequestId};

/// What of a prompt is paid for.
#[derive(Clone, Copy)]
enum Prompt {
    /// All of it, as it was estimated.
    Whole,
    /// So many tokens: the engine's own count.
    Told(u64),
    /// What so much work was, in microseconds.
    Part(u64),
}

impl Core {
    pub(super) fn on_progress(&mut self, now: Micros, id: RequestId, output_tokens: u64) {
        let Some(index) = self.requests.index(id) else {
            return;
        };
        let Some(request) = self.requests.get_mut(index) else {
            return;
        };
        let output_tokens = output_tokens.min(TOKENS_MAX);
        request.output_tokens = request.output_tokens.max(output_tokens);
        let (made, predicted) = (request.output_tokens, request.predicted_output);
        // While it makes what was predicted, it is paid for.
        if made > predicted {
            self.true_up(now, index, made);
            self.grow(index, made);
        }
    }

    /// Charges the difference between what a request used and what it was charged for; gives back where it used less.
    pub(super) fn true_up(&mut self, now: Micros, index: RequestIndex, output_tokens: u64) {
        self.charge_run(now, index, (Prompt::Whole, output_tokens));
    }

    /// The same where the engine has counted its prompt.
    pub(super) fn true_up_told(
        &mut self,
        now: Micros,
        index: RequestIndex,
        (prompt_tokens, output_tokens): (u64, u64),
    ) {
        self.charge_run(now, index, (Prompt::Told(prompt_tokens), output_tokens));
    }

    /// The same for a request whose prompt was called off when so much of its work was done at most.
    pub(crate) fn true_up_part(&mut self, now: Micros, index: RequestIndex, computed_us: u64) {
        self.charge_run(now, index, (Prompt::Part(computed_us), 0));
    }

    fn charge_run(
        &mut self,
        now: Micros,
        index: RequestIndex,
        (prompt, output_tokens): (Prompt, u64),
    ) {
        let rule = self.rules.share;
        let Some(request) = self.requests.get(index) else {
            return;
        };
        let Some(run) = request.runs.last() else {
            return;
        };
        let (pool_index, leaf, charged) = (request.pool, request.leaf, request.charged);
        let Some(member) = self.member(run.member) else {
            return;
        };
        let (prefill_us, estimated) = (run.work.prefill_us, request.submit.prompt_tokens);
        let (prefill_us, prompt_tokens) = match prompt {
            Prompt::Told(told) if told != estimated => {
                let cached = run.cached_tokens.min(told);
                (member.speed.prefill_us(told - cached, cached), told)
            }
            Prompt::Whole | Prompt::Told(_) => (prefill_us, estimated),
            Prompt::Part(computed_us) => (prefill_us.min(computed_us), estimated),
        };
        let meter = Meter {
            prefill_us,
            prompt_tokens,
            output_tokens,
            batch: self.batch_of(pool_index, member),
            pace_permille: member.speed.pace_permille(),
        };
        let costs = member.view.costs;
        let owed = meter.charge(rule, &costs);
        let signed = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX);
        let difference = signed(owed).saturating_sub(signed(charged));
        if let Some(request) = self.requests.get_mut(index) {
            request.charged = owed;
        }
        let Some(pool) = self.pool_mut(pool_index) else {
            return;
        };
        pool.tree.charge(leaf, difference);
        if rule == crate::ShareRule::Madang {
            pool.tree.book(leaf, now.0, difference);
        }
    }

    /// A request outgrew its prediction: it is taken to make half as much again, and its key to make as much at least.
    fn grow(&mut self, index: RequestIndex, made: u64) {
        let Some(request) = self.requests.get_mut(index) else {
            return;
        };
        let (pool, leaf) = (request.pool, request.leaf);
        request.predicted_output =
            (made + made / 2).min(request.submit.output_tokens_max.max(made));
        let needs = request
            .submit
            .prompt_tokens
            .saturating_add(request.predicted_output);
        let more = needs.saturating_sub(request.kv_tokens);
        request.kv_tokens = request.kv_tokens.saturating_add(more);
        let Some(run) = request.runs.last_mut() else {
            return;
        };
        run.kv_tokens = run.kv_tokens.saturating_add(more);
        let (at, rest) = (run.member, run.rest);
        if let Some(member) = self.member_mut(at) {
            member.account.kv_tokens = member.account.kv_tokens.saturating_add(more);
        }
        let Some(pool) = self.pool_mut(pool) else {
            return;
        };
        if let Some(usage) = pool.tree.usage_mut(leaf) {
            usage.kv_tokens = usage.kv_tokens.saturating_add(more);
            if rest {
                usage.rest.kv_tokens = usage.rest.kv_tokens.saturating_add(more);
            }
        }
    }
}
