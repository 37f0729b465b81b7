//! The binary under test: in a temporary place, on a free port, with bounds on every wait, and gone with the test.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failed test shows what was printed"
)]
#![expect(dead_code, reason = "each test uses a part of it")]

pub mod books;
pub mod engine;
pub mod fleet;
pub mod load;
pub mod process;
pub mod random;

use http::Method;
use madang_testkit::{
    FakeEngine, FakeEngineOptions, HttpAnswer, SseStream, http_get, http_post_json, http_send,
    http_stream,
};
use serde_json::{Value, json};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// The program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_madang");
/// Longest wait for anything. Long, so that a busy machine fails no test.
pub const WAIT_MAX: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(20);

/// Polls until there is a value; panics with `what` where none comes.
pub async fn wait_for<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + WAIT_MAX;
    loop {
        if let Some(value) = look().await {
            return value;
        }
        assert!(Instant::now() < until, "not within {WAIT_MAX:?}: {what}");
        sleep(LOOK).await;
    }
}

/// A temporary folder with a fleet file, a data folder and a cache.
pub struct Place {
    dir: tempfile::TempDir,
    /// What its commands find in their environment.
    env: Vec<(&'static str, PathBuf)>,
}

/// What a command left.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; -1 where a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ended {
    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Fails unless the command ended with this code.
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }
}

/// What a command that must succeed prints for programs; its words have one space between.
pub async fn json_of(place: &Place, command: &str) -> Value {
    let words: Vec<&str> = command.split(' ').collect();
    place.json(&words).await
}

/// Whether the gateway that gave this standing of power sees a run of a job.
pub fn sees_run(power: &Value) -> bool {
    let loads = power["loads"].as_array().unwrap();
    let mut names = loads.iter().map(|load| load["what"].as_str().unwrap());
    names.any(|name| name.starts_with("run:"))
}

impl Place {
    /// Keys of another place, which are in the books that both have.
    pub fn copy_keys_of(&self, other: &Place) {
        for key in ["operator.key", "tenant.key"] {
            std::fs::copy(other.data().join(key), self.data().join(key)).unwrap();
        }
    }

    pub fn new() -> Self {
        Self {
            dir: tempfile::Builder::new().prefix("mdg").tempdir().unwrap(),
            env: Vec::new(),
        }
    }

    /// From now on its commands find `value` in their environment.
    pub fn env(&mut self, name: &'static str, value: PathBuf) {
        self.env.push((name, value));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Starts an engine in this process, and writes a fleet of one replica there.
    pub async fn start_engine(&self) -> FakeEngine {
        let engine = FakeEngine::start(FakeEngineOptions::default()).await;
        self.write_fleet_of(&engine);
        engine
    }

    /// Writes a fleet of one replica, at this engine.
    pub fn write_fleet_of(&self, engine: &FakeEngine) {
        let replica = fleet::url_replica("a", engine.url());
        self.write("fleet.toml", fleet::fleet(&[replica]));
    }

    /// `madang ARGS` in this place, without the caller's own settings.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MADANG_"))
        {
            command.env_remove(name);
        }
        command
            .args(args)
            .current_dir(self.dir.path())
            .env("MADANG_DATA", self.data())
            .env("MADANG_CACHE", self.path("cache"))
            .env("NO_COLOR", "1")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a command to its end.
    pub async fn run(&self, args: &[&str]) -> Ended {
        Self::run_command(self.command(args)).await
    }

    /// What a command that must succeed prints for programs.
    pub async fn json(&self, args: &[&str]) -> Value {
        let ended = self.run(&[args, &["--json"]].concat()).await;
        ended.expect_code(0).json()
    }

    /// Runs a command made by [`Place::command`] to its end.
    pub async fn run_command(mut command: Command) -> Ended {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = timeout(WAIT_MAX, command.output()).await;
        let output = output
            .unwrap_or_else(|_| panic!("it runs on after {WAIT_MAX:?}: {command:?}"))
            .unwrap();
        Ended {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts `madang up` with this fleet, and waits until it serves.
    pub async fn up(&self, fleet: &str) -> Madang {
        self.write("fleet.toml", fleet);
        self.up_with(&[]).await
    }

    /// Starts `madang up` with the fleet written before and these further arguments, and waits until it serves.
    pub async fn up_with(&self, args: &[&str]) -> Madang {
        let mut madang = self.start(args);
        madang.ready().await;
        madang
    }

    /// Starts `madang up` with the fleet written before, and does not wait.
    pub fn start(&self, args: &[&str]) -> Madang {
        let mut all = vec!["up", "--fleet", "fleet.toml", "--listen", "127.0.0.1:0"];
        all.extend(args);
        let mut command = self.command(&all);
        let err = self.path("madang.err");
        command
            .stdout(File::create(self.path("madang.out")).unwrap())
            .stderr(
                File::options()
                    .create(true)
                    .append(true)
                    .open(&err)
                    .unwrap(),
            );
        let child = command.spawn().unwrap();
        let pid = child.id().unwrap();
        Madang {
            child,
            pid,
            url: String::new(),
            key: String::new(),
            data: self.data(),
            err,
        }
    }

    /// Nothing of a server is left: no server file, and the folder's lock is free.
    pub fn assert_unused(&self) {
        let data = self.data();
        assert!(
            !data.join("server.json").exists(),
            "server.json is left in {}",
            data.display()
        );
        if let Ok(lock) = File::options().write(true).open(data.join("lock")) {
            let free =
                rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive);
            assert!(free.is_ok(), "the lock of {} is held", data.display());
        }
    }
}

/// A running `madang up`, killed when dropped.
pub struct Madang {
    child: Child,
    pub pid: u32,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// The demo tenant's key.
    pub key: String,
    data: PathBuf,
    err: PathBuf,
}

impl Drop for Madang {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- madang {} said:\n{}---", self.pid, self.said());
        }
    }
}

impl Madang {
    /// Waits until it listens, a replica is up and the tenant key is taken.
    pub async fn ready(&mut self) {
        self.listening().await;
        let ready = format!("{}/readyz", self.url);
        self.until("a replica serves", async || {
            http_get(&ready, None).await.is_ok_and(|a| a.status == 200)
        })
        .await;
        self.key = self.key_taken("tenant.key").await;
        // It is made after the tenant's.
        self.key_taken("operator.key").await;
    }

    /// Waits until a key of the first start is in force; gives it.
    async fn key_taken(&self, file: &str) -> String {
        let (path, url) = (self.data.join(file), format!("{}/v1/models", self.url));
        let key = async || {
            let key = read_key(&path)?;
            let taken = http_get(&url, Some(&key))
                .await
                .is_ok_and(|answer| answer.status == 200);
            taken.then_some(key)
        };
        wait_for(&format!("{file} is taken"), key).await
    }

    /// Waits until it listens.
    pub async fn listening(&mut self) {
        let (path, pid) = (self.data.join("server.json"), self.pid);
        let url = async || {
            let server: Value = serde_json::from_str(&std::fs::read_to_string(&path).ok()?).ok()?;
            (server["pid"] == pid).then(|| server["url"].as_str().unwrap().to_owned())
        };
        let until = Instant::now() + WAIT_MAX;
        self.url = loop {
            if let Some(url) = url().await {
                break url;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("it ended with {status}:\n{}", self.said());
            }
            assert!(Instant::now() < until, "it does not listen");
            sleep(LOOK).await;
        };
    }

    /// Polls until it holds, and fails at once where the program ends.
    pub async fn until(&mut self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let until = Instant::now() + WAIT_MAX;
        while !holds().await {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("it ended with {status} before: {what}\n{}", self.said());
            }
            assert!(Instant::now() < until, "not within {WAIT_MAX:?}: {what}");
            sleep(LOOK).await;
        }
    }

    /// Standard error so far.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.err).unwrap_or_default()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        process::signal(self.pid, signal);
    }

    /// Waits for its end.
    pub async fn exit(&mut self) -> ExitStatus {
        timeout(WAIT_MAX, self.child.wait())
            .await
            .expect("it ends")
            .unwrap()
    }

    /// SIGTERM, and the exit code.
    pub async fn stop(&mut self) -> i32 {
        self.signal(rustix::process::Signal::TERM);
        self.exit().await.code().unwrap_or(-1)
    }

    /// SIGKILL.
    pub async fn kill(&mut self) {
        self.signal(rustix::process::Signal::KILL);
        self.exit().await;
    }

    /// Asks the control API as the operator, and gives what it says; fails where it refuses.
    pub async fn operate(&self, method: Method, path: &str, body: Value) -> Value {
        let body = ("application/json", body.to_string());
        let key = self.operator_key();
        let answer = self.call(&key, (method, path), body).await;
        assert!(answer.status < 300, "{path}: {}", answer.text());
        serde_json::from_str(&answer.text()).unwrap()
    }

    /// Asks with a key, a body and its kind; gives the whole answer, whatever it is.
    pub async fn call(
        &self,
        key: &str,
        (method, path): (Method, &str),
        (kind, body): (&str, String),
    ) -> HttpAnswer {
        let headers = [("x-api-key", key), ("content-type", kind)];
        let sent = http_send(method, &self.at(path), &headers, body).await;
        sent.unwrap().collect().await.unwrap()
    }

    /// Sends a file of lines, and gives its id.
    pub async fn upload(&self, purpose: &str, lines: &str) -> String {
        let form = format!(
            "--b\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\n{purpose}\r\n--b\r\n\
             content-disposition: form-data; name=\"file\"; filename=\"l\"\r\n\r\n{lines}\r\n--b--\r\n"
        );
        let form = ("multipart/form-data; boundary=b", form);
        let sent = self
            .call(&self.key, (Method::POST, "/v1/files"), form)
            .await;
        assert_eq!(sent.status, 200, "{}", sent.text());
        sent.json().unwrap()["id"].as_str().unwrap().to_owned()
    }

    pub fn operator_key(&self) -> String {
        read_key(&self.data.join("operator.key")).unwrap()
    }

    /// An address of this server.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The sum of a gauge of the metrics page over its labels; `begin` is what its lines begin with, and there is one.
    pub async fn gauge(&self, begin: &str) -> u64 {
        let page = http_get(&self.at("/metrics"), Some(&self.operator_key())).await;
        let page = page.unwrap().text();
        let lines = page.lines().filter(|line| line.starts_with(begin));
        let values: Vec<f64> = lines
            .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
            .collect();
        assert!(!values.is_empty(), "{begin}: {page}");
        values.iter().sum::<f64>() as u64
    }

    /// A chat answer, plain.
    pub async fn chat(&self) -> anyhow::Result<HttpAnswer> {
        http_post_json(
            &self.at("/v1/chat/completions"),
            Some(&self.key),
            chat_body("hi", 4, false),
        )
        .await
    }

    /// A streamed chat answer of so many tokens with these milliseconds before each, with its request id.
    pub async fn chat_stream(&self, tokens: u64, token_ms: u64) -> (String, SseStream) {
        let url = self.at("/v1/chat/completions");
        let text = format!("fake-behaviour=slow:0:{token_ms}");
        let stream = http_stream(&url, Some(&self.key), chat_body(&text, tokens, true))
            .await
            .unwrap();
        assert_eq!(stream.status, 200, "{:?}", stream.headers);
        let id = stream.headers["x-madang-request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        (id, stream.sse())
    }
}

/// Fails unless the stream goes on to its `[DONE]`.
pub async fn expect_done(mut stream: SseStream) {
    let (events, cut) = stream.to_end().await;
    assert!(cut.is_none(), "{cut:?}");
    assert!(
        events.last().is_some_and(|event| event.is_done()),
        "the stream ends with {:?}",
        events.last()
    );
}

fn read_key(path: &Path) -> Option<String> {
    let key = std::fs::read_to_string(path).ok()?.trim().to_owned();
    (!key.is_empty()).then_some(key)
}

/// A chat request to the model `m`.
pub fn chat_body(text: &str, tokens: u64, stream: bool) -> String {
    let messages = json!([{ "role": "user", "content": text }]);
    json!({ "model": "m", "stream": stream, "max_tokens": tokens, "messages": messages })
        .to_string()
}
