//! A grid wants less: a site of engines that serve people and of batch jobs draws a part less for hours. How soon is it met, and what do
//! those who wait for first tokens notice? It is a scenario like any other, of which a few figures are asked.

use crate::engine::{Profile, rated};
use crate::random::Random;
use crate::scenario::{
    Demand, DrawnSource, EngineGroup, EventLine, Files, GridEvent, JobGroup, Lengths, Progress,
    RunError, Scenario, ServedModel, Site, Slo, Source, Tenant, run,
};
use crate::trace::JobRow;
use crate::world::{Fleet, home};
use madang_core::power::governor::GovernorTerms;
use madang_core::power::model::PowerProfile;
use madang_core::{CoreLimits, Payer, Rules, Shares};
use madang_ledger::TokenRates;
use madang_types::{
    Country, DataClass, KeyId, ModelId, NameError, PowerEventKind, Priority, SiteId, TenantId,
};
use serde::Serialize;

/// Model time before the event, in which it is measured what is drawn and how soon first tokens come, in seconds.
const BEFORE_S: u64 = 900;
/// Model time after the event, in which all comes back, in seconds.
const AFTER_S: u64 = 1_800;
const S_US: u64 = 1_000_000;
const S_NS: u64 = 1_000_000_000;
const HOUR_S: u64 = 3_600;
/// Accelerators of a job.
const JOB_ACCELERATORS: u32 = 8;
/// How long a flexible job may stand still in all, in microseconds: longer than any event here.
const STANDS_US: u64 = 48 * HOUR_S * S_US;
/// By how much of what lies between idle and full the site may rise in a second, in thousandths: the fleet file's default.
const RISE_MILLI: u32 = 20;
/// Longest wait at the gateway, in milliseconds.
const WAIT_MS: u64 = 60_000;
/// Pairs of lengths that requests are drawn from.
const LENGTHS: usize = 4_096;

/// What is tried.
#[derive(Clone, Debug)]
pub struct PowerOptions {
    /// Each engine.
    pub profile: Profile,
    /// How many.
    pub engines: u32,
    /// Requests a second for each.
    pub requests_per_s: f64,
    /// Batch jobs, each on eight accelerators.
    pub jobs: u32,
    /// Of them so many may stand still, in thousandths.
    pub flexible_milli: u32,
    /// By how much the others may be slowed, in thousandths of their pace.
    pub slow_milli: u32,
    /// The part that is cut, in thousandths.
    pub cut_milli: u32,
    /// How long the event lasts, in seconds.
    pub event_s: u64,
    /// Power usage effectiveness, in thousandths.
    pub pue_milli: u32,
    /// Time to first token beyond which an answer is of no use, in milliseconds; 0: whoever waits, waits.
    pub ttft_ms_max: u64,
    /// How the governor goes about it.
    pub terms: GovernorTerms,
    /// Of arrivals and lengths.
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct PowerReport {
    /// How the event went.
    pub event: EventLine,
    /// Acts in their order, in words: those among the first deeds of the site, which are bounded.
    pub acts: Vec<String>,
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
    /// It came to no end.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// Runs it.
///
/// # Errors
/// There is nothing that draws, or to cut.
pub fn power(options: &PowerOptions) -> Result<PowerReport, PowerError> {
    if options.engines == 0 || !(1..1_000).contains(&options.cut_milli) {
        return Err(PowerError::Nothing);
    }
    let scenario = scenario(options)?;
    let mut report = run(&scenario, &Files::Builtin, 1, &Progress::default())?;
    let deeds = report.power.iter().flat_map(|site| &site.deeds);
    let took = deeds.filter(|deed| deed.deed == "took");
    let acts = took.filter_map(|deed| deed.act.clone()).collect();
    let event = report.events.pop().ok_or(PowerError::Nothing)?;
    Ok(PowerReport { event, acts })
}

fn scenario(options: &PowerOptions) -> Result<Scenario, PowerError> {
    let all_s = BEFORE_S + options.event_s + AFTER_S;
    let hours = u32::try_from(all_s.div_ceil(HOUR_S)).unwrap_or(u32::MAX);
    let home = home().ok_or(PowerError::Nothing)?;
    let people = TenantId::new("people")?;
    Ok(Scenario {
        about: "a grid wants less".to_owned(),
        start: jiff::civil::date(2026, 7, 15),
        hours,
        seed: options.seed,
        forecast_error: 0.0,
        won_per_kg_co2: 0.0,
        cells: 1,
        round_trip_ns: 0,
        home,
        sites: vec![site(home, options.pue_milli)?],
        models: vec![ServedModel {
            id: ModelId::new("model")?,
            slo: Slo {
                ttft_ns: u64::MAX,
                tpot_ns: u64::MAX,
            },
            rates: TokenRates::default(),
        }],
        engines: vec![EngineGroup {
            id: "engines".to_owned(),
            site: 0,
            model: 0,
            count: options.engines,
            profile: options.profile.clone(),
            band: None,
            power: Some(rated(&options.profile)),
            from_ns: 0,
        }],
        failures: Vec::new(),
        programme_weights: Vec::new(),
        tenants: vec![Tenant {
            payer: Payer {
                tenant: people,
                project: None,
                key: KeyId::new("people")?,
            },
            programme: None,
            weight: 1,
            grant: None,
        }],
        shares: Shares::default(),
        demands: vec![demand(options)],
        jobs: jobs(options, u64::from(hours) * HOUR_S),
        rules: Rules::default(),
        limits: CoreLimits {
            ttft_ms_max: options.ttft_ms_max,
            ..Fleet::default_limits()
        },
        governor: options.terms,
        rise_milli_per_s: RISE_MILLI,
        events: vec![GridEvent {
            id: "cut".to_owned(),
            site: 0,
            set_us: BEFORE_S * S_US,
            from_us: BEFORE_S * S_US,
            until_us: (BEFORE_S + options.event_s) * S_US,
            kind: PowerEventKind::Cut {
                milli: options.cut_milli,
                baseline_watts: None,
            },
        }],
    })
}

fn site(country: Country, pue_milli: u32) -> Result<Site, PowerError> {
    Ok(Site {
        id: SiteId::new("site")?,
        country,
        cap_watts: None,
        pue_milli,
        tariff: None,
        carbon_g_per_kwh: None,
        carbon_hours: None,
        renewables: None,
        storage_gb_s: None,
    })
}

fn demand(options: &PowerOptions) -> Demand {
    let mut random = Random::new(options.seed, 71);
    let mut pair = |_| {
        let small = |tokens: u64| u32::try_from(tokens).unwrap_or(u32::MAX);
        (
            small(200 + random.below(1_800)),
            small(20 + random.below(380)),
        )
    };
    let lengths: Vec<(u32, u32)> = (0..LENGTHS).map(&mut pair).collect();
    Demand {
        id: "people".to_owned(),
        model: 0,
        tenants: vec![(0, 1.0)],
        priority: Priority::Standard,
        data_class: DataClass::Open,
        wait_ms_max: WAIT_MS,
        patience_ns: 0,
        source: Source::Drawn(DrawnSource {
            rates: vec![options.requests_per_s * f64::from(options.engines)],
            rate_span_ns: HOUR_S * S_NS,
            lengths: Lengths::Rows(lengths.into()),
            prefix_families: 0,
            prefix_part: 0.0,
        }),
    }
}

/// Jobs that run from the beginning to the end: those that may stand still, and the others, which may be slowed at most.
fn jobs(options: &PowerOptions, run_s: u64) -> Vec<JobGroup> {
    let one = PowerProfile::of_accelerator("h100").unwrap_or_else(|| rated(&options.profile));
    let flexible = u64::from(options.jobs) * u64::from(options.flexible_milli) / 1_000;
    let flexible = u32::try_from(flexible).unwrap_or(0);
    let group = |id: &str, count: u32, (pause_us, slow_milli): (u64, u32)| JobGroup {
        id: id.to_owned(),
        site: 0,
        accelerators: count * JOB_ACCELERATORS,
        power: one,
        rows: (0..count)
            .map(|number| JobRow {
                submit_s: 0,
                tenant: format!("{id}-{number}"),
                accelerators: JOB_ACCELERATORS,
                run_s,
            })
            .collect(),
        unordered: None,
        flex: None,
        pause_us,
        slow_milli,
        checkpoints: false,
    };
    [
        group("flexible", flexible, (STANDS_US, 0)),
        group("others", options.jobs - flexible, (0, options.slow_milli)),
    ]
    .into_iter()
    .filter(|group| !group.rows.is_empty())
    .collect()
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
            slow_milli: 0,
            ttft_ms_max: 0,
            cut_milli: 250,
            event_s: 600,
            pue_milli: 1_300,
            terms: GovernorTerms::default(),
            seed,
        }
    }

    /// Within the time that a grid gives, kept from then on, and nobody is refused for it.
    #[track_caller]
    fn is_met(report: &PowerReport) {
        let event = &report.event;
        let met = event.met_after_s.is_some_and(|s| s <= 30.0);
        let kept = event.over_cap_ms == 0 && event.refused == 0;
        assert!(met && kept, "{report:?}");
    }

    #[test]
    fn a_quarter_less_is_met_in_time_by_jobs_and_people_do_not_notice() {
        for seed in 1..=3 {
            let report = power(&options(seed)).unwrap();
            let event = &report.event;
            is_met(&report);
            assert!(
                event.ttft_p99_ratio.is_some_and(|ratio| ratio <= 1.2),
                "{seed}: {report:?}"
            );
            assert!(event.back_after_s.is_some(), "{seed}: {report:?}");
            let kinds = report.acts.iter().all(|act| act.contains("stands still"));
            assert!(kinds && !report.acts.is_empty(), "{seed}: {report:?}");
        }
    }

    /// Ten jobs of which none may stand for long, and each loses half of its pace at most: they take turns for an hour.
    #[test]
    fn jobs_that_may_be_slowed_take_turns_and_people_do_not_notice() {
        let options = PowerOptions {
            jobs: 10,
            flexible_milli: 0,
            slow_milli: 500,
            event_s: 3_600,
            ..options(1)
        };
        let report = power(&options).unwrap();
        let event = &report.event;
        is_met(&report);
        assert!(event.ttft_p99_ratio.unwrap() <= 1.2, "{report:?}");
        assert!(event.back_after_s.is_some(), "{report:?}");
        let turns = report.acts.iter().filter(|act| act.contains("is slowed"));
        assert!(
            turns.count() == report.acts.len() && report.acts.len() > 10,
            "{report:?}"
        );
    }

    /// What jobs may lose is less than what is cut: some are refused after they waited, the others are served in time; with a bound on
    /// waits that are of use none waits for nothing. (Of three hours no more are refused than without.)
    #[test]
    fn who_cannot_be_served_in_time_is_refused_at_once_and_hardly_more_are_than_else() {
        let report = |ttft_ms_max| {
            let options = PowerOptions {
                profile: Profile::named("h100x2-32b").unwrap().clone(),
                engines: 8,
                requests_per_s: 4.0,
                jobs: 6,
                flexible_milli: 0,
                slow_milli: 400,
                event_s: 3_600,
                ttft_ms_max,
                ..options(1)
            };
            power(&options).unwrap().event
        };
        let (waits, refused) = (report(0), report(3_000));
        let p99_ms = |event: &EventLine| event.ttft_p99_ms_during.unwrap();
        assert!(waits.refused > 0, "{waits:?}");
        assert!((4_000.0..7_000.0).contains(&p99_ms(&waits)), "{waits:?}");
        assert!(p99_ms(&refused) < 3_000.0, "{refused:?}");
        assert!(
            refused.refused <= waits.refused * 5 / 4,
            "{waits:?} {refused:?}"
        );
    }

    /// What clocks give is not enough: a quarter of the engines does nothing, and the others serve everybody.
    #[test]
    fn where_clocks_are_not_enough_some_engines_rest_and_nobody_is_refused() {
        let rigid = PowerOptions {
            flexible_milli: 0,
            engines: 8,
            cut_milli: 40,
            ..options(1)
        };
        let report = power(&rigid).unwrap();
        is_met(&report);
        let rests = report.acts.iter().any(|act| act.contains("slots"));
        assert!(rests, "{report:?}");
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
        let again = power(&rigid).unwrap();
        assert_eq!(format!("{report:?}"), format!("{again:?}"));
    }
}
