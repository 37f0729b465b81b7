//! Either side dies.

use super::*;
use crate::conformance::{until_ended, until_file, until_running};
use madang_executor::jobs::{JobsError, RunStatus, StopHow};
use madang_types::RunOutcome;
use std::fs;

of_each_release!(
    a_killed_controller_loses_nothing,
    whom_slurm_does_not_know_is_lost,
    a_token_that_has_ended_is_told_and_the_next_one_goes_on,
    what_ended_while_nobody_looked_is_told_by_the_accounting_and_another_way_is_as_good,
);

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

async fn a_killed_controller_loses_nothing(release: SlurmRelease) {
    let Some(cluster) = Slurm::own(release).unwrap() else {
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

async fn whom_slurm_does_not_know_is_lost(release: SlurmRelease) {
    let Some(mut site) = Site::shared(release, daemon) else {
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

async fn a_token_that_has_ended_is_told_and_the_next_one_goes_on(release: SlurmRelease) {
    let Some(mut site) = Site::shared(release, daemon) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let token = |life_s: u32| {
        let line = format!("scontrol token username=root lifespan={life_s}");
        site.cluster.run(&line).unwrap()
    };
    let (short, long) = (token(1), token(3_600));
    fs::write(&file, short).unwrap();
    if let Some(rest) = &mut site.options.rest {
        rest.token = SlurmToken::File(file.clone());
    }
    site.restart();
    // However long it takes until then: nothing is submitted with it.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let spec = site.script(1, "exit 0");
    match site.executor().start(spec.clone()).await {
        Err(JobsError::Unavailable(why)) => {
            assert!(why.contains("has ended") && !why.contains("eyJ"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    fs::write(&file, long).unwrap();
    assert_eq!(site.executor().look(spec.run).await, Ok(None));
    site.executor().start(spec.clone()).await.unwrap();
    assert_eq!(
        until_ended(&site, spec.run).await.outcome,
        RunOutcome::Completed
    );
}

async fn what_ended_while_nobody_looked_is_told_by_the_accounting_and_another_way_is_as_good(
    release: SlurmRelease,
) {
    let Some(cluster) = Slurm::own(release).unwrap() else {
        return;
    };
    let mut site = Site::on(cluster, daemon);
    let (first, second) = (waits(&site, 1), waits(&site, 2));
    for spec in [&first, &second] {
        site.executor().start(spec.clone()).await.unwrap();
        until_running(&site, spec.run).await;
    }
    let id = |run| {
        let line = format!("squeue -h -o %A --name={}-{run}", site.options.prefix);
        site.cluster.run(&line).unwrap()
    };
    let (first_id, second_id) = (id(first.run), id(second.run));
    // Its REST daemon goes: nobody knows more, and nothing is lost.
    site.cluster.kill("slurmrestd").unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    is_away(site.executor().look(first.run)).await;
    is_away(site.executor().stop(first.run, StopHow::Cancel)).await;
    // Madang goes too. The first one ends, and the controller forgets it before anybody has looked.
    site.executor.take();
    let conf = site.cluster.conf();
    let text = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, format!("{text}MinJobAge=2\n")).unwrap();
    site.cluster.run("scontrol reconfigure").unwrap();
    go(&site, 1);
    let forgotten =
        format!("scontrol show job {first_id} >/dev/null 2>&1 && echo there || echo gone");
    until_told(&site.cluster, &forgotten, "gone").await;
    // By its programs all of it is found.
    programs(&site.cluster, &mut site.options);
    site.options.rest = None;
    site.restart();
    let end = until_ended(&site, first.run).await;
    assert_eq!(end.outcome, RunOutcome::Completed);
    let second_of = |at: madang_types::Micros| at.0 / 1_000_000;
    let (from, to) = (second_of(end.started_at.unwrap()), second_of(end.ended_at));
    let line = format!("SLURM_TIME_FORMAT=%s sacct -X -n -P -o Start,End,ElapsedRaw -j {first_id}");
    let told = site.cluster.run(&line).unwrap();
    assert_eq!(told, format!("{from}|{to}|{}", to - from));
    site.executor()
        .stop(second.run, StopHow::Cancel)
        .await
        .unwrap();
    let end = until_ended(&site, second.run).await;
    assert_eq!(end.outcome, RunOutcome::Cancelled, "{second_id}");
}
