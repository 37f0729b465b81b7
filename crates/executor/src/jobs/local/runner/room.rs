//! Room on the disk while a program runs. Its files stand beside Madang's own, so a program that fills the disk would end all service.

use crate::jobs::local::folder::{RunFolder, create_private};
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// So much of a disk stays free for others: a GiB, of a small disk a twentieth.
const FREE_BYTES_MIN: u64 = 1 << 30;
const FREE_PARTS: u64 = 20;
/// Between two looks at the disk, and after its own files were counted and are not what fills it.
const LOOK: Duration = Duration::from_millis(200);
const LOOK_LATER: Duration = Duration::from_secs(5);
/// No more files than this are counted: who has more has as much room as was found in these.
const FILES_MAX: u32 = 200_000;
/// Of a file's blocks, whatever those of its disk are.
const BLOCK_BYTES: u64 = 512;

/// What a program had of its disk when that was too much.
pub(super) struct Filled {
    own_bytes: u64,
    free_bytes: u64,
    min_bytes: u64,
}

impl fmt::Display for Filled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            own_bytes,
            free_bytes,
            min_bytes,
        } = self;
        write!(
            f,
            "its disk had {free_bytes} bytes left, where {min_bytes} stay free for others, and its own files had {own_bytes}: it was ended, and they were removed"
        )
    }
}

/// The room that a run's files have.
pub(super) struct Room {
    folders: [PathBuf; 2],
    look_at: Instant,
    filled: Option<Filled>,
}

impl Room {
    pub fn of(folder: &RunFolder) -> Self {
        Self {
            folders: [folder.work(), folder.scratch()],
            look_at: Instant::now() + LOOK,
            filled: None,
        }
    }

    pub fn filled(&self) -> Option<&Filled> {
        self.filled.as_ref()
    }

    /// Ready once the disk has too little room, and the run's own files are why: others that have less go on.
    pub async fn is_short(&mut self) {
        loop {
            sleep_until(self.look_at).await;
            self.look_at = Instant::now() + LOOK;
            let Some((free_bytes, min_bytes)) = free(&self.folders[0]) else {
                continue;
            };
            if free_bytes >= min_bytes {
                continue;
            }
            let mut files = FILES_MAX;
            let own = self.folders.iter().map(|folder| bytes(folder, &mut files));
            let own_bytes = own.sum();
            if own_bytes >= min_bytes {
                self.filled = Some(Filled {
                    own_bytes,
                    free_bytes,
                    min_bytes,
                });
                return;
            }
            self.look_at = Instant::now() + LOOK_LATER;
        }
    }
}

/// Bytes that are free on a folder's disk, and that have to be; `None` where nobody says.
fn free(folder: &Path) -> Option<(u64, u64)> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    let all = disk.f_blocks.checked_mul(disk.f_frsize)?;
    let free = disk.f_bavail.checked_mul(disk.f_frsize)?;
    Some((free, FREE_BYTES_MIN.min(all / FREE_PARTS)))
}

/// What a folder and all in it have of the disk. What cannot be read counts nothing.
fn bytes(folder: &Path, files: &mut u32) -> u64 {
    let mut sum = 0_u64;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            *files = files.saturating_sub(1);
            if *files == 0 {
                return sum;
            }
            // Of a link its own, not what it leads to.
            let Ok(about) = entry.metadata() else {
                continue;
            };
            if about.is_dir() {
                folders.push(entry.path());
            }
            sum = sum.saturating_add(about.blocks().saturating_mul(BLOCK_BYTES));
        }
    }
    sum
}

/// Removes a run's files; its output stays.
pub(super) fn clear(folder: &RunFolder) {
    for path in [folder.work(), folder.scratch()] {
        let cleared = crate::jobs::local::remove(&path).and_then(|()| create_private(&path));
        if let Err(error) = cleared {
            // Its end says what happened; what is left is dropped with the folder.
            tracing::debug!(path = %path.display(), %error, "a run's files stay");
        }
    }
}
