//! Whoever is killed: nothing is run twice, nothing is lost, nothing is left.

use super::{Local, options};
use crate::conformance::{
    Fixture, output, run, run_id, script, until, until_ended, until_file, until_running,
};
use madang_executor::jobs::local::LocalExecutor;
use madang_executor::jobs::{JobExecutor, JobsError, RunStatus, SecretText, StopHow};
use madang_types::{Micros, RunOutcome};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where a test that is started by a test finds its place.
const PLACE: &str = "MADANG_TEST_PLACE";

/// A Madang of its own process, that begins the run and stays.
struct Madang(Child);

impl Madang {
    fn start(test: &str, place: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([test, "--exact", "--nocapture"]);
        command
            .env(PLACE, place)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// `kill -9`.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn killed_place() -> Option<PathBuf> {
    std::env::var_os(PLACE).map(PathBuf::from)
}

const COUNTS: &str = "echo here >> $SITE/began; while [ ! -e $SITE/go ]; do sleep 0.05; done";

/// In the other process: begins the run, and is killed while it does or after.
async fn begin_and_stay(place: PathBuf) {
    let executor = LocalExecutor::open(options(&place)).unwrap();
    // It is killed: what it makes goes with the place.
    let own = tempfile::tempdir_in(&place).unwrap();
    let own_options = options(own.path());
    let mut spec = script(&Local::with(own, own_options), COUNTS);
    spec.env
        .insert("SITE".to_owned(), place.join("site").display().to_string());
    executor.start(spec).await.unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_outlives_a_madang_that_is_killed() {
    if let Some(place) = killed_place() {
        return begin_and_stay(place).await;
    }
    let mut site = Local::new().await;
    let place = site.site().parent().unwrap().to_owned();
    let mut madang = Madang::start(
        "local::crash::a_run_outlives_a_madang_that_is_killed",
        &place,
    );
    until_file(site.site().join("began")).await;
    madang.kill();
    site.restart().await;
    until_running(&site, run_id(1042)).await;
    fs::write(site.site().join("go"), "").unwrap();
    let end = until_ended(&site, run_id(1042)).await;
    assert_eq!(end.outcome, RunOutcome::Completed);
}

/// What a run does goes on where no Madang is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_needs_no_madang() {
    if let Some(place) = killed_place() {
        return begin_and_stay(place).await;
    }
    let site = Local::new().await;
    let place = site.site().parent().unwrap().to_owned();
    let mut madang = Madang::start("local::crash::a_runner_needs_no_madang", &place);
    until_file(site.site().join("began")).await;
    madang.kill();
    // Nobody looks; who comes later reads what it wrote.
    fs::write(site.site().join("go"), "").unwrap();
    let end = site.options.folder.join("1042-1/end.json");
    until("its end", || end.exists().then_some(())).await;
    let executor = LocalExecutor::open(site.options.clone()).unwrap();
    let status = executor.look(run_id(1042)).await.unwrap();
    let done =
        matches!(&status, Some(RunStatus::Ended(end)) if end.outcome == RunOutcome::Completed);
    assert!(done, "{status:?}");
}

/// Whenever it dies between the call and its end, who comes after asks again, and the run is begun once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_run_twice_whenever_madang_is_killed() {
    if let Some(place) = killed_place() {
        return begin_and_stay(place).await;
    }
    let seed: u64 = rand_seed();
    println!("seed {seed}");
    for round in 0..12 {
        let mut site = Local::new().await;
        let place = site.site().parent().unwrap().to_owned();
        let test = "local::crash::nothing_is_run_twice_whenever_madang_is_killed";
        let mut madang = Madang::start(test, &place);
        // The folder of its runs is there just before it begins.
        let runs = site.options.folder.join("1042-1");
        until("its run's folder", || runs.exists().then_some(())).await;
        let after = (seed.rotate_left(round * 5) % 24) * 1_000;
        tokio::time::sleep(std::time::Duration::from_micros(after)).await;
        madang.kill();
        site.restart().await;
        let spec = script(&site, COUNTS);
        site.executor().start(spec.clone()).await.unwrap();
        until_file(site.site().join("began")).await;
        fs::write(site.site().join("go"), "").unwrap();
        let end = until_ended(&site, spec.run).await;
        assert_eq!(
            end.outcome,
            RunOutcome::Completed,
            "round {round}, after {after} us"
        );
        let began = fs::read_to_string(site.site().join("began")).unwrap();
        assert_eq!(began, "here\n", "round {round}, after {after} us");
    }
}

fn rand_seed() -> u64 {
    let mut bytes = [0; 8];
    fs::File::open("/dev/urandom")
        .unwrap()
        .read_exact(&mut bytes)
        .unwrap();
    u64::from_ne_bytes(bytes)
}

/// A value that stands in one of a run's files.
fn fact(site: &Local, file: &str, pointer: &str) -> u64 {
    let text = fs::read(site.options.folder.join("1042-1").join(file)).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
    json.pointer(pointer).unwrap().as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_where_the_runner_is_killed() {
    for madang_lives in [true, false] {
        let mut site = Local::new().await;
        let text = "(setsid sh -c 'echo $$ > $SITE/a; exec sleep 1000' &)
            echo $$ > $SITE/up; while :; do sleep 0.1; done";
        let spec = script(&site, text);
        site.executor().start(spec.clone()).await.unwrap();
        until_running(&site, spec.run).await;
        let pids = [
            until_file(site.site().join("up")).await,
            until_file(site.site().join("a")).await,
        ];
        let runner = fact(&site, "claim.json", "/runner/pid").to_string();
        let kill = || {
            Command::new("kill")
                .args(["-KILL", &runner])
                .status()
                .unwrap()
        };
        if madang_lives {
            assert!(kill().success());
        } else {
            site.restart().await;
            assert!(kill().success());
            site.restart().await;
        }
        let end = until_ended(&site, spec.run).await;
        let lost = matches!(&end.outcome, RunOutcome::Lost { why } if why.contains("was killed"));
        assert!(lost && end.started_at.is_some(), "{end:?}");
        for pid in pids {
            assert!(!crate::conformance::end::lives(pid.trim()), "{pid}");
        }
    }
}

/// Its number may be another's by now, and after a start of the machine it surely is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_by_its_number_is_no_runner() {
    let mut site = Local::new().await;
    let own = std::process::id();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    for (job, boot, word) in [
        (1, boot.trim(), "was killed"),
        (2, "another", "was restarted"),
    ] {
        let folder = site.options.folder.join(format!("{job}-1"));
        fs::create_dir_all(&folder).unwrap();
        let claim = format!(
            r#"{{"runner":{{"pid":{own},"start_ticks":1}},"boot":"{boot}","mark":"{job}-none","container":null,"cgroup":null}}"#
        );
        fs::write(folder.join("claim.json"), claim).unwrap();
        let state = format!(
            r#"{{"preparing":"","since":77,"program":{{"pid":{own},"start_ticks":1}},"stopping":false}}"#
        );
        fs::write(folder.join("state.json"), state).unwrap();
        site.restart().await;
        let end = until_ended(&site, run_id(job)).await;
        let lost = matches!(&end.outcome, RunOutcome::Lost { why } if why.contains(word));
        assert!(lost, "{end:?}");
        assert_eq!(end.started_at, Some(Micros(77)));
    }
}

/// A folder that nobody has claimed is of a run that never was; a damaged one is in nobody's way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_begun_is_dropped_and_what_is_damaged_is_told() {
    let mut site = Local::new().await;
    let folder = |run: &str| site.options.folder.join(run);
    fs::create_dir_all(folder("1-1/work")).unwrap();
    fs::create_dir_all(folder(".gone-2-1/work")).unwrap();
    fs::create_dir_all(folder("3-1")).unwrap();
    fs::write(folder("3-1").join("end.json"), "{").unwrap();
    let (dropped, gone) = (folder("1-1"), folder(".gone-2-1"));
    site.restart().await;
    assert!(!dropped.exists() && !gone.exists());
    let end = run(&site, script(&site, "exit 0")).await;
    let known = site.executor().runs().await.unwrap();
    assert_eq!(known, [(run_id(1042), RunStatus::Ended(end))]);
    let told = site
        .executor()
        .look(run_id(3))
        .await
        .unwrap_err()
        .to_string();
    assert!(told.contains("3-1/end.json is damaged"), "{told}");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push(path);
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_in_no_file_and_no_command_line() {
    let site = Local::new().await;
    let mut spec = script(
        &site,
        "[ ${#TOKEN} = 11 ] && echo up > $SITE/up; while [ ! -e $SITE/go ]; do sleep 0.1; done",
    );
    spec.secrets
        .insert("TOKEN".to_owned(), SecretText("sesame-7f3a".to_owned()));
    assert!(!format!("{spec:?}").contains("sesame"));
    site.executor().start(spec.clone()).await.unwrap();
    until_file(site.site().join("up")).await;
    until_running(&site, spec.run).await;
    let has = |path: &Path| {
        let bytes = fs::read(path).unwrap();
        bytes.windows(6).any(|word| word == b"sesame")
    };
    for path in files(site.site().parent().unwrap()) {
        assert!(!has(&path), "{}", path.display());
    }
    let runner = fact(&site, "claim.json", "/runner/pid");
    let leader = fact(&site, "state.json", "/program/pid");
    for path in [
        format!("/proc/{runner}/cmdline"),
        format!("/proc/{runner}/environ"),
        format!("/proc/{leader}/cmdline"),
    ] {
        assert!(!has(Path::new(&path)), "{path}");
    }
    // Who looks after it has its variables and its folder.
    let words = site.executor().shell(spec.run).await.unwrap();
    let mut shell = Command::new(&words[0]);
    shell
        .args(&words[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut shell = shell.spawn().unwrap();
    use std::io::Write;
    writeln!(shell.stdin.take().unwrap(), "echo $TOKEN; pwd").unwrap();
    let said = String::from_utf8(shell.wait_with_output().unwrap().stdout).unwrap();
    let work = site.options.folder.join("1042-1/work");
    assert_eq!(said, format!("sesame-7f3a\n{}\n", work.display()));
    fs::write(site.site().join("go"), "").unwrap();
    assert_eq!(
        until_ended(&site, spec.run).await.outcome,
        RunOutcome::Completed
    );
}

/// A disk of a quarter of a MiB.
struct Disk(PathBuf);

impl Disk {
    fn mount(path: &Path) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
            .arg(path);
        let mounted = mount.stderr(Stdio::null()).status();
        mounted
            .is_ok_and(|status| status.success())
            .then(|| Self(path.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount")
            .arg("--lazy")
            .arg(&self.0)
            .status()
            .ok();
    }
}

/// A site whose runs are on such a disk; `None`, which is told, where none can be mounted.
fn on_small_disk() -> Option<(Disk, Local)> {
    let place = tempfile::tempdir().unwrap();
    let options = options(place.path());
    let disk = Disk::mount(&options.folder);
    if disk.is_none() {
        println!("skipped: no disk can be mounted here");
    }
    Some((disk?, Local::with(place, options)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_no_run() {
    let Some((_disk, site)) = on_small_disk() else {
        return;
    };
    let text = "head -c 1000000 /dev/zero | tr '\\0' x; echo; echo done > $SITE/done; exit 4";
    let mut spec = script(&site, text);
    spec.log_bytes_max = 10_000_000;
    let end = run(&site, spec.clone()).await;
    assert_eq!(end.outcome, RunOutcome::Failed { exit_code: 4 });
    assert!(site.site().join("done").exists());
    // There was room for its end.
    assert!(output(&site, spec.run).await.len() < 256 * 1024);
    site.executor().forget(spec.run).await.unwrap();
    // Who fills it by its output can be withdrawn.
    let text = "trap '' TERM; head -c 1000000 /dev/zero | tr '\\0' x; echo full > $SITE/full; while :; do sleep 0.1; done";
    let mut spec = script(&site, text);
    spec.log_bytes_max = 10_000_000;
    site.executor().start(spec.clone()).await.unwrap();
    until_file(site.site().join("full")).await;
    site.executor()
        .stop(spec.run, StopHow::Cancel)
        .await
        .unwrap();
    site.executor()
        .stop(spec.run, StopHow::Cancel)
        .await
        .unwrap();
    let end = until_ended(&site, spec.run).await;
    assert_eq!(end.outcome, RunOutcome::Cancelled);
    site.executor().forget(spec.run).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_fills_the_disk_by_its_files_is_ended_and_those_go_and_others_go_on() {
    let Some((_disk, site)) = on_small_disk() else {
        return;
    };
    let waits = "echo began > $SITE/small; while ! [ -e $SITE/go ]; do sleep 0.1; done";
    let mut small = script(&site, waits);
    small.run = run_id(1);
    site.executor().start(small.clone()).await.unwrap();
    until_file(site.site().join("small")).await;
    let fills = "trap '' TERM INT; head -c 1000000 /dev/zero > all; while :; do sleep 0.1; done";
    let end = run(&site, script(&site, fills)).await;
    let RunOutcome::NotKept { why } = &end.outcome else {
        panic!("{end:?}");
    };
    assert!(why.contains("stay free for others"), "{why}");
    assert!(end.started_at.is_some());
    let work = site.options.folder.join("1042-1/work");
    assert_eq!(fs::read_dir(work).unwrap().count(), 0);
    fs::write(site.site().join("go"), "").unwrap();
    let end = until_ended(&site, small.run).await;
    assert_eq!(end.outcome, RunOutcome::Completed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_no_run_begins_and_why_is_told() {
    let Some((_disk, site)) = on_small_disk() else {
        return;
    };
    let filler = site.options.folder.join("filler");
    fs::write(&filler, vec![0; 1 << 20]).unwrap_err();
    let spec = script(&site, "exit 0");
    match site.executor().start(spec.clone()).await {
        Err(JobsError::Unavailable(why)) => {
            assert!(why.contains("No space left"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(site.executor().look(spec.run).await, Ok(None));
    // Once there is room, it begins.
    fs::remove_file(&filler).unwrap();
    let end = run(&site, spec).await;
    assert_eq!(end.outcome, RunOutcome::Completed);
}
