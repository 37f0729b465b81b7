//! Files and output of batch jobs by the commands: each task has its own, and whoever follows sees all runs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::fleet::{HEAD, url_replica};
use harness::{Madang, Place};
use madang_testkit::{FakeEngine, FakeEngineOptions};
use std::path::PathBuf;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

/// A server whose machine takes jobs, and a folder that is open to them.
async fn up() -> (Place, Madang, FakeEngine, PathBuf) {
    let place = Place::new();
    let engine = FakeEngine::start(FakeEngineOptions::default()).await;
    let open = place.path("open");
    std::fs::create_dir(&open).unwrap();
    let nodes = "[[nodes]]\nid = \"here\"\nsite = \"here\"\naccelerator = \"cpu\"\nper_node = 2\ncount = 1\n\
                 jobs = { executor = \"local\" }\n";
    let shown = open.display();
    let jobs = format!("\n[jobs]\nstage_roots = [\"{shown}\"]\nstage_writable = [\"{shown}\"]\n");
    place.write(
        "fleet.toml",
        format!("{HEAD}{nodes}{}{jobs}", url_replica("a", engine.url())),
    );
    let madang = place.up_with(&[]).await;
    (place, madang, engine, open)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_task_of_an_array_brings_and_keeps_files_of_its_own() {
    let (place, mut madang, _engine, open) = up().await;
    let shown = open.display();
    let job = |to: &str| {
        format!(
            "command = [\"sh\", \"-c\", \"tr a-z A-Z < in > out\"]\narray.tasks = 2\n\
             [[input]]\nfrom = \"{shown}/in-{{task}}\"\nto = \"in\"\n[[output]]\nfrom = \"out\"\nto = \"{to}\"\n"
        )
    };
    for (name, text) in [("in-0", "zero"), ("in-1", "one")] {
        std::fs::write(open.join(name), text).unwrap();
    }
    // Each would put its own over the other's.
    place.write("many.toml", job(&format!("{shown}/out")));
    let submit = ["job", "submit", "many.toml", "--wait"];
    let refused = place.run(&submit).await.expect_code(1);
    let marked = refused.err.contains("[[output]]\n") && refused.err.contains("^");
    assert!(marked && refused.err.contains("{task}"), "{}", refused.err);
    place.write("many.toml", job(&format!("{shown}/out-{{task}}")));
    place.run(&submit).await.expect_code(0);
    for (name, text) in [("out-0", "ZERO"), ("out-1", "ONE")] {
        assert_eq!(std::fs::read_to_string(open.join(name)).unwrap(), text);
    }
    // Nobody enters what is over, and that is said of the task that was named.
    let shell = place.run(&["job", "shell", "1.1"]).await.expect_code(1);
    assert!(shell.err.contains("the run 1.1-1 is over"), "{}", shell.err);
    assert_eq!(madang.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_followed_through_all_runs_of_a_job() {
    let (place, mut madang, _engine, _open) = up().await;
    let script = "#!/bin/sh\necho run $MADANG_RUN\n[ $MADANG_RUN != 1 ] || sleep 600\necho done\n";
    place.write("long.sh", script);
    place
        .run(&["job", "submit", "long.sh"])
        .await
        .expect_code(0);
    let follow = async |more: &[&str]| {
        let words = [&["job", "logs", "1", "--follow"], more].concat();
        let mut command = place.command(&words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        out.read_line(&mut first).await.unwrap();
        assert_eq!(first, "run 1\n");
        (child, out)
    };
    let (all, mut all_out) = follow(&[]).await;
    // Whoever names a run has its output alone.
    let (one, mut one_out) = follow(&["--run", "1"]).await;
    place.run(&["job", "requeue", "1"]).await.expect_code(0);
    let stopped = "madang: the run is being stopped: it was withdrawn\n";
    let mut rest = String::new();
    all_out.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, format!("{stopped}run 2\ndone\n"));
    let ended = all.wait_with_output().await.unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success(), "{told}");
    assert!(told.contains("job 1 goes on as 1-2"), "{told}");
    let mut rest = String::new();
    one_out.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, stopped);
    assert!(one.wait_with_output().await.unwrap().status.success());
    let none = place.run(&["job", "logs", "1", "--run", "3"]).await;
    let none = none.expect_code(1);
    assert!(none.err.contains("no run 3 of task 1"), "{}", none.err);
    let over = place.run(&["job", "requeue", "1"]).await.expect_code(1);
    assert!(over.err.contains("it is completed"), "{}", over.err);
    assert_eq!(madang.stop().await, 0);
}
