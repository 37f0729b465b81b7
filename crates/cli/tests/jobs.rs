//! Batch jobs by the commands, on this machine: submitted, through kill -9, withdrawn, paid.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::fleet::{HEAD, url_replica};
use harness::random::Random;
use harness::{Madang, Place, json_of, wait_for};
use http::Method;
use madang_store::{JobBook as _, SqliteStore};
use madang_testkit::{FakeEngine, FakeEngineOptions, PageAnswer, Pages};
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

/// The words that take the operator's key.
fn operator(place: &Place) -> String {
    let file = place.data().join("operator.key");
    format!("--key-file {}", file.display())
}

/// Waits until a job stands so.
async fn until(place: &Place, id: &str, state: &str) -> Value {
    let command = format!("job show {id} {}", operator(place));
    wait_for(&format!("job {id} is {state}"), async || {
        let shown = json_of(place, &command).await;
        (shown["state"] == state).then_some(shown)
    })
    .await
}

/// The books follow the rules, and nothing is set aside in them.
async fn nothing_set_aside(place: &Place) {
    let verified = place.run(&["ledger", "verify"]).await.expect_code(0);
    let sound = verified.out.contains(", 0 open reservations");
    assert!(sound, "{}", verified.out);
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
    let part = json_of(&place, &format!("job logs {id} --key-file acme.key")).await;
    let shown = json_of(&place, &format!("job show {id} --key-file acme.key")).await;
    assert_eq!(part["text"], log.out);
    assert_eq!(part["run"], shown["runs"][0]["id"]);

    let listed = json_of(&place, "allocation list --tenant acme").await;
    let left = listed["data"][0]["left"].as_i64().unwrap();
    let spent = 7_200_000 - left;
    assert!(
        (1..600_000).contains(&spent),
        "{spent} ms are spent, and nothing is set aside"
    );
    nothing_set_aside(&place).await;
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
    wait_for("a run begins", async || {
        let path = format!("/api/v1/jobs/{id}/runs");
        let runs = madang.operate(Method::GET, &path, Value::Null).await;
        let begun = !runs["data"].as_array()?.is_empty();
        begun.then_some(())
    })
    .await;
    let mut random = Random::new();
    for _ in 0..8 {
        // Not for luck: where in its work Madang is cut is what varies.
        tokio::time::sleep(Duration::from_millis(random.below(400))).await;
        madang.kill().await;
        madang = place.up_with(&[]).await;
    }
    json_of(&place, &format!("job cancel {id} --key-file acme.key")).await;
    until(&place, &id, "cancelled").await;
    nothing_set_aside(&place).await;
    assert_eq!(madang.stop().await, 0);
    let books = SqliteStore::open(&place.data().join("madang.sqlite")).unwrap();
    let runs = books.run_list(id.parse().unwrap(), None).await.unwrap();
    assert!(!runs.is_empty());
    for run in runs {
        assert_eq!(run.state, RunState::Ended, "{run:?}");
    }
}

/// Waits until a job waits for that reason; then it warns of nothing.
async fn until_waits(place: &Place, id: &str, why: &str) {
    let shown = wait_for(&format!("job {id} waits: {why}"), async || {
        let shown = json_of(place, &format!("job show {id} {}", operator(place))).await;
        let waits = shown["waits"]["why"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        (shown["state"] == "pending" && waits.contains(why)).then_some(shown)
    })
    .await;
    assert_eq!(shown["warning"], json!(null));
}

const GRANT: &str = "--tenant acme --won 4000000 --until 2100-01-01T00:00:00+09:00";

/// A server with a tenant that pays 1,000 won a second, of a programme on such terms, and two jobs that run: the first writes a checkpoint
/// when it is told, the second does not.
async fn two_run(terms: &str) -> (Place, Madang, FakeEngine) {
    let (place, madang, engine) = up().await;
    for command in [
        "price set --accelerator cpu --won-per-hour 3600000",
        &format!("programme create ours {terms}"),
        "tenant create acme --programme ours",
        "budget set ours --won 9000000",
        &format!("allocation create first {GRANT}"),
    ] {
        json_of(&place, command).await;
    }
    let key = json_of(&place, "key create --tenant acme").await;
    place.write("acme.key", key["key"].as_str().unwrap());
    let head = "#!/bin/sh\n#MADANG time_limit = \"10m\"\n";
    let checkpoint = "#MADANG checkpoint = { signal = \"USR1\", grace = \"30s\" }\n";
    let trap = "trap 'echo saved; exit 1' USR1\necho ready\nwhile true; do sleep 0.1; done\n";
    place.write("writes.sh", format!("{head}{checkpoint}{trap}"));
    place.write("loses.sh", format!("{head}echo ready\nexec sleep 600\n"));
    for (file, id) in [("writes.sh", "1"), ("loses.sh", "2")] {
        let command = format!("job submit {file} --key-file acme.key");
        assert_eq!(json_of(&place, &command).await["id"], id);
        ready(&place, &madang, (id, 1)).await;
    }
    (place, madang, engine)
}

/// Waits until a run of a job runs, of so many, and has said so.
async fn ready(place: &Place, madang: &Madang, (id, runs): (&str, usize)) {
    wait_for(&format!("run {runs} of job {id} is ready"), async || {
        let all = runs_of(madang, id).await;
        let log = place
            .run(&["job", "logs", id, "--key-file", "acme.key"])
            .await;
        let runs_now = all.len() == runs && all.last()?["state"] == "running";
        (runs_now && log.out.ends_with("ready\n")).then_some(())
    })
    .await;
}

async fn runs_of(madang: &Madang, id: &str) -> Vec<Value> {
    let path = format!("/api/v1/jobs/{id}/runs");
    let runs = madang.operate(Method::GET, &path, Value::Null).await;
    runs["data"].as_array().unwrap().clone()
}

/// Withdraws both jobs; then nothing is set aside.
async fn withdraw(place: &Place) {
    for id in ["1", "2"] {
        json_of(place, &format!("job cancel {id} --key-file acme.key")).await;
        until(place, id, "cancelled").await;
    }
    nothing_set_aside(place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_switch_stops_what_runs_until_it_is_lifted() {
    let (place, mut madang, _engine) = two_run("--jobs-preempted free").await;
    json_of(&place, "stop site here --reason maintenance").await;
    for id in ["1", "2"] {
        until_waits(&place, id, "an operator stopped here (site:here)").await;
        let run = &runs_of(&madang, id).await[0];
        let said = (&run["outcome"], &run["stopped_for"]);
        assert_eq!(said, (&json!("stopped"), &json!("switch")));
        // Who wrote its checkpoint pays for what it had, who lost it does not.
        assert_eq!(run["micro_won"].is_null(), id == "2", "{run}");
    }
    json_of(&place, "stop lift site:here").await;
    for id in ["1", "2"] {
        ready(&place, &madang, (id, 2)).await;
    }
    withdraw(&place).await;
    assert_eq!(madang.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_ends_stops_what_runs_or_lets_it_run_on() {
    let (place, mut madang, _engine) =
        two_run("--jobs-when-ended stop --jobs-preempted free").await;
    json_of(&place, "allocation recall first").await;
    let why = "no budget: nothing that 'acme' was granted pays now for accelerators 'cpu'";
    for id in ["1", "2"] {
        until_waits(&place, id, why).await;
        let run = &runs_of(&madang, id).await[0];
        assert_eq!(run["stopped_for"], "budget");
        assert!(run["micro_won"].as_i64().unwrap() > 0, "{run}");
    }
    json_of(&place, "programme set ours --jobs-when-ended run_on").await;
    json_of(&place, &format!("allocation create second {GRANT}")).await;
    for id in ["1", "2"] {
        ready(&place, &madang, (id, 2)).await;
    }
    json_of(&place, "allocation recall second").await;
    let command = format!("job list {}", operator(&place));
    let words: Vec<&str> = command.split(' ').collect();
    let warned = wait_for("a warning", async || {
        let listed = place.run(&words).await.expect_code(0);
        let is_told = listed.out.contains("job 1 warning: 1-2: no budget");
        is_told.then_some(listed.out)
    })
    .await;
    assert!(warned.contains("it runs until its time limit"), "{warned}");
    let said = madang.said();
    assert!(said.contains("no budget for jobs"), "{said}");
    let top = place.run(&["top", "--once"]).await.expect_code(0);
    let line = "jobs: 0 tasks waiting, 0 starting, 2 running, 0 stopping";
    assert!(top.out.contains(line), "{}", top.out);
    let stopped = madang.gauge("madang_job_stops_total{reason=\"budget\"}");
    assert_eq!(stopped.await, 2);
    let running = madang.gauge("madang_job_runs{site=\"here\",state=\"running\"}");
    assert_eq!(running.await, 2);
    withdraw(&place).await;
    assert_eq!(madang.stop().await, 0);
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
    place.write("d.toml", "name = \"m\"\ncommand = [\"/nowhere/x\"]\n");
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

/// What a DCGM exporter tells of two accelerators: the first is little used, the second much.
const DCGM: &str = "# TYPE DCGM_FI_DEV_GPU_UTIL gauge\n\
    DCGM_FI_DEV_GPU_UTIL{gpu=\"0\",UUID=\"GPU-a\",modelName=\"NVIDIA H200\"} 3\n\
    DCGM_FI_DEV_GPU_UTIL{gpu=\"1\",UUID=\"GPU-b\",modelName=\"NVIDIA H200\"} 95\n";

/// A machine that the exporter measures each second, a tenant with 5 hours, and two tasks that run there. Gives the job's id.
async fn measured(place: &Place, engine: &FakeEngine, dcgm: &Pages) -> String {
    let url = dcgm.url("");
    let local = format!("executor = \"local\", dcgm_url = \"{url}\"");
    let nodes = NODES.replace("executor = \"local\"", &local);
    let terms = "\n[jobs]\nmeasure_ms = 1000\n";
    let fleet = HEAD.to_owned() + &nodes + &url_replica("a", engine.url()) + terms;
    place.write("fleet.toml", fleet);
    for command in [
        "reload",
        "programme create ours",
        "tenant create acme --programme ours",
        "budget set ours --accelerator-hours 10",
        "allocation create hours --tenant acme --accelerator-hours 5 --until 2100-01-01T00:00:00+09:00",
    ] {
        json_of(place, command).await;
    }
    let key = json_of(place, "key create --tenant acme").await;
    place.write("acme.key", key["key"].as_str().unwrap());
    let two = "command = [\"sleep\", \"600\"]\ntime_limit = \"20m\"\n[array]\ntasks = 2\n";
    place.write("two.toml", two);
    let submitted = json_of(place, "job submit two.toml --key-file acme.key").await;
    submitted["id"].as_str().unwrap().to_owned()
}

/// The report, once more was measured than so much and the run that is little used is told.
async fn told_idle(place: &Place, least_ms: u64) -> Value {
    wait_for("it is measured", async || {
        let told = json_of(place, "report idle --after-s 0 --tenant acme").await;
        let measured = told["awards"][0]["measured_ms"].as_u64()?;
        (measured > least_ms && told["runs"][0]["run"].is_string()).then_some(told)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dcgm_exporter_tells_of_runs_is_kept_and_told_per_award() {
    let (place, mut madang, engine) = up().await;
    let dcgm = Pages::serve().await.unwrap();
    dcgm.set("/metrics", PageAnswer::Whole(200, DCGM.to_owned()));
    let id = measured(&place, &engine, &dcgm).await;
    let first = told_idle(&place, 3_000).await;
    let run = &first["runs"][0];
    let named = [
        &run["tenant"],
        &run["nodes"],
        &run["allocations"][0],
        &run["ended"],
    ];
    let expected = [json!("acme"), json!("here"), json!("hours"), json!(false)];
    assert_eq!(named, expected.each_ref());
    let permille = run["busy_permille"].as_u64().unwrap();
    assert!((20..=30).contains(&permille), "{run}");
    let runs = first["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 1, "the other is busy: {first}");
    // Sums outlive Madang, and what nobody looked at is not in them.
    madang.kill().await;
    madang = place.up_with(&[]).await;
    let before = first["awards"][0]["measured_ms"].as_u64().unwrap();
    let later = told_idle(&place, before).await;
    assert_eq!(later["runs"][0]["run"], run["run"]);
    let award = &later["awards"][0];
    let [measured, idle] = ["measured_ms", "idle_ms"].map(|key| award[key].as_u64().unwrap());
    let idle_permille = idle * 1_000 / measured;
    assert!((400..600).contains(&idle_permille), "one of two: {award}");
    json_of(&place, &format!("job cancel {id} --key-file acme.key")).await;
    until(&place, &id, "cancelled").await;

    let words = ["report", "idle", "--after-s", "0"];
    let shown = place.run(&words).await.expect_code(0);
    for part in ["less than 20 % busy", "over", "hours of machines"] {
        assert!(shown.out.contains(part), "{part}: {}", shown.out);
    }
    let csv = place.run(&["report", "idle", "--csv"]).await.expect_code(0);
    let row = "\r\nhours,ours,acme,accelerator_ms,,";
    assert!(csv.out.contains(row), "{}", csv.out);
    let recalled = json_of(&place, "allocation recall hours --notice 7d").await;
    let listed = json_of(&place, "allocation list").await;
    assert_eq!(listed["data"][0]["recalled_at"], recalled["recalled_at"]);
    let words = ["allocation", "recall", "hours", "--notice", "soon"];
    let wrong = place.run(&words).await;
    assert!(wrong.err.contains("write it as 12h or 7d"), "{}", wrong.err);
    assert_eq!(madang.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_array_is_told_of_begun_anew_and_withdrawn_like_any_other() {
    let (place, mut madang, _engine) = up().await;
    let script = "[ $MADANG_TASK -lt 4 ] || exec sleep 600";
    let many = format!("command = [\"sh\", \"-c\", \"{script}\"]\n[array]\ntasks = 100000\n");
    place.write("many.toml", many);
    place.write("one.toml", "command = [\"true\"]\n");
    assert_eq!(json_of(&place, "job submit many.toml").await["id"], "1");
    assert_eq!(json_of(&place, "job submit one.toml").await["id"], "2");
    // So many of its runs were told to begin anew, and two run.
    let two_run_after = async |requeued: usize, all: usize| {
        wait_for(&format!("{all} runs, {requeued} begun anew"), async || {
            let runs = runs_of(&madang, "1").await;
            let of = |key: &str, word: &str| runs.iter().filter(|run| run[key] == word).count();
            let found = (
                runs.len(),
                of("state", "running"),
                of("stopped_for", "requeued"),
            );
            (found == (all, 2, requeued)).then_some(())
        })
        .await;
    };
    two_run_after(0, 6).await;
    let shown = json_of(&place, "job show 1").await;
    let counts = json!({"pending": 99_994, "running": 2, "completed": 4, "failed": 0});
    assert_eq!(shown["tasks"], counts);
    let behind = json_of(&place, "job show 2").await;
    let why = behind["waits"]["why"].as_str().unwrap();
    assert!(why.contains("before it"), "{why}");
    let listed = place.run(&["job", "list"]).await.expect_code(0);
    assert!(listed.out.contains("100000"), "{}", listed.out);

    json_of(&place, "job requeue 1").await;
    two_run_after(2, 8).await;
    json_of(&place, "job hold 1").await;
    let held = json_of(&place, "job show 1").await;
    let why = held["waits"]["why"].as_str().unwrap();
    assert!(why.contains("held back"), "{why}");
    json_of(&place, "job cancel 1").await;
    until(&place, "1", "cancelled").await;
    until(&place, "2", "completed").await;
    nothing_set_aside(&place).await;
    assert_eq!(madang.stop().await, 0);
}
