//! Jobs that wait for cheap hours, and start when these come, or when they may be put off no longer.

use super::*;
use crate::flex::{EnergyHour, EnergyOutlook};
use madang_types::{JobCheckpoint, MicroWon, StopSignal};

const HOUR_S: i64 = 3_600;

/// Won for each kilowatt-hour of the hours from the beginning on, at the site of all machines.
pub(super) fn electricity(won: &[i64]) -> DeskElectricity {
    let hour = |won: &i64| EnergyHour {
        grid_per_kwh: MicroWon(won * 1_000_000),
        ..EnergyHour::default()
    };
    let outlook = EnergyOutlook::new(at(0), won.iter().map(hour).collect());
    DeskElectricity {
        sites: [("pohang".parse().unwrap(), outlook)].into(),
        watts_each: [("a".parse().unwrap(), 1_000)].into(),
        ..DeskElectricity::default()
    }
}

/// A desk of four accelerators where the third hour is cheap, and a job of one that may wait for so many hours.
fn desk(shift_h: u64) -> Desk {
    let mut desk = Desk::new(JobTerms::default(), vec![nodes("a", "h200", 1, 4)]);
    desk.electricity(electricity(&[200, 200, 100, 200]));
    desk.apply(at(0), arrival(shifted(1, shift_h)));
    desk
}

fn shifted(id: u64, shift_h: u64) -> Job {
    let mut job = job(id, 1);
    job.spec.flex.shift_ms = shift_h * 3_600_000;
    job
}

fn passed(desk: &mut Desk, seconds: i64) -> String {
    let mut effects = Vec::new();
    desk.pass(at(seconds), &mut effects);
    said(&effects)
}

#[test]
fn a_job_waits_for_the_cheap_hour_and_says_until_when() {
    let mut desk = desk(3);
    assert_eq!(passed(&mut desk, 0), "");
    let waits = desk.waits(at(0), JobId(1)).unwrap();
    assert_eq!(waits.starts_at, Some(at(2 * HOUR_S)));
    assert_eq!(
        waits.why,
        "it is put off (flex.shift): electricity at pohang weighs 50 % less for it then; it starts within 3 h 0 min at the latest"
    );
    assert_eq!(desk.wake_at(at(0)), Some(at(2 * HOUR_S)));
    assert_eq!(passed(&mut desk, 2 * HOUR_S - 1), "");
    assert_eq!(passed(&mut desk, 2 * HOUR_S), "+1-1 1:running");
}

#[test]
fn nobody_waits_longer_than_it_may_or_without_need() {
    // The cheap hour is too late for it: half of it is as near as it gets.
    let mut one = desk(1);
    assert_eq!(passed(&mut one, 0), "+1-1 1:running");
    // Nothing is known of prices, all hours are alike, or it may not be put off.
    let mut unknown = Desk::new(JobTerms::default(), vec![nodes("a", "h200", 1, 4)]);
    unknown.apply(at(0), arrival(shifted(1, 3)));
    assert_eq!(passed(&mut unknown, 0), "+1-1 1:running");
    let mut flat = Desk::new(JobTerms::default(), vec![nodes("a", "h200", 1, 4)]);
    flat.electricity(electricity(&[100; 24]));
    flat.apply(at(0), arrival(shifted(1, 3)));
    assert_eq!(passed(&mut flat, 0), "+1-1 1:running");
    assert_eq!(passed(&mut desk(0), 0), "+1-1 1:running");
    // On machines of which nobody knows what they cost it may start at once.
    let both = vec![nodes("a", "h200", 1, 4), nodes("b", "h200", 1, 4)];
    let mut half = Desk::new(JobTerms::default(), both);
    half.electricity(electricity(&[200, 200, 100, 200]));
    half.apply(at(0), arrival(shifted(1, 3)));
    assert_eq!(passed(&mut half, 0), "+1-1 1:running");
}

#[test]
fn other_prices_are_other_hours() {
    let mut desk = desk(3);
    assert_eq!(passed(&mut desk, 0), "");
    desk.electricity(electricity(&[200, 100, 200, 200]));
    assert_eq!(passed(&mut desk, 60), "");
    let waits = desk.waits(at(60), JobId(1)).unwrap();
    assert_eq!(waits.starts_at, Some(at(HOUR_S)));
    desk.electricity(electricity(&[100, 100, 200, 200]));
    assert_eq!(passed(&mut desk, 120), "+1-1 1:running");
}

#[test]
fn those_that_are_put_off_do_not_all_wait_for_the_same_room() {
    let mut desk = desk(3);
    for id in 2..=6 {
        desk.apply(at(0), arrival(shifted(id, 3)));
    }
    // Four have room in the cheap hour; the others gain nothing by waiting.
    assert_eq!(passed(&mut desk, 0), "+5-1 5:running +6-1 6:running");
    desk.apply(at(10), DeskInput::Cancelled(JobId(2), at(10)));
    desk.apply(at(10), DeskInput::Held(JobId(3), true));
    assert_eq!(passed(&mut desk, 10), "2:cancelled 3:held");
    desk.apply(
        at(20),
        DeskInput::Ended(run(5), end(RunOutcome::Completed, 0, 20)),
    );
    desk.apply(
        at(20),
        DeskInput::Ended(run(6), end(RunOutcome::Completed, 0, 20)),
    );
    assert_eq!(passed(&mut desk, 2 * HOUR_S).matches('+').count(), 2);
    desk.apply(at(2 * HOUR_S), DeskInput::Held(JobId(3), false));
    assert_eq!(passed(&mut desk, 2 * HOUR_S), "3:pending +3-1 3:running");
}

/// Of eight tasks four run at once: two hours of them, of which the second is the cheap one.
#[test]
fn an_array_waits_as_long_as_all_of_it_takes() {
    let mut desk = Desk::new(JobTerms::default(), vec![nodes("a", "h200", 1, 4)]);
    desk.electricity(electricity(&[200, 200, 200, 100, 300, 300]));
    let mut job = shifted(1, 5);
    job.spec.array = Some(JobArray {
        tasks: 8,
        at_once_max: None,
    });
    desk.apply(at(0), arrival(job));
    assert_eq!(passed(&mut desk, 0), "");
    let waits = desk.waits(at(0), JobId(1)).unwrap();
    assert_eq!(waits.starts_at, Some(at(2 * HOUR_S)));
    // Policy lets it be nowhere for a while: it is weighed again afterwards, and does not wait any more.
    desk.apply(
        at(10),
        DeskInput::Allowed(JobId(1), BTreeSet::new(), BTreeMap::new()),
    );
    assert_eq!(passed(&mut desk, 10), "");
    let waits = desk.waits(at(10), JobId(1)).unwrap();
    assert!(waits.why.starts_with("no machines would do"), "{waits:?}");
    desk.apply(
        at(20),
        DeskInput::Allowed(JobId(1), ["a".parse().unwrap()].into(), BTreeMap::new()),
    );
    assert_eq!(passed(&mut desk, 20), "");
    assert_eq!(
        desk.waits(at(20), JobId(1)).unwrap().starts_at,
        Some(at(2 * HOUR_S))
    );
    assert_eq!(passed(&mut desk, 2 * HOUR_S).matches('+').count(), 4);
}

fn run(job: u64) -> RunId {
    RunId {
        task: TaskId {
            job: JobId(job),
            index: None,
        },
        number: 1,
    }
}

/// A desk where the second and third hours are dear, and a job of two hours that writes checkpoints and has begun in the first.
fn stopping(shift_h: u64) -> Desk {
    let mut desk = Desk::new(JobTerms::default(), vec![nodes("a", "h200", 1, 4)]);
    desk.electricity(electricity(&[&[50, 400, 400][..], &[100; 21]].concat()));
    let mut job = shifted(1, shift_h);
    job.spec.time_limit_ms = 2 * 3_600_000;
    job.spec.checkpoint = Some(JobCheckpoint {
        signal: StopSignal::default(),
        grace_ms: 60_000,
    });
    desk.apply(at(0), arrival(job));
    assert_eq!(passed(&mut desk, 0), "+1-1 1:running");
    desk.apply(at(0), DeskInput::Began(run(1), at(0)));
    desk
}

#[test]
fn a_run_with_checkpoints_stops_in_dear_hours_and_goes_on_after_them() {
    let mut desk = stopping(6);
    assert_eq!(passed(&mut desk, 0), "");
    assert_eq!(desk.wake_at(at(0)), Some(at(900)));
    assert_eq!(passed(&mut desk, 2_700), "");
    // The dear hours begin.
    assert_eq!(passed(&mut desk, HOUR_S), "-1-1");
    let end = end(RunOutcome::Stopped, 0, HOUR_S + 30);
    desk.apply(at(HOUR_S + 30), DeskInput::Ended(run(1), end));
    assert_eq!(passed(&mut desk, HOUR_S + 30), "=1-1 1:pending");
    let waits = desk.waits(at(HOUR_S + 30), JobId(1)).unwrap();
    assert_eq!(waits.starts_at, Some(at(3 * HOUR_S)), "{}", waits.why);
    assert!(waits.why.contains("goes on within"), "{}", waits.why);
    assert_eq!(passed(&mut desk, 3 * HOUR_S - 1), "");
    assert_eq!(passed(&mut desk, 3 * HOUR_S), "+1-2 1:running");
}

#[test]
fn what_may_wait_no_longer_or_writes_no_checkpoint_runs_through() {
    // The rest has to begin after one hour and what it ran: before the dear hours are over, but not before they begin.
    let mut short = stopping(1);
    assert_eq!(passed(&mut short, HOUR_S), "");
    let mut plain = Desk::new(JobTerms::default(), vec![nodes("a", "h200", 1, 4)]);
    plain.electricity(electricity(&[100, 400, 400, 100, 100, 100]));
    plain.apply(at(0), arrival(shifted(1, 6)));
    passed(&mut plain, 0);
    plain.apply(at(0), DeskInput::Began(run(1), at(0)));
    passed(&mut plain, 0);
    assert_eq!(passed(&mut plain, HOUR_S), "");
}
