//! Batch jobs on a real Slurm, from the command to the ledger: what is booked is what the cluster's own accounting says.

mod harness;

use harness::fleet::{HEAD, url_replica};
use harness::{Place, wait_for};
use madang_testkit::{FakeEngine, FakeEngineOptions, Slurm};

fn fleet(cluster: &Slurm, runs: &std::path::Path, engine: &FakeEngine) -> String {
    let conf = cluster.conf();
    let nodes = format!(
        r#"
[[nodes]]
id = "slurm-h200"
site = "here"
accelerator = "h200"
per_node = 8
count = 1
jobs = {{ executor = "slurm", cluster = "sim" }}

[[jobs.slurm]]
id = "sim"
folder = "{runs}"
mounted = "{runs}"
shell = ["env", "SLURM_CONF={conf}", "sh", "-c"]
prefix = "up{pid}"
account = "root"
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
    place.write("fleet.toml", fleet(&cluster, runs.path(), &engine));
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
