//! The live experiment with the real program, in small: it ends, and leaves no file behind.

mod harness;

use harness::{Place, WAIT_MAX};
use madang_rehearsal::{LiveError, LiveOptions, live_noisy};
use madang_twin::engine::Profile;
use madang_twin::experiment::noisy::ShareRule;
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn a_small_one_ends_with_answers_and_leaves_no_file() {
    let place = Place::new();
    let temporary = place.path("temporary");
    std::fs::create_dir(&temporary).unwrap();
    let args = "twin noisy --live --flood 4,400,20 --policy madang --speed 2 --seconds 2 --json";
    let mut command = place.command(&args.split(' ').collect::<Vec<_>>());
    command.env("TMPDIR", &temporary);
    let report = Place::run_command(command).await.expect_code(0).json();
    let count = |side: &str, pointer: &str| report[side].pointer(pointer).unwrap().as_u64();
    for side in ["alone", "flooded"] {
        assert!(count(side, "/ttft/requests") > Some(0), "{report}");
        assert!(count(side, "/total_tokens") > Some(0), "{report}");
        assert_eq!(count(side, "/failed"), Some(0), "{report}");
        assert_eq!(count(side, "/not_sent"), Some(0), "{report}");
    }
    assert!(
        count("flooded", "/sent") > count("alone", "/sent"),
        "{report}"
    );
    let left: Vec<_> = std::fs::read_dir(&temporary).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

fn options(program: &str) -> LiveOptions {
    LiveOptions {
        program: program.into(),
        floods: vec!["4,400,20".parse().expect("it is a flood")],
        share: ShareRule::Madang,
        seed: 1,
        replicas: 4,
        profile: Profile::named("h100x2-32b")
            .expect("it is a profile")
            .clone(),
        speed: 2.0,
        seconds: 2,
    }
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
