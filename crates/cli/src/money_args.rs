//! Flags of `madang budget`, `allocation`, `price` and `exchange`.

use crate::args::ServerArgs;
use clap::{Args as ClapArgs, Subcommand};

/// An amount: of won, tokens or accelerator time.
#[derive(Debug, ClapArgs)]
#[group(required = true, multiple = false)]
pub struct AmountArgs {
    /// Won, as in 1500000 or 0.25.
    #[arg(long)]
    pub won: Option<String>,
    /// Tokens of any kind.
    #[arg(long)]
    pub tokens: Option<i64>,
    /// Hours of one accelerator.
    #[arg(long)]
    pub accelerator_hours: Option<i64>,
}

/// `madang budget`.
#[derive(Debug, Subcommand)]
pub enum BudgetCommand {
    /// What programmes have to allocate.
    List(ServerArgs),
    /// Set what a programme has to allocate: the first time, or to another amount.
    Set {
        /// The programme.
        programme: String,
        /// How much in all, allocated or not.
        #[command(flatten)]
        amount: AmountArgs,
        /// Of tokens: for models of this class alone, by the fleet file's `model_class`.
        #[arg(long, conflicts_with_all = ["won", "accelerator_hours"])]
        model_class: Option<String>,
        /// Of accelerator time: for this kind alone, by the fleet file's `accelerator`.
        #[arg(long, value_name = "KIND", conflicts_with_all = ["won", "tokens"])]
        accelerator: Option<String>,
        /// The most of it that one tenant may be granted, in thousandths.
        #[arg(long, default_value_t = 1000)]
        concentration_permille_max: u32,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
}

/// `madang allocation`.
#[derive(Debug, Subcommand)]
pub enum AllocationCommand {
    /// Allocations, past ones included.
    List {
        /// Only this tenant's.
        #[arg(long)]
        tenant: Option<String>,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Grant a tenant a part of its programme's budget.
    Create(Box<AllocationCreateArgs>),
    /// Take back what is not spent.
    Recall {
        /// The allocation.
        id: String,
        /// So long before it takes effect, such as `7d` or `12h`: until then it is spent as before. At once without it.
        #[arg(long, value_name = "TIME")]
        notice: Option<String>,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
}

/// Grant a tenant a part of its programme's budget.
#[derive(Debug, ClapArgs)]
pub struct AllocationCreateArgs {
    /// The allocation's name.
    pub id: String,
    /// To whom.
    #[arg(long)]
    pub tenant: String,
    /// How much.
    #[command(flatten)]
    pub amount: AmountArgs,
    /// Of tokens: they pay for models of this class alone, out of the programme's budget for it.
    #[arg(long, conflicts_with_all = ["won", "accelerator_hours"])]
    pub model_class: Option<String>,
    /// Of accelerator time: it pays for this kind alone, out of the programme's budget for it.
    #[arg(long, value_name = "KIND", conflicts_with_all = ["won", "tokens"])]
    pub accelerator: Option<String>,
    /// It may be passed by a little: requests are let in at their likely cost, and the tenant owes what is beyond.
    #[arg(long)]
    pub soft: bool,
    /// A part of it and when it comes, as in 2027-01-01T00:00:00+09:00=250000; once for each, in order. Together they are the
    /// amount, in its unit.
    #[arg(long = "tranche", value_name = "INSTANT=AMOUNT")]
    pub tranches: Vec<String>,
    /// From when on, as in 2027-01-01T00:00:00+09:00; where it is left out, with the first tranche, or now.
    #[arg(long)]
    pub from: Option<String>,
    /// Until when.
    #[arg(long)]
    pub until: String,
    /// Where the server is.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `madang price`.
#[derive(Debug, Subcommand)]
pub enum PriceCommand {
    /// All prices of models, past and coming ones included.
    List {
        /// Those of accelerators instead.
        #[arg(long)]
        accelerators: bool,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Set a model's price for a million tokens, or an accelerator's for an hour, from now or a later instant on.
    Set(Box<PriceSetArgs>),
}

/// Set a model's price for a million tokens, or an accelerator's for an hour, from now or a later instant on.
#[derive(Debug, ClapArgs)]
pub struct PriceSetArgs {
    /// The model.
    #[arg(
        required_unless_present = "accelerator",
        conflicts_with = "accelerator"
    )]
    pub model: Option<String>,
    /// In place of a model, this kind of accelerator.
    #[arg(
        long,
        value_name = "KIND",
        requires = "won_per_hour",
        conflicts_with_all = ["uncached", "cached", "output", "currency"]
    )]
    pub accelerator: Option<String>,
    /// An hour of one of them.
    #[arg(long, value_name = "WON", requires = "accelerator")]
    pub won_per_hour: Option<String>,
    /// Prompt tokens that are computed.
    #[arg(long, required_unless_present = "accelerator")]
    pub uncached: Option<String>,
    /// Prompt tokens from a cache; as much as `--uncached` where it is left out.
    #[arg(long)]
    pub cached: Option<String>,
    /// Tokens that are made.
    #[arg(long, required_unless_present = "accelerator")]
    pub output: Option<String>,
    /// At this site or upstream alone.
    #[arg(long)]
    pub place: Option<String>,
    /// What the prices are in.
    #[arg(long, default_value = "KRW")]
    pub currency: String,
    /// From when on, as in 2027-01-01T00:00:00+09:00.
    #[arg(long)]
    pub from: Option<String>,
    /// Where the server is.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `madang exchange`.
#[derive(Debug, Subcommand)]
pub enum ExchangeCommand {
    /// All rates of exchange, past and coming ones included.
    List(ServerArgs),
    /// Set what one unit of a currency is worth, from now or a later instant on.
    Set {
        /// Three capital letters.
        currency: String,
        /// Won for one of it, as in 1391.5.
        won: String,
        /// From when on, as in 2027-01-01T00:00:00+09:00.
        #[arg(long)]
        from: Option<String>,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
}
