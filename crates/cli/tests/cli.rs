//! The commands, end to end: what they print, how they exit, and that their JSON holds what scripts need.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::fleet::{fleet, python_replica, url_replica};
use harness::{Madang, Place, chat_body, expect_done, wait_for};
use madang_testkit::{FakeEngine, http_get, http_post_json};
use serde_json::{Value, json};
use std::fs;

const NOWHERE: &str = "http://127.0.0.1:9";

/// A server with one replica at an engine of this process.
async fn up(place: &Place, args: &[&str]) -> (FakeEngine, Madang) {
    let engine = place.start_engine().await;
    let madang = place.up_with(args).await;
    (engine, madang)
}

async fn ask(madang: &Madang, key: &str) -> (u16, String) {
    let url = madang.at("/v1/chat/completions");
    let answer = http_post_json(&url, Some(key), chat_body("hi", 8, false))
        .await
        .unwrap();
    let id = answer
        .header("x-madang-request-id")
        .unwrap_or_default()
        .to_owned();
    (answer.status, id)
}

#[tokio::test]
async fn check_says_whether_a_file_can_be_used() {
    let place = Place::new();
    let good = fleet(&[url_replica("a", NOWHERE)]);
    place.write("good.toml", &good);
    place.write("bad.toml", good.replace("slots", "slotz"));
    place.write(
        "warned.toml",
        good.replace("timeout_ms = 200", "timeout_ms = 60000"),
    );
    let check = async |args: &[&str]| place.run(&[&["check"], args].concat()).await;

    check(&["good.toml"]).await.expect_code(0);
    assert_eq!(
        check(&["good.toml", "--json"]).await.expect_code(0).json(),
        json!({ "usable": true, "problems": [] })
    );
    let warned = check(&["warned.toml", "--json"])
        .await
        .expect_code(0)
        .json();
    assert_eq!(
        (&warned["usable"], &warned["problems"][0]["severity"]),
        (&json!(true), &json!("warning"))
    );
    let shown = check(&["bad.toml"]).await.expect_code(1);
    assert!(
        shown.out.contains("slotz") && shown.out.contains("did you mean"),
        "{shown:?}"
    );
    let bad = check(&["bad.toml", "--json"]).await.expect_code(1).json();
    assert_eq!(bad["usable"], false);
    for problem in bad["problems"].as_array().unwrap() {
        assert!(
            problem["line"].as_u64() > Some(0) && problem["code"].is_string(),
            "{problem}"
        );
    }
    assert!(
        check(&["missing.toml"])
            .await
            .expect_code(1)
            .err
            .contains("missing.toml")
    );
    check(&[]).await.expect_code(2);
    assert!(!place.data().exists(), "a check makes nothing");
}

/// A rule of a policy file that is warned of: nobody is called that.
const WARNED: &str = "\n[[rule]]\nid = \"guests\"\neffect = \"allow\"\ntext = \"x\"\nwhen = { class = [\"open\"], tenant = [\"nobody\"] }\n";
/// One that breaks the statement about classified data.
const LEAK: &str = "\n[[rule]]\nid = \"leak\"\neffect = \"allow\"\ntext = \"x\"\nwhen = { class = [\"classified\"] }\n";

#[tokio::test]
async fn check_says_what_is_wrong_in_a_policy_file_and_in_which() {
    let place = Place::new();
    let head = "[policy]\nfile = \"policy.toml\"\n";
    place.write("fleet.toml", fleet(&[url_replica("a", NOWHERE)]) + head);
    for (policy, usable, expected) in [
        (WARNED.to_owned(), true, vec!["reference_unknown"]),
        (
            [WARNED, LEAK].concat(),
            false,
            vec!["reference_unknown", "policy_broken"],
        ),
        ("hom = \"KR\"\n".into(), false, vec!["unknown_key"]),
    ] {
        place.write("policy.toml", policy);
        let code = i32::from(!usable);
        let told = place.run(&["check", "fleet.toml", "--json"]).await;
        let told = told.expect_code(code).json();
        assert_eq!(told["usable"], usable, "{told}");
        let problems = told["problems"].as_array().unwrap();
        let codes: Vec<&str> = problems
            .iter()
            .map(|p| p["code"].as_str().unwrap())
            .collect();
        assert_eq!(codes, expected);
        for problem in problems {
            assert_eq!(problem["file"], "policy.toml", "{problem}");
        }
        let shown = place.run(&["check", "fleet.toml"]).await.expect_code(code);
        for code in expected {
            assert!(shown.out.contains(code), "{shown:?}");
        }
    }
}

#[tokio::test]
async fn schema_and_help_are_printed() {
    let place = Place::new();
    let schema = place.run(&["schema"]).await.expect_code(0).json();
    assert!(schema["properties"]["replica"].is_object(), "{schema}");
    for (args, code) in [
        (vec!["--help"], 0),
        (vec!["up", "--help"], 0),
        (vec!["--version"], 0),
        (vec![], 2),
        (vec!["serv"], 2),
    ] {
        let ended = place.run(&args).await.expect_code(code);
        assert!(
            format!("{}{}", ended.out, ended.err).contains("madang"),
            "{args:?}"
        );
    }
}

#[tokio::test]
async fn doctor_names_what_is_missing() {
    let place = Place::new();
    place.write("fleet.toml", fleet(&[url_replica("a", NOWHERE)]));
    let checks = place
        .run(&[
            "doctor",
            "--fleet",
            "fleet.toml",
            "--listen",
            "127.0.0.1:0",
            "--json",
        ])
        .await
        .expect_code(0)
        .json();
    for check in checks.as_array().unwrap() {
        assert!(
            check["name"].is_string() && check["verdict"].is_string(),
            "{check}"
        );
    }
    let mut command = place.command(&["doctor", "--listen", "127.0.0.1:0"]);
    command.env("MADANG_PYTHON", "/no/such/python");
    let ended = Place::run_command(command).await.expect_code(1);
    assert!(
        ended.out.contains("/no/such/python") && ended.out.contains("to mend"),
        "{}",
        ended.out
    );
    assert!(!place.data().exists(), "a doctor makes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_run_replays_byte_for_byte() {
    let place = Place::new();
    let (_engine, mut madang) = up(&place, &["--record", "run.jsonl"]).await;
    for _ in 0..5 {
        let (_, stream) = madang.chat_stream(8, 1).await;
        expect_done(stream).await;
        assert_eq!(madang.chat().await.unwrap().status, 200);
    }
    place.run(&["reload"]).await.expect_code(0);
    assert_eq!(madang.stop().await, 0);

    let replayed = place
        .run(&["replay", "run.jsonl", "--json"])
        .await
        .expect_code(0)
        .json();
    assert_eq!(replayed["equal"], true);
    assert!(replayed["steps"].as_u64() > Some(20), "{replayed}");
    place.run(&["replay", "run.jsonl"]).await.expect_code(0);

    let text = fs::read_to_string(place.path("run.jsonl")).unwrap();
    assert!(
        !text.contains("fake-behaviour") && !text.contains("\"hi\""),
        "a recording holds no content"
    );
    assert!(
        text.contains("\"candidates\":1") || text.contains("start"),
        "{}",
        text.lines().last().unwrap()
    );
    place.write(
        "other.jsonl",
        text.replacen("\"attempt\":1", "\"attempt\":2", 1),
    );
    place.run(&["replay", "other.jsonl"]).await.expect_code(1);
    place.write("torn.jsonl", &text[..text.len() - 20]);
    let torn = place.run(&["replay", "torn.jsonl"]).await.expect_code(1);
    let whole = text.lines().count() - 1;
    let words = format!("{whole} steps replayed, every effect equal, but torn.jsonl:");
    assert!(torn.err.contains(&words), "{}", torn.err);
    let torn = ["replay", "torn.jsonl", "--json"];
    let torn = place.run(&torn).await.expect_code(1).json();
    assert_eq!(torn["torn_line"], whole + 1, "{torn}");
    place.write("empty.jsonl", "");
    for (file, words) in [
        ("empty.jsonl", "is no recording: there is no step in it"),
        ("missing.jsonl", "cannot open missing.jsonl"),
        ("/dev/zero", "/dev/zero:1 is too long for a recording"),
    ] {
        let ended = place.run(&["replay", file]).await.expect_code(1);
        assert!(ended.err.contains(words), "{}", ended.err);
    }
}

/// A tenant with a key: the key and its id.
async fn tenant(place: &Place, id: &str) -> (String, String) {
    place.json(&["tenant", "create", id]).await;
    let made = place
        .json(&["key", "create", "--tenant", id, "--expires-days", "1"])
        .await;
    let text = |field: &str| made[field].as_str().unwrap().to_owned();
    (text("key"), text("id"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_used_is_shown() {
    let place = Place::new();
    let (_engine, mut madang) = up(&place, &[]).await;
    let (key, id) = tenant(&place, "acme").await;
    let (status, request) = ask(&madang, &key).await;
    assert_eq!(status, 200);
    assert_eq!(ask(&madang, &madang.key).await.0, 200);

    let record = place.json(&["request", &request]).await;
    let shown = [&record["tenant"], &record["outcome"], &record["key"]];
    assert_eq!(shown, ["acme", "finished", &id]);
    let usage = place.json(&["usage", "--by", "tenant"]).await;
    let rows = usage["data"].as_array().unwrap();
    let groups: Vec<&Value> = rows.iter().map(|row| &row["group"]).collect();
    assert_eq!(groups, ["acme", "demo"]);
    let csv = place.run(&["usage", "--by", "model", "--csv"]).await;
    let csv = csv.expect_code(0).out;
    assert!(
        csv.starts_with("group,requests,") && csv.contains("\nm,2,2,"),
        "{csv}"
    );
    for by in ["model", "tenant", "day"] {
        place.run(&["usage", "--by", by]).await.expect_code(0);
    }
    place
        .run(&["usage", "--from", "yesterday"])
        .await
        .expect_code(1);

    // Another tenant's request reads as absent.
    let url = madang.at(&format!("/api/v1/requests/{request}"));
    assert_eq!(http_get(&url, Some(&madang.key)).await.unwrap().status, 404);
    assert_eq!(http_get(&url, Some(&key)).await.unwrap().status, 200);
    assert_eq!(http_get(&url, None).await.unwrap().status, 401);
    assert_eq!(madang.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_refused_as_soon_as_they_or_their_tenant_are_gone() {
    let place = Place::new();
    let (_engine, mut madang) = up(&place, &[]).await;
    let (first, first_id) = tenant(&place, "acme").await;
    place
        .run(&["tenant", "create", "acme"])
        .await
        .expect_code(1);
    place
        .run(&["tenant", "show", "nobody"])
        .await
        .expect_code(1);
    place
        .run(&["key", "revoke", "nonsense"])
        .await
        .expect_code(1);
    let listed = place.json(&["key", "list", "--tenant", "acme"]).await;
    let secret = first.rsplit('_').next().unwrap();
    assert!(
        !listed.to_string().contains(secret),
        "no list shows a secret"
    );

    let second = place.json(&["key", "create", "--tenant", "acme"]).await;
    let second = second["key"].as_str().unwrap();
    assert_eq!(
        [ask(&madang, &first).await.0, ask(&madang, second).await.0],
        [200, 200]
    );
    place
        .run(&["key", "revoke", &first_id])
        .await
        .expect_code(0);
    assert_eq!(
        [ask(&madang, &first).await.0, ask(&madang, second).await.0],
        [401, 200]
    );
    place
        .run(&["tenant", "remove", "acme"])
        .await
        .expect_code(0);
    assert_eq!(ask(&madang, second).await.0, 401);
    assert_eq!(madang.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_outlives_the_process() {
    let place = Place::new();
    let (_engine, mut madang) = up(&place, &[]).await;
    place
        .run(&["programme", "create", "science"])
        .await
        .expect_code(0);
    let (kept, _) = tenant(&place, "kept").await;
    let (revoked, id) = tenant(&place, "revoked").await;
    place.run(&["key", "revoke", &id]).await.expect_code(0);
    let (_, request) = ask(&madang, &kept).await;
    madang.kill().await;

    let mut madang = place.up_with(&[]).await;
    assert_eq!(
        [ask(&madang, &kept).await.0, ask(&madang, &revoked).await.0],
        [200, 401]
    );
    place.run(&["request", &request]).await.expect_code(0);
    let programmes = place.json(&["programme", "list"]).await;
    assert_eq!(programmes["data"][0]["id"], "science");
    let out = fs::read_to_string(place.path("madang.out")).unwrap();
    assert!(
        !out.contains("tenant key  mdg_"),
        "the key is shown at the first start only"
    );
    assert_eq!(madang.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_logs_of_launched_engines() {
    let place = Place::new();
    let mark = place.path("mark").display().to_string();
    let mut madang = place.up(&fleet(&[python_replica("a", &mark)])).await;
    let status = place.run(&["status", "--json"]).await.expect_code(0).json();
    let replica = &status["replicas"][0];
    assert_eq!([&replica["id"], &replica["state"]], ["a", "up"], "{status}");
    assert_eq!(
        [&replica["launched"], &replica["starts_count"]],
        [&json!(true), &json!(1)],
        "{status}"
    );
    let shown = place.run(&["status"]).await.expect_code(0).out;
    assert!(
        shown.contains("REPLICA") && shown.contains(" up "),
        "{shown}"
    );
    // Nobody sits at this output: one frame, without a command to a terminal.
    for args in [&["top"][..], &["top", "--once"]] {
        let shown = place.run(args).await.expect_code(0).out;
        assert!(shown.contains("1 of 1 replicas serve"), "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
    }
    let pools = place.run(&["top", "--json"]).await.expect_code(0).json();
    assert_eq!(pools["data"], status["pools"], "one account of it");

    harness::process::signal(
        u32::try_from(replica["pid"].as_u64().unwrap()).unwrap(),
        rustix::process::Signal::KILL,
    );
    wait_for("it is started again", async || {
        let status = place.run(&["status", "--json"]).await.expect_code(0).json();
        let replica = &status["replicas"][0];
        (replica["starts_count"] == 2 && replica["state"] == "up").then_some(())
    })
    .await;
    let logs = place.run(&["logs", "a"]).await.expect_code(0).out;
    assert_eq!(logs.matches("engine: it listens").count(), 2, "{logs}");
    let one = place
        .run(&["logs", "a", "-n", "1"])
        .await
        .expect_code(0)
        .out;
    assert_eq!(one.lines().count(), 1, "{one}");
    assert!(
        place
            .run(&["logs", "b"])
            .await
            .expect_code(1)
            .err
            .contains("'b'")
    );
    place.run(&["logs", "a", "-n", "0"]).await.expect_code(2);
    assert_eq!(madang.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_say_when_no_server_runs() {
    let place = Place::new();
    let commands: &[&[&str]] = &[
        &["status"],
        &["top"],
        &["reload"],
        &["usage"],
        &["tenant", "list"],
        &["key", "list"],
        &["logs", "a"],
        &["request", "req_0"],
    ];
    for command in commands {
        let ended = place.run(command).await.expect_code(1);
        assert!(
            ended.err.contains("no server") && ended.err.contains("madang up"),
            "{command:?}: {}",
            ended.err
        );
    }
    // After kill -9 the file that names the server is left, and leads nowhere.
    let (_engine, mut madang) = up(&place, &[]).await;
    madang.kill().await;
    for command in commands {
        let ended = place.run(command).await.expect_code(1);
        assert!(
            ended.err.contains("madang up"),
            "{command:?}: {}",
            ended.err
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_welcome_is_text_or_json() {
    let place = Place::new();
    let (_engine, mut madang) = up(&place, &["--json"]).await;
    let out = place.path("madang.out");
    let told = wait_for("the facts", async || {
        serde_json::from_str::<Value>(&fs::read_to_string(&out).unwrap()).ok()
    })
    .await;
    assert_eq!(told["url"], madang.url);
    assert_eq!(told["tenant_key"], madang.key);
    assert_eq!(told["models"], json!(["m"]));
    assert_eq!(madang.stop().await, 0);
    assert!(!madang.said().contains(&madang.key), "no key in the log");

    let mut madang = place.up_with(&[]).await;
    let text = wait_for("the welcome", async || {
        let text = fs::read_to_string(&out).unwrap();
        text.contains("Stop with").then_some(text)
    })
    .await;
    assert!(
        text.contains(&madang.url) && text.contains("curl") && text.contains("from openai"),
        "{text}"
    );
    assert_eq!(madang.stop().await, 0);
}
