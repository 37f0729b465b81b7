//! One process of an engine: requests go in, events come out at the ends of iterations.

use super::cache::PrefixCache;
use super::lru::NumberMap;
use super::power::Busy;
use super::profile::Profile;
use super::roofline::Roofline;
use super::run::{Run, clock_ps};
use super::speculation::Pace;
use super::tier::Cached;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

/// A request as the engine takes it.
#[derive(Clone, Debug)]
pub struct EngineRequest {
    /// The driver's own name for it; unique among those that the engine holds.
    pub tag: u64,
    /// Prompt tokens, at least 1.
    pub prompt_tokens: u64,
    /// Tokens that it will make, at least 1.
    pub output_tokens: u64,
    /// Chained hashes of the prompt's whole blocks.
    pub blocks: Arc<[u64]>,
    /// Tokens of each block.
    pub block_tokens: u64,
}

/// What happened at the end of an iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineEvent {
    /// A prompt is computed and its first token made.
    FirstToken {
        /// Whose.
        tag: u64,
        /// Prompt tokens that came from a cache.
        cached: Cached,
        /// What its KV took from the part that computed it to the one that makes tokens, in nanoseconds; `None` where one does both.
        transfer_ns: Option<u64>,
    },
    /// Its last token is made; the engine holds it no more.
    Finished {
        /// Whose.
        tag: u64,
    },
}

/// How loaded an engine is, as its metrics page says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineStatus {
    /// Sequences in the batch.
    pub running: u32,
    /// Requests in its queue.
    pub waiting: u32,
    /// Tokens held by running sequences.
    pub kv_tokens_used: u64,
    /// Tokens of its KV memory.
    pub kv_tokens: u64,
    /// Tokens that its cache holds in KV memory.
    pub cached_tokens: u64,
    /// Sequences thrown out of the batch for want of memory, ever.
    pub preemptions: u64,
}

/// A sequence, waiting or in the batch.
#[derive(Debug)]
pub(super) struct Sequence {
    pub request: EngineRequest,
    /// Orders admissions; the newest is the first to be thrown out.
    pub admitted: u64,
    /// Tokens of the prompt (and of what was made before it was thrown out) that are still to be computed.
    pub uncached_left: u64,
    /// Time to copy tokens from tiers with its first chunk, in picoseconds.
    pub copy_left_ps: u64,
    /// Tokens that came from a cache at its first admission.
    pub cached: Cached,
    /// Tokens made before `decode_since`.
    pub made: u64,
    /// Iteration of the engine after which it decodes; `None` while its prompt is computed.
    pub decode_since: Option<u64>,
    /// Its first token has been told.
    pub told_first: bool,
    /// Its prompt and first token were computed elsewhere, and are here: it decodes as soon as it is admitted.
    pub received: bool,
    /// Told to go at the end of the iteration.
    pub cancelled: bool,
    /// In the batch.
    pub running: bool,
}

impl Sequence {
    fn new(request: EngineRequest) -> Self {
        Self {
            request,
            admitted: 0,
            uncached_left: 0,
            copy_left_ps: 0,
            cached: Cached::default(),
            made: 0,
            decode_since: None,
            told_first: false,
            received: false,
            cancelled: false,
            running: false,
        }
    }

    /// Tokens to hold before the next one is made.
    pub fn context(&self) -> u64 {
        self.request.prompt_tokens + self.made
    }
}

/// A model of one process that iterates. All times are nanoseconds on the driver's clock, which begins at or after zero.
pub(super) struct Part {
    pub(super) profile: Profile,
    pub(super) times: Roofline,
    pub(super) sequences: NumberMap<Sequence>,
    pub(super) waiting: VecDeque<u64>,
    pub(super) prefilling: VecDeque<u64>,
    /// Iterations at whose end sequences finish; entries of sequences that left are skipped.
    pub(super) finishing: BinaryHeap<Reverse<(u64, u64)>>,
    pub(super) decoding: u64,
    pub(super) running: u32,
    /// Tokens held by sequences of the batch.
    pub(super) held_tokens: u64,
    pub(super) iteration: u64,
    /// Tokens that its sequences make.
    pub(super) pace: Pace,
    /// Tokens that each of them may make in an iteration.
    pub(super) ahead: u64,
    pub(super) admissions: u64,
    pub(super) preemptions: u64,
    /// Tokens that it has made, first tokens of prompts apart.
    pub(super) decoded: u64,
    pub(super) run: Option<Run>,
    /// Prompt chunks of the current run, one iteration long.
    pub(super) chunks: Vec<(u64, u64)>,
    pub(super) cache: PrefixCache,
    /// One iteration at a time: slower, and the measure of the faster way.
    pub stepwise: bool,
    /// Some sequence of the batch was told to go.
    pub(super) cancelling: bool,
    /// What it does with its time, and how much longer that takes under a limit of power.
    pub(super) busy: Busy,
}

impl Part {
    /// An idle engine with an empty cache.
    pub fn new(profile: Profile) -> Self {
        Self {
            cache: PrefixCache::new(&profile.tiers),
            times: profile.roofline(),
            pace: Pace::of(profile.speculation.as_ref()),
            ahead: 1 + (profile.speculation).map_or(0, |own| u64::from(own.draft_tokens)),
            profile,
            sequences: NumberMap::default(),
            waiting: VecDeque::new(),
            prefilling: VecDeque::new(),
            finishing: BinaryHeap::new(),
            decoding: 0,
            running: 0,
            held_tokens: 0,
            iteration: 0,
            admissions: 0,
            preemptions: 0,
            decoded: 0,
            run: None,
            chunks: Vec::new(),
            stepwise: false,
            cancelling: false,
            busy: Busy::default(),
        }
    }

    /// Takes a request.
    pub fn submit(&mut self, now_ns: u64, request: EngineRequest) {
        self.take(now_ns, Sequence::new(request));
    }

    /// Takes a request whose prompt and first token were computed elsewhere, with their KV.
    pub fn receive(&mut self, now_ns: u64, request: EngineRequest) {
        let sequence = Sequence {
            made: 1,
            told_first: true,
            received: true,
            ..Sequence::new(request)
        };
        self.take(now_ns, sequence);
    }

    fn take(&mut self, now_ns: u64, sequence: Sequence) {
        let (tag, context) = (sequence.request.tag, sequence.context());
        self.sequences.insert(tag, sequence);
        self.waiting.push_back(tag);
        match self.run {
            None => self.begin(clock_ps(now_ns)),
            Some(_) if self.waiting.len() == 1 && self.has_room(context) => {
                self.cut_run(now_ns);
            }
            Some(_) => {}
        }
    }

    /// Tokens of a prompt that its cache has.
    pub fn cached_of(&self, request: &EngineRequest) -> u64 {
        let cached = self.cache.lookup(&request.blocks, request.block_tokens);
        cached.tokens().min(request.prompt_tokens - 1)
    }

    /// Gives a request up: at once where it waits, at the end of the iteration where it runs.
    pub fn cancel(&mut self, now_ns: u64, tag: u64) {
        let Some(sequence) = self.sequences.get_mut(&tag) else {
            return;
        };
        if sequence.running {
            sequence.cancelled = true;
            self.cancelling = true;
            self.cut_run(now_ns);
        } else {
            self.sequences.remove(&tag);
            self.waiting.retain(|other| *other != tag);
            // The one behind it may have room where it had none.
            self.cut_run(now_ns);
        }
    }

    /// When [`Part::advance`] has something to do; `None` while it is idle.
    pub fn next_at_ns(&self) -> Option<u64> {
        self.run.as_ref().map(Run::end_ns)
    }

    /// Ends the iterations that are over at `now_ns` and begins the next.
    pub fn advance(&mut self, now_ns: u64, events: &mut Vec<EngineEvent>) {
        while let Some(run) = self.run.take_if(|run| run.end_ns() <= now_ns) {
            self.end(&run, events);
            self.begin(run.end_ps());
        }
    }

    /// Tokens made so far; `None` for what it does not hold.
    pub fn made(&self, now_ns: u64, tag: u64) -> Option<u64> {
        let sequence = self.sequences.get(&tag)?;
        let since = sequence.decode_since.map_or(0, |since| {
            let done = self.run.as_ref().map_or(0, |run| run.done(now_ns));
            self.pace.tokens(self.iteration + done) - self.pace.tokens(since)
        });
        Some((sequence.made + since).min(sequence.request.output_tokens))
    }

    /// Tokens that it has made so far beside the first of each answer, up to the last end of iterations.
    pub fn decoded_tokens(&self) -> u64 {
        self.decoded
    }

    /// How loaded it is.
    pub fn status(&self) -> EngineStatus {
        EngineStatus {
            running: self.running,
            waiting: u32::try_from(self.waiting.len()).unwrap_or(u32::MAX),
            kv_tokens_used: self.held_tokens,
            kv_tokens: self.profile.kv_tokens,
            cached_tokens: self.cache.device_tokens(),
            preemptions: self.preemptions,
        }
    }

    /// Another process: what it held and what it had cached is gone.
    pub fn restart(&mut self, now_ns: u64) {
        let profile = self.profile.clone();
        let (stepwise, decoded) = (self.stepwise, self.decoded);
        let spent = self.spent(now_ns);
        let busy = std::mem::take(&mut self.busy).stopped(spent);
        *self = Self::new(profile);
        (self.stepwise, self.decoded, self.busy) = (stepwise, decoded, busy);
    }

    /// Forgets its prefixes, as an engine does that was told to.
    pub fn cache_clear(&mut self) {
        self.cache.clear();
    }

    /// Whether a sequence of that context could join the batch now.
    pub(super) fn has_room(&self, context_tokens: u64) -> bool {
        if self.running == 0 {
            return true;
        }
        self.running < self.profile.slots
            && self.held_tokens + context_tokens < self.profile.kv_tokens
    }
}
