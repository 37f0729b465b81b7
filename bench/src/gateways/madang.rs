//! Madang as `madang up` runs it: keys, the decision core with its policy and queue, metering, metrics, logs at their
//! default, every request durable in the books before its last byte.

use super::books::{Books, MODEL, PROGRAMME, SITE, TENANT};
use super::launch::{Key, Launch, Site};
use super::place::said;
use super::{Adapter, Kind, Part};
use std::fs;
use tokio::process::Command;

/// One process, a worker for each core.
pub const ADAPTER: Adapter = Adapter {
    name: "madang",
    kind: Kind::Ours,
    by_default: true,
    part: Part::Whole,
    launch: |site| launch(site, 0, ""),
};

/// The same, but no request waits for the audit log's sync: what lies between the two is what that wait costs.
pub const RELAXED: Adapter = Adapter {
    name: "madang-relaxed",
    part: Part::Step,
    launch: |site| launch(site, RELAXED_SYNC_MS_MAX, ""),
    ..ADAPTER
};

/// The same where things have a price and the tenant a grant: each request sets aside what it may cost, settles what it did, and
/// writes an entry in the ledger. What lies between the two is what that costs.
pub const PRICED: Adapter = Adapter {
    name: "madang-priced",
    part: Part::Step,
    launch: |site| {
        let programme =
            format!("programme = \"{PROGRAMME}\"\n\n[[programme]]\nid = \"{PROGRAMME}\"\n");
        let store = site.place.store.clone();
        let mut launch = launch(site, 0, &programme)?;
        if let Some(url) = &store {
            launch.command.args(["--store", url]);
        }
        launch.books = Some(Books::of(site.folder.join("data"), store));
        Ok(launch)
    },
    ..ADAPTER
};

/// As the books' own bound is by default.
const RELAXED_SYNC_MS_MAX: u64 = 10;

/// Clients at once.
const CONNECTIONS: usize = 32_768;

fn launch(site: &Site<'_>, sync_ms_max: u64, programme: &str) -> anyhow::Result<Launch> {
    let Site {
        place,
        folder,
        upstream,
        port,
        ..
    } = site;
    let fleet = format!(
        "[[site]]
id = \"{SITE}\"
country = \"KR\"

[[model]]
id = \"{MODEL}\"
context_tokens = 131072

[[replica]]
id = \"upstream\"
site = \"{SITE}\"
model = \"{MODEL}\"
url = \"http://{upstream}\"
engine = \"openai\"
slots = {}

[[tenant]]
id = \"{TENANT}\"
{programme}
[audit]
sync_ms_max = {sync_ms_max}

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
