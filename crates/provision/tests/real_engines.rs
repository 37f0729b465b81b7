//! The real engines with the real default model: fetched once into the shared cache, started, asked, ended.
//!
//! The first run fetches about 640 MB. At most some dozens of tokens are generated.
#![cfg(test)]

use madang_fleet::model::{Builtin, Weights};
use madang_provision::{
    Cache, EngineCommand, EngineShape, Lines, Listen, ProvisionError, Tools, ensure_engine,
    fetch_weights, model_file, qwen25_coder_0_5b,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for an engine on a busy machine.
const READY_MAX: Duration = Duration::from_secs(120);

fn cache() -> Cache {
    Cache::from_env().unwrap()
}

fn progress() -> Lines {
    Lines::new(std::io::stderr())
}

async fn weights(weights: &Weights) -> PathBuf {
    fetch_weights(&cache(), weights, &progress()).await.unwrap()
}

/// Where a running engine listens.
#[derive(Clone)]
enum Place {
    Port(u16),
    Socket(PathBuf),
}

/// A started engine, ended when dropped.
struct Engine {
    child: Child,
    place: Place,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

impl Engine {
    fn start(command: &EngineCommand, listen: Listen, name: &str, model: &Path) -> Self {
        Self::start_below(false, command, listen, (name, model))
    }

    /// With `parent`, the child is a shell and the engine the shell's child.
    fn start_below(
        parent: bool,
        command: &EngineCommand,
        listen: Listen,
        (name, model): (&str, &Path),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shape = EngineShape {
            slots: 4,
            context_tokens: 8192,
            listen,
        };
        let place = match listen {
            Listen::Port => Place::Port(
                TcpListener::bind("127.0.0.1:0")
                    .unwrap()
                    .local_addr()
                    .unwrap()
                    .port(),
            ),
            Listen::Socket => Place::Socket(folder.path().join("engine.sock")),
        };
        let (port, socket) = match &place {
            Place::Port(port) => (port.to_string(), String::new()),
            Place::Socket(path) => (String::new(), path.display().to_string()),
        };
        let line: Vec<String> = command
            .command(shape)
            .into_iter()
            .map(|word| {
                word.replace("{port}", &port)
                    .replace("{socket}", &socket)
                    .replace("{model_path}", &model.display().to_string())
                    .replace("{served_name}", name)
                    .replace("{slots}", "4")
            })
            .collect();
        let log = folder.path().join("log");
        let out = std::fs::File::create(&log).unwrap();
        // Its parent is a shell, so that a test can kill the parent alone.
        let child = Command::new("sh")
            .args([
                "-c",
                if parent {
                    "\"$@\" & wait"
                } else {
                    "exec \"$@\""
                },
                "sh",
            ])
            .args(&line)
            .envs(&command.env)
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        Self {
            child,
            place,
            log,
            _folder: folder,
        }
    }

    /// Waits for `/health` to answer 200; the time it took.
    fn ready(&mut self) -> Duration {
        let start = Instant::now();
        loop {
            if self.get("/health").is_ok_and(|(status, _)| status == 200) {
                return start.elapsed();
            }
            assert!(
                self.child.try_wait().unwrap().is_none(),
                "ended at start: {}",
                self.log()
            );
            assert!(start.elapsed() < READY_MAX, "not ready: {}", self.log());
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    fn get(&self, path: &str) -> std::io::Result<(u16, String)> {
        self.request(&format!(
            "GET {path} HTTP/1.1\r\nhost: engine\r\nconnection: close\r\n\r\n"
        ))
    }

    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: engine\r\nconnection: close\r\ncontent-type: application/json\r\n"
        );
        let (status, text) = self
            .request(&format!(
                "{head}content-length: {}\r\n\r\n{body}",
                body.len()
            ))
            .unwrap();
        (
            status,
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")),
        )
    }

    /// One plain request on its own connection; status and body.
    fn request(&self, request: &str) -> std::io::Result<(u16, String)> {
        let mut answer = Vec::new();
        match &self.place {
            Place::Port(port) => exchange(
                TcpStream::connect(("127.0.0.1", *port))?,
                request,
                &mut answer,
            )?,
            Place::Socket(path) => exchange(UnixStream::connect(path)?, request, &mut answer)?,
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or_default();
        Ok((status, body.to_owned()))
    }

    fn resident_megabytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            / 1000
    }
}

fn exchange(
    mut stream: impl Read + Write,
    request: &str,
    answer: &mut Vec<u8>,
) -> std::io::Result<()> {
    stream.write_all(request.as_bytes())?;
    stream.read_to_end(answer).map(|_| ())
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Ended already in some tests.
        self.child.kill().unwrap_or_default();
        self.child.wait().unwrap();
    }
}

/// The packaged engine, whatever this machine has on its path.
fn packaged() -> Cache {
    let tools = Tools {
        llama_server: None,
        search_path: "".into(),
        ..Tools::from_env()
    };
    cache().with_tools(tools)
}

#[tokio::test]
async fn the_default_chat_model_answers_korean() {
    let command = ensure_engine(&packaged(), Builtin::LlamaCpp, &progress())
        .await
        .unwrap();
    let model = weights(&qwen25_coder_0_5b()).await;
    let facts = model_file(&model).unwrap();
    assert_eq!(facts.architecture.as_deref(), Some("qwen2"));
    assert_eq!(
        (facts.context_tokens, facts.chat_template),
        (Some(32_768), true)
    );
    for listen in [Listen::Port, Listen::Socket] {
        let mut engine = Engine::start(&command, listen, "sample-chat", &model);
        let ready = engine.ready();
        let question = "대한민국의 수도는 어디인가요? 한 문장으로 답하세요.";
        let body = json!({ "messages": [{ "role": "user", "content": question }], "temperature": 0, "max_tokens": 16 });
        let (status, answer) = engine.post("/v1/chat/completions", &body);
        assert_eq!(status, 200, "{answer}");
        let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
        assert!(text.contains("서울"), "{text}");
        assert_eq!(answer["model"], "sample-chat");
        assert!(answer["usage"]["completion_tokens"].as_u64().unwrap() > 0);
        let metrics = engine.get("/metrics").unwrap();
        assert!(
            metrics.0 == 200 && metrics.1.contains("llamacpp:requests_processing"),
            "{}",
            metrics.1
        );
        let slots: Value = serde_json::from_str(&engine.get("/slots").unwrap().1).unwrap();
        let contexts: Vec<_> = slots
            .as_array()
            .unwrap()
            .iter()
            .map(|slot| slot["n_ctx"].as_u64())
            .collect();
        assert_eq!(contexts, [Some(8192); 4], "each slot has the whole context");
        let log = engine.log();
        assert!(
            !log.contains("대한민국") && !log.contains("서울"),
            "the log holds no content: {log}"
        );
        let megabytes = engine.resident_megabytes();
        eprintln!("llama.cpp ready after {ready:?}, {megabytes} MB resident");
        assert!(megabytes < 1500);
    }
}

#[tokio::test]
async fn the_embedding_engine_answers_at_once() {
    let command = ensure_engine(&packaged(), Builtin::E5, &progress())
        .await
        .unwrap();
    for listen in [Listen::Port, Listen::Socket] {
        let mut engine = Engine::start(&command, listen, "sample-embedding", Path::new("-"));
        let ready = engine.ready();
        let inputs = [
            "The weather is nice today.",
            "오늘은 날씨가 좋습니다.",
            "GPU 클러스터의 전력 제한",
        ];
        let (status, answer) = engine.post("/v1/embeddings", &json!({ "input": inputs }));
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["model"], "sample-embedding");
        let vectors: Vec<Vec<f64>> = answer["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| serde_json::from_value(one["embedding"].clone()).unwrap())
            .collect();
        assert!(vectors.iter().all(|vector| vector.len() == 384));
        let like = |a: usize, b: usize| {
            vectors[a]
                .iter()
                .zip(&vectors[b])
                .map(|(x, y)| x * y)
                .sum::<f64>()
        };
        assert!(
            like(0, 1) > like(0, 2) + 0.03,
            "{} {}",
            like(0, 1),
            like(0, 2)
        );
        assert!(answer["usage"]["prompt_tokens"].as_u64().unwrap() > 10);
        let start = Instant::now();
        engine.post("/v1/embeddings", &json!({ "input": "짧은 글" }));
        eprintln!(
            "embedding ready after {ready:?}, {} MB resident, {:?} a request",
            engine.resident_megabytes(),
            start.elapsed()
        );
        let (status, answer) = engine.post("/v1/embeddings", &json!({ "input": 7 }));
        assert_eq!(
            (status, answer["error"]["type"].as_str()),
            (400, Some("invalid_request_error"))
        );
    }
}

#[tokio::test]
async fn a_bad_model_file_ends_the_engine_with_its_reason() {
    let command = ensure_engine(&packaged(), Builtin::LlamaCpp, &progress())
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad.gguf");
    std::fs::write(&bad, b"GGUF\x03\0\0\0 and no more").unwrap();
    for (model, expected) in [
        (bad.as_path(), "cannot serve"),
        (Path::new("/nonexistent.gguf"), "no such model file"),
    ] {
        let mut engine = Engine::start(&command, Listen::Port, "bad", model);
        let status = engine.child.wait().unwrap();
        assert_eq!(status.code(), Some(1));
        assert!(
            engine.log().contains(&format!("madang engine: {expected}")),
            "{}",
            engine.log()
        );
    }
}

#[tokio::test]
async fn without_a_network_an_engine_is_refused_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let none = folder.path().display().to_string();
    let pip_env = BTreeMap::from([
        ("PIP_NO_INDEX".to_owned(), "1".to_owned()),
        ("PIP_FIND_LINKS".to_owned(), none),
    ]);
    let tools = Tools {
        pip_env,
        ..packaged().tools().clone()
    };
    let cache = Cache::at(folder.path().join("cache")).with_tools(tools);
    for builtin in [Builtin::LlamaCpp, Builtin::E5] {
        let error = ensure_engine(&cache, builtin, &progress())
            .await
            .unwrap_err();
        assert!(matches!(error, ProvisionError::NoSource { .. }), "{error}");
        assert!(
            error.to_string().contains("cannot be reached") && error.to_string().contains("remedy"),
            "{error}"
        );
    }
    assert!(!folder.path().join("cache/engines").exists());
    assert!(!folder.path().join("cache/tmp").exists());
}

#[tokio::test]
async fn no_engine_outlives_its_killed_parent() {
    let command = ensure_engine(&packaged(), Builtin::E5, &progress())
        .await
        .unwrap();
    let mut engine = Engine::start_below(true, &command, Listen::Port, ("orphan", Path::new("-")));
    engine.ready();
    engine.child.kill().unwrap();
    engine.child.wait().unwrap();
    let start = Instant::now();
    while engine.get("/health").is_ok() {
        assert!(start.elapsed() < READY_MAX, "the engine still runs");
        std::thread::park_timeout(Duration::from_millis(100));
    }
}
