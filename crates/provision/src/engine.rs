//! Built-in engines: pinned packages with pinned digests, installed into the cache and run by a small program of ours.

use crate::cache::{Cache, blocking, read_json, write_atomically, write_json};
use crate::digest;
use crate::error::{FailureKind, ProvisionError, SourceFailure};
use crate::pip::{self, Pinned, Verb};
use crate::progress::Progress;
use crate::python::Python;
use crate::recipe::{Pin, Recipe, recipe};
use madang_fleet::model::Builtin;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How an engine is started, but for what differs from replica to replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineCommand {
    /// The program.
    pub program: PathBuf,
    /// Its first arguments: the interpreter's and the launch program of ours, where there is one.
    pub lead: Vec<String>,
    /// Added to its environment.
    pub env: BTreeMap<String, String>,
    /// Which engine.
    pub builtin: Builtin,
    /// Where it was found.
    pub origin: EngineOrigin,
}

/// Where an engine was found. The first three are in order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineOrigin {
    /// Named in `MADANG_LLAMA_SERVER`.
    Named,
    /// `llama-server` on the search path.
    SearchPath,
    /// Installed before in the cache.
    Cached,
    /// Installed just now.
    Fetched,
}

/// What differs from replica to replica of one engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineShape {
    /// Sequences at once.
    pub slots: u32,
    /// Longest prompt and answer together, of each slot.
    pub context_tokens: u64,
    /// Where it listens.
    pub listen: Listen,
}

/// Where an engine listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listen {
    /// On 127.0.0.1 at `{port}`.
    #[default]
    Port,
    /// On the unix socket `{socket}`.
    Socket,
}

impl EngineCommand {
    /// The whole command line. `{port}` or `{socket}`, `{model_path}`, `{served_name}` and `{slots}` are left for the
    /// launcher to fill in.
    ///
    /// llama.cpp divides its context between its slots, so it is asked for `slots` times `context_tokens`.
    pub fn command(&self, shape: EngineShape) -> Vec<String> {
        let all_tokens = u64::from(shape.slots.max(1))
            .saturating_mul(shape.context_tokens)
            .to_string();
        let arguments: Vec<&str> = match (self.builtin, self.is_shim(), shape.listen) {
            (Builtin::E5, _, Listen::Port) => vec!["--alias", "{served_name}", "--port", "{port}"],
            (Builtin::E5, _, Listen::Socket) => {
                vec!["--alias", "{served_name}", "--socket", "{socket}"]
            }
            (Builtin::LlamaCpp, shim, listen) => {
                let mut arguments = vec!["--model", "{model_path}", "--alias", "{served_name}"];
                arguments.extend(match (shim, listen) {
                    (_, Listen::Port) => ["--port", "{port}"],
                    (true, Listen::Socket) => ["--socket", "{socket}"],
                    (false, Listen::Socket) => ["--host", "{socket}"],
                });
                if shim {
                    arguments.extend(["--slots", "{slots}", "--context", &all_tokens]);
                } else {
                    if listen == Listen::Port {
                        arguments.extend(["--host", "127.0.0.1"]);
                    }
                    arguments.extend([
                        "--parallel",
                        "{slots}",
                        "--ctx-size",
                        &all_tokens,
                        "--metrics",
                        "--slots",
                    ]);
                    arguments.extend(["--jinja", "--offline"]);
                }
                arguments
            }
        };
        let program = self.program.display().to_string();
        let lead = self.lead.iter().cloned();
        std::iter::once(program)
            .chain(lead)
            .chain(arguments.into_iter().map(str::to_owned))
            .collect()
    }

    fn is_shim(&self) -> bool {
        matches!(self.origin, EngineOrigin::Cached | EngineOrigin::Fetched)
    }
}

/// One file of an installed engine.
#[derive(Debug, Serialize, Deserialize)]
struct Installed {
    path: PathBuf,
    bytes: u64,
    sha256: String,
}

/// Gives the command of a built-in engine, fetching it first where it is not here.
///
/// llama.cpp is looked for in this order: `MADANG_LLAMA_SERVER`, `llama-server` on the search path, the cache, its
/// package. The embedding engine: the cache, its package.
///
/// # Errors
/// [`ProvisionError::NoSource`] with pip's reason; [`ProvisionError::Host`] where this machine cannot run it (processor,
/// Python, a named program that is none); the cache's own errors.
pub async fn ensure_engine(
    cache: &Cache,
    builtin: Builtin,
    progress: &dyn Progress,
) -> Result<EngineCommand, ProvisionError> {
    if let Some(found) = own_llama_server(cache, builtin)? {
        return Ok(found);
    }
    let recipe = recipe(builtin);
    processor_can()?;
    let failed = |failure| ProvisionError::NoSource {
        what: recipe.title.to_owned(),
        tried: vec![failure],
    };
    let python = Python::ask(cache.tools()).await.map_err(failed)?;
    let key = folder_key(recipe, &python);
    let folder = cache.engine_folder(&key);
    let mut origin = EngineOrigin::Cached;
    if !is_whole(&folder) {
        let _lock = cache.lock(&key, recipe.title, progress).await?;
        if !is_whole(&folder) {
            install(cache, recipe, &python, &key, progress).await?;
            origin = EngineOrigin::Fetched;
        }
    }
    let shim = write_shim(&folder, recipe)?;
    let lead = ["-I", "-B"]
        .map(str::to_owned)
        .into_iter()
        .chain([shim.display().to_string()])
        .collect();
    // Threads that spin while they wait starve every other program of the machine, and each other.
    let env = BTreeMap::from([("OMP_WAIT_POLICY".to_owned(), "passive".to_owned())]);
    Ok(EngineCommand {
        program: python.program,
        lead,
        env,
        builtin,
        origin,
    })
}

/// A `llama-server` of this machine's own, named or on the search path.
pub(crate) fn own_llama_server(
    cache: &Cache,
    builtin: Builtin,
) -> Result<Option<EngineCommand>, ProvisionError> {
    if builtin != Builtin::LlamaCpp {
        return Ok(None);
    }
    let tools = cache.tools();
    let (program, origin) = match &tools.llama_server {
        Some(named) => match tools.find(&named.display().to_string()) {
            Some(program) => (program, EngineOrigin::Named),
            None => {
                let found = format!(
                    "MADANG_LLAMA_SERVER names {}, which is not a program that can be run",
                    named.display()
                );
                return Err(ProvisionError::host(
                    found,
                    "correct or unset MADANG_LLAMA_SERVER",
                ));
            }
        },
        None => match tools.find("llama-server") {
            Some(program) => (program, EngineOrigin::SearchPath),
            None => return Ok(None),
        },
    };
    let env = BTreeMap::from([("OMP_WAIT_POLICY".to_owned(), "passive".to_owned())]);
    Ok(Some(EngineCommand {
        program,
        lead: Vec::new(),
        env,
        builtin,
        origin,
    }))
}

/// Whether this engine is installed for the Python at hand, without asking any source.
pub(crate) fn installed(cache: &Cache, builtin: Builtin, python: &Python) -> Option<PathBuf> {
    let folder = cache.engine_folder(&folder_key(recipe(builtin), python));
    is_whole(&folder).then_some(folder)
}

/// Files of an installed engine whose digest is no longer right. Blocks; reads everything.
pub(crate) fn changed_files(folder: &Path) -> Vec<PathBuf> {
    let listed: Vec<Installed> = read_json(&folder.join("engine.json")).unwrap_or_default();
    let changed = |file: &Installed| {
        !digest::of_file(&folder.join(&file.path)).is_ok_and(|(found, _)| found == file.sha256)
    };
    listed
        .into_iter()
        .filter(changed)
        .map(|file| file.path)
        .collect()
}

/// The packages are built for one kind of processor; elsewhere they would end with an illegal instruction.
fn processor_can() -> Result<(), ProvisionError> {
    let remedy = "build llama-server for this machine and name it in MADANG_LLAMA_SERVER, or give the replica a command or url";
    if std::env::consts::ARCH != "x86_64" {
        let found = format!(
            "the built-in engines are built for x86_64, this machine is {}",
            std::env::consts::ARCH
        );
        return Err(ProvisionError::host(found, remedy));
    }
    if !has_avx2() {
        return Err(ProvisionError::host(
            "the built-in engines need AVX2, which this processor lacks",
            remedy,
        ));
    }
    Ok(())
}

pub(crate) fn has_avx2() -> bool {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    cpuinfo
        .lines()
        .any(|line| line.starts_with("flags") && line.split_whitespace().any(|flag| flag == "avx2"))
}

fn folder_key(recipe: &Recipe, python: &Python) -> String {
    let tag = if recipe.tagged {
        python.tag.as_str()
    } else {
        "abi3"
    };
    format!("{}-{tag}", recipe.name)
}

/// Whether every file of the engine is there with its size.
fn is_whole(folder: &Path) -> bool {
    let Some(listed) = read_json::<Vec<Installed>>(&folder.join("engine.json")) else {
        return false;
    };
    let same = |file: &Installed| {
        fs::metadata(folder.join(&file.path)).is_ok_and(|facts| facts.len() == file.bytes)
    };
    !listed.is_empty() && listed.iter().all(same)
}

async fn install(
    cache: &Cache,
    recipe: &Recipe,
    python: &Python,
    key: &str,
    progress: &dyn Progress,
) -> Result<(), ProvisionError> {
    let failed = |failure| ProvisionError::NoSource {
        what: recipe.title.to_owned(),
        tried: vec![failure],
    };
    let scratch = cache.scratch(key)?;
    let unfinished = scratch.path().join("engine");
    fs::create_dir(&unfinished).map_err(ProvisionError::cache(&unfinished))?;
    let wanted: Vec<Pinned> = recipe
        .pins
        .iter()
        .filter(|pin| pin.minors.contains(&python.minor))
        .map(pinned)
        .collect();
    let names: Vec<&str> = wanted.iter().map(|one| one.requirement.as_str()).collect();
    let about = crate::progress::megabytes(recipe.fetch_bytes);
    progress.note(&format!(
        "{}: {} (about {about})",
        recipe.title,
        names.join(", ")
    ));
    let list = scratch.path().join("requirements.txt");
    let places = (list.as_path(), unfinished.as_path());
    pip::fetch(
        (cache.tools(), python),
        Verb::Install,
        &wanted,
        places,
        progress,
    )
    .await
    .map_err(failed)?;
    if let Err(said) = python.runs(&unfinished, recipe.probe).await {
        return Err(failed(SourceFailure::new(
            names.join(", "),
            FailureKind::DoesNotRun,
            said,
        )));
    }
    let folder = cache.engine_folder(key);
    blocking(move || publish(&unfinished, &folder)).await
}

fn pinned(pin: &Pin) -> Pinned {
    Pinned {
        requirement: pin.requirement.to_owned(),
        sha256: pin.sha256.iter().map(|one| (*one).to_owned()).collect(),
    }
}

/// Lists the files with their digests and moves the folder to its place. Blocks.
fn publish(unfinished: &Path, folder: &Path) -> Result<(), ProvisionError> {
    let mut files = Vec::new();
    list_files(unfinished, Path::new(""), &mut files).map_err(ProvisionError::cache(unfinished))?;
    write_json(&unfinished.join("engine.json"), &files)?;
    let parent = folder.parent().unwrap_or(folder);
    fs::create_dir_all(parent).map_err(ProvisionError::cache(parent))?;
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(ProvisionError::cache(folder)(error));
        }
        Ok(()) | Err(_) => {}
    }
    fs::rename(unfinished, folder).map_err(ProvisionError::cache(folder))
}

fn list_files(root: &Path, below: &Path, files: &mut Vec<Installed>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            list_files(root, &path, files)?;
        } else if path.extension().is_none_or(|ending| ending != "pyc") {
            // Compiled caches are Python's to rewrite.
            let (sha256, bytes) = digest::of_file(&root.join(&path))?;
            files.push(Installed {
                path,
                bytes,
                sha256,
            });
        }
    }
    Ok(())
}

/// Our launch program, under a name of its content: another version of Madang beside this one has its own.
fn write_shim(folder: &Path, recipe: &Recipe) -> Result<PathBuf, ProvisionError> {
    let sha256 = digest::of_bytes(recipe.shim.as_bytes());
    let path = folder.join(format!("madang-launch-{}.py", &sha256[..12]));
    if fs::read(&path).is_ok_and(|there| there == recipe.shim.as_bytes()) {
        return Ok(path);
    }
    write_atomically(&path, recipe.shim.as_bytes())?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(builtin: Builtin, origin: EngineOrigin) -> EngineCommand {
        let lead = if origin == EngineOrigin::Cached {
            vec!["launch.py".to_owned()]
        } else {
            vec![]
        };
        EngineCommand {
            program: "/bin/engine".into(),
            lead,
            env: BTreeMap::new(),
            builtin,
            origin,
        }
    }

    #[test]
    fn commands_leave_the_launchers_words() {
        let shape = EngineShape {
            slots: 4,
            context_tokens: 8192,
            listen: Listen::Port,
        };
        let check = |builtin, origin, shape, expected: &str| {
            assert_eq!(command(builtin, origin).command(shape).join(" "), expected);
        };
        let cached = EngineOrigin::Cached;
        check(
            Builtin::LlamaCpp,
            cached,
            shape,
            "/bin/engine launch.py --model {model_path} --alias {served_name} --port {port} --slots {slots} --context 32768",
        );
        check(
            Builtin::LlamaCpp,
            EngineOrigin::SearchPath,
            EngineShape {
                listen: Listen::Socket,
                ..shape
            },
            "/bin/engine --model {model_path} --alias {served_name} --host {socket} --parallel {slots} --ctx-size 32768 \
             --metrics --slots --jinja --offline",
        );
        check(
            Builtin::E5,
            cached,
            shape,
            "/bin/engine launch.py --alias {served_name} --port {port}",
        );
    }
}
