//! Batch jobs on a real Slurm, from the command to the ledger: what is booked is what the cluster's own accounting says.

mod harness;

use harness::fleet::{HEAD, url_replica};
use harness::{Place, wait_for};
use madang_testkit::{FakeEngine, FakeEngineOptions, Slurm};
use serde_json::Value;
use std::path::Path;

/// The fleet of one machine on the cluster; `more` are further keys of it, the last one's of `[[jobs.slurm]]`.
fn fleet(cluster: &Slurm, runs: &Path, engine: &FakeEngine, more: &str) -> String {
    let conf = cluster.conf();
    let watts = if more.contains("power_licence") {
        ", watts = 1500"
    } else {
        ""
    };
    let nodes = format!(
        r#"
[[nodes]]
id = "slurm-h200"
site = "here"
accelerator = "h200"
per_node = 8
count = 1
jobs = {{ executor = "slurm", cluster = "sim", gres = "gpu:h200"{watts} }}

[[jobs.slurm]]
id = "sim"
folder = "{runs}"
mounted = "{runs}"
shell = ["env", "SLURM_CONF={conf}", "sh", "-c"]
prefix = "up{pid}"
{more}
"#,
        runs = runs.display(),
        conf = conf.display(),
        pid = std::process::id(),
    );
    HEAD.to_owned() + &nodes + &url_replica("a", engine.url())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_booked_of_a_job_on_slurm_is_what_its_accounting_says() {
    let Some(cluster) = Slurm::shared().unwrap() else {
        return;
    };
    let place = Place::new();
    let runs = tempfile::tempdir_in(cluster.runs()).unwrap();
    let engine = FakeEngine::start(FakeEngineOptions::default()).await;
    place.write(
        "fleet.toml",
        fleet(&cluster, runs.path(), &engine, "account = \"root\""),
    );
    let mut madang = place.up_with(&[]).await;
    let job = "name = \"two\"\ncommand = [\"sh\", \"-c\", \"echo on $CUDA_VISIBLE_DEVICES; sleep 3\"]\n\
               time_limit = \"10m\"\n[resources]\ncount = 2\nper_node = 2\naccelerator = \"h200\"\n";
    place.write("two.toml", job);
    let submitted = place.json(&["job", "submit", "two.toml"]).await;
    let id = submitted["id"].as_str().unwrap().to_owned();
    // Through a kill: Slurm goes on, and the run is found again.
    let runs_of = async |id: &str| {
        let operator = place.data().join("operator.key");
        let listed = [
            "job",
            "show",
            id,
            "--key-file",
            &operator.display().to_string(),
        ];
        place.json(&listed).await
    };
    wait_for("the job runs", async || {
        (runs_of(&id).await["state"] == "running").then_some(())
    })
    .await;
    madang.kill().await;
    madang = place.up_with(&[]).await;
    wait_for("the job has ended", async || {
        (runs_of(&id).await["state"] == "completed").then_some(())
    })
    .await;
    let logs = place.run(&["job", "logs", &id]).await.expect_code(0);
    assert!(logs.out.starts_with("on "), "{}", logs.out);

    let name = format!("up{}-{id}-1", std::process::id());
    let line = format!("sacct -X -n -P -o ElapsedRaw -S now-1hours --name={name}");
    let elapsed = wait_for("the accounting has it", async || {
        let told = cluster.run(&line).ok()?;
        told.trim().parse::<u64>().ok()
    })
    .await;
    let shown = place.run(&["job", "show", &id]).await.expect_code(0);
    let seconds = format!("{}.0", elapsed * 2);
    assert!(
        shown.out.contains(&seconds),
        "{elapsed} s on two: {}",
        shown.out
    );
    assert_eq!(madang.stop().await, 0);
}

async fn json_of(place: &Place, command: &str) -> Value {
    let words: Vec<&str> = command.split(' ').collect();
    place.json(&words).await
}

/// Waits until a line of the cluster's shell prints that.
async fn until_told(cluster: &Slurm, line: &str, expected: &str) {
    wait_for(&format!("{line}: {expected}"), async || {
        let told = cluster.run(line).expect("the cluster answers");
        (told == expected).then_some(())
    })
    .await;
}

/// A tenant of a programme that has granted it 100 accelerator-hours, with a key in `tenant.key`.
async fn granted(place: &Place, tenant: &str, programme: &str) {
    for command in [
        format!("programme create {programme}"),
        format!("tenant create {tenant} --programme {programme} --weight 7"),
        format!("budget set {programme} --accelerator-hours 1000"),
        format!(
            "allocation create {tenant}-hours --tenant {tenant} --accelerator-hours 100 --until 2100-01-01T00:00:00+09:00"
        ),
    ] {
        json_of(place, &command).await;
    }
    let key = json_of(place, &format!("key create --tenant {tenant}")).await;
    place.write("tenant.key", key["key"].as_str().expect("a key is told"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_follows_tenants_programmes_and_awards() {
    let Some(cluster) = Slurm::shared().unwrap() else {
        return;
    };
    let place = Place::new();
    let runs = tempfile::tempdir_in(cluster.runs()).unwrap();
    let engine = FakeEngine::start(FakeEngineOptions::default()).await;
    let pid = std::process::id();
    let power = format!(
        "manages = true\npower_licence = \"kw@e{pid}\"\npower_token_watts = 500\npower_tokens = 20"
    );
    place.write("fleet.toml", fleet(&cluster, runs.path(), &engine, &power));
    let mut madang = place.up_with(&[]).await;
    let (tenant, programme) = (format!("hanbit{pid}"), format!("centre{pid}"));
    granted(&place, &tenant, &programme).await;
    place.write(
        "one.toml",
        "name = \"one\"\ncommand = [\"sleep\", \"2\"]\ntime_limit = \"10m\"\n[resources]\ncount = 1\naccelerator = \"h200\"\n",
    );
    let submit = "job submit one.toml --key-file tenant.key";
    let id = json_of(&place, submit).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let shown = format!("job show {id} --key-file tenant.key");
    wait_for("the first job of a new tenant has ended", async || {
        let shown = json_of(&place, &shown).await;
        (shown["state"] == "completed").then_some(())
    })
    .await;
    // It was charged to an account and a QOS that nobody had made before.
    let name = format!("sacct -X -n -P -o Account,QOS -S now-1hours --name=up{pid}-{id}-1");
    until_told(&cluster, &name, &format!("{tenant}|{programme}")).await;
    let weight =
        format!("sacctmgr -n -P show assoc account={tenant} user= format=fairshare | head -n 1");
    until_told(&cluster, &weight, "7").await;
    // 6,000 minutes, and a sixteenth at most.
    let limit = format!("sacctmgr -n -P show qos {programme} format=flags,grptresmins");
    until_told(&cluster, &limit, "NoDecay|gres/gpu:h200=6144,gres/gpu=6144").await;
    // What somebody else changes is set again when something is granted.
    let other = format!("sacctmgr -i modify account {tenant} set fairshare=1");
    cluster.run(&other).unwrap();
    let more = format!(
        "allocation create {tenant}-more --tenant {tenant} --accelerator h200 --accelerator-hours 20 --until 2100-01-01T00:00:00+09:00"
    );
    json_of(
        &place,
        &format!("budget set {programme} --accelerator h200 --accelerator-hours 100"),
    )
    .await;
    json_of(&place, &more).await;
    until_told(&cluster, &limit, "NoDecay|gres/gpu:h200=7424,gres/gpu=7424").await;
    until_told(&cluster, &weight, "7").await;
    // A recall leaves what was used.
    for allocation in ["hours", "more"] {
        json_of(&place, &format!("allocation recall {tenant}-{allocation}")).await;
    }
    until_told(&cluster, &limit, "NoDecay|gres/gpu:h200=0,gres/gpu=0").await;
    let status = json_of(&place, "status").await;
    assert_eq!(status["clusters"][0]["id"], "sim");
    assert_eq!(status["clusters"][0]["faults"], serde_json::json!([]));
    assert_eq!(madang.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_account_on_a_cluster_waits_and_is_told_why() {
    let Some(cluster) = Slurm::shared().unwrap() else {
        return;
    };
    let place = Place::new();
    let runs = tempfile::tempdir_in(cluster.runs()).unwrap();
    let engine = FakeEngine::start(FakeEngineOptions::default()).await;
    place.write(
        "fleet.toml",
        fleet(&cluster, runs.path(), &engine, "manages = true"),
    );
    let mut madang = place.up_with(&[]).await;
    let pid = std::process::id();
    let (tenant, programme) = (format!("physics{pid}"), format!("labs{pid}"));
    // The site's own, which is not ours to change.
    cluster
        .run(&format!("sacctmgr -i add account {tenant}"))
        .unwrap();
    granted(&place, &tenant, &programme).await;
    place.write(
        "one.toml",
        "name = \"one\"\ncommand = [\"true\"]\ntime_limit = \"10m\"\n[resources]\ncount = 1\naccelerator = \"h200\"\n",
    );
    let submitted = json_of(&place, "job submit one.toml --key-file tenant.key").await;
    let id = submitted["id"].as_str().unwrap().to_owned();
    let why = format!("the account {tenant} is there and is not Madang's");
    let shown = format!("job show {id} --key-file tenant.key");
    let states = wait_for("it is told why the job waits", async || {
        let shown = json_of(&place, &shown).await;
        shown.to_string().contains(&why).then_some(shown)
    })
    .await;
    assert_ne!(states["state"], "completed");
    let status = place.run(&["status"]).await.expect_code(0);
    assert!(status.out.contains(&why), "{}", status.out);
    // It gives it to us: the job begins.
    let given = format!("sacctmgr -i modify account {tenant} set organization=madang");
    cluster.run(&given).unwrap();
    wait_for("the job has ended", async || {
        let shown = json_of(&place, &shown).await;
        (shown["state"] == "completed").then_some(())
    })
    .await;
    assert_eq!(madang.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_its_site_withdraws_is_told_and_paid_to_the_second() {
    let Some(cluster) = Slurm::shared().unwrap() else {
        return;
    };
    let place = Place::new();
    let runs = tempfile::tempdir_in(cluster.runs()).unwrap();
    let engine = FakeEngine::start(FakeEngineOptions::default()).await;
    let fixed = "account = \"root\"\nqos = \"normal\"";
    place.write("fleet.toml", fleet(&cluster, runs.path(), &engine, fixed));
    let mut madang = place.up_with(&[]).await;
    granted(&place, "daon", "startups").await;
    place.write(
        "long.toml",
        "name = \"long\"\ncommand = [\"sleep\", \"1000\"]\ntime_limit = \"1h\"\n[resources]\ncount = 2\nper_node = 2\naccelerator = \"h200\"\n",
    );
    let submitted = json_of(&place, "job submit long.toml --key-file tenant.key").await;
    let id = submitted["id"].as_str().unwrap().to_owned();
    let shown = format!("job show {id} --key-file tenant.key");
    let name = format!("up{}-{id}-1", std::process::id());
    // It counts as running from its being written down on: the cluster says when there is something to withdraw.
    until_told(
        &cluster,
        &format!("squeue -h -o %T --name={name}"),
        "RUNNING",
    )
    .await;
    cluster.run(&format!("scancel --name={name}")).unwrap();
    let ended = wait_for("the job is withdrawn", async || {
        let shown = json_of(&place, &shown).await;
        (shown["state"] == "cancelled").then_some(shown)
    })
    .await;
    assert!(
        ended.to_string().contains("it was withdrawn at its site"),
        "{ended}"
    );
    let line = format!("sacct -X -n -P -o ElapsedRaw -S now-1hours --name={name}");
    let elapsed_s: i64 = wait_for("the accounting has it", async || {
        let state = cluster
            .run(&format!(
                "sacct -X -n -P -o End -S now-1hours --name={name}"
            ))
            .ok()?;
        if state == "Unknown" {
            return None;
        }
        cluster.run(&line).ok()?.trim().parse().ok()
    })
    .await;
    let left = json_of(&place, "allocation list --tenant daon").await["data"][0]["left"].clone();
    assert_eq!(
        left,
        100 * 3_600_000 - elapsed_s * 2 * 1_000,
        "{elapsed_s} s on two"
    );
    assert_eq!(madang.stop().await, 0);
}
