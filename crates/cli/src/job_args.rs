//! Flags of `madang job`.

use crate::args::ServerArgs;
use crate::numbers::whole;
use clap::{Args as ClapArgs, Subcommand};
use std::path::PathBuf;

/// `madang job`.
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// Submit a job: a TOML file, or a script whose `#MADANG` lines say the same.
    Submit {
        /// The file; `-` reads standard input.
        file: PathBuf,
        /// Wait until it is over; the exit code is 0 where it ended well.
        #[arg(long)]
        wait: bool,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Jobs, the newest first.
    List {
        /// Only those that stand so: pending, held, running, completed, failed, cancelled or timed_out.
        #[arg(long)]
        state: Option<String>,
        /// Only this tenant's.
        #[arg(long)]
        tenant: Option<String>,
        /// Only of projects of this name.
        #[arg(long)]
        project: Option<String>,
        /// Continues after this job.
        #[arg(long)]
        before: Option<String>,
        /// How many.
        #[arg(long, default_value_t = 100, value_parser = whole::<u32>(1..=1000))]
        limit: u32,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// One job: how it stands, why it waits, when it is expected to start, and its runs.
    Show {
        /// Which.
        #[command(flatten)]
        job: JobArgs,
        /// Runs after this one, as 1042.7-1.
        #[arg(long)]
        after: Option<String>,
        /// How many runs.
        #[arg(long, default_value_t = 100, value_parser = whole::<u32>(1..=1000))]
        limit: u32,
    },
    /// What a job prints.
    Logs {
        /// The job, or a task of an array, as 1042.7; of an array alone its first task.
        task: String,
        /// Which run of it, from 1; the last where not given.
        #[arg(long, value_parser = whole::<u32>(1..=u32::MAX))]
        run: Option<u32>,
        /// Go on until it is over, through all of its runs if none is named. While it waits a line says why.
        #[arg(long, short)]
        follow: bool,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Withdraw a job: what of it runs is stopped.
    Cancel(JobArgs),
    /// Hold a job back: what of it runs goes on.
    Hold(JobArgs),
    /// Let a job go on that is held back.
    Release(JobArgs),
    /// Have what runs of a job begin anew.
    Requeue(JobArgs),
    /// A shell in the folder and with the environment of a job that runs, on the server's own machine.
    Shell {
        /// The job, or a task of an array, as 1042.7; of an array alone its first task.
        task: String,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
}

/// One job.
#[derive(Debug, ClapArgs)]
pub struct JobArgs {
    /// Its number.
    pub job: String,
    /// Where the server is.
    #[command(flatten)]
    pub server: ServerArgs,
}
