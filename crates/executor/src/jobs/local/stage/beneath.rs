//! Files beneath a folder, whatever symbolic links stand in it: the kernel refuses each step that would lead out (`openat2`).

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

/// A folder that nothing leads out of.
pub(super) struct Folder(OwnedFd);

impl Folder {
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    fn at(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::CLOEXEC;
        match rustix::fs::openat2(&self.0, path, flags, Mode::empty(), resolve) {
            Err(Errno::XDEV) => Err(io::Error::other("a symbolic link leads out of the folder")),
            opened => Ok(opened?),
        }
    }

    /// A regular file, for reading, and its length.
    pub fn file(&self, path: &Path) -> io::Result<(File, u64)> {
        // A pipe by that name would be waited for.
        let file = File::from(self.at(path, OFlags::RDONLY | OFlags::NONBLOCK)?);
        let facts = file.metadata()?;
        if !facts.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        Ok((file, facts.len()))
    }

    /// A file that is not there before it is whole; folders on its way are made.
    pub fn create(&self, path: &Path) -> io::Result<NewFile> {
        let plain = path
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        let name = path.file_name().filter(|_| plain);
        let name = name.ok_or_else(|| io::Error::other("it is no path inside the folder"))?;
        let above = path.parent().unwrap_or(Path::new(""));
        let folder = self.make(above)?;
        let scratch = OsString::from(format!(".madang-{}.part", std::process::id()));
        // What a runner left that had this number before.
        rustix::fs::unlinkat(&folder, &scratch, AtFlags::empty()).ok();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o666);
        let file = File::from(rustix::fs::openat(&folder, &scratch, flags, mode)?);
        Ok(NewFile {
            folder,
            scratch,
            name: name.to_owned(),
            file,
        })
    }

    fn make(&self, path: &Path) -> io::Result<OwnedFd> {
        let open = |path: &Path| self.at(path, OFlags::RDONLY | OFlags::DIRECTORY);
        let mut folder = open(Path::new("."))?;
        let parts: Vec<&OsStr> = path.iter().collect();
        for depth in 1..=parts.len() {
            let until: std::path::PathBuf = parts[..depth].iter().collect();
            let mode = Mode::from_raw_mode(0o777);
            match rustix::fs::mkdirat(&folder, parts[depth - 1], mode) {
                Ok(()) | Err(Errno::EXIST) => folder = open(&until)?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(folder)
    }
}

/// A file on its way.
pub(super) struct NewFile {
    folder: OwnedFd,
    scratch: OsString,
    name: OsString,
    pub file: File,
}

impl NewFile {
    /// Gives it its name, on disk.
    pub fn finish(self) -> io::Result<()> {
        self.file.sync_all()?;
        rustix::fs::renameat(&self.folder, &self.scratch, &self.folder, &self.name)?;
        Ok(rustix::fs::fsync(&self.folder)?)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // Nothing by that name is left once it is finished.
        rustix::fs::unlinkat(&self.folder, &self.scratch, AtFlags::empty()).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::{Read, Write};
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_leads_out() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("root");
        fs::create_dir_all(root.join("in")).unwrap();
        fs::write(place.path().join("outside"), "secret").unwrap();
        fs::write(root.join("in/side"), "open").unwrap();
        symlink("../outside", root.join("up")).unwrap();
        symlink("/etc", root.join("etc")).unwrap();
        symlink("in/side", root.join("down")).unwrap();
        let folder = Folder::open(&root).unwrap();
        for path in [
            "up",
            "etc/passwd",
            "../outside",
            "/etc/passwd",
            "in",
            "none",
        ] {
            assert!(folder.file(Path::new(path)).is_err(), "{path}");
        }
        for path in ["etc/made", "../made", "/etc/made", "in/../made", "."] {
            assert!(folder.create(Path::new(path)).is_err(), "{path}");
        }
        let mut text = String::new();
        let (mut file, length) = folder.file(Path::new("down")).unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), length), ("open", 4));
    }

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        let mut new = folder.create(Path::new("a/b/c")).unwrap();
        new.file.write_all(b"half").unwrap();
        assert!(!root.path().join("a/b/c").exists());
        drop(new);
        assert_eq!(fs::read_dir(root.path().join("a/b")).unwrap().count(), 0);
        let mut new = folder.create(Path::new("a/b/c")).unwrap();
        new.file.write_all(b"whole").unwrap();
        new.finish().unwrap();
        assert_eq!(
            fs::read_to_string(root.path().join("a/b/c")).unwrap(),
            "whole"
        );
        assert_eq!(fs::read_dir(root.path().join("a/b")).unwrap().count(), 1);
    }
}
