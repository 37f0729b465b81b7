//! What the closed form says of a row: a closed loop in which a new request comes for each that ends.

use super::setting::Setting;
use crate::engine::Speculation;
use madang_catalog::{Batch, Coefficients, Ideal, Link};

/// Part of a closed loop's requests that come at once in its beginning and wait for each other's prompts, as a mean over a run
/// of ten rounds.
const BURST: f64 = 0.06;

/// Times that the closed form says, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Times {
    pub ttft_ms: f64,
    pub tpot_ms: f64,
    /// One prompt alone.
    pub prompt_ms: f64,
}

/// Times with these coefficients.
pub(super) fn times(setting: &Setting, own: &Coefficients) -> Times {
    let deployment = &setting.deployment;
    let link = deployment.chip.link();
    let each = setting.input_tokens + setting.output_tokens;
    let room = deployment
        .memory()
        .map_or(f64::INFINITY, |memory| memory.kv_tokens as f64 / each);
    let running = setting.concurrency.min(room.max(1.0));
    let batch = Batch {
        sequences: running,
        kv_tokens: running * (setting.input_tokens + setting.output_tokens / 2.0),
        ..Batch::default()
    };
    let decode = deployment.ideal(&batch);
    let step_us = match &setting.guessing {
        None => own.iteration_us(&decode, link),
        Some(guessing) => guessing_us(setting, (guessing, &batch), own),
    };
    let prompt_us = prompt_us(setting, own, link);
    // Each answer is held up by the prompts of the others.
    let held_us = if setting.split {
        0.0
    } else {
        (running - 1.0).max(0.0) / setting.output_tokens * prompt_us
    };
    let tpot_us = step_us + held_us;
    let engines = setting.prompt_engines.max(1.0);
    let queue = 1.0 + BURST * setting.requests / engines;
    let full_us = (setting.concurrency / running - 1.0) * setting.output_tokens * tpot_us;
    Times {
        ttft_ms: (step_us + prompt_us * queue + full_us) / 1e3,
        tpot_ms: tpot_us / 1e3,
        prompt_ms: prompt_us / 1e3,
    }
}

/// A token of each sequence where some are guessed ahead: all guesses go through one iteration, which reads the past once, after
/// they were made one by one.
fn guessing_us(
    setting: &Setting,
    (guessing, batch): (&Speculation, &Batch),
    own: &Coefficients,
) -> f64 {
    let deployment = &setting.deployment;
    let link = deployment.chip.link();
    let plain = deployment.ideal(batch);
    let drafts = f64::from(guessing.draft_tokens);
    let verified = Ideal {
        sequences: plain.sequences,
        kv_us: plain.kv_us,
        ..deployment.ideal(&Batch {
            sequences: batch.sequences * (1.0 + drafts),
            ..*batch
        })
    };
    let drafts_us = drafts * guessing.draft_part * own.iteration_us(&plain, link);
    (own.iteration_us(&verified, link) + drafts_us) / guessing.tokens()
}

/// One prompt, in an iteration that is long anyway.
fn prompt_us(setting: &Setting, own: &Coefficients, link: Link) -> f64 {
    let mut deployment = setting.deployment.clone();
    if setting.split && setting.prompt_accelerators > 0.0 {
        deployment.parallel.tensor = setting.prompt_accelerators as u32;
        deployment.parallel.data = 1;
    }
    let tokens = setting.input_tokens;
    let ideal = deployment.ideal(&Batch {
        prompt_tokens: tokens,
        prompt_pairs: tokens * tokens / 2.0,
        ..Batch::default()
    });
    own.prompt_products_us(&ideal)
        + own.attention * ideal.attention_us
        + own.between(link, ideal.hops_log).prompt * ideal.prompt_link_us
}
