//! Jobs that wait for cheap hours, and runs that stop in dear ones, by the commands.

use crate::harness::engine::Engine;
use crate::harness::fleet::HEAD;
use crate::harness::{Place, json_of, wait_for};
use crate::in_s;
use jiff::Timestamp;
use serde_json::{Value, json};

/// A machine of two processors where electricity is dear until eight in the morning, which is then.
fn priced(cheap_from: Timestamp, engine: &Engine) -> String {
    const DAY_S: i64 = 86_400;
    let ahead_s = (8 * 3_600 - cheap_from.as_second()).rem_euclid(DAY_S);
    let offset_s = if ahead_s > DAY_S / 2 {
        ahead_s - DAY_S
    } else {
        ahead_s
    };
    let (sign, s) = (if offset_s < 0 { '-' } else { '+' }, offset_s.abs());
    let offset = format!("{sign}{:02}:{:02}:{:02}", s / 3_600, s / 60 % 60, s % 60);
    let head = HEAD.replace(
        "country = \"KR\"\n",
        &format!(
            "country = \"KR\"\nutc_offset = \"{offset}\"\n\
             tariff = [{{ hours = \"22-8\", won_per_kwh = 200 }}, {{ won_per_kwh = 100 }}]\n"
        ),
    );
    format!(
        "{head}\n[[nodes]]\nid = \"here\"\nsite = \"here\"\naccelerator = \"cpu\"\nper_node = 2\ncount = 1\n\
         jobs = {{ executor = \"local\" }}\npower = {{ idle_watts = 10, full_watts = 150 }}\n\n\
         [[replica]]\nid = \"e\"\nsite = \"here\"\nmodel = \"m\"\nurl = \"{}\"\nengine = \"vllm\"\nslots = 4\n",
        engine.url
    )
}

fn instant(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_may_be_put_off_waits_for_the_cheap_hour_and_says_until_when() {
    let place = Place::new();
    let engine = Engine::start(&[]).await;
    place.write("fleet.toml", priced(in_s(1_800), &engine));
    let mut madang = place.up_with(&[]).await;
    let job = "name = \"later\"\ncommand = [\"true\"]\ntime_limit = \"10m\"\nresources = { count = 1 }\n\n[flex]\nshift = \"1h\"\n";
    place.write("later.toml", job);
    place.write("now.toml", job.replace("shift = \"1h\"", "pause = \"1h\""));
    let key = place.data().join("operator.key");
    let show = |job: &Value| {
        format!(
            "job show {} --key-file {}",
            job["id"].as_str().unwrap(),
            key.display()
        )
    };
    let later = json_of(&place, "job submit later.toml").await;
    let now = json_of(&place, "job submit now.toml").await;
    wait_for("a job that may not be put off runs at once", async || {
        let shown = json_of(&place, &show(&now)).await;
        (shown["state"] == "completed").then_some(())
    })
    .await;
    let shown = json_of(&place, &show(&later)).await;
    let why = shown["waits"]["why"].as_str().unwrap();
    assert!(
        why.starts_with("it is put off (flex.shift): electricity at here weighs 50 % less for it then; it starts within 0 h 5"),
        "{shown}"
    );
    let starts_at = instant(&shown["waits"]["starts_at"]);
    // The cheap hours begin in a few seconds.
    let cheap_from = in_s(3);
    place.write("fleet.toml", priced(cheap_from, &engine));
    place.run(&["reload"]).await.expect_code(0);
    let ended = wait_for("it runs when they begin", async || {
        let shown = json_of(&place, &show(&later)).await;
        (shown["state"] == "completed").then_some(shown)
    })
    .await;
    let ended_at = instant(&ended["ended_at"]);
    assert!(ended_at >= cheap_from && ended_at < starts_at, "{ended}");
    // A tariff that leaves an hour out is refused with its place, and the one before stands.
    let holed = priced(cheap_from, &engine).replace(", { won_per_kwh = 100 }", "");
    place.write("fleet.toml", holed);
    let refused = place.run(&["reload"]).await;
    assert_ne!(refused.code, 0);
    assert!(
        refused.err.contains("the tariff says nothing of"),
        "{}",
        refused.err
    );
    assert_eq!(madang.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_writes_checkpoints_stops_when_electricity_is_dear_and_goes_on_after_it() {
    let place = Place::new();
    let engine = Engine::start(&[]).await;
    place.write("fleet.toml", priced(in_s(-3_600), &engine));
    let mut madang = place.up_with(&[]).await;
    place.write(
        "long.sh",
        "#!/bin/sh\n#MADANG time_limit = \"20m\"\n#MADANG flex = { shift = \"1h\" }\n\
         #MADANG checkpoint = { signal = \"USR1\", grace = \"30s\" }\n\
         trap 'exit 1' USR1\nwhile true; do sleep 0.1; done\n",
    );
    let key = place.data().join("operator.key");
    let job = json_of(&place, "job submit long.sh").await;
    let show = format!(
        "job show {} --key-file {}",
        job["id"].as_str().unwrap(),
        key.display()
    );
    wait_for("it runs while electricity is cheap", async || {
        let shown = json_of(&place, &show).await;
        (shown["runs"][0]["state"] == "running").then_some(())
    })
    .await;
    place.write("fleet.toml", priced(in_s(1_800), &engine));
    place.run(&["reload"]).await.expect_code(0);
    let stopped = wait_for("it stops where it is dear for half an hour", async || {
        let shown = json_of(&place, &show).await;
        (shown["waits"]["why"].is_string() && shown["state"] == "pending").then_some(shown)
    })
    .await;
    let run = &stopped["runs"][0];
    let said = (&run["outcome"], &run["stopped_for"]);
    assert_eq!(said, (&json!("stopped"), &json!("price")), "{stopped}");
    let why = stopped["waits"]["why"].as_str().unwrap();
    assert!(
        why.contains("weighs 50 % less for it then; it goes on within"),
        "{why}"
    );
    place.write("fleet.toml", priced(in_s(3), &engine));
    place.run(&["reload"]).await.expect_code(0);
    wait_for("it goes on when it is cheap", async || {
        let shown = json_of(&place, &show).await;
        let runs = shown["runs"].as_array().map_or(0, Vec::len);
        (runs == 2 && shown["state"] == "running").then_some(())
    })
    .await;
    let cancel = show.replace("show", "cancel");
    json_of(&place, &cancel).await;
    wait_for("it is withdrawn", async || {
        let shown = json_of(&place, &show).await;
        (shown["state"] == "cancelled").then_some(())
    })
    .await;
    assert_eq!(madang.stop().await, 0);
}
