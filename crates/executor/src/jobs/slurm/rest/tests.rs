//! The new shape on a daemon of paper: no Slurm that speaks it is in Debian 12. Its answers are written after the published schema
//! (SlinkyProject/slurm-client, `api/v0042/slurm-openapi.gen.json`).

use super::*;
use crate::jobs::SecretText;
use crate::jobs::slurm::ask::tests::{ask, spec};
use crate::jobs::slurm::job::SlurmState;
use crate::jobs::slurm::options::SlurmToken;
use serde_json::json;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

type Answers = Vec<(&'static str, u16, Value)>;

/// A daemon that gives each path one answer, and what it was asked: method, path and body.
async fn daemon(answers: Answers) -> (Rest, Arc<Mutex<Vec<(String, Value)>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (head, body) = read(&mut stream).await;
            let sent = head.to_ascii_lowercase();
            assert!(sent.contains("x-slurm-user-token: sesame"), "{head}");
            let mut words = head.split(' ');
            let (method, path) = (words.next().unwrap(), words.next().unwrap());
            let call = format!("{method} {path}");
            let found = answers.iter().find(|(known, ..)| *known == call);
            let (status, answer) = found.map_or((404, json!(null)), |(_, s, a)| (*s, a.clone()));
            heard.lock().unwrap().push((call, body));
            let answer = answer.to_string();
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                answer.len()
            );
            stream
                .write_all(format!("{head}{answer}").as_bytes())
                .await
                .unwrap();
        }
    });
    let rest = Rest::new(&SlurmRest {
        url: format!("http://{address}/"),
        authority: None,
        user: "madang".to_owned(),
        token: SlurmToken::Given(SecretText("sesame".to_owned())),
    });
    (rest.unwrap(), asked)
}

async fn read(stream: &mut tokio::net::TcpStream) -> (String, Value) {
    let mut bytes = Vec::new();
    loop {
        let mut part = vec![0; 65_536];
        let count = stream.read(&mut part).await.unwrap();
        bytes.extend_from_slice(&part[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let lower = head.to_ascii_lowercase();
        let length = lower.split("content-length: ").nth(1);
        let length = length
            .and_then(|text| text.split('\r').next()?.parse().ok())
            .unwrap_or(0);
        if body.len() >= length {
            return (
                head.to_owned(),
                serde_json::from_str(body).unwrap_or(Value::Null),
            );
        }
    }
}

fn described(versions: &[u32]) -> Value {
    let paths = versions
        .iter()
        .map(|v| (format!("/slurm/v0.0.{v}/ping/"), json!({})));
    json!({ "paths": paths.collect::<serde_json::Map<_, _>>() })
}

#[test]
fn the_newest_version_that_both_know_is_spoken() {
    let check = |versions: &[u32], expected: Option<u32>| {
        assert_eq!(
            Version::newest(&described(versions)),
            expected.map(Version),
            "{versions:?}"
        );
    };
    check(&[36, 37, 38], Some(38));
    check(&[38, 39], Some(38));
    check(&[39, 40, 41], Some(41));
    check(&[42, 43, 44], Some(44));
    check(&[44, 99], Some(44));
    check(&[39], None);
    check(&[], None);
    assert_eq!(Version::newest(&json!({"paths": []})), None);
}

#[tokio::test]
async fn a_run_in_the_new_shape() {
    let (rest, asked) = daemon(vec![
        ("GET /openapi/v3", 200, described(&[40, 41, 42])),
        (
            "POST /slurm/v0.0.42/job/submit",
            200,
            json!({"job_id": 77, "step_id": "batch", "errors": [], "warnings": []}),
        ),
    ])
    .await;
    let mut spec = spec();
    spec.checkpoint = Some(madang_types::JobCheckpoint {
        signal: madang_types::StopSignal::Usr1,
        grace_ms: 90_000,
    });
    assert_eq!(rest.submit(&ask(&spec)).await, Ok(77));
    let (_, mut body) = asked.lock().unwrap().pop().unwrap();
    let script = body["job"]["script"].take();
    assert!(script.as_str().unwrap().starts_with("#!/bin/bash\n"));
    let expected = json!({ "job": {
        "script": null,
        "name": "madang-1042-1",
        "comment": "hanbit/a_test",
        "account": "hanbit",
        "qos": "ai-centre",
        "nodes": "1",
        "tasks": 1,
        "tasks_per_node": 1,
        "cpus_per_task": 16,
        "memory_per_node": { "set": true, "infinite": false, "number": 64_000 },
        "tres_per_node": "gres/gpu:h200:8",
        "time_limit": { "set": true, "infinite": false, "number": 61 },
        "nice": 1_000,
        "requeue": false,
        "kill_warning_signal": "XCPU",
        "kill_warning_delay": { "set": true, "infinite": false, "number": 90 },
        "kill_warning_flags": ["BATCH_JOB"],
        "standard_output": "/scratch/madang/1042-1.%j.log",
        "open_mode": ["APPEND"],
        "current_working_directory": "/scratch/madang",
        "environment": ["PATH=/usr/local/bin:/usr/bin:/bin"],
    }});
    assert_eq!(body, expected);
    spec.pieces.push(spec.pieces[0].clone());
    let body = new::New.submission(&ask(&spec));
    assert_eq!(body["job"]["tres_per_task"], "gres/gpu:h200:8");
    assert_eq!(body["job"]["nodes"], Value::Null);
}

#[tokio::test]
async fn jobs_are_read_in_the_new_shape() {
    let time = |number: u64| json!({ "set": number > 0, "infinite": false, "number": number });
    let exit = json!({ "status": ["SIGNALED"], "return_code": time(0), "signal": { "id": time(9), "name": "KILL" } });
    let live = json!({ "errors": [], "jobs": [{
        "job_id": 77, "name": "madang-1042-1", "job_state": ["COMPLETED", "COMPLETING"], "state_reason": "None",
        "submit_time": time(100), "start_time": time(110), "end_time": time(130), "nodes": "n[1,3]", "exit_code": exit,
    }]});
    let done = json!({ "errors": [], "jobs": [{
        "job_id": 77, "name": "madang-1042-1", "state": { "current": ["FAILED"], "reason": "NonZeroExitCode" },
        "time": { "submission": 100, "start": 110, "end": 130, "elapsed": 20 }, "nodes": "n[1,3]",
        "exit_code": { "status": ["ERROR"], "return_code": time(3), "signal": { "id": time(0), "name": "" } },
    }]});
    let gone = json!({ "errors": [{ "error_number": 2017, "error": "Invalid job id specified", "description": "", "source": "" }], "jobs": [] });
    let (rest, asked) = daemon(vec![
        ("GET /openapi", 200, described(&[41])),
        ("GET /slurm/v0.0.41/job/77", 200, live),
        ("GET /slurm/v0.0.41/job/78", 500, gone.clone()),
        ("GET /slurm/v0.0.41/job/79", 200, json!({ "jobs": [{}] })),
        (
            "GET /slurmdb/v0.0.41/jobs/?job_name=madang-1042-1&start_time=90&skip_steps=true",
            200,
            done,
        ),
        (
            "DELETE /slurm/v0.0.41/job/77?signal=URG&flags=BATCH_JOB",
            200,
            json!({ "errors": [] }),
        ),
        ("DELETE /slurm/v0.0.41/job/78", 500, gone),
    ])
    .await;
    let live = rest.live(&[77, 78, 79]).await.unwrap();
    let job = SlurmJob {
        id: 77,
        name: "madang-1042-1".to_owned(),
        state: SlurmState::Completing,
        reason: "None".to_owned(),
        submitted_s: 100,
        started_s: Some(110),
        ended_s: Some(130),
        had_nodes: true,
        exit: (0, 9),
    };
    assert_eq!(live.jobs, std::slice::from_ref(&job));
    // One that cannot be read keeps nobody else.
    let unread = Fault::Unknown("the job 79 cannot be read".to_owned());
    assert!(live.unread.iter().eq([(&79, &unread)]), "{live:?}");
    let accounted = SlurmJob {
        state: SlurmState::Failed,
        reason: "NonZeroExitCode".to_owned(),
        exit: (3, 0),
        ..job
    };
    assert_eq!(
        rest.accounted("madang-1042-1", 90).await,
        Ok(vec![accounted])
    );
    rest.signal(77, "URG").await.unwrap();
    rest.cancel(78).await.unwrap();
    // What it speaks was asked once.
    let asked = asked.lock().unwrap();
    assert_eq!(
        asked
            .iter()
            .filter(|(call, _)| call.contains("openapi"))
            .count(),
        2
    );
}

#[test]
fn errors_are_told_apart() {
    let check = |status: u16, answer: Value, expected: Option<Fault>| {
        let status = StatusCode::from_u16(status).unwrap();
        let told = match errors(status, &answer) {
            Some(Told::Fault(fault)) => Some(fault),
            Some(Told::Nothing) => Some(Fault::Refused("nothing".to_owned())),
            None => None,
        };
        assert_eq!(told, expected, "{answer}");
    };
    let error =
        |number: i64, text: &str| json!({ "errors": [{ "error_number": number, "error": text }] });
    check(200, json!({ "errors": [] }), None);
    check(200, json!({}), None);
    check(
        503,
        Value::Null,
        Some(Fault::Unknown(
            "its REST daemon answered 503 Service Unavailable".into(),
        )),
    );
    check(
        500,
        error(2045, "Invalid account"),
        Some(Fault::Refused("Invalid account (2045)".into())),
    );
    let code = json!({ "errors": [{ "error_code": 2014, "error": "Requested node configuration is not available" }] });
    let told = "Requested node configuration is not available (2014)";
    check(500, code, Some(Fault::Refused(told.into())));
    let away = "Unable to contact slurm controller (connect failure)";
    check(
        500,
        error(1800, away),
        Some(Fault::NotSent(format!("{away} (1800)"))),
    );
    check(
        500,
        error(5004, "Socket timed out"),
        Some(Fault::Unknown("Socket timed out (5004)".into())),
    );
    check(
        200,
        error(2021, "Job already done"),
        Some(Fault::Refused("nothing".into())),
    );
    check(
        500,
        error(2007, "Too many jobs"),
        Some(Fault::NotSent("Too many jobs (2007)".into())),
    );
    check(
        500,
        error(9008, "Authentication failure"),
        Some(Fault::NotSent("Authentication failure (9008)".into())),
    );
    check(
        500,
        error(-1, ""),
        Some(Fault::Unknown("no reason given (0)".into())),
    );
}

/// A daemon that answers everything with these bytes.
async fn says(bytes: &'static [u8]) -> Rest {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            read(&mut stream).await;
            stream.write_all(bytes).await.unwrap();
        }
    });
    let rest = Rest::new(&SlurmRest {
        url: format!("http://{address}"),
        authority: None,
        user: "madang".to_owned(),
        token: SlurmToken::Given(SecretText("sesame".to_owned())),
    });
    rest.unwrap()
}

#[tokio::test]
async fn what_is_no_answer_of_the_daemons_says_nothing_of_jobs() {
    let page = b"HTTP/1.1 200 OK\r\ncontent-length: 14\r\nconnection: close\r\n\r\n<html>Sign in<";
    let half =
        b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\nconnection: close\r\n\r\n{\"jobs\": [{\"job";
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\nconnection: close\r\n\r\n{\"jobs\": []";
    for bytes in [&page[..], half, cut] {
        // Nothing was asked for while it is not known what it speaks.
        let told = says(bytes).await.submit(&ask(&spec())).await;
        assert!(matches!(told, Err(Fault::NotSent(_))), "{told:?}");
        let rest = says(bytes).await;
        rest.version.set(Version(42)).unwrap();
        let told = rest.submit(&ask(&spec())).await;
        assert!(matches!(told, Err(Fault::Unknown(_))), "{told:?}");
        let live = rest.live(&[77]).await.unwrap();
        assert!(
            live.jobs.is_empty() && live.unread.contains_key(&77),
            "{live:?}"
        );
        let told = rest.accounted("madang-1042-1", 90).await;
        assert!(matches!(told, Err(Fault::Unknown(_))), "{told:?}");
        // Nor was anything done.
        for told in [rest.signal(77, "URG").await, rest.cancel(77).await] {
            assert!(matches!(told, Err(Fault::Unknown(_))), "{told:?}");
        }
    }
}
