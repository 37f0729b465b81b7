//! Files over HTTP and in S3-compatible stores.

use super::{Local, options};
use crate::conformance::{output, run, run_id, script};
use madang_executor::jobs::SecretText;
use madang_executor::jobs::local::StageBucket;
use madang_types::{JobStage, RunOutcome};
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
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        self.queries.lock().unwrap().push(query.to_owned());
        let length = head.to_lowercase();
        let length = length
            .split_once("content-length: ")
            .map_or(0, |(_, rest)| {
                rest.split_once("\r\n").unwrap().0.parse().unwrap()
            });
        while body.len() < length {
            stream.read_buf(&mut body).await.unwrap();
        }
        let answer = match (method, path) {
            ("GET", "/moved") => {
                b"HTTP/1.1 302 Found\r\nlocation: /abc\r\ncontent-length: 0\r\n\r\n".to_vec()
            }
            ("GET", "/away") => {
                b"HTTP/1.1 302 Found\r\nlocation: http://localhost:1/\r\ncontent-length: 0\r\n\r\n"
                    .to_vec()
            }
            ("GET", "/cut") => b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc".to_vec(),
            ("PUT", "/full/key") => {
                b"HTTP/1.1 507 Insufficient Storage\r\ncontent-length: 0\r\n\r\n".to_vec()
            }
            ("PUT", _) => {
                self.objects.lock().unwrap().insert(path.to_owned(), body);
                b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec()
            }
            _ => match self.objects.lock().unwrap().get(path) {
                None => b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec(),
                Some(object) => {
                    let head = format!(
                        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
                        object.len()
                    );
                    [head.as_bytes(), object].concat()
                }
            },
        };
        stream.write_all(&answer).await.ok();
        stream.shutdown().await.ok();
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
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_come_over_http_whole_or_not_at_all() {
    let store = Store::default();
    let (site, port) = site(&store).await;
    store
        .objects
        .lock()
        .unwrap()
        .insert("/abc".to_owned(), b"abc".to_vec());
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
