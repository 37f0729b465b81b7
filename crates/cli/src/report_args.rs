//! Flags of `madang report`.

use crate::args::ServerArgs;
use crate::numbers::whole;
use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use std::path::PathBuf;

/// `madang report`.
#[derive(Debug, Subcommand)]
pub enum ReportCommand {
    /// What a programme promised and delivered; exit code 1 where the ledger does not say what the records say.
    Programme {
        /// The programme.
        id: String,
        /// The form.
        #[arg(long, value_enum, conflicts_with = "json")]
        format: Option<ReportFormat>,
        /// The language of the page.
        #[arg(long, value_enum, default_value = "en")]
        lang: Language,
        /// Of when, and where to.
        #[command(flatten)]
        report: ReportArgs,
    },
    /// What things cost, as CSV under the column names of FOCUS; exit code as above.
    Costs {
        /// Only those of tenants that are in this programme now.
        #[arg(long, conflicts_with = "tenant")]
        programme: Option<String>,
        /// Only this tenant's.
        #[arg(long)]
        tenant: Option<String>,
        /// Of when, and where to.
        #[command(flatten)]
        report: ReportArgs,
    },
    /// Whose energy it was, and what sites drew.
    Energy {
        /// Only this programme's.
        #[arg(long)]
        programme: Option<String>,
        /// Only this tenant's.
        #[arg(long)]
        tenant: Option<String>,
        /// Of when, and where to.
        #[command(flatten)]
        report: ReportArgs,
    },
    /// What of awards and accelerators stood idle, as far as it was measured.
    Idle {
        /// Only this programme's.
        #[arg(long)]
        programme: Option<String>,
        /// Only this tenant's.
        #[arg(long)]
        tenant: Option<String>,
        /// Runs that were less busy than this are listed, in percent.
        #[arg(long, default_value_t = 20, value_parser = whole::<u32>(0..=100))]
        below_percent: u32,
        /// Of those, the ones that were last measured so many seconds after their program began, or later.
        #[arg(long, default_value_t = 600)]
        after_s: u32,
        /// The awards as CSV.
        #[arg(long, conflicts_with = "json")]
        csv: bool,
        /// Of when, and where to.
        #[command(flatten)]
        report: ReportArgs,
    },
}

/// What all reports take.
#[derive(Debug, ClapArgs)]
pub struct ReportArgs {
    /// The civil month, as in `2026-11`; the running one without it.
    #[arg(long)]
    pub month: Option<String>,
    /// Where a month and its days begin, in seconds east of UTC.
    #[arg(long, default_value_t = 32_400)]
    pub offset_s: i32,
    /// Write to this file instead of standard output.
    #[arg(long, short = 'o', value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Where the server is.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Forms of a report.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ReportFormat {
    /// All of it.
    Json,
    /// What was delivered, by tenant, model, site and day.
    Csv,
    /// A page with charts.
    Html,
}

/// Languages of a page.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Language {
    /// English.
    En,
    /// Korean.
    Ko,
}
