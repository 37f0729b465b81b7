//! What jobs may read and write of this machine by their inputs and outputs: what the operator opened.

use super::{Local, options};
use crate::conformance::{Fixture, output, run, run_id, script};
use madang_types::{JobStage, RunOutcome};
use rustix::process::geteuid;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

fn stage(from: &str, to: &str) -> JobStage {
    JobStage {
        from: from.to_owned(),
        to: to.to_owned(),
        sha256: None,
        bytes: None,
    }
}

fn why(outcome: &RunOutcome) -> &str {
    match outcome {
        RunOutcome::NotStarted { why } | RunOutcome::NotKept { why } => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_else_is_read() {
    let place = tempfile::tempdir().unwrap();
    let mut options = options(place.path());
    options.stages.file_bytes_max = 4;
    let site = Local::with(place, options);
    let root = site.site().display().to_string();
    let outside = site.site().parent().unwrap().join("outside");
    fs::write(&outside, "key").unwrap();
    symlink(&outside, site.site().join("absolute")).unwrap();
    symlink("../outside", site.site().join("up")).unwrap();
    symlink("/", site.site().join("all")).unwrap();
    fs::create_dir(site.site().join("folder")).unwrap();
    fs::write(site.site().join("long"), "12345").unwrap();
    let checks = [
        (outside.display().to_string(), "no folder that is open"),
        ("/etc/passwd".to_owned(), "no folder that is open"),
        (format!("{root}/absolute"), "leads out"),
        (format!("{root}/up"), "leads out"),
        (format!("{root}/all/etc/passwd"), "leads out"),
        (format!("{root}/../outside"), "leads out"),
        (format!("{root}/folder"), "no regular file"),
        (format!("file://{root}/none"), "No such file"),
        (format!("{root}/long"), "more than 4 bytes"),
        ("ftp://host/file".to_owned(), "no absolute path and no URL"),
        (
            "https://example.com/x".to_owned(),
            "host example.com is not open",
        ),
        ("s3://bucket/key".to_owned(), "no bucket that is open"),
        ("s3://bucket/../key".to_owned(), "no s3://bucket/key"),
    ];
    for (job, (from, word)) in (1..).zip(checks) {
        let mut spec = script(&site, "exit 0");
        spec.run = run_id(job);
        spec.inputs = vec![stage(&from, "in")];
        // What the settings alone tell is known before it is begun.
        let settled = ["no folder", "no absolute", "host", "no bucket", "no s3:"];
        let settled = settled.iter().any(|begin| word.starts_with(begin));
        let never = site.executor().never(&spec);
        assert_eq!(never.is_some(), settled, "{from}: {never:?}");
        let end = run(&site, spec).await;
        let why = why(&end.outcome);
        assert!(why.contains(word) && why.contains(&from), "{from}: {why}");
        assert!(never.is_none_or(|never| never.contains(word)), "{from}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_a_job_made_leads_nowhere() {
    let site = Local::new().await;
    fs::write(site.site().join("in"), "new").unwrap();
    let outside = site.site().parent().unwrap().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("key"), "old").unwrap();
    // Out of its folder: another's file is not given away.
    let mut spec = script(
        &site,
        &format!("ln -s {0} way; ln -s {0}/key key", outside.display()),
    );
    spec.outputs = vec![stage("key", &format!("{}/kept", site.site().display()))];
    let end = run(&site, spec.clone()).await;
    assert!(why(&end.outcome).contains("leads out"), "{end:?}");
    assert!(!site.site().join("kept").exists());
    // Into its folder, which the next run of the task has again: another's file is not written.
    spec.run.number = 2;
    spec.outputs = Vec::new();
    spec.inputs = vec![stage(&format!("{}/in", site.site().display()), "way/key")];
    let end = run(&site, spec).await;
    assert!(why(&end.outcome).contains("leads out"), "{end:?}");
    assert_eq!(fs::read_to_string(outside.join("key")).unwrap(), "old");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_may_be_one_tenants_and_may_be_closed_for_writing() {
    let place = tempfile::tempdir().unwrap();
    let mut options = options(place.path());
    let root = &mut options.stages.roots[0];
    root.path.push_str("/{tenant}");
    root.writable = false;
    let site = Local::with(place, options);
    for tenant in ["hanbit", "other"] {
        fs::create_dir(site.site().join(tenant)).unwrap();
        fs::write(site.site().join(tenant).join("in"), tenant).unwrap();
    }
    let path = |name: &str| Path::join(site.site(), name).display().to_string();
    let mut spec = script(&site, "cat in");
    spec.inputs = vec![stage(&path("hanbit/in"), "in")];
    spec.outputs = vec![stage("in", &path("hanbit/out"))];
    let end = run(&site, spec.clone()).await;
    assert!(output(&site, spec.run).await.starts_with("hanbit"));
    assert!(why(&end.outcome).contains("cannot be put"), "{end:?}");
    spec.run = run_id(7);
    spec.inputs = vec![stage(&path("other/in"), "in")];
    let end = run(&site, spec).await;
    assert!(why(&end.outcome).contains("cannot be read"), "{end:?}");
}

/// How a program is told that something is not for it; where Madang is root, other processes are not even seen.
const DENIED: [&str; 5] = [
    "ermission denied",
    "not permitted",
    "o such file",
    "nonexistent",
    "ead-only",
];

/// As CUDA must, also where Madang is root: there what else is root's under `/proc` stays as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_names_its_threads_and_sets_nothing_of_the_kernel() {
    let site = Local::new().await;
    let names = "set -e; printf outer > /proc/self/task/$$/comm; sh -c 'printf inner > /proc/$$/comm; cat /proc/$$/comm'; cat /proc/$$/comm";
    let spec = script(&site, names);
    let end = run(&site, spec.clone()).await;
    let said = output(&site, spec.run).await;
    // Root without the right to make a mount namespace is what this cannot be done for.
    let unshare = Command::new("unshare").args(["-m", "true"]).status();
    let may = !geteuid().is_root() || unshare.is_ok_and(|status| status.success());
    assert_eq!(end.outcome == RunOutcome::Completed, may, "{said}");
    assert!(!may || said.contains("inner\nouter\n"), "{said}");

    let own = std::process::id();
    let mut kept = ["kernel/printk", "kernel/core_pattern", "vm/swappiness"]
        .map(|path| format!("/proc/sys/{path}"))
        .to_vec();
    if geteuid().is_root() {
        kept.extend(["oom_score_adj", "comm"].map(|file| format!("/proc/{own}/{file}")));
    }
    for (job, path) in (2..).zip(kept) {
        let before = fs::read_to_string(&path).unwrap();
        // What stands there already: a fault of this test changes nothing of the machine.
        let mut spec = script(&site, &format!("echo '{}' > {path}", before.trim()));
        spec.run = run_id(job);
        let end = run(&site, spec.clone()).await;
        let said = output(&site, spec.run).await;
        assert_ne!(end.outcome, RunOutcome::Completed, "{path}: {said}");
        assert!(
            DENIED.iter().any(|word| said.contains(word)),
            "{path}: {said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_reaches_what_is_open_and_no_more() {
    let site = Local::new().await;
    let place = site.site().parent().unwrap();
    fs::write(place.join("key"), "sesame").unwrap();
    // What Madang's own user may do, it may not.
    let own = std::process::id();
    for (job, text) in (1..).zip([
        format!("cat {}/key", place.display()),
        format!("ls {}", place.join("runs").display()),
        "cat ../claim.json".to_owned(),
        "cat /etc/shadow".to_owned(),
        format!("cat /proc/{own}/environ"),
        format!("kill -0 {own}"),
        "echo x > /etc/made".to_owned(),
        "echo x > ../script".to_owned(),
        format!("echo x > {}/made", place.display()),
    ]) {
        let mut spec = script(&site, &text);
        spec.run = run_id(job);
        let end = run(&site, spec.clone()).await;
        assert!(
            matches!(end.outcome, RunOutcome::Failed { .. }),
            "{text}: {end:?}"
        );
        let said = output(&site, spec.run).await;
        assert!(
            DENIED.iter().any(|word| said.contains(word)),
            "{text}: {said}"
        );
    }
    let text = "set -e; echo x > here; echo x > $TMPDIR/y; echo x > $SITE/z; cat /etc/passwd > /dev/null; kill -0 $$";
    let mut spec = script(&site, text);
    spec.run = run_id(100);
    let end = run(&site, spec.clone()).await;
    assert_eq!(
        end.outcome,
        RunOutcome::Completed,
        "{}",
        output(&site, spec.run).await
    );
}
