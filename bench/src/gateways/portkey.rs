//! Portkey's open gateway: Node, one thread. Requests say themselves where they go.

use super::launch::{Launch, Site};
use super::{Adapter, Kind, Part};
use tokio::process::Command;

/// No keys, no records: the open edition has none.
pub const ADAPTER: Adapter = Adapter {
    name: "portkey",
    kind: Kind::Gateway,
    by_default: false,
    part: Part::Slow,
    launch,
};

fn launch(site: &Site<'_>) -> anyhow::Result<Launch> {
    let server = "node_modules/@portkey-ai/gateway/build/start-server.js";
    let mut command = Command::new("node");
    command
        .arg(site.home.join(server))
        .arg(format!("--port={}", site.port))
        .arg("--headless")
        .current_dir(&site.folder);
    let upstream = site.upstream;
    Ok(Launch {
        headers: format!(
            "x-portkey-provider: openai\r\nx-portkey-custom-host: http://{upstream}/v1\r\n"
        ),
        ..Launch::of(command)
    })
}
