//! Runs end, wholly.

use super::*;
use madang_executor::jobs::JobsError;
use madang_types::RunOutcome;

pub async fn exit_codes_and_signals_are_told<F: Fixture>(site: F) {
    let check = async |job, text: &str, expected| {
        let mut spec = script(&site, text);
        spec.run = run_id(job);
        let end = run(&site, spec).await;
        assert_eq!(end.outcome, expected, "{text}");
        let started_at = end.started_at.unwrap();
        assert!(
            started_at.0 > 1_600_000_000_000_000 && started_at <= end.ended_at,
            "{end:?}"
        );
    };
    check(1, "exit 0", RunOutcome::Completed).await;
    check(2, "exit 41", RunOutcome::Failed { exit_code: 41 }).await;
    check(3, "kill -KILL $$", RunOutcome::Failed { exit_code: 137 }).await;
    check(4, "kill -TERM $$", RunOutcome::Failed { exit_code: 143 }).await;
}

pub async fn a_run_ends_with_its_program<F: Fixture>(site: F) {
    let text = "setsid sleep 1000 & echo $! > $SITE/pid; sleep 1000 & exit 0";
    let end = run(&site, script(&site, text)).await;
    assert_eq!(end.outcome, RunOutcome::Completed);
    let pid = until_file(site.site().join("pid")).await;
    assert!(!site.lives(pid.trim()), "{pid}");
}

pub async fn a_run_is_forgotten<F: Fixture>(mut site: F) {
    let spec = script(&site, "echo said");
    run(&site, spec.clone()).await;
    let executor = site.executor();
    executor.forget(spec.run).await.unwrap();
    assert_eq!(executor.look(spec.run).await, Ok(None));
    assert_eq!(executor.runs().await, Ok(Vec::new()));
    let log = executor.log(spec.run, 0, 10).await;
    assert_eq!(log, Err(JobsError::Absent(spec.run)));
    executor.forget(spec.run).await.unwrap();
    site.restart().await;
    assert_eq!(site.executor().look(spec.run).await, Ok(None));
    // One that is not over is not dropped.
    let spec = script(&site, "while [ ! -e $SITE/go ]; do sleep 0.1; done");
    site.executor().start(spec.clone()).await.unwrap();
    until_running(&site, spec.run).await;
    site.executor().forget(spec.run).await.ok();
    fs::write(site.site().join("go"), "").unwrap();
    let end = until_ended(&site, spec.run).await;
    assert_eq!(end.outcome, RunOutcome::Completed);
}

/// Whether a process of this machine is there and no zombie.
pub fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map_or("Z", |(_, rest)| rest);
    !state.starts_with(['Z', 'X'])
}
