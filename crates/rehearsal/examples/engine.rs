//! `engine PROFILE PORT SPEED [FAULTS]`: serves until it is killed.

use madang_rehearsal::{Options, serve};
use madang_twin::engine::Profile;
use madang_types::ModelId;
use std::io::Write;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let argument =
        |at: usize, default: &str| arguments.get(at).map_or(default.to_owned(), Clone::clone);
    let name = argument(1, "h100-8b");
    let profile = Profile::named(&name).ok_or_else(|| anyhow::anyhow!("no profile {name}"))?;
    let mut options = Options::new(profile.clone(), ModelId::new(&name)?);
    options.port = argument(2, "0").parse()?;
    options.speed = argument(3, "1").parse()?;
    options.faults = argument(4, "").parse()?;
    let engine = serve(options).await?;
    writeln!(std::io::stdout(), "listening on {}", engine.url())?;
    std::future::pending().await
}
