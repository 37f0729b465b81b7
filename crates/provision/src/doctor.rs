//! `madang doctor`: what this machine has, what it lacks, and the command that mends it. Changes nothing.

use crate::cache::Cache;
use crate::engine;
use crate::needs::{builtins, launched_weights, launches, needs};
use crate::progress::megabytes;
use crate::python::Python;
use crate::recipe::recipe;
use madang_fleet::model::{Builtin, Fleet, KeySource, LaunchWhat, WeightSource};
use serde::Serialize;
use std::fmt;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Free disk beyond what is to be fetched: for the wheel being unpacked, records and logs.
const DISK_SPARE_BYTES: u64 = 300_000_000;
/// Memory of an engine beyond its weights: KV cache and work space of a small model.
const ENGINE_SPARE_BYTES: u64 = 700_000_000;
/// Memory that the embedding engine takes.
const E5_BYTES: u64 = 100_000_000;

/// What `doctor` looks at.
#[derive(Clone, Copy, Debug)]
pub struct DoctorOptions<'a> {
    /// The fleet to be served; without one, what the built-in engines need is checked.
    pub fleet: Option<&'a Fleet>,
    /// Where fetched things are kept.
    pub cache: &'a Cache,
    /// The data folder.
    pub data_dir: &'a Path,
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Hash everything that is kept once more.
    pub deep: bool,
}

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// Whether it is in order.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// The command or setting that mends it, where something is wrong.
    pub remedy: Option<String>,
}

/// Whether a thing is in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// In order.
    Ok,
    /// It will work, with something to know.
    Warn,
    /// It will not work.
    Fail,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Ok => "ok  ",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
        };
        write!(f, "{verdict}  {}: {}", self.name, self.found)?;
        match &self.remedy {
            Some(remedy) => write!(f, "\n      remedy: {remedy}"),
            None => Ok(()),
        }
    }
}

fn ok(name: impl Into<String>, found: impl Into<String>) -> Check {
    Check {
        name: name.into(),
        verdict: Verdict::Ok,
        found: found.into(),
        remedy: None,
    }
}

fn not_ok(
    verdict: Verdict,
    name: impl Into<String>,
    found: impl Into<String>,
    remedy: impl Into<String>,
) -> Check {
    Check {
        name: name.into(),
        verdict,
        found: found.into(),
        remedy: Some(remedy.into()),
    }
}

/// Looks at everything; the checks come in a fixed order. Takes about a second, with `deep` as long as hashing takes.
pub async fn doctor(options: DoctorOptions<'_>) -> Vec<Check> {
    let mut checks = vec![];
    python_checks(options, &mut checks).await;
    checks.push(processor(options));
    checks.push(memory(options.fleet));
    checks.push(writable(
        "cache folder",
        options.cache.root(),
        "name another folder in MADANG_CACHE",
    ));
    checks.push(writable(
        "data folder",
        options.data_dir,
        "name another folder with --data",
    ));
    checks.push(port(options.listen));
    fetch_checks(options, &mut checks).await;
    if options.deep {
        deep_checks(options, &mut checks).await;
    }
    if let Some(fleet) = options.fleet {
        key_checks(fleet, &mut checks);
        program_checks(fleet, options.cache, &mut checks);
    }
    checks
}

/// Whether Python is needed at all, and which engine needs the system's libgomp.
fn wants_python(fleet: Option<&Fleet>, cache: &Cache) -> bool {
    let Some(fleet) = fleet else { return true };
    let by_package = |source: &WeightSource| matches!(source, WeightSource::Package { .. });
    let own_llama =
        engine::own_llama_server(cache, Builtin::LlamaCpp).is_ok_and(|found| found.is_some());
    builtins(fleet)
        .iter()
        .any(|&builtin| builtin == Builtin::E5 || !own_llama)
        || launched_weights(fleet).values().any(|weights| {
            cache.kept_model(&weights.sha256).is_none() && weights.sources.iter().any(by_package)
        })
}

async fn python_checks(options: DoctorOptions<'_>, checks: &mut Vec<Check>) {
    if !wants_python(options.fleet, options.cache) {
        checks.push(ok("python", "not needed by this fleet"));
        return;
    }
    let python = match Python::ask(options.cache.tools()).await {
        Ok(python) => python,
        Err(failure) => {
            checks.push(not_ok(
                Verdict::Fail,
                "python",
                failure.to_string(),
                failure.kind.remedy(),
            ));
            return;
        }
    };
    checks.push(ok(
        "python",
        format!("3.{} at {}", python.minor, python.program.display()),
    ));
    checks.push(match &python.pip {
        Some(version) => ok("pip", version.clone()),
        None => {
            let remedy = crate::error::FailureKind::NoPip.remedy();
            not_ok(
                Verdict::Fail,
                "pip",
                format!("{} has none", python.program.display()),
                remedy,
            )
        }
    });
    let used = options
        .fleet
        .map_or_else(|| vec![Builtin::LlamaCpp], builtins);
    if used.iter().any(|&builtin| recipe(builtin).libgomp) {
        let loads = python
            .runs(Path::new("/"), "import ctypes; ctypes.CDLL('libgomp.so.1')")
            .await;
        checks.push(match loads {
            Ok(()) => ok("libgomp1", "found"),
            Err(said) => not_ok(Verdict::Fail, "libgomp1", said, "apt-get install libgomp1"),
        });
    }
}

fn processor(options: DoctorOptions<'_>) -> Check {
    let built_in = options
        .fleet
        .is_none_or(|fleet| !builtins(fleet).is_empty());
    let arch = std::env::consts::ARCH;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if arch == "x86_64" && engine::has_avx2() {
        ok("processor", format!("{arch} with AVX2, {cores} cores"))
    } else if built_in {
        let remedy = "build llama-server for this machine and name it in MADANG_LLAMA_SERVER";
        not_ok(
            Verdict::Fail,
            "processor",
            format!("{arch} without AVX2: the built-in engines do not run"),
            remedy,
        )
    } else {
        ok("processor", format!("{arch}, {cores} cores"))
    }
}

fn memory(fleet: Option<&Fleet>) -> Check {
    let wanted = match fleet {
        None => ENGINE_SPARE_BYTES + 500_000_000,
        Some(fleet) => launches(fleet)
            .map(|(id, launch)| match launch.what {
                LaunchWhat::Builtin(Builtin::E5) => E5_BYTES,
                LaunchWhat::Builtin(Builtin::LlamaCpp) => {
                    let weights = launched_weights(fleet)
                        .get(id)
                        .and_then(|weights| weights.bytes);
                    weights.unwrap_or(0).saturating_add(ENGINE_SPARE_BYTES)
                }
                // A command's memory is its own matter: it may sit on an accelerator.
                LaunchWhat::Command(_) => 0,
            })
            .fold(0, u64::saturating_add),
    };
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes = |line: &str| line.split_whitespace().nth(1)?.parse::<u64>().ok();
    match text
        .lines()
        .find(|line| line.starts_with("MemAvailable:"))
        .and_then(kilobytes)
    {
        None => not_ok(
            Verdict::Warn,
            "memory",
            "cannot be read from /proc/meminfo",
            "see that enough is free",
        ),
        Some(free) if free.saturating_mul(1024) < wanted => {
            let found = format!(
                "{} free, about {} wanted",
                megabytes(free * 1024),
                megabytes(wanted)
            );
            not_ok(
                Verdict::Warn,
                "memory",
                found,
                "end other programs, or lower slots and context_tokens",
            )
        }
        Some(free) => ok(
            "memory",
            format!(
                "{} free, about {} wanted",
                megabytes(free * 1024),
                megabytes(wanted)
            ),
        ),
    }
}

/// The folder itself, or the nearest one above it that exists.
fn nearest(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    absolute
        .ancestors()
        .find(|folder| folder.exists())
        .unwrap_or(Path::new("/"))
        .to_path_buf()
}

fn writable(name: &str, folder: &Path, remedy: &str) -> Check {
    let place = nearest(folder);
    let probe = place.join(format!(".madang-doctor-{}", std::process::id()));
    match fs::File::create_new(&probe).and_then(|_| fs::remove_file(&probe)) {
        Ok(()) if place == folder => ok(name, format!("{} can be written", folder.display())),
        Ok(()) => ok(name, format!("{} can be made", folder.display())),
        Err(error) => {
            let found = format!("{}: {error} (at {})", folder.display(), place.display());
            not_ok(
                Verdict::Fail,
                name,
                found,
                format!("chown or chmod {}, or {remedy}", place.display()),
            )
        }
    }
}

fn port(listen: SocketAddr) -> Check {
    match TcpListener::bind(listen) {
        Ok(_) => ok("port", format!("{listen} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let found = format!("{listen} is in use, perhaps by a madang that runs already");
            let remedy = format!(
                "end the program that `ss -ltnp 'sport = :{}'` shows, or choose another with --listen",
                listen.port()
            );
            not_ok(Verdict::Fail, "port", found, remedy)
        }
        Err(error) => not_ok(
            Verdict::Fail,
            "port",
            format!("{listen}: {error}"),
            "choose another address with --listen",
        ),
    }
}

async fn fetch_checks(options: DoctorOptions<'_>, checks: &mut Vec<Check>) {
    let Some(fleet) = options.fleet else { return };
    let mut missing_bytes = 0u64;
    for need in needs(options.cache, fleet).await {
        missing_bytes = missing_bytes.saturating_add(need.disk_bytes);
        checks.push(if need.present {
            ok(need.what, "present")
        } else {
            let found = match need.fetch_bytes {
                0 => "not yet checked in the cache".to_owned(),
                bytes => format!("{} to fetch", megabytes(bytes)),
            };
            not_ok(Verdict::Warn, need.what, found, "madang up fetches it")
        });
    }
    let wanted = missing_bytes.saturating_add(DISK_SPARE_BYTES);
    let place = nearest(options.cache.root());
    checks.push(match rustix::fs::statvfs(&place) {
        Err(error) => not_ok(
            Verdict::Warn,
            "disk",
            format!("{}: {error}", place.display()),
            "see that enough is free",
        ),
        Ok(facts) => {
            let free = facts.f_bavail.saturating_mul(facts.f_frsize);
            let found = format!(
                "{} free at {}, {} wanted",
                megabytes(free),
                place.display(),
                megabytes(wanted)
            );
            match free < wanted {
                true => not_ok(
                    Verdict::Fail,
                    "disk",
                    found,
                    "free space, or name a folder on a larger disk in MADANG_CACHE",
                ),
                false => ok("disk", found),
            }
        }
    });
}

/// Reads every kept byte that this fleet uses.
async fn deep_checks(options: DoctorOptions<'_>, checks: &mut Vec<Check>) {
    let Some(fleet) = options.fleet else { return };
    let refetch = "madang up fetches it again";
    for (id, weights) in launched_weights(fleet) {
        let Some(path) = options.cache.kept_model(&weights.sha256) else {
            continue;
        };
        let name = format!("digest of {id}");
        let (read, sha256) = (path.clone(), weights.sha256.clone());
        let hashed = crate::cache::blocking(move || crate::digest::of_file(&read)).await;
        checks.push(match hashed {
            Ok((found, _)) if found == sha256 => ok(name, found),
            Ok((found, _)) => {
                let remedy = format!("rm {} ; {refetch}", path.display());
                not_ok(
                    Verdict::Fail,
                    name,
                    format!("{found}, where {sha256} is wanted"),
                    remedy,
                )
            }
            Err(error) => not_ok(Verdict::Fail, name, error.to_string(), refetch),
        });
    }
    let Ok(python) = Python::ask(options.cache.tools()).await else {
        return;
    };
    for builtin in builtins(fleet) {
        let Some(folder) = engine::installed(options.cache, builtin, &python) else {
            continue;
        };
        let name = format!("digests of {}", recipe(builtin).title);
        let read = folder.clone();
        let changed = crate::cache::blocking(move || engine::changed_files(&read)).await;
        checks.push(match changed.first() {
            None => ok(name, "every file as installed"),
            Some(first) => {
                let found = format!(
                    "{} files changed, the first {}",
                    changed.len(),
                    first.display()
                );
                not_ok(
                    Verdict::Fail,
                    name,
                    found,
                    format!("rm -r {} ; {refetch}", folder.display()),
                )
            }
        });
    }
}

fn key_checks(fleet: &Fleet, checks: &mut Vec<Check>) {
    let upstreams = fleet
        .upstreams
        .iter()
        .map(|(id, upstream)| (format!("key of upstream {id}"), upstream.key.as_ref()));
    let sign_in = fleet.sign_in.iter();
    let sign_in = sign_in.map(|sign_in| ("key of sign_in".to_owned(), sign_in.key.as_ref()));
    let replicas = fleet.replicas.iter().filter_map(|(id, replica)| {
        Some((format!("key of replica {id}"), replica.key_file.as_ref()?))
    });
    for (name, source) in upstreams.chain(sign_in) {
        match source {
            None => {}
            Some(KeySource::File(path)) => checks.push(key_check(name, path)),
            Some(KeySource::Env(variable)) => checks.push(env_check(name, variable)),
        }
    }
    for (name, path) in replicas {
        checks.push(key_check(name, path));
    }
}

fn env_check(name: String, variable: &str) -> Check {
    if std::env::var(variable).is_ok_and(|key| !key.trim().is_empty()) {
        return ok(name, format!("in ${variable}"));
    }
    not_ok(
        Verdict::Fail,
        name,
        format!("${variable} is not set here"),
        format!("export {variable}=…, where `madang up` is started"),
    )
}

fn key_check(name: String, path: &Path) -> Check {
    let shown = path.display();
    match fs::File::open(path).and_then(|file| file.metadata()) {
        Err(error) => not_ok(
            Verdict::Fail,
            name,
            format!("{shown}: {error}"),
            format!("write the key to {shown}; chmod 600 {shown}"),
        ),
        Ok(facts) if facts.len() == 0 => not_ok(
            Verdict::Fail,
            name,
            format!("{shown} is empty"),
            format!("write the key to {shown}"),
        ),
        Ok(facts) if facts.mode() & 0o077 != 0 => {
            let found = format!(
                "{shown} can be read by others (mode {:o})",
                facts.mode() & 0o777
            );
            not_ok(Verdict::Warn, name, found, format!("chmod 600 {shown}"))
        }
        Ok(_) => ok(name, format!("{shown} can be read by its owner alone")),
    }
}

fn program_checks(fleet: &Fleet, cache: &Cache, checks: &mut Vec<Check>) {
    for (id, launch) in launches(fleet) {
        let LaunchWhat::Command(command) = &launch.what else {
            continue;
        };
        let Some(program) = command.first() else {
            continue;
        };
        let name = format!("program of {id}");
        checks.push(match cache.tools().find(program) {
            Some(path) => ok(name, path.display().to_string()),
            None => not_ok(
                Verdict::Fail,
                name,
                format!("{program} is not on PATH or cannot be executed"),
                format!("install {program}, or name its full path in the replica's launch.command"),
            ),
        });
    }
}
