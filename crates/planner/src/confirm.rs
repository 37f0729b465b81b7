//! The twin runs a few engines of a kind, and says at which rate they keep the SLO: the closed form is believed no further.

use crate::fleet::{PlanError, engine_name};
use crate::goal::Goal;
use crate::report::Confirmed;
use crate::sizing::{Engine, division};
use madang_twin::engine::Profile;
use madang_twin::scenario::{Files, Progress, Scenario, parse, run};

/// Engines that are run: queues of a few even out as those of many do.
const ENGINES: u32 = 4;
/// Of everything that is drawn.
const SEED: u64 = 7;
/// The rate is found to so small a part of it.
const PRECISION: f64 = 0.02;
const RUNS_MAX: u32 = 12;

/// The greatest rate up to that of the closed form at which such engines keep the SLO in the twin.
///
/// # Errors
/// The twin did not run.
pub(crate) fn confirm(
    goal: &Goal,
    engine: &Engine,
    threads: usize,
) -> Result<Confirmed, PlanError> {
    let planned = engine.requests_per_s * goal.utilisation;
    let mut runs = 0;
    let mut good_at = |factor: f64| -> Result<f64, PlanError> {
        runs += 1;
        let scenario = scenario(goal, engine, planned * factor)?;
        let report = run(&scenario, &Files::Builtin, threads, &Progress::default())
            .map_err(|error| PlanError::Twin(error.to_string()))?;
        Ok(report.total.goodput_ratio)
    };
    let (mut low, mut high) = (0.0, 1.0);
    let mut good = 0.0;
    let mut next = 1.0;
    for _ in 0..RUNS_MAX {
        let part = good_at(next)?;
        if part >= goal.good_part {
            (low, good) = (next, part);
        } else {
            high = next;
        }
        // What is above the closed form changes nothing: no look is taken there.
        if high - low < PRECISION * low.max(0.1) {
            break;
        }
        next = (low + high) / 2.0;
    }
    Ok(Confirmed {
        model: engine.deployment.model.name.clone(),
        chip: engine.deployment.chip.name.clone(),
        division: division(&engine.deployment.parallel, &engine.precision),
        engines: ENGINES,
        planned_per_s: planned,
        simulated_per_s: planned * low,
        ratio: low,
        good_part: good,
        runs,
    })
}

/// An hour of one pool at a steady rate.
fn scenario(goal: &Goal, engine: &Engine, per_engine_s: f64) -> Result<Scenario, PlanError> {
    let demand = &goal.demand;
    let per_day = per_engine_s * f64::from(ENGINES) * 86_400.0;
    let shared = if demand.cached_part > 0.0 {
        format!(
            "prefix_families = 8\nprefix_part = {}\n",
            demand.cached_part
        )
    } else {
        String::new()
    };
    let text = format!(
        "[run]\nstart = \"2026-07-15\"\nhours = 1\nseed = {SEED}\n\
         [slo]\nttft_ms = {}\ntpot_ms = {}\n\
         [[site]]\nid = \"pool\"\ncountry = \"KR\"\n\
         [[model]]\nid = \"model\"\n\
         [[engine]]\nid = \"engine\"\nsite = \"pool\"\nmodel = \"model\"\ncount = {ENGINES}\nprofile = \"tiny\"\n\
         [[tenant]]\nid = \"people\"\n\
         [[demand]]\nid = \"chat\"\nmodel = \"model\"\ntenants = {{ people = 1 }}\nrequests_per_day = {per_day}\n\
         input_tokens = {}\ninput_cv = {cv}\noutput_tokens = {}\noutput_cv = {cv}\n{shared}",
        goal.ttft_ms,
        goal.tpot_ms,
        demand.input_tokens,
        demand.output_tokens,
        cv = demand.length_cv,
    );
    let failed = |why: String| PlanError::Twin(format!("{}: {why}", engine_name(engine)));
    let (mut scenario, _) = parse(&text, &Files::Builtin).map_err(|problems| {
        let said: Vec<String> = problems
            .into_iter()
            .map(|problem| problem.message)
            .collect();
        failed(said.join("; "))
    })?;
    let mut profile = Profile::of(&engine.deployment).map_err(|error| failed(error.to_string()))?;
    profile.slots = engine.sequences;
    for group in &mut scenario.engines {
        group.profile = profile.clone();
    }
    Ok(scenario)
}
