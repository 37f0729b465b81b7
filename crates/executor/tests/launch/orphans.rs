//! What happens to engines when Madang is killed: the guard ends them, and the next start finds the rest.

use crate::common::{Scene, lives, pid_in, until, until_gone};
use madang_executor::reap_leftovers;
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const OWNER_FOLDER: &str = "ENGINE_OWNER_FOLDER";

/// Not a test: the process that the tests below kill. It owns an engine and waits for its own end.
#[tokio::test]
#[ignore = "run by the other tests as a process of its own"]
async fn owner_process() {
    let Some(folder) = std::env::var_os(OWNER_FOLDER) else {
        return;
    };
    let folder = Path::new(&folder);
    let child = folder.join("child");
    let mut scene = Scene::new(folder, &["stubborn", child.to_str().unwrap()]);
    // Longer than any test: what ends the engine early is the bound for orphans, or a signal.
    scene.stop_ms_max = 3_600_000;
    if folder.join("soft").exists() {
        scene.stop_ms_max = 50;
    }
    let handle = scene.start();
    crate::common::until_status(&handle, "a pid", |s| s.pid.is_some()).await;
    std::future::pending::<()>().await;
}

fn start_owner(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "orphans::owner_process",
            "--ignored",
            "--nocapture",
        ])
        .env(OWNER_FOLDER, folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn kill(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

/// Engine and guard as the pid file names them.
async fn pids(folder: &Path) -> (u32, u32) {
    let path = folder.join("run/test-1.pid");
    let file: serde_json::Value = until("the pid file", || {
        serde_json::from_str(&std::fs::read_to_string(&path).ok()?).ok()
    })
    .await;
    let pid = |who: &str| u32::try_from(file[who]["pid"].as_u64().unwrap()).unwrap();
    (pid("engine"), pid("guard"))
}

#[tokio::test]
async fn a_killed_madang_takes_its_engines_along() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("soft"), "").unwrap();
    let mut owner = start_owner(folder.path());
    let (engine, guard) = pids(folder.path()).await;
    let child = pid_in(&folder.path().join("child")).await;
    assert!(lives(engine) && lives(guard) && lives(child));
    owner.kill().unwrap();
    owner.wait().unwrap();
    for pid in [engine, child, guard] {
        until_gone(pid).await;
    }
    assert!(!folder.path().join("run/test-1.pid").exists());
    assert!(
        reap_leftovers(&folder.path().join("run"))
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn the_next_start_ends_what_outlived_madang_and_guard() {
    let folder = tempfile::tempdir().unwrap();
    let mut owner = start_owner(folder.path());
    let (engine, guard) = pids(folder.path()).await;
    let child = pid_in(&folder.path().join("child")).await;
    // Stopped first, so that the owner cannot see the guard's end and clear up.
    let owner_pid = Pid::from_raw(i32::try_from(owner.id()).unwrap()).unwrap();
    kill_process(owner_pid, Signal::STOP).unwrap();
    kill(guard);
    owner.kill().unwrap();
    owner.wait().unwrap();
    until_gone(engine).await;
    assert!(
        lives(child),
        "the kernel ends the engine's first process only"
    );
    let reaped = reap_leftovers(&folder.path().join("run")).await.unwrap();
    assert_eq!(reaped.len(), 1);
    assert_eq!(reaped[0].replica, "test-1");
    assert_eq!((reaped[0].killed_count, reaped[0].gone), (1, true));
    assert!(!lives(child));
    assert!(!folder.path().join("run/test-1.pid").exists());
}

#[tokio::test]
async fn a_leftover_is_killed_only_where_its_start_time_matches() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = Command::new("sleep")
        .arg("3600")
        .process_group(0)
        .spawn()
        .unwrap();
    let pid = engine.id();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit_once(") ").unwrap().1;
    let start_ticks: u64 = fields.split(' ').nth(19).unwrap().parse().unwrap();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let file = |start_ticks: u64| {
        serde_json::json!({
            "engine": {"pid": pid, "start_ticks": start_ticks},
            "guard": {"pid": pid, "start_ticks": 0},
            "boot": boot.trim(),
            "mark": "no-process-has-this-mark",
        })
    };
    let path = folder.path().join("a.pid");
    std::fs::write(&path, file(start_ticks + 1).to_string()).unwrap();
    let reaped = reap_leftovers(folder.path()).await.unwrap();
    assert_eq!(reaped[0].killed_count, 0);
    assert!(lives(pid));
    std::fs::write(&path, file(start_ticks).to_string()).unwrap();
    let reaped = reap_leftovers(folder.path()).await.unwrap();
    assert_eq!(reaped[0].killed_count, 1);
    assert!(!lives(pid));
    engine.wait().unwrap();
}
