use super::*;
use madang_types::{JobCheckpoint, StopSignal};

fn job(state: SlurmState, exit: (u8, u8)) -> SlurmJob {
    SlurmJob {
        id: 7,
        name: "madang-1042-1".to_owned(),
        state,
        reason: "None".to_owned(),
        submitted_s: 100,
        started_s: Some(110),
        ended_s: Some(130),
        had_nodes: true,
        exit,
    }
}

fn failed(exit_code: i32) -> RunOutcome {
    RunOutcome::Failed { exit_code }
}

#[test]
fn states_are_read_in_every_shape() {
    let check = |words: &[&str], expected| {
        assert_eq!(
            SlurmState::read(words.iter().copied()),
            expected,
            "{words:?}"
        );
    };
    check(&["RUNNING"], Some(SlurmState::Running));
    check(&["CANCELLED by 1000"], Some(SlurmState::Cancelled));
    check(&["COMPLETED", "COMPLETING"], Some(SlurmState::Completing));
    check(&["RUNNING", "CONFIGURING"], Some(SlurmState::Configuring));
    check(&["NODE_FAIL", "REQUEUED"], Some(SlurmState::Waiting));
    check(&["OUT_OF_MEMORY"], Some(SlurmState::OutOfMemory));
    check(&["SOMETHING_NEW"], None);
    check(&[], None);
}

#[test]
fn each_end_has_its_outcome() {
    let cancel = Some(Stop::new(StopHow::Cancel, 0));
    let checkpoint = JobCheckpoint {
        signal: StopSignal::Usr1,
        grace_ms: 5,
    };
    let room = Some(Stop::new(StopHow::Checkpoint(checkpoint), 0));
    let check = |state, exit, stop, expected| {
        let RunStatus::Ended(end) = job(state, exit).status(stop) else {
            panic!("{state:?} is over");
        };
        assert_eq!(end.outcome, expected, "{state:?} {exit:?} {stop:?}");
        assert_eq!(end.ended_at, micros(130));
    };
    check(SlurmState::Completed, (0, 0), None, RunOutcome::Completed);
    // It was done before it heard of it.
    check(SlurmState::Completed, (0, 0), cancel, RunOutcome::Completed);
    check(SlurmState::Completed, (0, 0), room, RunOutcome::Completed);
    check(SlurmState::Failed, (3, 0), None, failed(3));
    check(SlurmState::Failed, (0, 9), None, failed(137));
    check(SlurmState::Failed, (0, 0), None, failed(1));
    check(SlurmState::Failed, (3, 0), room, RunOutcome::Stopped);
    check(SlurmState::Failed, (0, 14), cancel, RunOutcome::Cancelled);
    check(SlurmState::Failed, (0, 14), None, RunOutcome::TimedOut);
    check(SlurmState::TimedOut, (0, 1), None, RunOutcome::TimedOut);
    check(SlurmState::Cancelled, (0, 15), None, RunOutcome::Cancelled);
    check(SlurmState::Cancelled, (0, 15), room, RunOutcome::Stopped);
    check(SlurmState::Preempted, (0, 15), None, RunOutcome::Stopped);
    check(SlurmState::OutOfMemory, (0, 125), None, failed(137));
    let lost = RunOutcome::Lost {
        why: "a machine of it failed".to_owned(),
    };
    check(SlurmState::NodeFailed, (0, 0), None, lost.clone());
    check(SlurmState::NodeFailed, (0, 0), room, lost);
    check(
        SlurmState::NodeFailed,
        (0, 0),
        cancel,
        RunOutcome::Cancelled,
    );
}

#[test]
fn who_never_began_has_no_start() {
    let refused = SlurmJob {
        had_nodes: false,
        ..job(SlurmState::Failed, (1, 0))
    };
    let withdrawn = SlurmJob {
        had_nodes: false,
        ..job(SlurmState::Cancelled, (0, 0))
    };
    let unbegun = job(SlurmState::Failed, (0, word::NOT_STARTED.1));
    for (job, word) in [
        (refused, Some("did not begin")),
        (withdrawn, None),
        (unbegun, Some("begin")),
    ] {
        let RunStatus::Ended(end) = job.status(None) else {
            panic!("{job:?}")
        };
        assert_eq!(end.started_at, None, "{job:?}");
        match (end.outcome, word) {
            (RunOutcome::NotStarted { why }, Some(word)) => assert!(why.contains(word), "{why}"),
            (outcome, _) => assert_eq!(outcome, RunOutcome::Cancelled),
        }
    }
}

#[test]
fn who_waits_says_why_and_until_when() {
    let mut waits = SlurmJob {
        reason: "Resources".to_owned(),
        started_s: Some(1_795_749_173),
        had_nodes: false,
        ..job(SlurmState::Waiting, (0, 0))
    };
    let why = |job: &SlurmJob| match job.status(None) {
        RunStatus::Preparing { why } => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        why(&waits),
        "Resources; expected to begin at 2026-11-27T03:12:53Z"
    );
    waits.started_s = None;
    assert_eq!(why(&waits), "Resources");
    waits.reason = "None".to_owned();
    assert_eq!(why(&waits), "in the site's queue");
    let told = Some(Stop::new(StopHow::Cancel, 0));
    assert_eq!(waits.status(told), RunStatus::Stopping { since: None });
    let runs = job(SlurmState::Running, (0, 0));
    assert_eq!(runs.status(None), RunStatus::Running { since: micros(110) });
    let since = Some(micros(110));
    assert_eq!(runs.status(told), RunStatus::Stopping { since });
}
