//! How many watts an engine, an accelerator or a machine draws, by what it does.
//!
//! `watts = idle + (full - idle) * u`, where `u` is the part of the time in which prompts are computed, and that in which tokens are
//! made, each as full as such work makes an accelerator: prompts wholly; a batch of `n` sequences that make tokens
//! `floor + (1 - floor) * n / (n + 64)`. Both forms were fitted to published measurements, which the tests below hold them to:
//! MLPerf Inference v5.1 (wall power of Lenovo's server of eight B200) and the ML.ENERGY leaderboard v3 (power of one accelerator by
//! batch). Prompts at the whole of its power: Splitwise's measurements on A100 (peaks of 1.00 to 1.03 of its rated power from 1,000
//! tokens on).

use serde::{Deserialize, Serialize};

/// What of `full_watts` of accelerators with their part of the machine is the machine's: what a meter of the accelerators alone leaves out.
pub const fn machine_watts(full_watts: u64) -> u64 {
    full_watts.saturating_mul(MACHINE_MILLI - WHOLE_MILLI as u64) / MACHINE_MILLI
}

/// All of a thing, in the thousandths in which parts are counted here.
pub const WHOLE_MILLI: u32 = 1_000;
/// Sequences at which a batch is half the way from its floor to the whole.
const BATCH_HALF: u64 = 64;
/// How full the smallest batch makes an accelerator, where nobody measured it: between 0.52 (8 billion parameters on an H100, most of a
/// step is not spent on reading weights) and 0.85 (32 billion on a B200).
const DECODE_FLOOR_MILLI: u32 = 680;
/// What a machine draws for each accelerator beside the accelerator itself, in thousandths of its rated power: 1.18 to 1.30 kW at the
/// wall for each B200 of 1.0 kW (MLPerf v5.1).
const MACHINE_MILLI: u64 = 1_250;
/// What a machine draws that does nothing, in thousandths of what it draws at most: 2.8 of 10.5 kW (MLPerf v5.1, eight B200).
const IDLE_MILLI: u64 = 270;
/// Part of what lies between idle and full below which an accelerator's memory is slowed by a limit too, not its arithmetic alone.
const MEMORY_SLOWS_BELOW_MILLI: u64 = 500;

/// Rated power of accelerators in watts, by the word that fleets call them by. From their makers' data sheets.
const RATED_WATTS: &[(&str, u64)] = &[
    ("a100", 400),
    ("h100", 700),
    ("h200", 700),
    ("b200", 1_000),
    ("gb200", 1_200),
    ("gb300", 1_400),
    ("mi300x", 750),
    ("mi355x", 1_400),
    ("rngd", 180),
    ("atom-max", 350),
    ("rebel100", 600),
    ("x330", 250),
];

/// What something draws at least and at most while it is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerProfile {
    /// Where it does nothing, in watts.
    pub idle_watts: u64,
    /// At most, in watts; not less than `idle_watts`.
    pub full_watts: u64,
    /// How full the smallest batch makes it, in thousandths.
    pub decode_floor_milli: u32,
}

/// What an engine does with its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mix {
    /// Part of the time in which prompts are computed, in thousandths.
    pub prefill_milli: u32,
    /// Part of the time in which tokens are made, in thousandths. The rest of the whole it does nothing.
    pub decode_milli: u32,
    /// Sequences that make tokens together.
    pub sequences: u32,
}

/// How much longer work takes under a limit of power, in thousandths of its time without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The computing of prompts.
    pub prefill_milli: u64,
    /// The making of tokens.
    pub decode_milli: u64,
}

impl Stretch {
    /// No limit.
    pub const NONE: Self = Self {
        prefill_milli: WHOLE_MILLI as u64,
        decode_milli: WHOLE_MILLI as u64,
    };
}

impl Mix {
    /// From times of one span, in one unit. What they leave of the span was idle.
    pub fn of(span: u64, (prefill, decode): (u64, u64), sequences: u32) -> Self {
        let milli = |time: u64| {
            let milli = u128::from(time) * u128::from(WHOLE_MILLI) / u128::from(span.max(1));
            u32::try_from(milli).unwrap_or(WHOLE_MILLI).min(WHOLE_MILLI)
        };
        let prefill_milli = milli(prefill);
        Self {
            prefill_milli,
            decode_milli: milli(decode).min(WHOLE_MILLI - prefill_milli),
            sequences,
        }
    }
}

impl PowerProfile {
    /// With the floor that holds where nobody measured it.
    pub fn new(idle_watts: u64, full_watts: u64) -> Self {
        Self {
            idle_watts: idle_watts.min(full_watts),
            full_watts,
            decode_floor_milli: DECODE_FLOOR_MILLI,
        }
    }

    /// One accelerator of that kind with its part of the machine, from its rated power; `None` for a kind that is not known here.
    pub fn of_accelerator(kind: &str) -> Option<Self> {
        let (_, rated) = RATED_WATTS.iter().find(|(known, _)| *known == kind)?;
        Some(Self::of_rated(*rated))
    }

    /// One accelerator of so many watts by its data sheet, with its part of the machine.
    pub fn of_rated(watts: u64) -> Self {
        let full_watts = watts.saturating_mul(MACHINE_MILLI) / u64::from(WHOLE_MILLI);
        let idle_watts = full_watts * IDLE_MILLI / u64::from(WHOLE_MILLI);
        Self::new(idle_watts, full_watts)
    }

    /// So many of it.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self {
            idle_watts: self.idle_watts.saturating_mul(count),
            full_watts: self.full_watts.saturating_mul(count),
            ..self
        }
    }

    /// Both together. How full a batch of one makes them is by this one's measure.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            idle_watts: self.idle_watts.saturating_add(other.idle_watts),
            full_watts: self.full_watts.saturating_add(other.full_watts),
            ..self
        }
    }

    /// What may be saved of it at most, in watts.
    pub fn dynamic_watts(&self) -> u64 {
        self.full_watts.saturating_sub(self.idle_watts)
    }

    /// How full a batch of so many sequences makes it, in thousandths; none of no sequence.
    pub fn decode_milli(&self, sequences: u32) -> u32 {
        let (floor, sequences) = (
            self.decode_floor_milli.min(WHOLE_MILLI),
            u64::from(sequences),
        );
        if sequences == 0 {
            return 0;
        }
        let rest = u64::from(WHOLE_MILLI - floor) * sequences / (sequences + BATCH_HALF);
        floor + u32::try_from(rest).unwrap_or(0)
    }

    /// How full a mix of work makes it, in thousandths.
    pub fn used_milli(&self, mix: Mix) -> u32 {
        let decode = u64::from(mix.decode_milli) * u64::from(self.decode_milli(mix.sequences));
        let decode = u32::try_from(decode / u64::from(WHOLE_MILLI)).unwrap_or(WHOLE_MILLI);
        mix.prefill_milli.saturating_add(decode).min(WHOLE_MILLI)
    }

    /// What it draws where it is so full, in watts.
    pub fn watts(&self, used_milli: u32) -> u64 {
        let used = u64::from(used_milli.min(WHOLE_MILLI));
        self.idle_watts + self.dynamic_watts() * used / u64::from(WHOLE_MILLI)
    }

    /// The limit at which it keeps so much of what lies between idle and full, in watts.
    pub fn limit_watts(&self, level_milli: u32) -> u64 {
        self.watts(level_milli)
    }

    /// How much slower it is under a limit. Arithmetic slows by as much as is missing of what lies between idle and full: each sum costs
    /// what it did, which errs on the slow side, as lower clocks need less for each. Reading memory slows only where less than half is
    /// left. No published measurement of both was found: Splitwise assumes 1.30 and 1.00.
    pub fn stretch(&self, limit_watts: u64) -> Stretch {
        let whole = u64::from(WHOLE_MILLI);
        let dynamic = self.dynamic_watts();
        if limit_watts >= self.full_watts || dynamic == 0 {
            return Stretch::NONE;
        }
        let left = limit_watts.saturating_sub(self.idle_watts) * whole / dynamic;
        let left = left.max(1);
        Stretch {
            prefill_milli: whole * whole / left,
            decode_milli: (MEMORY_SLOWS_BELOW_MILLI * whole / left).max(whole),
        }
    }
}

/// What machines draw at a site's meter: cooling and losses come on top. `pue_milli`: power usage effectiveness, in thousandths.
pub fn at_meter(watts: u64, pue_milli: u32) -> u64 {
    let pue = u64::from(pue_milli.max(WHOLE_MILLI));
    (watts.saturating_mul(pue)).div_ceil(u64::from(WHOLE_MILLI))
}

/// What is left for machines of so much at a site's meter.
pub fn at_machines(watts: u64, pue_milli: u32) -> u64 {
    let pue = u64::from(pue_milli.max(WHOLE_MILLI));
    watts.saturating_mul(u64::from(WHOLE_MILLI)) / pue
}

/// Energy of so many watts over a span, in thousandths of a joule.
pub fn millijoules(watts: u64, span_us: u64) -> u64 {
    let millijoules = u128::from(watts) * u128::from(span_us) / 1_000;
    u64::try_from(millijoules).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Within so many thousandths of what was measured.
    fn check_near(what: &str, (found, measured): (u64, u64), milli: u64) {
        let error = found.abs_diff(measured) * 1_000 / measured;
        assert!(
            error <= milli,
            "{what}: {found} W, measured {measured} W: {error} thousandths"
        );
    }

    fn decoding(sequences: u32) -> Mix {
        Mix {
            prefill_milli: 0,
            decode_milli: WHOLE_MILLI,
            sequences,
        }
    }

    /// ML.ENERGY v3: watts of one accelerator by sequences in the batch. The floor is each pair's own, the curve is not.
    #[test]
    fn power_by_batch_is_as_ml_energy_measured() {
        let check = |what, (idle, full, floor), measured: &[(u32, u64)]| {
            let profile = PowerProfile {
                decode_floor_milli: floor,
                ..PowerProfile::new(idle, full)
            };
            for (sequences, watts) in measured {
                let found = profile.watts(profile.used_milli(decoding(*sequences)));
                check_near(&format!("{what}, {sequences}"), (found, *watts), 70);
            }
        };
        let h100 = [(8, 427), (64, 514), (255, 633), (474, 616)];
        check("Qwen3-8B on H100", (70, 694, 520), &h100);
        let b200 = [(8, 860), (64, 945), (383, 972)];
        check("Qwen3-32B on B200", (140, 976, 850), &b200);
    }

    /// MLPerf v5.1, offline: batches are full. The floor is the one that holds where nobody measured it.
    #[test]
    fn power_at_the_wall_is_as_mlperf_measured() {
        let server = PowerProfile::new(2_800, 10_500);
        let found = server.watts(server.used_milli(decoding(1_024)));
        for (model, watts) in [("70b", 10_400), ("8b", 9_440), ("405b", 9_890)] {
            check_near(model, (found, watts), 100);
        }
        let by_rating = PowerProfile::of_accelerator("b200").unwrap().times(8);
        check_near("idle by rating", (by_rating.idle_watts, 2_800), 100);
        check_near("full by rating", (by_rating.full_watts, 10_500), 100);
    }

    #[test]
    fn prompts_take_the_whole_and_nothing_takes_idle() {
        let profile = PowerProfile::new(200, 1_000);
        let check = |mix: (u64, u64), sequences, watts| {
            let mix = Mix::of(1_000, mix, sequences);
            assert_eq!(profile.watts(profile.used_milli(mix)), watts, "{mix:?}");
        };
        check((0, 0), 0, 200);
        check((1_000, 0), 0, 1_000);
        check((500, 0), 0, 600);
        // 64 sequences: 680 and half of the rest.
        check((0, 1_000), 64, 200 + 800 * 840 / 1_000);
        check((600, 400), 64, 200 + 800 * (600 + 336) / 1_000);
        // More than the span is the span.
        check((2_000, 5_000), 9, 1_000);
    }

    #[test]
    fn a_limit_slows_prompts_first_and_tokens_below_half() {
        let profile = PowerProfile::new(200, 1_000);
        let check = |limit, prefill_milli, decode_milli| {
            let stretch = Stretch {
                prefill_milli,
                decode_milli,
            };
            assert_eq!(profile.stretch(limit), stretch, "{limit}");
        };
        check(1_000, 1_000, 1_000);
        check(5_000, 1_000, 1_000);
        check(840, 1_250, 1_000);
        check(600, 2_000, 1_000);
        check(400, 4_000, 2_000);
        assert_eq!(profile.limit_watts(800), 840);
    }

    #[test]
    fn a_site_draws_more_than_its_machines() {
        assert_eq!(at_meter(1_000, 1_300), 1_300);
        assert_eq!(at_machines(1_300, 1_300), 1_000);
        assert_eq!(at_meter(1_000, 0), 1_000);
        assert_eq!(millijoules(3_600_000, 1_000_000), 3_600_000_000);
        assert_eq!(millijoules(u64::MAX, u64::MAX), u64::MAX);
    }
}
