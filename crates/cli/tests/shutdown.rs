//! A stop: what runs may finish, nothing new is taken, every wait has its limit, and a second signal ends the waiting.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::fleet::{fleet, launch_replica, python_replica, url_replica};
use harness::{Madang, Place, WAIT_MAX, chat_body, expect_done, process, wait_for};
use madang_testkit::{FakeEngine, FakeEngineOptions, RawClient, SseStream};
use rustix::process::Signal;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::timeout;

/// Tokens of an answer that does not end while a test looks.
const LONG: u64 = 4000;

async fn up(place: &Place, drain_ms_max: u64) -> (FakeEngine, Madang) {
    let engine = FakeEngine::start(FakeEngineOptions::default()).await;
    let text = format!(
        "{}\n[limits]\ndrain_ms_max = {drain_ms_max}\n",
        fleet(&[url_replica("a", engine.url())])
    );
    let madang = place.up(&text).await;
    (engine, madang)
}

/// A stream whose first event has come.
async fn begun(madang: &Madang, tokens: u64, token_ms: u64) -> SseStream {
    let (_, mut stream) = madang.chat_stream(tokens, token_ms).await;
    assert!(stream.next_event().await.unwrap().is_some());
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn running_streams_finish_and_new_requests_are_refused() {
    for signal in [Signal::TERM, Signal::INT] {
        let place = Place::new();
        let (engine, mut madang) = up(&place, 60_000).await;
        // An open connection that has not asked yet: it is told that the server drains, or closed.
        let mut waiting = RawClient::connect(&madang.url).await.unwrap();
        let running = begun(&madang, 100, 20).await;
        madang.signal(signal);
        madang
            .until("it drains", async || madang_drains(&place))
            .await;
        let body = chat_body("hi", 4, false);
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
            madang.key,
            body.len()
        );
        if waiting
            .send(format!("{head}{body}").as_bytes())
            .await
            .is_ok()
        {
            let answer = waiting.read_to_close(Duration::from_secs(30)).await;
            assert!(
                matches!(answer.status(), None | Some(503)),
                "{}",
                answer.text()
            );
        }
        expect_done(running).await;
        assert_eq!(madang.exit().await.code(), Some(0));
        assert_eq!(engine.in_flight(), 0);
        place.assert_unused();
    }
}

fn madang_drains(place: &Place) -> bool {
    std::fs::read_to_string(place.path("madang.err"))
        .unwrap()
        .contains(": stopping")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_over_the_drain_limit_is_cut() {
    let place = Place::new();
    let (_engine, mut madang) = up(&place, 300).await;
    let mut stream = begun(&madang, LONG, 20).await;
    assert_eq!(madang.stop().await, 0);
    let (events, cut) = stream.to_end().await;
    assert!(
        !events.iter().any(|event| event.is_done()),
        "it is not passed off as whole"
    );
    assert!(cut.is_none(), "{cut:?}");
    let last = events.last().expect("an event").json().unwrap();
    assert_eq!(last["error"]["code"], "draining", "{last}");
    assert!(
        last["error"]["message"]
            .as_str()
            .unwrap()
            .contains("drain_ms_max"),
        "{last}"
    );
    place.assert_unused();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_drain_at_once() {
    let place = Place::new();
    let (_engine, mut madang) = up(&place, 3_600_000).await;
    let mut stream = begun(&madang, LONG, 20).await;
    madang.signal(Signal::TERM);
    madang
        .until("it drains", async || madang_drains(&place))
        .await;
    assert!(
        stream.next_event().await.unwrap().is_some(),
        "the first signal lets it run"
    );
    madang.signal(Signal::INT);
    assert_eq!(madang.exit().await.code(), Some(0));
    let (events, _) = stream.to_end().await;
    assert!(!events.iter().any(|event| event.is_done()));
    place.assert_unused();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_will_not_stop_is_ended_with_its_group() {
    let place = Place::new();
    let mark = place.path("mark").display().to_string();
    let text = fleet(&[python_replica("a", &mark)]).replace("stop_s_max = 5", "stop_s_max = 1");
    let mut madang = place.up(&text).await;
    let engine = process::engines(&mark)[0];
    process::signal(engine, Signal::STOP);
    assert_eq!(madang.stop().await, 0);
    assert_eq!(process::with_argument(&mark), [0; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_during_the_start_ends_it_in_order() {
    let place = Place::new();
    let mark = place.path("mark").display().to_string();
    // An engine that never gets ready: the start would wait for a minute.
    let slow = launch_replica("a", &["sh", "-c", "sleep 600", "{port}", &mark]);
    place.write("fleet.toml", fleet(&[slow]));
    let mut madang = place.start(&[]);
    madang.listening().await;
    wait_for("the engine runs", async || {
        (!process::with_argument(&mark).is_empty()).then_some(())
    })
    .await;
    assert_eq!(madang.stop().await, 0);
    assert_eq!(process::with_argument(&mark), [0; 0]);
    place.assert_unused();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_during_a_download_gives_it_up() {
    let place = Place::new();
    let mirror = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/m.gguf", mirror.local_addr().unwrap());
    let weights = format!(
        "context_tokens = 8192\nweights = {{ sha256 = \"{}\", sources = [{{ url = \"{url}\" }}] }}\n",
        "0".repeat(64)
    );
    let replica = launch_replica("a", &["sleep", "600", "{model_path}", "{port}"]);
    let text = fleet(&[replica]).replace("context_tokens = 8192\n", &weights);
    place.write("fleet.toml", text);
    let mut madang = place.start(&[]);
    // The mirror takes the connection and never says a word.
    let (_held, _) = timeout(WAIT_MAX, mirror.accept()).await.unwrap().unwrap();
    assert_eq!(madang.stop().await, 0);
    place.assert_unused();
}
