//! Shepherd Model Gateway: Rust, started from Python, routes by cached prefixes.

use super::launch::{Launch, Site};
use super::{Adapter, Kind, Part};
use tokio::process::Command;

/// No keys, no records: what it is by default.
pub const ADAPTER: Adapter = Adapter {
    name: "smg",
    kind: Kind::Router,
    by_default: false,
    part: Part::Whole,
    launch,
};

fn launch(site: &Site<'_>) -> anyhow::Result<Launch> {
    let mut command = Command::new(site.home.join("bin/smg"));
    command
        .arg("launch")
        .args(["--worker-urls", &format!("http://{}", site.upstream)])
        .args(["--host", "127.0.0.1", "--port", &site.port.to_string()])
        .args(["--prometheus-port", &site.metrics_port.to_string()])
        .current_dir(&site.folder);
    Ok(Launch::of(command))
}
