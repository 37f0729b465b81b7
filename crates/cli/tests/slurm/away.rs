//! Clusters that cannot be asked for a while, or do not come back.

use super::harness::wait_for;
use super::{Site, job_name, job_of_one};
use http::Method;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;

/// Slurm's programs, which another one stands before that says that the controller is away, as long as a file is there: their folder, the
/// file, and the words by which they are found.
fn shut() -> (tempfile::TempDir, std::path::PathBuf, String) {
    let folder = tempfile::tempdir().unwrap();
    let away = folder.path().join("away");
    for program in ["sbatch", "squeue", "scancel", "scontrol", "sacct", "sstat"] {
        let text = format!(
            "#!/bin/sh\n[ ! -e {} ] || {{ echo '{program}: error: Unable to contact slurm controller (connect failure)' >&2; exit 1; }}\n\
             exec /usr/bin/{program} \"$@\"\n",
            away.display()
        );
        let path = folder.path().join(program);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let words = format!("\"PATH={}:/usr/bin:/bin\", ", folder.path().display());
    (folder, away, words)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_withdrawn_while_its_cluster_is_away_is_withdrawn_once_it_is_back() {
    let (_folder, away, words) = shut();
    let Some(mut site) = Site::up_by(&words, "account = \"root\"\nqos = \"normal\"").await else {
        return;
    };
    site.place.write("tenant.key", &site.madang.key);
    let id = site.submit(&job_of_one("[\"sleep\", \"1000\"]")).await;
    let state = format!("squeue -h -o %T --name={}", job_name(&id));
    site.until_told(&state, "RUNNING").await;
    std::fs::write(&away, "").unwrap();
    site.json(&format!("job cancel {id} --key-file tenant.key"))
        .await;
    // One that comes is told why it does not begin.
    let next = site.submit(&job_of_one("[\"true\"]")).await;
    wait_for("it is told that the cluster is away", async || {
        let shown = site.shown(&next).await.to_string();
        let told = shown.contains("Unable to contact slurm controller");
        (told && shown.contains("it is tried again")).then_some(())
    })
    .await;
    site.until_told(&state, "RUNNING").await;
    std::fs::remove_file(&away).unwrap();
    site.until_state(&id, "cancelled").await;
    site.until_told(&state, "").await;
    site.until_state(&next, "completed").await;
    assert_eq!(site.madang.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_at_a_cluster_that_does_not_come_back_is_given_up_paid_and_withdrawn_there() {
    let (_folder, away, words) = shut();
    let more = "account = \"root\"\nqos = \"normal\"\naway_ms_max = 3000";
    let Some(mut site) = Site::up_by(&words, more).await else {
        return;
    };
    site.granted("hanbit", "centre").await;
    // One that ends by itself meanwhile, as soon as it is let, and one that does not.
    let go = site.place.data().join("go");
    let wait = format!(
        "[\"sh\", \"-c\", \"until [ -e {} ]; do sleep 0.1; done\"]",
        go.display()
    );
    let ends = site.submit(&job_of_one(&wait)).await;
    let stays = site.submit(&job_of_one("[\"sleep\", \"1000\"]")).await;
    let run = async |id: &str| {
        let path = format!("/api/v1/jobs/{id}/runs");
        site.madang.operate(Method::GET, &path, Value::Null).await["data"][0].clone()
    };
    for id in [&ends, &stays] {
        let runs = async || (run(id).await["state"] == "running").then_some(());
        wait_for("its program runs", runs).await;
    }
    std::fs::write(&away, "").unwrap();
    for id in [&ends, &stays] {
        let told = site.until_state(id, "failed").await.to_string();
        assert!(told.contains("for 3 s nobody could be asked"), "{told}");
    }
    // They are paid until they were last seen, and are not begun anew: they still run.
    let mut used_ms = 0;
    for id in [&ends, &stays] {
        let over = run(id).await;
        assert_eq!(over["outcome"], "lost", "{over}");
        assert!(over["unseen_since"].is_string(), "{over}");
        assert!(over["unseen_until"].is_null(), "{over}");
        used_ms += over["accelerator_ms"].as_i64().unwrap();
        let state = format!("squeue -h -o %T --name={}", job_name(id));
        site.until_told(&state, "RUNNING").await;
    }
    assert!((0..=2).contains(&(paid_ms(&site).await - used_ms)));
    std::fs::write(&go, "").unwrap();
    let state = |id: &str| format!("squeue -h -o %T --name={}", job_name(id));
    site.until_told(&state(&ends), "").await;
    // Back, what is there is withdrawn, and what both used until their true end is booked: to the second, and once.
    std::fs::remove_file(&away).unwrap();
    site.madang.kill().await;
    site.madang = site.place.up_with(&[]).await;
    site.until_told(&state(&stays), "").await;
    let elapsed_ms = 1_000 * (site.elapsed_s(&ends).await + site.elapsed_s(&stays).await);
    let elapsed_ms = i64::try_from(elapsed_ms).unwrap();
    let booked = async || (paid_ms(&site).await == elapsed_ms).then_some(());
    wait_for("what they used is booked", booked).await;
    let shown = site.shown(&ends).await;
    assert_eq!(shown["state"], "failed");
    let told = shown["runs"][0].to_string();
    assert!(told.contains("; told since: completed"), "{told}");
    let closed = async || {
        let shown = site.shown(&stays).await["runs"][0].clone();
        shown["unseen_until"].is_string().then(|| shown.to_string())
    };
    let told = wait_for("it is told", closed).await;
    assert!(told.contains("; told since: cancelled"), "{told}");
    site.madang.kill().await;
    site.madang = site.place.up_with(&[]).await;
    let next = site.submit(&job_of_one("[\"true\"]")).await;
    site.until_state(&next, "completed").await;
    let elapsed_ms = elapsed_ms + 1_000 * i64::try_from(site.elapsed_s(&next).await).unwrap();
    assert_eq!(paid_ms(&site).await, elapsed_ms, "it is booked once");
    assert_eq!(site.madang.stop().await, 0);
}

/// What was taken of the 100 hours that a tenant was granted, in milliseconds of an accelerator.
async fn paid_ms(site: &Site) -> i64 {
    let listed = site.json("allocation list --tenant hanbit").await;
    360_000_000 - listed["data"][0]["left"].as_i64().unwrap()
}
