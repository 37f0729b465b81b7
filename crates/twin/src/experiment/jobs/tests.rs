//! The published replays are reproduced, and Madang's rule is held against them.

use super::*;
use crate::trace::{self, MachineRow, TaskRow};

const PHILLY: &[u8] = include_bytes!("../../../data/philly-2017.csv.gz");
const TASKS: &[u8] = include_bytes!("../../../data/alibaba-2023-tasks.csv.gz");
const NODES: &[u8] = include_bytes!("../../../data/alibaba-2023-nodes.csv.gz");

fn philly(rule: JobRule, accelerators: u32) -> JobsReport {
    let rows = trace::jobs(PHILLY).unwrap().rows;
    replay(&rows, &options(rule, accelerators))
}

fn options(rule: JobRule, accelerators: u32) -> JobsOptions {
    JobsOptions {
        rule,
        terms: JobTerms::default(),
        accelerators,
        other: None,
        sites: None,
        rigid: false,
        maintenance: None,
        checkpoint_s: 30,
        restore_s: 30,
    }
}

/// Mean completion, mean wait and 95th percentile of wait, in hours, as an independent replay of the same trace gives them: one pool,
/// whole jobs, run times known, ties in the order of the file. Within half a per cent, or half of the last digit that was given.
fn check(rule: JobRule, accelerators: u32, expected: [(f64, f64); 3]) {
    let report = philly(rule, accelerators);
    let got = [
        report.completion_h_mean,
        report.wait_h_mean,
        report.wait_h_p95,
    ];
    for (got, (expected, digit)) in got.into_iter().zip(expected) {
        let off = (got - expected).abs();
        assert!(
            off <= (expected * 0.005).max(digit / 2.0),
            "{rule:?} {accelerators}: {got} for {expected}"
        );
    }
}

#[test]
fn first_come_is_as_published() {
    check(
        JobRule::Fifo,
        512,
        [(135.80, 0.01), (132.15, 0.01), (227.3, 0.1)],
    );
    check(
        JobRule::Fifo,
        640,
        [(12.86, 0.01), (9.21, 0.01), (27.4, 0.1)],
    );
}

#[test]
fn backfill_is_as_published() {
    check(
        JobRule::Easy,
        640,
        [(10.91, 0.01), (7.26, 0.01), (24.9, 0.1)],
    );
}

#[test]
fn backfill_of_a_long_line_is_as_published() {
    check(
        JobRule::Easy,
        512,
        [(121.25, 0.01), (117.60, 0.01), (215.5, 0.1)],
    );
}

/// A promised start of each costs as good as nothing beside one of the first alone, and both wait for less than first come, first served.
#[test]
fn who_is_promised_a_start_waits_no_longer_than_first_come() {
    let [first, easy, promised] =
        [JobRule::Fifo, JobRule::Easy, JobRule::Conservative].map(|rule| philly(rule, 640));
    assert!(promised.wait_h_mean < first.wait_h_mean, "{promised:?}");
    assert!(promised.wait_h_max < first.wait_h_max, "{promised:?}");
    assert!(
        promised.wait_h_mean < easy.wait_h_mean * 1.02,
        "{promised:?}"
    );
}

#[test]
fn machines_are_free_in_time_where_they_are_to_be_mended() {
    let rows = trace::jobs(PHILLY).unwrap().rows;
    let rows = &rows[..8_000];
    for rule in [JobRule::Easy, JobRule::Conservative, JobRule::Madang] {
        let report = |maintenance| {
            let options = JobsOptions {
                maintenance,
                ..options(rule, 512)
            };
            replay(rows, &options)
        };
        let kept = report(Some(Maintenance {
            accelerators: 256,
            from_h: 650,
            span_h: 24,
        }));
        assert_eq!(kept.kept_held_max, Some(0), "{kept:?}");
        let other = report(None);
        assert_eq!(other.kept_held_max, None);
        assert_ne!(
            kept.wait_h_mean, other.wait_h_mean,
            "they were in nobody's way"
        );
    }
}

#[test]
fn shortest_first_is_as_published() {
    check(JobRule::Sjf, 512, [(6.94, 0.01), (3.29, 0.01), (9.5, 0.1)]);
    check(JobRule::Sjf, 640, [(4.89, 0.01), (1.24, 0.01), (6.5, 0.1)]);
}

/// Less wait than shortest first with backfill, which knows run times, and nobody who wants more for a day has less than 95 % of its share.
fn check_madang(accelerators: u32) {
    let madang = philly(JobRule::Madang, accelerators);
    let known = philly(JobRule::SjfBackfill, accelerators);
    assert!(madang.wait_h_mean < known.wait_h_mean, "{madang:?}");
    assert!(madang.wait_h_p95 < known.wait_h_p95, "{madang:?}");
    for row in madang.shares.iter().filter(|row| row.backlogged_h >= 24.0) {
        assert!(
            (0.95..=1.05).contains(&row.ratio),
            "{accelerators}: {row:?}"
        );
    }
    assert!(
        madang
            .shares
            .iter()
            .any(|row| row.backlogged_h >= 24.0 * 7.0)
    );
}

#[test]
fn nobody_knows_run_times_and_waits_are_shorter() {
    check_madang(512);
}

#[test]
fn nobody_knows_run_times_and_waits_are_shorter_where_there_is_more() {
    check_madang(640);
}

#[test]
fn shares_are_kept_where_an_hour_of_one_kind_is_not_one_of_another() {
    let rows = trace::jobs(PHILLY).unwrap().rows;
    let options = JobsOptions {
        other: Some(OtherKind {
            accelerators: 384,
            worth_milli: 500,
        }),
        ..options(JobRule::Madang, 320)
    };
    let report = replay(&rows, &options);
    let long = report.shares.iter().filter(|row| row.backlogged_h >= 24.0);
    assert!(long.clone().count() > 3, "{report:?}");
    for row in long {
        assert!((0.95..=1.05).contains(&row.ratio), "{row:?}");
    }
}

/// Whoever waits for a cheaper site by its own choice leaves its share to others: it does so only where that is not for long.
#[test]
fn shares_are_kept_where_jobs_choose_between_two_sites() {
    let rows = trace::jobs(PHILLY).unwrap().rows;
    let options = JobsOptions {
        other: Some(OtherKind {
            accelerators: 320,
            worth_milli: 1_000,
        }),
        sites: Some(SitesOptions {
            won_per_hour: [6_000, 4_500],
            wait_won_per_hour: 5_000,
            choice: SiteChoice::OneCost,
            data: None,
        }),
        ..options(JobRule::Madang, 320)
    };
    // Those in which most is wanted are among them.
    let report = replay(&rows[..20_000], &options);
    let long = report.shares.iter().filter(|row| row.backlogged_h >= 24.0);
    assert!(long.clone().count() >= 2, "{report:?}");
    for row in long {
        assert!((0.95..=1.05).contains(&row.ratio), "{row:?}");
    }
}

#[test]
fn more_than_95_percent_of_a_mixed_fleet_is_given() {
    let (tasks, machines) = (
        trace::tasks(TASKS).unwrap(),
        trace::machines(NODES).unwrap(),
    );
    for kinds in [false, true] {
        let options = PlaceOptions {
            seed: 1,
            asked_ratio: 1.3,
            kinds,
        };
        let report = place(&tasks, &machines, options).unwrap();
        assert_eq!(report.accelerators, 6_212);
        assert!(report.given_ratio >= 0.95, "{report:?}");
    }
}

#[test]
fn tasks_that_cannot_be_placed_are_refused_and_not_drawn_for_ever() {
    let task = |accelerators, share_milli| TaskRow {
        cpu_milli: 0,
        memory_mib: 0,
        accelerators,
        share_milli,
        kinds: Vec::new(),
    };
    let machine = |accelerators, kind: u32| MachineRow {
        cpu_milli: 0,
        memory_mib: 0,
        accelerators,
        kind: format!("kind-{kind}"),
    };
    let said = |task: TaskRow, machines: Vec<MachineRow>| {
        let options = PlaceOptions {
            seed: 1,
            asked_ratio: 1.0,
            kinds: true,
        };
        match place(&[task], &machines, options) {
            Ok(report) => format!("{} tasks", report.tasks),
            Err(error) => error.to_string(),
        }
    };
    let two = || vec![machine(8, 0), machine(8, 1)];
    assert_eq!(said(task(1, 500), two()), "32 tasks");
    for (task, machines, expected) in [
        (
            task(1, 500),
            vec![machine(0, 0)],
            "no machine has an accelerator",
        ),
        (
            task(1, 500),
            vec![machine(65_535, 0); 16],
            "the machines have more than 1000000 accelerators together",
        ),
        (
            task(1, 0),
            two(),
            "no task asks for any part of an accelerator",
        ),
        (
            task(0, 1_000),
            two(),
            "no task asks for any part of an accelerator",
        ),
        (
            task(1, 500),
            (0..129).map(|kind| machine(1, kind)).collect(),
            "the machines are of more than 128 kinds",
        ),
        (
            task(1, 1),
            vec![machine(1_001, 0)],
            "more than 1000000 tasks would come before as much is asked for; have less asked for, or fewer machines",
        ),
    ] {
        assert_eq!(said(task, machines), expected);
    }
}

/// Two jobs come at once every ten hours, and run for four: of two sites one is half as dear, and the second job waits for it once it is
/// known how long such jobs run.
#[test]
fn one_cost_of_run_data_and_wait_costs_less_than_the_cheapest_site_with_room() {
    let row = |number: u64| JobRow {
        submit_s: number / 2 * 36_000,
        tenant: "one".to_owned(),
        accelerators: 8,
        run_s: 4 * 3_600,
    };
    let rows: Vec<JobRow> = (0..40).map(row).collect();
    let report = |choice, won_per_hour, data| {
        let options = JobsOptions {
            other: Some(OtherKind {
                accelerators: 8,
                worth_milli: 1_000,
            }),
            sites: Some(SitesOptions {
                won_per_hour,
                wait_won_per_hour: 1_000,
                choice,
                data,
            }),
            rigid: true,
            ..options(JobRule::Madang, 8)
        };
        let report = replay(&rows, &options);
        (report.wait_h_mean, report.sites.unwrap())
    };
    let (wait_h, cheapest) = report(SiteChoice::Cheapest, [6_000, 3_000], None);
    assert!(wait_h < 0.001, "{wait_h} {cheapest:?}");
    // Each pair costs 4 h of 8 accelerators at both prices.
    let pair_won = 4.0 * 8.0 * 9_000.0;
    assert!(
        (cheapest.paid_won - 20.0 * pair_won).abs() < 1.0,
        "{cheapest:?}"
    );
    let (wait_h, one) = report(SiteChoice::OneCost, [6_000, 3_000], None);
    assert!(
        wait_h > 1.5 && one.cost_won < cheapest.cost_won * 0.85,
        "{wait_h} {one:?}"
    );
    // The data of the only tenant stands at the site that is a little dearer, and takes a day to be brought from there.
    let data = Some(JobData {
        gigabytes: 1_000,
        mbit_per_s: 100,
    });
    let [(_, cheapest), (_, one)] = [SiteChoice::Cheapest, SiteChoice::OneCost]
        .map(|choice| report(choice, [6_000, 5_900], data));
    assert!(
        one.moves < cheapest.moves && one.cost_won < cheapest.cost_won,
        "{one:?} {cheapest:?}"
    );
}
