//! Runs are found again, and none is submitted twice.

use super::*;
use crate::conformance::stop::{ticks, until_it_goes, until_still};
use crate::conformance::{output, until, until_ended, until_file, until_running};
use madang_executor::jobs::{JobsError, RunStatus, SecretText, StopHow};
use madang_types::{RunId, RunOutcome};
use std::fs;
use std::os::unix::fs::PermissionsExt;

of_each_release!(
    a_submission_without_an_answer_is_not_made_twice,
    a_lost_book_is_made_up_for_by_names,
    who_drives_after_another_one_finds_its_runs_and_tells_them_how_to_stand,
    a_cluster_is_reached_over_ssh,
    a_secret_is_in_no_record_of_slurm,
);

const WAITS: &str = "echo on >> $SITE/on; while [ ! -e $SITE/go ]; do sleep 0.1; done";

/// Jobs of that run that Slurm has ever had.
fn jobs(site: &Site, run: RunId) -> usize {
    let line = format!(
        "sacct -X -n -P -D -o JobIDRaw -S now-1hours --name={}-{run}",
        site.options.prefix
    );
    site.cluster.run(&line).unwrap().lines().count()
}

async fn start(site: &Site, spec: &RunSpec) {
    for _ in 0..1_200 {
        match site.executor().start(spec.clone()).await {
            Ok(()) => return,
            Err(JobsError::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(100)).await,
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("waited too long");
}

async fn a_submission_without_an_answer_is_not_made_twice(release: SlurmRelease) {
    let Some(mut site) = Site::shared(release, programs) else {
        return;
    };
    // Submits, and is cut off before it says so, once.
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("sbatch");
    let once = folder.path().join("once");
    let text = format!(
        "#!/bin/sh\n[ -e {once} ] && exec /usr/bin/sbatch \"$@\"\ntouch {once}\n/usr/bin/sbatch \"$@\" >/dev/null\nexit 255\n",
        once = once.display()
    );
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("PATH={}:/usr/bin:/bin", folder.path().display());
    site.options.shell = Some(site.cluster.shell(&["env", &path]).unwrap());
    site.restart();
    let spec = site.script(1, WAITS);
    let first = site.executor().start(spec.clone()).await;
    assert!(matches!(first, Err(JobsError::Unavailable(_))), "{first:?}");
    site.restart();
    start(&site, &spec).await;
    until_running(&site, spec.run).await;
    fs::write(site.site.path().join("go"), "").unwrap();
    assert_eq!(
        until_ended(&site, spec.run).await.outcome,
        RunOutcome::Completed
    );
    assert_eq!(
        fs::read_to_string(site.site.path().join("on")).unwrap(),
        "on\n"
    );
    assert_eq!(jobs(&site, spec.run), 1);
}

async fn a_lost_book_is_made_up_for_by_names(release: SlurmRelease) {
    let Some(mut site) = Site::shared(release, programs) else {
        return;
    };
    let spec = site.script(1, &format!("echo said; {WAITS}"));
    site.executor().start(spec.clone()).await.unwrap();
    until_file(site.site.path().join("on")).await;
    // The accounting has it, and a second has gone by since.
    let line = format!(
        "sacct -X -n -P -o JobName -S now-1hours --name={}-1-1",
        site.options.prefix
    );
    let name = format!("{}-1-1", site.options.prefix);
    until_told(&site.cluster, &line, &name).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    site.executor.take();
    fs::remove_dir_all(&site.options.state).unwrap();
    site.restart();
    site.executor().start(spec.clone()).await.unwrap();
    until_running(&site, spec.run).await;
    fs::write(site.site.path().join("go"), "").unwrap();
    assert_eq!(
        until_ended(&site, spec.run).await.outcome,
        RunOutcome::Completed
    );
    assert_eq!(output(&site, spec.run).await, "said\n");
    assert_eq!(jobs(&site, spec.run), 1);
}

/// Two drivers of one cluster, each with a folder of its own: the second one was there before the run.
async fn who_drives_after_another_one_finds_its_runs_and_tells_them_how_to_stand(
    release: SlurmRelease,
) {
    let Some(mut site) = Site::shared(release, programs) else {
        return;
    };
    site.options.shared = true;
    site.restart();
    site.executor().leads(true);
    let folder = tempfile::tempdir().unwrap();
    let options = SlurmOptions {
        state: folder.path().join("book"),
        ..site.options.clone()
    };
    let other = SlurmExecutor::open(options).unwrap();
    // Numbers of runs are by the second.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let text = format!("(while :; do echo >> $SITE/ticks; sleep 0.02; done) & {WAITS}");
    let spec = site.script(1, &text);
    site.executor().start(spec.clone()).await.unwrap();
    until_running(&site, spec.run).await;
    until_it_goes(&site).await;
    site.executor().freeze(spec.run, true).await.unwrap();
    until_still(&site).await;
    // The first one is gone. Nobody knows the run there before it is asked for, and that is no word that it stands as it should.
    site.executor.take();
    other.leads(true);
    let absent = other.freeze(spec.run, false).await;
    assert!(matches!(absent, Err(JobsError::Absent(_))), "{absent:?}");
    // The accounting may hear of it late: until it has, nothing is said of it, and not that it is not there.
    let unheard = other.look("9999999-1".parse().unwrap()).await;
    assert!(
        matches!(unheard, Err(JobsError::Unavailable(_))),
        "{unheard:?}"
    );
    let mut looked = other.look(spec.run).await;
    while matches!(looked, Err(JobsError::Unavailable(_))) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        looked = other.look(spec.run).await;
    }
    assert!(
        matches!(looked, Ok(Some(RunStatus::Running { .. }))),
        "{looked:?}"
    );
    other.freeze(spec.run, false).await.unwrap();
    until_it_goes(&site).await;
    // Back, the first one has it noted that it stands still, and tells nobody so while the other one drives.
    site.restart();
    site.executor().look(spec.run).await.unwrap();
    let before = ticks(&site);
    let many = || (ticks(&site) > before + 300).then_some(());
    until("it goes on and on", many).await;
    other.leads(false);
    site.executor().leads(true);
    site.executor().freeze(spec.run, true).await.unwrap();
    until_still(&site).await;
    site.executor().freeze(spec.run, false).await.unwrap();
    until_it_goes(&site).await;
    fs::write(site.site.path().join("go"), "").unwrap();
    assert_eq!(
        until_ended(&site, spec.run).await.outcome,
        RunOutcome::Completed
    );
    assert_eq!(jobs(&site, spec.run), 1);
}

async fn a_cluster_is_reached_over_ssh(release: SlurmRelease) {
    let Some(site) = Site::shared(release, |cluster, options| {
        options.shell = Some(cluster.ssh());
        options.mounted = None;
    }) else {
        return;
    };
    let mut spec = site.script(1, "echo \"$TOKEN\" | wc -c; echo on > $SITE/on; sleep 1000");
    spec.secrets
        .insert("TOKEN".to_owned(), SecretText("it's sesame".to_owned()));
    site.executor().start(spec.clone()).await.unwrap();
    until_file(site.site.path().join("on")).await;
    until_running(&site, spec.run).await;
    let words = site.executor().shell(spec.run).await.unwrap();
    assert_eq!(words[..2], ["ssh", "-t"]);
    assert!(
        words.last().unwrap().contains("srun --overlap --jobid="),
        "{words:?}"
    );
    site.executor()
        .stop(spec.run, StopHow::Cancel)
        .await
        .unwrap();
    assert_eq!(
        until_ended(&site, spec.run).await.outcome,
        RunOutcome::Cancelled
    );
    assert_eq!(output(&site, spec.run).await, "12\n");
}

async fn a_secret_is_in_no_record_of_slurm(release: SlurmRelease) {
    let Some(site) = Site::shared(release, daemon) else {
        return;
    };
    let mut spec = site.script(1, &format!("[ ${{#TOKEN}} = 11 ] || exit 1; {WAITS}"));
    spec.secrets
        .insert("TOKEN".to_owned(), SecretText("sesame-7f3a".to_owned()));
    site.executor().start(spec.clone()).await.unwrap();
    until_file(site.site.path().join("on")).await;
    let name = format!("{}-1-1", site.options.prefix);
    let id = site
        .cluster
        .run(&format!("squeue -h -o %A --name={name}"))
        .unwrap();
    for line in [
        format!("scontrol write batch_script {id} -"),
        format!("scontrol show job -d {id}"),
    ] {
        let told = site.cluster.run(&line).unwrap();
        assert!(told.len() > 100 && !told.contains("sesame"), "{told}");
    }
    let left = format!("grep -rl sesame {}/ || true", site.options.folder);
    assert_eq!(site.cluster.run(&left).unwrap(), "");
    fs::write(site.site.path().join("go"), "").unwrap();
    assert_eq!(
        until_ended(&site, spec.run).await.outcome,
        RunOutcome::Completed
    );
}
