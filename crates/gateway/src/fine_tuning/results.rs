//! What a job left becomes files of its tenant. Jobs of the tenant may write where it lies: nothing there is followed or believed.

use super::order::Order;
use crate::batches::id::FileId;
use crate::batches::shelf::{FileMeta, Purpose, Shelf};
use madang_fleet::Limits;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Makes files of a job's results; those that cannot be, and why, are told beside. A second time makes nothing twice.
pub(super) fn keep(
    shelf: &Shelf,
    order: &Order,
    (limits, now_s): (&Limits, i64),
) -> io::Result<(Vec<FileId>, Vec<String>)> {
    let (mut files, mut left_out) = (Vec::new(), Vec::new());
    for (name, id) in &order.results {
        if shelf.get(&order.tenant, *id, now_s)?.is_some() {
            files.push(*id);
            continue;
        }
        match keep_one(shelf, order, (name, *id), (limits, now_s))? {
            None => files.push(*id),
            Some(why) => left_out.push(format!("The result {name} is no file here: {why}")),
        }
    }
    Ok((files, left_out))
}

/// Why it is not kept, if it is not.
fn keep_one(
    shelf: &Shelf,
    order: &Order,
    (name, id): (&str, FileId),
    (limits, now_s): (&Limits, i64),
) -> io::Result<Option<String>> {
    let found = match open(&order.folder, &order.result(name)) {
        Ok(found) => found,
        Err(error) => return Ok(Some(error.to_string())),
    };
    let others = shelf.list(&order.tenant, now_s)?;
    let used: u64 = others.iter().map(|file| file.bytes).sum();
    let left = limits.files_tenant_bytes_max.saturating_sub(used);
    let draft = shelf.draft(&order.tenant, id)?;
    let mut content = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(draft.content())?;
    let longest = limits.file_bytes_max.min(left);
    let bytes = io::copy(&mut found.take(longest.saturating_add(1)), &mut content)?;
    if bytes > longest {
        let what =
            "limits.file_bytes_max, or all files of the tenant limits.files_tenant_bytes_max";
        return Ok(Some(format!("it would have more bytes than {what}")));
    }
    draft.keep(&FileMeta {
        id,
        bytes,
        created_at: now_s,
        expires_at: now_s.saturating_add(order.keep_s),
        filename: name.to_owned(),
        purpose: Purpose::FineTuneResults,
    })?;
    Ok(None)
}

/// A regular file beneath a folder, on whose way no symbolic link is followed.
fn open(folder: &Path, path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(folder, flags, Mode::empty())?;
    // A pipe by that name would be waited for.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = File::from(rustix::fs::openat2(
        folder,
        path,
        flags,
        Mode::empty(),
        resolve,
    )?);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no regular file")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_result_is_a_file_of_its_own_and_no_way_elsewhere() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("shared");
        fs::create_dir_all(folder.join("results")).unwrap();
        fs::write(place.path().join("books"), "secret").unwrap();
        fs::write(folder.join("results/model"), "weights").unwrap();
        symlink(place.path().join("books"), folder.join("results/link")).unwrap();
        symlink(place.path(), folder.join("out")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, folder.join("results/pipe"), 0o600.into()).unwrap();
        let mut text = String::new();
        let mut model = open(&folder, Path::new("results/model")).unwrap();
        model.read_to_string(&mut text).unwrap();
        assert_eq!(text, "weights");
        for bad in [
            "results/link",
            "out/books",
            "../books",
            "results",
            "results/pipe",
            "results/none",
        ] {
            assert!(open(&folder, Path::new(bad)).is_err(), "{bad}");
        }
    }
}
