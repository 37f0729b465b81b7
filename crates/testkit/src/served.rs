//! Servers that a program in `scripts` serves in a folder, for as long as somebody holds that folder's lock.

use anyhow::{Context, ensure};
use std::fs::{File, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// The repository's root.
pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Holds the folder's server: it ends when nobody does.
pub(crate) fn hold(folder: &Path) -> anyhow::Result<File> {
    let lock = File::create(folder.join("lock"))?;
    lock.lock_shared()?;
    Ok(lock)
}

/// A server that all tests of this checkout share.
pub(crate) struct Shared {
    pub folder: PathBuf,
    /// Holds it.
    pub lock: File,
    /// Whoever has it alone looks whether the server is there, and starts it where it is not.
    pub turn: File,
}

impl Shared {
    /// The one of that name, once nobody else is starting it.
    pub(crate) fn hold(name: &str) -> anyhow::Result<Self> {
        Self::hold_in(&Path::new(ROOT).join("target"), name)
    }

    /// The same in a folder that users without rights may enter: they may not enter everybody's checkout.
    pub(crate) fn hold_open(name: &str) -> anyhow::Result<Self> {
        let mut hash = DefaultHasher::new();
        Path::new(ROOT).canonicalize()?.hash(&mut hash);
        let place = std::env::temp_dir().join(format!("madang-{:016x}", hash.finish()));
        std::fs::create_dir_all(&place)?;
        let about = std::fs::metadata(&place)?;
        let own = std::fs::metadata("/proc/self")?.uid();
        ensure!(about.uid() == own, "{} is another user's", place.display());
        std::fs::set_permissions(&place, Permissions::from_mode(0o755))?;
        Self::hold_in(&place, name)
    }

    fn hold_in(place: &Path, name: &str) -> anyhow::Result<Self> {
        let folder = place.join(name);
        std::fs::create_dir_all(&folder)?;
        let folder = folder.canonicalize()?;
        let lock = hold(&folder)?;
        let turn = File::create(folder.join("starting"))?;
        turn.lock()?;
        Ok(Self { folder, lock, turn })
    }
}

/// A program of `scripts`, and what it says.
pub(crate) struct Script {
    child: Child,
    words: BufReader<ChildStdout>,
}

impl Script {
    /// Starts it apart from this process, whose end must not be its own before it has cleaned up.
    pub(crate) fn start(name: &str, folder: &Path, args: &[&str]) -> anyhow::Result<Self> {
        let said = File::create(folder.join("said"))?;
        let mut command = Command::new(Path::new(ROOT).join("scripts").join(name));
        command.arg(folder).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let child = command.stderr(said).process_group(0).spawn();
        let mut child = child.with_context(|| format!("scripts/{name} cannot be started"))?;
        let words = child.stdout.take().context("the output is piped")?;
        let words = BufReader::new(words);
        Ok(Self { child, words })
    }

    /// Starts it and waits until its server, which is called `what`, is up; `None` where this machine can have none, which is told.
    pub(crate) fn start_if_possible(
        name: &str,
        (folder, args): (&Path, &[&str]),
        what: &str,
    ) -> anyhow::Result<Option<Self>> {
        let mut script = Self::start(name, folder, args)?;
        let said = script.word()?;
        if let Some(why) = said.strip_prefix("no: ") {
            let told = format!("skipped, there is no {what}: {why}\n");
            std::io::stderr().write_all(told.as_bytes())?;
            return Ok(None);
        }
        let told = std::fs::read_to_string(folder.join("said")).unwrap_or_default();
        ensure!(said == "up", "{what} does not start: {told}");
        Ok(Some(script))
    }

    /// What it says next.
    fn word(&mut self) -> anyhow::Result<String> {
        let mut said = String::new();
        self.words.read_line(&mut said)?;
        Ok(said.trim_end().to_owned())
    }

    /// Waits until it says so.
    pub(crate) fn wait(&mut self, word: &str, folder: &Path) -> anyhow::Result<()> {
        let said = self.word()?;
        let read = |name| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        ensure!(
            said == word,
            "the server is not {word}: {}{}",
            read("said"),
            read("log")
        );
        Ok(())
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) {
        self.child.wait().ok();
    }
}
