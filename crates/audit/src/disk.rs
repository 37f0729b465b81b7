//! Files that are there whole or not at all, whatever happens to the process or the machine.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Files that are open and unsynced at once.
const OPEN_MAX: usize = 64;

/// Puts files below a folder, many at a time: all are written, then all are synced, which costs little more than one sync.
/// One writer at a time. It makes folders below its own, which must be there: one that was moved away is not begun anew.
pub(crate) struct Writer {
    root: PathBuf,
    /// Where files are written before they get their names.
    new: PathBuf,
    /// Written, not synced, and without their names.
    written: Vec<Written>,
    /// Folders with names that are not synced yet.
    unsynced: BTreeSet<PathBuf>,
}

struct Written {
    file: File,
    from: PathBuf,
    to: PathBuf,
}

impl Writer {
    /// Files below `root`; before they get their names they are in `new` below it.
    pub(crate) fn new(root: &Path, new: &str) -> Self {
        Self {
            root: root.to_owned(),
            new: root.join(new),
            written: Vec::new(),
            unsynced: BTreeSet::new(),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Puts `bytes` at `path` below the root, to be there, and durable, after [`Writer::sync`].
    pub(crate) fn put(&mut self, path: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
        if self.written.len() == OPEN_MAX {
            self.name()?;
        }
        self.make(&self.new.clone())?;
        let from = self.new.join(self.written.len().to_string());
        remove(&from)?;
        let mut file = options(mode).create_new(true).open(&from)?;
        file.write_all(bytes)?;
        let to = self.root.join(path);
        self.written.push(Written { file, from, to });
        Ok(())
    }

    /// Syncs what was written, and gives it its names.
    fn name(&mut self) -> io::Result<()> {
        for Written { file, .. } in &self.written {
            begin_writing(file);
        }
        for Written { file, .. } in &self.written {
            file.sync_all()?;
        }
        for Written { from, to, .. } in std::mem::take(&mut self.written) {
            if let Some(folder) = to.parent() {
                self.make(folder)?;
                self.unsynced.insert(folder.to_owned());
            }
            std::fs::rename(from, to)?;
        }
        Ok(())
    }

    /// A file that is there already: a process that was killed may not have made its name durable.
    pub(crate) fn found(&mut self, path: &str) {
        self.unsynced
            .extend(self.root.join(path).parent().map(Path::to_owned));
    }

    /// Forgets what was put and has no name yet.
    pub(crate) fn drop_unnamed(&mut self) {
        self.written.clear();
    }

    /// Makes a folder below the root, and those between.
    fn make(&mut self, folder: &Path) -> io::Result<()> {
        let missing: Vec<&Path> = folder
            .ancestors()
            .take_while(|folder| *folder != self.root && !folder.is_dir())
            .collect();
        for folder in missing.into_iter().rev() {
            std::fs::create_dir(folder)?;
            // A folder's name stands in the folder above it.
            self.unsynced.extend(folder.parent().map(Path::to_owned));
        }
        Ok(())
    }

    /// All files put are there, and durable.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.name()?;
        for folder in &self.unsynced {
            File::open(folder)?.sync_all()?;
        }
        self.unsynced.clear();
        Ok(())
    }
}

/// Has the kernel begin to write a file out. Where all files have begun before the first is synced, they get their blocks
/// together: a file system with a journal (ext4) commits once for all of them, not once for each. It is a hint: `sync_all` says
/// whether it is written.
fn begin_writing(file: &File) {
    #[cfg(target_os = "linux")]
    rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed).ok();
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}

/// To read and write a file, made with `mode` where there is none.
pub(crate) fn options(mode: u32) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options
}

/// Whether there is such a file. A longer one than `bytes_max` is an error.
pub(crate) fn has(path: &Path, bytes_max: u64) -> io::Result<bool> {
    match std::fs::metadata(path) {
        Ok(found) if found.len() > bytes_max => Err(too_long(bytes_max)),
        Ok(found) => Ok(found.is_file()),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The file's bytes; `None` where there is none. A longer one than `bytes_max` is an error.
pub(crate) fn read(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(too_long(bytes_max));
    }
    Ok(Some(bytes))
}

fn too_long(bytes_max: u64) -> io::Error {
    let what = format!("it has over {bytes_max} bytes");
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Removes a file that may be there.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if !is_absent(&error) => Err(error),
        _ => Ok(()),
    }
}

pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
