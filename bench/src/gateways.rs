//! The programs that are measured: how each is started, reached and stopped.

use crate::args::Args;
use crate::client::Client;
use crate::process;
use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Time for a program to answer its first request.
const START_MAX: Duration = Duration::from_secs(30);
/// Time for a program to end after SIGTERM.
const STOP_MAX: Duration = Duration::from_secs(40);
const LOOK: Duration = Duration::from_millis(20);
/// Requests at once that Madang gives the upstream.
const SLOTS: usize = 4096;
/// nginx's connections for a worker, to both sides; Madang's clients.
const CONNECTIONS: usize = 32_768;

/// Where things are.
pub struct Place {
    /// For data folders, logs and configuration; removed at the end.
    pub folder: PathBuf,
    madang: PathBuf,
    nginx: PathBuf,
    slots: usize,
    _kept: TempDir,
}

impl Place {
    /// Makes the folder.
    ///
    /// # Errors
    /// It cannot be made, or Madang's binary is not there.
    pub fn new(args: &Args) -> anyhow::Result<Self> {
        fs::create_dir_all(&args.folder)?;
        let kept = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in(&args.folder)?;
        let folder = kept.path().canonicalize()?;
        Ok(Self {
            folder,
            madang: args.madang.clone(),
            nginx: args.nginx.clone(),
            slots: SLOTS.max(args.streams.unwrap_or(0) + 64),
            _kept: kept,
        })
    }

    /// What both programs say their versions are, for the report.
    pub fn versions(&self) -> String {
        let said = |program: &Path, flag: &str| {
            let output = std::process::Command::new(program).arg(flag).output();
            let text = output
                .map(|o| [o.stdout, o.stderr].concat())
                .unwrap_or_default();
            String::from_utf8_lossy(&text)
                .lines()
                .next()
                .unwrap_or("absent")
                .to_owned()
        };
        format!(
            "{}; {}",
            said(&self.madang, "--version"),
            said(&self.nginx, "-v")
        )
    }

    fn log(&self, name: &str) -> anyhow::Result<File> {
        Ok(File::create(self.folder.join(format!("{name}.log")))?)
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
    /// The processes whose CPU and memory count; none for the bare upstream.
    pub pids: Vec<u32>,
    child: Option<Child>,
}

impl Gateway {
    /// Ends it as an operator would, and waits.
    pub async fn stop(self) {
        let Some(mut child) = self.child else {
            return;
        };
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        // A program that is gone already needs no signal; one that does not end is killed on drop.
        if pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok()) {
            drop(timeout(STOP_MAX, child.wait()).await);
        }
    }
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Starts this binary as the upstream.
///
/// # Errors
/// It does not answer.
pub async fn start_upstream(place: &Place) -> anyhow::Result<Gateway> {
    let port = free_port()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--serve-upstream", &port.to_string()]);
    let child = spawn(&mut command, place.log("upstream")?)?;
    let mut upstream = gateway("upstream", local(port), child);
    ready(&mut upstream, "/health").await?;
    Ok(upstream)
}

/// Starts the gateway of that name in front of the upstream.
///
/// # Errors
/// It does not start, or there is none of that name.
pub async fn start(name: &str, place: &Place, upstream: &Gateway) -> anyhow::Result<Gateway> {
    match name {
        "direct" => Ok(Gateway {
            name: name.into(),
            address: upstream.address,
            key: "none".into(),
            pids: Vec::new(),
            child: None,
        }),
        "nginx" => start_nginx(place, upstream.address).await,
        "madang" => start_madang(place, upstream.address).await,
        _ => bail!("no gateway is called '{name}'; there are direct, nginx, madang"),
    }
}

fn gateway(name: &str, address: SocketAddr, child: Child) -> Gateway {
    Gateway {
        name: name.into(),
        address,
        key: "mdg_bench_0".into(),
        pids: child.id().into_iter().collect(),
        child: Some(child),
    }
}

fn spawn(command: &mut Command, log: File) -> anyhow::Result<Child> {
    command
        .stdin(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {:?}", command.as_std().get_program()))
}

/// Waits until a GET of `path` is answered with 200.
async fn ready(gateway: &mut Gateway, path: &str) -> anyhow::Result<()> {
    let asking = async {
        loop {
            if let Some(child) = &mut gateway.child
                && let Some(status) = child.try_wait()?
            {
                bail!("it ended: {status}");
            }
            if let Ok(client) = Client::connect(gateway.address).await
                && matches!(client.status(path).await, Ok(200))
            {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    timeout(START_MAX, asking)
        .await
        .context("it answers no request")?
}

/// A plain proxy as operators write one for event streams: keep-alive to the upstream, no buffering of streams (the
/// upstream's `x-accel-buffering` says which), bodies in memory, no access log.
async fn start_nginx(place: &Place, upstream: SocketAddr) -> anyhow::Result<Gateway> {
    let port = free_port()?;
    let folder = place.folder.join("nginx");
    fs::create_dir_all(folder.join("temp"))?;
    let user = if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    let config = format!(
        "{user} daemon off; worker_processes 1; worker_rlimit_nofile {CONNECTIONS}; pid nginx.pid;
error_log error.log;
events {{ worker_connections {CONNECTIONS}; }}
http {{
  access_log off;
  client_body_temp_path temp/body; proxy_temp_path temp/proxy; fastcgi_temp_path temp/fastcgi;
  uwsgi_temp_path temp/uwsgi; scgi_temp_path temp/scgi;
  client_max_body_size 16m; client_body_buffer_size 1m;
  keepalive_requests 1000000; tcp_nodelay on;
  upstream engine {{ server {upstream}; keepalive 256; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://engine;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_read_timeout 900s;
    }}
  }}
}}
"
    );
    let config_path = folder.join("nginx.conf");
    fs::write(&config_path, config)?;
    let mut command = Command::new(&place.nginx);
    command
        .arg("-p")
        .arg(&folder)
        .arg("-c")
        .arg(&config_path)
        .args(["-e", "error.log"])
        .stdout(Stdio::null());
    let child = spawn(&mut command, place.log("nginx")?)?;
    let mut nginx = gateway("nginx", local(port), child);
    ready(&mut nginx, "/health").await?;
    let workers: Vec<u32> = nginx
        .pids
        .iter()
        .copied()
        .flat_map(process::children)
        .collect();
    ensure!(workers.len() == 1, "nginx runs {} workers", workers.len());
    nginx.pids.extend(workers);
    Ok(nginx)
}

/// Madang as `madang up` runs it: keys, the decision core, metrics, logs at their default, every request durable in
/// the books before its last byte.
async fn start_madang(place: &Place, upstream: SocketAddr) -> anyhow::Result<Gateway> {
    let port = free_port()?;
    let fleet = format!(
        "[[site]]
id = \"here\"
country = \"KR\"

[[model]]
id = \"bench\"
context_tokens = 131072

[[replica]]
id = \"upstream\"
site = \"here\"
model = \"bench\"
url = \"http://{upstream}\"
engine = \"openai\"
slots = {}

[[tenant]]
id = \"load\"

[limits]
connections_max = {CONNECTIONS}
stream_idle_ms_max = 900000
",
        place.slots
    );
    let fleet_path = place.folder.join("fleet.toml");
    fs::write(&fleet_path, fleet)?;
    let mut command = Command::new(&place.madang);
    command
        .args([
            "up",
            "--json",
            "--listen",
            &local(port).to_string(),
            "--fleet",
        ])
        .arg(&fleet_path)
        .arg("--data")
        .arg(place.folder.join("madang-data"))
        .stdout(Stdio::piped());
    let child = spawn(&mut command, place.log("madang")?)?;
    let mut madang = gateway("madang", local(port), child);
    madang.key = tenant_key(&mut madang)
        .await
        .with_context(|| fs::read_to_string(place.folder.join("madang.log")).unwrap_or_default())?;
    ready(&mut madang, "/readyz").await?;
    Ok(madang)
}

/// The key that the first start prints.
async fn tenant_key(madang: &mut Gateway) -> anyhow::Result<String> {
    let stdout = madang.child.as_mut().and_then(|child| child.stdout.take());
    let mut lines = BufReader::new(stdout.context("no output")?).lines();
    let line = timeout(START_MAX, lines.next_line())
        .await
        .context("it prints nothing")??;
    let facts: serde_json::Value = serde_json::from_str(&line.context("it ended")?)?;
    let key = facts["tenant_key"].as_str().context("it prints no key")?;
    Ok(key.to_owned())
}
