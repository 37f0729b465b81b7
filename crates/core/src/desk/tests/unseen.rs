//! Runs of which nobody can be asked how they stand.

use super::*;
use madang_types::StopWhy;

/// A desk with job 1, whose run began at 10 s where `began`, and which is tried again twice.
fn desk(began: bool) -> Desk {
    let mut desk = Desk::new(JobTerms::default(), vec![nodes("a", "h200", 1, 4)]);
    let mut one = job(1, 4);
    one.spec.retries_max = 2;
    desk.apply(at(0), arrival(one));
    assert_eq!(pass(&mut desk, 0), "+1-1 1:running");
    if began {
        desk.apply(at(10), DeskInput::Began(run(1), at(10)));
        pass(&mut desk, 10);
    }
    desk
}

fn run(number: u32) -> RunId {
    let task = TaskId {
        job: JobId(1),
        index: None,
    };
    RunId { task, number }
}

fn pass(desk: &mut Desk, now: i64) -> String {
    let mut effects = Vec::new();
    desk.pass(at(now), &mut effects);
    said(&effects)
}

fn unseen(desk: &mut Desk, now: i64, taken: bool) -> Vec<DeskEffect> {
    let why = "the cluster is away".to_owned();
    let (run, mut effects) = (run(1), Vec::new());
    desk.apply(at(now), DeskInput::Unseen { run, taken, why });
    desk.pass(at(now), &mut effects);
    effects
}

/// The run as its only effect writes it down.
fn written(effects: &[DeskEffect]) -> RunRecord {
    match effects {
        [DeskEffect::Run(run)] => (**run).clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_is_seen_again_in_time_goes_on_and_a_short_silence_is_not_written_down() {
    let mut desk = desk(true);
    assert_eq!(unseen(&mut desk, 100, true), []);
    desk.apply(at(120), DeskInput::Seen(run(1)));
    assert_eq!(unseen(&mut desk, 150, true), [], "it is counted anew");
    assert_eq!(unseen(&mut desk, 209, true), []);
    assert_eq!(desk.warning(JobId(1)), None);
    let noted = written(&unseen(&mut desk, 210, true));
    assert_eq!(noted.unseen_since, Some(at(150)));
    let warning = desk.warning(JobId(1)).unwrap();
    assert!(warning.contains("after 3600 s without an answer it counts as lost"));
    assert_eq!(unseen(&mut desk, 211, true), [], "it is noted once");
    let mut effects = Vec::new();
    desk.apply(at(3_749), DeskInput::Seen(run(1)));
    desk.pass(at(3_749), &mut effects);
    assert_eq!(written(&effects).unseen_since, None);
    let over = end(RunOutcome::Completed, 10, 3_800);
    desk.apply(at(3_800), DeskInput::Ended(run(1), over));
    assert_eq!(pass(&mut desk, 3_800), "=1-1 1:completed");
}

#[test]
fn who_is_not_is_given_up_had_its_machines_until_it_was_last_seen_and_is_not_begun_anew() {
    for withdrawn in [false, true] {
        let mut desk = desk(true);
        if withdrawn {
            desk.apply(at(50), DeskInput::Cancelled(JobId(1), at(50)));
            assert_eq!(pass(&mut desk, 50), "-1-1");
        }
        // Through a restart: the books have since when.
        let noted = {
            unseen(&mut desk, 100, true);
            written(&unseen(&mut desk, 160, true))
        };
        let job = desk.job(JobId(1)).unwrap().clone();
        let mut anew = Desk::new(JobTerms::default(), vec![nodes("a", "h200", 1, 4)]);
        let DeskInput::Came(mut came) = arrival(job) else {
            panic!("it comes");
        };
        came.runs = vec![noted];
        anew.apply(at(3_000), DeskInput::Came(came));
        pass(&mut anew, 3_000);
        assert_eq!(said(&unseen(&mut anew, 3_699, true)), "");
        let effects = unseen(&mut anew, 3_700, true);
        let over = effects.iter().find_map(|effect| match effect {
            DeskEffect::Settle(run) => run.end.clone(),
            _ => None,
        });
        let RunEnd {
            outcome: RunOutcome::Lost { why },
            started_at: Some(from),
            ended_at: until,
            ..
        } = over.unwrap()
        else {
            panic!("{effects:?}");
        };
        assert_eq!((from, until), (at(10), at(100)));
        let expected = "for 3600 s nobody could be asked how it stands: the cluster is away";
        assert_eq!(why, expected);
        assert_eq!(said(&effects), "=1-1 1:failed", "{withdrawn}");
        assert_eq!(anew.runs().count(), 0);
    }
}

#[test]
fn whom_nobody_has_begun_waits_for_its_turn_again() {
    let mut desk = desk(false);
    for now in [0, 60, 599] {
        unseen(&mut desk, now, false);
    }
    let effects = unseen(&mut desk, 600, false);
    assert_eq!(said(&effects), "=1-1 1:pending");
    let waits = desk.waits(at(600), JobId(1)).unwrap();
    let expected = "for 600 s nobody could be told to begin it: the cluster is away";
    assert_eq!(waits.why, expected);
    assert_eq!(pass(&mut desk, 659), "");
    assert_eq!(pass(&mut desk, 660), "+1-2 1:running");
    // What it lost by that is none of its tries, and nobody else's stop.
    assert!(desk.runs().all(|run| run.unseen_since.is_none()));
    assert!(
        desk.runs()
            .all(|run| run.stop.is_none_or(|stop| stop.why != StopWhy::Room))
    );
}
