//! Flags of the commands about places: `madang stop`, `madang explain`, `madang gateway`.

use crate::args::ServerArgs;
use clap::{Args as ClapArgs, Subcommand};
use std::path::PathBuf;

/// `madang stop`.
#[derive(Debug, Subcommand)]
pub enum StopCommand {
    /// Stop every place that stands in a country, may bring data there, or is run from it (two letters, such as US).
    Country(StopPlace),
    /// Stop a model service run by others.
    Upstream(StopPlace),
    /// Stop a site.
    Site(StopPlace),
    /// Stops in force.
    List(ServerArgs),
    /// Lift a stop.
    Lift {
        /// What is stopped, as the list shows it: `upstream:openai`.
        scope: String,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
}

/// `madang gateway`.
#[derive(Debug, Subcommand)]
pub enum GatewayCommand {
    /// Gateways that have served from the books, and when each was last heard of.
    List(ServerArgs),
    /// Give a gateway up that does not come back, or not soon: what it held waits for what it may still report.
    GiveUp {
        /// Its name, as the list shows it.
        id: String,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Say that a gateway which was given up an hour ago or earlier never comes back: what waits of it can be spent again.
    Release {
        /// Its name, as the list shows it.
        id: String,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
}

/// A place to stop.
#[derive(Debug, ClapArgs)]
pub struct StopPlace {
    /// Its name.
    pub name: String,
    /// Why, for people.
    #[arg(long, default_value = "")]
    pub reason: String,
    /// Where the server is.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `madang explain`.
#[derive(Debug, ClapArgs)]
pub struct ExplainArgs {
    /// Whose request it would be; with a tenant's key, that tenant.
    #[arg(long)]
    pub tenant: Option<String>,
    /// With which of the tenant's keys, by its public part.
    #[arg(long)]
    pub with_key: Option<String>,
    /// For which model.
    #[arg(long)]
    pub model: String,
    /// The class that it would claim: open, sensitive or classified.
    #[arg(long)]
    pub class: Option<String>,
    /// Flags that it would claim, as in `health,minor`.
    #[arg(long, value_delimiter = ',')]
    pub flags: Vec<String>,
    /// Through which door: chat, completions, embeddings, responses or messages.
    #[arg(long)]
    pub endpoint: Option<String>,
    /// A file with its JSON body, for the scanner.
    #[arg(long, value_name = "FILE")]
    pub body: Option<PathBuf>,
    /// Where the server is.
    #[command(flatten)]
    pub server: ServerArgs,
}
