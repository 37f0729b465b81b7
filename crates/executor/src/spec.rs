//! What is started, with which bounds, and why a start can fail before there is a process.

use crate::address::EngineAddress;
use crate::fill::FillError;
use madang_types::ReplicaId;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

/// One start of one engine: everything is filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchSpec {
    /// The replica that the engine is.
    pub replica: ReplicaId,
    /// The program: a path, or a name that is looked up on `PATH`.
    pub program: PathBuf,
    /// Its arguments, placeholders filled.
    pub args: Vec<String>,
    /// Added to Madang's own environment (which passes on, but for `MADANG_*`).
    pub env: BTreeMap<String, String>,
    /// Where the engine will listen.
    pub address: EngineAddress,
    /// Longest time from start to ready, in milliseconds.
    pub start_ms_max: u64,
    /// Longest time from SIGTERM to SIGKILL, in milliseconds.
    pub stop_ms_max: u64,
    /// Bytes of log kept on disk.
    pub log_bytes_max: u64,
    /// Holds pid files and sockets.
    pub run_dir: PathBuf,
}

/// Why an engine was not started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A placeholder of the command cannot be filled.
    #[error("cannot fill the launch command: {0}")]
    Fill(#[from] FillError),
    /// No port is free.
    #[error("no free port on 127.0.0.1: {0}")]
    Port(#[source] io::Error),
    /// The path is longer than the system takes.
    #[error("the socket path {} is longer than 107 bytes; choose a shorter data folder", .0.display())]
    SocketPath(PathBuf),
    /// A folder cannot be made or written.
    #[error("cannot write {}: {source}", path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The guard process did not start.
    #[error("cannot start the guard {}: {source}", program.display())]
    Guard {
        /// The guard's program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something that the caller prepares before a start failed.
    #[error("{0}")]
    Prepare(String),
}
