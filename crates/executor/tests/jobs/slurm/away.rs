//! Either side dies.

use super::*;
use crate::conformance::{until_ended, until_file, until_running};
use madang_executor::jobs::{JobsError, RunStatus};
use madang_types::RunOutcome;
use std::fs;

/// Runs until `go-JOB` is there.
fn waits(site: &Site, job: u64) -> RunSpec {
    let text =
        format!("echo on > $SITE/on-{job}; while [ ! -e $SITE/go-{job} ]; do sleep 0.1; done");
    site.script(job, &text)
}

fn go(site: &Site, job: u64) {
    fs::write(site.site.path().join(format!("go-{job}")), "").unwrap();
}

async fn is_away<T: std::fmt::Debug>(what: impl Future<Output = Result<T, JobsError>>) {
    match what.await {
        Err(JobsError::Unavailable(_)) => {}
        other => panic!("{other:?}"),
    }
}

/// A controller forgets what it has not written yet, which it does within some seconds of a change: one is made, and waited for.
pub(super) async fn until_written(site: &Site) {
    let state = site.cluster.conf().with_file_name("../state/job_state");
    let (state, mark) = (state.display(), site.site.path().join("mark"));
    fs::write(&mark, "").unwrap();
    let change = "scontrol update job $(squeue -h -o %A | head -n 1) comment=changed";
    site.cluster.run(change).unwrap();
    let line = format!("[ {state} -nt {} ] && echo written || true", mark.display());
    until_told(&site.cluster, &line, "written").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_controller_loses_nothing() {
    let Some(cluster) = Slurm::own().unwrap() else {
        return;
    };
    let site = Site::on(cluster, daemon);
    let (long, short, later) = (waits(&site, 1), waits(&site, 2), waits(&site, 3));
    for spec in [&long, &short] {
        site.executor().start(spec.clone()).await.unwrap();
        until_file(site.site.path().join(format!("on-{}", spec.run.task))).await;
        until_running(&site, spec.run).await;
    }
    until_written(&site).await;
    let before = site.executor().look(long.run).await.unwrap();
    site.cluster.kill("slurmctld").unwrap();
    // What was seen a moment ago may still be told.
    tokio::time::sleep(Duration::from_secs(1)).await;
    tokio::join!(
        is_away(site.executor().look(long.run)),
        is_away(site.executor().start(later.clone())),
        is_away(site.executor().runs()),
    );
    // It ends while the controller is dead.
    go(&site, 2);
    site.cluster.start_controller().unwrap();
    until_running(&site, long.run).await;
    assert_eq!(site.executor().look(long.run).await.unwrap(), before);
    go(&site, 1);
    for run in [long.run, short.run] {
        assert_eq!(until_ended(&site, run).await.outcome, RunOutcome::Completed);
    }
    // Nothing was submitted while it was away.
    assert_eq!(site.executor().look(later.run).await, Ok(None));
    site.executor().start(later.clone()).await.unwrap();
    go(&site, 3);
    assert_eq!(
        until_ended(&site, later.run).await.outcome,
        RunOutcome::Completed
    );
    let jobs = "sacct -X -n -P -o JobName -S now-1hours | sort | uniq -d";
    assert_eq!(site.cluster.run(jobs).unwrap(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_slurm_does_not_know_is_lost() {
    let Some(mut site) = Site::shared(daemon) else {
        return;
    };
    site.options.lost_ms = 0;
    site.restart();
    let spec = site.script(1, "exit 0");
    site.executor().start(spec.clone()).await.unwrap();
    until_ended(&site, spec.run).await;
    site.executor.take();
    // Of another time: the number came again for somebody else's.
    let file = site.options.state.join("1-1.json");
    let mut entry: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    entry["end"] = serde_json::Value::Null;
    entry["submitted_s"] = 1.into();
    fs::write(&file, entry.to_string()).unwrap();
    site.restart();
    let end = until_ended(&site, spec.run).await;
    assert!(matches!(end.outcome, RunOutcome::Lost { .. }), "{end:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_never_was_is_told_without_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    let mut options = SlurmOptions::here("busan", folder.path().join("book"), runs);
    let key = folder.path().join("key");
    fs::write(&key, "sesame").unwrap();
    options.rest = Some(SlurmRest {
        url: "http://127.0.0.1:1".to_owned(),
        authority: None,
        user: "madang".to_owned(),
        token: SlurmToken::Key(key),
    });
    let executor = SlurmExecutor::open(options).unwrap();
    let run = run_id(1);
    match executor.look(run).await {
        Err(JobsError::Unavailable(why)) => {
            assert!(
                why.contains("busan") && why.contains("http://127.0.0.1:1"),
                "{why}"
            );
            assert!(!why.contains("eyJ"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(executor.runs().await, Ok(Vec::<(_, RunStatus)>::new()));
}
