//! `madang schema`: the JSON Schema of the fleet file, for editors.

use crate::out;
use std::process::ExitCode;

/// Prints the schema.
pub fn run() -> anyhow::Result<ExitCode> {
    out::line(madang_fleet::schema().trim_end());
    Ok(ExitCode::SUCCESS)
}
