//! Chores of this repository. `cargo xtask tidy` checks what neither the compiler nor clippy can.
//!
//! It only reads: it must not change a file, and needs no network.

mod tidy;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask tidy [CHECK …]";

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((command, checks)) if command == "tidy" => tidy(checks),
        _ => {
            writeln!(
                std::io::stderr(),
                "{USAGE}\nchecks: {}",
                tidy::names().join(", ")
            )?;
            Ok(ExitCode::from(2))
        }
    }
}

fn tidy(only: &[String]) -> anyhow::Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let findings = tidy::run(root.parent().unwrap_or(root), only)?;
    let mut out = std::io::stdout().lock();
    for finding in &findings {
        writeln!(out, "{finding}")?;
    }
    match findings.len() {
        0 => writeln!(out, "tidy")?,
        count => writeln!(out, "{count} to mend")?,
    }
    Ok(ExitCode::from(u8::from(!findings.is_empty())))
}
