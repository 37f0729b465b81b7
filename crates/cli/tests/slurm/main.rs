//! Batch jobs on a real Slurm, from the command to the ledger: what is booked is what the cluster's own accounting says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod away;
mod failover;
#[path = "../harness/mod.rs"]
mod harness;

use harness::fleet::{HEAD, url_replica};
use harness::{Madang, Place, wait_for};
use http::Method;
use madang_testkit::{FakeEngine, FakeEngineOptions, Slurm, SlurmRelease};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A Madang whose jobs run on the cluster that all tests share.
struct Site {
    madang: Madang,
    place: Place,
    cluster: Slurm,
    _engine: FakeEngine,
    runs: tempfile::TempDir,
}

impl Site {
    /// With these further keys of its `[[jobs.slurm]]`; none where this machine can have no Slurm.
    async fn up(more: &str) -> Option<Self> {
        Self::up_by("", more).await
    }

    /// The same; these words go before the cluster's own shell.
    async fn up_by(words: &str, more: &str) -> Option<Self> {
        let shell = |cluster: &Slurm| {
            let conf = cluster.conf().display().to_string();
            format!("shell = [\"env\", {words}\"SLURM_CONF={conf}\", \"sh\", \"-c\"]")
        };
        Self::up_on(SlurmRelease::Packaged, shell, more).await
    }

    /// By the cluster's REST daemon alone, with tokens that are made of its key.
    async fn up_by_rest(release: SlurmRelease, more: &str) -> Option<Self> {
        let rest = |cluster: &Slurm| {
            let (url, key) = (cluster.rest().unwrap(), cluster.key());
            let key = key.display();
            format!("rest_url = \"{url}\"\nrest_user = \"root\"\nrest_key_file = \"{key}\"")
        };
        Self::up_on(release, rest, more).await
    }

    async fn up_on(
        release: SlurmRelease,
        way: impl FnOnce(&Slurm) -> String,
        more: &str,
    ) -> Option<Self> {
        let cluster = Slurm::shared(release).unwrap()?;
        let place = Place::new();
        let runs = tempfile::tempdir_in(cluster.runs()).unwrap();
        let engine = FakeEngine::start(FakeEngineOptions::default()).await;
        let more = format!("{}\n{more}", way(&cluster));
        let fleet = fleet(runs.path(), &engine, &more);
        let madang = place.up(&fleet).await;
        Some(Self {
            madang,
            place,
            cluster,
            _engine: engine,
            runs,
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

/// The fleet of one machine on the cluster; `more` are further keys of `[[jobs.slurm]]`, and what follows it.
fn fleet(runs: &Path, engine: &FakeEngine, more: &str) -> String {
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
prefix = "up{pid}"
{more}
"#,
        runs = runs.display(),
        pid = std::process::id(),
    );
    HEAD.to_owned() + &nodes + &url_replica("a", engine.url())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_booked_of_a_job_on_slurm_is_what_its_accounting_says() {
    booked_as_its_accounting_says(Site::up("account = \"root\"").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_booked_by_either_shape_of_rest_is_what_its_accounting_says() {
    for release in [SlurmRelease::Packaged, SlurmRelease::New] {
        let fixed = "account = \"root\"\nqos = \"normal\"";
        booked_as_its_accounting_says(Site::up_by_rest(release, fixed).await).await;
    }
}

async fn booked_as_its_accounting_says(site: Option<Site>) {
    let Some(mut site) = site else {
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
    // What it left on the cluster is its user's alone.
    for left in std::fs::read_dir(site.runs.path()).unwrap().flatten() {
        let mode = left.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{left:?}: {mode:o}");
    }

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

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_where_it_begins_sooner_as_the_cluster_itself_says() {
    // A machine of the cluster's others, and one that is free here.
    let more = "account = \"root\"\nqos = \"normal\"\n\
        [[nodes]]\nid = \"slurm-b200\"\nsite = \"here\"\naccelerator = \"b200\"\nper_node = 8\ncount = 1\n\
        jobs = { executor = \"slurm\", cluster = \"sim\" }\n\
        [[nodes]]\nid = \"own\"\nsite = \"here\"\naccelerator = \"cpu\"\nper_node = 8\ncount = 1\njobs = { executor = \"local\" }";
    let Some(mut site) = Site::up(more).await else {
        return;
    };
    site.place.write("tenant.key", &site.madang.key);
    let hog = "sbatch --parsable -A root --gres=gpu:b200:8 -t 60 -o /dev/null --wrap 'sleep 1000'";
    let hog = site.cluster.run(hog).unwrap();
    let state = format!("squeue -h -o %T -j {hog}");
    site.until_told(&state, "RUNNING").await;
    // What the cluster refuses is told at once, and by whom.
    let image = "command = [\"true\"]\nimage = \"debian:12\"\nresources = { count = 1, accelerator = \"h200\" }\n";
    site.place.write("image.toml", image);
    let refused = site.place.run(&["job", "submit", "image.toml"]).await;
    let told = refused.err + &refused.out;
    assert!(
        told.contains("job_impossible")
            && told.contains("slurm-h200 at here: the cluster sim runs no container images"),
        "{told}"
    );
    // Who comes before jobs are driven at all is weighed by what is known when they are.
    let first = "command = [\"true\"]\nresources = { count = 1, accelerator = \"cpu\" }\n";
    let first = site.submit(first).await;
    site.until_state(&first, "completed").await;
    let job = "name = \"any\"\ncommand = [\"true\"]\ntime_limit = \"10m\"\n\
        [resources]\ncount = 8\nper_node = 8\naccelerator = [\"b200\", \"cpu\"]\n";
    let id = site.submit(job).await;
    site.until_state(&id, "completed").await;
    let path = format!("/api/v1/jobs/{id}/runs");
    let runs = site.madang.operate(Method::GET, &path, Value::Null).await;
    let shown = site.place.run(&["job", "show", &id]).await.expect_code(0);
    site.cluster.run(&format!("scancel {hog}")).unwrap();
    let chosen = &runs["data"][0];
    assert_eq!(chosen["nodes"], "own", "{runs}");
    let others = chosen["candidates"].as_array().unwrap();
    let there = others.iter().find(|one| one["nodes"] == "slurm-b200");
    let foretold_ms = there.unwrap()["foretold_ms"].as_u64();
    assert!(
        foretold_ms.is_some_and(|ms| ms > 3_000_000),
        "the other one has an hour: {runs}"
    );
    assert!(shown.out.contains("SITE SAYS"), "{}", shown.out);
    assert_eq!(site.madang.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_on_slurm_stands_still_while_power_is_short_and_is_paid_as_its_accounting_says() {
    let more = "account = \"root\"\nqos = \"normal\"\n\
        [power]\nlook_ms = 200\nhold_ms = 500\nreturn_ms = 500\n\
        [[site]]\nid = \"there\"\ncountry = \"KR\"\n\
        [[nodes]]\nid = \"atoms\"\nsite = \"there\"\naccelerator = \"atom\"\nper_node = 8\ncount = 1\n\
        power = { idle_watts = 10, full_watts = 200 }\n\
        jobs = { executor = \"slurm\", cluster = \"sim\", gres = \"npu:atom\" }";
    let Some(mut site) = Site::up(more).await else {
        return;
    };
    site.granted("bora", "labs").await;
    let ticks = site.place.data().join("ticks");
    let command = format!(
        "[\"sh\", \"-c\", \"while :; do echo >> {}; sleep 0.02; done\"]",
        ticks.display()
    );
    let job = format!(
        "name = \"bends\"\ncommand = {command}\ntime_limit = \"10m\"\nflex.pause = \"1h\"\n\
         [resources]\ncount = 8\nper_node = 8\naccelerator = \"atom\"\n"
    );
    let id = site.submit(&job).await;
    let size = || std::fs::metadata(&ticks).map_or(0, |file| file.len());
    wait_for("it runs", async || (size() > 0).then_some(())).await;
    let power = async |what: &str, is_so: &dyn Fn(&Value) -> bool| {
        wait_for(what, async || {
            let power = site.json("power status there").await;
            is_so(&power).then_some(power)
        })
        .await
    };
    power("it draws", &|power| power["watts"] == 1_600).await;
    site.json("power cap there 500").await;
    let met = power("it stands still", &|power| power["watts"] == 80).await;
    assert_eq!(met["acts"][0]["kind"], "pause", "{met}");
    // The act and what it brought are in the log.
    power("the act's effect is told", &|power| {
        let log = power["log"].to_string();
        log.contains("stands still") && log.contains("1520")
    })
    .await;
    let (mut last, mut quiet) = (0, 0);
    wait_for("nothing is said any more", async || {
        let now = size();
        quiet = if now == last { quiet + 1 } else { 0 };
        last = now;
        (quiet > 20).then_some(())
    })
    .await;
    site.json("power cap there none").await;
    let still = size();
    wait_for("it goes on", async || (size() > still).then_some(())).await;
    site.json(&format!("job cancel {id} --key-file tenant.key"))
        .await;
    site.until_state(&id, "cancelled").await;
    let elapsed_s = site.elapsed_s(&id).await;
    let listed = site.json("allocation list --tenant bora").await;
    assert_eq!(
        listed["data"][0]["left"],
        100 * 3_600_000 - elapsed_s * 8 * 1_000,
        "{elapsed_s} s on eight"
    );
    assert_eq!(site.madang.stop().await, 0);
}
