//! Files of jobs in a store.

use super::{Local, options};
use crate::conformance::{output, run, run_id, script};
use crate::object_store::{HALF, ObjectStore};
use madang_executor::jobs::RunProgram;
use madang_types::{JobStage, RunEnd, RunOutcome};
use std::fs;
use std::path::Path;

/// A site where tenants' keys of the store are open, with that secret.
fn site_of(store: &ObjectStore, secret: &str) -> Local {
    let place = tempfile::tempdir().unwrap();
    let mut options = options(place.path());
    options.stages.buckets = vec![store.bucket(secret)];
    Local::with(place, options)
}

fn stage(from: &str, to: &str, sha256: Option<&str>) -> JobStage {
    JobStage {
        from: from.to_owned(),
        to: to.to_owned(),
        sha256: sha256.map(str::to_owned),
        bytes: None,
    }
}

/// What a run came to that brings one file and keeps one.
async fn copied(site: &Local, job: u64, from: JobStage, to: &str) -> RunEnd {
    let mut spec = script(site, "cat in in > out; cat out");
    spec.run = run_id(job);
    spec.inputs = vec![from];
    spec.outputs = vec![stage("out", to, None)];
    run(site, spec).await
}

fn why(end: &RunEnd) -> &str {
    match &end.outcome {
        RunOutcome::NotStarted { why } | RunOutcome::NotKept { why } => why,
        other => panic!("{other:?}"),
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_got_and_put_under_a_signature_that_holds() {
    let store = ObjectStore::start().await;
    store.put("hanbit/a b", "half ");
    let site = site_of(&store, "sesame-7f3a");
    let input = |sha256| stage("s3://jobs/hanbit/a b", "in", sha256);
    let end = copied(&site, 1, input(Some(HALF)), "s3://jobs/hanbit/deep/out").await;
    assert_eq!(end.outcome, RunOutcome::Completed);
    assert_eq!(output(&site, run_id(1)).await, "half half ");
    assert_eq!(read(&store.object("hanbit/deep/out")), "half half ");
    let other = HALF.replace('e', "f");
    // Another checksum, an object that is not there, another tenant's.
    let end = copied(&site, 2, input(Some(&other)), "s3://jobs/hanbit/no").await;
    assert!(why(&end).contains("its SHA-256 is"), "{end:?}");
    let missing = stage("s3://jobs/hanbit/missing", "in", None);
    let end = copied(&site, 3, missing, "s3://jobs/hanbit/no").await;
    assert!(why(&end).contains("it is not there (404)"), "{end:?}");
    let end = copied(&site, 4, input(None), "s3://jobs/daon/no").await;
    assert!(why(&end).contains("no bucket that is open"), "{end:?}");
    // The store itself knows who may.
    let wrong = site_of(&store, "sesame-0000");
    let end = copied(&wrong, 5, input(None), "s3://jobs/hanbit/no").await;
    assert!(why(&end).contains("answered 403"), "{end:?}");
    assert!(!why(&end).contains("sesame"), "{end:?}");
    let mut spec = script(&wrong, "echo out > out");
    spec.run = run_id(6);
    spec.outputs = vec![stage("out", "s3://jobs/hanbit/no", None)];
    let end = run(&wrong, spec).await;
    assert!(
        matches!(&end.outcome, RunOutcome::NotKept { why } if why.contains("answered 403")),
        "{end:?}"
    );
    assert!(!store.object("hanbit/no").exists() && !store.object("daon").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_long_goes_in_parts_and_comes_back_whole() {
    let store = ObjectStore::start().await;
    let site = site_of(&store, "sesame-7f3a");
    let mut spec = script(&site, "");
    // Two parts, the second of which is short.
    let text =
        "#!/bin/sh\n(head -c 70000000 /dev/zero | tr '\\0' x; echo end) > long; sha256sum < long\n";
    spec.program = RunProgram::Script(text.to_owned());
    spec.run = run_id(1);
    spec.outputs = vec![stage("long", "s3://jobs/hanbit/long", None)];
    assert_eq!(
        run(&site, spec.clone()).await.outcome,
        RunOutcome::Completed
    );
    let sha256 = output(&site, spec.run).await;
    let sha256 = sha256.split_whitespace().next().unwrap().to_owned();
    assert_eq!(
        fs::metadata(store.object("hanbit/long")).unwrap().len(),
        70_000_004
    );
    // Its parts are gone, and it is what was put.
    spec.run = run_id(2);
    spec.program = RunProgram::Script("#!/bin/sh\ntail -c 4 in\n".to_owned());
    spec.inputs = vec![stage("s3://jobs/hanbit/long", "in", Some(&sha256))];
    spec.outputs.clear();
    let end = run(&site, spec.clone()).await;
    assert_eq!(end.outcome, RunOutcome::Completed);
    assert_eq!(output(&site, spec.run).await, "end\n");
    let parts = fs::read_dir(store.folder()).unwrap().flatten();
    let parts: Vec<_> = parts
        .map(|entry| entry.file_name())
        .filter(|name| name.to_string_lossy().contains("part"))
        .collect();
    assert!(parts.is_empty(), "{parts:?}");
}
