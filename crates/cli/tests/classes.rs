//! Tokens for one class of models and hours of one kind of accelerator, by the commands: from the fleet file to what is paid.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::fleet::{HEAD, url_replica};
use harness::{Madang, Place, chat_body};
use madang_testkit::{FakeEngine, FakeEngineOptions, http_post_json};
use serde_json::{Value, json};

/// A running server whose model `m` is large, with the tenant `acme` of the programme `ours`.
struct World {
    place: Place,
    madang: Madang,
    engine: FakeEngine,
}

impl World {
    async fn start() -> Self {
        let place = Place::new();
        let engine = FakeEngine::start(FakeEngineOptions::default()).await;
        place.write("fleet.toml", fleet(&engine, "large"));
        let madang = place.up_with(&[]).await;
        let world = Self {
            place,
            madang,
            engine,
        };
        world.json("programme create ours").await;
        world.json("tenant create acme --programme ours").await;
        world
    }

    async fn json(&self, command: &str) -> Value {
        let words: Vec<&str> = command.split(' ').collect();
        self.place.json(&words).await
    }

    /// What the command prints, with what it says to people, where it ends with this code.
    async fn run(&self, command: &str, code: i32) -> String {
        let words: Vec<&str> = command.split(' ').collect();
        let ended = self.place.run(&words).await.expect_code(code);
        ended.out + &ended.err
    }

    /// Status of a request, and what it says.
    async fn ask(&self, key: &str) -> (u16, String) {
        let url = self.madang.at("/v1/chat/completions");
        let answer = http_post_json(&url, Some(key), chat_body("hi", 4, false)).await;
        let answer = answer.unwrap();
        (answer.status, answer.text())
    }

    /// What is left of each allocation, by id.
    async fn left(&self) -> Value {
        let listed = self.json("allocation list --tenant acme").await;
        let rows = listed["data"].as_array().unwrap().iter();
        rows.map(|row| json!([row["id"], row["model_class"], row["left"]]))
            .collect()
    }
}

fn fleet(engine: &FakeEngine, class: &str) -> String {
    let line = "context_tokens = 8192";
    let classed = format!("{line}\nmodel_class = \"{class}\"");
    let nodes = "[[nodes]]\nid = \"gpus\"\nsite = \"here\"\naccelerator = \"h200\"\nper_node = 8\ncount = 4\n";
    HEAD.replace(line, &classed) + nodes + &url_replica("a", engine.url())
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_for_a_class_are_granted_spent_listed_and_told() {
    let mut world = World::start().await;
    let set = world
        .run("budget set ours --tokens 5000 --model-class large", 0)
        .await;
    assert_eq!(
        set,
        "'ours' has 5000 tokens for models of the class 'large' to allocate\n"
    );
    world.json("budget set ours --tokens 900").await;
    let listed = world.run("budget list", 0).await;
    assert!(
        listed.contains("MODEL CLASS") && listed.contains("large"),
        "{listed}"
    );
    let until = "--until 2100-01-01T00:00:00+09:00";
    let key = world.json("key create --tenant acme").await;
    let key = key["key"].as_str().unwrap();
    let grant = format!("allocation create any --tenant acme --tokens 900 {until}");
    world.json(&grant).await;
    let grant =
        format!("allocation create big --tenant acme --tokens 2000 --model-class large {until}");
    let granted = world.run(&grant, 0).await;
    assert_eq!(
        granted,
        "granted 2000 tokens for models of the class 'large' to 'acme'\n"
    );

    assert_eq!(world.ask(key).await.0, 200);
    let report = world.json("report programme ours").await;
    let lines = report["units"].as_array().unwrap();
    let spent = lines[1]["delivered"].as_i64().unwrap();
    assert_eq!(
        (&lines[1]["model_class"], spent > 0),
        (&json!("large"), true)
    );
    assert_eq!(lines[0]["delivered"], 0);
    let after = json!([["any", null, 900], ["big", "large", 2000 - spent]]);
    assert_eq!(world.left().await, after);

    // The model is given another class: what is for the old one stays and pays for nothing.
    world
        .place
        .write("fleet.toml", fleet(&world.engine, "huge"));
    world.run("reload", 0).await;
    assert_eq!(world.ask(key).await.0, 200);
    let left = world.left().await;
    assert_eq!(left[1], after[1]);
    assert!(left[0][2].as_i64() < Some(900), "{left}");
    world.run("allocation recall any", 0).await;
    let (status, said) = world.ask(key).await;
    assert!(
        status == 402 && said.contains("allocation_missing"),
        "{said}"
    );
    assert!(said.contains("a model of the class 'huge'"), "{said}");
    let verified = world.json("ledger verify").await;
    assert_eq!(verified["findings"], json!([]), "{verified}");
    assert_eq!(world.madang.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn hours_of_a_kind_are_granted_priced_and_listed() {
    let mut world = World::start().await;
    let until = "--until 2100-01-01T00:00:00+09:00";
    let grant = format!(
        "allocation create a --tenant acme --accelerator-hours 40 --accelerator h200 {until}"
    );
    for (command, told) in [
        (
            "budget set ours --accelerator-hours 100 --accelerator h200",
            "'ours' has 100 accelerator-hours of 'h200' to allocate\n",
        ),
        (&grant, "granted 40 accelerator-hours of 'h200' to 'acme'\n"),
    ] {
        assert_eq!(world.run(command, 0).await, told);
    }
    let listed = world.run("allocation list", 0).await;
    assert!(
        listed.contains("ACCELERATOR") && listed.contains("h200"),
        "{listed}"
    );
    let set = "price set --accelerator h200 --won-per-hour 4500.5 --place here";
    let said = world.run(set, 0).await;
    assert!(
        said.starts_with("the price of an hour of 'h200' is set from"),
        "{said}"
    );
    let listed = world.json("price list --accelerators").await;
    let row = &listed["data"][0];
    let found = (&row["accelerator"], &row["site"], &row["won_per_hour"]);
    assert_eq!(found, (&json!("h200"), &json!("here"), &json!("4500.5")));
    let table = world.run("price list --accelerators", 0).await;
    assert!(
        table.contains("WON PER HOUR") && table.contains("4500.5"),
        "{table}"
    );
    assert_eq!(world.json("price list").await["data"], json!([]));
    assert_eq!(world.madang.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_that_makes_no_sense_is_refused_with_a_word_on_it() {
    let mut world = World::start().await;
    for (command, code, told) in [
        (
            "budget set ours --tokens 1 --model-class larg",
            1,
            "did you mean 'large'?",
        ),
        (
            "budget set ours --won 1 --model-class large",
            2,
            "cannot be used with",
        ),
        ("budget set ours --model-class large", 2, "--tokens"),
        (
            "budget set ours --accelerator-hours 1 --accelerator h20",
            1,
            "did you mean 'h200'?",
        ),
        (
            "budget set ours --tokens 1 --accelerator h200",
            2,
            "cannot be used with",
        ),
        ("price set --accelerator h200", 2, "--won-per-hour"),
        (
            "price set m --uncached 1 --output 1 --accelerator h200",
            2,
            "cannot be used with",
        ),
        (
            "budget set ours --tokens 1 --model-class a/b",
            1,
            "model_class",
        ),
    ] {
        let said = world.run(command, code).await;
        assert!(said.contains(told), "{command}: {said}");
    }
    assert_eq!(world.json("budget list").await["data"], json!([]));
    assert_eq!(world.madang.stop().await, 0);
}
