//! `madang audit`, end to end: a log is verified, proven from, reported from, and refused where it was changed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::Place;
use harness::fleet::{fleet, url_replica};
use madang_audit::leaf::{Event, Note, RequestEnd, Tokens};
use madang_audit::{AuditLog, Keyring, Leaf, Settings};
use madang_testkit::{FakeEngine, FakeEngineOptions};
use madang_types::{Micros, Outcome, RequestId, TenantId};
use std::path::PathBuf;

/// 2026-11-10T03:00:00Z.
const NOON: Micros = Micros(1_794_279_600_000_000);

fn folder(place: &Place) -> PathBuf {
    place.path("audit")
}

/// A log of 300 notes and the end of one request; gives its key.
async fn fill(place: &Place) -> String {
    let log = AuditLog::open(&folder(place), &Settings::new("madang.example/test")).unwrap();
    for number in 0..300 {
        let note = Note {
            what: "start".into(),
            version: number.to_string(),
        };
        log.append(Leaf::new(NOON, Event::Note(note)).encode().unwrap())
            .await
            .unwrap();
    }
    let tenant = TenantId::new("kma").unwrap();
    let keys = Keyring::new(&folder(place), 32_400);
    let end = RequestEnd {
        request: RequestId(7),
        tenant: tenant.clone(),
        outcome: Outcome::Finished,
        status: 200,
        error: None,
        attempts: 1,
        model: None,
        location: Some("pohang".into()),
        bytes: 9,
        tokens: Tokens {
            prompt: 3,
            output: 4,
        },
        answer_hmac: Some(keys.hmac(&tenant, NOON, b"an answer").unwrap()),
    };
    log.append(
        Leaf::new(NOON, Event::Outcome(Box::new(end)))
            .encode()
            .unwrap(),
    )
    .await
    .unwrap();
    log.verifier().to_string()
}

#[tokio::test]
async fn an_auditor_verifies_proves_and_sees_what_was_rewritten() {
    let place = Place::new();
    let key = fill(&place).await;
    let run = async |args: &[&str]| place.run(&[&["audit"], args].concat()).await;
    assert_eq!(
        run(&["key", "audit"]).await.expect_code(0).out.trim_end(),
        key
    );
    let said = run(&["verify", "audit", "--key", &key, "--json"])
        .await
        .expect_code(0)
        .json();
    assert_eq!(
        (&said["size"], &said["origin"]),
        (&301.into(), &"madang.example/test".into())
    );

    std::fs::copy(folder(&place).join("checkpoint"), place.path("old")).unwrap();
    let request = RequestId(7).to_string();
    let path = run(&["prove", "audit", "--request", &request, "-o", "proofs"])
        .await
        .expect_code(0)
        .out;
    let leaf = run(&["check-proof", path.trim_end(), "--key", &key])
        .await
        .expect_code(0)
        .out;
    assert!(
        leaf.contains(&request) && !leaf.contains("an answer"),
        "{leaf}"
    );
    run(&["prove", "audit", "--index", "301"])
        .await
        .expect_code(1);

    let erase = ["erase", "audit", "--tenant", "kma", "--month", "2026-11"];
    assert!(run(&erase).await.expect_code(0).out.contains("leaf 301"));
    run(&erase).await.expect_code(1);
    run(&["verify", "audit", "--key", &key, "--checkpoint", "old"])
        .await
        .expect_code(0);
    run(&["prove", "audit", "--since", "old", "-o", "growth"])
        .await
        .expect_code(0);
    let grown = run(&[
        "check-proof",
        "growth",
        "--key",
        &key,
        "--checkpoint",
        "old",
    ])
    .await
    .expect_code(0)
    .out;
    assert!(
        grown.contains("302 leaves continues the one of 301"),
        "{grown}"
    );

    let tile = folder(&place).join("tile/entries/000");
    let mut bytes = std::fs::read(&tile).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(tile, bytes).unwrap();
    let refused = run(&["verify", "audit", "--key", &key])
        .await
        .expect_code(1)
        .err;
    assert!(refused.contains("tile/0/000"), "{refused}");
}

#[tokio::test]
async fn a_month_is_reported_and_a_log_in_use_is_not_erased_from() {
    let place = Place::new();
    fill(&place).await;
    let run = async |args: &[&str]| place.run(&[&["audit"], args].concat()).await;
    let month = ["--tenant", "kma", "--month", "2026-11"];
    let report = [
        &["report", "audit", "--html", "report.html", "--json"][..],
        &month,
    ]
    .concat();
    let report = run(&report).await.expect_code(0).json();
    assert_eq!(
        (&report["leaves"]["first"], &report["log"]["size"]),
        (&300.into(), &301.into())
    );
    assert!(
        std::fs::read_to_string(place.path("report.html"))
            .unwrap()
            .contains("kma · 2026-11")
    );
    assert!(
        run(&[&["report", "audit"][..], &month].concat())
            .await
            .expect_code(0)
            .out
            .contains("kma in 2026-11")
    );
    let log = AuditLog::open(&folder(&place), &Settings::new("madang.example/test")).unwrap();
    let refused = run(&[&["erase", "audit"][..], &month].concat())
        .await
        .expect_code(1)
        .err;
    assert!(
        refused.contains("another process has the audit log"),
        "{refused}"
    );
    drop(log);
    run(&["verify", "nowhere"]).await.expect_code(1);
    run(&["prove", "audit"]).await.expect_code(2);
}

#[tokio::test]
async fn a_key_is_erased_by_the_server_that_runs_and_in_the_folder_where_none_does() {
    let place = Place::new();
    let engine = FakeEngine::start(FakeEngineOptions::default()).await;
    let mut madang = place.up(&fleet(&[url_replica("one", engine.url())])).await;
    assert_eq!(madang.chat().await.unwrap().status, 200);
    let keys = place.data().join("audit/keys");
    let tenant = only_name(&keys, "new");
    let month = only_name(&keys.join(&tenant), "");
    let whose = ["--tenant", &tenant, "--month", &month];
    let erase = [&["audit", "erase"][..], &whose].concat();

    let first = place.json(&erase).await;
    assert_eq!(
        (first["tenant"].as_str(), first["month"].as_str()),
        (Some(tenant.as_str()), Some(month.as_str()))
    );
    let refused = place.run(&erase).await.expect_code(1).err;
    assert!(refused.contains("there is no key of"), "{refused}");
    assert_eq!(madang.chat().await.unwrap().status, 200);
    let url = [&erase[..], &["--url", &madang.url]].concat();
    assert!(
        place
            .run(&url)
            .await
            .expect_code(0)
            .out
            .contains("is destroyed")
    );
    assert_eq!(madang.chat().await.unwrap().status, 200);
    assert_eq!(madang.stop().await, 0);

    let last = place.json(&erase).await;
    assert!(last["leaf"].as_u64() > first["leaf"].as_u64(), "{last}");
    let report = place
        .json(&[&["audit", "report"][..], &whose].concat())
        .await;
    assert_eq!(report["erasures"].as_array().unwrap().len(), 3, "{report}");
    place.run(&["audit", "verify"]).await.expect_code(0);
}

/// The only name in a folder beside `but`.
fn only_name(folder: &std::path::Path, but: &str) -> String {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names = names.filter(|name| name != but);
    let name = names.next().unwrap();
    assert_eq!(names.next(), None);
    name
}
