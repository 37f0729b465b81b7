//! Runs in control groups, where this machine lets one be made.

use super::{Local, options};
use crate::conformance::{
    Fixture, end, output, run, run_id, script, until_ended, until_file, until_running,
};
use madang_executor::jobs::{RunSpec, StopHow};
use madang_types::RunOutcome;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A control group of this test's own.
struct Above(PathBuf);

impl Above {
    fn make() -> Option<Self> {
        let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new);
        let root = roots
            .into_iter()
            .find(|root| root.join("cgroup.procs").exists())?;
        let path = root.join(format!("madang-test-{}", std::process::id()));
        fs::create_dir(&path).ok()?;
        path.join("cgroup.kill").exists().then_some(Self(path))
    }

    fn runs(&self) -> usize {
        let entries = fs::read_dir(&self.0).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("madang-")).count()
    }
}

impl Drop for Above {
    fn drop(&mut self) {
        for path in [self.0.join("runners"), self.0.clone()] {
            // A runner that has told its end may need a moment to be gone.
            for _ in 0..100 {
                if fs::remove_dir(&path).is_ok() || !path.exists() {
                    break;
                }
                Command::new("sleep").arg("0.05").status().ok();
            }
        }
    }
}

fn site() -> Option<(Local, Above)> {
    let Some(above) = Above::make() else {
        println!("skipped: no control group of version 2 can be made here");
        return None;
    };
    let place = tempfile::tempdir().unwrap();
    let mut options = options(place.path());
    options.cgroup = Some(above.0.clone());
    Some((Local::with(place, options), above))
}

/// What asks for no memory and no processors needs no controllers.
fn plain(site: &Local, text: &str) -> RunSpec {
    let mut spec = script(site, text);
    spec.pieces[0].memory_mib = 0;
    spec.pieces[0].cpu_milli = 0;
    spec
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_ends_with_its_run() {
    let Some((site, above)) = site() else { return };
    // Each generation gives birth to the next and is gone: a hunt by numbers comes late.
    let text = "cat /proc/self/cgroup; echo up > $SITE/up
        hop() { setsid sh -c \"$1\" hop \"$1\" & }; export HOP='trap \"\" TERM; (setsid sh -c \"$1\" hop \"$1\" &); sleep 0.02'
        setsid sh -c \"$HOP\" hop \"$HOP\" & while :; do sleep 0.1; done";
    let spec = plain(&site, text);
    site.executor().start(spec.clone()).await.unwrap();
    until_file(site.site().join("up")).await;
    assert_eq!(above.runs(), 1);
    site.executor()
        .stop(spec.run, StopHow::Cancel)
        .await
        .unwrap();
    let end = until_ended(&site, spec.run).await;
    assert_eq!(end.outcome, RunOutcome::Cancelled);
    assert_eq!(above.runs(), 0);
    let said = output(&site, spec.run).await;
    assert!(said.contains("/madang-1042-1-"), "{said}");
    // A program that is not there leaves none either.
    let mut spec = plain(&site, "#!/no/such/interpreter\n");
    spec.run = run_id(7);
    let end = run(&site, spec).await;
    assert!(
        matches!(end.outcome, RunOutcome::NotStarted { .. }),
        "{end:?}"
    );
    assert_eq!(above.runs(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_ends_where_its_runner_is_killed() {
    let Some((site, above)) = site() else { return };
    let text =
        "env -i setsid sh -c 'echo $$ > '$SITE'/a; exec sleep 1000' & while :; do sleep 0.1; done";
    let spec = plain(&site, text);
    site.executor().start(spec.clone()).await.unwrap();
    until_running(&site, spec.run).await;
    // It left the run's session and its variables; it cannot leave its group.
    let pid = until_file(site.site().join("a")).await;
    let claim = fs::read(site.options.folder.join("1042-1/claim.json")).unwrap();
    let claim: serde_json::Value = serde_json::from_slice(&claim).unwrap();
    let runner = claim["runner"]["pid"].to_string();
    assert!(
        Command::new("kill")
            .args(["-KILL", &runner])
            .status()
            .unwrap()
            .success()
    );
    let lost = until_ended(&site, spec.run).await;
    assert!(matches!(lost.outcome, RunOutcome::Lost { .. }), "{lost:?}");
    assert!(!end::lives(pid.trim()));
    assert_eq!(above.runs(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_held_or_it_is_told_that_it_cannot_be() {
    let Some((site, above)) = site() else { return };
    let mut spec = script(
        &site,
        "head -c 200000000 /dev/zero | tail -c 200000000 > /dev/null; echo lived",
    );
    spec.pieces[0].cpu_milli = 0;
    let end = run(&site, spec.clone()).await;
    let said = output(&site, spec.run).await;
    match &end.outcome {
        RunOutcome::NotStarted { why } => assert!(why.contains("memory.max"), "{why}"),
        outcome => {
            assert_eq!(*outcome, RunOutcome::Failed { exit_code: 137 });
            assert!(said.contains("killed for its memory"), "{said}");
        }
    }
    assert_eq!(above.runs(), 0);
}
