//! A grid wants less: a site of engines that serve people and of batch jobs draws a part less for hours. How soon is it met, and what do
//! those who wait for first tokens notice?
//!
//! Cap, governor, policy and routing are the core's own; engines and jobs are modelled, and what they draw with them.

mod site;

use crate::engine::Profile;
use madang_core::power::governor::GovernorTerms;
use madang_types::{JobIdError, NameError};
use serde::Serialize;

/// Model time before the event, in which it is measured what is drawn and how soon first tokens come, in seconds.
const BEFORE_S: u64 = 900;
/// The same, until measuring begins.
const WARM_S: u64 = 300;
/// Model time after the event, in which all comes back, in seconds.
const AFTER_S: u64 = 1_800;

/// What is tried.
#[derive(Clone, Debug)]
pub struct PowerOptions {
    /// Each engine.
    pub profile: Profile,
    /// How many.
    pub engines: usize,
    /// Requests a second for each.
    pub requests_per_s: f64,
    /// Batch jobs, each on eight accelerators of the engines' kind.
    pub jobs: u32,
    /// Of them so many may stand still, in thousandths.
    pub flexible_milli: u32,
    /// The part that is cut, in thousandths.
    pub cut_milli: u32,
    /// How long the event lasts, in seconds.
    pub event_s: u64,
    /// Power usage effectiveness, in thousandths.
    pub pue_milli: u32,
    /// How the governor goes about it.
    pub terms: GovernorTerms,
    /// Of arrivals and lengths.
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PowerReport {
    /// What was drawn when the event began, in watts at the meter.
    pub baseline_watts: u64,
    /// What the event left.
    pub cap_watts: u64,
    /// Seconds from its beginning until no more was drawn; `None`: never.
    pub met_after_s: Option<u64>,
    /// Seconds over the cap after that, until the event's end.
    pub over_cap_s: u64,
    /// What was drawn on average in the event, in watts.
    pub event_watts: u64,
    /// The 99th percentile of times to first tokens before the event, in microseconds.
    pub ttft_p99_before_us: u64,
    /// The same in it.
    pub ttft_p99_event_us: u64,
    /// The one by the other, in thousandths.
    pub ttft_ratio_milli: u64,
    /// Requests that were answered, and refused, in the event.
    pub answered: u64,
    /// Those.
    pub refused: u64,
    /// Energy of the event, in joules at the meter.
    pub joules: u64,
    /// What less that is than the baseline, in joules.
    pub saved_joules: u64,
    /// Accelerator-seconds in which jobs stood still.
    pub stood_accelerator_s: u64,
    /// Acts in their order, in words.
    pub acts: Vec<String>,
    /// Seconds from the event's end until all had come back; `None`: not all did.
    pub back_after_s: Option<u64>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum PowerError {
    /// The site draws nothing that could be cut.
    #[error("an experiment of power has an engine, and a cut of 1 to 999 thousandths")]
    Nothing,
    /// A name of the experiment's own is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The same of a run.
    #[error(transparent)]
    Run(#[from] JobIdError),
}

/// Runs it.
///
/// # Errors
/// There is nothing that draws, or to cut.
pub fn power(options: &PowerOptions) -> Result<PowerReport, PowerError> {
    if options.engines == 0 || !(1..1_000).contains(&options.cut_milli) {
        return Err(PowerError::Nothing);
    }
    Ok(site::Site::new(options)?.run())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(seed: u64) -> PowerOptions {
        PowerOptions {
            profile: Profile::named("h100-8b").unwrap().clone(),
            engines: 4,
            requests_per_s: 6.0,
            jobs: 3,
            flexible_milli: 700,
            cut_milli: 250,
            event_s: 600,
            pue_milli: 1_300,
            terms: GovernorTerms::default(),
            seed,
        }
    }

    #[test]
    fn a_quarter_less_is_met_in_time_by_jobs_and_people_do_not_notice() {
        for seed in 1..=3 {
            let report = power(&options(seed)).unwrap();
            assert!(
                report.met_after_s.is_some_and(|s| s <= 30),
                "{seed}: {report:?}"
            );
            assert_eq!(report.over_cap_s, 0, "{seed}: {report:?}");
            assert!(report.ttft_ratio_milli <= 1_200, "{seed}: {report:?}");
            assert_eq!(report.refused, 0, "{seed}: {report:?}");
            assert!(report.back_after_s.is_some(), "{seed}: {report:?}");
            let kinds = report.acts.iter().all(|act| act.contains("stands still"));
            assert!(kinds && !report.acts.is_empty(), "{seed}: {report:?}");
        }
    }

    #[test]
    fn where_no_job_bends_clocks_do_and_the_same_seed_gives_the_same() {
        let rigid = PowerOptions {
            flexible_milli: 0,
            cut_milli: 100,
            ..options(1)
        };
        let report = power(&rigid).unwrap();
        assert!(
            report.acts.iter().all(|act| !act.contains("stands still")),
            "{report:?}"
        );
        assert!(
            report.acts.iter().any(|act| act.starts_with("clocks")),
            "{report:?}"
        );
        assert_eq!(report, power(&rigid).unwrap());
    }
}
