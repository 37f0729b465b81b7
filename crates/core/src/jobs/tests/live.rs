//! What a live queue does beside the rule.

use super::story::{Story, job};
use super::*;
use madang_types::Priority;

fn ask(key: u64, accelerators: u32, run_s_max: u64) -> Ask {
    job(key, accelerators, run_s_max).rigid().ask()
}

fn queue(accelerators: &[u16]) -> Jobs {
    Jobs::new(
        JobRule::Madang,
        JobTerms::default(),
        &machines(accelerators),
    )
}

fn pass(jobs: &mut Jobs, seconds: u64) -> Vec<JobEffect> {
    let mut effects = Vec::new();
    jobs.pass(at(seconds), &mut effects);
    effects
}

fn started(effects: &[JobEffect]) -> Vec<u64> {
    let start = |effect: &JobEffect| match effect {
        JobEffect::Start { job, .. } => Some(job.0),
        JobEffect::Stop { .. } => None,
    };
    effects.iter().filter_map(start).collect()
}

#[test]
fn who_waits_is_told_when_it_will_start() {
    let mut jobs = queue(&[4]);
    for ask in [
        ask(1, 4, 100),
        ask(2, 3, 50),
        ask(3, 1, 60),
        ask(4, 2, 60),
        ask(5, 8, 1),
    ] {
        jobs.apply(at(0), JobInput::Submitted(ask));
    }
    assert_eq!(started(&pass(&mut jobs, 0)), [1]);
    let check = |key, ahead, starts_at: Option<u64>| {
        let starts_at = starts_at.map(at);
        let outlook = jobs.outlook(at(10), JobKey(key)).unwrap();
        assert_eq!(
            (outlook.ahead, outlook.starts_at),
            (ahead, starts_at),
            "{key}"
        );
    };
    check(2, 0, Some(100));
    check(3, 1, Some(100));
    check(4, 2, Some(150));
    check(5, 3, None);
    assert_eq!(jobs.outlook(at(10), JobKey(1)), None);
    assert_eq!(jobs.outlook(at(10), JobKey(99)), None);
}

/// One that wants so many accelerators on one machine for each of its pieces.
fn ask_pieces(key: u64, (pieces, accelerators): (u32, u16), run_s_max: u64) -> Ask {
    let mut ask = ask(key, pieces * u32::from(accelerators), run_s_max);
    ask.need.pieces = pieces;
    ask.need.piece.accelerators = accelerators;
    ask
}

/// Two accelerators are free, one on each of two machines: no room for a piece that wants both on one.
#[test]
fn who_wants_accelerators_of_one_machine_is_not_told_of_those_that_are_free_here_and_there() {
    let mut jobs = queue(&[4, 4]);
    for ask in [
        ask_pieces(1, (1, 3), 100),
        ask_pieces(2, (1, 3), 200),
        ask_pieces(3, (1, 2), 50),
    ] {
        jobs.apply(at(0), JobInput::Submitted(ask));
    }
    assert_eq!(started(&pass(&mut jobs, 0)), [1, 2]);
    let starts_at = |jobs: &Jobs, key| jobs.outlook(at(10), JobKey(key)).unwrap().starts_at;
    assert_eq!(starts_at(&jobs, 3), Some(at(100)));
    let offer = jobs.outlook(at(10), JobKey(3)).unwrap().offers.remove(0);
    assert_eq!(offer.lacks, Some(OfferLack::Room));
    // Both machines as a whole: when the last one ends. Three are never.
    jobs.apply(at(10), JobInput::Submitted(ask_pieces(4, (2, 4), 50)));
    assert_eq!(starts_at(&jobs, 4), Some(at(200)));
    jobs.apply(at(10), JobInput::Submitted(ask_pieces(5, (3, 2), 50)));
    jobs.apply(at(10), JobInput::Submitted(ask_pieces(6, (1, 5), 50)));
    assert!(starts_at(&jobs, 5).is_some());
    assert_eq!(starts_at(&jobs, 6), None);
}

/// As above: who is before others starts when one machine has room for it, and not on what is free here and there.
#[test]
fn who_is_before_others_counts_from_when_a_machine_has_room_for_it() {
    let mut jobs = queue(&[4, 4]);
    for ask in [ask_pieces(1, (1, 3), 100), ask_pieces(2, (1, 3), 200)] {
        jobs.apply(at(0), JobInput::Submitted(ask));
    }
    assert_eq!(started(&pass(&mut jobs, 0)), [1, 2]);
    // One that has no room even on empty machines holds up nobody.
    for ask in [
        ask_pieces(3, (1, 5), 900),
        ask_pieces(4, (1, 2), 150),
        ask_pieces(5, (2, 4), 50),
    ] {
        jobs.apply(at(0), JobInput::Submitted(ask));
    }
    assert_eq!(started(&pass(&mut jobs, 0)), []);
    let starts_at = |key| jobs.outlook(at(10), JobKey(key)).unwrap().starts_at;
    assert_eq!(
        [3, 4, 5].map(starts_at),
        [None, Some(at(100)), Some(at(250))]
    );
}

#[test]
fn what_is_urgent_goes_before_its_accounts_own() {
    let mut jobs = queue(&[1]);
    for (key, priority) in [
        (1, Priority::Batch),
        (2, Priority::Standard),
        (3, Priority::Critical),
    ] {
        let ask = Ask {
            priority,
            ..ask(key, 1, 1_000_000)
        };
        jobs.apply(at(0), JobInput::Submitted(ask));
    }
    for key in [3, 2, 1] {
        assert_eq!(started(&pass(&mut jobs, 0)), [key]);
        jobs.apply(at(0), JobInput::Ended(JobKey(key)));
    }
}

#[test]
fn who_was_found_running_holds_its_machines() {
    let mut jobs = queue(&[2, 2]);
    jobs.apply(at(0), JobInput::Submitted(ask(1, 2, 100)));
    let effects = pass(&mut jobs, 0);
    let [JobEffect::Start { placements, .. }] = effects.as_slice() else {
        unreachable!("{effects:?}");
    };
    let mut later = queue(&[2, 2]);
    later.found(ask(1, 2, 100), at(0), placements.clone());
    later.found(ask(1, 2, 100), at(0), placements.clone());
    later.apply(at(5), JobInput::Submitted(ask(2, 3, 100)));
    later.apply(at(5), JobInput::Submitted(ask(3, 2, 90)));
    assert_eq!(started(&pass(&mut later, 5)), [3]);
    later.apply(at(6), JobInput::Ended(JobKey(1)));
    later.apply(at(6), JobInput::Ended(JobKey(3)));
    assert_eq!(started(&pass(&mut later, 6)), [2]);
}

#[test]
fn machines_come_and_go_and_who_runs_keeps_its_own() {
    let mut jobs = queue(&[2, 2]);
    jobs.apply(at(0), JobInput::Submitted(ask(1, 4, 100)));
    assert_eq!(started(&pass(&mut jobs, 0)), [1]);
    // The first machine is gone, the second is now the first, and a new one stands beside it.
    let now_is = |machine: MachineKey| machine.0.checked_sub(1).map(MachineKey);
    jobs.refit(&machines(&[2, 1]), now_is);
    jobs.apply(at(1), JobInput::Submitted(ask(2, 1, 100)));
    jobs.apply(at(1), JobInput::Submitted(ask(3, 1, 100)));
    assert_eq!(started(&pass(&mut jobs, 1)), [2]);
    jobs.apply(at(2), JobInput::Ended(JobKey(1)));
    assert_eq!(started(&pass(&mut jobs, 2)), [3]);
}

#[test]
fn what_is_said_of_nobody_or_twice_changes_nothing() {
    let mut story = Story::new(JobRule::Madang, &[1]);
    story
        .ends(7)
        .has_stopped(7)
        .comes(job(1, 1, 10))
        .comes(job(1, 1, 10))
        .check("+1");
    story
        .comes(job(2, 1, 10))
        .at(9)
        .ends(1)
        .ends(1)
        .check("+2")
        .check("");
    // The clock was set back.
    story.at(0).ends(2).comes(job(3, 1, 10)).check("+3");
    assert_eq!((story.jobs.running(), story.jobs.waiting()), (1, 0));
}
