//! Memory of streams that are open and silent.

use crate::client::Client;
use crate::gateways::Gateway;
use crate::process;
use crate::scenario::{self, Load, Scenario};
use anyhow::{Context, anyhow};
use rustix::process::{Resource, getrlimit};
use std::io::Write;
use std::time::Duration;
use tokio::time::timeout;

/// The upstream sends one chunk, then nothing for longer than this lasts.
const SILENCE_MS: u64 = 600_000;
/// Time for one stream to open: a gateway without files left for it may never answer.
const OPEN_MAX: Duration = Duration::from_secs(10);

/// Opens `count` streams through each gateway in turn.
///
/// # Errors
/// One of them cannot be opened.
pub async fn measure(gateways: &[Gateway], count: usize) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    let scenario = Scenario {
        name: "idle".into(),
        body_bytes: 1000,
        stream: true,
        gap_ms: SILENCE_MS,
        load: Load::Closed { connections: count },
    };
    for gateway in gateways.iter().filter(|g| !g.pids.is_empty()) {
        let before_kb = process::resident_kb(&gateway.pids)?;
        let request = scenario::request(&scenario, &gateway.key);
        let mut streams = Vec::with_capacity(count);
        for number in 0..count {
            let opened = async {
                let mut client = Client::connect(gateway.address).await?;
                client.open(&request).await?;
                anyhow::Ok(client)
            };
            let stream = match timeout(OPEN_MAX, opened).await {
                Ok(opened) => opened,
                Err(_) => Err(anyhow!("it does not open")),
            };
            let stream = stream.with_context(|| {
                format!(
                    "stream {number} through {}: a gateway needs two files for each, and may have {}",
                    gateway.name,
                    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
                )
            })?;
            streams.push(stream);
        }
        let open_kb = process::resident_kb(&gateway.pids)?;
        drop(streams);
        #[expect(clippy::cast_precision_loss, reason = "kilobytes of one machine")]
        let each_kb = open_kb.saturating_sub(before_kb) as f64 / count as f64;
        writeln!(
            out,
            "{}: {count} idle streams: {} MB resident ({} MB before), {each_kb:.1} kB a stream",
            gateway.name,
            open_kb / 1000,
            before_kb / 1000
        )?;
    }
    Ok(())
}
