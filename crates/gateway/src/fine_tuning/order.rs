//! A fine-tuning job on disk: what was asked for, which never changes; the batch job that it became; its events; how it ended. Each is
//! a file with one writer.

use super::events::{Event, EventFile};
use super::template::RESULTS;
use crate::batches::disk;
use crate::batches::id::{FileId, TuningId};
use madang_types::{JobId, KeyId, ModelId, TenantId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const ORDER: &str = "order.json";
const JOB: &str = "job.json";
const END: &str = "end.json";
const EVENTS: &str = "events.jsonl";
/// Where a folder that jobs may write to is made ready; no tenant is called so.
const NEW: &str = ".new";
/// Held by whoever keeps the jobs of this folder; no tenant is called so.
const LOCK: &str = ".fine-tuning.lock";

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    pub id: TuningId,
    pub tenant: TenantId,
    /// The key that asked.
    pub key: KeyId,
    /// The template's name.
    pub template: String,
    pub model: ModelId,
    pub training_file: FileId,
    pub validation_file: Option<FileId>,
    pub hyperparameters: BTreeMap<String, f64>,
    pub suffix: Option<String>,
    pub seed: u64,
    pub metadata: Option<BTreeMap<String, String>>,
    /// Seconds since 1970.
    pub created_at: i64,
    /// What it makes is called so.
    pub fine_tuned_model: ModelId,
    /// The folder of inputs and results of all such jobs, which machines have too.
    pub folder: PathBuf,
    /// Files that it leaves, and the ids that they get.
    pub results: Vec<(String, FileId)>,
    /// How long these are kept, in seconds.
    pub keep_s: i64,
}

impl Order {
    /// Where its inputs and results lie.
    pub fn exchange(&self) -> PathBuf {
        self.folder
            .join(self.tenant.as_str())
            .join(self.id.to_string())
    }

    /// The same below the folder.
    pub fn result(&self, name: &str) -> PathBuf {
        let job = Path::new(self.tenant.as_str()).join(self.id.to_string());
        job.join(RESULTS).join(name)
    }

    /// An empty folder with one for results in it, where nobody else writes before it has its place.
    pub fn exchange_make(&self) -> io::Result<PathBuf> {
        let new = self.folder.join(NEW);
        disk::folder_make(&new)?;
        let new = new.join(self.id.to_string());
        DirBuilder::new().mode(0o700).create(&new)?;
        DirBuilder::new().mode(0o700).create(new.join(RESULTS))?;
        Ok(new)
    }

    /// Gives it its place.
    pub fn exchange_keep(&self, new: &Path) -> io::Result<()> {
        disk::folder_make(&self.folder.join(self.tenant.as_str()))?;
        std::fs::rename(new, self.exchange())
    }

    /// Takes it away, wherever it is.
    pub fn exchange_remove(&self) -> io::Result<()> {
        for path in [
            self.folder.join(NEW).join(self.id.to_string()),
            self.exchange(),
        ] {
            disk::gone(std::fs::remove_dir_all(path))?;
        }
        Ok(())
    }
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Succeeded,
    Failed,
    Cancelled,
}

impl Status {
    /// OpenAI's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The end of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct End {
    pub status: Status,
    /// Seconds since 1970.
    pub finished_at: i64,
    /// Why, where it did not succeed.
    pub error: Option<String>,
    pub result_files: Vec<FileId>,
    pub trained_tokens: Option<u64>,
}

/// A fine-tuning job as anybody may look at it.
#[derive(Clone, Debug)]
pub(super) struct Tuning {
    pub order: Order,
    /// `None` until it was submitted.
    pub job: Option<JobId>,
    /// `None` until all of it was taken in.
    pub end: Option<End>,
}

/// All fine-tuning jobs, by tenant.
#[derive(Clone)]
pub(super) struct Orders {
    root: PathBuf,
}

impl Orders {
    /// Those below `root`, which need not be there yet.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn folder(&self, tenant: &TenantId) -> PathBuf {
        self.root.join(tenant.as_str()).join("fine_tuning")
    }

    fn path(&self, tenant: &TenantId, id: TuningId) -> PathBuf {
        self.folder(tenant).join(id.to_string())
    }

    /// Tenants that have anything here.
    pub fn tenants(&self) -> io::Result<Vec<TenantId>> {
        disk::names(&self.root)
    }

    /// A tenant's, newest first.
    pub fn ids(&self, tenant: &TenantId) -> io::Result<Vec<TuningId>> {
        let mut ids: Vec<TuningId> = disk::names(&self.folder(tenant))?;
        ids.sort_unstable_by(|one, other| other.cmp(one));
        Ok(ids)
    }

    /// One of them.
    pub fn get(&self, tenant: &TenantId, id: TuningId) -> io::Result<Option<Tuning>> {
        let path = self.path(tenant, id);
        let Some(order) = disk::json_read(&path.join(ORDER))? else {
            return Ok(None);
        };
        Ok(Some(Tuning {
            order,
            job: disk::json_read(&path.join(JOB))?,
            end: disk::json_read(&path.join(END))?,
        }))
    }

    /// Keeps what was asked for, with its first event.
    pub fn insert(&self, order: &Order, first: &Event) -> io::Result<()> {
        let path = self.path(&order.tenant, order.id);
        let part = disk::part_make(&path)?;
        disk::json_write(&part.join(ORDER), order)?;
        EventFile(part.join(EVENTS)).append(std::slice::from_ref(first))?;
        disk::part_keep(&part, &path)
    }

    /// Says which batch job it became.
    pub fn submitted(&self, order: &Order, job: JobId) -> io::Result<()> {
        disk::json_write(&self.path(&order.tenant, order.id).join(JOB), &job)
    }

    /// Says how it ended.
    pub fn ended(&self, order: &Order, end: &End) -> io::Result<()> {
        disk::json_write(&self.path(&order.tenant, order.id).join(END), end)
    }

    /// Its events.
    pub fn events(&self, tenant: &TenantId, id: TuningId) -> EventFile {
        EventFile(self.path(tenant, id).join(EVENTS))
    }

    /// Takes one away.
    pub fn remove(&self, order: &Order) -> io::Result<()> {
        order.exchange_remove()?;
        disk::gone(disk::folder_remove(&self.path(&order.tenant, order.id)))
    }

    /// Takes away jobs that have been over since before `before_s`, and what was never made whole.
    pub fn sweep(&self, tenant: &TenantId, before_s: i64) -> io::Result<()> {
        for id in self.ids(tenant)? {
            let Some(tuning) = self.get(tenant, id)? else {
                continue;
            };
            if tuning.end.is_some_and(|end| end.finished_at < before_s) {
                self.remove(&tuning.order)?;
            }
        }
        disk::parts_sweep(&self.folder(tenant), before_s, |id| {
            id.parse::<TuningId>().ok().map(TuningId::made_at_s)
        })
    }

    /// Takes the keeping of all of them; `None` where another gateway has it.
    pub fn take(&self) -> io::Result<Option<File>> {
        disk::folder_make(&self.root)?;
        disk::lock_take(&self.root.join(LOCK))
    }
}
