//! Energy in the books: what engines that publish their power draw, beside a job, is two tenants' and the site's own, and adds up to what
//! the engines counted, through a kill.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::engine::Engine;
use harness::fleet::HEAD;
use harness::load::ask;
use harness::{Madang, Place, json_of, wait_for};
use madang_testkit::http_get;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::JoinSet;

/// Cooling and losses take a quarter more.
const PUE: f64 = 1.25;

/// Two engines of 100 to 400 W each that count what they draw, and a machine of two processors of 10 to 150 W each that nothing measures.
fn fleet(engines: &[Engine]) -> String {
    let head = HEAD.replace(
        "country = \"KR\"",
        &format!("country = \"KR\"\npue = {PUE}"),
    );
    let mut text = format!(
        "{head}\n[power]\nlook_ms = 200\nspan_ms = 5000\n\n\
         [[nodes]]\nid = \"here\"\nsite = \"here\"\naccelerator = \"cpu\"\nper_node = 2\ncount = 1\n\
         jobs = {{ executor = \"local\" }}\npower = {{ idle_watts = 10, full_watts = 150 }}\n"
    );
    for (number, Engine { url, .. }) in engines.iter().enumerate() {
        text += &format!(
            "\n[[replica]]\nid = \"e{number}\"\nsite = \"here\"\nmodel = \"m\"\nurl = \"{url}\"\nengine = \"vllm\"\nslots = 64\n\
             power = {{ idle_watts = 100, full_watts = 400 }}\n\n\
             [[meter]]\nid = \"m{number}\"\nsite = \"here\"\nreplica = \"e{number}\"\nkind = \"prometheus\"\nurl = \"{url}/metrics\"\n"
        );
    }
    text
}

/// Thousandths of a joule that came to accounts whose names begin so, and left them.
async fn moved(place: &Place, begin: &str) -> (i64, i64) {
    let told = json_of(place, &format!("ledger balances {begin}")).await;
    let rows = told["data"].as_array().unwrap().iter();
    let energy = rows.filter(|row| row["unit"] == "milli_joules");
    energy.fold((0, 0), |(came, left), row| {
        let of = |name: &str| row[name].as_i64().unwrap();
        (came + of("total_in"), left + of("total_out"))
    })
}

/// What is noted of energy and not booked, the oldest first.
fn notes(place: &Place) -> Vec<Value> {
    let books = rusqlite::Connection::open(place.data().join("madang.sqlite")).unwrap();
    let sql = "SELECT note FROM energy_notes ORDER BY until_us";
    let mut found = books.prepare(sql).unwrap();
    let found = found.query_map([], |row| row.get::<_, String>(0)).unwrap();
    found
        .map(|note| serde_json::from_str(&note.unwrap()).unwrap())
        .collect()
}

/// What engines had counted where whoever measures stood last, in thousandths of a joule.
fn counted(notes: &[Value]) -> Option<u64> {
    let stands = notes.iter().filter(|note| note["stand"].is_object());
    let last = stands.max_by_key(|note| note["stand"]["at"].as_i64())?;
    let meters = last["stand"]["meters"].as_object().unwrap();
    let counts: Option<Vec<u64>> = meters.values().map(|told| told[1].as_u64()).collect();
    counts
        .filter(|counts| counts.len() == 2)
        .map(|counts| counts.iter().sum())
}

fn sum_of(notes: &[Value], field: &str) -> u64 {
    notes.iter().map(|note| note[field].as_u64().unwrap()).sum()
}

/// Streams of tenants, one after the other, until they are told to end or the server is gone.
struct Load {
    ends: Arc<AtomicBool>,
    streams: JoinSet<usize>,
}

impl Load {
    /// So many streams at once of each key.
    fn start(madang: &Madang, keys: &[(String, usize)]) -> Self {
        let ends = Arc::<AtomicBool>::default();
        let mut streams = JoinSet::new();
        for (number, (key, count)) in keys.iter().enumerate() {
            for _ in 0..*count {
                let (url, key) = (madang.at("/v1/chat/completions"), key.clone());
                let ends = Arc::clone(&ends);
                streams.spawn(async move {
                    while !ends.load(Ordering::Relaxed) {
                        if ask(&url, &key, true).await.is_err() {
                            break;
                        }
                    }
                    number
                });
            }
        }
        Self { ends, streams }
    }

    async fn end(self) {
        self.ends.store(true, Ordering::Relaxed);
        self.streams.join_all().await;
    }
}

/// Waits until so much more is booked, in joules.
async fn booked(place: &Place, joules: i64) {
    let begun = moved(place, "meter:here").await.1;
    wait_for("spans are booked", async || {
        let now = moved(place, "meter:here").await.1;
        (now >= begun + joules * 1_000).then_some(())
    })
    .await;
}

async fn submit(place: &Place) -> String {
    place.write(
        "job.sh",
        "#!/bin/sh\n#MADANG name = \"burns\"\n#MADANG time_limit = \"10m\"\nwhile ! test -e go; do sleep 0.1; done\n",
    );
    let submitted = json_of(place, "job submit job.sh --key-file light.key").await;
    submitted["id"].as_str().unwrap().to_owned()
}

async fn tenants(place: &Place) -> Vec<(String, usize)> {
    let mut keys = Vec::new();
    for (tenant, streams) in [("heavy", 6), ("light", 1)] {
        json_of(place, &format!("tenant create {tenant}")).await;
        let key = json_of(place, &format!("key create --tenant {tenant}")).await;
        let key = key["key"].as_str().unwrap().to_owned();
        place.write(&format!("{tenant}.key"), &key);
        keys.push((key, streams));
    }
    keys
}

/// Ends the job, and waits until it is booked and nothing that was drawn is left at the site. Gives what its run took.
async fn end_job((place, madang): (&Place, &Madang), id: &str) -> i64 {
    let key = place.data().join("operator.key");
    let command = format!("job show {id} --key-file {}", key.display());
    let runs = std::fs::read_dir(place.data().join("jobs")).unwrap();
    let works: Vec<_> = runs.map(|run| run.unwrap().path().join("work")).collect();
    works
        .iter()
        .filter(|work| work.is_dir())
        .for_each(|work| std::fs::write(work.join("go"), "").unwrap());
    wait_for("the job is over", async || {
        let shown = json_of(place, &command).await;
        (shown["state"] == "completed").then_some(())
    })
    .await;
    wait_for("what its run drew is booked", async || {
        let (came, left) = moved(place, "site:here").await;
        (came == left).then_some(())
    })
    .await;
    let runs = listed(madang, &format!("/api/v1/jobs/{id}/runs")).await;
    runs.iter()
        .map(|run| run["milli_joules"].as_i64().unwrap())
        .sum()
}

async fn listed(madang: &Madang, path: &str) -> Vec<Value> {
    let told = http_get(&madang.at(path), Some(&madang.operator_key())).await;
    let told = told.unwrap().json().unwrap();
    told["data"].as_array().unwrap().clone()
}

/// The report says of the site what was measured, and where it went.
async fn check_report(place: &Place, run_mj: i64) {
    let told = json_of(place, "report energy").await;
    let site = &told["sites"][0];
    let of = |part: &str| site[format!("{part}_millijoules")].as_i64().unwrap();
    let drawn = of("measured") + of("modelled");
    let went = ["requests", "jobs", "idle", "open"].map(of);
    assert_eq!((drawn, of("jobs")), (went.iter().sum(), run_mj), "{told}");
    let names = told["tenants"].as_array().unwrap().iter();
    let names: Vec<&str> = names.map(|row| row["tenant"].as_str().unwrap()).collect();
    assert_eq!(names, ["heavy", "light"]);
}

/// What meters and the model gave to the site, all of it somebody has.
async fn check_shares(place: &Place, run_mj: i64) {
    let (measured, modelled) = (
        moved(place, "meter:").await.1,
        moved(place, "model:").await.1,
    );
    let mut took = BTreeMap::new();
    for account in ["tenant:heavy", "tenant:light", "idle:here"] {
        took.insert(account, moved(place, account).await.0);
    }
    let (_, returned) = moved(place, "idle:here").await;
    let drawn = measured + modelled;
    assert_eq!(took.values().sum::<i64>() - returned, drawn, "{took:?}");
    assert!(
        modelled > run_mj,
        "the machine's second processor is modelled too"
    );
    let requests = took["tenant:light"] - run_mj;
    assert!(
        requests > 0 && took["tenant:heavy"] > 3 * requests,
        "{took:?}"
    );
    assert!(run_mj > 0 && took["idle:here"] > 0, "{took:?}, {run_mj}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tenants_take_adds_up_to_what_meters_count_through_a_kill() {
    let place = Place::new();
    let mut engines = Vec::new();
    for _ in 0..2 {
        let args = [
            "--idle-watts",
            "100",
            "--full-watts",
            "400",
            "--speed",
            "0.2",
        ];
        engines.push(Engine::start(&args).await);
    }
    place.write("fleet.toml", fleet(&engines));
    let mut madang = place.up_with(&[]).await;
    let keys = tenants(&place).await;
    // Both of one write, of which nothing is booked yet.
    let (begun, before_mj) = wait_for("whoever measures has begun", async || {
        let notes = notes(&place);
        Some((counted(&notes)?, sum_of(&notes, "measured_mj")))
    })
    .await;

    let job = submit(&place).await;
    let load = Load::start(&madang, &keys);
    booked(&place, 2_000).await;
    madang.kill().await;
    load.end().await;
    madang = place.up_with(&[]).await;
    let load = Load::start(&madang, &keys);
    booked(&place, 2_000).await;
    load.end().await;
    let run_mj = end_job((&place, &madang), &job).await;
    let records = listed(&madang, "/api/v1/requests?limit=200").await;
    let knows = |record: &Value| record["energy_millijoules"].as_i64() > Some(0);
    assert!(records.iter().all(knows), "{:?}", records.last());
    check_report(&place, run_mj).await;
    assert_eq!(madang.stop().await, 0);

    let notes = notes(&place);
    let told = counted(&notes).unwrap() - begun;
    let drawn = moved(&place, "meter:here").await.1.unsigned_abs() + sum_of(&notes, "measured_mj")
        - before_mj;
    let expected = told as f64 * PUE;
    let error = (drawn as f64 - expected).abs() / expected;
    let percent = error * 100.0;
    assert!(
        error <= 0.02,
        "booked {drawn} mJ, counted {told} mJ times {PUE}: {percent:.3} %"
    );

    check_shares(&place, run_mj).await;
    place.run(&["ledger", "verify"]).await.expect_code(0);
    drop(engines);
}
