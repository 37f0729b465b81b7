//! Reloads under load: whole or not at all, no request dropped, what left drains first.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::fleet::{fleet, python_replica, url_replica};
use harness::{Madang, Place, chat_body, expect_done, process, wait_for};
use madang_testkit::{FakeEngine, FakeEngineOptions, http_post_json};
use madang_types::text::hex;
use rustix::process::Signal;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// Ways to ask for a reload.
#[derive(Clone, Copy, Debug)]
enum Way {
    Command,
    Signal,
}

/// Writes the fleet and has it loaded.
async fn reload(place: &Place, madang: &Madang, way: Way, fleet: &str) {
    place.write("fleet.toml", fleet);
    let loads = || madang.said().matches("fleet applied").count();
    let before = loads();
    match way {
        Way::Command => {
            place.run(&["reload"]).await.expect_code(0);
        }
        Way::Signal => {
            madang.signal(Signal::HUP);
            wait_for("the fleet is loaded", async || {
                (loads() > before).then_some(())
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_policy_file_is_warned_of_is_said_at_each_load() {
    let place = Place::new();
    let engine = FakeEngine::start(FakeEngineOptions::default()).await;
    let fleet = fleet(&[url_replica("a", engine.url())]) + "[policy]\nfile = \"policy.toml\"\n";
    place.write(
        "policy.toml",
        "[[rule]]\nid = \"guests\"\neffect = \"allow\"\ntext = \"x\"\nwhen = { class = [\"open\"], tenant = [\"nobody\"] }\n",
    );
    let mut madang = place.up(&fleet).await;
    let said = || madang.said().matches("policy.toml: 1 warning").count();
    assert_eq!(said(), 1, "{}", madang.said());
    madang.signal(Signal::HUP);
    wait_for("it is said again", async || (said() == 2).then_some(())).await;
    let told = place.run(&["reload"]).await.expect_code(0);
    assert!(
        told.err.contains("policy.toml:5:38: warning:"),
        "{}",
        told.err
    );
    assert_eq!(madang.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_residency_floor_that_changes_alone_is_logged_and_audited() {
    let place = Place::new();
    let engine = FakeEngine::start(FakeEngineOptions::default()).await;
    let with = |floor: &str| {
        let programme = format!("[[programme]]\nid = \"public\"\n{floor}\n");
        fleet(&[url_replica("a", engine.url())]) + &programme
    };
    let mut madang = place.up(&with("")).await;
    reload(&place, &madang, Way::Signal, &with("weight = 2")).await;
    let told = || madang.said().matches("residency floor changes").count();
    assert_eq!(told(), 0, "{}", madang.said());
    let floor = "residency_floor = \"domestic_public\"";
    for _ in 0..2 {
        reload(&place, &madang, Way::Signal, &with(floor)).await;
    }
    assert_eq!(told(), 1, "{}", madang.said());
    assert_eq!(madang.stop().await, 0);
    let leaf = r#""floors":[{"programme":"public","after":"domestic_public"}]"#;
    assert!(leaves(&place).contains(leaf));
}

/// All leaves of the audit log of a server that has stopped; once more for each partial tile that was not tidied away.
fn leaves(place: &Place) -> String {
    let entries = place.data().join("audit/tile/entries");
    let leaves: Vec<u8> = std::fs::read_dir(entries)
        .unwrap()
        .flat_map(|tile| {
            let tile = tile.unwrap().path();
            std::fs::read_dir(tile).unwrap()
        })
        .flat_map(|tile| std::fs::read(tile.unwrap().path()).unwrap())
        .collect();
    String::from_utf8_lossy(&leaves).into_owned()
}

fn sha256(text: &str) -> String {
    hex(&Sha256::digest(text))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_fleet_file_says_of_a_programmes_jobs_is_audited_with_its_hash() {
    let place = Place::new();
    let engine = FakeEngine::start(FakeEngineOptions::default()).await;
    let plain = fleet(&[url_replica("a", engine.url())]);
    let with = |says: &str| format!("{plain}[[programme]]\nid = \"public\"\n{says}\n");
    let usual = with("");
    let stops = with("jobs_when_ended = \"stop\"");
    let free = with("jobs_when_ended = \"stop\"\njobs_preempted = \"free\"");
    let heavier = with("jobs_when_ended = \"stop\"\njobs_preempted = \"free\"\nweight = 2");
    let mut madang = place.up(&usual).await;
    for text in [&stops, &free, &heavier, &plain] {
        reload(&place, &madang, Way::Signal, text).await;
    }
    assert_eq!(madang.stop().await, 0);
    // What changed while nobody served is found at the next start.
    let mut madang = place.up(&stops).await;
    assert_eq!(madang.stop().await, 0);

    let leaves = leaves(&place);
    let of = |says: &str, text: &str| {
        let leaf = format!(
            r#""event":{{"programme":{{"programme":"public",{says},"fleet_sha256":"{}"}}}}"#,
            sha256(text)
        );
        (leaves.matches(&leaf).count() > 0, leaf)
    };
    for (says, text) in [
        (
            r#""jobs_when_ended":"stop","jobs_preempted":"charged""#,
            &stops,
        ),
        (r#""jobs_when_ended":"stop","jobs_preempted":"free""#, &free),
        (
            r#""removed":true,"jobs_when_ended":"stop","jobs_preempted":"free""#,
            &plain,
        ),
    ] {
        let (found, leaf) = of(says, text);
        assert!(found, "{leaf} in {leaves}");
    }
    for text in [&usual, &heavier] {
        let hash = sha256(text);
        assert!(
            !leaves.contains(&hash),
            "{text} says nothing new of jobs: {leaves}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_fleet_file_says_of_where_a_tenants_data_may_go_is_audited_with_its_hash() {
    let place = Place::new();
    let engine = FakeEngine::start(FakeEngineOptions::default()).await;
    let plain = fleet(&[url_replica("a", engine.url())]);
    let with = |says: &str| format!("{plain}[[tenant]]\nid = \"kma\"\n{says}\n");
    let made = with("");
    let floor = with("class_floor = \"sensitive\"");
    let heavier = with("class_floor = \"sensitive\"\nweight = 2");
    let mut madang = place.up(&made).await;
    for text in [&floor, &heavier, &plain] {
        reload(&place, &madang, Way::Signal, text).await;
    }
    assert_eq!(madang.stop().await, 0);
    // What changed while nobody served is found at the next start; what did not is not told again.
    for _ in 0..2 {
        let mut madang = place.up(&floor).await;
        assert_eq!(madang.stop().await, 0);
    }
    let leaves = leaves(&place);
    // A leaf stands in each tile that was written while it was the last one.
    let each: BTreeSet<&str> = leaves.split("{\"v\":1,").collect();
    let count = |says: &str, text: &str| {
        let hash = sha256(text);
        let leaf = format!(
            r#""event":{{"tenant":{{"tenant":"kma",{says},"flags":[],"fleet_sha256":"{hash}"}}}}"#
        );
        each.iter().filter(|found| found.contains(&leaf)).count()
    };
    let found = [
        (r#""class_floor":"open""#, &made),
        (r#""class_floor":"sensitive""#, &floor),
        (r#""class_floor":"sensitive""#, &heavier),
        (r#""removed":true,"class_floor":"sensitive""#, &plain),
    ]
    .map(|(says, text)| count(says, text));
    assert_eq!(found, [1, 2, 0, 1], "{leaves}");
}

/// Waits until this replica answers.
async fn expect_served_by(madang: &Madang, replica: &str) {
    wait_for(replica, async || {
        let answer = madang.chat().await.unwrap();
        (answer.header("x-madang-replica") == Some(replica)).then_some(())
    })
    .await;
}

async fn expect_gone(mark: &str) {
    wait_for("the engine is gone", async || {
        process::with_argument(mark).is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_replica_drains_and_then_its_engine_stops() {
    for way in [Way::Command, Way::Signal] {
        let place = Place::new();
        let mark = place.path("mark").display().to_string();
        let engine = FakeEngine::start(FakeEngineOptions::default()).await;
        let mut madang = place.up(&fleet(&[python_replica("old", &mark)])).await;
        let (_, running) = madang.chat_stream(150, 20).await;
        let running = tokio::spawn(expect_done(running));
        reload(
            &place,
            &madang,
            way,
            &fleet(&[url_replica("new", engine.url())]),
        )
        .await;
        expect_served_by(&madang, "new").await;
        if !running.is_finished() {
            assert_eq!(
                process::engines(&mark).len(),
                1,
                "the engine stays while a stream runs on it"
            );
        }
        running.await.unwrap();
        expect_gone(&mark).await;
        assert_eq!(madang.stop().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_launch_starts_anew_once_the_old_engine_has_drained() {
    let place = Place::new();
    let marks = ["old", "new"].map(|name| place.path(name).display().to_string());
    let mut madang = place.up(&fleet(&[python_replica("a", &marks[0])])).await;
    let (_, running) = madang.chat_stream(150, 20).await;
    let running = tokio::spawn(expect_done(running));
    reload(
        &place,
        &madang,
        Way::Command,
        &fleet(&[python_replica("a", &marks[1])]),
    )
    .await;
    // Nothing else can serve meanwhile: clients are told to come back, never that the model is unknown.
    wait_for("the new engine answers", async || {
        let answer = madang.chat().await.unwrap();
        if answer.status == 503 {
            assert!(
                answer.header("retry-after").is_some(),
                "{:?}",
                answer.headers
            );
            return None;
        }
        assert_eq!(answer.status, 200, "{}", answer.text());
        Some(())
    })
    .await;
    assert!(
        running.is_finished(),
        "the new engine starts once the old one is idle"
    );
    running.await.unwrap();
    expect_gone(&marks[0]).await;
    assert_eq!(process::engines(&marks[1]).len(), 1);
    assert_eq!(madang.stop().await, 0);
    assert_eq!(process::with_argument(&marks[1]), [0; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_comes_back_while_its_engine_ends_has_one_engine() {
    let place = Place::new();
    let mark = place.path("mark").display().to_string();
    let engine = FakeEngine::start(FakeEngineOptions::default()).await;
    let both = fleet(&[python_replica("a", &mark), url_replica("b", engine.url())])
        .replace("stop_s_max = 5", "stop_s_max = 2");
    let mut madang = place.up(&both).await;
    let old = wait_for("the engine runs", async || {
        process::engines(&mark).first().copied()
    })
    .await;
    // It takes no SIGTERM now, so its end takes two seconds.
    process::signal(old, Signal::STOP);
    reload(
        &place,
        &madang,
        Way::Command,
        &fleet(&[url_replica("b", engine.url())]),
    )
    .await;
    reload(&place, &madang, Way::Command, &both).await;
    reload(&place, &madang, Way::Command, &both).await;
    wait_for("a new engine", async || match process::engines(&mark)[..] {
        [pid] if pid != old => Some(()),
        _ => None,
    })
    .await;
    assert_eq!(madang.stop().await, 0);
    assert_eq!(
        process::with_argument(&mark),
        [0; 0],
        "no engine was forgotten"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_keeps_the_last_good_fleet() {
    let place = Place::new();
    let engine = FakeEngine::start(FakeEngineOptions::default()).await;
    let good = fleet(&[url_replica("a", engine.url())]);
    let mut madang = place.up(&good).await;
    let (_, running) = madang.chat_stream(100, 20).await;

    let broken = good
        .replace("slots = 64", "slots = 0")
        .replace("[probe]", "[prob]");
    place.write("fleet.toml", &broken);
    let ended = place.run(&["reload"]).await.expect_code(1);
    for word in ["fleet.toml:", "slots", "prob", "help:", "last good"] {
        assert!(ended.err.contains(word), "{word}: {}", ended.err);
    }
    let ended = place.run(&["reload", "--json"]).await.expect_code(1);
    assert!(
        ended.json()["error"]["problems"].as_array().unwrap().len() >= 2,
        "{}",
        ended.out
    );
    madang.signal(Signal::HUP);
    wait_for("it says so", async || {
        madang
            .said()
            .contains("last good one goes on")
            .then_some(())
    })
    .await;

    std::fs::remove_file(place.path("fleet.toml")).unwrap();
    let ended = place.run(&["reload"]).await.expect_code(1);
    assert!(ended.err.contains("fleet.toml"), "{}", ended.err);

    assert_eq!(madang.chat().await.unwrap().status, 200);
    expect_done(running).await;
    reload(&place, &madang, Way::Signal, &good).await;
    assert_eq!(madang.chat().await.unwrap().status, 200);
    assert_eq!(madang.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_come_and_go_with_the_file_at_once() {
    let place = Place::new();
    let engine = FakeEngine::start(FakeEngineOptions::default()).await;
    let with = |tenant: &str| {
        format!(
            "{}\n[[tenant]]\nid = \"{tenant}\"\n",
            fleet(&[url_replica("a", engine.url())])
        )
    };
    let mut madang = place.up(&with("alpha")).await;
    let key = async |tenant: &str| {
        let made = place
            .run(&["key", "create", "--tenant", tenant, "--json"])
            .await
            .expect_code(0);
        made.json()["key"].as_str().unwrap().to_owned()
    };
    let status = async |key: &str| {
        let url = madang.at("/v1/chat/completions");
        http_post_json(&url, Some(key), chat_body("hi", 4, false))
            .await
            .unwrap()
            .status
    };
    let alpha = key("alpha").await;
    assert_eq!(status(&alpha).await, 200);
    reload(&place, &madang, Way::Command, &with("beta")).await;
    assert_eq!(
        status(&alpha).await,
        401,
        "refused as soon as the reload has answered"
    );
    let beta = key("beta").await;
    assert_eq!(status(&beta).await, 200);
    reload(&place, &madang, Way::Command, &with("alpha")).await;
    assert_eq!([status(&alpha).await, status(&beta).await], [200, 401]);
    assert_eq!(madang.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_reloads_under_load_drop_nothing() {
    let place = Place::new();
    let engines = [
        FakeEngine::start(FakeEngineOptions {
            token_ms: 5,
            ..FakeEngineOptions::default()
        })
        .await,
        FakeEngine::start(FakeEngineOptions {
            token_ms: 5,
            ..FakeEngineOptions::default()
        })
        .await,
    ];
    let both = [
        url_replica("a", engines[0].url()),
        url_replica("b", engines[1].url()),
    ];
    let mut madang = place.up(&fleet(&both)).await;
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..8 {
        let (url, key) = (madang.at("/v1/chat/completions"), madang.key.clone());
        clients.spawn(async move {
            for _ in 0..20 {
                let answer = http_post_json(&url, Some(&key), chat_body("hi", 16, client % 2 == 0))
                    .await
                    .unwrap();
                assert_eq!(answer.status, 200, "{}", answer.text());
                assert!(
                    client % 2 == 1 || answer.text().trim_end().ends_with("data: [DONE]"),
                    "{}",
                    answer.text()
                );
            }
        });
    }
    for round in 0..10 {
        let now = if round % 2 == 0 {
            fleet(&both[1..])
        } else {
            fleet(&both)
        };
        reload(&place, &madang, Way::Command, &now).await;
    }
    clients.join_all().await;
    assert_eq!(madang.stop().await, 0);
}
