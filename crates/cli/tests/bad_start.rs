//! Starts that cannot succeed: a message that says what and how to mend it, the right exit code, nothing half done.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "a failed test shows what was printed")]

mod harness;

use harness::fleet::{HEAD, fleet, launch_replica, url_replica};
use harness::{Ended, Place, process, wait_for};
use madang_testkit::{FakeEngine, FakeEngineOptions};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tokio::net::TcpListener;

/// Nobody listens there, and nobody needs to: these starts fail before.
const NOWHERE: &str = "http://127.0.0.1:9";

fn good_fleet() -> String {
    fleet(&[url_replica("a", NOWHERE)])
}

/// `madang up` with these arguments ends with this code and says all of this; then the place is as free as before.
async fn check(place: &Place, args: &[&str], code: i32, words: &[&str]) -> Ended {
    let mut all = vec!["up", "--listen", "127.0.0.1:0"];
    all.extend(args);
    let mut command = place.command(&all);
    // No package may come from a network, whatever this machine has.
    command
        .env("PIP_NO_INDEX", "1")
        .env("PIP_CONFIG_FILE", "/dev/null")
        .env("http_proxy", NOWHERE)
        .env("https_proxy", NOWHERE);
    let ended = Place::run_command(command).await;
    println!("$ madang up {}\n{}", args.join(" "), ended.err);
    assert_eq!(ended.code, code, "{args:?}: {}{}", ended.out, ended.err);
    for word in words {
        assert!(
            ended.err.contains(word),
            "{args:?} does not say {word:?}:\n{}",
            ended.err
        );
    }
    assert_eq!(ended.out, "", "{args:?}");
    place.assert_unused();
    ended
}

/// After a failure the same folder serves.
async fn expect_usable(place: &Place) {
    let engine = FakeEngine::start(FakeEngineOptions::default()).await;
    let mut madang = place.up(&fleet(&[url_replica("a", engine.url())])).await;
    assert_eq!(madang.chat().await.unwrap().status, 200);
    assert_eq!(madang.stop().await, 0);
    place.assert_unused();
}

#[tokio::test]
async fn a_port_in_use() {
    let place = Place::new();
    place.write("fleet.toml", good_fleet());
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = place.command(&["up", "--fleet", "fleet.toml"]);
    command.env("MADANG_LISTEN", &address);
    let ended = Place::run_command(command).await.expect_code(1);
    assert!(
        ended.err.contains(&format!("cannot listen on {address}")),
        "{}",
        ended.err
    );
    assert!(ended.err.contains("--listen"), "{}", ended.err);
    place.assert_unused();
    expect_usable(&place).await;
}

#[tokio::test]
async fn a_data_folder_that_cannot_be_written() {
    let place = Place::new();
    place.write("fleet.toml", good_fleet());
    place.write("a-file", "not a folder");
    let cases = [
        ("a-file", "a-file"),
        ("a-file/below", "a-file/below"),
        ("/proc/madang", "/proc/madang"),
    ];
    for (data, named) in cases {
        check(
            &place,
            &["--fleet", "fleet.toml", "--data", data],
            1,
            &["data folder", named, "--data"],
        )
        .await;
    }
    assert_eq!(
        fs::read_to_string(place.path("a-file")).unwrap(),
        "not a folder"
    );

    // Folders where files must come, and files where folders must: the part that is in the way is named.
    for (name, folder) in [
        ("lock", true),
        ("madang.sqlite", true),
        ("logs", false),
        ("run", false),
    ] {
        let data = place.path(&format!("data-{name}"));
        fs::create_dir(&data).unwrap();
        let path = data.join(name);
        if folder {
            fs::create_dir(&path).unwrap()
        } else {
            fs::write(&path, "x").unwrap()
        }
        let shown = data.to_str().unwrap();
        check(
            &place,
            &["--fleet", "fleet.toml", "--data", shown],
            1,
            &[shown],
        )
        .await;
        assert!(!data.join("server.json").exists(), "{shown}");
    }
}

#[tokio::test]
async fn books_that_are_not_books() {
    let place = Place::new();
    place.write("fleet.toml", good_fleet());
    fs::create_dir(place.data()).unwrap();
    fs::write(
        place.data().join("madang.sqlite"),
        "these are not the books, whatever their name says; ".repeat(100),
    )
    .unwrap();
    check(
        &place,
        &["--fleet", "fleet.toml"],
        1,
        &["the books", "madang.sqlite", "--data"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_instance_on_the_same_folder() {
    let place = Place::new();
    let engine = FakeEngine::start(FakeEngineOptions::default()).await;
    let mut first = place.up(&fleet(&[url_replica("a", engine.url())])).await;
    let ended = place
        .run(&["up", "--fleet", "fleet.toml", "--listen", "127.0.0.1:0"])
        .await
        .expect_code(1);
    for word in [
        first.url.as_str(),
        &first.pid.to_string(),
        "in use",
        "--data",
    ] {
        assert!(ended.err.contains(word), "{word}: {}", ended.err);
    }
    assert!(
        place.data().join("server.json").exists(),
        "the first one's address is kept"
    );
    assert_eq!(
        first.chat().await.unwrap().status,
        200,
        "the first goes on serving"
    );
    assert_eq!(first.stop().await, 0);
    place.assert_unused();
}

#[tokio::test]
async fn a_model_file_that_is_not_one() {
    let place = Place::new();
    place.write(
        "page.gguf",
        "<!DOCTYPE html><html><body>404 Not Found</body></html>",
    );
    place.write("empty.gguf", "");
    place.write("archive.gguf", b"PK\x03\x04\x14\x00\x00\x00\x08\x00");
    place.write("truncated.gguf", b"GGUF\x03\x00\x00\x00");
    place.write(
        "pointer.gguf",
        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n",
    );
    fs::create_dir(place.path("folder.gguf")).unwrap();
    let cases = [
        "page.gguf",
        "empty.gguf",
        "archive.gguf",
        "truncated.gguf",
        "pointer.gguf",
        "folder.gguf",
        "missing.gguf",
    ];
    for name in cases {
        check(&place, &["--model", name], 1, &[name]).await;
        assert!(!place.data().exists(), "{name}: nothing was made");
    }
}

#[tokio::test]
async fn an_engine_that_dies_at_start() {
    let place = Place::new();
    let mark = place.path("mark").display().to_string();
    let script = format!("echo loading {mark}; echo 'CUDA error: no device' >&2; exit 3");
    place.write(
        "fleet.toml",
        fleet(&[launch_replica("a", &["sh", "-c", &script, "{port}"])]),
    );
    let words = [
        "no engine started",
        "a:",
        "CUDA error: no device",
        "madang doctor",
    ];
    check(&place, &["--fleet", "fleet.toml"], 1, &words).await;
    assert_eq!(
        process::with_argument(&mark),
        [0; 0],
        "nothing is left running"
    );

    place.write(
        "fleet.toml",
        fleet(&[launch_replica(
            "a",
            &["/no/such/engine", "--port", "{port}"],
        )]),
    );
    check(
        &place,
        &["--fleet", "fleet.toml"],
        1,
        &["no engine started", "/no/such/engine"],
    )
    .await;
    expect_usable(&place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_dead_engine_beside_one_that_serves_is_told_and_served() {
    let place = Place::new();
    let engine = FakeEngine::start(FakeEngineOptions::default()).await;
    let replicas = [
        url_replica("good", engine.url()),
        launch_replica("bad", &["false", "{port}"]),
    ];
    let mut madang = place.up(&fleet(&replicas)).await;
    let out = place.path("madang.out");
    let told = wait_for("the welcome", async || {
        let text = fs::read_to_string(&out).unwrap();
        text.contains("serves at").then_some(text)
    })
    .await;
    assert!(told.contains("NOT UP: bad"), "{told}");
    assert_eq!(madang.chat().await.unwrap().status, 200);
    assert_eq!(madang.stop().await, 0);
}

#[tokio::test]
async fn no_network_and_nothing_in_the_cache() {
    let place = Place::new();
    let ended = check(
        &place,
        &[],
        1,
        &["could not be had from any of its sources"],
    )
    .await;
    assert!(
        ended.err.lines().count() < 40,
        "it is said briefly:\n{}",
        ended.err
    );
    let kept = files_below(&place.path("cache"));
    assert!(
        kept.iter().all(|path| !path.ends_with(".part")),
        "no half of a file: {kept:?}"
    );
}

#[tokio::test]
async fn a_source_with_another_digest() {
    let place = Place::new();
    place.write("m.gguf", "not what the digest says");
    let weights = format!(
        "weights = {{ sha256 = \"{}\", sources = [{{ file = \"m.gguf\" }}] }}\n",
        "0".repeat(64)
    );
    let head = HEAD.replace(
        "context_tokens = 8192\n",
        &format!("context_tokens = 8192\n{weights}"),
    );
    assert_ne!(head, HEAD);
    let replica = launch_replica("a", &["sleep", "1000", "{model_path}", "{port}"]);
    place.write("fleet.toml", format!("{head}{replica}"));
    check(
        &place,
        &["--fleet", "fleet.toml"],
        1,
        &["m.gguf", "000000", "sources"],
    )
    .await;
    assert_eq!(
        fs::read_to_string(place.path("m.gguf")).unwrap(),
        "not what the digest says",
        "the file is its owner's"
    );
}

#[tokio::test]
async fn a_fleet_file_with_problems() {
    let place = Place::new();
    let bad = good_fleet()
        .replace("site = \"here\"", "siet = \"here\"")
        .replace("slots = 64", "slots = -1");
    place.write("bad.toml", bad);
    check(
        &place,
        &["--fleet", "bad.toml"],
        1,
        &["bad.toml:", "siet", "site", "slots", "─", "help:"],
    )
    .await;
    assert!(!place.data().exists(), "nothing was made");

    place.write("not-toml.toml", "this is = = not toml");
    check(&place, &["--fleet", "not-toml.toml"], 1, &["not-toml.toml"]).await;
    check(&place, &["--fleet", "missing.toml"], 1, &["missing.toml"]).await;
    check(&place, &["--fleet", "."], 1, &["."]).await;
}

#[tokio::test]
async fn flags_that_make_no_sense() {
    let place = Place::new();
    place.write("fleet.toml", good_fleet());
    let cases: &[(&[&str], i32, &str)] = &[
        (
            &["--fleet", "fleet.toml", "--listen", "nonsense"],
            2,
            "--listen",
        ),
        (
            &["--fleet", "fleet.toml", "--listen", "127.0.0.1:99999"],
            2,
            "--listen",
        ),
        (
            &["--fleet", "fleet.toml", "--model", "m.gguf"],
            2,
            "--model",
        ),
        (&["--flet", "fleet.toml"], 2, "--fleet"),
        (
            &["--fleet", "fleet.toml", "--log", "=/=nonsense"],
            1,
            "--log",
        ),
        (&["--fleet", "fleet.toml", "--log-format", "xml"], 2, "json"),
    ];
    for (args, code, word) in cases {
        let mut all = vec!["up"];
        all.extend(*args);
        let ended = place.run(&all).await.expect_code(*code);
        assert!(ended.err.contains(word), "{args:?}: {}", ended.err);
        assert!(!place.data().exists(), "{args:?}: nothing was made");
    }
}

#[tokio::test]
async fn a_recording_onto_a_file_that_exists() {
    let place = Place::new();
    place.write("fleet.toml", good_fleet());
    place.write("kept.jsonl", "somebody's");
    check(
        &place,
        &["--fleet", "fleet.toml", "--record", "kept.jsonl"],
        1,
        &["kept.jsonl", "recording", "--record"],
    )
    .await;
    assert_eq!(
        fs::read_to_string(place.path("kept.jsonl")).unwrap(),
        "somebody's"
    );
    check(
        &place,
        &["--fleet", "fleet.toml", "--record", "no/such/folder"],
        1,
        &["no/such/folder"],
    )
    .await;
    expect_usable(&place).await;
}

#[tokio::test]
async fn a_replica_key_file_that_is_not_there() {
    let place = Place::new();
    place.write(
        "fleet.toml",
        good_fleet().replace("slots = 64", "slots = 64\nkey_file = \"engine.key\""),
    );
    check(&place, &["--fleet", "fleet.toml"], 1, &["engine.key"]).await;
    let key = place.write("engine.key", "");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    check(
        &place,
        &["--fleet", "fleet.toml"],
        1,
        &["engine.key", "empty"],
    )
    .await;
}

fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_below(&entry.path()));
        } else {
            found.push(entry.path().display().to_string());
        }
    }
    found
}
