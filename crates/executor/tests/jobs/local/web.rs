//! Files over HTTP and in S3-compatible stores.

use super::{Local, options};
use crate::conformance::{output, run, run_id, script, until_ended, until_status};
use madang_executor::jobs::local::StageBucket;
use madang_executor::jobs::{JobExecutor, RunProgram, RunStatus, SecretText, StopHow};
use madang_types::{JobCheckpoint, JobStage, RunOutcome, StopSignal};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a store holds, by path; and the queries that it was asked with.
#[derive(Clone, Default)]
struct Store {
    objects: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    queries: Arc<Mutex<Vec<String>>>,
}

impl Store {
    async fn serve(self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(self.clone().answer(stream));
            }
        });
        port
    }

    async fn answer(self, mut stream: TcpStream) {
        let mut text = Vec::new();
        let head = loop {
            if stream.read_buf(&mut text).await.unwrap() == 0 {
                return;
            }
            if let Some(at) = text.windows(4).position(|end| end == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let mut body = text.split_off(head);
        let head = String::from_utf8(text).unwrap();
        let length = head.to_lowercase();
        let length = length.split_once("content-length: ");
        let length = length.map_or(0, |(_, rest)| rest.lines().next().unwrap().parse().unwrap());
        while body.len() < length {
            stream.read_buf(&mut body).await.unwrap();
        }
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        self.queries.lock().unwrap().push(query.to_owned());
        if path == "/silent" {
            return std::future::pending().await;
        }
        let (status, header, body) = self.exchange(method, path, body);
        let length = body.len();
        let head = format!("HTTP/1.1 {status} x\r\n{header}content-length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.ok();
        // One is cut short.
        let sent = if path == "/cut" { 3 } else { length };
        stream.write_all(&body[..sent]).await.ok();
        stream.shutdown().await.ok();
    }

    /// Status, headers and body.
    fn exchange(&self, method: &str, path: &str, body: Vec<u8>) -> (u16, String, Vec<u8>) {
        let mut objects = self.objects.lock().unwrap();
        let empty = |status, header: &str| (status, header.to_owned(), Vec::new());
        match (method, path) {
            ("GET", "/moved") => empty(302, "location: /abc\r\n"),
            ("GET", "/away") => empty(302, "location: http://localhost:1/\r\n"),
            ("PUT", "/full/key") => empty(507, ""),
            ("GET", _) => match objects.get(path) {
                None => empty(404, ""),
                Some(object) => (200, String::new(), object.clone()),
            },
            ("PUT", _) => {
                objects.insert(path.to_owned(), body);
                empty(200, "")
            }
            _ => empty(405, ""),
        }
    }
}

async fn site(store: &Store) -> (Local, u16) {
    let port = store.clone().serve().await;
    let place = tempfile::tempdir().unwrap();
    let mut options = options(place.path());
    options.stages.hosts = vec!["127.0.0.1".to_owned()];
    options.stages.buckets = ["jobs", "full"]
        .map(|name| StageBucket {
            name: name.to_owned(),
            prefix: if name == "jobs" { "{tenant}/" } else { "" }.to_owned(),
            endpoint: format!("http://127.0.0.1:{port}"),
            region: "kr-1".to_owned(),
            virtual_host: false,
            access_key: "who".to_owned(),
            secret: SecretText("sesame-7f3a".to_owned()),
            writable: true,
        })
        .into();
    (Local::with(place, options), port)
}

fn stage(from: &str, to: &str) -> JobStage {
    JobStage {
        from: from.to_owned(),
        to: to.to_owned(),
        sha256: None,
        bytes: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_come_over_http_whole_or_not_at_all() {
    let store = Store::default();
    let (site, port) = site(&store).await;
    for (path, text) in [("/abc", "abc"), ("/cut", "0123456789")] {
        let mut objects = store.objects.lock().unwrap();
        objects.insert(path.to_owned(), text.into());
    }
    for (job, path, expected) in [
        (1, "abc", Ok("abc")),
        (2, "moved", Ok("abc")),
        (3, "missing", Err("it is not there (404)")),
        (4, "away", Err("the host localhost is not open")),
        (5, "cut", Err("end of file")),
    ] {
        let mut spec = script(&site, "cat in; ls -a > $SITE/names");
        spec.run = run_id(job);
        spec.inputs = vec![stage(&format!("http://127.0.0.1:{port}/{path}"), "in")];
        let end = run(&site, spec.clone()).await;
        match (expected, &end.outcome) {
            (Ok(text), RunOutcome::Completed) => assert_eq!(output(&site, spec.run).await, text),
            (Err(word), RunOutcome::NotStarted { why }) => {
                assert!(why.contains(word), "{path}: {why}")
            }
            (_, other) => panic!("{path}: {other:?}"),
        }
        let work = site.options.folder.join(format!("{job}-1/work"));
        assert_eq!(
            std::fs::read_dir(work).unwrap().count(),
            usize::from(expected.is_ok()),
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_got_and_put() {
    let store = Store::default();
    let (site, _) = site(&store).await;
    let mut spec = script(&site, "cat in in > out; head -c 3000000 /dev/zero > big");
    store
        .objects
        .lock()
        .unwrap()
        .insert("/jobs/hanbit/a%20b".to_owned(), b"half ".to_vec());
    spec.inputs = vec![stage("s3://jobs/hanbit/a b", "in")];
    spec.outputs = vec![
        stage("out", "s3://jobs/hanbit/out"),
        stage("big", "s3://jobs/hanbit/big"),
    ];
    let end = run(&site, spec.clone()).await;
    assert_eq!(end.outcome, RunOutcome::Completed);
    {
        let objects = store.objects.lock().unwrap();
        assert_eq!(objects["/jobs/hanbit/out"], b"half half ");
        assert_eq!(objects["/jobs/hanbit/big"], vec![0; 3_000_000]);
        let queries = store.queries.lock().unwrap();
        assert_eq!(queries.len(), 3);
        for query in &*queries {
            assert!(query.contains("X-Amz-Credential=who%2F"), "{query}");
            assert!(query.contains("%2Fkr-1%2Fs3%2Faws4_request"), "{query}");
            assert!(query.contains("X-Amz-Signature="), "{query}");
            assert!(!query.contains("sesame"), "{query}");
        }
    }
    spec.program = RunProgram::Script("cat in in > out".to_owned());
    // Another tenant's keys, and a store without room.
    for (job, to, word) in [
        (1, "s3://jobs/other/out", "no bucket that is open"),
        (2, "s3://full/key", "answered 507"),
    ] {
        spec.run = run_id(job);
        spec.outputs = vec![stage("out", to)];
        let end = run(&site, spec.clone()).await;
        match &end.outcome {
            RunOutcome::NotKept { why } => assert!(why.contains(word), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waits_for_its_files_can_be_stopped() {
    let store = Store::default();
    let (site, port) = site(&store).await;
    let checkpoint = JobCheckpoint {
        signal: StopSignal::Usr1,
        grace_ms: 3_600_000,
    };
    for (job, how, outcome) in [
        (1, StopHow::Cancel, RunOutcome::Cancelled),
        (2, StopHow::Checkpoint(checkpoint), RunOutcome::Stopped),
    ] {
        let mut spec = script(&site, "exit 0");
        spec.run = run_id(job);
        spec.inputs = vec![stage(&format!("http://127.0.0.1:{port}/silent"), "in")];
        site.executor.start(spec.clone()).await.unwrap();
        let brings = |status: &RunStatus| matches!(status, RunStatus::Preparing { why } if why.contains("inputs"));
        until_status(&site, spec.run, brings).await;
        site.executor.stop(spec.run, how).await.unwrap();
        let end = until_ended(&site, spec.run).await;
        assert_eq!((end.outcome, end.started_at), (outcome, None));
    }
}
