//! Logs: structured, on standard error, never content, never a key.

use super::log_writer::{self, LogGuard};
use crate::args::LogFormat;
use anyhow::Context;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts the program's log. Its last lines are written when the guard is dropped.
pub fn start(filter: &str, format: LogFormat) -> anyhow::Result<LogGuard> {
    let filter = EnvFilter::try_new(filter)
        .with_context(|| format!("--log '{filter}' is not a log filter"))?;
    let (writer, guard) = log_writer::start(Box::new(std::io::stderr()))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    let started = match format {
        LogFormat::Text => builder
            .with_ansi(std::io::stderr().is_terminal())
            .try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("the log cannot be started: {error}"))?;
    Ok(guard)
}
