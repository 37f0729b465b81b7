//! The programs that are measured: one adapter each says how it is started; the rest is alike for all.
//!
//! A peer runs with what it has by default, at one site with one engine, as its own page shows it. Nothing is tuned for
//! or against one.

mod books;
mod envoy;
mod launch;
mod litellm;
mod madang;
mod nginx;
mod place;
mod portkey;
mod sglang_router;
mod smg;
mod vllm_router;

pub use launch::Gateway;
pub use place::Place;

use anyhow::{Context, bail};
use launch::{Launch, Running, Site};
use std::net::SocketAddr;
use tokio::task::JoinSet;

/// What a gateway is compared as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The upstream itself.
    Bare,
    /// Moves bytes, knows nothing of models.
    Proxy,
    /// Madang.
    Ours,
    /// Chooses an engine for each request.
    Router,
    /// Also knows callers and what they use.
    Gateway,
}

/// The loads that a gateway takes part in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All.
    Whole,
    /// Those within what it can do: it answers tens to hundreds of requests a second.
    Slow,
    /// Those that show what one step of Madang's costs.
    Step,
}

/// How one program is started.
pub struct Adapter {
    /// Shown, and asked for by.
    pub name: &'static str,
    /// What it is compared as.
    pub kind: Kind,
    /// Measured beside Madang unless told otherwise.
    pub by_default: bool,
    /// What it is measured under.
    pub part: Part,
    launch: fn(&Site<'_>) -> anyhow::Result<Launch>,
}

const ADAPTERS: &[Adapter] = &[
    nginx::ADAPTER,
    madang::ADAPTER,
    madang::RELAXED,
    madang::PRICED,
    sglang_router::ADAPTER,
    litellm::ADAPTER,
    vllm_router::ADAPTER,
    smg::ADAPTER,
    portkey::ADAPTER,
    envoy::ADAPTER,
];
/// These come from the machine or from this repository, all others from `bench/peers`.
const OWN: [&str; 4] = ["nginx", "madang", "madang-relaxed", "madang-priced"];

/// Names of the peers that `wanted` holds for, in the order of the tables.
pub fn peers(wanted: impl Fn(&Adapter) -> bool) -> impl Iterator<Item = String> {
    let peers = ADAPTERS.iter().filter(|peer| !OWN.contains(&peer.name));
    peers
        .filter(move |peer| wanted(peer))
        .map(|peer| peer.name.to_owned())
}

/// What `name` is compared as; the bare upstream for a name that no adapter has.
pub fn kind(name: &str) -> Kind {
    let adapter = ADAPTERS.iter().find(|adapter| adapter.name == name);
    adapter.map_or(Kind::Bare, |adapter| adapter.kind)
}

/// What has been started, and what has not and why.
#[derive(Default)]
pub struct Started {
    /// In the order that was asked for.
    pub gateways: Vec<Gateway>,
    /// Names and reasons.
    pub skipped: Vec<(String, String)>,
}

impl Started {
    /// Ends them all, at once.
    pub async fn stop(self) {
        let mut stopping = JoinSet::new();
        for gateway in self.gateways {
            stopping.spawn(gateway.stop());
        }
        stopping.join_all().await;
    }

    /// Where a gateway charges: that its books have every request that was answered. Says so, a line for each.
    ///
    /// # Errors
    /// They have not.
    pub async fn verify(&self, place: &Place) -> anyhow::Result<Vec<String>> {
        let mut said = Vec::new();
        for gateway in &self.gateways {
            if let Some(books) = &gateway.books {
                let name = &gateway.name;
                let verified = books.verify(place, gateway.answered.get()).await;
                said.push(format!(
                    "{name}: {}",
                    verified.with_context(|| format!("{name}'s books"))?
                ));
            }
        }
        Ok(said)
    }
}

/// Starts this binary as the upstream.
///
/// # Errors
/// It does not answer.
pub async fn start_upstream(place: &Place) -> anyhow::Result<Gateway> {
    launch::upstream(place).await
}

/// Installs what is missing and starts all of these in front of the upstream, at once, since some take long. One that
/// fails is skipped, but for Madang.
///
/// # Errors
/// There is none of that name, or Madang does not start.
pub async fn start(
    names: &[String],
    place: &Place,
    upstream: SocketAddr,
    started: &mut Started,
) -> anyhow::Result<()> {
    let mut running: Vec<Running> = Vec::new();
    for name in names {
        if name == "direct" {
            running.push(Running::bare(upstream));
            continue;
        }
        let Some(adapter) = ADAPTERS.iter().find(|adapter| adapter.name == name) else {
            let all: Vec<&str> = ADAPTERS.iter().map(|adapter| adapter.name).collect();
            bail!(
                "no gateway is called '{name}'; there are direct, {}",
                all.join(", ")
            );
        };
        match launch::begin(adapter, place, upstream).await {
            Ok(begun) => running.push(begun),
            Err(error) => started.skip(name, &error)?,
        }
    }
    for begun in running {
        let name = begun.name().to_owned();
        match begun.ready(place).await {
            Ok(gateway) => started.gateways.push(gateway),
            Err(error) => started.skip(&name, &error)?,
        }
    }
    Ok(())
}

impl Started {
    fn skip(&mut self, name: &str, error: &anyhow::Error) -> anyhow::Result<()> {
        let why = format!("{error:#}").replace('\n', " ");
        if kind(name) == Kind::Ours {
            return Err(anyhow::Error::msg(why)).with_context(|| format!("{name} does not start"));
        }
        self.skipped.push((name.to_owned(), why));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_peer_has_pins() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        for peer in peers(|_| true) {
            let python = folder.join(format!("{peer}.txt"));
            let node = folder.join(&peer).join("package-lock.json");
            assert!(python.exists() || node.exists(), "{peer}");
        }
    }

    #[test]
    fn every_python_pin_is_exact() {
        for peer in peers(|_| true) {
            let pins = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("peers/{peer}.txt"));
            let text = std::fs::read_to_string(pins).unwrap_or_default();
            for line in text.lines().filter(|line| !line.starts_with('#')) {
                assert!(line.contains("=="), "{peer}: {line}");
            }
            // Releases that stole credentials.
            assert!(!text.contains("litellm==1.82.7") && !text.contains("litellm==1.82.8"));
        }
    }
}
