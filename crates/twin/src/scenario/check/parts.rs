//! Engines whose prompts and tokens have accelerators of their own.

use super::Check;
use super::place::microseconds;
use crate::engine::{Division, KV_LINK_BYTES_S, KV_LINK_LATENCY_US, PartKind, Profile};
use crate::scenario::raw::RawEngine;
use madang_catalog::{MACHINE_ACCELERATORS, Parallel};
use madang_fleet::text::At;

fn count(at: &Option<At<u32>>) -> u32 {
    at.as_ref().map_or(1, |at| at.value)
}

/// How the chips of an engine are divided, or those of each of its parts that make tokens.
pub(super) fn parallel(raw: &RawEngine) -> Parallel {
    Parallel {
        tensor: count(&raw.tensor),
        pipeline: count(&raw.pipeline),
        data: count(&raw.data),
        expert: count(&raw.expert),
    }
}

/// Likewise of each of its parts that compute prompts.
fn prompt_parallel(raw: &RawEngine) -> Parallel {
    let own = parallel(raw);
    let or = |at: &Option<At<u32>>, own| at.as_ref().map_or(own, |at| at.value);
    Parallel {
        tensor: or(&raw.prefill_tensor, own.tensor),
        data: or(&raw.prefill_data, own.data),
        expert: or(&raw.prefill_expert, own.expert),
        ..own
    }
}

/// Chips of one engine.
pub(super) fn chips(raw: &RawEngine) -> u64 {
    let own = u64::from(parallel(raw).accelerators());
    match (&raw.prefill_engines, &raw.decode_engines) {
        (Some(prefill), Some(decode)) => {
            let prompts = u64::from(prompt_parallel(raw).accelerators());
            u64::from(decode.value) * own + u64::from(prefill.value) * prompts
        }
        _ => own,
    }
}

impl Check<'_, '_> {
    /// An engine of parts, of which those that make tokens are as `decode` says; that itself where it has no parts.
    pub(super) fn of_parts(
        &mut self,
        raw: &RawEngine,
        decode: Profile,
        storage_gb_s: Option<f64>,
    ) -> Option<Profile> {
        let (prefill_count, decode_count) = match (&raw.prefill_engines, &raw.decode_engines) {
            (Some(prefill), Some(decode)) => (prefill.value, decode.value),
            (None, None) => {
                self.no_parts(raw);
                return Some(decode);
            }
            (Some(one), None) | (None, Some(one)) => {
                let message = "`prefill_engines` and `decode_engines` stand together";
                self.report
                    .error("missing_key", &one.span, message)
                    .help("say how many there are of both, or of neither");
                return None;
            }
        };
        let prefill = match &raw.chip {
            Some(chip) => {
                let (deployment, _) = self.deployment(raw, chip, prompt_parallel(raw))?;
                let mut profile = Profile::of(&deployment).ok()?;
                profile.load_us =
                    microseconds(deployment.load_s(MACHINE_ACCELERATORS, storage_gb_s));
                super::place::sized(&profile, raw)
            }
            None => Profile {
                speculation: None,
                ..decode.clone()
            },
        };
        let spread = prefill.roofline().spread.min(decode.roofline().spread);
        let gb_s = raw.kv_link_gb_s.as_ref();
        let latency_ms = raw.kv_link_latency_ms.as_ref();
        Some(Profile::of_parts(Division {
            link_bytes_s: gb_s.map_or(spread * KV_LINK_BYTES_S, |at| at.value * 1e9),
            link_latency_us: latency_ms
                .map_or(KV_LINK_LATENCY_US, |at| microseconds(at.value / 1e3)),
            prefill: PartKind {
                profile: prefill,
                count: prefill_count,
                accelerators: prompt_parallel(raw).accelerators(),
            },
            decode: PartKind {
                profile: decode,
                count: decode_count,
                accelerators: parallel(raw).accelerators(),
            },
        }))
    }

    /// Keys of parts without parts.
    fn no_parts(&mut self, raw: &RawEngine) {
        let spans = [
            raw.prefill_tensor.as_ref().map(|at| &at.span),
            raw.prefill_data.as_ref().map(|at| &at.span),
            raw.prefill_expert.as_ref().map(|at| &at.span),
            raw.kv_link_gb_s.as_ref().map(|at| &at.span),
            raw.kv_link_latency_ms.as_ref().map(|at| &at.span),
        ];
        if let Some(span) = spans.into_iter().flatten().next() {
            let message = "this has no effect without `prefill_engines` and `decode_engines`";
            self.report
                .error("missing_key", span, message)
                .help("say how many parts compute prompts, and how many make tokens");
        }
    }
}
