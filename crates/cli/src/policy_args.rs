//! Flags of `madang policy`.

use clap::{Args as ClapArgs, Subcommand};
use madang_types::{DataClass, DataFlags, ModelId, SiteId, TenantId};
use std::path::PathBuf;

/// `madang policy`.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Work out every combination, and show the places and what holds.
    Check(PolicyCheckArgs),
    /// Show who gains and who loses between two fleet files.
    Diff(PolicyDiffArgs),
    /// Say where data may go, and why, from the files alone.
    Explain(PolicyExplainArgs),
}

/// The fleet file whose policy is meant.
#[derive(Debug, ClapArgs)]
pub struct PolicySource {
    /// Fleet file; without one, what `madang up` serves by default.
    #[arg(long, env = "MADANG_FLEET")]
    pub fleet: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `madang policy check`.
#[derive(Debug, ClapArgs)]
pub struct PolicyCheckArgs {
    /// Which fleet.
    #[command(flatten)]
    pub source: PolicySource,
}

/// `madang policy diff`.
#[derive(Debug, ClapArgs)]
pub struct PolicyDiffArgs {
    /// The fleet file of before.
    pub old: PathBuf,
    /// The fleet file of after.
    pub new: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `madang policy explain`.
#[derive(Debug, ClapArgs)]
pub struct PolicyExplainArgs {
    /// Data class: open, sensitive or classified. The tenant's floor raises it.
    #[arg(long, default_value = "open")]
    pub class: DataClass,
    /// Data flags with commas between them: pii, unique_id, health, credit, pseudonymised, minor.
    #[arg(long)]
    pub flags: Option<DataFlags>,
    /// The tenant that asks; without one, a tenant that no rule names.
    #[arg(long)]
    pub tenant: Option<TenantId>,
    /// The model asked for; without one, every place is shown.
    #[arg(long)]
    pub model: Option<ModelId>,
    /// Only this site or upstream.
    #[arg(long)]
    pub location: Option<SiteId>,
    /// Which fleet.
    #[command(flatten)]
    pub source: PolicySource,
}
