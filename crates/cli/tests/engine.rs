//! `madang engine`: it says where it listens, serves until a signal, and refuses what it does not know.

mod harness;

use harness::Place;
use harness::engine::Engine;
use madang_testkit::http_post_json;
use rustix::process::Signal;

#[tokio::test]
async fn it_serves_until_a_signal() {
    for ask in [Signal::INT, Signal::TERM] {
        let mut engine = Engine::start(&[]).await;
        let body = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":3}"#;
        let url = format!("{}/v1/chat/completions", engine.url);
        let answer = http_post_json(&url, None, body).await.unwrap();
        let answer = answer.json().unwrap();
        assert_eq!(answer["usage"]["completion_tokens"], 3);
        assert_eq!(engine.end(ask).await, Some(0));
    }
}

#[tokio::test]
async fn wrong_flags_are_named() {
    let place = Place::new();
    for (args, code, words) in [
        (["--profile", "no-such"], 2, "h100x2-32b"),
        (["--fault", "stal=0.1"], 2, "did you mean 'stall'?"),
        (["--speed", "0"], 2, "a number from 0.001 to 1000 is wanted"),
        (["--model", "a b"], 1, "cannot be a model's id"),
        (
            ["--idle-watts=900", "--full-watts=100"],
            1,
            "(--idle-watts 900) than at most (--full-watts 100)",
        ),
        (["--idle-watts", "100000"], 1, ", the profile's): give both"),
        (["--fault", "no-metrics=0.5"], 2, "takes no probability"),
    ] {
        let all = [&["engine", "--port", "0"][..], &args].concat();
        let ended = place.run(&all).await;
        assert_eq!(ended.code, code, "{args:?}");
        assert!(ended.err.contains(words), "{args:?}: {}", ended.err);
    }
}
