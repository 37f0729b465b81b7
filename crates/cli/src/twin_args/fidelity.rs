//! Flags of the commands that say how true the twin is.

use crate::numbers::whole;
use clap::Args as ClapArgs;
use std::path::PathBuf;

/// Rows of one's own beside those that ship.
#[derive(Debug, ClapArgs)]
pub struct CatalogArgs {
    /// More chips: CSV with the columns of crates/catalog/data/chips.csv.
    #[arg(long, value_name = "FILE")]
    pub chips: Option<PathBuf>,
    /// More models: CSV with the columns of crates/catalog/data/models.csv.
    #[arg(long, value_name = "FILE")]
    pub models: Option<PathBuf>,
    /// One more model: its name, and the config.json that is published with its weights.
    #[arg(long, value_name = "NAME=FILE")]
    pub config: Vec<String>,
}

/// `madang twin catalog`.
#[derive(Debug, ClapArgs)]
pub struct ListArgs {
    /// Rows of one's own.
    #[command(flatten)]
    pub catalog: CatalogArgs,
    /// Print JSON: one object.
    #[arg(long)]
    pub json: bool,
}

/// `madang twin calibrate`.
#[derive(Debug, ClapArgs)]
pub struct CalibrateArgs {
    /// Measured engines, as CSV, plain, gzip or zstd; docs/twin-fidelity.md lists the columns.
    #[arg(long, value_name = "FILE")]
    pub rows: PathBuf,
    /// Where the coefficients and what they leave of each row are written: coefficients.csv and calibration.json.gz.
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// When, and from what, in words: it stands beside the coefficients.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub source: String,
    /// Rows of one's own.
    #[command(flatten)]
    pub catalog: CatalogArgs,
}

/// `madang twin predict`.
#[derive(Debug, ClapArgs)]
pub struct PredictArgs {
    /// What is asked about: the same columns; measured times may be empty and are not looked at.
    #[arg(long, value_name = "FILE")]
    pub rows: PathBuf,
    /// What `madang twin calibrate` wrote as calibration.json.gz; without it, what ships.
    #[arg(long, value_name = "FILE")]
    pub calibration: Option<PathBuf>,
    /// Rows of one's own.
    #[command(flatten)]
    pub catalog: CatalogArgs,
    /// Print JSON: a list, one object for each row.
    #[arg(long)]
    pub json: bool,
}

/// `madang twin requests`.
#[derive(Debug, ClapArgs)]
pub struct RequestsArgs {
    /// Measured requests that coefficients are fitted on, as CSV, plain, gzip or zstd; docs/twin-fidelity.md lists the columns.
    #[arg(long, value_name = "FILE")]
    pub calibrate: PathBuf,
    /// Requests that are predicted: the same columns; where measured times are there, they only serve to say the error.
    #[arg(long, value_name = "FILE")]
    pub run: PathBuf,
    /// Accelerators that share a model's layers in --run; without it the column tp, or the fewest that hold the weights and a full batch.
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=1_024))]
    pub tp: Option<u32>,
    /// The same for --calibrate.
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=1_024))]
    pub calibrate_tp: Option<u32>,
    /// Rows of one's own.
    #[command(flatten)]
    pub catalog: CatalogArgs,
    /// Print JSON: a list, one object for each request.
    #[arg(long)]
    pub json: bool,
}
