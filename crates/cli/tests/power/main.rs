//! Power by the commands: engines and jobs of this machine under a cap, through an event of the grid and a kill, and back.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod events;
mod failover;
mod gateways;
mod grid;
#[path = "../harness/mod.rs"]
mod harness;
mod meters;
mod prices;
mod turns;

use harness::engine::Engine;
use harness::fleet::HEAD;
use harness::{Madang, Place, chat_body, json_of, wait_for};
use jiff::Timestamp;
use madang_testkit::{http_post_json, http_stream};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// So many seconds from now, or less than one before.
fn in_s(seconds: i64) -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second() + seconds).unwrap()
}

/// Two engines of 100 to 400 W each, their meters, and a machine of two processors of 10 to 150 W each.
fn fleet(engines: &[Engine]) -> String {
    let mut text = format!(
        "{HEAD}\n[power]\nlook_ms = 200\nmeet_ms = 20000\nhold_ms = 500\nreturn_ms = 500\nlevel_milli_min = 500\n\
         rise_milli_per_s = 0\n\n\
         [[nodes]]\nid = \"here\"\nsite = \"here\"\naccelerator = \"cpu\"\nper_node = 2\ncount = 1\n\
         jobs = {{ executor = \"local\" }}\npower = {{ idle_watts = 10, full_watts = 150 }}\n"
    );
    for (number, engine) in engines.iter().enumerate() {
        let url = &engine.url;
        text += &format!(
            "\n[[replica]]\nid = \"e{number}\"\nsite = \"here\"\nmodel = \"m\"\nurl = \"{url}\"\nengine = \"vllm\"\nslots = 64\n\
             power = {{ idle_watts = 100, full_watts = 400, limit_path = \"/rehearsal/power\" }}\n\n\
             [[meter]]\nid = \"m{number}\"\nsite = \"here\"\nreplica = \"e{number}\"\nkind = \"prometheus\"\nurl = \"{url}/metrics\"\n"
        );
    }
    text
}

async fn engines() -> Vec<Engine> {
    let args = [
        "--speed",
        "0.1",
        "--idle-watts",
        "100",
        "--full-watts",
        "400",
    ];
    vec![Engine::start(&args).await, Engine::start(&args).await]
}

async fn up() -> (Place, Madang, Vec<Engine>) {
    let engines = engines().await;
    let place = Place::new();
    place.write("fleet.toml", fleet(&engines));
    let madang = place.up_with(&[]).await;
    (place, madang, engines)
}

/// Long answers keep engines busy for as long as a test takes.
fn busy(engines: &[Engine]) -> JoinSet<()> {
    let mut load = JoinSet::new();
    for engine in engines {
        let url = format!("{}/v1/chat/completions", engine.url);
        let body = json!({
            "model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 90_000, "ignore_eos": true,
        });
        load.spawn(async move { drop(http_post_json(&url, None, body.to_string()).await) });
    }
    load
}

/// Waits until power stands as it should.
async fn until(place: &Place, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    wait_for(what, async || {
        let power = json_of(place, "power status here").await;
        is_so(&power).then_some(power)
    })
    .await
}

/// Waits until what the books have of the site's power is so.
async fn in_books(place: &Place, is_so: impl Fn(&Value) -> bool) {
    wait_for("it is in the books", async || {
        let books = rusqlite::Connection::open(place.data().join("madang.sqlite")).ok()?;
        let mut notes = books.prepare("SELECT note FROM energy_notes").ok()?;
        let notes = notes.query_map([], |row| row.get::<_, String>(0)).ok()?;
        let mut notes = notes.filter_map(|note| serde_json::from_str::<Value>(&note.ok()?).ok());
        notes
            .any(|note| is_so(&note["stand"]["power"]))
            .then_some(())
    })
    .await;
}

fn acts(power: &Value) -> Vec<&str> {
    let acts = power["acts"].as_array().unwrap();
    acts.iter()
        .map(|act| act["kind"].as_str().unwrap())
        .collect()
}

/// The state of the processes of a job, as the kernel has it: `T` where one stands still, as then none gets on. A shell that is stopped as
/// it begins a child waits (`D`) until that one has begun.
fn state_of(mark: &str) -> Option<char> {
    let mark = format!("POWER_TEST={mark}");
    let state = |folder: PathBuf| {
        let words = std::fs::read(folder.join("environ")).ok()?;
        let mut words = words.split(|byte| *byte == 0);
        words.any(|word| word == mark.as_bytes()).then_some(())?;
        let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    };
    let folders = std::fs::read_dir("/proc").ok()?;
    let states = folders.filter_map(|entry| state(entry.ok()?.path()));
    let states: Vec<char> = states.filter(|state| !matches!(state, 'Z' | 'X')).collect();
    let stands = states.iter().find(|state| **state == 'T');
    stands.or(states.first()).copied()
}

/// It is there, and does not stand still: one that is gone goes on no more.
fn goes_on(mark: &str) -> bool {
    state_of(mark).is_some_and(|state| state != 'T')
}

/// Submits a job, and gives the mark of its processes and its number.
async fn submit_only(place: &Place, name: &str, more: &str) -> (String, String) {
    let mark = format!("{name}-{}", std::process::id());
    let job = format!(
        "name = \"{name}\"\ncommand = [\"sh\", \"-c\", \"while true; do sleep 0.1; done\"]\ntime_limit = \"10m\"\nresources = {{ count = 1 }}\n\
         env = {{ POWER_TEST = \"{mark}\" }}\n{more}\n"
    );
    place.write(&format!("{name}.toml"), job);
    let submitted = json_of(place, &format!("job submit {name}.toml")).await;
    (mark, submitted["id"].as_str().unwrap().to_owned())
}

/// A job, with its runs.
async fn job_of(place: &Place, id: &str) -> Value {
    let key = place.data().join("operator.key");
    json_of(
        place,
        &format!("job show {id} --key-file {}", key.display()),
    )
    .await
}

/// The same once its program runs.
async fn submit(place: &Place, name: &str, more: &str) -> String {
    let (mark, id) = submit_only(place, name, more).await;
    wait_for("the job runs", async || {
        let shown = job_of(place, &id).await;
        (shown["state"] == "running").then_some(())
    })
    .await;
    wait_for("its program runs", async || state_of(&mark)).await;
    mark
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_met_by_jobs_that_bend_outlives_a_kill_and_all_comes_back() {
    let (place, mut madang, engines) = up().await;
    let bends = submit(&place, "bends", "[flex]\npause = \"1h\"").await;
    let rigid = submit(&place, "rigid", "").await;
    let all = until(&place, "all is measured and the jobs are seen", |power| {
        power["watts"] == 500 && power["full_watts"] == 1_100
    })
    .await;
    // Of jobs nobody here measures what they draw, and that is said.
    assert_eq!(
        (&all["measured"], &all["idle_watts"]),
        (&json!(false), &json!(220))
    );
    assert_eq!(all["meters"][0]["measured"], true, "{all}");

    let event = json_of(&place, "power event here --cut 25% --for 1h --reason grid").await;
    let met = until(&place, "the event is met", |power| {
        power["watts"].as_u64() <= power["cap_watts"].as_u64()
            && !power["acts"].as_array().unwrap().is_empty()
    })
    .await;
    assert_eq!(
        (&met["cap_watts"], &met["cap_event"]),
        (&json!(375), &event["id"])
    );
    assert_eq!(acts(&met), ["pause"], "{met}");
    wait_for("it stands still", async || {
        (state_of(&bends) == Some('T')).then_some(())
    })
    .await;
    assert!(goes_on(&rigid), "who said nothing is left alone");

    // The event is in the books, and what it is a part of too.
    madang.kill().await;
    madang = place.up_with(&[]).await;
    let again = until(&place, "the event holds after a kill", |power| {
        power["cap_watts"] == 375 && acts(power) == ["pause"]
    })
    .await;
    assert_eq!(again["lacks_watts"], 0, "{again}");
    wait_for("it stands still again", async || {
        (state_of(&bends) == Some('T')).then_some(())
    })
    .await;

    // What holds is told at the start, too, and its end.
    let told = |what: &str| format!("{what} site=here event={}", event["id"]);
    let set = told("a cap or an event of power is set");
    assert!(madang.said().contains(&set), "{}", madang.said());
    let cancel = format!("power cancel here {}", event["id"]);
    json_of(&place, &cancel).await;
    let over = told("a cap or an event of power is over");
    wait_for("its end is in the log", async || {
        madang.said().contains(&over).then_some(())
    })
    .await;
    until(&place, "all comes back", |power| {
        acts(power).is_empty() && power["cap_watts"].is_null()
    })
    .await;
    wait_for("it goes on", async || goes_on(&bends).then_some(())).await;

    // What is told before is met by its beginning, and is a quarter of what was drawn, not of what is left again and again.
    until(&place, "all is drawn again", |power| power["watts"] == 500).await;
    let command = format!("power event here --cut 25% --for 1h --at {}", in_s(20));
    let told = json_of(&place, &command).await;
    let met = until(&place, "what will begin is met", |power| {
        power["watts"] == 360 && acts(power) == ["pause"]
    })
    .await;
    assert_eq!(
        (&met["cap_watts"], &met["cap_event"]),
        (&json!(375), &told["id"])
    );
    json_of(&place, &format!("power cancel here {}", told["id"])).await;
    let audit = place.run(&["audit", "verify"]).await;
    audit.expect_code(0);
    drop(engines);
    assert_eq!(madang.stop().await, 0);
}

/// Clients that ask all the while, and how long each waited for its first token.
struct Clients {
    waits: Arc<Mutex<Vec<Duration>>>,
    tasks: JoinSet<()>,
}

impl Clients {
    fn start(madang: &Madang, count: usize) -> Self {
        let waits = Arc::<Mutex<Vec<Duration>>>::default();
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let (url, key) = (madang.at("/v1/chat/completions"), madang.key.clone());
            let waits = Arc::clone(&waits);
            tasks.spawn(async move {
                loop {
                    let asked = Instant::now();
                    let answer = http_stream(&url, Some(&key), chat_body("hi", 64, true)).await;
                    let mut answer = answer.unwrap().sse();
                    answer.next_event().await.unwrap();
                    waits.lock().unwrap().push(asked.elapsed());
                    answer.to_end().await;
                }
            });
        }
        Self { waits, tasks }
    }

    /// The 99th percentile of the next waits.
    async fn p99_ms(&self) -> u128 {
        const COUNT: usize = 200;
        self.waits.lock().unwrap().clear();
        let mut waits = wait_for("first tokens come", async || {
            let waits = self.waits.lock().unwrap();
            (waits.len() >= COUNT).then(|| waits.clone())
        })
        .await;
        waits.sort_unstable();
        waits[waits.len() * 99 / 100].as_millis()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarter_less_is_met_within_half_a_minute_by_the_record_of_the_event() {
    let (place, mut madang, engines) = up().await;
    let jobs = [
        submit(&place, "one", "[flex]\npause = \"1h\"").await,
        submit(&place, "two", "[flex]\npause = \"1h\"").await,
    ];
    let mut clients = Clients::start(&madang, 8);
    until(&place, "engines and jobs are busy", |power| {
        power["watts"].as_u64() > Some(640)
    })
    .await;
    let before = clients.p99_ms().await;
    let event = json_of(&place, "power event here --cut 25% --for 3h --reason grid").await;
    let said = wait_for("the event is met", async || {
        let said = madang.said();
        let line = said
            .lines()
            .find(|line| line.contains("a power event is met"));
        line.map(str::to_owned)
    })
    .await;
    let field = |name: &str| {
        let (_, rest) = said.split_once(&format!(" {name}=")).unwrap();
        rest.split(' ').next().unwrap().trim_matches('"').to_owned()
    };
    let number = |name: &str| field(name).parse::<u64>().unwrap();
    assert_eq!(number("event"), event["id"].as_u64().unwrap(), "{said}");
    assert!(number("met_after_ms") <= 30_000, "{said}");
    assert!(number("drawn_watts") <= number("cap_watts"), "{said}");
    let meanwhile = clients.p99_ms().await;
    println!(
        "asked at {}, met at {}, {} ms after; first tokens, p99: {before} ms before, {meanwhile} ms in it",
        field("asked_at"),
        field("met_at"),
        field("met_after_ms"),
    );
    let stand = jobs.iter().filter(|mark| state_of(mark) == Some('T'));
    assert!(stand.count() > 0, "a job stands still");
    json_of(&place, &format!("power cancel here {}", event["id"])).await;
    for mark in &jobs {
        wait_for("it goes on", async || goes_on(mark).then_some(())).await;
    }
    clients.tasks.abort_all();
    while clients.tasks.join_next().await.is_some() {}
    drop(engines);
    assert_eq!(madang.stop().await, 0);
}

/// The limit that an engine keeps to, in watts.
async fn limit_of(engine: &Engine) -> f64 {
    let page = madang_testkit::http_get(&format!("{}/metrics", engine.url), None).await;
    let page = page.unwrap().text();
    let name = "DCGM_FI_DEV_POWER_MGMT_LIMIT{gpu=\"0\"} ";
    let value = page.lines().find_map(|line| line.strip_prefix(name));
    value.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn engines_are_slowed_to_a_cap_and_requests_go_on() {
    let (place, mut madang, engines) = up().await;
    let _load = busy(&engines);
    let all = until(&place, "the engines are busy", |power| {
        power["watts"].as_u64() > Some(600)
    })
    .await;
    assert!(acts(&all).is_empty());
    json_of(&place, "power cap here 550").await;
    let met = until(&place, "the cap is met", |power| {
        power["watts"].as_u64() <= Some(550) && !power["acts"].as_array().unwrap().is_empty()
    })
    .await;
    assert!(acts(&met).iter().all(|kind| *kind == "clock"), "{met}");
    assert!(limit_of(&engines[0]).await < 400.0, "{met}");
    assert_eq!(met["lacks_watts"], 0);
    let lower = json_of(&place, "power event here --to 540 --for 10m").await;
    assert_eq!(lower["overlaps"].as_array().unwrap().len(), 1, "{lower}");
    until(&place, "the lowest holds", |power| {
        power["cap_watts"] == 540
    })
    .await;
    json_of(&place, &format!("power cancel here {}", lower["id"])).await;
    json_of(&place, "power cap here none").await;
    until(&place, "clocks come back", |power| acts(power).is_empty()).await;
    // The status says what is ordered; the engine is told right after.
    wait_for("no limit is left", async || {
        (limit_of(&engines[0]).await == 400.0).then_some(())
    })
    .await;
    assert_eq!(madang.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meter_that_dies_is_not_followed_down_and_what_cannot_be_is_refused() {
    let (place, mut madang, mut engines) = up().await;
    until(&place, "both meters are believed", |power| {
        let meters = power["meters"].as_array().unwrap();
        meters.len() == 2 && meters.iter().all(|meter| meter["measured"] == true)
    })
    .await;
    engines[1].end(Signal::KILL).await;
    let lost = until(&place, "the dead one is doubted", |power| {
        power["meters"][1]["measured"] == false
    })
    .await;
    let meter = &lost["meters"][1];
    assert_eq!(meter["doubt"], "the meter is silent", "{lost}");
    assert!(meter["watts"].as_u64() >= Some(100), "{lost}");

    for (command, said) in [
        ("power status nowhere", "no site 'nowhere'"),
        ("power cap her 900", "did you mean 'here'"),
        (
            "power cap here 100",
            "draws 220 W where all of it does nothing",
        ),
        ("power cap here 0", "is no power"),
        ("power cap here 1e30", "is no power"),
        ("power event here --cut 100% --for 1h", "is no part"),
        (
            "power event here --cut 99% --for 1h",
            "draws 220 W where all of it does nothing",
        ),
        ("power event here --cut 25% --for 3weeks", "is no time"),
        (
            "power event here --cut 25% --for 1h --at 2020-01-01T00:00:00Z",
            "begins in the past",
        ),
        (
            "power event here --cut 25% --for 1h --at yesterday",
            "'yesterday' is no instant",
        ),
        (
            "power cancel here 77",
            "of here there is no event 77, or it is over already",
        ),
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        let refused = place.run(&words).await.expect_code(1);
        assert!(refused.err.contains(said), "{command}: {}", refused.err);
    }
    let shown = place.run(&["power", "status", "here"]).await.expect_code(0);
    assert!(shown.out.contains("replica:e1"), "{}", shown.out);
    let events = place.run(&["power", "events", "here"]).await.expect_code(0);
    assert_eq!(events.out.lines().count(), 1, "{}", events.out);
    assert_eq!(madang.stop().await, 0);
}
