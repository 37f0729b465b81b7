//! Prompts and tokens on accelerators of their own: parts that compute prompts hand KV over a link to parts that make tokens.
//!
//! As vLLM, SGLang and Dynamo are deployed, all of it is one endpoint: what stands before it sees one engine, which chooses both
//! parts itself, and hears a first token when its KV has come.

use super::lru::NumberMap;
use super::model::{EngineEvent, EngineRequest, EngineStatus, Part};
use super::power::Spent;
use super::profile::Profile;
use super::roofline::Roofline;
use super::tier::Cached;
use madang_core::power::model::Stretch;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// Bytes a second that the network gives each accelerator, where nobody says it: 400 Gbit/s, as machines for such engines are sold with.
pub const KV_LINK_BYTES_S: f64 = 50e9;
/// Until the first byte has come, likewise, in microseconds: chosen, as makers tell bandwidths and not this.
pub const KV_LINK_LATENCY_US: u64 = 1_000;

/// Parts of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct PartKind {
    /// What each can do.
    pub profile: Profile,
    /// How many.
    pub count: u32,
    /// Accelerators of each.
    pub accelerators: u32,
}

/// How an engine is divided.
#[derive(Clone, Debug, PartialEq)]
pub struct Division {
    /// Parts that compute prompts.
    pub prefill: PartKind,
    /// Parts that make tokens.
    pub decode: PartKind,
    /// What each part that computes prompts sends, in bytes a second: one request after another.
    pub link_bytes_s: f64,
    /// Until the first byte has come, in microseconds.
    pub link_latency_us: u64,
}

/// Where a request is.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Its prompt is computed by that part, which has so many tokens of it to compute.
    Prefill(usize, u64),
    /// Its KV is on the way to that part since an instant.
    Link(usize, Cached, u64),
    /// That part makes its tokens.
    Decode(usize),
}

/// A request between its parts.
struct Passing {
    request: EngineRequest,
    stage: Stage,
}

/// An engine of parts.
pub(super) struct Split {
    division: Division,
    /// Says what a prompt's KV is.
    times: Roofline,
    prefill: Vec<Part>,
    decode: Vec<Part>,
    /// Tokens that each of the first still has to compute.
    left_tokens: Vec<u64>,
    /// Prompt tokens of those that each of the others has, or that are on the way to it.
    held_tokens: Vec<u64>,
    /// When the link of each of the first is free, in nanoseconds.
    free_at_ns: Vec<u64>,
    passing: NumberMap<Passing>,
    /// What comes over links: when, and whose. What was given up meanwhile is skipped.
    coming: BinaryHeap<Reverse<(u64, u64)>>,
    events: Vec<EngineEvent>,
}

impl Split {
    pub fn new(division: &Division) -> Self {
        let parts = |kind: &PartKind| -> Vec<Part> {
            let part = |_| Part::new(kind.profile.clone());
            (0..kind.count.max(1)).map(part).collect()
        };
        let (prefill, decode) = (parts(&division.prefill), parts(&division.decode));
        Self {
            left_tokens: vec![0; prefill.len()],
            held_tokens: vec![0; decode.len()],
            free_at_ns: vec![0; prefill.len()],
            division: division.clone(),
            times: division.prefill.profile.roofline(),
            prefill,
            decode,
            passing: NumberMap::default(),
            coming: BinaryHeap::new(),
            events: Vec::new(),
        }
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.prefill.iter().chain(&self.decode)
    }

    fn parts_mut(&mut self) -> impl Iterator<Item = &mut Part> {
        self.prefill.iter_mut().chain(&mut self.decode)
    }

    pub fn stepwise(&mut self) {
        self.parts_mut().for_each(|part| part.stepwise = true);
    }

    /// To the part that has the least to compute, with what of this prompt it has not cached.
    pub fn submit(&mut self, now_ns: u64, request: EngineRequest) {
        let uncached = |part: &Part| request.prompt_tokens - part.cached_of(&request);
        let behind = self.prefill.iter().zip(&self.left_tokens).enumerate();
        let behind = behind.map(|(at, (part, left))| {
            let uncached = uncached(part);
            (left + uncached, at, uncached)
        });
        let Some((_, at, uncached)) = behind.min() else {
            return;
        };
        self.left_tokens[at] += uncached;
        let prompt = EngineRequest {
            output_tokens: 1,
            ..request.clone()
        };
        self.passing.insert(
            request.tag,
            Passing {
                request,
                stage: Stage::Prefill(at, uncached),
            },
        );
        self.prefill[at].submit(now_ns, prompt);
    }

    pub fn cancel(&mut self, now_ns: u64, tag: u64) {
        let Some(Passing { request, stage }) = self.passing.remove(&tag) else {
            return;
        };
        match stage {
            Stage::Prefill(at, uncached) => {
                self.left_tokens[at] -= uncached;
                self.prefill[at].cancel(now_ns, tag);
            }
            Stage::Link(at, ..) => self.held_tokens[at] -= request.prompt_tokens,
            Stage::Decode(at) => {
                self.held_tokens[at] -= request.prompt_tokens;
                self.decode[at].cancel(now_ns, tag);
            }
        }
    }

    pub fn next_at_ns(&self) -> Option<u64> {
        let comes = self.coming.peek().map(|Reverse((at_ns, _))| *at_ns);
        let ends = self.parts().filter_map(Part::next_at_ns);
        ends.chain(comes).min()
    }

    pub fn advance(&mut self, now_ns: u64, events: &mut Vec<EngineEvent>) {
        while let Some(at_ns) = self.next_at_ns().filter(|at_ns| *at_ns <= now_ns) {
            let mut told = std::mem::take(&mut self.events);
            for at in 0..self.prefill.len() {
                self.prefill[at].advance(at_ns, &mut told);
                for event in told.drain(..) {
                    self.computed((at_ns, at), event, events);
                }
            }
            for part in &mut self.decode {
                part.advance(at_ns, &mut told);
            }
            for event in told.drain(..) {
                self.decoded(event, events);
            }
            self.events = told;
            // What comes at the end of an iteration is not in the next one, which begins then.
            while let Some(&Reverse((comes_ns, tag))) = self.coming.peek() {
                if comes_ns > at_ns {
                    break;
                }
                self.coming.pop();
                self.came(comes_ns, tag, events);
            }
        }
    }

    /// A part that computes prompts says something: its only token is the first of the answer.
    fn computed(
        &mut self,
        (now_ns, part): (u64, usize),
        event: EngineEvent,
        events: &mut Vec<EngineEvent>,
    ) {
        let EngineEvent::FirstToken { tag, cached, .. } = event else {
            return;
        };
        let Some(passing) = self.passing.get_mut(&tag) else {
            return;
        };
        if let Stage::Prefill(at, uncached) = passing.stage {
            self.left_tokens[at] -= uncached;
        }
        if passing.request.output_tokens <= 1 {
            self.passing.remove(&tag);
            events.extend([event, EngineEvent::Finished { tag }]);
            return;
        }
        let held = self.held_tokens.iter().zip(0..).min();
        let to = held.map_or(0, |(_, to)| to);
        let prompt_tokens = passing.request.prompt_tokens;
        self.held_tokens[to] += prompt_tokens;
        passing.stage = Stage::Link(to, cached, now_ns);
        let bytes = self.times.kv_bytes(prompt_tokens);
        let sends_ns = (bytes / self.division.link_bytes_s * 1e9).min(1e17).ceil() as u64;
        let free_at_ns = &mut self.free_at_ns[part];
        *free_at_ns = now_ns.max(*free_at_ns) + sends_ns;
        let comes_ns = *free_at_ns + self.division.link_latency_us * 1_000;
        self.coming.push(Reverse((comes_ns, tag)));
    }

    /// The KV of a prompt has come.
    fn came(&mut self, now_ns: u64, tag: u64, events: &mut Vec<EngineEvent>) {
        let Some(passing) = self.passing.get_mut(&tag) else {
            return;
        };
        let Stage::Link(at, cached, since_ns) = passing.stage else {
            return;
        };
        passing.stage = Stage::Decode(at);
        events.push(EngineEvent::FirstToken {
            tag,
            cached,
            transfer_ns: Some(now_ns - since_ns),
        });
        // Where it is thrown out for want of memory it is computed anew there, whose cache holds no prompts.
        let request = EngineRequest {
            blocks: Arc::new([]),
            ..passing.request.clone()
        };
        self.decode[at].receive(now_ns, request);
    }

    fn decoded(&mut self, event: EngineEvent, events: &mut Vec<EngineEvent>) {
        let EngineEvent::Finished { tag } = event else {
            return;
        };
        if let Some(Passing { request, stage }) = self.passing.remove(&tag) {
            if let Stage::Decode(at) = stage {
                self.held_tokens[at] -= request.prompt_tokens;
            }
            events.push(event);
        }
    }

    pub fn made(&self, now_ns: u64, tag: u64) -> Option<u64> {
        match self.passing.get(&tag)?.stage {
            Stage::Decode(at) => self.decode[at].made(now_ns, tag),
            Stage::Prefill(..) | Stage::Link(..) => Some(0),
        }
    }

    pub fn decoded_tokens(&self) -> u64 {
        self.decode.iter().map(Part::decoded_tokens).sum()
    }

    pub fn status(&self) -> EngineStatus {
        let mut all = EngineStatus::default();
        for status in self.parts().map(Part::status) {
            all.running += status.running;
            all.waiting += status.waiting;
            all.cached_tokens += status.cached_tokens;
            all.preemptions += status.preemptions;
        }
        // What holds answers is what runs short.
        for status in self.decode.iter().map(Part::status) {
            all.kv_tokens_used += status.kv_tokens_used;
            all.kv_tokens += status.kv_tokens;
        }
        let linked = self.passing.values();
        let linked = linked.filter(|passing| matches!(passing.stage, Stage::Link(..)));
        all.waiting += u32::try_from(linked.count()).unwrap_or(u32::MAX);
        all
    }

    pub fn restart(&mut self, now_ns: u64) {
        self.parts_mut().for_each(|part| part.restart(now_ns));
        self.left_tokens.fill(0);
        self.held_tokens.fill(0);
        self.free_at_ns.fill(0);
        self.passing.clear();
        self.coming.clear();
    }

    pub fn cache_clear(&mut self) {
        self.parts_mut().for_each(Part::cache_clear);
    }

    pub fn stretch(&mut self, now_ns: u64, stretch: Stretch) {
        self.parts_mut()
            .for_each(|part| part.stretch(now_ns, stretch));
    }

    pub fn spent(&self, now_ns: u64) -> Spent {
        let Division {
            prefill, decode, ..
        } = &self.division;
        let weighed = |parts: &[Part], accelerators: u32| -> Vec<(Spent, u32)> {
            let parts = parts.iter();
            parts
                .map(|part| (part.spent(now_ns), accelerators))
                .collect()
        };
        let parts = weighed(&self.prefill, prefill.accelerators);
        let others = weighed(&self.decode, decode.accelerators);
        Spent::of_parts(parts.into_iter().chain(others))
    }
}
