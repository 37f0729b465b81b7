//! Where the fleet comes from, and what keeps a new one from being used.

use madang_fleet::{Fleet, LoadError, Problem};
use madang_gateway::audit::AuditError;
use madang_gateway::snapshot::SnapshotError;
use madang_provision::ProvisionError;
use madang_store::StoreError;
use std::path::PathBuf;

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

/// A fleet as read, with its text for messages.
#[derive(Clone, Debug)]
pub struct ReadFleet {
    /// The fleet.
    pub fleet: Fleet,
    /// What the operator should be told all the same.
    pub warnings: Vec<Problem>,
    /// The text.
    pub source: String,
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
    pub fn read(&self) -> Result<ReadFleet, LoadError> {
        match self {
            Self::File(path) => {
                let loaded = madang_fleet::load(path)?;
                Ok(ReadFleet {
                    fleet: loaded.fleet,
                    warnings: loaded.warnings,
                    source: loaded.source,
                })
            }
            Self::Text {
                text,
                base_dir,
                name,
            } => match madang_fleet::parse(text, base_dir) {
                Ok(parsed) => Ok(ReadFleet {
                    fleet: parsed.fleet,
                    warnings: parsed.warnings,
                    source: text.clone(),
                }),
                Err(problems) => Err(LoadError::Invalid {
                    path: name.into(),
                    source_text: text.clone(),
                    problems,
                }),
            },
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
