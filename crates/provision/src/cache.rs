//! The folder that keeps what was fetched.
//!
//! ```text
//! models/<sha256>/model.gguf    a file whose digest was right; stamp.json beside it
//! models/<sha256>/stamp.json    which file it was, with size, time and inode: unchanged means not hashed again
//! partial/<sha256>              what has arrived of a URL, to be resumed
//! engines/<name>-<version>-<python>/   an installed engine, with engine.json: its files, sizes and digests
//! tmp/<key>/                    work in progress of the one process that holds locks/<key>.lock
//! ```

use crate::digest;
use crate::error::ProvisionError;
use crate::progress::Progress;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Time between two tries to take a lock that another process holds.
const LOCK_RETRY: Duration = Duration::from_millis(200);
/// Longest wait for another process that fetches the same thing.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(1800);

/// Where fetched things are kept, and the programs used to fetch them. Shared by every clone and data folder of a user.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
    tools: Tools,
}

/// Programs of this machine that provisioning may use.
#[derive(Clone, Debug)]
pub struct Tools {
    /// Python 3.10 or newer: a path, or a name looked up on the search path.
    pub python: PathBuf,
    /// A `llama-server` that comes before all others.
    pub llama_server: Option<PathBuf>,
    /// Folders searched for `llama-server`.
    pub search_path: OsString,
    /// Added to pip's environment; the user's own pip settings stay in force.
    pub pip_env: BTreeMap<String, String>,
}

impl Tools {
    /// `MADANG_PYTHON` (else `python3`), `MADANG_LLAMA_SERVER` and `PATH`.
    pub fn from_env() -> Self {
        Self {
            python: std::env::var_os("MADANG_PYTHON")
                .map_or_else(|| "python3".into(), PathBuf::from),
            llama_server: std::env::var_os("MADANG_LLAMA_SERVER")
                .filter(|v| !v.is_empty())
                .map(PathBuf::from),
            search_path: std::env::var_os("PATH").unwrap_or_default(),
            pip_env: BTreeMap::new(),
        }
    }

    /// The first file called `program` on the search path that may be executed; a name with a slash is taken as a path.
    pub fn find(&self, program: &str) -> Option<PathBuf> {
        if program.contains('/') {
            return is_executable(Path::new(program)).then(|| program.into());
        }
        std::env::split_paths(&self.search_path)
            .map(|folder| folder.join(program))
            .find(|path| is_executable(path))
    }
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|facts| facts.is_file() && facts.mode() & 0o111 != 0)
}

/// What a file was when its digest was last right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    path: PathBuf,
    bytes: u64,
    modified_ns: i64,
    inode: u64,
}

impl Stamp {
    fn of(path: &Path, facts: &Metadata) -> Self {
        let modified_ns = facts
            .mtime()
            .saturating_mul(1_000_000_000)
            .saturating_add(facts.mtime_nsec());
        Self {
            path: path.to_path_buf(),
            bytes: facts.len(),
            modified_ns,
            inode: facts.ino(),
        }
    }
}

/// Held while one thing is fetched; freed by the system should the process die.
pub(crate) struct Lock {
    _file: File,
}

/// A folder for work in progress, removed when dropped. Only the holder of the key's lock makes one.
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove a scratch folder");
        }
        // The shared parent goes too once nothing else is under way.
        if let Some(parent) = self.path.parent() {
            fs::remove_dir(parent).unwrap_or_default();
        }
    }
}

impl Cache {
    /// `MADANG_CACHE`, else `$XDG_CACHE_HOME/madang`, else `~/.cache/madang`. Creates nothing yet.
    ///
    /// # Errors
    /// [`ProvisionError::Host`] where none of these variables is set.
    pub fn from_env() -> Result<Self, ProvisionError> {
        let folder = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let named = std::env::var_os("MADANG_CACHE")
            .filter(|v| !v.is_empty())
            .map(PathBuf::from);
        let root = named
            .or_else(|| folder("XDG_CACHE_HOME").map(|path| path.join("madang")))
            .or_else(|| folder("HOME").map(|path| path.join(".cache/madang")))
            .ok_or_else(|| {
                ProvisionError::host(
                    "no cache folder: HOME is not set",
                    "name one in MADANG_CACHE",
                )
            })?;
        let root = std::path::absolute(&root).map_err(ProvisionError::cache(&root))?;
        Ok(Self {
            root,
            tools: Tools::from_env(),
        })
    }

    /// A cache at `root`, with the tools of the environment.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            tools: Tools::from_env(),
        }
    }

    /// The same cache with other tools.
    #[must_use]
    pub fn with_tools(mut self, tools: Tools) -> Self {
        self.tools = tools;
        self
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The programs used.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// Weights already here and unchanged since their digest was checked. Reads no content.
    pub fn kept_model(&self, sha256: &str) -> Option<PathBuf> {
        let stamp = self.stamp(sha256)?;
        let facts = fs::metadata(&stamp.path).ok()?;
        (facts.is_file() && Stamp::of(&stamp.path, &facts) == stamp).then_some(stamp.path)
    }

    /// Hashes a kept file whose stamp is gone or does not hold. A wrong one of our own is removed. Blocks.
    pub(crate) fn recheck_model(&self, sha256: &str) -> Option<PathBuf> {
        let stamped = self.stamp(sha256).map(|stamp| stamp.path);
        let own = ["model.gguf", "model.bin"].map(|name| self.model_folder(sha256).join(name));
        for path in stamped.into_iter().chain(own.clone()) {
            match digest::of_file(&path) {
                Ok((found, _)) if found == sha256 => {
                    if let Err(error) = self.stamp_model(sha256, &path) {
                        tracing::warn!(%error, "cannot note that a model file was checked: it is hashed again at the next start");
                    }
                    return Some(path);
                }
                Ok((found, _)) if own.contains(&path) => {
                    tracing::warn!(path = %path.display(), found, "a kept model file has changed: it is fetched again");
                    fs::remove_file(&path).unwrap_or_default();
                }
                Ok(_) | Err(_) => {}
            }
        }
        None
    }

    /// Takes a finished, checked file of `tmp/` into the cache. Blocks.
    pub(crate) fn publish_model(
        &self,
        sha256: &str,
        finished: &Path,
    ) -> Result<PathBuf, ProvisionError> {
        let folder = self.model_folder(sha256);
        fs::create_dir_all(&folder).map_err(ProvisionError::cache(&folder))?;
        let mut start = [0; 4];
        let is_gguf = File::open(finished)
            .and_then(|mut file| io::Read::read_exact(&mut file, &mut start))
            .is_ok()
            && &start == b"GGUF";
        let path = folder.join(if is_gguf { "model.gguf" } else { "model.bin" });
        fs::rename(finished, &path).map_err(ProvisionError::cache(&path))?;
        self.stamp_model(sha256, &path)?;
        Ok(path)
    }

    /// Remembers that `path` has this digest. Blocks.
    pub(crate) fn stamp_model(&self, sha256: &str, path: &Path) -> Result<(), ProvisionError> {
        let facts = fs::metadata(path).map_err(ProvisionError::cache(path))?;
        let stamp = Stamp::of(path, &facts);
        let folder = self.model_folder(sha256);
        fs::create_dir_all(&folder).map_err(ProvisionError::cache(&folder))?;
        write_json(&folder.join("stamp.json"), &stamp)
    }

    fn stamp(&self, sha256: &str) -> Option<Stamp> {
        read_json(&self.model_folder(sha256).join("stamp.json"))
    }

    fn model_folder(&self, sha256: &str) -> PathBuf {
        self.root.join("models").join(sha256)
    }

    /// Where the bytes of a URL gather.
    pub(crate) fn partial(&self, sha256: &str) -> Result<PathBuf, ProvisionError> {
        let folder = self.root.join("partial");
        fs::create_dir_all(&folder).map_err(ProvisionError::cache(&folder))?;
        Ok(folder.join(sha256))
    }

    pub(crate) fn engine_folder(&self, key: &str) -> PathBuf {
        self.root.join("engines").join(key)
    }

    /// Waits until no other process fetches `key`. `what` names it in messages.
    pub(crate) async fn lock(
        &self,
        key: &str,
        what: &str,
        progress: &dyn Progress,
    ) -> Result<Lock, ProvisionError> {
        let folder = self.root.join("locks");
        fs::create_dir_all(&folder).map_err(ProvisionError::cache(&folder))?;
        let path = folder.join(format!("{key}.lock"));
        let file = File::create(&path).map_err(ProvisionError::cache(&path))?;
        let start = Instant::now();
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(TryLockError::Error(error)) => return Err(ProvisionError::cache(&path)(error)),
                Err(TryLockError::WouldBlock) if start.elapsed() > LOCK_WAIT_MAX => {
                    return Err(ProvisionError::Busy {
                        what: what.to_owned(),
                        waited_s: start.elapsed().as_secs(),
                    });
                }
                Err(TryLockError::WouldBlock) => {}
            }
            if !told {
                progress.note(&format!(
                    "another process is fetching {what}: waiting for it"
                ));
                told = true;
            }
            tokio::time::sleep(LOCK_RETRY).await;
        }
    }

    /// An empty folder for work on `key`; what a killed process left there goes first. Call with the lock held.
    pub(crate) fn scratch(&self, key: &str) -> Result<Scratch, ProvisionError> {
        let path = self.root.join("tmp").join(key);
        if let Err(error) = fs::remove_dir_all(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(ProvisionError::cache(&path)(error));
        }
        // Another key's scratch may remove the shared parent in between: the second try makes it again.
        fs::create_dir_all(&path)
            .or_else(|_| fs::create_dir_all(&path))
            .map_err(ProvisionError::cache(&path))?;
        Ok(Scratch { path })
    }
}

/// Writes under another name first, so that a reader sees the old or the new content, never a half.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> Result<(), ProvisionError> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(name);
    fs::write(&beside, content)
        .and_then(|()| fs::rename(&beside, path))
        .map_err(ProvisionError::cache(path))
}

pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), ProvisionError> {
    let text = serde_json::to_vec_pretty(value)
        .map_err(io::Error::other)
        .map_err(ProvisionError::cache(path))?;
    write_atomically(path, &text)
}

pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Runs `work` where it may block.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
