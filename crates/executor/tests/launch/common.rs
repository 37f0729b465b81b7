//! Real processes for the tests: a Python engine, the guard's program, and polls with a bound.

use madang_executor::{
    BackoffOptions, EngineAddress, GuardProgram, LaunchError, LaunchSpec, State, Status,
    Supervisor, SupervisorHandle, SupervisorOptions,
};
use madang_types::ReplicaId;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

const POLL_MS: u64 = 20;
const POLLS_MAX: u32 = 3_000;

/// Polls until `done` gives something; fails after a minute.
pub async fn until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    for _ in 0..POLLS_MAX {
        if let Some(value) = done() {
            return value;
        }
        tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
    }
    panic!("waited too long for: {what}");
}

/// Whether the process is there and no zombie.
pub fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map_or("Z", |(_, rest)| rest);
    !state.starts_with(['Z', 'X'])
}

pub async fn until_gone(pid: u32) {
    until(&format!("the end of {pid}"), || (!lives(pid)).then_some(())).await;
}

/// The pid that an engine wrote into a file.
pub async fn pid_in(path: &Path) -> u32 {
    until("a pid", || std::fs::read_to_string(path).ok()?.parse().ok()).await
}

pub fn replica() -> ReplicaId {
    ReplicaId::new("test-1").unwrap()
}

/// One engine in its own folder.
pub struct Scene {
    pub folder: PathBuf,
    pub mode: Vec<String>,
    pub start_ms_max: u64,
    pub stop_ms_max: u64,
    pub log_bytes_max: u64,
    pub socket: bool,
    pub program: PathBuf,
    pub backoff: BackoffOptions,
}

impl Scene {
    pub fn new(folder: &Path, mode: &[&str]) -> Self {
        Self {
            folder: folder.to_owned(),
            mode: mode.iter().map(ToString::to_string).collect(),
            start_ms_max: 60_000,
            stop_ms_max: 300,
            log_bytes_max: 1 << 20,
            socket: false,
            program: "python3".into(),
            backoff: BackoffOptions {
                first_ms: 1,
                wait_ms_max: 4,
                reset_after_ms: 60_000,
            },
        }
    }

    fn spec(&self) -> Result<LaunchSpec, LaunchError> {
        let run_dir = self.folder.join("run");
        let address = if self.socket {
            EngineAddress::socket(&run_dir, &replica())?
        } else {
            EngineAddress::free_port()?
        };
        let listens = match &address {
            EngineAddress::Port(port) => port.to_string(),
            EngineAddress::Socket(path) => path.display().to_string(),
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engines/engine.py");
        let mut args = vec![script.display().to_string(), listens];
        args.extend(self.mode.iter().cloned());
        Ok(LaunchSpec {
            replica: replica(),
            program: self.program.clone(),
            args,
            env: [("ENGINE_COLOUR".to_owned(), "쪽빛".to_owned())].into(),
            address,
            start_ms_max: self.start_ms_max,
            stop_ms_max: self.stop_ms_max,
            log_bytes_max: self.log_bytes_max,
            run_dir,
        })
    }

    pub fn start(self) -> SupervisorHandle {
        let guard = GuardProgram {
            program: env!("CARGO_BIN_EXE_engine-guard").into(),
            args: Vec::new(),
        };
        let mut options = SupervisorOptions::new(guard, self.folder.join("logs"));
        options.backoff = self.backoff;
        options.ready_interval_ms = 20;
        options.hung_stop_ms_max = 300;
        Supervisor::start(replica(), options, move || self.spec(), ready)
    }
}

/// One HTTP exchange by hand.
async fn ready(address: EngineAddress) -> Result<(), String> {
    let answer = match address {
        EngineAddress::Port(port) => exchange(TcpStream::connect(("127.0.0.1", port)).await).await,
        EngineAddress::Socket(path) => exchange(UnixStream::connect(path).await).await,
    };
    let answer = answer.map_err(|error| error.to_string())?;
    if answer.starts_with("HTTP/1.1 200") {
        Ok(())
    } else {
        Err(answer)
    }
}

async fn exchange<S>(stream: std::io::Result<S>) -> std::io::Result<String>
where
    S: AsyncReadExt + AsyncWriteExt + Unpin,
{
    let mut stream = stream?;
    stream.write_all(b"GET /health HTTP/1.1\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Waits for a state; gives the whole status.
pub async fn until_state(handle: &SupervisorHandle, state: State) -> Status {
    until(state.as_str(), || {
        Some(handle.status()).filter(|status| status.state == state)
    })
    .await
}

/// Waits for a status that fits.
pub async fn until_status(
    handle: &SupervisorHandle,
    what: &str,
    fits: impl Fn(&Status) -> bool,
) -> Status {
    until(what, || Some(handle.status()).filter(&fits)).await
}
