//! A site's own meter that stops, jumps and lies: the status, the metrics and the log say so, with why, since when and what is taken instead.
//! What was bent by what it said stays so through a kill.

use super::{acts, in_books, state_of, submit, until};
use crate::harness::engine::Engine;
use crate::harness::fleet::HEAD;
use crate::harness::{Madang, Place, json_of, wait_for};
use madang_testkit::{PageAnswer, Pages, http_get};
use serde_json::{Value, json};

const PATH: &str = "/metrics";

/// A machine of two processors of 10 to 150 W each, an engine of 100 to 400 W that nobody asks, and a meter that says what a test wants.
async fn up(more: &str) -> (Place, Madang, Pages, Engine) {
    let engine = Engine::start(&[]).await;
    let engine_url = &engine.url;
    let pages = Pages::serve().await.unwrap();
    says(&pages, 120);
    let url = pages.url(PATH);
    let fleet = format!(
        "{HEAD}\n[power]\nlook_ms = 100\nstale_ms = 1000\nmeet_ms = 20000\nhold_ms = 500\nreturn_ms = 500\nrise_milli_per_s = 0\n\n\
         [[nodes]]\nid = \"here\"\nsite = \"here\"\naccelerator = \"cpu\"\nper_node = 2\ncount = 1\n\
         jobs = {{ executor = \"local\" }}\npower = {{ idle_watts = 10, full_watts = 150 }}\n\n\
         [[replica]]\nid = \"e0\"\nsite = \"here\"\nmodel = \"m\"\nurl = \"{engine_url}\"\nengine = \"vllm\"\nslots = 64\n\
         power = {{ idle_watts = 100, full_watts = 400 }}\n\n\
         [[meter]]\nid = \"feed\"\nsite = \"here\"\nkind = \"prometheus\"\nurl = \"{url}\"\n{more}"
    );
    let place = Place::new();
    place.write("fleet.toml", fleet);
    let madang = place.up_with(&[]).await;
    (place, madang, pages, engine)
}

fn says(pages: &Pages, watts: u64) {
    let page = format!("DCGM_FI_DEV_POWER_USAGE {watts}\n");
    pages.set(PATH, PageAnswer::Whole(200, page));
}

async fn doubted(place: &Place, kind: &str, instead: &str) -> Value {
    let power = until(place, kind, |power| {
        power["meters"][0]["doubt_kind"] == kind && power["meters"][0]["instead_kind"] == instead
    })
    .await;
    assert_eq!(power["measured"], false, "{power}");
    assert!(power["meters"][0]["doubted_since"].is_string(), "{power}");
    power
}

async fn believed(place: &Place, watts: u64) {
    until(place, "it is believed", |power| {
        power["watts"] == watts && power["measured"] == true
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meter_that_lies_jumps_and_stops_is_told_with_why_and_since_when() {
    let (place, mut madang, pages, _engine) = up("").await;
    believed(&place, 120).await;
    submit(&place, "works", "").await;
    // The run draws, the engine does nothing, and the meter has not moved.
    let stuck = doubted(&place, "stuck", "likely").await;
    let meter = &stuck["meters"][0];
    assert_eq!(
        (&meter["of"], &meter["told_watts"], &meter["watts"]),
        (&json!("site"), &json!(120), &json!(260)),
        "{stuck}"
    );
    assert!(meter["told_at"].is_string(), "{stuck}");
    let page = http_get(&madang.at("/metrics"), Some(&madang.operator_key())).await;
    let page = page.unwrap().text();
    let labels = "site=\"here\",meter=\"feed\"";
    assert!(
        page.contains(&format!("madang_meter_believed{{{labels}}} 0\n")),
        "{page}"
    );
    let seconds = format!("madang_meter_doubted_seconds{{{labels},doubt=\"stuck\"}} ");
    assert!(page.contains(&seconds), "{page}");
    let shown = place.run(&["power", "status"]).await.expect_code(0).out;
    let said = "the meter does not move though what it measures does";
    for word in [
        "METERS THAT ARE NOT BELIEVED",
        "here site",
        said,
        "what the model thinks likely",
    ] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    says(&pages, 261);
    believed(&place, 261).await;
    let shown = place.run(&["power", "status"]).await.expect_code(0).out;
    assert!(!shown.contains("NOT BELIEVED"), "{shown}");

    says(&pages, 5_000);
    let high = doubted(&place, "too_high", "most").await;
    assert_eq!(high["watts"], 560, "{high}");
    says(&pages, 262);
    believed(&place, 262).await;
    says(&pages, 10);
    doubted(&place, "too_low", "last").await;
    // It falls by more than half at once: believed once it was said three times.
    says(&pages, 263);
    believed(&place, 263).await;
    says(&pages, 125);
    believed(&place, 125).await;
    assert!(
        madang.said().contains("fell by more than half at once"),
        "{}",
        madang.said()
    );
    pages.set(PATH, PageAnswer::Whole(404, String::new()));
    let silent = doubted(&place, "silent", "likely").await;
    assert!(silent["meters"][0]["error"].is_string(), "{silent}");
    let shown = place
        .run(&["power", "status", "here"])
        .await
        .expect_code(0)
        .out;
    assert!(shown.contains("the meter is silent: "), "{shown}");
    assert_eq!(madang.stop().await, 0);
}

/// How many acts were taken, by the server's log of all its lives.
fn taken(madang: &Madang) -> usize {
    madang.said().matches("an act is taken").count()
}

/// All is below the cap as the run stands still: who knew nothing of that would let it go.
#[tokio::test(flavor = "multi_thread")]
async fn what_stands_still_stands_on_through_a_kill_though_the_meter_says_that_there_is_room() {
    let (place, mut madang, pages, _engine) = up("").await;
    let works = submit(&place, "works", "[flex]\npause = \"1h\"").await;
    says(&pages, 261);
    believed(&place, 261).await;
    json_of(&place, "power event here --to 200 --for 1h").await;
    let bent = until(&place, "it is bent", |power| acts(power) == ["pause"]).await;
    assert_eq!(bent["over_watts"], 61, "{bent}");
    says(&pages, 121);
    wait_for("it stands still", async || {
        (state_of(&works) == Some('T')).then_some(())
    })
    .await;
    until(&place, "the cap is kept", |power| power["over_watts"] == 0).await;
    in_books(&place, |power| power["acts"][0]["act"].is_object()).await;
    madang.kill().await;
    madang = place.up_with(&[]).await;
    let again = until(&place, "it is looked at again", |power| {
        power["cap_watts"] == 200 && !acts(power).is_empty()
    })
    .await;
    assert_eq!(again["acts"][0]["what"], bent["acts"][0]["what"], "{again}");
    assert_eq!(
        again["acts"][0]["since"], bent["acts"][0]["since"],
        "{again}"
    );
    assert_eq!(state_of(&works), Some('T'));
    assert_eq!(taken(&madang), 1, "{}", madang.said());
    assert_eq!(madang.stop().await, 0);
}

/// A look that waited for it would be late, and so would all that is done.
#[tokio::test(flavor = "multi_thread")]
async fn a_meter_that_never_answers_keeps_no_other_waiting_and_one_without_an_address_is_shown() {
    let mute = Pages::serve().await.unwrap();
    mute.set(PATH, PageAnswer::Silence);
    let of_nodes = |id: &str, url: &str| {
        format!(
            "\n[[meter]]\nid = \"{id}\"\nsite = \"here\"\nnodes = \"here\"\nkind = \"prometheus\"\nurl = \"{url}\"\n"
        )
    };
    let more =
        of_nodes("mute", &mute.url(PATH)) + &of_nodes("nowhere", "http://127.0.0.1:99999/metrics");
    let (place, mut madang, pages, _engine) = up(&more).await;
    believed(&place, 120).await;
    wait_for("one is asked much more often than the other", async || {
        let (asked, asked_mute) = (pages.authorizations().len(), mute.authorizations().len());
        (asked_mute > 0 && asked > asked_mute + 20).then_some(())
    })
    .await;
    let power = until(&place, "why the others say nothing is known", |power| {
        let meters = power["meters"].as_array().unwrap();
        meters
            .iter()
            .filter(|meter| meter["error"].is_string())
            .count()
            == 2
    })
    .await;
    let meters = power["meters"].as_array().unwrap();
    let said = |id: &str| {
        let meter = meters.iter().find(|meter| meter["id"] == id).unwrap();
        (
            meter["doubt_kind"].clone(),
            meter["error"].as_str().unwrap().to_owned(),
        )
    };
    assert_eq!(said("mute").0, "silent");
    assert!(said("mute").1.contains("no answer within"), "{power}");
    assert!(said("nowhere").1.contains("127.0.0.1:99999"), "{power}");
    assert_eq!(madang.stop().await, 0);
}

/// Its unit is a third of a watt, or it sees one phase of three.
#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_says_less_than_the_meters_of_its_parts_is_not_believed() {
    let part = Pages::serve().await.unwrap();
    says(&part, 250);
    let more = format!(
        "\n[[meter]]\nid = \"part\"\nsite = \"here\"\nreplica = \"e0\"\nkind = \"prometheus\"\nurl = \"{}\"\n",
        part.url(PATH)
    );
    let (place, mut madang, pages, _engine) = up(&more).await;
    // The engine's 250, and 20 of machines that do nothing.
    let low = doubted(&place, "below_parts", "parts").await;
    assert_eq!(low["watts"], 270, "{low}");
    says(&pages, 240);
    believed(&place, 240).await;
    says(&part, 310);
    doubted(&place, "below_parts", "parts").await;
    says(&pages, 330);
    believed(&place, 330).await;
    assert_eq!(madang.stop().await, 0);
}
