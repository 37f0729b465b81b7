//! The data folder: made if absent, held by one Madang at a time, and where commands find the running server.

use anyhow::{Context, bail};
use madang_types::GatewayId;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Written beside the books while a server runs.
const SERVER_FILE: &str = "server.json";

/// Holds the gateway's name.
const GATEWAY_FILE: &str = "gateway";

/// How commands reach the running server.
#[derive(Debug, Serialize, Deserialize)]
pub struct ServerFile {
    /// Base URL.
    pub url: String,
    /// Process id.
    pub pid: u32,
}

/// A data folder that nobody else uses.
pub struct DataFolder {
    path: PathBuf,
    listen: Option<SocketAddr>,
    /// Held until the process ends; the kernel lets go of it even after `kill -9`.
    _lock: File,
}

impl DataFolder {
    /// Makes the folder if it is absent (mode 0700) and takes its lock.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| {
                format!("cannot make the data folder {shown}; choose another with --data PATH")
            })?;
        let path = path
            .canonicalize()
            .with_context(|| format!("cannot find the data folder {shown}"))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join("lock"))
            .with_context(|| {
                format!("cannot write in the data folder {shown}; choose another with --data PATH")
            })?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let owner = match read_server_file(&path) {
                Some(server) => format!(
                    "Madang (process {}) serves it at {}",
                    server.pid, server.url
                ),
                None => "another Madang is starting on it".into(),
            };
            bail!(
                "the data folder {shown} is in use: {owner}. Stop that one, or choose another folder with --data PATH"
            );
        }
        Ok(Self {
            path,
            listen: None,
            _lock: lock,
        })
    }

    /// Tells commands on this machine where the server is.
    pub fn announce(&mut self, listen: SocketAddr) -> anyhow::Result<()> {
        self.listen = Some(listen);
        let server = ServerFile {
            url: format!("http://{}", reachable(listen)),
            pid: std::process::id(),
        };
        write_private(
            &self.path.join(SERVER_FILE),
            &serde_json::to_string(&server)?,
        )
    }

    /// The folder, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name that the gateway of this folder has among those that share its books: drawn at the first start. Two folders of one
    /// name, as where one was copied, would take each other's rights away.
    pub fn gateway(&self) -> anyhow::Result<GatewayId> {
        let path = self.path.join(GATEWAY_FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let mut drawn = [0; 4];
                getrandom::fill(&mut drawn).context("no random numbers can be had")?;
                let text = format!("gw-{:08x}", u32::from_be_bytes(drawn));
                write_private(&path, &text)?;
                text
            }
            Err(error) => return Err(error).context(format!("cannot read {}", path.display())),
        };
        let named = text.trim_ascii().parse();
        named.with_context(|| format!("{} holds no gateway's name", path.display()))
    }

    /// Where clients on this machine reach the server.
    pub fn listen(&self) -> String {
        self.listen
            .map(|listen| reachable(listen).to_string())
            .unwrap_or_default()
    }
}

impl Drop for DataFolder {
    /// However the server ends, its address goes first and the lock with the process.
    fn drop(&mut self) {
        match std::fs::remove_file(self.path.join(SERVER_FILE)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(%error, "the file that names the server was not removed");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

/// An address that listens everywhere is reached at the loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let mut address = listen;
    if listen.ip().is_unspecified() {
        address.set_ip(if listen.is_ipv4() {
            [127, 0, 0, 1].into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    address
}

fn read_server_file(path: &Path) -> Option<ServerFile> {
    let text = std::fs::read_to_string(path.join(SERVER_FILE)).ok()?;
    serde_json::from_str(&text).ok()
}

/// Writes a file that only its owner reads, whole or not at all.
pub fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let parts = path.with_extension("part");
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&parts)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&parts, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
