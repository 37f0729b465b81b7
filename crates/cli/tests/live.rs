//! The live experiment with the real program, in small: it ends, and leaves nothing behind.

mod harness;

use harness::{PROGRAM, WAIT_MAX};
use madang_rehearsal::{LiveError, LiveOptions, live_noisy};
use madang_twin::experiment::noisy::ShareRule;
use tokio::time::timeout;

fn options(program: &str) -> LiveOptions {
    let floods = vec!["4,400,20".parse().expect("it is a flood")];
    LiveOptions {
        replicas: 4,
        speed: 2.0,
        seconds: 2,
        ..LiveOptions::new(program.into(), floods, ShareRule::Madang)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_one_ends_with_answers() {
    let running = timeout(WAIT_MAX, live_noisy(options(PROGRAM))).await;
    let report = running.unwrap().unwrap();
    println!("{report}");
    for side in [report.alone, report.flooded] {
        assert!(side.ttft.requests > 0 && side.total_tokens > 0, "{report}");
        assert_eq!((side.failed, side.not_sent), (0, 0), "{report}");
    }
    assert!(report.flooded.sent > report.alone.sent, "{report}");
}

#[tokio::test]
async fn a_program_that_is_no_gateway_is_named() {
    let ended = timeout(WAIT_MAX, live_noisy(options("/bin/false")))
        .await
        .unwrap();
    assert!(matches!(ended, Err(LiveError::Gateway { .. })), "{ended:?}");
    let ended = timeout(WAIT_MAX, live_noisy(options("no-such-program")))
        .await
        .unwrap();
    assert!(matches!(ended, Err(LiveError::System { .. })), "{ended:?}");
}
