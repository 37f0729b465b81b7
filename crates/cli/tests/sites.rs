//! Where a job runs that may be at two sites: by what its run costs and its wait, where its data stands, and where there is power.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::fleet::{HEAD, url_replica};
use harness::{Madang, Place, json_of, wait_for};
use http::Method;
use madang_testkit::{FakeEngine, FakeEngineOptions};
use serde_json::{Value, json};

/// Machines of two processors at `here` and at `there`, which has such a cap.
fn fleet(engine: &FakeEngine, cap: &str) -> String {
    let site = format!("[[site]]\nid = \"there\"\ncountry = \"KR\"\n{cap}\n");
    let nodes = |id: &str, site: &str| {
        format!(
            "[[nodes]]\nid = \"{id}\"\nsite = \"{site}\"\naccelerator = \"cpu\"\nper_node = 2\ncount = 1\n\
             power = {{ idle_watts = 10, full_watts = 100 }}\njobs = {{ executor = \"local\" }}\n"
        )
    };
    // The engine is there, and has no image.
    let data = "[jobs]\nstage_roots = [\"/data\"]\ncontainer_program = \"/bin/false\"\n\n\
                [[jobs.data]]\nprefix = \"/data/there\"\nsites = [\"there\"]\n\n\
                [[site]]\nid = \"archive\"\ncountry = \"KR\"\n\n\
                [[jobs.data]]\nprefix = \"/data/archive\"\nsites = [\"archive\"]\n";
    let [near, far] = [nodes("near", "here"), nodes("far", "there")];
    format!(
        "{HEAD}{}{site}{near}{far}{data}",
        url_replica("a", engine.url())
    )
}

/// A server with both sites: an hour costs 9,000 won at one, and 3,000 at the other.
async fn up() -> (Place, Madang, FakeEngine) {
    let place = Place::new();
    let engine = FakeEngine::start(FakeEngineOptions::default()).await;
    place.write("fleet.toml", fleet(&engine, ""));
    let madang = place.up_with(&[]).await;
    for (site, won) in [("here", 9_000), ("there", 3_000)] {
        let price = format!("price set --accelerator cpu --place {site} --won-per-hour {won}");
        json_of(&place, &price).await;
    }
    for command in [
        "programme create ours",
        "tenant create acme --programme ours",
    ] {
        json_of(&place, command).await;
    }
    let key = json_of(&place, "key create --tenant acme").await;
    place.write("acme.key", key["key"].as_str().unwrap());
    (place, madang, engine)
}

/// Submits a job of both processors, for so many hours at most.
async fn submit(place: &Place, hours: u64, more: &str) -> String {
    let job = format!(
        "command = [\"sleep\", \"600\"]\ntime_limit = \"{hours}h\"\nresources.count = 2\n{more}"
    );
    place.write("job.toml", job);
    let submitted = json_of(place, "job submit job.toml --key-file acme.key").await;
    submitted["id"].as_str().unwrap().to_owned()
}

/// Waits until a job runs, and gives its run.
async fn run_of(madang: &Madang, id: &str) -> Value {
    wait_for(&format!("job {id} runs"), async || {
        let path = format!("/api/v1/jobs/{id}/runs");
        let runs = madang.operate(Method::GET, &path, Value::Null).await;
        let run = runs["data"].as_array()?.last()?.clone();
        (run["state"] == "running").then_some(run)
    })
    .await
}

async fn waits_for(place: &Place, id: &str, why: &str) -> Value {
    wait_for(&format!("job {id} waits: {why}"), async || {
        waits(&show(place, id).await, why)
    })
    .await
}

async fn show(place: &Place, id: &str) -> Value {
    json_of(place, &format!("job show {id} --key-file acme.key")).await
}

/// What a job waits for, where that is said so.
fn waits(job: &Value, why: &str) -> Option<Value> {
    let waits = job["waits"].clone();
    waits["why"].as_str()?.contains(why).then_some(waits)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_waits_for_cheaper_machines_where_that_is_worth_it_and_shows_what_each_costs() {
    let (place, mut madang, _engine) = up().await;
    let first = submit(&place, 10, "").await;
    assert_eq!(run_of(&madang, &first).await["nodes"], "far");
    // Ten hours save 60,000 won for each processor, and ten hours of waiting are worth 50,000.
    let second = submit(&place, 10, "").await;
    let why = "there is room, and it waits for far";
    let waits = wait_for(why, async || {
        let job = show(&place, &second).await;
        assert_eq!(job["state"], "pending", "{job}");
        waits(&job, why)
    })
    .await;
    let told: Vec<_> = waits["candidates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (&one["nodes"], &one["run_micro_won"], &one["lacks"]))
        .collect();
    let won = |won: u64| json!(won * 1_000_000);
    let (far, near, room) = (json!("far"), json!("near"), json!("room"));
    let expected = [
        (&far, &won(60_000), &room),
        (&near, &won(180_000), &Value::Null),
    ];
    assert_eq!(told, expected, "{waits}");
    let shown = place
        .run(&["job", "show", &second, "--key-file", "acme.key"])
        .await;
    let shown = shown.expect_code(0).out;
    assert!(
        shown.contains(&format!("where {second} could be")),
        "{shown}"
    );
    // One hour saves less than the wait is worth.
    let third = submit(&place, 1, "").await;
    let run = run_of(&madang, &third).await;
    assert_eq!(
        (&run["nodes"], &run["candidates"][0]["nodes"]),
        (&near, &near),
        "{run}"
    );
    json_of(&place, &format!("job cancel {first} --key-file acme.key")).await;
    assert_eq!(run_of(&madang, &second).await["nodes"], "far");
    assert_eq!(madang.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_without_power_is_passed_by_and_data_that_stays_is_run_to() {
    let (place, mut madang, engine) = up().await;
    place.write("fleet.toml", fleet(&engine, "power_cap_kw = 0.05"));
    place.run(&["reload"]).await.expect_code(0);
    wait_for("power is short", async || {
        let status = json_of(&place, "power status").await;
        let sites = status["data"].as_array()?.clone();
        let there = sites.into_iter().find(|site| site["site"] == "there")?;
        (there["cap_watts"] == 50).then_some(())
    })
    .await;
    let first = submit(&place, 1, "").await;
    let run = run_of(&madang, &first).await;
    let power = (
        &run["candidates"][1]["nodes"],
        &run["candidates"][1]["lacks"],
    );
    assert_eq!(run["nodes"], "near");
    assert_eq!(power, (&json!("far"), &json!("power")), "{run}");
    // What it names is there alone, so that it waits for power.
    let input = "[[input]]\nfrom = \"/data/there/x\"\nto = \"x\"\n";
    let second = submit(&place, 1, input).await;
    waits_for(&place, &second, "there: ").await;
    place.write(
        "job.toml",
        format!(
            "command = [\"true\"]\n{}",
            input.replace("there", "archive")
        ),
    );
    let refused = place
        .run(&["job", "submit", "job.toml", "--key-file", "acme.key"])
        .await;
    let text = refused.err.clone() + &refused.out;
    assert!(
        text.contains("/data/archive/x is at archive alone"),
        "{text}"
    );
    assert!(text.contains("job_impossible"), "{text}");
    assert_eq!(madang.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_machines_would_never_run_is_told_anew_once_the_fleet_has_changed() {
    let place = Place::new();
    let engine = FakeEngine::start(FakeEngineOptions::default()).await;
    let with = |executor: &str| {
        let text = fleet(&engine, "");
        let (near, far) = text.split_once("id = \"far\"").unwrap();
        let far = far.replace("\"cpu\"", "\"h200\"");
        let far = far.replace("executor = \"local\"", executor);
        let cluster = "[[jobs.slurm]]\nid = \"away\"\nfolder = \"/runs\"\nshell = [\"false\"]\n";
        format!("{near}id = \"far\"{far}{cluster}")
    };
    let mut madang = place.up(&with("executor = \"local\"")).await;
    place.write("acme.key", &madang.key);
    let first = "command = [\"sleep\", \"600\"]\nresources.accelerator = \"cpu\"\n";
    let second = "command = [\"true\"]\nimage = \"x\"\nresources.accelerator = \"h200\"\n\
                  after = [{ job = \"1\", when = \"ended\" }]\n";
    for job in [first, second] {
        place.write("job.toml", job);
        json_of(&place, "job submit job.toml --key-file acme.key").await;
    }
    // What a wish leads to is told with its answer.
    for (word, state) in [("hold", "held"), ("release", "pending")] {
        let told = json_of(&place, &format!("job {word} 2 --key-file acme.key")).await;
        assert_eq!(told["state"], state, "{told}");
    }
    let reload = async |executor: &str| {
        place.write("fleet.toml", with(executor));
        place.run(&["reload"]).await.expect_code(0);
    };
    reload("executor = \"slurm\", cluster = \"away\"").await;
    json_of(&place, "job cancel 1 --key-file acme.key").await;
    let why = "far at there: the cluster away runs no container images";
    waits_for(&place, "2", why).await;
    // It begins where it would be run again, and ends there for want of its image.
    reload("executor = \"local\"").await;
    waits_for_end(&place, "2", "no container of the image x").await;
    assert_eq!(madang.stop().await, 0);
}

/// Waits until a job has failed, for a reason in which that stands.
async fn waits_for_end(place: &Place, id: &str, why: &str) {
    wait_for(&format!("job {id} has failed: {why}"), async || {
        let shown = json_of(place, &format!("job show {id} --key-file acme.key")).await;
        let told = shown["why"].as_str()?.contains(why);
        (told && shown["state"] == "failed").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_with_a_run_is_told_its_owner_as_it_is_and_the_operator_once() {
    let place = Place::new();
    let engine = FakeEngine::start(FakeEngineOptions::default()).await;
    let asked = place.path("asked");
    let away = format!("#!/bin/sh\necho >> {}\nexit 1\n", asked.display());
    let away = place.write("away.sh", away);
    let cluster = format!(
        "[[jobs.slurm]]\nid = \"away\"\nfolder = \"/runs\"\nshell = [\"sh\", \"{}\"]\n",
        away.display()
    );
    let far = "executor = \"slurm\", cluster = \"away\"";
    let text = fleet(&engine, "").replace("executor = \"local\"", far);
    let mut madang = place.up(&(text + &cluster)).await;
    place.write("acme.key", &madang.key);
    place.write("job.toml", "command = [\"true\"]\n");
    json_of(&place, "job submit job.toml --key-file acme.key").await;
    waits_for(
        &place,
        "1",
        "is not begun yet: the Slurm cluster away: exit code 1, and not a word",
    )
    .await;
    json_of(&place, "job cancel 1 --key-file acme.key").await;
    waits_for(&place, "1", "it is to be stopped: the Slurm cluster away: ").await;
    // It is tried again and again, and told of once.
    let count = || std::fs::read(&asked).unwrap().len();
    let before = count();
    wait_for("the cluster is asked again", async || {
        (count() > before + 8).then_some(())
    })
    .await;
    let said = madang.said();
    for what in ["a run is not stopped yet", "nobody knows how a run stands"] {
        assert_eq!(said.matches(what).count(), 1, "{what}: {said}");
    }
    assert_eq!(madang.stop().await, 0);
}
