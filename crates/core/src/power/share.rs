//! What of an engine's energy each of its requests takes, foretold while it runs.
//!
//! An engine that computes prompts draws all that it can; one that makes tokens what a batch of its size does ([`PowerProfile`]). Prompts
//! take the engine as one, tokens their part of the batch; where both are there, what is drawn is shared as each alone would draw.
//! Requests of one phase share alike, so a few sums that all of them read are enough: who comes or goes costs the same, however many
//! there are. What it draws at rest is in all of this while something runs; while nothing does, nobody is asked for it.
//!
//! This says who takes how much beside others. How much it was in all a meter says, and a site's spans are settled by that
//! (`madang_ledger::EnergySpan`).

use super::model::PowerProfile;
use madang_types::Micros;

/// What an engine does for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorkPhase {
    /// It computes its prompt.
    Prompt,
    /// It makes its tokens.
    Tokens,
}

/// One request's place at an engine.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    phase: WorkPhase,
    /// The sum of its phase when it was read last, in nanojoules.
    read_nj: u128,
}

/// The requests of one engine.
#[derive(Clone, Debug)]
pub struct EngineClaims {
    profile: PowerProfile,
    at: Micros,
    prompts: u32,
    makers: u32,
    /// What one request in a phase would have taken since the start, in nanojoules.
    prompt_nj: u128,
    tokens_nj: u128,
    busy_us: u64,
}

impl EngineClaims {
    /// An engine that nothing runs on.
    pub fn new(profile: PowerProfile, now: Micros) -> Self {
        Self {
            profile,
            at: now,
            prompts: 0,
            makers: 0,
            prompt_nj: 0,
            tokens_nj: 0,
            busy_us: 0,
        }
    }

    /// It draws so from now on.
    pub fn profile(&mut self, now: Micros, profile: PowerProfile) {
        self.pass(now);
        self.profile = profile;
    }

    /// A request begins at it.
    pub fn begin(&mut self, now: Micros, phase: WorkPhase) -> Claim {
        self.pass(now);
        *self.count(phase) += 1;
        Claim {
            phase,
            read_nj: self.sum(phase),
        }
    }

    /// A request's first token is there: the rest of its time it makes tokens. Gives what it has taken since it was read last, in
    /// nanojoules.
    pub fn first_token(&mut self, now: Micros, claim: &mut Claim) -> u128 {
        let taken = self.end(now, *claim);
        *claim = self.begin(now, WorkPhase::Tokens);
        taken
    }

    /// What a request has taken since it was read last, in nanojoules.
    pub fn read(&mut self, now: Micros, claim: &mut Claim) -> u128 {
        self.pass(now);
        let sum = self.sum(claim.phase);
        sum - std::mem::replace(&mut claim.read_nj, sum)
    }

    /// A request ends. Gives what it has taken since it was read last, in nanojoules.
    pub fn end(&mut self, now: Micros, mut claim: Claim) -> u128 {
        let taken = self.read(now, &mut claim);
        let count = self.count(claim.phase);
        *count = count.saturating_sub(1);
        taken
    }

    /// Time in which anything ran on it since this was asked last, in microseconds.
    pub fn take_busy_us(&mut self, now: Micros) -> u64 {
        self.pass(now);
        std::mem::take(&mut self.busy_us)
    }

    /// Time that has passed is shared by those who were there. A clock that was set back passes none.
    fn pass(&mut self, now: Micros) {
        let span_us = now.since_us(self.at);
        self.at = self.at.max(now);
        if span_us == 0 || self.prompts + self.makers == 0 {
            return;
        }
        self.busy_us = self.busy_us.saturating_add(span_us);
        let profile = &self.profile;
        let alone_tokens = match self.makers {
            0 => 0,
            makers => profile.watts(profile.decode_milli(makers)),
        };
        let (alone_prompts, drawn) = match self.prompts {
            0 => (0, alone_tokens),
            _ => (profile.full_watts, profile.full_watts),
        };
        // Watts for microseconds are microjoules.
        let all_nj = u128::from(drawn) * u128::from(span_us) * 1_000;
        let each = |alone: u64, count: u32| {
            let parts = u128::from(alone_prompts + alone_tokens) * u128::from(count);
            all_nj * u128::from(alone) / parts.max(1)
        };
        self.prompt_nj += each(alone_prompts, self.prompts);
        self.tokens_nj += each(alone_tokens, self.makers);
    }

    fn count(&mut self, phase: WorkPhase) -> &mut u32 {
        match phase {
            WorkPhase::Prompt => &mut self.prompts,
            WorkPhase::Tokens => &mut self.makers,
        }
    }

    fn sum(&self, phase: WorkPhase) -> u128 {
        match phase {
            WorkPhase::Prompt => self.prompt_nj,
            WorkPhase::Tokens => self.tokens_nj,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: i64 = 1_000_000;
    const MJ: u128 = 1_000_000;

    fn engine() -> EngineClaims {
        EngineClaims::new(PowerProfile::new(200, 1_000), Micros(0))
    }

    #[test]
    fn a_prompt_takes_the_engine_and_a_token_its_part_of_the_batch() {
        let mut engine = engine();
        let mut one = engine.begin(Micros(5 * S), WorkPhase::Prompt);
        assert_eq!(engine.first_token(Micros(6 * S), &mut one), 1_000_000 * MJ);
        // Alone: 200 + 800 × (680 + 320 / 65) / 1000.
        assert_eq!(engine.read(Micros(7 * S), &mut one), 747_000 * MJ);
        let others: Vec<Claim> = (0..63)
            .map(|_| engine.begin(Micros(7 * S), WorkPhase::Tokens))
            .collect();
        // 64 share 200 + 800 × 840 / 1000.
        assert_eq!(engine.end(Micros(71 * S), one), 872_000 * MJ);
        assert_eq!(engine.take_busy_us(Micros(71 * S)), 66_000_000);
        for claim in others {
            assert_eq!(engine.end(Micros(71 * S), claim), 872_000 * MJ);
        }
        assert_eq!(engine.take_busy_us(Micros(100 * S)), 0);
    }

    #[test]
    fn prompts_and_tokens_share_what_is_drawn_as_each_alone_would_draw() {
        let mut engine = engine();
        let prompt = engine.begin(Micros(0), WorkPhase::Prompt);
        let tokens = engine.begin(Micros(0), WorkPhase::Tokens);
        let taken = [prompt, tokens].map(|claim| engine.clone().end(Micros(S), claim));
        assert_eq!(taken, [572_409_845_449_u128, 427_590_154_550]);
    }

    #[test]
    fn a_clock_that_is_set_back_shares_nothing_twice() {
        let mut engine = engine();
        let mut one = engine.begin(Micros(10 * S), WorkPhase::Prompt);
        assert_eq!(engine.read(Micros(11 * S), &mut one), 1_000_000 * MJ);
        assert_eq!(engine.read(Micros(5 * S), &mut one), 0);
        assert_eq!(engine.end(Micros(12 * S), one), 1_000_000 * MJ);
    }

    /// What one of 0: begins, 1: has its first token, 2: is read, 3: ends; after so many microseconds.
    type Step = (u64, u8, usize);

    fn play(steps: &[Step]) -> (u128, u128) {
        let mut engine = engine();
        let (mut now, mut taken, mut drawn) = (0_i64, 0_u128, 0_u128);
        let mut open: Vec<Claim> = Vec::new();
        for (wait_us, what, which) in steps {
            now += i64::try_from(*wait_us).unwrap();
            let count = |phase| {
                let of = open.iter().filter(|claim| claim.phase == phase).count();
                u32::try_from(of).unwrap()
            };
            let (prompts, makers) = (count(WorkPhase::Prompt), count(WorkPhase::Tokens));
            let profile = engine.profile;
            let watts = match (prompts, makers) {
                (0, 0) => 0,
                (0, makers) => profile.watts(profile.decode_milli(makers)),
                _ => profile.full_watts,
            };
            drawn += u128::from(watts) * u128::from(*wait_us) * 1_000;
            let at = which % open.len().max(1);
            match (what, open.get_mut(at)) {
                (1, Some(claim)) => taken += engine.first_token(Micros(now), claim),
                (2, Some(claim)) => taken += engine.read(Micros(now), claim),
                (3, Some(_)) => taken += engine.end(Micros(now), open.swap_remove(at)),
                _ => open.push(engine.begin(Micros(now), WorkPhase::Prompt)),
            }
        }
        let left = open.into_iter().map(|claim| engine.end(Micros(now), claim));
        (taken + left.sum::<u128>(), drawn)
    }

    proptest! {
        /// However requests come and go, all together have taken what the engine drew, but for what division leaves of a nanojoule.
        #[test]
        fn all_together_take_what_is_drawn(
            steps in prop::collection::vec((0_u64..5_000_000, 0_u8..4, 0_usize..100), 1..120),
        ) {
            let (taken, drawn) = play(&steps);
            prop_assert!(taken <= drawn);
            let lost = drawn - taken;
            prop_assert!(lost <= 2 * 120 * steps.len() as u128, "{lost} nJ of {drawn} are nobody's");
        }
    }
}
