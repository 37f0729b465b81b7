//! `madang up --store postgres://…`: books that outlive a restart, a kill and a server that is away; several gateways on
//! one; starts that cannot be.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "a failed test shows what was printed")]

mod harness;

use harness::fleet::{fleet, url_replica};
use harness::{Madang, Place};
use madang_testkit::{Database, Postgres, http_get, http_post_json};
use serde_json::Value;

/// Requests in the books, as `madang usage` shows them.
async fn requests(place: &Place) -> u64 {
    let usage = place.json(&["usage"]).await;
    println!("{usage}");
    usage["data"][0]["requests"].as_u64().unwrap()
}

async fn up(place: &Place, database: &Database) -> Madang {
    place.up_with(&["--store", &database.url()]).await
}

#[tokio::test]
async fn the_books_outlive_a_restart_and_a_kill() {
    let server = Postgres::shared().unwrap();
    let database = server.database().unwrap();
    let place = Place::new();
    let _engine = place.start_engine().await;
    let mut madang = up(&place, &database).await;
    assert_eq!(madang.chat().await.unwrap().status, 200);
    assert_eq!(requests(&place).await, 1);
    assert_eq!(madang.stop().await, 0);
    let mut madang = up(&place, &database).await;
    assert_eq!(requests(&place).await, 1);
    assert_eq!(madang.chat().await.unwrap().status, 200);
    madang.kill().await;
    let mut madang = up(&place, &database).await;
    assert_eq!(requests(&place).await, 2);
    assert_eq!(madang.stop().await, 0);
    assert!(!place.data().join("madang.sqlite").exists());
    assert!(!place.data().join("madang.postgres-records").exists());
}

#[tokio::test]
async fn requests_are_served_while_the_database_is_away() {
    let mut server = Postgres::own(&[]).unwrap();
    let database = server.database().unwrap();
    let place = Place::new();
    let _engine = place.start_engine().await;
    let mut madang = up(&place, &database).await;
    server.kill().unwrap();
    for _ in 0..20 {
        assert_eq!(madang.chat().await.unwrap().status, 200);
    }
    let ended = place.run(&["usage"]).await.expect_code(1);
    assert!(ended.err.contains("store_unavailable"), "{}", ended.err);
    server.start().unwrap();
    let back = async || {
        let ended = place.run(&["usage", "--json"]).await;
        let usage: Value = serde_json::from_str(&ended.out).ok()?;
        usage["data"][0]["requests"].as_u64()
    };
    assert_eq!(harness::wait_for("the books are back", back).await, 20);
    assert_eq!(madang.stop().await, 0);
}

/// What is changed at one gateway is in force at another on the same books, each with a data folder of its own.
#[tokio::test]
async fn keys_tenants_and_stops_hold_at_every_gateway_of_the_books() {
    let server = Postgres::shared().unwrap();
    let database = server.database().unwrap();
    let (place, other_place) = (Place::new(), Place::new());
    let engine = place.start_engine().await;
    other_place.write_fleet_of(&engine);
    let mut madang = up(&place, &database).await;
    let mut other = other_place.start(&["--store", &database.url()]);
    other.listening().await;
    let models = other.at("/v1/models");
    let status = async |key: &str| http_get(&models, Some(key)).await.unwrap().status;
    let until = async |what: &str, key: &str, wanted: u16| {
        harness::wait_for(what, async || (status(key).await == wanted).then_some(())).await;
    };
    until("the first gateway's keys hold", &madang.key, 200).await;

    place.json(&["tenant", "create", "acme"]).await;
    let made = place.json(&["key", "create", "--tenant", "acme"]).await;
    let text = |field: &str| made[field].as_str().unwrap().to_owned();
    until("a new key holds", &text("key"), 200).await;
    place.json(&["key", "revoke", &text("id")]).await;
    until("a revoked one does not", &text("key"), 401).await;

    let chat = async || {
        let url = other.at("/v1/chat/completions");
        let body = harness::chat_body("hello", 3, false);
        http_post_json(&url, Some(&madang.key), body)
            .await
            .unwrap()
            .status
    };
    let until = async |what: &str, wanted: u16| {
        harness::wait_for(what, async || (chat().await == wanted).then_some(())).await;
    };
    until("the other serves", 200).await;
    place.run(&["stop", "site", "here"]).await.expect_code(0);
    until("a stop holds", 403).await;
    place
        .run(&["stop", "lift", "site:here"])
        .await
        .expect_code(0);
    until("a lifted stop does not", 200).await;
    assert_eq!(other.stop().await, 0);
    assert_eq!(madang.stop().await, 0);
}

/// That a command is refused in such words.
async fn check_words(place: &Place, args: &[&str], words: &str) {
    let ended = place.run(args).await.expect_code(1);
    assert!(ended.err.contains(words), "{}", ended.err);
}

#[tokio::test]
async fn gateways_are_listed_by_name_and_one_that_runs_is_not_given_up() {
    let server = Postgres::shared().unwrap();
    let database = server.database().unwrap();
    let place = Place::new();
    let _engine = place.start_engine().await;
    let mut madang = up(&place, &database).await;
    let gateways = place.json(&["gateway", "list"]).await;
    let row = &gateways["data"][0];
    let kept = std::fs::read_to_string(place.data().join("gateway")).unwrap();
    assert_eq!(
        (row["id"].as_str(), row["run"].as_u64()),
        (Some(&*kept), Some(1))
    );
    let running = ["gateway", "give-up", &kept];
    check_words(&place, &running, "was heard of within 60 s").await;
    let absent = ["gateway", "give-up", "nobody"];
    check_words(&place, &absent, "the gateway 'nobody' does not exist").await;
    let held = ["gateway", "release", &kept];
    check_words(&place, &held, "nothing waits of the gateway").await;
    assert_eq!(madang.stop().await, 0);
}

#[tokio::test]
async fn budgets_are_kept_and_the_ledger_is_read_where_it_is() {
    let server = Postgres::shared().unwrap();
    let database = server.database().unwrap();
    let place = Place::new();
    let _engine = place.start_engine().await;
    let mut madang = up(&place, &database).await;
    place.json(&["programme", "create", "startups"]).await;
    let budget = ["budget", "set", "startups", "--won", "1000"];
    place.run(&budget).await.expect_code(0);
    let price = ["price", "set", "m", "--uncached", "350", "--output", "1400"];
    place.json(&price).await;
    let early = [&price[..], &["--from", "2020-01-01T00:00:00Z"]].concat();
    check_words(&place, &early, "in the past").await;

    let url = database.url();
    let ledger = async |code: i32, args: &[&str], words: &str| {
        let args = [&["ledger"], args, &["--store", &url]].concat();
        let ended = place.run(&args).await.expect_code(code);
        assert!(ended.out.contains(words), "{}", ended.out);
    };
    ledger(0, &["verify"], "all of it follows the rules: 1 entries").await;
    ledger(0, &["balances", "programme:"], "programme:startups").await;
    ledger(0, &["entries", "--account", "world"], "budget startups").await;
    let change =
        "SET session_replication_role = replica; UPDATE madang.ledger_entries SET at = at + 1";
    database.sql(change).unwrap();
    ledger(1, &["verify"], "not what was written").await;
    assert_eq!(madang.stop().await, 0);
    let empty = server.database().unwrap();
    let verify = ["ledger", "verify", "--store", &empty.url()];
    check_words(&place, &verify, "has no books: start `madang up").await;
}

/// `madang up` with this store ends with this code and says these words, and never a password.
async fn check_refused(store: &str, code: i32, words: &[&str]) {
    let place = Place::new();
    place.write(
        "fleet.toml",
        fleet(&[url_replica("a", "http://127.0.0.1:9")]),
    );
    let mut command = place.command(&["up", "--fleet", "fleet.toml", "--listen", "127.0.0.1:0"]);
    command.env("MADANG_STORE", store);
    let ended = Place::run_command(command).await.expect_code(code);
    println!("{}", ended.err);
    for word in words {
        assert!(ended.err.contains(word), "no {word:?} in:\n{}", ended.err);
    }
    assert!(!ended.err.contains("s3cret") && !ended.out.contains("s3cret"));
    place.assert_unused();
}

#[tokio::test]
async fn a_store_that_cannot_be_had_is_told_with_what_mends_it() {
    let server = Postgres::shared().unwrap();
    let database = server.database().unwrap();
    let write = "write postgres://USER@HOST[:PORT]/DATABASE";
    check_refused(
        "mysql://a:s3cret@h/d",
        1,
        &["--store", "MADANG_STORE", write],
    )
    .await;
    check_refused("postgres://a:s3cret@h", 1, &["names no database", write]).await;
    let nobody = "postgres://a:s3cret@127.0.0.1:9/d";
    let told = [
        "the books at postgres://a@127.0.0.1:9/d cannot be opened",
        "refused",
    ];
    check_refused(nobody, 1, &told).await;
    let nowhere = database.url().replace(database.name(), "nowhere");
    check_refused(&nowhere, 1, &["does not exist", "CREATE DATABASE"]).await;
    let shown = Place::new()
        .command(&["up", "--help"])
        .env("MADANG_STORE", nobody)
        .output()
        .await;
    let shown = String::from_utf8(shown.unwrap().stdout).unwrap();
    assert!(
        shown.contains("--store") && !shown.contains("s3cret"),
        "{shown}"
    );
}

/// Two gateways on one set of books let a key through as often as one does: what came of a minute's requests at once, and no more than
/// came back while they were asked.
#[tokio::test]
async fn two_gateways_keep_to_one_rate() {
    let server = Postgres::shared().unwrap();
    let database = server.database().unwrap();
    let (place, other_place) = (Place::new(), Place::new());
    let engine = place.start_engine().await;
    other_place.write_fleet_of(&engine);
    let mut madang = up(&place, &database).await;
    let mut other = other_place.start(&["--store", &database.url()]);
    other.listening().await;
    place.json(&["tenant", "create", "acme"]).await;
    let args = [
        "key",
        "create",
        "--tenant",
        "acme",
        "--requests-per-min",
        "60",
    ];
    let made = place.json(&args).await;
    let key = made["key"].as_str().unwrap().to_owned();
    let models = other.at("/v1/models");
    let known = async || (http_get(&models, Some(&key)).await.unwrap().status == 200).then_some(());
    harness::wait_for("the other knows the key", known).await;
    let ready = other.at("/readyz");
    let serves = async || (http_get(&ready, None).await.unwrap().status == 200).then_some(());
    harness::wait_for("the other's engine serves", serves).await;

    let begun = std::time::Instant::now();
    let doors = [&madang, &other].map(|gateway| gateway.at("/v1/chat/completions"));
    let (mut served, mut refused) = (0_u64, 0_u64);
    for url in doors.iter().cycle().take(240) {
        let body = harness::chat_body("hello", 3, false);
        match http_post_json(url, Some(&key), body).await.unwrap().status {
            200 => served += 1,
            status => {
                assert_eq!(status, 429);
                refused += 1;
            }
        }
    }
    let back = begun.elapsed().as_secs() + 1;
    println!("{served} served, {refused} refused; {back} came back");
    assert!(served <= 60 + back, "{served} in {back} s");
    assert!(served >= 30, "{served}");
    assert_eq!(other.stop().await, 0);
    assert_eq!(madang.stop().await, 0);
}
