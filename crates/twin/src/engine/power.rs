//! What an engine does with its time, which is what its power depends on, and how a limit of power slows it.

use super::model::Part;
use super::profile::Profile;
use super::run::{Run, clock_ps};
use super::split::PartKind;
use madang_core::power::model::{Mix, PowerProfile, Stretch, WHOLE_MILLI};

/// Time that an engine has spent since it was made, in picoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// On prompts.
    pub prefill_ps: u128,
    /// On making tokens.
    pub decode_ps: u128,
    /// The same, once for each sequence that was made tokens for.
    pub sequence_ps: u128,
}

impl Spent {
    /// What was spent since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            prefill_ps: self.prefill_ps.saturating_sub(before.prefill_ps),
            decode_ps: self.decode_ps.saturating_sub(before.decode_ps),
            sequence_ps: self.sequence_ps.saturating_sub(before.sequence_ps),
        }
    }

    /// Of several parts, each with its share of the whole's accelerators: parts of time are those of all of them.
    pub(super) fn of_parts(parts: impl Iterator<Item = (Self, u32)>) -> Self {
        let (mut prefill_ps, mut decode_ps, mut sequence_ps, mut all) = (0, 0, 0, 0);
        for (spent, accelerators) in parts {
            let weight = u128::from(accelerators);
            prefill_ps += spent.prefill_ps * weight;
            decode_ps += spent.decode_ps * weight;
            sequence_ps += spent.sequence_ps * weight;
            all += weight;
        }
        let mean = |sum: u128| sum / all.max(1);
        Self {
            prefill_ps: mean(prefill_ps),
            decode_ps: mean(decode_ps),
            sequence_ps: mean(sequence_ps),
        }
    }

    /// What the engine did since `before`, over a span of its time.
    pub fn mix(&self, before: &Self, span_ns: u64) -> Mix {
        let done = self.since(before);
        let sequences = done.sequence_ps.div_ceil(done.decode_ps.max(1));
        let narrow = |ps: u128| u64::try_from(ps).unwrap_or(u64::MAX);
        Mix::of(
            span_ns.saturating_mul(1_000),
            (narrow(done.prefill_ps), narrow(done.decode_ps)),
            u32::try_from(sequences).unwrap_or(u32::MAX),
        )
    }
}

/// The run that is under way, and all before it.
#[derive(Debug)]
pub(super) struct Busy {
    stretch: Stretch,
    spent: Spent,
    /// Of the run under way: time on prompts, and sequences that are made tokens for.
    prefill_ps: u64,
    decoding: u64,
}

impl Default for Busy {
    fn default() -> Self {
        Self {
            stretch: Stretch::NONE,
            spent: Spent::default(),
            prefill_ps: 0,
            decoding: 0,
        }
    }
}

fn takes(time_ps: u64, milli: u64) -> u64 {
    let whole = u64::from(WHOLE_MILLI);
    if milli == whole {
        return time_ps;
    }
    let longer = u128::from(time_ps) * u128::from(milli) / u128::from(whole);
    u64::try_from(longer).unwrap_or(u64::MAX / 4)
}

impl Busy {
    /// What an iteration takes of time on prompts and on tokens, by what it would take without a limit.
    pub fn begins(&mut self, (prefill_ps, decode_ps): (u64, u64), decoding: u64) -> (u64, u64) {
        let prefill_ps = takes(prefill_ps, self.stretch.prefill_milli);
        (self.prefill_ps, self.decoding) = (prefill_ps, decoding);
        (prefill_ps, self.decode_takes(decode_ps))
    }

    pub fn decode_takes(&self, time_ps: u64) -> u64 {
        takes(time_ps, self.stretch.decode_milli)
    }

    pub fn ended(&mut self, run: &Run) {
        self.spent = self.with(run.elapsed_ps(u128::MAX));
        (self.prefill_ps, self.decoding) = (0, 0);
    }

    /// All time, with so much of the run under way. Prompts are taken to come first in it; where nothing decodes all of it is theirs.
    fn with(&self, elapsed_ps: u64) -> Spent {
        let prefill_ps = match self.decoding {
            0 => elapsed_ps,
            _ => elapsed_ps.min(self.prefill_ps),
        };
        let decode_ps = elapsed_ps - prefill_ps;
        Spent {
            prefill_ps: self.spent.prefill_ps + u128::from(prefill_ps),
            decode_ps: self.spent.decode_ps + u128::from(decode_ps),
            sequence_ps: self.spent.sequence_ps + u128::from(decode_ps) * u128::from(self.decoding),
        }
    }

    /// The run under way is given up, and what was done of it counts; a limit outlives the process.
    pub fn stopped(self, spent: Spent) -> Self {
        Self {
            spent,
            prefill_ps: 0,
            decoding: 0,
            ..self
        }
    }
}

impl Part {
    /// From the next iteration on its work takes so much longer.
    pub fn stretch(&mut self, now_ns: u64, stretch: Stretch) {
        if self.busy.stretch != stretch {
            self.busy.stretch = stretch;
            self.cut_run(now_ns);
        }
    }

    /// What it has done with its time until now.
    pub fn spent(&self, now_ns: u64) -> Spent {
        let run = self.run.as_ref();
        let elapsed_ps = run.map_or(0, |run| run.elapsed_ps(clock_ps(now_ns)));
        self.busy.with(elapsed_ps)
    }
}

/// What the accelerators of a profile draw, with their part of the machine, by their rated power.
pub fn rated(profile: &Profile) -> PowerProfile {
    if let Some(split) = &profile.split {
        let of = |kind: &PartKind| rated(&kind.profile).times(u64::from(kind.count));
        return of(&split.prefill).and(of(&split.decode));
    }
    let (kind, count) = match &*profile.name {
        "h100x2-32b" => ("h100", 2),
        "h100-8b" => ("h100", 1),
        "npu-8b" => ("rngd", 1),
        _ => ("a100", 1),
    };
    // Each of these kinds is known there.
    PowerProfile::of_accelerator(kind)
        .unwrap_or(PowerProfile::new(0, 0))
        .times(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{
        Division, Engine, EngineRequest, KV_LINK_BYTES_S, KV_LINK_LATENCY_US, PROFILES,
    };
    use std::sync::Arc;

    const S_NS: u64 = 1_000_000_000;

    fn request(tag: u64, (prompt_tokens, output_tokens): (u64, u64)) -> EngineRequest {
        EngineRequest {
            tag,
            prompt_tokens,
            output_tokens,
            blocks: Arc::new([]),
            block_tokens: 16,
        }
    }

    /// Time until all is done, and what was done in it.
    fn run(engine: &mut Engine) -> (u64, Spent) {
        let (mut now_ns, mut events) = (0, Vec::new());
        while let Some(at_ns) = engine.next_at_ns() {
            now_ns = at_ns;
            engine.advance(now_ns, &mut events);
        }
        (now_ns, engine.spent(now_ns))
    }

    #[test]
    fn all_time_is_spent_on_prompts_and_tokens_and_many_steps_are_as_one() {
        let engine = || {
            let mut engine = Engine::new(PROFILES[0].clone());
            for tag in 0..9 {
                engine.submit(0, request(tag, (4_000 + 500 * tag, 20 + 30 * tag)));
            }
            engine
        };
        let (until_ns, spent) = run(&mut engine());
        let (_, stepwise) = run(&mut engine().stepwise());
        assert_eq!(spent, stepwise);
        let busy_ns = (spent.prefill_ps + spent.decode_ps) as u64 / 1_000;
        assert!(busy_ns.abs_diff(until_ns) <= 2, "{busy_ns} of {until_ns}");
        assert!(spent.prefill_ps > 0 && spent.decode_ps > 0);
        let mut half = engine();
        half.advance(until_ns / 2, &mut Vec::new());
        let spent = half.spent(until_ns / 2);
        let busy_ns = (spent.prefill_ps + spent.decode_ps) as u64 / 1_000;
        assert!(
            busy_ns.abs_diff(until_ns / 2) <= 2,
            "{busy_ns} of half of {until_ns}"
        );
    }

    #[test]
    fn a_limit_slows_prompts_and_not_tokens() {
        let time = |limit_milli: u32, lengths| {
            let mut engine = Engine::new(PROFILES[0].clone());
            let profile = rated(&PROFILES[0]);
            engine.stretch(0, profile.stretch(profile.limit_watts(limit_milli)));
            engine.submit(0, request(1, lengths));
            run(&mut engine)
        };
        let (_, free) = time(1_000, (8_000, 500));
        let (_, bound) = time(800, (8_000, 500));
        assert_eq!(bound.decode_ps / 1_000_000, free.decode_ps / 1_000_000);
        let longer = bound.prefill_ps * 1_000 / free.prefill_ps;
        assert!((1_200..=1_255).contains(&longer), "{longer}");
    }

    #[test]
    fn parts_for_prompts_draw_what_they_are_rated_at() {
        let part = |profile: &Profile, count| PartKind {
            profile: profile.clone(),
            count,
            accelerators: 1,
        };
        let (prompts, tokens) = (&PROFILES[0], &PROFILES[2]);
        let split = Profile::of_parts(Division {
            prefill: part(prompts, 3),
            decode: part(tokens, 2),
            link_bytes_s: KV_LINK_BYTES_S,
            link_latency_us: KV_LINK_LATENCY_US,
        });
        let (own, prompts, tokens) = (rated(&split), rated(prompts), rated(tokens));
        assert_eq!(
            own.full_watts,
            3 * prompts.full_watts + 2 * tokens.full_watts
        );
        assert_eq!(
            own.idle_watts,
            3 * prompts.idle_watts + 2 * tokens.idle_watts
        );
        assert_ne!(prompts.full_watts, tokens.full_watts);
    }

    #[test]
    fn an_engine_that_does_nothing_draws_what_is_idle() {
        for profile in PROFILES {
            let power = rated(profile);
            let engine = Engine::new(profile.clone());
            let mix = engine.spent(S_NS).mix(&Spent::default(), S_NS);
            assert_eq!(
                power.watts(power.used_milli(mix)),
                power.idle_watts,
                "{}",
                profile.name
            );
            assert!(power.full_watts > power.idle_watts, "{}", profile.name);
        }
    }
}
