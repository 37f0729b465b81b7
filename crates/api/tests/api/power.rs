//! Power of sites, by the API.

use crate::bench::Bench;
use madang_testkit::eventually_async;
use serde_json::{Value, json};

const EVENTS: &str = "/api/v1/sites/here/power-events";

async fn power(bench: &Bench) -> Value {
    let answer = bench.get("/api/v1/sites/here/power", &bench.operator).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json
}

/// Asks for a quarter less, for an hour.
async fn cut(bench: &Bench, from: Option<&str>) -> crate::bench::Answer {
    let mut body = json!({ "cut_milli": 250, "for_ms": 3_600_000 });
    if let Some(from) = from {
        body["from"] = from.into();
    }
    bench.post(EVENTS, &bench.operator, body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_what_nobody_knows_is_refused_until_somebody_says_it() {
    let bench = Bench::start().await;
    let is_seen = async || power(&bench).await["unknown"].as_array().unwrap().len() == 2;
    assert!(eventually_async(is_seen).await, "{}", power(&bench).await);
    // Nothing says it now, and an event of later is no better known.
    for from in [None, Some("2100-01-01T00:00:00Z")] {
        let refused = cut(&bench, from).await;
        let expected = (400, "field_invalid");
        assert_eq!((refused.status, refused.code()), expected, "{from:?}");
    }
    let refused = cut(&bench, None).await;
    assert_eq!(refused.param(), "cut_milli");
    for said in ["nothing says what here draws", "[[meter]]", "cap_watts"] {
        assert!(refused.text.contains(said), "{said}: {}", refused.text);
    }
    assert_eq!(power(&bench).await["cap_watts"], Value::Null);

    let fleet = std::fs::read_to_string(&bench.fleet_file).unwrap();
    let engine = "slots = 4\npower = { idle_watts = 100, full_watts = 400 }\n";
    std::fs::write(&bench.fleet_file, fleet.replace("slots = 4\n", engine)).unwrap();
    bench.control.reload().await.unwrap();
    let is_known = async || power(&bench).await["watts"] == 100;
    assert!(eventually_async(is_known).await, "{}", power(&bench).await);
    // What it draws is known now: nothing below what it draws at rest can be.
    let low = cut(&bench, None).await;
    assert!(
        low.text.contains("only switching machines off"),
        "{}",
        low.text
    );
    let cap = json!({ "cap_watts": 150 });
    let set = bench.post(EVENTS, &bench.operator, cap).await;
    assert_eq!(set.status, 201, "{}", set.text);
    let holds = async || power(&bench).await["cap_watts"] == 150;
    assert!(eventually_async(holds).await, "{}", power(&bench).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_event_leaves_is_told_while_it_holds_and_after() {
    let bench = Bench::start().await;
    let fleet = std::fs::read_to_string(&bench.fleet_file).unwrap();
    let engine = "slots = 4\npower = { idle_watts = 100, full_watts = 800 }\n";
    std::fs::write(&bench.fleet_file, fleet.replace("slots = 4\n", engine)).unwrap();
    bench.control.reload().await.unwrap();
    let is_known = async || power(&bench).await["watts"] == 100;
    assert!(eventually_async(is_known).await, "{}", power(&bench).await);

    let cap = json!({ "cap_watts": 150, "for_ms": 3_600_000 });
    let set = bench.post(EVENTS, &bench.operator, cap).await.json;
    assert_eq!(
        (&set["left_watts"], &set["state"]),
        (&json!(150), &json!("running"))
    );
    // A cut of later is a part of nothing that is known, from half a minute before it begins.
    let from = "2099-12-31T23:30:00Z";
    let far = cut(&bench, Some(from)).await;
    assert_eq!(far.param(), "from", "{}", far.text);
    let in_a_day = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
    let later = cut(&bench, Some(&in_a_day.to_string())).await.json;
    assert_eq!(
        (&later["left_watts"], &later["state"]),
        (&Value::Null, &json!("scheduled"))
    );
    let instant = |field: &str| {
        later[field]
            .as_str()
            .unwrap()
            .parse::<jiff::Timestamp>()
            .unwrap()
    };
    assert_eq!(
        instant("from")
            .duration_since(instant("counts_from"))
            .as_secs(),
        30
    );

    let path = format!("{EVENTS}/{}", set["id"]);
    let ended = bench.delete(&path, &bench.operator).await;
    assert_eq!(
        (&ended.json["left_watts"], &ended.json["state"]),
        (&json!(150), &json!("over"))
    );
    let ids = async |query: &str| {
        let listed = bench
            .get(&format!("{EVENTS}{query}"), &bench.operator)
            .await;
        assert_eq!(listed.status, 200, "{}", listed.text);
        let rows = listed.json["data"].as_array().unwrap().clone();
        rows.iter().map(|row| row["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids("").await, [later["id"].clone()]);
    let an_hour_ago = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(1);
    let all = ids(&format!("?since={an_hour_ago}")).await;
    assert_eq!(all, [set["id"].clone(), later["id"].clone()]);
    // Of what is to come nothing is over yet.
    assert_eq!(
        ids("?since=2099-01-01T00:00:00Z").await,
        [later["id"].clone()]
    );
    for (since, param) in [("2020-01-01T00:00:00Z", "since"), ("yesterday", "since")] {
        let refused = bench
            .get(&format!("{EVENTS}?since={since}"), &bench.operator)
            .await;
        assert_eq!(
            (refused.status, refused.param()),
            (400, param),
            "{}",
            refused.text
        );
    }
}
