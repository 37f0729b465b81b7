//! Batch jobs on a real Slurm, from the command to the ledger: what is booked is what the cluster's own accounting says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::fleet::{HEAD, url_replica};
use harness::{Madang, Place, wait_for};
use madang_testkit::{FakeEngine, FakeEngineOptions, Slurm};
use serde_json::Value;
use std::path::Path;

/// A Madang whose jobs run on the cluster that all tests share.
struct Site {
    madang: Madang,
    place: Place,
    cluster: Slurm,
    _engine: FakeEngine,
    _runs: tempfile::TempDir,
}

impl Site {
    /// With these further keys of its `[[jobs.slurm]]`; none where this machine can have no Slurm.
    async fn up(more: &str) -> Option<Self> {
        let cluster = Slurm::shared().unwrap()?;
        let place = Place::new();
        let runs = tempfile::tempdir_in(cluster.runs()).unwrap();
        let engine = FakeEngine::start(FakeEngineOptions::default()).await;
        let madang = place.up(&fleet(&cluster, runs.path(), &engine, more)).await;
        Some(Self {
            madang,
            place,
            cluster,
            _engine: engine,
            _runs: runs,
        })
    }

    /// What a command prints for programs.
    async fn json(&self, command: &str) -> Value {
        let words: Vec<&str> = command.split(' ').collect();
        self.place.json(&words).await
    }

    /// Submits a job of the tenant whose key is in `tenant.key`; its number.
    async fn submit(&self, job: &str) -> String {
        self.place.write("job.toml", job);
        let submitted = self.json("job submit job.toml --key-file tenant.key").await;
        submitted["id"].as_str().unwrap().to_owned()
    }

    /// A job, as its tenant is shown it.
    async fn shown(&self, id: &str) -> Value {
        self.json(&format!("job show {id} --key-file tenant.key"))
            .await
    }

    /// Waits until a job stands so; what its tenant is shown then.
    async fn until_state(&self, id: &str, state: &str) -> Value {
        wait_for(&format!("job {id} is {state}"), async || {
            let shown = self.shown(id).await;
            (shown["state"] == state).then_some(shown)
        })
        .await
    }

    /// Waits until a line of the cluster's shell prints that.
    async fn until_told(&self, line: &str, expected: &str) {
        wait_for(&format!("{line}: {expected}"), async || {
            let told = self.cluster.run(line).expect("the cluster answers");
            (told == expected).then_some(())
        })
        .await;
    }

    /// Waits until the accounting has the end of a job's first run; how long it took there, in seconds.
    async fn elapsed_s(&self, id: &str) -> u64 {
        let name = job_name(id);
        let line = format!("sacct -X -n -P -o End,ElapsedRaw -S now-1hours --name={name}");
        wait_for("the accounting has it", async || {
            let told = self.cluster.run(&line).ok()?;
            let (end, elapsed) = told.split_once('|')?;
            elapsed.parse().ok().filter(|_| end != "Unknown")
        })
        .await
    }

    /// A tenant of a programme that has granted it 100 accelerator-hours, with a key in `tenant.key`.
    async fn granted(&self, tenant: &str, programme: &str) {
        for command in [
            format!("programme create {programme}"),
            format!("tenant create {tenant} --programme {programme} --weight 7"),
            format!("budget set {programme} --accelerator-hours 1000"),
            format!(
                "allocation create {tenant}-hours --tenant {tenant} --accelerator-hours 100 --until 2100-01-01T00:00:00+09:00"
            ),
        ] {
            self.json(&command).await;
        }
        let key = self.json(&format!("key create --tenant {tenant}")).await;
        let key = key["key"].as_str().expect("a key is told");
        self.place.write("tenant.key", key);
    }
}

/// What the first run of a job is called on the cluster.
fn job_name(id: &str) -> String {
    format!("up{}-{id}-1", std::process::id())
}

/// A job of one accelerator.
fn job_of_one(command: &str) -> String {
    format!(
        "name = \"one\"\ncommand = {command}\ntime_limit = \"10m\"\n[resources]\ncount = 1\naccelerator = \"h200\"\n"
    )
}

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
    let Some(mut site) = Site::up("account = \"root\"").await else {
        return;
    };
    let job = "name = \"two\"\ncommand = [\"sh\", \"-c\", \"echo on $CUDA_VISIBLE_DEVICES; sleep 3\"]\n\
               time_limit = \"10m\"\n[resources]\ncount = 2\nper_node = 2\naccelerator = \"h200\"\n";
    site.place.write("tenant.key", &site.madang.key);
    let id = site.submit(job).await;
    // Through a kill: Slurm goes on, and the run is found again.
    site.until_state(&id, "running").await;
    site.madang.kill().await;
    site.madang = site.place.up_with(&[]).await;
    site.until_state(&id, "completed").await;
    let logs = site.place.run(&["job", "logs", &id]).await.expect_code(0);
    assert!(logs.out.starts_with("on "), "{}", logs.out);

    let elapsed_s = site.elapsed_s(&id).await;
    let shown = site.place.run(&["job", "show", &id]).await.expect_code(0);
    let seconds = format!("{}.0", elapsed_s * 2);
    assert!(
        shown.out.contains(&seconds),
        "{elapsed_s} s on two: {}",
        shown.out
    );
    assert_eq!(site.madang.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_follows_tenants_programmes_and_awards() {
    let pid = std::process::id();
    let power = format!(
        "manages = true\npower_licence = \"kw@e{pid}\"\npower_token_watts = 500\npower_tokens = 20"
    );
    let Some(mut site) = Site::up(&power).await else {
        return;
    };
    let (tenant, programme) = (format!("hanbit{pid}"), format!("centre{pid}"));
    site.granted(&tenant, &programme).await;
    let id = site.submit(&job_of_one("[\"sleep\", \"2\"]")).await;
    site.until_state(&id, "completed").await;
    // It was charged to an account and a QOS that nobody had made before.
    let name = job_name(&id);
    let payer = format!("sacct -X -n -P -o Account,QOS -S now-1hours --name={name}");
    site.until_told(&payer, &format!("{tenant}|{programme}"))
        .await;
    let weight =
        format!("sacctmgr -n -P show assoc account={tenant} user= format=fairshare | head -n 1");
    site.until_told(&weight, "7").await;
    // 6,000 minutes, and a sixteenth at most.
    let limit = format!("sacctmgr -n -P show qos {programme} format=flags,grptresmins");
    site.until_told(&limit, "NoDecay|gres/gpu:h200=6144,gres/gpu=6144")
        .await;
    // What somebody else changes is set again when something is granted.
    let other = format!("sacctmgr -i modify account {tenant} set fairshare=1");
    site.cluster.run(&other).unwrap();
    for command in [
        format!("budget set {programme} --accelerator h200 --accelerator-hours 100"),
        format!(
            "allocation create {tenant}-more --tenant {tenant} --accelerator h200 --accelerator-hours 20 --until 2100-01-01T00:00:00+09:00"
        ),
    ] {
        site.json(&command).await;
    }
    site.until_told(&limit, "NoDecay|gres/gpu:h200=7424,gres/gpu=7424")
        .await;
    site.until_told(&weight, "7").await;
    // A recall leaves what was used.
    for allocation in ["hours", "more"] {
        site.json(&format!("allocation recall {tenant}-{allocation}"))
            .await;
    }
    site.until_told(&limit, "NoDecay|gres/gpu:h200=0,gres/gpu=0")
        .await;
    let status = site.json("status").await;
    assert_eq!(status["clusters"][0]["id"], "sim");
    assert_eq!(status["clusters"][0]["faults"], serde_json::json!([]));
    assert_eq!(site.madang.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_account_on_a_cluster_waits_and_is_told_why() {
    let Some(mut site) = Site::up("manages = true").await else {
        return;
    };
    let pid = std::process::id();
    let (tenant, programme) = (format!("physics{pid}"), format!("labs{pid}"));
    // The site's own, which is not ours to change.
    let own = format!("sacctmgr -i add account {tenant}");
    site.cluster.run(&own).unwrap();
    site.granted(&tenant, &programme).await;
    let id = site.submit(&job_of_one("[\"true\"]")).await;
    let why = format!("the account {tenant} is there and is not Madang's");
    let shown = wait_for("it is told why the job waits", async || {
        let shown = site.shown(&id).await;
        shown.to_string().contains(&why).then_some(shown)
    })
    .await;
    assert_ne!(shown["state"], "completed");
    let status = site.place.run(&["status"]).await.expect_code(0);
    assert!(status.out.contains(&why), "{}", status.out);
    // It gives it to us: the job begins.
    let given = format!("sacctmgr -i modify account {tenant} set organization=madang");
    site.cluster.run(&given).unwrap();
    site.until_state(&id, "completed").await;
    assert_eq!(site.madang.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_its_site_withdraws_is_told_and_paid_to_the_second() {
    let fixed = "account = \"root\"\nqos = \"normal\"";
    let Some(mut site) = Site::up(fixed).await else {
        return;
    };
    site.granted("daon", "startups").await;
    let job = "name = \"long\"\ncommand = [\"sleep\", \"1000\"]\ntime_limit = \"1h\"\n\
               [resources]\ncount = 2\nper_node = 2\naccelerator = \"h200\"\n";
    let id = site.submit(job).await;
    let name = job_name(&id);
    // It counts as running from its being written down on: the cluster says when there is something to withdraw.
    let state = format!("squeue -h -o %T --name={name}");
    site.until_told(&state, "RUNNING").await;
    site.cluster.run(&format!("scancel --name={name}")).unwrap();
    let ended = site.until_state(&id, "cancelled").await;
    let told = ended.to_string();
    assert!(told.contains("it was withdrawn at its site"), "{told}");
    let elapsed_s = site.elapsed_s(&id).await;
    let listed = site.json("allocation list --tenant daon").await;
    let used_ms = elapsed_s * 2 * 1_000;
    assert_eq!(
        listed["data"][0]["left"],
        100 * 3_600_000 - used_ms,
        "{elapsed_s} s on two"
    );
    assert_eq!(site.madang.stop().await, 0);
}
