//! The noisy-neighbour experiment on a fleet of its own: engines in this process, a gateway as a child process on a free port with a
//! temporary data folder, a key for each tenant. Nothing of it is left, whatever happens.
//!
//! It must know of the gateway no more than its command line and its fleet file.

use crate::load::{self, LoadError, NoisyLiveOptions, noisy_live};
use crate::options::Options;
use crate::report::LoadReport;
use crate::serve::{Rehearsal, ServeError, serve};
use madang_twin::engine::Profile;
use madang_twin::experiment::noisy::{Flood, ShareRule, TENANTS, WARM_NS};
use madang_types::{ModelId, NameError};
use serde_json::Value;
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, timeout};

/// What the engines serve.
const MODEL: &str = "model";
/// Until the gateway serves, and for each of its commands.
const START_TIME_MAX: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);
/// Requests at once: each is an open file here and two in the gateway.
const REQUESTS_MAX: usize = 8_000;
/// A flood begins after this part of a window: until then the gateway gets to know the steady tenants.
const WARM_PART: f64 = 0.25;
/// Characters of what the gateway said that an error shows.
const SAID_CHARS_MAX: usize = 2_000;

/// What is run.
#[derive(Clone, Debug)]
pub struct LiveOptions {
    /// The program whose `up` is the gateway; the one that runs.
    pub program: PathBuf,
    /// The floods, one tenant each.
    pub floods: Vec<Flood>,
    /// Who is next.
    pub share: ShareRule,
    /// Of the arrivals.
    pub seed: u64,
    /// Engines.
    pub replicas: usize,
    /// What each engine is.
    pub profile: Profile,
    /// How much faster than real the engines' time goes. The gateway's own times do not: 1 is the true picture.
    pub speed: f64,
    /// Real seconds that are looked at, alone and flooded.
    pub seconds: u64,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// An engine does not start.
    #[error(transparent)]
    Engine(#[from] ServeError),
    /// The load cannot be made.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A name of ours is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A file or a process is in the way.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The gateway does not do as it is told.
    #[error("{what}; it said:\n{said}")]
    Gateway {
        /// What it did not do.
        what: String,
        /// What it printed last.
        said: String,
    },
    /// SIGINT or SIGTERM came.
    #[error("stopped by a signal")]
    Stopped,
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> LiveError {
    move |source| LiveError::System { what, source }
}

/// Starts a fleet, runs the experiment alone and flooded, and takes everything down again; also when SIGINT or SIGTERM comes.
///
/// # Errors
/// Something does not start, or a signal came.
pub async fn live_noisy(options: LiveOptions) -> Result<LoadReport, LiveError> {
    let take = |kind| signal(kind).map_err(system("signals cannot be received"));
    let (mut interrupt, mut terminate) = (
        take(SignalKind::interrupt())?,
        take(SignalKind::terminate())?,
    );
    let mut stand = Stand::start(&options).await?;
    let report = tokio::select! {
        report = stand.run(&options) => report,
        _ = interrupt.recv() => Err(LiveError::Stopped),
        _ = terminate.recv() => Err(LiveError::Stopped),
    };
    stand.stop().await;
    report
}

/// What runs. Dropping it ends it, too.
struct Stand {
    // Fields are dropped in this order: the gateway ends before its folder goes.
    gateway: Child,
    engines: Vec<Rehearsal>,
    folder: TempDir,
    program: PathBuf,
}

impl Stand {
    async fn start(options: &LiveOptions) -> Result<Self, LiveError> {
        let mut engines = Vec::new();
        for number in 0..options.replicas {
            let engine = Options {
                speed: options.speed,
                seed: options
                    .seed
                    .wrapping_add(u64::try_from(number).unwrap_or(0)),
                ..Options::new(options.profile.clone(), ModelId::new(MODEL)?)
            };
            engines.push(serve(engine).await?);
        }
        let folder = TempDir::with_prefix("madang-live-").map_err(system("no temporary folder"))?;
        let fleet = fleet_file(options, &engines);
        let put = std::fs::write(folder.path().join("fleet.toml"), fleet);
        put.map_err(system("the fleet file cannot be written"))?;
        let said = File::create(folder.path().join("said"));
        let said = said.map_err(system("the log cannot be written"))?;
        let gateway = command(&options.program, folder.path())
            .args(["up", "--fleet", "fleet.toml", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .map_err(system("the gateway cannot be started"))?;
        Ok(Self {
            gateway,
            engines,
            folder,
            program: options.program.clone(),
        })
    }

    async fn run(&mut self, options: &LiveOptions) -> Result<LoadReport, LiveError> {
        let url = self.ready().await?;
        let (mut tenant_keys, mut flood_keys) = (Vec::new(), Vec::new());
        for number in 0..TENANTS {
            tenant_keys.push(self.key(&tenant(number)).await?);
        }
        for (number, _) in (0..).zip(&options.floods) {
            flood_keys.push(self.key(&flood(number)).await?);
        }
        let window_ns = window_ns(options);
        let warm_ns = (window_ns as f64 * WARM_PART) as u64;
        let load = NoisyLiveOptions {
            tenant_keys,
            flood_keys,
            floods: options.floods.clone(),
            seed: options.seed,
            from_ns: WARM_NS.saturating_sub(warm_ns),
            until_ns: WARM_NS.saturating_add(window_ns),
            requests_max: REQUESTS_MAX,
            drain_s_max: options.seconds.saturating_add(10),
            ..NoisyLiveOptions::new(&url, MODEL, options.speed)
        };
        tokio::select! {
            report = noisy_live(load) => Ok(report?),
            _ = self.gateway.wait() => Err(self.failed("the gateway ended")),
        }
    }

    /// Waits until the gateway serves. Gives its address.
    async fn ready(&mut self) -> Result<String, LiveError> {
        let server = self.folder.path().join("server.json");
        let until = Instant::now() + START_TIME_MAX;
        while Instant::now() < until {
            let ended = self.gateway.try_wait();
            if !matches!(ended, Ok(None)) {
                return Err(self.failed("the gateway ended"));
            }
            // Its key file is made after all else that a command needs.
            if self.folder.path().join("operator.key").exists()
                && let Ok(text) = std::fs::read_to_string(&server)
                && let Ok(server) = serde_json::from_str::<Value>(&text)
                && let Some(url) = server["url"].as_str()
                && load::answers(&format!("{url}/readyz")).await
            {
                return Ok(url.to_owned());
            }
            sleep(LOOK).await;
        }
        Err(self.failed("the gateway does not serve"))
    }

    /// Makes a key of that tenant.
    async fn key(&self, tenant: &str) -> Result<String, LiveError> {
        let mut create = command(&self.program, self.folder.path());
        create.args(["key", "create", "--tenant", tenant, "--json"]);
        let made = timeout(START_TIME_MAX, create.output()).await;
        let made = made.map_err(|_| self.failed("a key is not made in time"))?;
        let made = made.map_err(system("the command for keys cannot be started"))?;
        let answer: Value = serde_json::from_slice(&made.stdout).unwrap_or_default();
        match answer["key"].as_str() {
            Some(key) => Ok(key.to_owned()),
            None => Err(LiveError::Gateway {
                what: format!("no key is made for {tenant}"),
                said: last(&String::from_utf8_lossy(&made.stderr)),
            }),
        }
    }

    fn failed(&self, what: &str) -> LiveError {
        let said = std::fs::read_to_string(self.folder.path().join("said"));
        LiveError::Gateway {
            what: what.to_owned(),
            said: last(&said.unwrap_or_default()),
        }
    }

    async fn stop(mut self) {
        // Nothing of its data is kept, so it need not end in order.
        if let Err(error) = self.gateway.kill().await {
            tracing::warn!(%error, "the gateway cannot be ended");
        }
        for engine in self.engines {
            engine.stop().await;
        }
        if let Err(error) = self.folder.close() {
            tracing::warn!(%error, "the temporary folder cannot be removed");
        }
    }
}

/// The program in that folder, without the caller's own settings.
fn command(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MADANG_") {
            command.env_remove(name);
        }
    }
    command
        .current_dir(folder)
        .env("MADANG_DATA", folder)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

fn tenant(number: u64) -> String {
    format!("tenant-{number}")
}

fn flood(number: u64) -> String {
    format!("flood-{number}")
}

/// Model time that is looked at.
fn window_ns(options: &LiveOptions) -> u64 {
    (options.seconds as f64 * options.speed * 1e9) as u64
}

fn last(said: &str) -> String {
    let skip = said.chars().count().saturating_sub(SAID_CHARS_MAX);
    said.chars().skip(skip).collect()
}

/// The same bounds as on the virtual clock, in the engines' time.
fn fleet_file(options: &LiveOptions, engines: &[Rehearsal]) -> String {
    let share = serde_json::to_value(options.share).unwrap_or_default();
    let queue_length_max = match options.share {
        ShareRule::Madang => 4_096,
        // A pass-through queue has no end.
        _ => 1_000_000,
    };
    let tpot_ms_target = ((100.0 / options.speed) as u64).clamp(1, 60_000);
    let mut text = format!(
        "[[site]]\nid = \"here\"\ncountry = \"KR\"\n\n[[model]]\nid = \"{MODEL}\"\ncontext_tokens = 200000\n\n\
         [rules]\nshare = {share}\n\n\
         [limits]\nconnections_max = 16384\nconnections_key_max = 16384\nqueue_length_max = {queue_length_max}\n\
         queue_wait_ms_max = 3600000\nrequest_ms_max = 3600000\ntpot_ms_target = {tpot_ms_target}\n"
    );
    for engine in engines.iter().enumerate() {
        push_replica(&mut text, options, engine);
    }
    let tenants = (0..TENANTS).map(tenant);
    let floods = (0..).zip(&options.floods).map(|(number, _)| flood(number));
    for id in tenants.chain(floods) {
        // Writing to a text does not fail.
        writeln!(text, "\n[[tenant]]\nid = \"{id}\"").unwrap_or_default();
    }
    text
}

fn push_replica(text: &mut String, options: &LiveOptions, (number, engine): (usize, &Rehearsal)) {
    let profile = &options.profile;
    let costs = profile.at_speed((options.speed * 1000.0) as u64).costs;
    let (url, slots, kv_tokens) = (engine.url(), profile.slots, profile.kv_tokens);
    writeln!(
        text,
        "\n[[replica]]\nid = \"engine-{number}\"\nsite = \"here\"\nmodel = \"{MODEL}\"\nurl = \"{url}\"\nengine = \"vllm\"\n\
         slots = {slots}\nkv_tokens = {kv_tokens}\ncosts = {{ step_us = {}, uncached_ns = {}, cached_ns = {}, output_ns = {}, \
         kv_ps = {}, context_double_tokens = {} }}",
        costs.step_us,
        costs.uncached_ns,
        costs.cached_ns,
        costs.output_ns,
        costs.kv_ps,
        costs.context_double_tokens
    )
    .unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_twin::engine::PROFILES;

    #[tokio::test]
    async fn engines_are_of_the_profile_that_was_asked_for() {
        for profile in PROFILES {
            let options = LiveOptions {
                program: PathBuf::new(),
                floods: Vec::new(),
                share: ShareRule::Madang,
                seed: 1,
                replicas: 1,
                profile: profile.clone(),
                speed: 1.0,
                seconds: 1,
            };
            let engine = Options::new(profile.clone(), ModelId::new(MODEL).unwrap());
            let text = fleet_file(&options, &[serve(engine).await.unwrap()]);
            let size = format!(
                "slots = {}\nkv_tokens = {}\n",
                profile.slots, profile.kv_tokens
            );
            assert!(text.contains(&size), "{}: {text}", profile.name);
        }
    }
}
