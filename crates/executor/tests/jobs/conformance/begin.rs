//! Runs are begun, once.

use super::*;
use madang_executor::jobs::{JobsError, SecretText, StopHow};
use madang_types::RunOutcome;

pub async fn a_run_is_begun_once<F: Fixture>(mut site: F) {
    let spec = script(
        &site,
        "echo here >> $SITE/began; while [ ! -e $SITE/go ]; do sleep 0.1; done",
    );
    let (first, second) = tokio::join!(
        site.executor().start(spec.clone()),
        site.executor().start(spec.clone())
    );
    assert_eq!((first, second), (Ok(()), Ok(())));
    until_file(site.site().join("began")).await;
    site.restart().await;
    site.executor().start(spec.clone()).await.unwrap();
    fs::write(site.site().join("go"), "").unwrap();
    until_ended(&site, spec.run).await;
    site.executor().start(spec.clone()).await.unwrap();
    let end = until_ended(&site, spec.run).await;
    assert_eq!(end.outcome, RunOutcome::Completed);
    let began = fs::read_to_string(site.site().join("began")).unwrap();
    assert_eq!(began, "here\n");
    let known = site.executor().runs().await.unwrap();
    assert_eq!(known, [(spec.run, RunStatus::Ended(end))]);
}

pub async fn a_restart_finds_what_runs<F: Fixture>(mut site: F) {
    let spec = script(
        &site,
        "echo $$ > $SITE/pid; while [ ! -e $SITE/go ]; do sleep 0.1; done; exit 7",
    );
    site.executor().start(spec.clone()).await.unwrap();
    until_file(site.site().join("pid")).await;
    until_running(&site, spec.run).await;
    let before = site.executor().look(spec.run).await.unwrap();
    site.restart().await;
    until_running(&site, spec.run).await;
    assert_eq!(site.executor().look(spec.run).await.unwrap(), before);
    fs::write(site.site().join("go"), "").unwrap();
    let end = until_ended(&site, spec.run).await;
    assert_eq!(end.outcome, RunOutcome::Failed { exit_code: 7 });
    assert!(end.started_at.unwrap() <= end.ended_at);
}

pub async fn what_ended_meanwhile_is_told_after_a_restart<F: Fixture>(mut site: F) {
    let spec = script(&site, "echo said; exit 3");
    let end = run(&site, spec.clone()).await;
    site.restart().await;
    assert_eq!(until_ended(&site, spec.run).await, end);
    assert_eq!(end.outcome, RunOutcome::Failed { exit_code: 3 });
    assert_eq!(output(&site, spec.run).await, "said\n");
}

pub async fn variables_are_its_own<F: Fixture>(site: F) {
    let mut spec = script(&site, "env > $SITE/env.new; mv $SITE/env.new $SITE/env");
    spec.run.task.index = Some(3);
    spec.tasks = 8;
    spec.env
        .insert("COLOUR".to_owned(), "쪽빛 '\"$HOME\"'".to_owned());
    let secret = SecretText("sesame-7f3a".to_owned());
    spec.secrets.insert("TOKEN".to_owned(), secret);
    let end = run(&site, spec.clone()).await;
    assert_eq!(
        end.outcome,
        RunOutcome::Completed,
        "{}",
        output(&site, spec.run).await
    );
    let text = fs::read_to_string(site.site().join("env")).unwrap();
    for line in [
        "MADANG_JOB=1042",
        "MADANG_TASK=3",
        "MADANG_TASKS=8",
        "MADANG_RUN=1",
        "COLOUR=쪽빛 '\"$HOME\"'",
        "TOKEN=sesame-7f3a",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in:\n{text}");
    }
    // Cargo sets it for the tests, as an operator may set what no job may see.
    assert!(!text.contains("CARGO_MANIFEST_DIR"), "{text}");
}

pub async fn a_script_has_its_interpreter<F: Fixture>(site: F) {
    let spec = script(&site, "#!/bin/bash\n[[ $BASH_VERSION ]] && echo bash");
    let end = run(&site, spec.clone()).await;
    assert_eq!(output(&site, spec.run).await, "bash\n");
    assert_eq!(end.outcome, RunOutcome::Completed);
    let mut spec = script(&site, "");
    spec.run = run_id(7);
    spec.program = RunProgram::Command(vec![
        "printf".into(),
        "%s|".into(),
        "a b".into(),
        "$c".into(),
    ]);
    let end = run(&site, spec.clone()).await;
    assert_eq!(output(&site, spec.run).await, "a b|$c|");
    assert_eq!(end.outcome, RunOutcome::Completed);
}

pub async fn what_cannot_be_run_is_told<F: Fixture>(site: F) {
    let mut spec = script(&site, "");
    spec.program = RunProgram::Command(vec!["/no/such/program".to_owned()]);
    let end = run(&site, spec.clone()).await;
    let said = output(&site, spec.run).await;
    let told = match &end.outcome {
        RunOutcome::NotStarted { why } => why.contains("/no/such/program"),
        // Where a shell of the site starts it, or the init of a container.
        RunOutcome::Failed { exit_code: 127 } => true,
        outcome => *outcome == RunOutcome::Failed { exit_code: 1 } && said.contains("No such file"),
    };
    assert!(told, "{end:?}: {said}");
}

pub async fn the_next_run_finds_the_folder<F: Fixture>(site: F) {
    let mut spec = script(
        &site,
        "[ -e checkpoint ] && exec cat checkpoint; echo half > checkpoint; exit 1",
    );
    run(&site, spec.clone()).await;
    let first = spec.run;
    spec.run.number = 2;
    let end = run(&site, spec.clone()).await;
    assert_eq!(output(&site, spec.run).await, "half\n");
    assert_eq!(end.outcome, RunOutcome::Completed);
    // What stands in the folder of another task is nobody's business.
    site.executor().forget(first).await.unwrap();
    spec.run = run_id(1043);
    let end = run(&site, spec.clone()).await;
    assert_eq!(end.outcome, RunOutcome::Failed { exit_code: 1 });
}

pub async fn nobody_knows_a_run_that_never_was<F: Fixture>(site: F) {
    let run = run_id(5);
    let executor = site.executor();
    assert_eq!(executor.look(run).await, Ok(None));
    assert_eq!(executor.runs().await, Ok(Vec::new()));
    assert_eq!(executor.stop(run, StopHow::Cancel).await, Ok(()));
    assert_eq!(executor.forget(run).await, Ok(()));
    assert_eq!(executor.log(run, 0, 10).await, Err(JobsError::Absent(run)));
    assert_eq!(executor.shell(run).await, Err(JobsError::Absent(run)));
    assert_eq!(executor.look(run).await, Ok(None));
}

pub async fn a_change_is_told<F: Fixture>(site: F) {
    let mut changes = site.executor().changes();
    let spec = script(
        &site,
        "echo on > $SITE/on; while [ ! -e $SITE/go ]; do sleep 0.1; done",
    );
    site.executor().start(spec.clone()).await.unwrap();
    let run = spec.run;
    let ended = async {
        let mut go = false;
        loop {
            changes.changed().await.unwrap();
            match site.executor().look(run).await.unwrap() {
                Some(RunStatus::Ended(_)) => return,
                Some(RunStatus::Running { .. }) if !go => {
                    fs::write(site.site().join("go"), "").unwrap();
                    go = true;
                }
                _ => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(120), ended)
        .await
        .unwrap();
}
