//! Runs are stopped.

use super::*;
use madang_executor::jobs::StopHow;
use madang_types::{JobCheckpoint, RunOutcome, StopSignal};

/// Writes a checkpoint at a signal, and says when it is ready to.
const SAVES: &str =
    "trap 'echo saved > $SITE/saved; exit 9' USR1; echo up > $SITE/up; while :; do sleep 0.1; done";
const IGNORES: &str = "trap '' USR1 TERM INT HUP; echo up > $SITE/up; while :; do sleep 0.1; done";

fn usr1(grace_ms: u64) -> JobCheckpoint {
    JobCheckpoint {
        signal: StopSignal::Usr1,
        grace_ms,
    }
}

/// Starts it and waits until it says that it is up.
async fn up<F: Fixture>(site: &F, spec: &RunSpec) {
    site.executor().start(spec.clone()).await.unwrap();
    until_file(site.site().join("up")).await;
}

pub async fn the_time_limit_ends_it<F: Fixture>(site: F) {
    let mut spec = script(&site, IGNORES);
    spec.time_limit_ms = 1_000;
    let end = run(&site, spec).await;
    assert_eq!(end.outcome, RunOutcome::TimedOut);
}

pub async fn it_is_told_before_its_time_limit<F: Fixture>(site: F) {
    let mut spec = script(&site, SAVES);
    // Told five seconds after its start, when its trap stands.
    spec.time_limit_ms = 605_000;
    spec.checkpoint = Some(usr1(600_000));
    let end = run(&site, spec).await;
    assert_eq!(end.outcome, RunOutcome::TimedOut);
    assert_eq!(until_file(site.site().join("saved")).await, "saved\n");
}

pub async fn a_checkpoint_is_written<F: Fixture>(site: F) {
    let spec = script(&site, SAVES);
    up(&site, &spec).await;
    let how = StopHow::Checkpoint(usr1(600_000));
    site.executor().stop(spec.run, how).await.unwrap();
    let end = until_ended(&site, spec.run).await;
    assert_eq!(end.outcome, RunOutcome::Stopped);
    assert_eq!(until_file(site.site().join("saved")).await, "saved\n");
}

pub async fn a_program_that_ends_well_when_told_is_done<F: Fixture>(site: F) {
    let spec = script(&site, &SAVES.replace("exit 9", "exit 0"));
    up(&site, &spec).await;
    let how = StopHow::Checkpoint(usr1(600_000));
    site.executor().stop(spec.run, how).await.unwrap();
    let end = until_ended(&site, spec.run).await;
    assert_eq!(end.outcome, RunOutcome::Completed);
}

pub async fn who_ignores_a_checkpoint_is_killed<F: Fixture>(site: F) {
    let spec = script(&site, IGNORES);
    up(&site, &spec).await;
    let how = StopHow::Checkpoint(usr1(300));
    site.executor().stop(spec.run, how).await.unwrap();
    let end = until_ended(&site, spec.run).await;
    assert_eq!(end.outcome, RunOutcome::Stopped);
}

pub async fn cancel_is_more_urgent<F: Fixture>(site: F) {
    let spec = script(&site, IGNORES);
    up(&site, &spec).await;
    let how = StopHow::Checkpoint(usr1(3_600_000));
    site.executor().stop(spec.run, how).await.unwrap();
    until_status(&site, spec.run, |status| {
        matches!(status, RunStatus::Stopping { .. })
    })
    .await;
    site.executor()
        .stop(spec.run, StopHow::Cancel)
        .await
        .unwrap();
    // The less urgent changes nothing any more.
    site.executor().stop(spec.run, how).await.unwrap();
    let end = until_ended(&site, spec.run).await;
    assert_eq!(end.outcome, RunOutcome::Cancelled);
    site.executor().stop(spec.run, how).await.unwrap();
    assert_eq!(until_ended(&site, spec.run).await, end);
}

pub async fn nothing_is_left_of_who_lingers<F: Fixture>(site: F) {
    let text = "trap '' TERM HUP INT
        (setsid sh -c 'trap \"\" TERM; echo $$ > $SITE/a; (setsid sh -c \"echo \\$\\$ > $SITE/b; exec sleep 1000\" &) ; exec sleep 1000' &)
        echo $$ > $SITE/up; while :; do sleep 0.1; done";
    let spec = script(&site, text);
    up(&site, &spec).await;
    let mut pids = Vec::new();
    for name in ["up", "a", "b"] {
        pids.push(until_file(site.site().join(name)).await);
    }
    site.executor()
        .stop(spec.run, StopHow::Cancel)
        .await
        .unwrap();
    let end = until_ended(&site, spec.run).await;
    assert_eq!(end.outcome, RunOutcome::Cancelled);
    for pid in pids {
        assert!(!site.lives(pid.trim()), "{pid}");
    }
}

pub async fn a_stop_survives_a_restart<F: Fixture>(mut site: F) {
    let spec = script(&site, SAVES);
    up(&site, &spec).await;
    let how = StopHow::Checkpoint(usr1(600_000));
    site.executor().stop(spec.run, how).await.unwrap();
    site.restart().await;
    let end = until_ended(&site, spec.run).await;
    assert_eq!(end.outcome, RunOutcome::Stopped);
}

/// Says all the time that it runs, and is told apart from one that is only slow.
const TICKS: &str = "trap 'echo saved > $SITE/saved; exit 9' USR1
    (while :; do echo >> $SITE/ticks; sleep 0.02; done) &
    echo up > $SITE/up; while :; do sleep 0.1; done";
/// It stands still where nothing was said in so many looks, one after the other.
const QUIET_LOOKS: u32 = 30;

pub fn ticks<F: Fixture>(site: &F) -> u64 {
    let ticks = std::fs::metadata(site.site().join("ticks"));
    ticks.map_or(0, |file| file.len())
}

pub async fn until_still<F: Fixture>(site: &F) {
    let (mut last, mut quiet) = (0, 0);
    until("it stands still", || {
        let now = ticks(site);
        quiet = if now == last { quiet + 1 } else { 0 };
        last = now;
        (quiet >= QUIET_LOOKS).then_some(())
    })
    .await;
}

pub async fn until_it_goes<F: Fixture>(site: &F) {
    let before = ticks(site);
    until("it goes on", || (ticks(site) > before).then_some(())).await;
}

pub async fn it_stands_still_and_goes_on<F: Fixture>(mut site: F) {
    let spec = script(&site, TICKS);
    up(&site, &spec).await;
    until_running(&site, spec.run).await;
    // Twice is as once, and what goes on may be told so.
    for still in [false, true, true] {
        site.executor().freeze(spec.run, still).await.unwrap();
    }
    until_still(&site).await;
    let status = site.executor().look(spec.run).await.unwrap();
    assert!(
        matches!(status, Some(RunStatus::Running { .. })),
        "{status:?}"
    );
    site.restart().await;
    site.executor().freeze(spec.run, false).await.unwrap();
    until_it_goes(&site).await;
    site.executor()
        .stop(spec.run, StopHow::Cancel)
        .await
        .unwrap();
    let end = until_ended(&site, spec.run).await;
    assert_eq!(end.outcome, RunOutcome::Cancelled);
    // Of one that is over, and one that nobody knows.
    for run in [spec.run, run_id(7)] {
        site.executor().freeze(run, true).await.unwrap();
    }
}

pub async fn who_stands_still_goes_on_where_it_is_stopped<F: Fixture>(site: F) {
    let spec = script(&site, TICKS);
    up(&site, &spec).await;
    until_running(&site, spec.run).await;
    site.executor().freeze(spec.run, true).await.unwrap();
    until_still(&site).await;
    let how = StopHow::Checkpoint(usr1(600_000));
    site.executor().stop(spec.run, how).await.unwrap();
    let end = until_ended(&site, spec.run).await;
    assert_eq!(end.outcome, RunOutcome::Stopped);
    assert_eq!(until_file(site.site().join("saved")).await, "saved\n");
}
