//! A run over the engine model.

use super::log::{BLOCK_TOKENS, RequestRun};
use crate::engine::{Engine, EngineEvent, EngineRequest, Profile};

/// What a request takes in the model, in seconds from when the engine takes it: logs of engines count from there.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Took {
    pub ttft_s: f64,
    pub e2e_s: f64,
}

/// Replays all requests of a run, in its order. As engines do by now, each iteration is put together while the one before it
/// runs: what arrives meanwhile waits for one more.
pub(super) fn replay(run: &RequestRun, profile: &Profile) -> Vec<Took> {
    // Step by step: where an iteration ends has to be known, not only where a run of them does.
    let mut engine = Engine::new(profile.clone()).stepwise();
    let mut took = vec![Took::default(); run.requests.len()];
    let mut queued_ns = vec![0; run.requests.len()];
    let mut events = Vec::new();
    let mut next = 0;
    let mut seen = 0;
    loop {
        let arrives_ns = run
            .requests
            .get(next)
            .map(|request| nanoseconds(request.arrival_s));
        let (end_ns, arrived) = match (engine.next_at_ns(), arrives_ns) {
            (None, None) => return took,
            (Some(end_ns), Some(at_ns)) if at_ns < end_ns => (end_ns, true),
            (Some(end_ns), _) => (end_ns, false),
            (None, Some(at_ns)) => (at_ns, true),
        };
        if arrived {
            next += 1;
            if engine.next_at_ns().is_some() {
                continue;
            }
        }
        engine.advance(end_ns, &mut events);
        for event in events.drain(..) {
            note(&queued_ns, &mut took, end_ns, event);
        }
        for (at, queued_ns) in queued_ns.iter_mut().enumerate().take(next).skip(seen) {
            *queued_ns = end_ns;
            submit(&mut engine, run, (at, end_ns));
        }
        seen = next;
    }
}

fn submit(engine: &mut Engine, run: &RequestRun, (at, now_ns): (usize, u64)) {
    let Some(request) = run.requests.get(at) else {
        return;
    };
    engine.submit(
        now_ns,
        EngineRequest {
            tag: at as u64,
            prompt_tokens: request.input_tokens,
            output_tokens: request.output_tokens,
            blocks: request.blocks.clone(),
            block_tokens: BLOCK_TOKENS,
        },
    );
}

fn note(queued_ns: &[u64], took: &mut [Took], now_ns: u64, event: EngineEvent) {
    let (EngineEvent::FirstToken { tag, .. } | EngineEvent::Finished { tag }) = event;
    let place = usize::try_from(tag).unwrap_or(usize::MAX);
    let (Some(queued_ns), Some(took)) = (queued_ns.get(place), took.get_mut(place)) else {
        return;
    };
    let since_s = now_ns.saturating_sub(*queued_ns) as f64 / 1e9;
    match event {
        EngineEvent::FirstToken { .. } => took.ttft_s = since_s,
        EngineEvent::Finished { .. } => took.e2e_s = since_s,
    }
}

fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9).clamp(0.0, 1e18).round() as u64
}
