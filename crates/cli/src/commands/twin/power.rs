//! `madang twin power`.

use super::run::show;
use crate::out;
use crate::twin_args::PowerArgs;
use madang_core::power::governor::GovernorTerms;
use madang_twin::experiment::power::{PowerOptions, power};

/// Power usage effectiveness of the site, in thousandths.
const PUE_MILLI: u32 = 1_300;

/// Runs the experiment.
pub fn run_power(args: &PowerArgs) -> anyhow::Result<()> {
    let report = power(&PowerOptions {
        profile: super::profile(&args.profile)?,
        engines: args.engines,
        requests_per_s: args.rate,
        jobs: args.jobs,
        flexible_milli: args.flexible * 10,
        slow_milli: args.slow * 10,
        cut_milli: args.cut * 10,
        event_s: u64::from(args.minutes) * 60,
        pue_milli: PUE_MILLI,
        ttft_ms_max: args.ttft_ms_max,
        terms: GovernorTerms::default(),
        seed: args.seed,
    })?;
    if args.json {
        return super::print_json(&[report]);
    }
    show::power::event(&report.event);
    out::line("what was done, in its order");
    for act in &report.acts {
        out::line(&format!("  {act}"));
    }
    Ok(())
}
