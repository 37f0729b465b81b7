//! Launched engines: started, waited for, found dead or hung, started again, and gone with Madang however it ends.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::fleet::{fleet, python_replica};
use harness::{Madang, Place, process, wait_for};
use rustix::process::Signal;

/// A place whose engines are told apart from those of every other test by the mark.
fn place() -> (Place, String) {
    let place = Place::new();
    let mark = place.path("mark").display().to_string();
    (place, mark)
}

async fn expect_answers(madang: &Madang) {
    let answer = madang.chat().await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// The engine that runs, once it is another one than `before`.
async fn engine_after(mark: &str, before: u32) -> u32 {
    wait_for("another engine runs", async || {
        match process::engines(mark)[..] {
            [pid] if pid != before => Some(pid),
            _ => None,
        }
    })
    .await
}

async fn expect_gone(mark: &str) {
    wait_for("no process of the engine is left", async || {
        process::with_argument(mark).is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_engine_is_started_again() {
    let (place, mark) = place();
    let mut madang = place.up(&fleet(&[python_replica("a", &mark)])).await;
    expect_answers(&madang).await;
    let first = process::engines(&mark)[0];
    process::signal(first, Signal::KILL);
    engine_after(&mark, first).await;
    madang.ready().await;
    expect_answers(&madang).await;
    assert!(
        madang.said().contains("started again") || madang.said().contains("ended"),
        "the log says so"
    );
    assert_eq!(madang.stop().await, 0);
    assert_eq!(
        process::with_argument(&mark),
        [0; 0],
        "stopped with Madang, its guard too"
    );
    place.assert_unused();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_hangs_is_found_by_its_probes_and_started_again() {
    let (place, mark) = place();
    let text =
        fleet(&[python_replica("a", &mark)]).replace("failures_max = 20", "failures_max = 3");
    let mut madang = place.up(&text).await;
    let first = process::engines(&mark)[0];
    process::signal(first, Signal::STOP);
    engine_after(&mark, first).await;
    assert!(!process::runs(first), "the hung one is gone");
    madang.ready().await;
    expect_answers(&madang).await;
    assert_eq!(madang.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn engines_go_with_madang_when_it_is_killed() {
    let (place, mark) = place();
    let text = fleet(&[python_replica("a", &mark), python_replica("b", &mark)]);
    let mut madang = place.up(&text).await;
    wait_for("both engines run", async || {
        (process::engines(&mark).len() == 2).then_some(())
    })
    .await;
    madang.kill().await;
    expect_gone(&mark).await;

    let mut madang = place.up_with(&[]).await;
    expect_answers(&madang).await;
    madang.kill().await;
    // The next one starts while the guards still work: it must neither wait for ever nor serve by the old engines.
    let mut madang = place.up_with(&[]).await;
    wait_for("two engines run", async || {
        (process::engines(&mark).len() == 2).then_some(())
    })
    .await;
    expect_answers(&madang).await;
    assert_eq!(madang.stop().await, 0);
    assert_eq!(process::with_argument(&mark), [0; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_engines_print_is_kept_with_bounds() {
    let (place, mark) = place();
    let limit = "\n[limits]\nreplica_log_bytes_max = 131072\n";
    let mut madang = place
        .up(&format!("{}{limit}", fleet(&[python_replica("a", &mark)])))
        .await;
    let log = place.data().join("logs/a.log");
    assert!(
        std::fs::read_to_string(&log)
            .unwrap()
            .contains("engine: it listens"),
        "{}",
        log.display()
    );
    for _ in 0..200 {
        expect_answers(&madang).await;
    }
    let kept = || {
        ["a.log", "a.log.1"].map(|name| {
            std::fs::metadata(place.data().join("logs").join(name)).map_or(0, |m| m.len())
        })
    };
    wait_for("the older half of the log", async || {
        (kept()[1] > 0).then_some(())
    })
    .await;
    assert!(kept().iter().sum::<u64>() <= 131_072, "{:?}", kept());
    assert_eq!(madang.stop().await, 0);
}
