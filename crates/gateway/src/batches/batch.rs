//! A batch on disk: what was asked for, which never changes; how it stands, which whoever drives it writes; that somebody withdrew
//! it. Each has a file of its own with one writer, so that gateways that share the folder need no other word between them.

use super::disk;
use super::id::{BatchId, FileId};
use madang_types::{DataClass, DataFlags, Endpoint, KeyId, TenantId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

const ORDER: &str = "order.json";
const STATE: &str = "state.json";
const CANCEL: &str = "cancel.json";
const LOCK: &str = "lock";

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    pub id: BatchId,
    pub tenant: TenantId,
    /// The key that made it: each line is a request of that key, as it stands then.
    pub key: KeyId,
    pub endpoint: Endpoint,
    pub input_file_id: FileId,
    /// Seconds since 1970, as all times here.
    pub created_at: i64,
    /// Lines that have no answer by then get none.
    pub expires_at: i64,
    pub metadata: Option<BTreeMap<String, String>>,
    /// The class that was claimed for all lines.
    pub data_class: Option<DataClass>,
    pub data_flags: DataFlags,
    /// How long the files of results are kept, in seconds.
    pub output_keep_s: i64,
    /// The files that results come to stand in.
    pub output_file_id: FileId,
    pub error_file_id: FileId,
}

/// Where a batch stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    #[default]
    Validating,
    InProgress,
    Finalizing,
    Completed,
    Failed,
    Expired,
    Cancelled,
}

impl Status {
    /// OpenAI's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Validating => "validating",
            Self::InProgress => "in_progress",
            Self::Finalizing => "finalizing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more comes of it.
    pub fn is_over(self) -> bool {
        match self {
            Self::Validating | Self::InProgress | Self::Finalizing => false,
            Self::Completed | Self::Failed | Self::Expired | Self::Cancelled => true,
        }
    }
}

/// What is wrong with an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LineError {
    pub code: String,
    /// From 1; `None` where it is the whole file.
    pub line: Option<u64>,
    pub message: String,
    pub param: Option<String>,
}

/// How a batch stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub status: Status,
    pub total: u64,
    pub completed: u64,
    pub failed: u64,
    pub in_progress_at: Option<i64>,
    pub finalizing_at: Option<i64>,
    /// When it came to be over, however it did.
    pub over_at: Option<i64>,
    /// How it ends once its results are in their files.
    pub ends: Option<Status>,
    /// Which of the files there are.
    pub has_output: bool,
    pub has_errors: bool,
    pub errors: Vec<LineError>,
}

/// That it was withdrawn.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Cancel {
    pub at: i64,
}

/// A batch as anybody may look at it.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub order: Order,
    pub state: State,
    pub cancelled_at: Option<i64>,
}

/// All batches, by tenant.
#[derive(Clone)]
pub(crate) struct Orders {
    root: PathBuf,
}

/// The folder of one.
#[derive(Clone, Debug)]
pub(super) struct BatchFolder {
    path: PathBuf,
}

impl Orders {
    /// Batches below `root`, which need not be there yet.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn folder(&self, tenant: &TenantId) -> PathBuf {
        self.root.join(tenant.as_str()).join("batches")
    }

    /// Tenants that have anything here.
    pub fn tenants(&self) -> io::Result<Vec<TenantId>> {
        disk::names(&self.root)
    }

    pub fn at(&self, tenant: &TenantId, id: BatchId) -> BatchFolder {
        BatchFolder {
            path: self.folder(tenant).join(id.to_string()),
        }
    }

    /// Keeps a batch that was asked for, with the input as it is now: its file may be taken away meanwhile.
    pub fn insert(&self, order: &Order, input: &Path) -> io::Result<()> {
        let folder = self.at(&order.tenant, order.id);
        let part = disk::part_make(&folder.path)?;
        std::fs::hard_link(input, part.join("input.jsonl"))?;
        disk::json_write(&part.join(STATE), &State::default())?;
        disk::json_write(&part.join(ORDER), order)?;
        disk::part_keep(&part, &folder.path)
    }

    /// A tenant's batches, newest first.
    pub fn ids(&self, tenant: &TenantId) -> io::Result<Vec<BatchId>> {
        let mut ids: Vec<BatchId> = disk::names(&self.folder(tenant))?;
        ids.sort_unstable_by(|one, other| other.cmp(one));
        Ok(ids)
    }

    /// One batch.
    pub fn get(&self, tenant: &TenantId, id: BatchId) -> io::Result<Option<Batch>> {
        self.at(tenant, id).read()
    }

    /// Takes away batches that have been over since before `before_s`, and what was never made whole.
    pub fn sweep(&self, tenant: &TenantId, before_s: i64) -> io::Result<()> {
        for id in self.ids(tenant)? {
            let Some(batch) = self.get(tenant, id)? else {
                continue;
            };
            if batch.state.over_at.is_some_and(|at| at < before_s) {
                disk::folder_remove(&self.at(tenant, id).path)?;
            }
        }
        disk::parts_sweep(&self.folder(tenant), before_s, |id| {
            id.parse::<BatchId>().ok().map(BatchId::made_at_s)
        })
    }
}

impl BatchFolder {
    pub fn read(&self) -> io::Result<Option<Batch>> {
        let Some(order) = disk::json_read(&self.path.join(ORDER))? else {
            return Ok(None);
        };
        Ok(Some(Batch {
            order,
            state: disk::json_read(&self.path.join(STATE))?.unwrap_or_default(),
            cancelled_at: self.cancelled_at()?,
        }))
    }

    /// When it was withdrawn, if it was.
    pub fn cancelled_at(&self) -> io::Result<Option<i64>> {
        let cancel: Option<Cancel> = disk::json_read(&self.path.join(CANCEL))?;
        Ok(cancel.map(|cancel| cancel.at))
    }

    /// Withdraws it. A second time changes nothing.
    pub fn cancel(&self, at: i64) -> io::Result<()> {
        if self.cancelled_at()?.is_some() {
            return Ok(());
        }
        disk::json_write(&self.path.join(CANCEL), &Cancel { at })
    }

    /// Takes the driving of it; `None` where another gateway has it.
    pub fn take(&self) -> io::Result<Option<File>> {
        disk::lock_take(&self.path.join(LOCK))
    }

    pub fn state_write(&self, state: &State) -> io::Result<()> {
        disk::json_write(&self.path.join(STATE), state)
    }

    pub fn input(&self) -> PathBuf {
        self.path.join("input.jsonl")
    }

    pub fn output(&self) -> PathBuf {
        self.path.join("output.jsonl")
    }

    pub fn errors(&self) -> PathBuf {
        self.path.join("errors.jsonl")
    }

    /// Takes away what is needed only while it is not over.
    pub fn clear(&self) -> io::Result<()> {
        for path in [self.input(), self.output(), self.errors()] {
            disk::gone(std::fs::remove_file(path))?;
        }
        Ok(())
    }
}
