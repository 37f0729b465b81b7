//! Flags of `madang ledger`.

use crate::args::StoreText;
use crate::numbers::whole;
use clap::{Args as ClapArgs, Subcommand};
use std::path::PathBuf;

/// `madang ledger`.
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Read every entry, count every balance anew, and say what breaks a rule.
    Verify(BooksArgs),
    /// Show what accounts have.
    Balances(BalancesArgs),
    /// Show entries, the last written first.
    Entries(EntriesArgs),
}

/// Which books. They are only read, beside a running server too.
#[derive(Debug, ClapArgs)]
pub struct BooksArgs {
    /// Data folder.
    #[arg(long, env = "MADANG_DATA", default_value = "madang-data")]
    pub data: PathBuf,
    /// Where the books are that gateways share: postgres://USER@HOST/DATABASE. Without it, in the data folder.
    #[arg(long, env = "MADANG_STORE", value_name = "URL", hide_env_values = true)]
    pub store: Option<StoreText>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `madang ledger balances`.
#[derive(Debug, ClapArgs)]
pub struct BalancesArgs {
    /// Only accounts whose name begins so, as in `lease:` or `project:hanbit:`.
    #[arg(value_name = "ACCOUNT-PREFIX", default_value = "")]
    pub prefix: String,
    /// Which books.
    #[command(flatten)]
    pub books: BooksArgs,
}

/// `madang ledger entries`.
#[derive(Debug, ClapArgs)]
pub struct EntriesArgs {
    /// Only those that name this account, as in `site:pohang`.
    #[arg(long)]
    pub account: Option<String>,
    /// Only those that are about this request.
    #[arg(long, value_name = "ID")]
    pub request: Option<String>,
    /// Only those written before this one (its number).
    #[arg(long, value_name = "SEQ")]
    pub before: Option<u64>,
    /// How many to show.
    #[arg(long, short = 'n', default_value_t = 100, value_parser = whole::<u32>(1..=1000))]
    pub count: u32,
    /// Which books.
    #[command(flatten)]
    pub books: BooksArgs,
}
