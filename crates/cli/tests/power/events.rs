//! What an event leaves: of a cut in watts once it counts, also after it; before that in words.

use super::{in_s, until, up};
use crate::harness::{Place, json_of, wait_for};
use serde_json::{Value, json};

/// The only event of a list.
async fn only(place: &Place, command: &str) -> Value {
    let listed = json_of(place, command).await;
    let rows = listed["data"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{listed}");
    rows[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_says_what_each_event_leaves() {
    let (place, mut madang, engines) = up().await;
    let all = until(&place, "all is measured", |power| power["watts"] == 220).await;
    assert_eq!(all["idle_watts"], 220, "{all}");
    // Nothing bends that draws nothing: a part of later alone is no less than that.
    let set = json_of(&place, "power event here --to 400 --for 1h").await;
    let listed = only(&place, "power events here").await;
    assert_eq!(
        [&listed["left_watts"], &listed["state"]],
        [&json!(400), &json!("running")]
    );
    json_of(&place, &format!("power cancel here {}", set["id"])).await;

    // It counts from half a minute before its beginning, which is now.
    let near = format!("power event here --cut 25% --for 1h --at {}", in_s(25));
    let set = json_of(&place, &near).await;
    let counts = wait_for("it is known what is left", async || {
        let event = only(&place, "power events here").await;
        event["left_watts"].is_u64().then_some(event)
    })
    .await;
    assert_eq!(
        [&counts["left_watts"], &counts["baseline_watts"]],
        [&json!(165), &json!(220)]
    );
    assert_eq!(counts["counts_from"], counts["set_at"]);
    json_of(&place, &format!("power cancel here {}", set["id"])).await;
    let none = json_of(&place, "power events here").await;
    assert_eq!(none["data"], json!([]));
    let past = json_of(&place, "power events here --since 1h").await;
    let left: Vec<&Value> = past["data"].as_array().unwrap().iter().collect();
    let left: Vec<_> = left
        .iter()
        .map(|row| (&row["state"], &row["left_watts"]))
        .collect();
    let over = json!("over");
    assert_eq!(left, [(&over, &json!(400)), (&over, &json!(165))]);

    // Of one of later it is said of what it will be a part.
    let later = format!("power event here --cut 25% --for 1h --at {}", in_s(3_600));
    let words: Vec<&str> = later.split(' ').collect();
    let later = place.run(&words).await.expect_code(0);
    let listed = place.run(&["power", "events", "here"]).await.expect_code(0);
    for shown in [&later.out, &listed.out] {
        assert!(shown.contains("75 % of what is drawn at "), "{shown}");
    }
    drop(engines);
    assert_eq!(madang.stop().await, 0);
}
