//! Orders of a grid's server: in force, changed, taken back, and kept while it is away.

use super::{acts, engines, fleet, in_s, submit, until};
use crate::harness::{Place, json_of};
use jiff::Timestamp;
use madang_testkit::{PageAnswer, Pages};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// One page of rows.
fn page(path: &str) -> String {
    format!("{path}?skip=0&limit=50")
}

/// A server that knows one program, and gives a token to who asks for one.
async fn server() -> Pages {
    let pages = Pages::serve().await.unwrap();
    let token = json!({ "access_token": "told", "token_type": "Bearer", "expires_in": 3600 });
    pages.set("/auth/token", PageAnswer::Whole(200, token.to_string()));
    let program = json!({ "id": "p-1", "programName": "DR", "objectType": "PROGRAM" });
    let programs = json!([program]).to_string();
    pages.set(&page("/programs"), PageAnswer::Whole(200, programs));
    orders(&pages, &[]);
    pages
}

/// It has these events from now on.
fn orders(pages: &Pages, events: &[Value]) {
    let events = json!(events).to_string();
    pages.set(&page("/events"), PageAnswer::Whole(200, events));
}

/// A level from an instant on, for minutes.
fn level(level: u32, from: Timestamp, minutes: u32) -> Value {
    let from = from.to_string();
    json!({
        "id": "ev-1", "objectType": "EVENT", "programID": "p-1", "eventName": "evening",
        "createdDateTime": from, "modificationDateTime": from,
        "intervalPeriod": { "start": from, "duration": format!("PT{minutes}M") },
        "intervals": [{ "id": 0, "payloads": [{ "type": "SIMPLE", "values": [level] }] }],
    })
}

/// The site's events that are not over.
async fn events(place: &Place) -> Vec<Value> {
    let listed = json_of(place, "power events here").await;
    listed["data"].as_array().unwrap().clone()
}

/// All that the audit log's files have.
fn logged(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).unwrap();
    let texts = entries.map(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => logged(&path),
            false => String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned(),
        }
    });
    texts.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_grid_orders_is_met_changed_kept_and_taken_back_as_it_says() {
    let (engines, pages, place) = (engines().await, server().await, Place::new());
    let vtn = format!(
        "\n[[vtn]]\nid = \"kpx\"\nsite = \"here\"\nurl = \"{}\"\npoll_ms = 500\nclient_id = \"here\"\n\
         client_secret_file = \"vtn.key\"\nprograms = [\"DR\"]\nsimple_cut_milli = [100, 250]\n",
        pages.url("")
    );
    place.write("vtn.key", "a secret");
    place.write("fleet.toml", fleet(&engines) + &vtn);
    let mut madang = place.up_with(&[]).await;
    submit(&place, "ordered", "[flex]\npause = \"1h\"").await;
    let is_seen = |power: &Value| power["watts"] == 360 && power["vtns"][0]["answers"] == true;
    until(&place, "all is measured and the server answers", is_seen).await;

    // In force: a quarter of what was drawn is cut.
    let from = in_s(0);
    orders(&pages, &[level(2, from, 60)]);
    let is_met = |power: &Value| power["cap_watts"] == 270 && power["watts"] == 220;
    let met = until(&place, "the order is met", is_met).await;
    assert_eq!(acts(&met), ["pause"], "{met}");
    let first = events(&place).await.remove(0);
    let (set_by, reason) = (&first["set_by"], &first["reason"]);
    assert_eq!((set_by, reason), (&json!("kpx"), &json!("kpx: evening")));
    let order = first["order"].as_str().unwrap();
    assert!(order.starts_with("kpx/ev-1/0/"), "{order}");

    // Nobody else takes it back; the server being away changes nothing.
    let cancel = format!("power cancel here {}", first["id"]);
    let words: Vec<&str> = cancel.split(' ').collect();
    let refused = place.run(&words).await.expect_code(1);
    assert!(
        refused.err.contains("order of the VTN kpx"),
        "{}",
        refused.err
    );
    pages.set(&page("/events"), PageAnswer::Whole(503, String::new()));
    let is_away = |power: &Value| power["vtns"][0]["error"] == "/events answers 503";
    until(&place, "it is told that the server is away", is_away).await;
    madang.kill().await;
    let mut madang = place.up_with(&[]).await;
    until(&place, "it is told again", is_away).await;
    assert_eq!(events(&place).await.remove(0)["id"], first["id"]);

    // Another level, of what was drawn before any of it.
    orders(&pages, &[level(1, from, 60)]);
    let is_changed = |power: &Value| power["cap_watts"] == 324;
    until(&place, "the order is changed", is_changed).await;
    let changed = events(&place).await;
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert_eq!(changed[0]["baseline_watts"], 360);

    // Taken back by the server.
    orders(&pages, &[]);
    let is_free = |power: &Value| power["cap_watts"].is_null() && acts(power).is_empty();
    let free = until(&place, "nothing is in force", is_free).await;
    assert_eq!(free["vtns"][0]["answers"], true, "{free}");
    assert_eq!(events(&place).await, Vec::<Value>::new());
    assert_eq!(madang.stop().await, 0);
    // Set twice, and ended twice; the log has some entries in two of its files.
    let logged = logged(&place.data().join("audit"));
    let entries = logged.split(r#"{"v":1,"#);
    let told = entries.filter_map(|entry| entry.split_once(r#""key":"kpx"}}}"#));
    let told: BTreeSet<&str> = told.map(|(entry, _)| entry).collect();
    assert_eq!(told.len(), 4, "{told:?}");
}
