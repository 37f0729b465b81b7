//! Where the fleet comes from, and what keeps a new one from being used.

use madang_fleet::{LoadError, Loaded};
use madang_gateway::audit::AuditError;
use madang_gateway::snapshot::SnapshotError;
use madang_provision::ProvisionError;
use madang_store::StoreError;
use std::path::{Path, PathBuf};

/// Where the fleet file is.
#[derive(Clone, Debug)]
pub enum FleetSource {
    /// A file, read again at each reload.
    File(PathBuf),
    /// A text that the program itself made (`make up` without a file, `--model PATH`).
    Text {
        /// How it is called in messages.
        name: String,
        /// The TOML text.
        text: String,
        /// The folder that relative paths count from.
        base_dir: PathBuf,
    },
}

impl FleetSource {
    /// How it is called in messages.
    pub fn name(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::Text { name, .. } => PathBuf::from(name),
        }
    }

    /// Reads and checks the fleet.
    ///
    /// # Errors
    /// The file cannot be read, or every problem in it.
    pub fn read(&self) -> Result<Loaded, LoadError> {
        match self {
            Self::File(path) => madang_fleet::load(path),
            Self::Text {
                text,
                base_dir,
                name,
            } => madang_fleet::load_text(Path::new(name), text.clone(), base_dir),
        }
    }
}

/// Why a fleet was not taken. The one before goes on serving.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The file cannot be read or has problems.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// An engine or weights could not be had.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// A key file or an address cannot be used.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The tenants of the file could not be written to the books.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A change of the policy could not be logged.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The control plane is stopping.
    #[error("Madang is stopping")]
    Stopping,
}
