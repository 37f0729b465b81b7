//! What goes into an iteration, and what comes out of it.

use super::model::{EngineEvent, Part};
use super::roofline::Prompts;
use super::run::Run;
use std::cmp::Reverse;

impl Part {
    /// Begins the next run of iterations at `now_ps`; none where nothing is to be done.
    pub(super) fn begin(&mut self, now_ps: u128) {
        self.drop_cancelled();
        let thrown_out = self.make_room();
        if !thrown_out {
            self.admit();
        }
        self.chunks.clear();
        if self.running == 0 {
            return;
        }
        let prompts = self.fill_chunks();
        let (decoding, held_tokens) = (self.decoding, self.held_tokens);
        let all_ps = self.times.iteration_ps(decoding, held_tokens, &prompts);
        let decode_ps = match self.chunks.is_empty() {
            true => all_ps,
            false => {
                let none = Prompts::default();
                let alone_ps = self.times.iteration_ps(decoding, held_tokens, &none);
                alone_ps.min(all_ps)
            }
        };
        let (prefill_ps, decode_ps) = self.busy.begins((all_ps - decode_ps, decode_ps), decoding);
        let first_ps = prefill_ps + decode_ps;
        let growth_ps = self.busy.decode_takes(decoding * self.times.held_ps());
        let iterations = if self.chunks.is_empty() && !thrown_out {
            self.iterations_alike()
        } else {
            1
        };
        let pace = (self.pace, self.iteration);
        self.run = Some(Run::new(now_ps, (first_ps, growth_ps), pace, iterations));
    }

    /// Sequences that were told to go leave the batch.
    fn drop_cancelled(&mut self) {
        if !self.cancelling {
            return;
        }
        self.cancelling = false;
        let mut gone: Vec<u64> = self
            .sequences
            .iter()
            .filter(|(_, sequence)| sequence.cancelled)
            .map(|(tag, _)| *tag)
            .collect();
        gone.sort_unstable();
        for tag in gone {
            self.leave(tag);
            self.sequences.remove(&tag);
        }
    }

    /// Takes a sequence out of the batch; what it made stays with it.
    fn leave(&mut self, tag: u64) {
        let Some(sequence) = self.sequences.get_mut(&tag) else {
            return;
        };
        if let Some(since) = sequence.decode_since.take() {
            sequence.made += self.pace.tokens(self.iteration) - self.pace.tokens(since);
            self.decoding -= 1;
        } else {
            self.prefilling.retain(|other| *other != tag);
            // What was computed of a prompt stays in the cache, as in vLLM.
            let request = &sequence.request;
            let computed = sequence.context() - sequence.uncached_left;
            let blocks = usize::try_from(computed / request.block_tokens.max(1)).unwrap_or(0);
            let kept = request.blocks.get(..blocks).unwrap_or(&request.blocks);
            self.cache.insert(kept, request.block_tokens);
        }
        sequence.running = false;
        self.running -= 1;
        self.held_tokens -= sequence.context();
    }

    /// Throws the newest out until every decoding sequence can make one more token; says whether any was. As in vLLM, nobody
    /// joins the batch in that iteration: the one that was thrown out would be the first.
    fn make_room(&mut self) -> bool {
        let before = self.preemptions;
        while self.running > 1
            && self.held_tokens + self.decoding * self.ahead > self.profile.kv_tokens
        {
            let newest = self
                .sequences
                .iter()
                .filter(|(_, sequence)| sequence.running)
                .max_by_key(|(_, sequence)| sequence.admitted)
                .map(|(tag, _)| *tag);
            let Some(tag) = newest else { break };
            self.leave(tag);
            self.waiting.push_front(tag);
            self.preemptions += 1;
        }
        self.cache
            .fit(self.profile.kv_tokens.saturating_sub(self.held_tokens));
        self.preemptions > before
    }

    /// Lets waiting sequences into the batch, first come first, while the iteration has tokens for them.
    fn admit(&mut self) {
        let mut budget = self.prompt_budget();
        for tag in &self.prefilling {
            let left = self.sequences.get(tag).map_or(0, |s| s.uncached_left);
            budget = budget.saturating_sub(left);
        }
        while budget > 0 {
            let Some(&tag) = self.waiting.front() else {
                return;
            };
            let Some(context) = self
                .sequences
                .get(&tag)
                .map(super::model::Sequence::context)
            else {
                self.waiting.pop_front();
                continue;
            };
            if !self.has_room(context) {
                return;
            }
            self.waiting.pop_front();
            self.admissions += 1;
            let admitted = self.admissions;
            self.running += 1;
            self.held_tokens += context;
            let Some(sequence) = self.sequences.get_mut(&tag) else {
                return;
            };
            sequence.admitted = admitted;
            sequence.running = true;
            if std::mem::take(&mut sequence.received) {
                budget = budget.saturating_sub(self.ahead);
                self.decode(tag);
                continue;
            }
            let request = &sequence.request;
            let cached = self.cache.lookup(&request.blocks, request.block_tokens);
            // At least the last token is computed: it makes the first output token.
            let cached = cached.at_most(context - 1);
            if !sequence.told_first {
                sequence.cached = cached;
            }
            sequence.uncached_left = context - cached.tokens();
            sequence.copy_left_ps = self.times.copy_ps(&self.profile.tiers, cached);
            budget = budget.saturating_sub(sequence.uncached_left);
            self.prefilling.push_back(tag);
        }
    }

    /// Tokens that an iteration has for prompts.
    fn prompt_budget(&self) -> u64 {
        let decoding = self.decoding * self.ahead;
        self.profile.batch_tokens.saturating_sub(decoding)
    }

    /// Shares the iteration's tokens among prompts.
    fn fill_chunks(&mut self) -> Prompts {
        let mut budget = self.prompt_budget();
        let mut prompts = Prompts::default();
        for tag in &self.prefilling {
            if budget == 0 {
                break;
            }
            let Some(sequence) = self.sequences.get_mut(tag) else {
                continue;
            };
            let chunk = sequence.uncached_left.min(budget);
            budget -= chunk;
            let position = sequence.context() - sequence.uncached_left + chunk / 2;
            prompts.tokens += chunk;
            prompts.pairs = prompts.pairs.saturating_add(chunk.saturating_mul(position));
            prompts.copy_ps += std::mem::take(&mut sequence.copy_left_ps);
            self.chunks.push((*tag, chunk));
        }
        prompts
    }

    /// Iterations until a sequence finishes or memory is short.
    fn iterations_alike(&mut self) -> u64 {
        if self.stepwise || self.decoding == 0 {
            return 1;
        }
        let mut until_finish = 1;
        while let Some(&Reverse((at, tag))) = self.finishing.peek() {
            if self.finishes(at, tag) {
                until_finish = at.saturating_sub(self.iteration).max(1);
                break;
            }
            self.finishing.pop();
        }
        let free = self.profile.kv_tokens.saturating_sub(self.held_tokens);
        // What each may hold more when the last of them begins, so that it has room for what it makes.
        let room = (free / self.decoding).checked_sub(self.ahead);
        let until_full = room.map_or(1, |room| {
            let tokens = self.pace.tokens(self.iteration) + room;
            self.pace.within(tokens) - self.iteration + 1
        });
        until_finish.min(until_full)
    }

    /// Whether an entry of `finishing` still stands.
    fn finishes(&self, at: u64, tag: u64) -> bool {
        self.sequences.get(&tag).is_some_and(|sequence| {
            sequence.decode_since.is_some_and(|since| {
                let left = sequence.request.output_tokens - sequence.made;
                self.pace.reaches(self.pace.tokens(since) + left) == at
            })
        })
    }

    /// A request came or left: the run ends with the iteration that is under way.
    pub(super) fn cut_run(&mut self, now_ns: u64) {
        if let Some(run) = &mut self.run {
            let under_way = run.done(now_ns) + 1;
            run.iterations = run.iterations.min(under_way);
        }
    }

    /// Ends a run: tokens are made, prompts go on, sequences finish.
    pub(super) fn end(&mut self, run: &Run, events: &mut Vec<EngineEvent>) {
        self.busy.ended(run);
        let before = self.pace.tokens(self.iteration);
        self.iteration += run.iterations;
        let after = self.pace.tokens(self.iteration);
        let made = self.decoding * (after - before);
        self.decoded += made;
        self.held_tokens += made;
        // What the cache had to give up when the last of them began.
        let of_last = after - self.pace.tokens(self.iteration.saturating_sub(1));
        let held_before = self.held_tokens - self.decoding * of_last;
        self.cache
            .fit(self.profile.kv_tokens.saturating_sub(held_before));
        while let Some(&Reverse((at, tag))) = self.finishing.peek() {
            if at > self.iteration {
                break;
            }
            self.finishing.pop();
            if self.finishes(at, tag) {
                self.finish(tag, events);
            }
        }
        let chunks = std::mem::take(&mut self.chunks);
        for (tag, chunk) in &chunks {
            self.computed(*tag, *chunk, events);
        }
        self.chunks = chunks;
    }

    fn finish(&mut self, tag: u64, events: &mut Vec<EngineEvent>) {
        self.leave(tag);
        let Some(sequence) = self.sequences.remove(&tag) else {
            return;
        };
        // What held beyond the end of the answer is thrown away.
        let beyond = sequence.made.saturating_sub(sequence.request.output_tokens);
        self.decoded -= beyond;
        if !sequence.cancelled {
            events.push(EngineEvent::Finished { tag });
        }
    }

    /// A chunk of a prompt is computed; its last chunk makes a token.
    fn computed(&mut self, tag: u64, chunk: u64, events: &mut Vec<EngineEvent>) {
        let Some(sequence) = self.sequences.get_mut(&tag) else {
            return;
        };
        sequence.uncached_left -= chunk;
        if sequence.uncached_left > 0 {
            return;
        }
        self.prefilling.retain(|other| *other != tag);
        sequence.made += 1;
        self.held_tokens += 1;
        let request = &sequence.request;
        self.cache.insert(&request.blocks, request.block_tokens);
        if !sequence.told_first && !sequence.cancelled {
            sequence.told_first = true;
            events.push(EngineEvent::FirstToken {
                tag,
                cached: sequence.cached,
                transfer_ns: None,
            });
        }
        let last = request.output_tokens <= sequence.made;
        self.decode(tag);
        if last {
            self.finish(tag, events);
        }
    }

    /// A sequence whose prompt is computed makes tokens from the next iteration on.
    fn decode(&mut self, tag: u64) {
        let Some(sequence) = self.sequences.get_mut(&tag) else {
            return;
        };
        sequence.decode_since = Some(self.iteration);
        self.decoding += 1;
        let left = sequence.request.output_tokens - sequence.made;
        if left > 0 {
            let made = self.pace.tokens(self.iteration);
            let at = self.pace.reaches(made + left);
            self.finishing.push(Reverse((at, tag)));
        }
    }
}
