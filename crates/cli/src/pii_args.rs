//! Flags of `madang pii`.

use clap::{Args as ClapArgs, Subcommand};
use std::path::PathBuf;

/// `madang pii …`.
#[derive(Debug, Subcommand)]
pub enum PiiCommand {
    /// Show the personal data in a text, masked.
    Scan(PiiScanArgs),
}

/// `madang pii scan`.
#[derive(Debug, ClapArgs)]
pub struct PiiScanArgs {
    /// Text to look at; `-` is standard input.
    #[arg(default_value = "-")]
    pub file: PathBuf,
    /// The file has a JSON object with `id` and `text` on each line; answer each with its `id` and `spans`, counted in
    /// code points.
    #[arg(long)]
    pub jsonl: bool,
}
