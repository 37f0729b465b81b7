//! `madang engine`: a model of an engine, served until a signal.

use crate::args::EngineArgs;
use crate::out;
use crate::up::signals::Signals;
use anyhow::{Context, bail};
use madang_rehearsal::{Options, serve};
use madang_twin::engine::{
    Division, KV_LINK_LATENCY_US, PartKind, PowerProfile, Profile, Speculation, Tier, rated,
};
use madang_types::ModelId;
use std::process::ExitCode;
use std::time::Duration;

/// Serves until SIGINT or SIGTERM.
pub async fn run(args: EngineArgs) -> anyhow::Result<ExitCode> {
    let profile = Profile::named(&args.profile).context("the flag takes names of profiles only")?;
    let mut profile = profile.clone();
    profile.slots = args.slots.unwrap_or(profile.slots);
    profile.kv_tokens = args.kv_tokens.unwrap_or(profile.kv_tokens);
    if let Some(tokens) = args.host_kv_tokens {
        profile.keep(Tier::host(tokens));
    }
    if let Some(tokens) = args.disk_kv_tokens {
        profile.keep(Tier {
            bytes_s: args.disk_gb_s * 1e9,
            ..Tier::disk(tokens)
        });
    }
    let plain = profile.clone();
    if let (Some(draft_tokens), Some(acceptance)) = (args.draft_tokens, args.acceptance) {
        profile = profile.speculating(Speculation {
            draft_tokens,
            acceptance,
            draft_part: args.draft_part,
        });
    }
    if let (Some(prefill), Some(decode)) = (args.prefill_engines, args.decode_engines) {
        let kind = |profile, count| PartKind {
            profile,
            count,
            accelerators: 1,
        };
        profile = Profile::of_parts(Division {
            prefill: kind(plain, prefill),
            decode: kind(profile, decode),
            link_bytes_s: args.kv_link_gb_s * 1e9,
            link_latency_us: KV_LINK_LATENCY_US,
        });
    }
    let name = args.model.as_deref().unwrap_or(&args.profile);
    let model = ModelId::new(name).with_context(|| format!("'{name}' cannot be a model's id"))?;
    let by_rating = rated(&profile);
    let power = power_of(&args, &by_rating)?;
    let mut signals = Signals::new()?;
    let engine = serve(Options {
        host: args.host,
        port: args.port,
        load: Duration::from_secs(u64::from(args.load_s)),
        speed: args.speed,
        power,
        seed: args.seed,
        faults: args.fault,
        output_tokens_mean: args.output_mean,
        ..Options::new(profile, model)
    });
    let engine = engine.await?;
    out::line(&format!("listening on {}", engine.url()));
    signals.stop().await;
    engine.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// What its accelerators draw, by the flags where they are given, else as they are rated.
fn power_of(args: &EngineArgs, by_rating: &PowerProfile) -> anyhow::Result<PowerProfile> {
    let idle_watts = args.idle_watts.unwrap_or(by_rating.idle_watts);
    let full_watts = args.full_watts.unwrap_or(by_rating.full_watts);
    let whose = |given: Option<u64>| match given {
        Some(_) => "",
        None => ", the profile's",
    };
    if idle_watts > full_watts {
        bail!(
            "it cannot draw more where it does nothing (--idle-watts {idle_watts}{}) than at most (--full-watts {full_watts}{}): give \
             both, the first not above the second",
            whose(args.idle_watts),
            whose(args.full_watts)
        );
    }
    Ok(PowerProfile::new(idle_watts, full_watts))
}
