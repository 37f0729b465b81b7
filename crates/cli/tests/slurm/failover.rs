//! The gateway that drives jobs is killed while one stands still for want of power on a cluster that two gateways reach.

use super::harness::{Madang, Place, json_of, sees_run, wait_for};
use super::{fleet, job_name};
use madang_testkit::{Database, FakeEngine, FakeEngineOptions, Postgres, Slurm, SlurmRelease};
use serde_json::Value;
use std::path::PathBuf;

/// It stands still where nothing was said in so many looks, one after the other.
const QUIET_LOOKS: u32 = 100;

/// Two gateways; the first one drives.
struct Pair {
    places: [Place; 2],
    gateways: Vec<Madang>,
    cluster: Slurm,
    runs: tempfile::TempDir,
    // In order of dropping: the database goes before its server.
    database: Database,
    _server: Postgres,
    _engine: FakeEngine,
}

impl Pair {
    /// None where this machine can have no Slurm.
    async fn up() -> Option<Self> {
        let cluster = Slurm::shared(SlurmRelease::Packaged).unwrap()?;
        let runs = tempfile::tempdir_in(cluster.runs()).unwrap();
        let engine = FakeEngine::start(FakeEngineOptions::default()).await;
        let server = Postgres::shared().unwrap();
        let database = server.database().unwrap();
        let more = format!(
            "shell = [\"env\", \"SLURM_CONF={}\", \"sh\", \"-c\"]\naccount = \"root\"\nqos = \"normal\"\n\n\
             [power]\nlook_ms = 200\nhold_ms = 500\nreturn_ms = 500\nrise_milli_per_s = 0\n",
            cluster.conf().display()
        );
        let text = fleet(runs.path(), &engine, &more);
        let places = [Place::new(), Place::new()];
        let mut gateways = Vec::new();
        for place in &places {
            place.write("fleet.toml", &text);
            let mut gateway = place.start(&["--store", &database.url()]);
            match gateways.is_empty() {
                true => gateway.ready().await,
                false => gateway.listening().await,
            }
            gateways.push(gateway);
        }
        places[1].copy_keys_of(&places[0]);
        Some(Self {
            places,
            gateways,
            cluster,
            runs,
            database,
            _server: server,
            _engine: engine,
        })
    }

    /// Waits until power stands as it should by the word of one of them.
    async fn until(&self, at: usize, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, async || {
            let power = json_of(&self.places[at], "power status here").await;
            is_so(&power).then_some(power)
        })
        .await
    }

    fn file(&self) -> PathBuf {
        self.runs.path().join("ticks")
    }

    /// How often the job has said that it runs.
    fn ticks(&self) -> u64 {
        std::fs::metadata(self.file()).map_or(0, |file| file.len())
    }

    async fn until_still(&self) {
        let (mut last, mut quiet) = (0, 0);
        wait_for("it stands still", async || {
            let now = self.ticks();
            quiet = if now == last { quiet + 1 } else { 0 };
            last = now;
            (quiet >= QUIET_LOOKS).then_some(())
        })
        .await;
    }

    async fn until_it_goes(&self, count: u64) {
        let before = self.ticks();
        let goes = async || (self.ticks() >= before + count).then_some(());
        wait_for("it goes on", goes).await;
    }

    async fn shown(&self, id: &str) -> Value {
        json_of(
            &self.places[1],
            &format!("job show {id} --key-file tenant.key"),
        )
        .await
    }
}

fn pauses(power: &Value) -> bool {
    power["acts"][0]["kind"] == "pause"
}

#[tokio::test(flavor = "multi_thread")]
async fn who_drives_next_has_the_run_of_the_one_before_stand_and_go_on_and_loses_it_not() {
    let Some(mut pair) = Pair::up().await else {
        return;
    };
    for place in &pair.places {
        std::fs::copy(place.data().join("tenant.key"), place.path("tenant.key")).unwrap();
    }
    let job = format!(
        "name = \"bends\"\ncommand = [\"sh\", \"-c\", \"while :; do echo >> {}; sleep 0.05; done\"]\ntime_limit = \"20m\"\n\
         [resources]\ncount = 1\naccelerator = \"h200\"\n[flex]\npause = \"1h\"\n",
        pair.file().display()
    );
    pair.places[0].write("job.toml", job);
    let submitted = json_of(&pair.places[0], "job submit job.toml --key-file tenant.key").await;
    let id = submitted["id"].as_str().unwrap().to_owned();
    pair.until_it_goes(1).await;
    let all = pair.until(0, "the job is seen", sees_run).await;
    let left = all["watts"].as_u64().unwrap() - 100;
    let event = format!("power event here --to {left} --for 1h");
    let event = json_of(&pair.places[0], &event).await;
    pair.until(0, "the event is met", pauses).await;
    pair.until_still().await;
    pair.until(1, "the other one knows", pauses).await;
    let stood_at = pair.ticks();
    pair.gateways[0].kill().await;
    pair.until(1, "the other one drives", |power| {
        sees_run(power) && pauses(power)
    })
    .await;
    // Back, the first one has it noted in its own folder that the run is to stand.
    let url = pair.database.url();
    pair.gateways[0] = pair.places[0].up_with(&["--store", &url]).await;
    pair.until(0, "the first one follows", pauses).await;
    assert_eq!(pair.ticks(), stood_at, "it stood all the while");
    let cancel = format!("power cancel here {}", event["id"]);
    json_of(&pair.places[1], &cancel).await;
    // For longer than it would take the first one to say otherwise.
    pair.until_it_goes(200).await;
    let shown = pair.shown(&id).await;
    let runs = shown["runs"].as_array().unwrap();
    assert_eq!(
        (runs.len(), &shown["state"]),
        (1, &"running".into()),
        "{shown}"
    );
    let name = job_name(&id);
    let line = format!("sacct -X -n -P -D -o JobIDRaw -S now-1hours --name={name}");
    assert_eq!(pair.cluster.run(&line).unwrap().lines().count(), 1);
    json_of(
        &pair.places[1],
        &format!("job cancel {id} --key-file tenant.key"),
    )
    .await;
    let over = async || (pair.shown(&id).await["state"] == "cancelled").then_some(());
    wait_for("it is withdrawn", over).await;
    for gateway in &mut pair.gateways {
        assert_eq!(gateway.stop().await, 0);
    }
}
