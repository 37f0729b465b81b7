//! Arrays that may be put off: what has not begun of them waits for cheap hours though the first tasks ran, and what writes checkpoints
//! stops for dear ones.

use super::shift::electricity;
use super::*;
use madang_types::{JobCheckpoint, StopSignal};

const HOUR_S: i64 = 3_600;

/// A desk of four accelerators, and an array of tasks of one, each of so many minutes, that may be put off for so many hours.
fn desk(won: &[i64], (tasks, minutes, shift_h): (u32, u64, u64), checkpoints: bool) -> Desk {
    let mut desk = Desk::new(JobTerms::default(), vec![nodes("a", "h200", 1, 4)]);
    desk.electricity(electricity(won));
    desk.apply(
        at(0),
        arrival(array((tasks, minutes, shift_h), checkpoints)),
    );
    desk
}

fn array((tasks, minutes, shift_h): (u32, u64, u64), checkpoints: bool) -> Job {
    let mut array = job(1, 1);
    array.spec.array = Some(JobArray {
        tasks,
        at_once_max: None,
    });
    array.spec.time_limit_ms = minutes * 60_000;
    array.spec.flex.shift_ms = shift_h * 3_600_000;
    array.spec.checkpoint = checkpoints.then_some(JobCheckpoint {
        signal: StopSignal::default(),
        grace_ms: 60_000,
    });
    array
}

fn run(index: u32, number: u32) -> RunId {
    let task = TaskId {
        job: JobId(1),
        index: Some(index),
    };
    RunId { task, number }
}

fn pass(desk: &mut Desk, seconds: i64) -> String {
    let mut effects = Vec::new();
    desk.pass(at(seconds), &mut effects);
    said(&effects)
}

fn begin(desk: &mut Desk, runs: &[RunId], seconds: i64) {
    for run in runs {
        desk.apply(at(seconds), DeskInput::Began(*run, at(seconds)));
    }
}

fn ended(desk: &mut Desk, runs: &[RunId], outcome: RunOutcome, (from, until): (i64, i64)) {
    for run in runs {
        let end = end(outcome.clone(), from, until);
        desk.apply(at(until), DeskInput::Ended(*run, end));
    }
}

#[test]
fn tasks_that_have_not_begun_wait_for_cheap_hours_and_those_that_run_without_checkpoints_end() {
    let prices = [&[50, 400, 400][..], &[100; 21]].concat();
    let mut desk = desk(&prices, (12, 50, 8), false);
    assert_eq!(pass(&mut desk, 0), "+1.0-1 1:running +1.1-1 +1.2-1 +1.3-1");
    let first: Vec<RunId> = (0..4).map(|index| run(index, 1)).collect();
    begin(&mut desk, &first, 0);
    // The first of them ends in the cheap hour, and another begins; then the dear ones come.
    ended(&mut desk, &first[..1], RunOutcome::Completed, (0, 2_700));
    assert_eq!(pass(&mut desk, 2_700), "=1.0-1 +1.4-1");
    begin(&mut desk, &[run(4, 1)], 2_700);
    assert_eq!(pass(&mut desk, HOUR_S), "");
    ended(
        &mut desk,
        &first[1..],
        RunOutcome::Completed,
        (0, HOUR_S + 60),
    );
    assert_eq!(pass(&mut desk, HOUR_S + 60), "=1.1-1 =1.2-1 =1.3-1");
    assert_eq!(desk.jobs.waiting(), 0);
    let waits = desk.waits(at(HOUR_S + 60), JobId(1)).unwrap();
    assert_eq!(waits.starts_at, Some(at(3 * HOUR_S)), "{}", waits.why);
    assert!(waits.why.contains("goes on within"), "{}", waits.why);
    // Other prices are other hours, and these are as dear.
    desk.electricity(electricity(&[&[50, 390, 390][..], &[100; 21]].concat()));
    assert_eq!(pass(&mut desk, HOUR_S + 120), "");
    ended(
        &mut desk,
        &[run(4, 1)],
        RunOutcome::Completed,
        (2_700, 6_000),
    );
    assert_eq!(pass(&mut desk, 6_000), "=1.4-1 1:pending");
    assert_eq!(pass(&mut desk, 3 * HOUR_S - 1), "");
    assert_eq!(
        pass(&mut desk, 3 * HOUR_S),
        "+1.5-1 1:running +1.6-1 +1.7-1 +1.8-1"
    );
}

#[test]
fn tasks_that_write_checkpoints_stop_for_dear_hours_and_go_on_after_them() {
    let prices = [&[50, 400, 400][..], &[100; 21]].concat();
    let mut desk = desk(&prices, (6, 120, 8), true);
    pass(&mut desk, 0);
    let first: Vec<RunId> = (0..4).map(|index| run(index, 1)).collect();
    begin(&mut desk, &first, 0);
    assert_eq!(pass(&mut desk, 2_700), "");
    assert_eq!(pass(&mut desk, HOUR_S), "-1.0-1 -1.1-1 -1.2-1 -1.3-1");
    ended(&mut desk, &first, RunOutcome::Stopped, (0, HOUR_S + 30));
    let said = pass(&mut desk, HOUR_S + 30);
    assert_eq!(said, "=1.0-1 =1.1-1 =1.2-1 =1.3-1 1:pending");
    // Those that had nothing yet are first.
    assert_eq!(
        pass(&mut desk, 3 * HOUR_S),
        "+1.4-1 1:running +1.5-1 +1.0-2 +1.1-2"
    );
}

#[test]
fn an_array_waits_no_longer_in_all_than_it_may() {
    // Dear from the second hour to the tenth: the rest waits for two hours, and runs in dear ones.
    let prices = [&[50][..], &[400; 9], &[100; 14]].concat();
    let mut short = desk(&prices, (8, 60, 2), false);
    pass(&mut short, 0);
    let first: Vec<RunId> = (0..4).map(|index| run(index, 1)).collect();
    begin(&mut short, &first, 0);
    ended(&mut short, &first, RunOutcome::Completed, (0, HOUR_S));
    let said = pass(&mut short, HOUR_S);
    assert!(
        said.contains("+1.4-1"),
        "nothing is gained by waiting: {said}"
    );
    let mut long = desk(&prices, (8, 60, 10), false);
    pass(&mut long, 0);
    begin(&mut long, &first, 0);
    ended(&mut long, &first, RunOutcome::Completed, (0, HOUR_S));
    let said = pass(&mut long, HOUR_S);
    assert!(!said.contains('+'), "{said}");
    let waits = long.waits(at(HOUR_S), JobId(1)).unwrap();
    assert_eq!(waits.starts_at, Some(at(10 * HOUR_S)), "{}", waits.why);
}

#[test]
fn an_array_that_waits_in_the_middle_waits_on_at_a_desk_that_is_opened_anew() {
    let prices = [&[50, 400, 400][..], &[100; 21]].concat();
    let mut first = desk(&prices, (8, 60, 8), false);
    let mut effects = Vec::new();
    first.pass(at(0), &mut effects);
    let runs: Vec<RunRecord> = effects
        .into_iter()
        .filter_map(|effect| match effect {
            DeskEffect::Begin(run) => Some(RunRecord {
                state: RunState::Ended,
                started_at: Some(at(0)),
                end: Some(end(RunOutcome::Completed, 0, HOUR_S)),
                ..*run
            }),
            _ => None,
        })
        .collect();
    assert_eq!(runs.len(), 4);
    let mut again = Desk::new(JobTerms::default(), vec![nodes("a", "h200", 1, 4)]);
    again.electricity(electricity(&prices));
    let mut job = array((8, 60, 8), false);
    job.state = JobState::Pending;
    let DeskInput::Came(came) = arrival(job) else {
        panic!("a job comes");
    };
    again.apply(
        at(HOUR_S),
        DeskInput::Came(Box::new(Arrival { runs, ..*came })),
    );
    assert_eq!(pass(&mut again, HOUR_S), "");
    let waits = again.waits(at(HOUR_S), JobId(1)).unwrap();
    assert_eq!(waits.starts_at, Some(at(3 * HOUR_S)), "{}", waits.why);
}

/// 100,000 tasks of a minute on 800 accelerators: an hour of them, two dear hours, and the rest.
#[test]
fn an_array_of_100_000_waits_with_few_tasks_on_the_desk_and_few_looks() {
    const TASKS: u32 = 100_000;
    let mut desk = Desk::new(JobTerms::default(), vec![nodes("a", "h200", 100, 8)]);
    let prices = [&[50, 400, 400][..], &[100; 21]].concat();
    desk.electricity(electricity(&prices));
    desk.apply(at(0), arrival(array((TASKS, 1, 8), false)));
    let mut begun = [0; 24];
    let mut running: Vec<RunId> = Vec::new();
    for minute in 0..5 * 60 {
        let now = minute * 60;
        ended(
            &mut desk,
            &std::mem::take(&mut running),
            RunOutcome::Completed,
            (now - 60, now),
        );
        let mut effects = Vec::new();
        desk.pass(at(now), &mut effects);
        let new = effects.iter().filter_map(|effect| match effect {
            DeskEffect::Begin(run) => Some(run.run),
            _ => None,
        });
        running.extend(new);
        begin(&mut desk, &running, now);
        begun[usize::try_from(now / HOUR_S).unwrap()] += running.len();
        let open: usize = desk.entries.values().map(|entry| entry.open.len()).sum();
        assert!(open <= QUEUED_MAX + 800, "{open} tasks");
        if (HOUR_S..3 * HOUR_S).contains(&now) {
            assert_eq!(desk.jobs.waiting(), 0, "minute {minute}");
        }
    }
    assert_eq!(begun[..4], [48_000, 0, 0, 48_000], "{begun:?}");
    assert_eq!(begun.iter().sum::<usize>(), TASKS as usize);
}
