//! Flags of `madang power`.

use crate::args::ServerArgs;
use crate::numbers::whole;
use clap::{Args as ClapArgs, Subcommand};

/// `madang power`.
#[derive(Debug, Subcommand)]
pub enum PowerCommand {
    /// What sites draw and may, what is done about it, and what was.
    Status {
        /// One site; all where not given.
        site: Option<String>,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Set what a site may draw, until it is taken back.
    Cap {
        /// The site.
        site: String,
        /// Watts at its meter, as 20MW, 150kW or 900; `none` takes it back.
        #[arg(allow_hyphen_values = true)]
        watts: String,
        /// Why, for people.
        #[arg(long, default_value = "")]
        reason: String,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Have a site draw less for a while, as when the grid asks for it.
    Event(PowerEventArgs),
    /// Caps and events of a site that are not over, and what each leaves.
    Events {
        /// The site.
        site: String,
        /// Those too that were over since so long ago: 90s, 30m, 3h, up to 31d.
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// End an event, or call it off before it begins.
    Cancel {
        /// The site.
        site: String,
        /// Its number, as the list shows it.
        #[arg(value_parser = whole::<u64>(0..=u64::MAX))]
        event: u64,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
}

/// `madang power event`.
#[derive(Debug, ClapArgs)]
pub struct PowerEventArgs {
    /// The site.
    pub site: String,
    /// How much less than it draws when the event begins: 25%.
    #[arg(
        long,
        value_name = "PERCENT",
        required_unless_present = "to",
        conflicts_with = "to"
    )]
    pub cut: Option<String>,
    /// What it may draw at its meter meanwhile: 15MW, 150kW or 900.
    #[arg(long, value_name = "WATTS")]
    pub to: Option<String>,
    /// For how long: 90s, 30m, 3h, up to 30d.
    #[arg(long = "for", value_name = "TIME")]
    pub time: String,
    /// From when on, as 2026-12-01T18:00:00+09:00; now where not given.
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Why, for people.
    #[arg(long, default_value = "")]
    pub reason: String,
    /// Where the server is.
    #[command(flatten)]
    pub server: ServerArgs,
}
