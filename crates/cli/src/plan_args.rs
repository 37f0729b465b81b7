//! Flags of `madang plan`.

use crate::numbers::whole;
use crate::report_args::Language;
use clap::Args as ClapArgs;
use std::path::PathBuf;

/// `madang plan`.
#[derive(Debug, ClapArgs)]
pub struct PlanArgs {
    /// A goal's file, or the name of one that is built in; without it, the JSON Schema of such files is printed.
    #[arg(value_name = "GOAL")]
    pub goal: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Write the report as one page of HTML that needs nothing beside it.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Language of that page.
    #[arg(long, value_enum, default_value = "en")]
    pub lang: Language,
    /// Closed form alone: the twin does not run the engines.
    #[arg(long)]
    pub no_confirm: bool,
    /// How many threads the twin has; the result is the same. As many as there are cores, if not given.
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=1_024))]
    pub threads: Option<u32>,
}
