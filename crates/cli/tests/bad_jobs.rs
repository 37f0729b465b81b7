//! Jobs that are wrong, or go wrong, by the commands: each is told at once with what would do, or ends in a clear state with a reason, its
//! machine free and its cost right.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::fleet::{HEAD, url_replica};
use harness::{Madang, Place, json_of, wait_for};
use http::Method;
use madang_testkit::{FakeEngine, FakeEngineOptions};
use serde_json::Value;

const NODES: &str = r#"
[[nodes]]
id = "here"
site = "here"
accelerator = "cpu"
per_node = 2
count = 1
jobs = { executor = "local", memory_mib = 1024 }
"#;
/// What `acme` was granted, in milliseconds of one accelerator.
const GRANTED_MS: i64 = 28_800_000;

/// A server whose machine takes jobs, with a folder that is open to them, and two tenants.
async fn up() -> (Place, Madang, FakeEngine) {
    let place = Place::new();
    let engine = FakeEngine::start(FakeEngineOptions::default()).await;
    let open = place.path("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::write(open.join("abd"), "abd").unwrap();
    let open = open.display();
    let jobs = format!("\n[jobs]\nstage_roots = [\"{open}\"]\nstage_writable = [\"{open}\"]\n");
    place.write(
        "fleet.toml",
        HEAD.to_owned() + NODES + &url_replica("a", engine.url()) + &jobs,
    );
    let madang = place.up_with(&[]).await;
    for command in [
        "programme create ours",
        "tenant create acme --programme ours",
        "tenant create other --programme ours",
        "budget set ours --accelerator-hours 10",
        "allocation create hours --tenant acme --accelerator-hours 8 --until 2100-01-01T00:00:00+09:00",
    ] {
        json_of(&place, command).await;
    }
    for tenant in ["acme", "other"] {
        let key = json_of(&place, &format!("key create --tenant {tenant}")).await;
        place.write(&format!("{tenant}.key"), key["key"].as_str().unwrap());
    }
    (place, madang, engine)
}

/// The second line of a job's file, and what is told of it.
const REFUSED: [(&str, &[&str]); 29] = [
    ("resource.count = 1\n", &["line 2", "^", "resources"]),
    ("resources.count = -1\n", &["line 2", "^", "-1"]),
    ("resources.count = 99999999999999\n", &["line 2", "^"]),
    (
        "resources.count = 2000000\n",
        &["line 2", "^", "resources.count: it is at most"],
    ),
    (
        "resources = { count = 3, per_node = 2 }\n",
        &["line 2", "^", "divides resources.count"],
    ),
    (
        "resources.count = 0\n",
        &["line 2", "^", "without accelerators"],
    ),
    ("resources.cpus = nan\n", &["line 2", "^"]),
    ("resources.cpus = -0.5\n", &["line 2", "^"]),
    (
        "resources.share = 0\n",
        &["line 2", "^", "resources.share: it is 1 to 1000"],
    ),
    ("resources.memory = \"-1GB\"\n", &["line 2", "^", "80GB"]),
    (
        "time_limit = \"0s\"\n",
        &["line 2", "^^", "time_limit: it is 1,000 ms to"],
    ),
    (
        "time_limit = \"-5m\"\n",
        &["line 2", "^", "90s, 30m, 4h or 2d"],
    ),
    ("time_limit = \"99999999999999999999d\"\n", &["line 2", "^"]),
    (
        "retries = 1000000\n",
        &["line 2", "^", "retries: it is at most"],
    ),
    (
        "array = { tasks = 0 }\n",
        &["line 2", "^", "array.tasks: an array has 1 to 100000"],
    ),
    (
        "array = { tasks = 100001 }\n",
        &["line 2", "^", "array.tasks: an array has 1 to 100000"],
    ),
    (
        "env.MADANG_JOB = \"7\"\n",
        &["line 2", "^", "does not begin with MADANG_"],
    ),
    (
        "output = [{ from = \"../x\", to = \"/y\" }]\n",
        &["line 2", "^", "no path inside the job's folder"],
    ),
    (
        "input = [{ from = \"/x\", to = \"y\", sha256 = \"12\" }]\n",
        &["line 2", "^", "64 hexadecimal digits"],
    ),
    // What fits nowhere: which site lacks what.
    (
        "resources.accelerator = \"h200\"\n",
        &["job_impossible", "here at here: ", "cpu"],
    ),
    (
        "resources.count = 64\n",
        &[
            "job_impossible",
            "here at here: 1 machines, each with 2 accelerators",
        ],
    ),
    (
        "resources.memory = \"4TB\"\n",
        &["job_impossible", "here at here: ", "1024 MiB"],
    ),
    // What its machines have no way to, whatever is free.
    (
        "image = \"docker.io/library/debian:12\"\n",
        &[
            "job_impossible",
            "here at here: ",
            "runs no container images",
        ],
    ),
    (
        "input = [{ from = \"/nowhere/x\", to = \"x\" }]\n",
        &[
            "job_impossible",
            "the input /nowhere/x: no folder that is open",
        ],
    ),
    (
        "input = [{ from = \"https://data.example/x\", to = \"x\" }]\n",
        &[
            "job_impossible",
            "the host data.example is not open to jobs",
        ],
    ),
    (
        "output = [{ from = \"out\", to = \"s3://corpus/out\" }]\n",
        &["job_impossible", "no bucket that is open to jobs holds it"],
    ),
    // A job that is not there yet cannot be waited for: so nobody waits for itself, nor two for each other.
    (
        "after = [{ job = \"2\" }]\n",
        &["field_invalid", "there is no job 2 to wait for"],
    ),
    // Nor one of another tenant's, whether it is there or not.
    (
        "after = [{ job = \"1\" }]\n",
        &["field_invalid", "there is no job 1 to wait for"],
    ),
    (
        "secrets = [\"HF_TOKEN\"]\n",
        &["field_invalid", "HF_TOKEN", "madang secret put"],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_told_before_it_waits() {
    let (place, mut madang, _engine) = up().await;
    place.write("theirs.toml", "command = [\"sleep\", \"600\"]\n");
    let theirs = json_of(&place, "job submit theirs.toml --key-file other.key").await;
    assert_eq!(theirs["id"], "1");
    let submit = async |name: &str, expected: &[&str]| {
        let words = ["job", "submit", name, "--key-file", "acme.key"];
        let refused = place.run(&words).await.expect_code(1);
        for part in expected {
            let found = refused.err.contains(part);
            assert!(found, "{part:?} is not in {}", refused.err);
        }
    };
    for (text, expected) in REFUSED {
        place.write("a.toml", format!("command = [\"true\"]\n{text}"));
        submit("a.toml", expected).await;
        // A script says the same in its own lines.
        let line = expected[0].starts_with("line");
        if let (true, Some(said)) = (line, text.lines().next()) {
            place.write("a.sh", format!("#!/bin/sh\n#MADANG {said}\ntrue\n"));
            submit("a.sh", expected).await;
        }
    }
    place.write("a.toml", b"command = [\"\xff\"]\n");
    submit("a.toml", &["is not UTF-8"]).await;
    place.write("a.toml", "#".repeat(300_000));
    submit("a.toml", &["has more than 262144 bytes"]).await;
    submit("nowhere.toml", &["cannot read nowhere.toml"]).await;
    let listed = json_of(&place, "job list --key-file acme.key").await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 0);
    assert_eq!(madang.stop().await, 0);
}

/// Of a script, what its file says besides, its run's outcome, and what is told of it.
const ENDS: [(&str, &str, &str, &str); 10] = [
    (
        "true",
        "input = [{ from = \"OPEN/none\", to = \"x\" }]",
        "not_started",
        "none",
    ),
    (
        "true",
        "input = [{ from = \"OPEN/abd\", to = \"x\", sha256 = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\" }]",
        "not_started",
        "ba7816bf",
    ),
    ("exec /no/such/program", "", "failed", "127"),
    ("exit 3", "", "failed", "3"),
    ("kill -KILL $$", "", "failed", "137"),
    (
        "true",
        "output = [{ from = \"out\", to = \"OPEN/out\" }]",
        "not_kept",
        "out",
    ),
    (
        "echo x > out",
        "output = [{ from = \"out\", to = \"OPEN/abd/out\" }]",
        "not_kept",
        "abd/out",
    ),
    // It ignores what it is told, and so do those that it leaves behind; its limit is its end all the same.
    (
        "trap '' TERM INT HUP USR1; (setsid sleep 98766 &) ; while :; do sleep 0.1; done",
        "time_limit = \"1s\"",
        "timed_out",
        "",
    ),
    // Who is gone and leaves others behind is over, and they with it.
    (
        "(setsid sleep 98766 &); (trap '' TERM; sleep 98766 &)",
        "",
        "completed",
        "",
    ),
    // What nobody reads is not kept without end.
    ("yes | head -c 50000000", "", "completed", ""),
];

async fn runs_of(madang: &Madang, id: &str) -> Vec<Value> {
    let path = format!("/api/v1/jobs/{id}/runs");
    let runs = madang.operate(Method::GET, &path, Value::Null).await;
    runs["data"].as_array().unwrap().clone()
}

/// The only run of a job, once the job is over.
async fn over(place: &Place, madang: &Madang, id: &str) -> (Value, Value) {
    let show = format!("job show {id} --key-file acme.key");
    let job = wait_for(&format!("job {id} is over"), async || {
        let shown = json_of(place, &show).await;
        (!shown["ended_at"].is_null()).then_some(shown)
    })
    .await;
    let mut runs = runs_of(madang, id).await;
    assert_eq!(runs.len(), 1, "{runs:?}");
    (job, runs.remove(0))
}

/// Processes of this machine that a job of this test left.
fn left_behind() -> usize {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let of_ours = all.filter(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        line.starts_with(b"sleep\x0098766\x00")
    });
    of_ours.count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_ends_with_a_reason_its_machine_free_and_its_cost_right() {
    let (place, mut madang, _engine) = up().await;
    let open = place.path("open").display().to_string();
    let mut used_ms = 0;
    for (script, says, outcome, told) in ENDS {
        let says = says.replace("OPEN", &open);
        let text = format!("#!/bin/sh\n#MADANG {says}\n#MADANG resources.count = 2\n{script}\n");
        place.write("job.sh", text.replace("#MADANG \n", ""));
        let submitted = json_of(&place, "job submit job.sh --key-file acme.key").await;
        let (job, run) = over(&place, &madang, submitted["id"].as_str().unwrap()).await;
        assert_eq!(run["outcome"], outcome, "{script}, {says}: {run}");
        let state = match outcome {
            "completed" | "timed_out" => outcome,
            _ => "failed",
        };
        assert_eq!(job["state"], state, "{job}");
        let why = format!("{} {} {}", job["why"], run["why"], run["exit_code"]);
        assert!(why.contains(told), "{script}, {says}: {why}");
        // Who never began pays nothing; who did pays for what it held, and not for the time that it took to be killed after its limit.
        let ms = run["accelerator_ms"].as_i64().unwrap_or(0);
        assert_eq!(
            run["started_at"].is_null(),
            outcome == "not_started",
            "{run}"
        );
        assert_eq!(ms == 0, outcome == "not_started", "{run}");
        used_ms += ms.min(job["spec"]["time_limit_ms"].as_i64().unwrap() * 2);
    }
    assert_eq!(left_behind(), 0, "processes of runs that are over");
    let listed = json_of(&place, "allocation list --tenant acme").await;
    // Each run is paid to the next millisecond, and shown to the last.
    let paid_ms = GRANTED_MS - listed["data"][0]["left"].as_i64().unwrap();
    let rounded_ms = paid_ms - used_ms;
    let most = i64::try_from(ENDS.len()).unwrap();
    assert!(
        (0..=most).contains(&rounded_ms),
        "{paid_ms} ms for {used_ms}"
    );
    let verified = place.run(&["ledger", "verify"]).await.expect_code(0);
    let sound = verified.out.contains(", 0 open reservations");
    assert!(sound, "{}", verified.out);
    // Both accelerators are free.
    place.write("last.toml", "command = [\"true\"]\nresources.count = 2\n");
    let words = [
        "job",
        "submit",
        "last.toml",
        "--wait",
        "--key-file",
        "acme.key",
    ];
    place.run(&words).await.expect_code(0);
    assert_eq!(madang.stop().await, 0);
}
