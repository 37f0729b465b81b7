//! Supervision of real processes.

use crate::common::{Scene, lives, pid_in, replica, until, until_gone, until_state, until_status};
use madang_executor::logs::{LINE_BYTES_MAX, tail};
use madang_executor::{BackoffOptions, Exit, State, Status};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// The guard: the parent of the engine.
fn parent(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit_once(") ").unwrap().1;
    fields.split(' ').nth(1).unwrap().parse().unwrap()
}

/// The states that an engine goes through until it is stopped for good.
async fn states_of(mut status: watch::Receiver<Status>) -> Vec<State> {
    let mut states = vec![status.borrow_and_update().state];
    while states.last() != Some(&State::Stopped) && status.changed().await.is_ok() {
        states.push(status.borrow_and_update().state);
    }
    states.dedup();
    states
}

#[tokio::test]
async fn an_engine_becomes_ready_and_stops_with_nothing_left() {
    for socket in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let mut scene = Scene::new(folder.path(), &["env", "ENGINE_COLOUR"]);
        scene.socket = socket;
        let handle = scene.start();
        let states = tokio::spawn(states_of(handle.watch()));
        let status = until_state(&handle, State::Ready).await;
        let pid = until_status(&handle, "a pid", |s| s.pid.is_some())
            .await
            .pid
            .unwrap();
        assert!(lives(pid));
        assert_eq!((status.starts_count, status.failures_count), (1, 0));
        let guard = parent(pid);
        handle.stop().await;
        assert!(!lives(pid) && !lives(guard));
        let status = handle.status();
        assert_eq!(status.state, State::Stopped);
        assert_eq!(status.last_exit, Some(Exit::Signal(15)));
        assert_eq!((status.address, status.pid), (None, None));
        handle.stop().await;
        let lines = tail(&folder.path().join("logs"), &replica(), 10).unwrap();
        assert!(
            lines.iter().any(|line| line.ends_with(" env 쪽빛")),
            "{lines:?}"
        );
        let left = std::fs::read_dir(folder.path().join("run"))
            .unwrap()
            .count();
        assert_eq!(left, 0, "no pid file and no socket stay");
        let expected = [
            State::Starting,
            State::Ready,
            State::Stopping,
            State::Stopped,
        ];
        assert_eq!(states.await.unwrap(), expected);
    }
}

#[tokio::test]
async fn an_engine_that_dies_at_start_says_why_and_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let handle = Scene::new(folder.path(), &["dies"]).start();
    let status = until_status(&handle, "three failures", |s| s.failures_count >= 3).await;
    assert_eq!(status.last_exit, Some(Exit::Code(3)));
    assert_eq!(
        status.reason.unwrap(),
        "the engine ended at start: exit status 3"
    );
    let expected = ["loading weights", "error: cannot read the weights"];
    assert_eq!(status.last_lines, expected);
    assert!(status.starts_count >= 3);
    handle.stop().await;
    assert_eq!(handle.status().state, State::Stopped);
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(folder.path(), &[]);
    scene.program = "no-such-engine".into();
    let handle = scene.start();
    let status = until_status(&handle, "a failure", |s| s.failures_count > 0).await;
    assert_eq!(status.last_exit, Some(Exit::Code(127)));
    let line = status.last_lines.last().unwrap();
    assert!(
        line.contains("cannot start no-such-engine: No such file"),
        "{line}"
    );
    handle.stop().await;
}

#[tokio::test]
async fn an_engine_that_is_too_slow_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(folder.path(), &["slow"]);
    scene.start_ms_max = 150;
    let handle = scene.start();
    let status = until_status(&handle, "a failure", |s| s.failures_count > 0).await;
    let reason = status.reason.unwrap();
    assert!(reason.starts_with("not ready within 150 ms: "), "{reason}");
    handle.stop().await;
}

#[tokio::test]
async fn stop_ends_children_that_ignore_sigterm_or_left_the_group() {
    for mode in ["stubborn", "leaver"] {
        let folder = tempfile::tempdir().unwrap();
        let pids = folder.path().join("child");
        let handle = Scene::new(folder.path(), &[mode, pids.to_str().unwrap()]).start();
        let child = pid_in(&pids).await;
        until_state(&handle, State::Ready).await;
        assert!(lives(child));
        handle.stop().await;
        assert!(!lives(child), "{mode}");
        assert_eq!(handle.status().last_exit, Some(Exit::Signal(9)));
    }
}

#[tokio::test]
async fn an_engine_that_hangs_is_restarted_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let handle = Scene::new(folder.path(), &["serve"]).start();
    let fits = |s: &madang_executor::Status| s.state == State::Ready && s.pid.is_some();
    let first = until_status(&handle, "ready", fits).await.pid.unwrap();
    signal(first, Signal::STOP);
    handle.restart("no answer to 3 probes");
    let fits = |s: &madang_executor::Status| fits(s) && s.pid != Some(first);
    let status = until_status(&handle, "a second start", fits).await;
    assert!(!lives(first));
    assert_eq!(status.starts_count, 2);
    handle.stop().await;
}

#[tokio::test]
async fn an_engine_that_is_killed_is_found_dead_and_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("child");
    let mode = ["stubborn", pids.to_str().unwrap()];
    let handle = Scene::new(folder.path(), &mode).start();
    let ready = |s: &madang_executor::Status| s.state == State::Ready && s.pid.is_some();
    let mut engine = until_status(&handle, "ready", ready).await.pid.unwrap();
    // First the engine alone is killed, then its guard: in both cases the child must go too.
    for exit in [Exit::Signal(9), Exit::GuardLost] {
        let child = pid_in(&pids).await;
        std::fs::remove_file(&pids).unwrap();
        match exit {
            Exit::GuardLost => signal(parent(engine), Signal::KILL),
            Exit::Code(_) | Exit::Signal(_) => signal(engine, Signal::KILL),
        }
        let again = |s: &madang_executor::Status| ready(s) && s.pid != Some(engine);
        let status = until_status(&handle, "another start", again).await;
        assert_eq!(status.last_exit, Some(exit));
        assert!(!lives(child) && !lives(engine), "{exit}");
        engine = status.pid.unwrap();
    }
    handle.stop().await;
}

#[tokio::test]
async fn a_wait_ends_at_once_when_a_restart_or_a_stop_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(folder.path(), &["dies"]);
    scene.backoff = BackoffOptions {
        first_ms: 3_600_000,
        wait_ms_max: 3_600_000,
        reset_after_ms: 1,
    };
    let handle = scene.start();
    let status = until_state(&handle, State::Backoff).await;
    assert_eq!(status.retry_in_ms, Some(3_600_000));
    handle.restart("asked for");
    let twice = |s: &madang_executor::Status| s.starts_count == 2 && s.state == State::Backoff;
    until_status(&handle, "a second start", twice).await;
    handle.stop().await;
    assert_eq!(handle.status().state, State::Stopped);
}

#[tokio::test]
async fn the_engine_ends_when_its_handle_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let handle = Scene::new(folder.path(), &["serve"]).start();
    let pid = until_status(&handle, "a pid", |s| s.pid.is_some())
        .await
        .pid
        .unwrap();
    drop(handle);
    until_gone(pid).await;
}

#[tokio::test]
async fn ten_megabytes_of_output_stay_within_the_bound() {
    let folder = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(folder.path(), &["chatty"]);
    scene.log_bytes_max = 1 << 20;
    let handle = scene.start();
    until_state(&handle, State::Ready).await;
    handle.stop().await;
    let logs = folder.path().join("logs");
    let size: u64 = std::fs::read_dir(&logs)
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    assert!(size <= 1 << 20, "{size}");
    assert!(size >= 1 << 19, "{size}");
    let lines = tail(&logs, &replica(), 4).unwrap();
    assert!(lines[0].ends_with(" \u{fffd}\u{fffd}끝"), "{}", lines[0]);
    let ys: Vec<usize> = lines[1..].iter().map(|l| l.matches('y').count()).collect();
    assert_eq!(
        ys,
        [LINE_BYTES_MAX, LINE_BYTES_MAX, 40_000 - 2 * LINE_BYTES_MAX]
    );
}

#[tokio::test]
async fn a_spec_that_cannot_be_made_is_a_failure_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(&folder.path().join("x".repeat(100)), &["serve"]);
    scene.socket = true;
    let handle = scene.start();
    let status = until_status(&handle, "a failure", |s| s.failures_count > 0).await;
    let reason = status.reason.unwrap();
    assert!(reason.contains("longer than 107 bytes"), "{reason}");
    handle.stop().await;
    until("the task's end", || handle.is_finished().then_some(())).await;
}
