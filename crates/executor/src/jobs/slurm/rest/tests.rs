//! Both shapes on real daemons, and what no sound daemon says.

use super::*;
use crate::jobs::SecretText;
use crate::jobs::slurm::ask::tests::{ask, spec};
use crate::jobs::slurm::job::SlurmState;
use crate::jobs::slurm::options::SlurmToken;
use madang_testkit::{Slurm, SlurmRelease};
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// What the real daemons of the tests speak and we do.
const SPOKEN: [(SlurmRelease, u32); 4] = [
    (SlurmRelease::Packaged, 37),
    (SlurmRelease::Packaged, 38),
    (SlurmRelease::New, 41),
    (SlurmRelease::New, 42),
];

/// By a real daemon, whose tokens are signed with its key or with another.
fn real(cluster: &Slurm, key: std::path::PathBuf) -> Rest {
    let rest = Rest::new(&SlurmRest {
        url: cluster.rest().unwrap(),
        authority: None,
        user: "root".to_owned(),
        token: SlurmToken::Key(key),
    });
    rest.unwrap()
}

/// The real daemons that this machine can have, each spoken to in one of its versions.
fn spoken() -> impl Iterator<Item = (u32, Slurm, Rest)> {
    SPOKEN.into_iter().filter_map(|(release, version)| {
        let cluster = Slurm::shared(release).unwrap()?;
        let rest = real(&cluster, cluster.key());
        rest.version.set(Version(version)).unwrap();
        Some((version, cluster, rest))
    })
}

/// What is asked of a real cluster, by a name of this test's own.
fn asked(name: &str, version: u32, script: &str) -> Ask {
    let mut spec = spec();
    spec.checkpoint = Some(madang_types::JobCheckpoint {
        signal: madang_types::StopSignal::Usr1,
        grace_ms: 90_000,
    });
    let mut ask = ask(&spec);
    ask.name = format!("{name}{version}.{}", std::process::id());
    ask.script = format!("#!/bin/bash\n{script}\n");
    (ask.account, ask.qos) = ("root".to_owned(), Some("normal".to_owned()));
    ask.partition = Some("batch".to_owned());
    (ask.folder, ask.log) = ("/tmp".to_owned(), "/dev/null".to_owned());
    ask
}

/// Asks until there is what is looked for.
async fn until<T>(what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..1_200 {
        if let Some(found) = found().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("waited too long for: {what}");
}

/// Asks until a job is over.
async fn until_over(rest: &Rest, id: u32) -> SlurmJob {
    let over = async || {
        let live = rest.live(&[id]).await.unwrap();
        live.jobs.into_iter().find(|job| job.state.is_over())
    };
    until("it is over", over).await
}

#[tokio::test]
async fn a_real_daemon_says_what_it_speaks() {
    for (release, newest) in [(SlurmRelease::Packaged, 38), (SlurmRelease::New, 42)] {
        let Some(cluster) = Slurm::shared(release).unwrap() else {
            continue;
        };
        let rest = real(&cluster, cluster.key());
        assert_eq!(rest.version().await, Ok(Version(newest)));
    }
}

/// Nothing of it is refused, and nothing passed over with a warning.
#[tokio::test]
async fn all_that_is_asked_for_is_understood() {
    for (version, cluster, rest) in spoken() {
        for tasks in [1, 2] {
            let mut ask = asked("shape", version, "exit 1");
            ask.tasks = tasks;
            let mut body = Version(version).shape().submission(&ask);
            // It never begins.
            body["job"]["begin_time"] = match version {
                ..=38 => json!("now+1day"),
                _ => json!({ "set": true, "infinite": false, "number": 4_000_000_000_u32 }),
            };
            let path = Version(version).slurm("job/submit");
            let answer = rest.http.call(Method::POST, &path, Some(&body)).await;
            let (status, answer) = answer.unwrap();
            let id = job_id(&answer).unwrap_or_else(|| panic!("{status} {answer}"));
            let warnings = answer.get("warnings").and_then(Value::as_array);
            assert!(warnings.is_none_or(Vec::is_empty), "{answer}");
            let live = rest.live(&[id]).await.unwrap().jobs;
            assert_eq!(live[0].state, SlurmState::Waiting);
            let told = cluster.run(&format!("scontrol -o show job {id}")).unwrap();
            let several = ["NumTasks=2", "CPUs/Task=16", "h200:8", "MinMemoryCPU=4000M"];
            let one = [
                "NumNodes=1",
                "CPUs/Task=16",
                "h200:8",
                "MinMemoryNode=62.50G",
            ];
            let of_all = [
                &format!("JobName={} ", ask.name),
                "Account=root QOS=normal",
                "Nice=1000 ",
                "Requeue=0 ",
                "Partition=batch ",
                "TimeLimit=01:01:00 ",
                "WorkDir=/tmp ",
                "StdOut=/dev/null ",
                "Comment=hanbit/a_test ",
            ];
            let words = if tasks == 1 { one } else { several };
            for word in words.into_iter().chain(of_all) {
                assert!(told.contains(word), "v0.0.{version}, {word}: {told}");
            }
            rest.cancel(id).await.unwrap();
            let job = until_over(&rest, id).await;
            assert_eq!((job.state, job.had_nodes), (SlurmState::Cancelled, false));
        }
    }
}

#[tokio::test]
async fn ends_are_read_of_the_controller_and_of_the_accounting() {
    for (version, cluster, rest) in spoken() {
        let ends = [
            ("exit 0", SlurmState::Completed, (0, 0)),
            ("sleep 1; exit 3", SlurmState::Failed, (3, 0)),
            ("kill -KILL $$", SlurmState::Failed, (0, 9)),
        ];
        let mut begun = Vec::new();
        for (at, (script, state, exit)) in ends.into_iter().enumerate() {
            let mut ask = asked(&format!("end{at}v"), version, script);
            (ask.gres, ask.cpus, ask.memory_mib) = (None, 1, 64);
            let id = rest.submit(&ask).await.unwrap();
            begun.push((ask, id, state, exit));
        }
        for (ask, id, state, exit) in begun {
            let live = until_over(&rest, id).await;
            assert_eq!((live.state, live.exit), (state, exit), "v0.0.{version}");
            assert!(live.had_nodes && live.name == ask.name, "{live:?}");
            // The accounting hears of it some seconds later, and of 22.05 its exit code is 0 there.
            let ended = async || {
                let jobs = rest.accounted(&ask.name, live.submitted_s - 10).await;
                let mut jobs = jobs.unwrap().into_iter();
                jobs.find(|job| job.id == id && job.state == state && job.ended_s.is_some())
            };
            let told = until("it is accounted", ended).await;
            assert_eq!((&told.name, told.had_nodes), (&ask.name, true));
            if version > 38 {
                assert_eq!(told.exit, exit);
                let line =
                    format!("SLURM_TIME_FORMAT=%s sacct -X -n -P -o Submit,Start,End -j {id}");
                let (from, to) = (told.started_s.unwrap(), told.ended_s.unwrap());
                let ours = format!("{}|{from}|{to}", told.submitted_s);
                assert_eq!(cluster.run(&line).unwrap(), ours);
            }
            // To be told once more that it ends is nothing new to it.
            rest.signal(id, "URG").await.unwrap();
            rest.cancel(id).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_a_real_daemon_refuses_is_told_apart() {
    for (version, cluster, rest) in spoken() {
        // Who is not there is not: that is no fault.
        let absent = 60_000_000;
        let live = rest.live(&[absent]).await.unwrap();
        assert!(
            live.jobs.is_empty() && live.unread.is_empty(),
            "v0.0.{version}: {live:?}"
        );
        assert_eq!(
            rest.accounted("nobody", 1_700_000_000).await,
            Ok(Vec::new())
        );
        rest.signal(absent, "URG").await.unwrap();
        rest.cancel(absent).await.unwrap();
        let mut ask = asked("refused", version, "exit 1");
        ask.account = "nobody".to_owned();
        let told = rest.submit(&ask).await;
        assert!(
            matches!(&told, Err(Fault::Refused(why)) if why.contains("(2045)")),
            "v0.0.{version}: {told:?}"
        );
        // Another cluster's key.
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        std::fs::write(&key, "sesame").unwrap();
        let other = real(&cluster, key);
        other.version.set(Version(version)).unwrap();
        let told = other.submit(&ask).await;
        // It may as well be that the answer was not trusted: a run is looked for by its name before it is submitted again.
        assert!(
            matches!(&told, Err(Fault::NotSent(_) | Fault::Unknown(_))),
            "v0.0.{version}: {told:?}"
        );
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
    check(&[36], None);
    check(&[38, 39], Some(38));
    check(&[39, 40, 41], Some(41));
    check(&[42, 43, 44], Some(44));
    check(&[44, 99], Some(44));
    check(&[39], None);
    check(&[], None);
    assert_eq!(Version::newest(&json!({"paths": []})), None);
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

/// Reads a request, which has no body of note; its first line.
async fn read(stream: &mut tokio::net::TcpStream) -> String {
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
        let length = length.and_then(|text| text.split('\r').next()?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return head.lines().next().unwrap_or_default().to_owned();
        }
    }
}

/// A daemon of paper, that answers each request's first line with these bytes.
async fn says(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Rest {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let line = read(&mut stream).await;
            stream.write_all(&answer(&line)).await.unwrap();
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
async fn what_is_told_of_one_job_is_of_no_other() {
    let time = |number: u64| json!({ "set": true, "infinite": false, "number": number });
    let sound = json!({ "errors": [], "jobs": [{
        "job_id": 77, "name": "madang-1042-1", "job_state": ["RUNNING"], "state_reason": "None",
        "submit_time": time(100), "start_time": time(110), "end_time": time(130), "nodes": "n1",
    }]});
    // As 22.05 answers for a job that an administrator's rule holds.
    let held = json!({ "job_id": 79, "errors": [{ "error": "Job is in held state", "error_code": 2042 }] });
    let rest = says(move |line| {
        let answer = match line {
            _ if line.starts_with("POST") => held.clone(),
            _ if line.contains("/job/78") => json!({ "jobs": [{}] }),
            _ => sound.clone(),
        };
        let answer = answer.to_string();
        let length = answer.len();
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{answer}")
            .into_bytes()
    })
    .await;
    rest.version.set(Version(42)).unwrap();
    let live = rest.live(&[77, 78]).await.unwrap();
    assert_eq!(live.jobs[0].state, SlurmState::Running);
    let unread = Fault::Unknown("the job 78 cannot be read".to_owned());
    assert!(live.unread.iter().eq([(&78, &unread)]), "{live:?}");
    // What has a number is there, whatever is said of it beside that.
    assert_eq!(rest.submit(&ask(&spec())).await, Ok(79));
}

#[tokio::test]
async fn what_is_no_answer_of_the_daemons_says_nothing_of_jobs() {
    let page = b"HTTP/1.1 200 OK\r\ncontent-length: 14\r\nconnection: close\r\n\r\n<html>Sign in<";
    let half =
        b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\nconnection: close\r\n\r\n{\"jobs\": [{\"job";
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\nconnection: close\r\n\r\n{\"jobs\": []";
    for bytes in [&page[..], half, cut] {
        // Nothing was asked for while it is not known what it speaks.
        let told = says(|_| bytes.to_vec()).await.submit(&ask(&spec())).await;
        assert!(matches!(told, Err(Fault::NotSent(_))), "{told:?}");
        let rest = says(|_| bytes.to_vec()).await;
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
