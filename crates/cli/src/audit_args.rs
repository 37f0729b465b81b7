//! Flags of `madang audit`.

use crate::args::ServerArgs;
use clap::{Args as ClapArgs, Subcommand};
use std::path::PathBuf;

/// `madang audit`.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Read the whole log and say whether it is what was signed.
    Verify(VerifyArgs),
    /// Write the proof that a leaf is in the log, or that the log continues an earlier one.
    Prove(ProveArgs),
    /// Check a proof that `prove` has written; needs no log.
    CheckProof(CheckProofArgs),
    /// Say where a tenant's data went in a month.
    Report(ReportArgs),
    /// Destroy the key of a tenant's hashes of a month, so that they confirm nothing any more. The server that has the log does
    /// it; where none runs, it is done in the folder.
    Erase(EraseArgs),
    /// Print the key that verifies the log.
    Key(LogArgs),
}

/// Which log.
#[derive(Debug, ClapArgs)]
pub struct LogArgs {
    /// The log's folder; without it, `audit` in the data folder.
    pub dir: Option<PathBuf>,
    /// Data folder.
    #[arg(long, env = "MADANG_DATA", default_value = "madang-data")]
    pub data: PathBuf,
    /// The log's verifier key, had from elsewhere; without it, the one in the folder, which proves less.
    #[arg(long, value_name = "VKEY")]
    pub key: Option<String>,
}

/// `madang audit verify`.
#[derive(Debug, ClapArgs)]
pub struct VerifyArgs {
    #[command(flatten)]
    pub log: LogArgs,
    /// A checkpoint of the log that was kept earlier: the log must continue it.
    #[arg(long, value_name = "OLD")]
    pub checkpoint: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `madang audit prove`.
#[derive(Debug, ClapArgs)]
pub struct ProveArgs {
    #[command(flatten)]
    pub log: LogArgs,
    #[command(flatten)]
    pub what: ProofOf,
    /// Write to this file instead of standard output; with --request, to files in this folder.
    #[arg(long, short)]
    pub out: Option<PathBuf>,
}

/// What is proven.
#[derive(Debug, ClapArgs)]
#[group(required = true, multiple = false)]
pub struct ProofOf {
    /// All leaves of this request.
    #[arg(long, value_name = "ID")]
    pub request: Option<String>,
    /// The leaf with this index.
    #[arg(long, value_name = "N")]
    pub index: Option<u64>,
    /// That the log continues this checkpoint, which was kept earlier.
    #[arg(long, value_name = "OLD")]
    pub since: Option<PathBuf>,
}

/// `madang audit check-proof`.
#[derive(Debug, ClapArgs)]
pub struct CheckProofArgs {
    /// The proof.
    pub file: PathBuf,
    /// The log's verifier key.
    #[arg(long, value_name = "VKEY")]
    pub key: String,
    /// The earlier checkpoint, for a proof that the log continues it.
    #[arg(long, value_name = "OLD")]
    pub checkpoint: Option<PathBuf>,
}

/// `madang audit report`.
#[derive(Debug, ClapArgs)]
pub struct ReportArgs {
    #[command(flatten)]
    pub log: LogArgs,
    /// Whose data.
    #[arg(long)]
    pub tenant: String,
    /// The month in Asia/Seoul, such as 2026-11.
    #[arg(long)]
    pub month: String,
    /// The home country; what is computed or operated elsewhere is abroad.
    #[arg(long, default_value = "KR")]
    pub home: String,
    /// Write a page that needs nothing beside it, in Korean and English.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `madang audit erase`.
#[derive(Debug, ClapArgs)]
pub struct EraseArgs {
    /// The folder of a log that no server has; without it, the one in the data folder, by its server where one runs.
    pub dir: Option<PathBuf>,
    /// Whose hashes.
    #[arg(long)]
    pub tenant: String,
    /// The month, such as 2026-11.
    #[arg(long)]
    pub month: String,
    /// Where the server is.
    #[command(flatten)]
    pub server: ServerArgs,
}
