//! Flags of `madang secret`.

use crate::args::ServerArgs;
use clap::Subcommand;

/// `madang secret`.
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Put a secret, read from standard input, in place of the value before. The end of its last line is left out.
    Put {
        /// Its name, such as `HF_TOKEN`.
        name: String,
        /// Whose; with a tenant's key, that tenant.
        #[arg(long)]
        tenant: Option<String>,
        /// Only for jobs of this project.
        #[arg(long)]
        project: Option<String>,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Names of secrets; never their values.
    List {
        /// Whose; with a tenant's key, that tenant.
        #[arg(long)]
        tenant: Option<String>,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Delete a secret. Runs that have it keep it.
    Delete {
        /// Its name.
        name: String,
        /// Whose; with a tenant's key, that tenant.
        #[arg(long)]
        tenant: Option<String>,
        /// The project whose secret it is.
        #[arg(long)]
        project: Option<String>,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
}
