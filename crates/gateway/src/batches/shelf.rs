//! Files that tenants keep here: content and what is known of it, in a folder for each, which has its name once both are there.

use super::disk;
use super::id::FileId;
use madang_types::TenantId;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

const CONTENT: &str = "content";
const META: &str = "meta.json";
/// How long a file may take to come.
const PART_S_MAX: i64 = 24 * 3600;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Purpose {
    /// The lines of a batch.
    Batch,
    /// The results of one.
    BatchOutput,
    /// Examples to fine-tune a model with.
    #[serde(rename = "fine-tune")]
    FineTune,
    /// What a fine-tuning job made.
    #[serde(rename = "fine-tune-results")]
    FineTuneResults,
}

impl Purpose {
    /// What callers may send files for.
    pub const SENT: [Self; 2] = [Self::Batch, Self::FineTune];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::BatchOutput => "batch_output",
            Self::FineTune => "fine-tune",
            Self::FineTuneResults => "fine-tune-results",
        }
    }
}

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileMeta {
    pub id: FileId,
    pub bytes: u64,
    /// Seconds since 1970.
    pub created_at: i64,
    /// It is gone from then on.
    pub expires_at: i64,
    pub filename: String,
    pub purpose: Purpose,
}

/// All files, by tenant.
#[derive(Clone)]
pub(crate) struct Shelf {
    root: PathBuf,
}

/// A file in the making. Dropping it takes it away.
pub(crate) struct Draft {
    part: PathBuf,
    path: PathBuf,
    kept: bool,
}

impl Shelf {
    /// Files below `root`, which need not be there yet.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn folder(&self, tenant: &TenantId) -> PathBuf {
        self.root.join(tenant.as_str()).join("files")
    }

    fn path(&self, tenant: &TenantId, id: FileId) -> PathBuf {
        self.folder(tenant).join(id.to_string())
    }

    /// Begins a file.
    pub fn draft(&self, tenant: &TenantId, id: FileId) -> io::Result<Draft> {
        let path = self.path(tenant, id);
        Ok(Draft {
            part: disk::part_make(&path)?,
            path,
            kept: false,
        })
    }

    /// One file that is not over at `now_s`.
    pub fn get(&self, tenant: &TenantId, id: FileId, now_s: i64) -> io::Result<Option<FileMeta>> {
        let meta: Option<FileMeta> = disk::json_read(&self.path(tenant, id).join(META))?;
        Ok(meta.filter(|meta| now_s < meta.expires_at))
    }

    /// A tenant's files that are not over, oldest first.
    pub fn list(&self, tenant: &TenantId, now_s: i64) -> io::Result<Vec<FileMeta>> {
        let mut ids: Vec<FileId> = disk::names(&self.folder(tenant))?;
        ids.sort_unstable();
        let files = ids.into_iter().map(|id| self.get(tenant, id, now_s));
        files.filter_map(Result::transpose).collect()
    }

    /// A file's content, for reading and for links to it.
    pub fn content(&self, tenant: &TenantId, id: FileId) -> PathBuf {
        self.path(tenant, id).join(CONTENT)
    }

    /// Takes a file away; whether it was there.
    pub fn remove(&self, tenant: &TenantId, id: FileId) -> io::Result<bool> {
        match disk::folder_remove(&self.path(tenant, id)) {
            Ok(()) => Ok(true),
            Err(error) if disk::absent(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes away what is over, and what never came whole.
    pub fn sweep(&self, tenant: &TenantId, now_s: i64) -> io::Result<()> {
        let folder = self.folder(tenant);
        for id in disk::names::<FileId>(&folder)? {
            if self.get(tenant, id, now_s)?.is_none() {
                self.remove(tenant, id)?;
            }
        }
        disk::parts_sweep(&folder, now_s - PART_S_MAX, |id| {
            id.parse::<FileId>().ok().map(FileId::made_at_s)
        })
    }
}

impl Draft {
    /// The content, to be written.
    pub fn content(&self) -> PathBuf {
        self.part.join(CONTENT)
    }

    /// Takes what another path names as the content: nothing is copied, and either may be taken away.
    pub fn link(&self, from: &Path) -> io::Result<()> {
        std::fs::hard_link(from, self.content())
    }

    /// Keeps the file, durably.
    pub fn keep(mut self, meta: &FileMeta) -> io::Result<()> {
        File::open(self.content())?.sync_all()?;
        disk::json_write(&self.part.join(META), meta)?;
        disk::part_keep(&self.part, &self.path)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        match std::fs::remove_dir_all(&self.part) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(%error, "a file in the making was not taken away");
            }
            Ok(()) | Err(_) => {}
        }
    }
}
