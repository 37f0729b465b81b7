//! Files that are there whole or not at all, whatever happens to the process or the machine.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Where a file is written before it gets its name.
const NEW: &str = "new";

/// Puts files below a folder. One writer at a time.
pub(crate) struct Writer {
    root: PathBuf,
    /// Folders with names that are not synced yet.
    unsynced: BTreeSet<PathBuf>,
}

impl Writer {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            unsynced: BTreeSet::new(),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Puts `bytes` at `path` below the root, synced. Its name is durable after [`Writer::sync`].
    pub(crate) fn put(&mut self, path: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
        let path = self.root.join(path);
        let folder = path.parent().unwrap_or(&path);
        self.make(folder)?;
        let new = self.root.join(NEW);
        remove(&new)?;
        let mut file = options(mode).create_new(true).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, &path)?;
        self.unsynced.insert(folder.to_owned());
        Ok(())
    }

    /// Makes a folder and those above it.
    fn make(&mut self, folder: &Path) -> io::Result<()> {
        let missing: Vec<PathBuf> = folder
            .ancestors()
            .take_while(|folder| folder.starts_with(&self.root) && !folder.is_dir())
            .map(Path::to_owned)
            .collect();
        std::fs::create_dir_all(folder)?;
        // A folder's name stands in the folder above it.
        self.unsynced.extend(
            missing
                .iter()
                .filter_map(|folder| folder.parent())
                .map(Path::to_owned),
        );
        Ok(())
    }

    /// Makes the names of all files put durable.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        for folder in &self.unsynced {
            File::open(folder)?.sync_all()?;
        }
        self.unsynced.clear();
        Ok(())
    }
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
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it has over {bytes_max} bytes"),
        ));
    }
    Ok(Some(bytes))
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
