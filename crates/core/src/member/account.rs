//! What has been sent to a member and not come back: prompt work, memory.

use madang_types::Micros;

/// Prompt work of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// In microseconds.
    pub prefill_us: u64,
    /// Others' first tokens would wait for it.
    pub long: bool,
}

/// A member's open work. Engines compute prompts in the order in which they come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Account {
    /// Requests whose first byte has not come.
    pub unanswered: u32,
    /// Their prompt work.
    pub prefill_us: u64,
    /// Those of them that are long prompts.
    pub long: u32,
    /// Memory that all running requests are predicted to need.
    pub kv_tokens: u64,
    /// When the prompt work will be done, if nothing else comes.
    prefill_until: Micros,
    /// When the iteration ends that has a prompt which was called off, and how much of it there was.
    busy_until: Micros,
    busy_us: u64,
    /// Those that are not under way yet.
    pub next: super::iteration::NextIteration,
}

impl Account {
    /// Prompt work before a request that came now.
    pub fn outstanding_us(&self, now: Micros) -> u64 {
        // No more than there is, wherever the clock was when it was sent.
        let busy_us = self.busy_until.since_us(now).min(self.busy_us);
        if self.unanswered == 0 {
            busy_us
        } else {
            let most_us = self.prefill_us.saturating_add(busy_us);
            self.prefill_until.since_us(now).min(most_us)
        }
    }

    /// For how long all prompt work has been done; for ever where nothing is unanswered.
    pub fn done_us(&self, now: Micros) -> u64 {
        if self.unanswered == 0 {
            u64::MAX
        } else {
            now.since_us(self.prefill_until)
        }
    }

    /// A request was sent, to where an iteration without prompts takes so long.
    pub fn sent(&mut self, now: Micros, work: Work, kv_tokens: u64, iteration_us: u64) {
        let quiet = self.unanswered == 0;
        self.next.sent(now, work.prefill_us, (quiet, iteration_us));
        let begins_us = self.outstanding_us(now);
        self.prefill_until = now.plus_us(begins_us.saturating_add(work.prefill_us));
        self.unanswered += 1;
        self.prefill_us = self.prefill_us.saturating_add(work.prefill_us);
        self.kv_tokens = self.kv_tokens.saturating_add(kv_tokens);
        self.long += u32::from(work.long);
    }

    /// Its first byte came, or it never will: what is left of the prompt work begins now.
    pub fn answered(&mut self, now: Micros, work: Work) {
        self.unanswered = self.unanswered.saturating_sub(1);
        self.next.answered(now, self.unanswered == 0);
        self.prefill_us = self.prefill_us.saturating_sub(work.prefill_us);
        self.long = self.long.saturating_sub(u32::from(work.long));
        let latest = now.plus_us(self.prefill_us);
        self.prefill_until = self.prefill_until.min(latest);
    }

    /// A prompt was called off, and is off the account: that much work is left of others, once the iteration that it is in has
    /// ended.
    pub fn called_off(&mut self, now: Micros, (others_us, busy_us): (u64, u64)) {
        (self.busy_until, self.busy_us) = (now.plus_us(busy_us), busy_us);
        self.prefill_until = now.plus_us(others_us.saturating_add(busy_us));
    }

    /// It ended: its memory is free.
    pub fn freed(&mut self, kv_tokens: u64) {
        self.kv_tokens = self.kv_tokens.saturating_sub(kv_tokens);
    }
}
