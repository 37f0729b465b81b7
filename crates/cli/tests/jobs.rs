//! Batch jobs by the commands, on this machine: submitted, through kill -9, withdrawn, paid.

mod harness;

use harness::fleet::{HEAD, url_replica};
use harness::random::Random;
use harness::{Madang, Place, wait_for};
use madang_store::{JobBook as _, SqliteStore};
use madang_testkit::{FakeEngine, FakeEngineOptions};
use madang_types::RunState;
use serde_json::{Value, json};
use std::time::Duration;

const NODES: &str = r#"
[[nodes]]
id = "here"
site = "here"
accelerator = "cpu"
per_node = 2
count = 1
jobs = { executor = "local" }
"#;

/// A server whose machine takes jobs. Its engine lives as long as what is given.
async fn up() -> (Place, Madang, FakeEngine) {
    let place = Place::new();
    let engine = FakeEngine::start(FakeEngineOptions::default()).await;
    place.write(
        "fleet.toml",
        HEAD.to_owned() + NODES + &url_replica("a", engine.url()),
    );
    let madang = place.up_with(&[]).await;
    (place, madang, engine)
}

async fn json_of(place: &Place, command: &str) -> Value {
    let words: Vec<&str> = command.split(' ').collect();
    place.json(&words).await
}

/// Waits until a job stands so.
async fn until(place: &Place, id: &str, state: &str) -> Value {
    let command = format!(
        "job show {id} --key-file {}",
        place.data().join("operator.key").display()
    );
    wait_for(&format!("job {id} is {state}"), async || {
        let shown = json_of(place, &command).await;
        (shown["state"] == state).then_some(shown)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_go_on_through_kill_9_and_are_paid_once() {
    let (place, mut madang, _engine) = up().await;
    for command in [
        "programme create ours",
        "tenant create acme --programme ours",
        "budget set ours --accelerator-hours 10",
        "allocation create hours --tenant acme --accelerator-hours 2 --until 2100-01-01T00:00:00+09:00",
    ] {
        json_of(&place, command).await;
    }
    let key = json_of(&place, "key create --tenant acme").await;
    place.write("acme.key", key["key"].as_str().unwrap());
    let script = "#!/bin/sh\n#MADANG name = \"long\"\n#MADANG time_limit = \"10m\"\necho begun\necho x >> count\nwhile ! test -e go; do sleep 0.1; done\ncat count\n";
    place.write("long.sh", script);
    let submitted = json_of(&place, "job submit long.sh --key-file acme.key").await;
    let id = submitted["id"].as_str().unwrap().to_owned();
    until(&place, &id, "running").await;
    for _ in 0..3 {
        madang.kill().await;
        madang = place.up_with(&[]).await;
        until(&place, &id, "running").await;
    }
    let run_folder = place.data().join("jobs");
    let work = wait_for("the folder of the run", async || work_of(&run_folder)).await;
    std::fs::write(work.join("go"), "").unwrap();
    until(&place, &id, "completed").await;
    let logs = ["job", "logs", &id, "--key-file", "acme.key"];
    let log = place.run(&logs).await.expect_code(0);
    assert_eq!(log.out, "begun\nx\n", "it ran once");

    let listed = json_of(&place, "allocation list --tenant acme").await;
    let left = listed["data"][0]["left"].as_i64().unwrap();
    let spent = 7_200_000 - left;
    assert!(
        (1..600_000).contains(&spent),
        "{spent} ms are spent, and nothing is set aside"
    );
    let verified = place.run(&["ledger", "verify"]).await.expect_code(0);
    assert!(
        verified.out.contains("0 open reservations"),
        "{}",
        verified.out
    );
    assert_eq!(madang.stop().await, 0);
}

/// The beginning of many runs, cut at some instant again and again: whatever was written and not set aside, or set aside and not begun,
/// is made good. Moments: `MADANG_TEST_SEED`.
#[tokio::test(flavor = "multi_thread")]
async fn kills_while_runs_begin_leave_nothing_set_aside() {
    let (place, mut madang, _engine) = up().await;
    for command in [
        "programme create ours",
        "tenant create acme --programme ours",
        "budget set ours --accelerator-hours 10",
        "allocation create hours --tenant acme --accelerator-hours 5 --until 2100-01-01T00:00:00+09:00",
    ] {
        json_of(&place, command).await;
    }
    let key = json_of(&place, "key create --tenant acme").await;
    place.write("acme.key", key["key"].as_str().unwrap());
    let many = "command = [\"sh\", \"-c\", \"echo x >> count; cat count\"]\ntime_limit = \"1m\"\n[array]\ntasks = 400\n";
    place.write("many.toml", many);
    let submitted = json_of(&place, "job submit many.toml --key-file acme.key").await;
    let id = submitted["id"].as_str().unwrap().to_owned();
    let mut random = Random::new();
    for _ in 0..8 {
        // Not for luck: where in its work Madang is cut is what varies.
        tokio::time::sleep(Duration::from_millis(random.below(400))).await;
        madang.kill().await;
        madang = place.up_with(&[]).await;
    }
    json_of(&place, &format!("job cancel {id} --key-file acme.key")).await;
    until(&place, &id, "cancelled").await;
    let verified = place.run(&["ledger", "verify"]).await.expect_code(0);
    let sound = verified.out.contains("0 open reservations");
    assert!(sound, "{}", verified.out);
    assert_eq!(madang.stop().await, 0);
    let books = SqliteStore::open(&place.data().join("madang.sqlite")).unwrap();
    let runs = books.run_list(id.parse().unwrap(), None).await.unwrap();
    assert!(!runs.is_empty());
    for run in runs {
        assert_eq!(run.state, RunState::Ended, "{run:?}");
    }
}

/// The folder in which the only run works.
fn work_of(runs: &std::path::Path) -> Option<std::path::PathBuf> {
    let mut folders: Vec<_> = std::fs::read_dir(runs).ok()?.flatten().collect();
    folders.retain(|entry| entry.path().join("work").is_dir());
    Some(folders.first()?.path().join("work"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_ignores_signals_and_leaves_its_session_is_gone_when_it_is_withdrawn() {
    let (place, mut madang, _engine) = up().await;
    let mark = format!("lingers-{}", std::process::id());
    let script = format!(
        "#!/bin/sh\ntrap '' TERM INT HUP\nsetsid sh -c 'trap \"\" TERM; exec sleep 98765 # {mark}' &\necho ready\nwhile true; do sleep 1; done # {mark}\n"
    );
    place.write("stubborn.sh", script);
    let submitted = json_of(&place, "job submit stubborn.sh").await;
    let id = submitted["id"].as_str().unwrap().to_owned();
    wait_for("its first line", async || {
        let log = place.run(&["job", "logs", &id]).await;
        log.out.contains("ready").then_some(())
    })
    .await;
    json_of(&place, &format!("job cancel {id}")).await;
    until(&place, &id, "cancelled").await;
    let left = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains("98765")
        });
    assert_eq!(left.count(), 0, "nothing of it is left");
    let again = place.run(&["job", "cancel", &id]).await.expect_code(1);
    assert!(again.err.contains("is over"), "{}", again.err);
    assert_eq!(madang.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_job_is_told_before_it_waits() {
    let (place, mut madang, _engine) = up().await;
    let check = async |name: &str, text: &str, expected: &[&str]| {
        place.write(name, text);
        let refused = place.run(&["job", "submit", name]).await.expect_code(1);
        for part in expected {
            assert!(
                refused.err.contains(part),
                "{part:?} is not in {}",
                refused.err
            );
        }
    };
    let slip = "command = [\"true\"]\ntime_limit = \"4 weeks\"\n";
    check("a.toml", slip, &["line 2", "^", "90s, 30m, 4h or 2d"]).await;
    let large = "command = [\"true\"]\n[resources]\ncount = 64\nper_node = 8\n";
    check(
        "b.toml",
        large,
        &[
            "job_impossible",
            "here at here: 2 accelerators in one machine",
        ],
    )
    .await;
    let secret = "command = [\"true\"]\ndata_class = \"classified\"\n";
    check("c.toml", secret, &["policy_denied"]).await;
    let missing =
        "name = \"m\"\ncommand = [\"true\"]\n[[input]]\nfrom = \"/nowhere/x\"\nto = \"x\"\n";
    place.write("d.toml", missing);
    let ended = place
        .run(&["job", "submit", "d.toml", "--wait"])
        .await
        .expect_code(1);
    assert!(ended.out.contains("failed"), "{}", ended.out);
    let listed = json_of(&place, "job list").await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    assert_ne!(listed["data"][0]["why"], json!(null));
    assert_eq!(madang.stop().await, 0);
}
