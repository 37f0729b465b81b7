//! LiteLLM's proxy: Python. Its virtual keys and budgets need PostgreSQL, so it runs with one master key and counts
//! spend in memory only.

use super::launch::{Key, Launch, Site};
use super::{Adapter, Kind, Part};
use std::fs;
use tokio::process::Command;

/// One worker, its default.
pub const ADAPTER: Adapter = Adapter {
    name: "litellm",
    kind: Kind::Gateway,
    by_default: true,
    part: Part::Slow,
    launch,
};

const MASTER_KEY: &str = "sk-bench";

fn launch(site: &Site<'_>) -> anyhow::Result<Launch> {
    let config = format!(
        "model_list:
  - model_name: bench
    litellm_params:
      model: openai/bench
      api_base: http://{}/v1
      api_key: none
general_settings:
  master_key: {MASTER_KEY}
",
        site.upstream
    );
    let config_path = site.folder.join("config.yaml");
    fs::write(&config_path, config)?;
    let mut command = Command::new(site.home.join("bin/litellm"));
    command
        .arg("--config")
        .arg(&config_path)
        .args(["--host", "127.0.0.1", "--port", &site.port.to_string()])
        // Else it fetches its list of prices from outside at every start.
        .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        .current_dir(&site.folder);
    Ok(Launch {
        key: Key::Given(MASTER_KEY.into()),
        ..Launch::of(command)
    })
}
