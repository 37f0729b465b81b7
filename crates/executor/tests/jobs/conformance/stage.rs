//! What they need is brought, and what they made is kept.

use super::*;
use madang_types::{JobStage, RunOutcome};

/// Of the bytes `abc` (FIPS 180-2).
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn input<F: Fixture>(site: &F, name: &str, sha256: Option<&str>) -> JobStage {
    JobStage {
        from: site.site().join(name).display().to_string(),
        to: "data/in".to_owned(),
        sha256: sha256.map(ToOwned::to_owned),
        bytes: None,
    }
}

fn kept<F: Fixture>(site: &F, from: &str, name: &str) -> JobStage {
    JobStage {
        from: from.to_owned(),
        to: site.site().join(name).display().to_string(),
        sha256: None,
        bytes: None,
    }
}

pub async fn inputs_are_brought<F: Fixture>(site: F) {
    fs::write(site.site().join("abc"), "abc").unwrap();
    let mut spec = script(&site, "cat data/in");
    spec.inputs = vec![input(&site, "abc", Some(&ABC.to_uppercase()))];
    let end = run(&site, spec.clone()).await;
    assert_eq!(output(&site, spec.run).await, "abc");
    assert_eq!(end.outcome, RunOutcome::Completed);
}

pub async fn what_is_missing_or_wrong_is_told<F: Fixture>(site: F) {
    fs::write(site.site().join("abd"), "abd").unwrap();
    let stages = [input(&site, "abc", None), input(&site, "abd", Some(ABC))];
    for (job, stage, word) in [(1, &stages[0], "abc"), (2, &stages[1], ABC)] {
        let mut spec = script(&site, "echo began >> $SITE/began");
        spec.run = run_id(job);
        spec.inputs = vec![stage.clone()];
        let end = run(&site, spec).await;
        match &end.outcome {
            RunOutcome::NotStarted { why } => assert!(why.contains(word), "{why}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(end.started_at, None);
    }
    assert!(!site.site().join("began").exists());
}

pub async fn outputs_are_kept<F: Fixture>(site: F) {
    let mut spec = script(&site, "mkdir -p out; echo made > out/model");
    spec.outputs = vec![kept(&site, "out/model", "kept/model")];
    fs::create_dir(site.site().join("kept")).unwrap();
    let end = run(&site, spec.clone()).await;
    assert_eq!(end.outcome, RunOutcome::Completed);
    let made = fs::read_to_string(site.site().join("kept/model")).unwrap();
    assert_eq!(made, "made\n");
    let names = fs::read_dir(site.site().join("kept")).unwrap().count();
    assert_eq!(names, 1, "nothing half made is left");
}

pub async fn nothing_is_kept_of_who_failed<F: Fixture>(site: F) {
    let mut spec = script(&site, "echo made > model; exit 1");
    spec.outputs = vec![kept(&site, "model", "model")];
    let end = run(&site, spec).await;
    assert_eq!(end.outcome, RunOutcome::Failed { exit_code: 1 });
    assert!(!site.site().join("model").exists());
}

pub async fn what_cannot_be_kept_is_told<F: Fixture>(site: F) {
    let mut spec = script(&site, "exit 0");
    spec.outputs = vec![kept(&site, "no-model", "model")];
    let end = run(&site, spec).await;
    match &end.outcome {
        RunOutcome::NotKept { why } => assert!(why.contains("no-model"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert!(end.started_at.is_some());
}
