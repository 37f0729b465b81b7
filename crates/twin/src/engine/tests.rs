//! The engine by example, and many iterations at once against one at a time.

use super::{
    Cached, Division, Engine, EngineEvent, EngineRequest, PartKind, Profile, Speculation, Tier,
};
use madang_catalog::{Batch, Catalog, EngineKind, Parallel};
use proptest::prelude::*;
use std::sync::Arc;

fn request(tag: u64, prompt_tokens: u64, output_tokens: u64, blocks: &[u64]) -> EngineRequest {
    EngineRequest {
        tag,
        prompt_tokens,
        output_tokens,
        blocks: Arc::from(blocks),
        block_tokens: 100,
    }
}

fn drive(engine: &mut Engine, until_ns: u64) -> Vec<(u64, EngineEvent)> {
    let mut told = Vec::new();
    let mut events = Vec::new();
    while let Some(at) = engine.next_at_ns().filter(|at| *at <= until_ns) {
        engine.advance(at, &mut events);
        told.extend(events.drain(..).map(|event| (at / 1000, event)));
    }
    told
}

fn small() -> Profile {
    let mut profile = Profile::named("h100x2-32b").unwrap().clone();
    profile.slots = 4;
    profile.kv_tokens = 2_000;
    profile.batch_tokens = 512;
    profile
}

/// A model of the catalogue on eight chips, as small as the one above.
fn deployed(model: &str) -> Profile {
    let catalog = Catalog::shipped().unwrap();
    let parallel = Parallel::tensor(8);
    let deployment = catalog
        .deployment((model, "H200-SXM"), parallel, "fp8", EngineKind::Vllm)
        .unwrap();
    let mut profile = Profile::of(&deployment).unwrap();
    profile.slots = 4;
    profile.kv_tokens = 2_000;
    profile.batch_tokens = 512;
    profile.keep(Tier::host(1_500));
    profile.keep(Tier::disk(3_000));
    profile
}

/// So many parts of that kind for prompts, and for tokens, with a link of 10 GB/s between them.
fn of_parts(profile: &Profile, (prefill, decode): (u32, u32)) -> Profile {
    let kind = |count| PartKind {
        profile: profile.clone(),
        count,
        accelerators: 2,
    };
    Profile::of_parts(Division {
        prefill: kind(prefill),
        decode: kind(decode),
        link_bytes_s: 10e9,
        link_latency_us: 1_000,
    })
}

/// 64 bits of picoseconds hold 213 days, and scenarios a year.
#[test]
fn a_late_day_is_as_the_first() {
    for profile in [small(), of_parts(&small(), (1, 1))] {
        let told = |begin_us: u64| {
            let mut engine = Engine::new(profile.clone());
            for tag in 1..8 {
                engine.submit(begin_us * 1_000, request(tag, 400, 20 * tag, &[]));
            }
            let told = drive(&mut engine, u64::MAX).into_iter();
            let told: Vec<_> = told
                .map(|(at_us, event)| (at_us - begin_us, event))
                .collect();
            (told, engine.spent(begin_us * 1_000 + 1_000_000_000_000))
        };
        assert_eq!(told(0), told(399 * 86_400_000_000));
    }
}

#[test]
fn a_prompt_goes_over_the_link_before_its_tokens_are_made() {
    let plain = Profile::named("h100x2-32b").unwrap();
    let mut engine = Engine::new(of_parts(plain, (1, 1)));
    for tag in 1..4 {
        engine.submit(0, request(tag, 1_000, 3, &[]));
    }
    assert_eq!(engine.made(0, 1), Some(0));
    let told = drive(&mut engine, u64::MAX);
    let first = |tag, transfer_ms: u64| EngineEvent::FirstToken {
        tag,
        cached: Cached::default(),
        transfer_ns: Some(transfer_ms * 1_000_000),
    };
    // 4 µs a token at 50 GB/s are 200 kB: 20 ms at 10 GB/s, and a millisecond, after the prompt. Two tokens of 12.08 ms follow.
    assert_eq!(told[0], (75_800 + 21_000, first(1, 21)));
    assert_eq!(told[1], (96_800 + 24_161, EngineEvent::Finished { tag: 1 }));
    // The other prompts are computed together, and sent one after the other.
    assert_eq!((told[2].1, told[3].1), (first(2, 21), first(3, 41)));
    assert_eq!(told[3].0 - told[2].0, 20_000);
    assert_eq!(told[4].1, EngineEvent::Finished { tag: 2 });
    assert!(told[5].0 - told[3].0 >= 24_161, "{told:?}");
    assert_eq!(engine.decoded_tokens(), 6);
    assert_eq!(engine.next_at_ns(), None);
    let spent = engine.spent(1_000_000_000);
    assert!(
        spent.prefill_ps > spent.decode_ps && spent.decode_ps > 0,
        "{spent:?}"
    );
}

#[test]
fn an_answer_of_one_token_goes_nowhere_and_what_is_given_up_is_skipped() {
    let plain = Profile::named("h100x2-32b").unwrap();
    let mut engine = Engine::new(of_parts(plain, (2, 1)));
    engine.submit(0, request(1, 1_000, 1, &[]));
    engine.submit(0, request(2, 1_000, 50, &[]));
    engine.submit(0, request(3, 1_000, 50, &[]));
    let told = drive(&mut engine, 160_000_000);
    let cached = Cached::default();
    assert_eq!(
        told[0].1,
        EngineEvent::FirstToken {
            tag: 1,
            cached,
            transfer_ns: None
        }
    );
    assert_eq!(told[1].1, EngineEvent::Finished { tag: 1 });
    for tag in [2, 3] {
        engine.cancel(160_000_000, tag);
    }
    let told = drive(&mut engine, u64::MAX);
    assert_eq!(told, []);
    assert_eq!((engine.status().running, engine.status().waiting), (0, 0));
    // Another process begins anew.
    engine.submit(1_000_000_000, request(4, 1_000, 50, &[]));
    engine.restart(1_000_000_000);
    assert_eq!(
        (engine.next_at_ns(), engine.made(2_000_000_000, 4)),
        (None, None)
    );
}

#[test]
fn the_engine_takes_the_time_that_the_closed_form_says() {
    let catalog = Catalog::shipped().unwrap();
    for model in &catalog.models {
        let parallel = Parallel::tensor(8);
        let deployment = catalog
            .deployment(
                (&model.name, "B300-SXM"),
                parallel,
                "fp8",
                EngineKind::Sglang,
            )
            .unwrap();
        let mut profile = Profile::of(&deployment).unwrap();
        profile.batch_tokens = 4_096;
        let mut engine = Engine::new(profile);
        engine.submit(0, request(1, 4_000, 1, &[]));
        let told = drive(&mut engine, u64::MAX);
        let expected = deployment.iteration_us(&Batch {
            sequences: 0.0,
            kv_tokens: 0.0,
            prompt_tokens: 4_000.0,
            prompt_pairs: 8e6,
        });
        // Beside the prompt itself, which the engine holds while it computes it.
        let ratio = told[0].0 as f64 / expected;
        assert!((0.999..1.1).contains(&ratio), "{}: {ratio}", model.name);
    }
}

#[test]
fn a_prompt_takes_its_chunks_and_a_token_an_iteration() {
    let mut engine = Engine::new(Profile::named("h100x2-32b").unwrap().clone());
    engine.submit(0, request(1, 1_000, 3, &[]));
    let told = drive(&mut engine, u64::MAX);
    // 12 ms + 1,000 × 62.783 µs × (1 + 500 ÷ 32,768) + the memory of 1,000 tokens; then 12.08 ms for each further token.
    assert_eq!(
        told,
        [
            (
                75_800,
                EngineEvent::FirstToken {
                    tag: 1,
                    cached: Cached::default(),
                    transfer_ns: None
                }
            ),
            (99_961, EngineEvent::Finished { tag: 1 }),
        ]
    );
    assert_eq!(
        engine.status(),
        super::EngineStatus {
            kv_tokens: 270_000,
            ..Default::default()
        }
    );
}

#[test]
fn a_known_beginning_is_not_computed_again() {
    let mut engine = Engine::new(small());
    engine.submit(0, request(1, 450, 1, &[1, 2, 3, 4]));
    engine.submit(0, request(2, 450, 1, &[1, 2, 3, 9]));
    let told = drive(&mut engine, u64::MAX);
    let cached: Vec<u64> = told
        .iter()
        .filter_map(|(_, event)| match event {
            EngineEvent::FirstToken { cached, .. } => Some(cached.tokens()),
            EngineEvent::Finished { .. } => None,
        })
        .collect();
    assert_eq!(cached, [0, 300]);
    engine.restart(1_000_000_000);
    engine.submit(10_000_000_000, request(3, 450, 1, &[1, 2, 3, 4]));
    let told = drive(&mut engine, u64::MAX);
    assert!(matches!(
        told[0].1,
        EngineEvent::FirstToken {
            tag: 3,
            cached: Cached {
                device_tokens: 0,
                ..
            },
            ..
        }
    ));
}

/// The same prompt again: from KV memory, and where others have pushed it out, from the tier that still has it.
#[test]
fn what_one_tier_forgets_comes_from_the_next() {
    let mut profile = small();
    profile.keep(Tier::host(2_500));
    profile.keep(Tier {
        bytes_s: 5e9,
        latency_us: 1_000,
        ..Tier::disk(100_000)
    });
    let mut engine = Engine::new(profile);
    let mut now_ns = 0;
    let mut ask = |tag: u64, family: u64| {
        let blocks: Vec<u64> = (0..4).map(|at| family * 10 + at).collect();
        now_ns += 10_000_000_000;
        engine.submit(now_ns, request(tag, 450, 1, &blocks));
        let told = drive(&mut engine, u64::MAX);
        let EngineEvent::FirstToken { cached, .. } = told[0].1 else {
            panic!("{told:?}");
        };
        (cached, told[0].0 - now_ns / 1_000)
    };
    let cached = |device_tokens, host_tokens, disk_tokens| Cached {
        device_tokens,
        host_tokens,
        disk_tokens,
    };
    ask(1, 1);
    let (found, device_us) = ask(2, 1);
    assert_eq!(found, cached(400, 0, 0));
    // KV memory has room for less than four prompts beside the one that runs, the host for six, the disk for all.
    for family in 2..7 {
        ask(10 + family, family);
    }
    let (found, host_us) = ask(3, 1);
    assert_eq!(found, cached(0, 400, 0));
    // 4 µs a token.
    assert_eq!(host_us - device_us, 1_600);
    assert_eq!(ask(4, 1).0, cached(400, 0, 0));
    for family in 2..9 {
        ask(20 + family, family);
    }
    let (found, disk_us) = ask(5, 1);
    assert_eq!(found, cached(0, 0, 400));
    // A millisecond, and a tenth of what the host gives: 40 µs a token.
    assert_eq!(disk_us - device_us, 17_000);
    engine.cache_clear();
    assert_eq!(ask_again(&mut engine), Cached::default());
}

fn ask_again(engine: &mut Engine) -> Cached {
    engine.submit(1_000_000_000_000, request(99, 450, 1, &[10, 11, 12, 13]));
    let told = drive(engine, u64::MAX);
    match told[0].1 {
        EngineEvent::FirstToken { cached, .. } => cached,
        EngineEvent::Finished { .. } => panic!("{told:?}"),
    }
}

#[test]
fn tokens_that_are_guessed_come_together_and_cost_their_part() {
    let plain = Profile::named("h100x2-32b").unwrap();
    let took_us = |profile: &Profile| {
        let mut engine = Engine::new(profile.clone());
        engine.submit(0, request(1, 1_000, 1_001, &[]));
        let told = drive(&mut engine, u64::MAX);
        assert_eq!(engine.decoded_tokens(), 1_000);
        assert_eq!(engine.status().kv_tokens_used, 0);
        told[1].0 - told[0].0
    };
    let speculation = Speculation {
        draft_tokens: 3,
        acceptance: 0.5,
        draft_part: 0.1,
    };
    // 1.875 tokens an iteration, which takes 0.3 more of all, and three times as much for tokens (20 µs of 12.1 ms) more.
    let (alone, guessed) = (took_us(plain), took_us(&plain.speculating(speculation)));
    let expected = alone as f64 / 1.875 * (1.3 + 3.0 * 0.02 / 12.1);
    assert!(
        (guessed as f64 / expected - 1.0).abs() < 0.002,
        "{guessed} {expected}"
    );
    // All hold: four times as many; none does: one at a time, and all the rest for nothing.
    let all = plain.speculating(Speculation {
        acceptance: 1.0,
        draft_part: 0.0,
        ..speculation
    });
    assert!((alone as f64 / took_us(&all) as f64 - 4.0).abs() < 0.05);
    let none = plain.speculating(Speculation {
        acceptance: 0.0,
        ..speculation
    });
    assert!(took_us(&none) > alone * 13 / 10);
    // What stands before it believes the mean.
    let believed = plain.speculating(speculation).costs;
    let tpot_us = guessed as f64 / 1_000.0;
    assert!(
        (believed.step_us as f64 / tpot_us - 1.0).abs() < 0.02,
        "{believed:?} {tpot_us}"
    );
}

#[test]
fn what_is_given_up_frees_its_slot_at_the_end_of_the_iteration() {
    let mut profile = small();
    profile.slots = 1;
    let mut engine = Engine::new(profile);
    engine.submit(0, request(1, 100, 500, &[]));
    engine.submit(0, request(2, 100, 1, &[]));
    assert!(drive(&mut engine, 100_000_000).len() == 1);
    engine.cancel(100_000_000, 1);
    let told = drive(&mut engine, u64::MAX);
    assert!(matches!(told[0].1, EngineEvent::FirstToken { tag: 2, .. }));
    assert!(told[0].0 < 200_000, "{told:?}");
}

proptest! {
    #[test]
    fn many_iterations_at_once_end_as_one_at_a_time(
        guesses in prop::option::of((1_u32..6, 0.0_f64..=1.0, 0.0_f64..0.3)),
        split in any::<bool>(),
        model in prop::sample::select(vec!["", "Llama-3.1-8B", "Qwen3-30B-A3B", "DeepSeek-V3", "gpt-oss-120b", "Gemma-3-27B"]),
        asks in prop::collection::vec((0_u64..3_000, 1_u64..900, 1_u64..300, 0_u64..4, any::<bool>()), 1..40)
    ) {
        let plain = if model.is_empty() { small() } else { deployed(model) };
        let profile = guesses.map_or_else(|| plain.clone(), |(draft_tokens, acceptance, draft_part)| {
            plain.speculating(Speculation { draft_tokens, acceptance, draft_part })
        });
        let profile = if split { of_parts(&profile, (2, 2)) } else { profile };
        let [fast, slow] = [false, true].map(|stepwise| {
            let mut engine = Engine::new(profile.clone());
            if stepwise {
                engine = engine.stepwise();
            }
            let mut told = Vec::new();
            let mut now_ns = 0;
            for (tag, (gap_ms, prompt, output, family, leave)) in (1..).zip(&asks) {
                told.extend(drive(&mut engine, now_ns));
                let blocks: Vec<u64> = (0..prompt / 100).map(|block| family * 1_000 + block).collect();
                engine.submit(now_ns, request(tag, *prompt, *output, &blocks));
                if *leave && tag > 1 {
                    engine.cancel(now_ns, tag - 1);
                }
                now_ns += gap_ms * 1_000_000;
            }
            told.extend(drive(&mut engine, u64::MAX));
            (told, engine.status(), engine.decoded_tokens())
        });
        prop_assert_eq!(fast, slow);
    }
}
