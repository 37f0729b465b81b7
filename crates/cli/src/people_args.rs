//! Flags of `madang tenant`, `programme`, `project` and `key`.

use crate::args::ServerArgs;
use crate::numbers::whole;
use clap::{Args as ClapArgs, Subcommand};
use madang_types::{Endpoint, Preempted, Role, WhenEnded, Zone};

/// `madang tenant`.
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// All tenants.
    List(ServerArgs),
    /// One tenant.
    Show {
        /// The tenant.
        id: String,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Make a tenant.
    Create {
        /// The tenant.
        id: String,
        /// Its programme.
        #[arg(long)]
        programme: Option<String>,
        /// Its share beside the programme's other tenants.
        #[arg(long, default_value_t = 1)]
        weight: u32,
        /// No request of the tenant has a lower class: open, sensitive or classified.
        #[arg(long, default_value = "open")]
        class_floor: String,
        /// What all its data is, as in `health,minor`: pii, unique_id, health, credit, pseudonymised, minor.
        #[arg(long, value_delimiter = ',')]
        data_flags: Vec<String>,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Remove a tenant: its keys are refused from then on; its records stay.
    Remove {
        /// The tenant.
        id: String,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
}

/// On what terms a programme's tenants are served.
#[derive(Debug, ClapArgs)]
pub struct TermsArgs {
    /// From then on, as in 2027-01-01T00:00:00+09:00.
    #[arg(long)]
    pub from: Option<String>,
    /// Until then.
    #[arg(long)]
    pub until: Option<String>,
    /// Who may take part, in words for people.
    #[arg(long)]
    pub eligibility: Option<String>,
    /// On this ground or a better one: gov_isolated, domestic_private, domestic_public or foreign.
    #[arg(long)]
    pub residency_floor: Option<Zone>,
    /// What becomes of its tenants' jobs that run when nothing pays for them any more: run_on (until their time limit) or stop.
    #[arg(long)]
    pub jobs_when_ended: Option<WhenEnded>,
    /// What a stretch of a job costs that was stopped for others, or by a stop switch, and left no checkpoint: charged or free.
    #[arg(long)]
    pub jobs_preempted: Option<Preempted>,
}

/// `madang programme`.
#[derive(Debug, Subcommand)]
pub enum ProgrammeCommand {
    /// All programmes.
    List(ServerArgs),
    /// Make a programme.
    Create {
        /// The programme.
        id: String,
        /// Its share beside the others.
        #[arg(long, default_value_t = 1)]
        weight: u32,
        /// On what terms.
        #[command(flatten)]
        terms: TermsArgs,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Change a programme; what is left out stays.
    Set {
        /// The programme.
        id: String,
        /// Its share beside the others.
        #[arg(long)]
        weight: Option<u32>,
        /// On what terms.
        #[command(flatten)]
        terms: TermsArgs,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Remove a programme: the keys of its tenants are refused from then on.
    Remove {
        /// The programme.
        id: String,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
}

/// `madang project`.
#[derive(Debug, Subcommand)]
pub enum ProjectCommand {
    /// Projects, disabled ones included.
    List {
        /// Only this tenant's.
        #[arg(long)]
        tenant: Option<String>,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Make a project, or bring a disabled one back with its keys.
    Create {
        /// The project.
        id: String,
        /// Whose; with a tenant's key, that tenant.
        #[arg(long)]
        tenant: Option<String>,
        /// A label for people.
        #[arg(long, default_value = "")]
        label: String,
        /// Won that its keys may spend together from now on.
        #[arg(long, value_name = "WON", value_parser = whole::<i64>(1..=1_000_000_000_000))]
        limit_won: Option<i64>,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Change a project's label, or raise what its keys may spend; what is left out stays.
    Set {
        /// The project.
        id: String,
        /// Whose.
        #[arg(long)]
        tenant: String,
        /// A label for people.
        #[arg(long)]
        label: Option<String>,
        /// Won that its keys may spend together. It is raised, and never lowered.
        #[arg(long, value_name = "WON", value_parser = whole::<i64>(1..=1_000_000_000_000))]
        limit_won: Option<i64>,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Disable a project: its keys are refused from then on; its records stay.
    Disable {
        /// The project.
        id: String,
        /// Whose.
        #[arg(long)]
        tenant: String,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
}

/// `madang login`.
#[derive(Debug, ClapArgs)]
pub struct LoginArgs {
    /// Open no browser: print the address alone.
    #[arg(long)]
    pub no_browser: bool,
    /// Where the server is.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `madang key`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Keys, without their secrets.
    List {
        /// Only this tenant's.
        #[arg(long)]
        tenant: Option<String>,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Make a key. The secret is shown once.
    Create(Box<KeyCreateArgs>),
    /// Refuse a key from now on.
    Revoke {
        /// The key's id: what stands between `mdg_` and the next `_`.
        id: String,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
}

/// `madang key create`.
#[derive(Debug, ClapArgs)]
pub struct KeyCreateArgs {
    /// Whose key, with a role of a tenant; with a tenant's key, that tenant where it is left out.
    #[arg(long, required_unless_present_any = ["operator", "role", "programme"])]
    pub tenant: Option<String>,
    /// An operator's key: the same as `--role operator`.
    #[arg(long, conflicts_with_all = ["tenant", "programme", "role"])]
    pub operator: bool,
    /// operator, programme_manager, tenant_admin, member or auditor; member where it is left out.
    #[arg(long)]
    pub role: Option<Role>,
    /// Whose key, with the role programme_manager.
    #[arg(long, conflicts_with = "tenant")]
    pub programme: Option<String>,
    /// The tenant's project that its usage counts for.
    #[arg(long)]
    pub project: Option<String>,
    /// Models that it may ask for, with commas; all without it.
    #[arg(long, value_delimiter = ',')]
    pub models: Vec<String>,
    /// Doors that it may come through, as in `chat,embeddings`: chat, completions, embeddings, responses, messages; all
    /// without it.
    #[arg(long, value_delimiter = ',')]
    pub endpoints: Vec<Endpoint>,
    /// Requests that it may make in a minute.
    #[arg(long, value_name = "COUNT")]
    pub requests_per_min: Option<u32>,
    /// Tokens that it may use in a minute, of prompts and answers.
    #[arg(long, value_name = "COUNT")]
    pub tokens_per_min: Option<u32>,
    /// Won that it may spend.
    #[arg(long, value_name = "WON", value_parser = whole::<i64>(1..=1_000_000_000_000))]
    pub limit_won: Option<i64>,
    /// No request with the key has a lower class: open, sensitive or classified.
    #[arg(long, default_value = "open")]
    pub class_floor: String,
    /// What all data sent with it is, as in `health,minor`.
    #[arg(long, value_delimiter = ',')]
    pub data_flags: Vec<String>,
    /// A label for people.
    #[arg(long, default_value = "")]
    pub label: String,
    /// Days until it expires; never without it.
    #[arg(long)]
    pub expires_days: Option<u32>,
    /// Where the server is.
    #[command(flatten)]
    pub server: ServerArgs,
}
