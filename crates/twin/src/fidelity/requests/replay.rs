//! A run over the engine model.

use super::log::{BLOCK_TOKENS, RequestRun};
use crate::engine::{Engine, EngineEvent, EngineRequest, Profile};

/// What a request takes in the model, in seconds from its arrival.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Took {
    pub ttft_s: f64,
    pub e2e_s: f64,
}

/// Replays all requests of a run, in its order.
pub(super) fn replay(run: &RequestRun, profile: &Profile) -> Vec<Took> {
    let mut engine = Engine::new(profile.clone());
    let mut took = vec![Took::default(); run.requests.len()];
    let mut events = Vec::new();
    for (tag, request) in (0..).zip(&run.requests) {
        let now_ns = nanoseconds(request.arrival_s);
        drive(&mut engine, now_ns, run, (&mut events, &mut took));
        engine.submit(
            now_ns,
            EngineRequest {
                tag,
                prompt_tokens: request.input_tokens,
                output_tokens: request.output_tokens,
                blocks: request.blocks.clone(),
                block_tokens: BLOCK_TOKENS,
            },
        );
    }
    drive(&mut engine, u64::MAX, run, (&mut events, &mut took));
    took
}

fn drive(
    engine: &mut Engine,
    until_ns: u64,
    run: &RequestRun,
    (events, took): (&mut Vec<EngineEvent>, &mut [Took]),
) {
    while let Some(at) = engine.next_at_ns().filter(|at| *at <= until_ns) {
        engine.advance(at, events);
        for event in events.drain(..) {
            let (EngineEvent::FirstToken { tag, .. } | EngineEvent::Finished { tag }) = event;
            let place = usize::try_from(tag).unwrap_or(usize::MAX);
            let (Some(request), Some(took)) = (run.requests.get(place), took.get_mut(place)) else {
                continue;
            };
            let since_s = at as f64 / 1e9 - request.arrival_s;
            match event {
                EngineEvent::FirstToken { .. } => took.ttft_s = since_s,
                EngineEvent::Finished { .. } => took.e2e_s = since_s,
            }
        }
    }
}

fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9).clamp(0.0, 1e18).round() as u64
}
