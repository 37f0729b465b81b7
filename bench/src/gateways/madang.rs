//! Madang as `madang up` runs it: keys, the decision core with its policy and queue, metering, metrics, logs at their
//! default, every request durable in the books before its last byte.

use super::launch::{Key, Launch, Site};
use super::place::said;
use super::{Adapter, Kind};
use std::fs;
use tokio::process::Command;

/// One process, a worker for each core.
pub const ADAPTER: Adapter = Adapter {
    name: "madang",
    kind: Kind::Ours,
    by_default: true,
    slow: false,
    launch,
};

/// Clients at once.
const CONNECTIONS: usize = 32_768;

fn launch(site: &Site<'_>) -> anyhow::Result<Launch> {
    let Site {
        place,
        folder,
        upstream,
        port,
        ..
    } = site;
    let fleet = format!(
        "[[site]]
id = \"here\"
country = \"KR\"

[[model]]
id = \"bench\"
context_tokens = 131072

[[replica]]
id = \"upstream\"
site = \"here\"
model = \"bench\"
url = \"http://{upstream}\"
engine = \"openai\"
slots = {}

[[tenant]]
id = \"load\"

[limits]
connections_max = {CONNECTIONS}
connections_key_max = {CONNECTIONS}
queue_notice_ms = 20
stream_idle_ms_max = 900000
",
        place.slots
    );
    let fleet_path = folder.join("fleet.toml");
    fs::write(&fleet_path, fleet)?;
    let mut command = Command::new(&place.madang);
    command
        .args(["up", "--json", "--listen", &format!("127.0.0.1:{port}")])
        .arg("--fleet")
        .arg(&fleet_path)
        .arg("--data")
        .arg(folder.join("data"));
    Ok(Launch {
        key: Key::Printed,
        version: said(&place.madang, "--version"),
        ..Launch::of(command)
    })
}
