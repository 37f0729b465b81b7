//! `madang ledger`: read beside whoever writes, and refused where rows were changed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::Place;
use madang_ledger::{Applied, Entry, Leg, Phase, Subject};
use madang_store::conformance::sample::{LEASE, SITE, entry, grant, won};
use madang_store::{Ledger, SqliteStore};
use madang_types::{Micros, RequestId, Unit};
use std::path::PathBuf;

fn books(place: &Place) -> PathBuf {
    std::fs::create_dir_all(place.data()).unwrap();
    place.data().join("madang.sqlite")
}

/// A grant, a request that was reserved and posted, and an open reservation.
async fn fill(store: &SqliteStore) {
    let request = |phase, legs| Entry {
        at: Micros(1_794_279_600_000_000),
        subject: Subject::Request(RequestId(7)),
        ..entry(7, phase, legs)
    };
    let tokens = Leg {
        unit: Unit::OutputTokens,
        ..won(SITE, "project:hanbit:search", 9).unwrap()
    };
    let take = |amount| won(LEASE, SITE, amount).unwrap();
    let entries = vec![
        grant(1, 100).unwrap(),
        request(Phase::Reserve, vec![take(30)]),
        request(Phase::Post, vec![take(20), tokens]),
        entry(8, Phase::Reserve, vec![take(5)]),
    ];
    for told in store.entries_append(entries).await.unwrap() {
        assert!(matches!(told, Ok(Applied::New(_))), "{told:?}");
    }
}

#[tokio::test]
async fn the_books_are_shown_and_verified_beside_their_writer() {
    let place = Place::new();
    let store = SqliteStore::open(&books(&place)).unwrap();
    fill(&store).await;
    let run = async |args: &[&str]| place.run(&[&["ledger"], args].concat()).await;

    let said = run(&["verify"]).await.expect_code(0).out;
    assert_eq!(
        said,
        "all of it follows the rules: 4 entries with 7 legs, 6 accounts, 1 open reservations\n"
    );
    let said = run(&["verify", "--json"]).await.expect_code(0).json();
    assert_eq!(
        (&said["entries"], &said["findings_count"]),
        (&4.into(), &0.into())
    );

    let said = run(&["balances", "lease:"]).await.expect_code(0).out;
    insta::assert_snapshot!(said, @r"
    ACCOUNT                         UNIT        IN  OUT  RESERVED  AVAILABLE
    lease:gw-1:7:allocation:hanbit  micro_won  100   20         5         75
    ");
    let said = run(&["balances", "site:", "--json"])
        .await
        .expect_code(0)
        .json();
    assert_eq!(said["data"][0]["available"], 20);
    assert_eq!(said["data"][1]["unit"], "output_tokens");

    let request = RequestId(7).to_string();
    let said = run(&["entries", "--request", &request])
        .await
        .expect_code(0)
        .out;
    insta::assert_snapshot!(said, @r"
    SEQ  AT                    ID                                PHASE    ABOUT                                 AMOUNT  UNIT           FROM                            TO
      3  2026-11-10T03:00:00Z  00000000000000000000000000000007  post     req_00000000000000000000000000000007      20  micro_won      lease:gw-1:7:allocation:hanbit  site:pohang
                                                                                                                     9  output_tokens  site:pohang                     project:hanbit:search
      2  2026-11-10T03:00:00Z  00000000000000000000000000000007  reserve  req_00000000000000000000000000000007      30  micro_won      lease:gw-1:7:allocation:hanbit  site:pohang
    ");
    let said = run(&["entries", "--account", "world", "--json"])
        .await
        .expect_code(0)
        .json();
    assert_eq!(said["data"][0]["seq"], 1);
    assert_eq!(said["data"][0]["at"], "1970-01-01T00:00:00.000001Z");
    let said = run(&["entries", "-n", "2"]).await.expect_code(0);
    assert!(said.err.contains("older ones: --before 3"), "{}", said.err);
}

#[tokio::test]
async fn changed_rows_end_in_code_1() {
    let place = Place::new();
    let path = books(&place);
    let store = SqliteStore::open(&path).unwrap();
    fill(&store).await;
    drop(store);
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute_batch(
        "UPDATE ledger_balances SET total_out = 0 WHERE account = 'world';
         INSERT INTO ledger_balances VALUES ('site:busan', 1, 0, 100, 0)",
    )
    .unwrap();
    let said = place.run(&["ledger", "verify"]).await.expect_code(1).out;
    insta::assert_snapshot!(said, @r"
    2 findings in 4 entries with 7 legs, 6 accounts, 1 open reservations
    balance of site:busan in micro_won: it says in 0, out 100, reserved 0; the entries come to in 0, out 0, reserved 0
      help: where no entry is at fault too, the balance was changed by itself: restore a backup that verifies
    balance of world in micro_won: it says in 0, out 0, reserved 0; the entries come to in 0, out 100, reserved 0
      help: where no entry is at fault too, the balance was changed by itself: restore a backup that verifies
    ");
    let said = place
        .run(&["ledger", "verify", "--json"])
        .await
        .expect_code(1)
        .json();
    assert_eq!(said["findings"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_no_ledger_is_named() {
    let place = Place::new();
    let path = books(&place);
    let check = async |told: &str| {
        let ended = place.run(&["ledger", "balances"]).await.expect_code(1);
        assert!(ended.err.contains(told), "{}", ended.err);
        assert!(ended.err.contains("madang.sqlite"), "{}", ended.err);
    };
    check("cannot open").await;
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE theirs (x)")
        .unwrap();
    check("holds no books of Madang").await;
    std::fs::remove_file(&path).unwrap();
    drop(SqliteStore::open(&path).unwrap());
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute_batch("DELETE FROM schema_migrations WHERE version > 2")
        .unwrap();
    check("has schema version 2 and this program reads").await;
    for (args, told) in [
        (["--account", "bank"], "an account is world, programme:ID"),
        (["--request", "7"], "a request id is 'req_'"),
    ] {
        let ended = place
            .run(&[&["ledger", "entries"], &args[..]].concat())
            .await
            .expect_code(1);
        assert!(ended.err.contains(told), "{}", ended.err);
    }
}
