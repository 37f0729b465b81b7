//! Starting a program, waiting until it passes on an answer, and ending it.

use super::books::Books;
use super::place::{Place, free_port};
use super::{Adapter, OWN, Part};
use crate::client::Client;
use crate::process;
use crate::scenario::{self, Load, Scenario};
use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::cell::Cell;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Time for a program to pass on its first answers; the slowest loads Python for half a minute on a busy machine.
const START_MAX: Duration = Duration::from_secs(90);
/// Time for one of the requests that look whether it does.
const LOOK_MAX: Duration = Duration::from_secs(10);
/// Time for a program to end after SIGTERM.
const STOP_MAX: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

/// What an adapter is told.
pub struct Site<'a> {
    /// Where programs are.
    pub place: &'a Place,
    /// Where the peer is installed; the program's own folder otherwise.
    pub home: PathBuf,
    /// A folder of its own for configuration and data.
    pub folder: PathBuf,
    /// The engine.
    pub upstream: SocketAddr,
    /// Where it must listen, on 127.0.0.1.
    pub port: u16,
    /// Where it may show its metrics.
    pub metrics_port: u16,
}

/// Where the key of requests comes from.
pub enum Key {
    /// Any is taken, or the configuration names this one.
    Given(String),
    /// The program prints it first, as `tenant_key` of a JSON line.
    Printed,
}

/// What an adapter answers.
pub struct Launch {
    /// The program with its arguments.
    pub command: Command,
    /// The key of requests.
    pub key: Key,
    /// Lines that requests through it carry besides, each with its end.
    pub headers: String,
    /// As the program or its pins say it.
    pub version: String,
    /// Where each request is charged.
    pub books: Option<Books>,
}

impl Launch {
    /// A program that takes any key and needs no header.
    pub fn of(command: Command) -> Self {
        Self {
            command,
            key: Key::Given("mdg_bench_0".into()),
            headers: String::new(),
            version: String::new(),
            books: None,
        }
    }
}

/// A program under measurement.
pub struct Gateway {
    /// Shown.
    pub name: String,
    /// Where requests go.
    pub address: SocketAddr,
    /// The key that requests carry.
    pub key: String,
    /// The processes whose CPU and memory count, with their children; none for the bare upstream.
    pub pids: Vec<u32>,
    /// Lines that requests carry besides.
    pub headers: String,
    /// As the program or its pins say it.
    pub version: String,
    /// What it is measured under.
    pub part: Part,
    /// Where each request is charged.
    pub books: Option<Books>,
    /// Requests that it has answered, warm-up included.
    pub answered: Cell<u64>,
    child: Option<Child>,
}

impl Gateway {
    /// So many more requests were answered.
    pub fn add_answered(&self, count: u64) {
        self.answered.set(self.answered.get() + count);
    }

    /// Ends it as an operator would, and waits; then ends what is left of it.
    pub async fn stop(self) {
        let Some(mut child) = self.child else {
            return;
        };
        let family = process::families(&self.pids);
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        // A program that is gone already needs no signal.
        let asked = pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
        if asked && timeout(STOP_MAX, child.wait()).await.is_ok() {
            return;
        }
        for pid in family {
            // Gone already is as good.
            Pid::from_raw(pid.cast_signed()).map(|pid| kill_process(pid, Signal::KILL).ok());
        }
    }
}

/// A program that has been started and may not answer yet.
pub struct Running {
    gateway: Gateway,
    key_is_printed: bool,
}

impl Running {
    /// The upstream itself, measured without anything before it.
    pub fn bare(upstream: SocketAddr) -> Self {
        Self {
            gateway: Gateway {
                name: "direct".into(),
                address: upstream,
                key: "none".into(),
                pids: Vec::new(),
                headers: String::new(),
                version: String::new(),
                part: Part::Whole,
                books: None,
                answered: Cell::new(0),
                child: None,
            },
            key_is_printed: false,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.gateway.name
    }

    /// Waits until it passes on a plain answer and a stream.
    ///
    /// # Errors
    /// It ends, or does not within [`START_MAX`]; it has been ended then.
    pub async fn ready(mut self, place: &Place) -> anyhow::Result<Gateway> {
        let waited = timeout(START_MAX, self.answers(place)).await;
        let error = match waited {
            Ok(Ok(())) => {
                self.gateway.pids = process::families(&self.gateway.pids).into_iter().collect();
                return Ok(self.gateway);
            }
            Ok(Err(error)) => error,
            Err(_) => anyhow::anyhow!("it passes on no answer"),
        };
        let said = place.log_end(&self.gateway.name);
        self.gateway.stop().await;
        Err(error.context(format!("it says: {said}")))
    }

    async fn answers(&mut self, place: &Place) -> anyhow::Result<()> {
        if self.key_is_printed {
            self.gateway.key = printed_key(&mut self.gateway).await?;
        }
        if let Some(books) = &self.gateway.books {
            books.fill(place).await?;
        }
        loop {
            if let Some(child) = &mut self.gateway.child
                && let Some(status) = child.try_wait()?
            {
                bail!("it ended: {status}");
            }
            if let Ok(Ok(())) = timeout(LOOK_MAX, look(&self.gateway)).await {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// One plain request and one stream.
async fn look(gateway: &Gateway) -> anyhow::Result<()> {
    let mut client = Client::connect(gateway.address).await?;
    for stream in [false, true] {
        let scenario = Scenario {
            name: String::new(),
            body_bytes: 1000,
            stream,
            gap_ms: 0,
            load: Load::Closed { connections: 1 },
        };
        let request = scenario::request_to(gateway, &scenario);
        client.ask(&request, stream, &mut Vec::new()).await?;
        gateway.add_answered(1);
    }
    Ok(())
}

/// The key that Madang's first start prints.
async fn printed_key(gateway: &mut Gateway) -> anyhow::Result<String> {
    let stdout = gateway.child.as_mut().and_then(|child| child.stdout.take());
    let mut lines = BufReader::new(stdout.context("no output")?).lines();
    let line = lines.next_line().await?;
    let facts: serde_json::Value = serde_json::from_str(&line.context("it ended")?)?;
    let key = facts["tenant_key"].as_str().context("it prints no key")?;
    Ok(key.to_owned())
}

/// Installs a peer where that is needed, and starts it.
///
/// # Errors
/// It cannot be installed or started.
pub async fn begin(
    adapter: &Adapter,
    place: &Place,
    upstream: SocketAddr,
) -> anyhow::Result<Running> {
    let name = adapter.name;
    let (home, version) = if OWN.contains(&name) {
        Default::default()
    } else {
        place.installed(name).await?
    };
    let folder = place.folder.join(name);
    fs::create_dir_all(&folder)?;
    let site = Site {
        place,
        home,
        folder,
        upstream,
        port: free_port()?,
        metrics_port: free_port()?,
    };
    let mut launch = (adapter.launch)(&site)?;
    if launch.version.is_empty() {
        launch.version = version;
    }
    let address = local(site.port);
    spawn(adapter, launch, place, address)
}

fn spawn(
    adapter: &Adapter,
    mut launch: Launch,
    place: &Place,
    address: SocketAddr,
) -> anyhow::Result<Running> {
    let log = place.log(adapter.name)?;
    let key_is_printed = matches!(launch.key, Key::Printed);
    let stdout = if key_is_printed {
        Stdio::piped()
    } else {
        log.try_clone()?.into()
    };
    let child = launch
        .command
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(log)
        .env("NO_PROXY", "127.0.0.1")
        .env("DO_NOT_TRACK", "1")
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {:?}", launch.command.as_std().get_program()))?;
    let gateway = Gateway {
        name: adapter.name.into(),
        address,
        key: match launch.key {
            Key::Given(key) => key,
            Key::Printed => String::new(),
        },
        pids: child.id().into_iter().collect(),
        headers: launch.headers,
        version: launch.version,
        part: adapter.part,
        books: launch.books,
        answered: Cell::new(0),
        child: Some(child),
    };
    Ok(Running {
        gateway,
        key_is_printed,
    })
}

/// Starts this binary as the upstream.
///
/// # Errors
/// It does not answer.
pub async fn upstream(place: &Place) -> anyhow::Result<Gateway> {
    const UPSTREAM: Adapter = Adapter {
        name: "upstream",
        kind: super::Kind::Bare,
        by_default: false,
        part: Part::Whole,
        launch: |site| {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["--serve-upstream", &site.port.to_string()]);
            Ok(Launch::of(command))
        },
    };
    let port = free_port()?;
    let site = Site {
        place,
        home: PathBuf::new(),
        folder: place.folder.clone(),
        upstream: local(port),
        port,
        metrics_port: 0,
    };
    let launch = (UPSTREAM.launch)(&site)?;
    spawn(&UPSTREAM, launch, place, local(port))?
        .ready(place)
        .await
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
