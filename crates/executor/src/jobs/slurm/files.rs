//! The runs' folder on the cluster: seen from here where it is mounted, by a shell of the cluster where it is not.

use super::script::{line, quoted};
use super::shell::Shell;
use super::transport::Fault;
use crate::jobs::RunLog;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

/// The most that is read of a log at once.
pub(super) const READ_BYTES_MAX: usize = 4 << 20;

/// The way to the folder.
pub(super) enum Files {
    /// It is mounted.
    Here {
        /// What the cluster calls it.
        folder: String,
        /// What it is called here.
        mounted: PathBuf,
    },
    /// By lines of a shell.
    By(Arc<Shell>),
    /// There is none.
    Nowhere,
}

impl Files {
    /// Writes a file that nobody but its owner reads. Whoever reads it meanwhile finds all of the old one, or of the new one.
    pub(super) async fn write_secret(&self, path: &str, text: &str) -> Result<(), Fault> {
        match self {
            Self::Here { .. } => {
                let (path, part) = (self.here(path), self.here(&format!("{path}.part")));
                let mut how = tokio::fs::OpenOptions::new();
                how.write(true).create(true).truncate(true).mode(0o600);
                let write = async {
                    let mut file = how.open(&part).await?;
                    file.write_all(text.as_bytes()).await?;
                    file.sync_all().await?;
                    tokio::fs::rename(&part, &path).await
                };
                let written = write.await;
                if written.is_err() {
                    tokio::fs::remove_file(&part).await.ok();
                }
                written.map_err(|error| disk(&path, &error))
            }
            Self::By(shell) => {
                let (path, part) = (quoted(path), quoted(&format!("{path}.part")));
                let write = format!(
                    "umask 077 && cat >{part} && mv -f -- {part} {path} || {{ rm -f -- {part}; false; }}"
                );
                expect(shell, &write, text.as_bytes()).await.map(|_| ())
            }
            Self::Nowhere => Err(Fault::Refused(
                "it has no way for secrets and signed addresses: the folder of its runs is not mounted here, and no shell of it is configured"
                    .to_owned(),
            )),
        }
    }

    /// A part of a log, of whose end so many bytes are kept. `None` where there is no way to it.
    pub(super) async fn read(
        &self,
        path: &str,
        from: u64,
        bytes_max: usize,
        kept_max: u64,
    ) -> Result<Option<RunLog>, Fault> {
        let bytes_max = bytes_max.min(READ_BYTES_MAX);
        match self {
            Self::Here { .. } => {
                let path = self.here(path);
                let log = read_here(&path, from, bytes_max, kept_max).await;
                log.map(Some).map_err(|error| disk(&path, &error))
            }
            Self::By(shell) => {
                // A shell counts in 64 bits with a sign.
                let kept_max = kept_max.min(1 << 62);
                let text = format!(
                    "f={} from={from}; bytes=$(stat -c %s -- \"$f\" 2>/dev/null) || {{ echo \"$from\"; exit 0; }}
                    [ $((bytes - {kept_max})) -le \"$from\" ] || from=$((bytes - {kept_max})); echo \"$from\"
                    tail -c +$((from + 1)) -- \"$f\" | head -c {bytes_max}",
                    quoted(path)
                );
                let answer = expect(shell, &text, b"").await?;
                let head = answer.iter().position(|byte| *byte == b'\n').unwrap_or(0);
                let (head, rest) = answer.split_at(head);
                let from = std::str::from_utf8(head)
                    .ok()
                    .and_then(|text| text.parse().ok());
                let from =
                    from.ok_or_else(|| Fault::Unknown("a log's head is not sound".to_owned()))?;
                let bytes = rest.get(1..).unwrap_or_default().to_vec();
                Ok(Some(RunLog { from, bytes }))
            }
            Self::Nowhere => Ok(None),
        }
    }

    /// Removes files and folders, whether they are there or not. What cannot be reached stays.
    pub(super) async fn remove(&self, paths: &[String]) -> Result<(), Fault> {
        match self {
            Self::Here { .. } => {
                for path in paths {
                    let path = self.here(path);
                    remove_here(&path)
                        .await
                        .map_err(|error| disk(&path, &error))?;
                }
                Ok(())
            }
            Self::By(shell) => {
                let words = ["rm", "-rf", "--"]
                    .into_iter()
                    .chain(paths.iter().map(String::as_str));
                expect(shell, &line(words), b"").await.map(|_| ())
            }
            Self::Nowhere => Ok(()),
        }
    }

    fn here(&self, path: &str) -> PathBuf {
        let Self::Here { folder, mounted } = self else {
            return PathBuf::from(path);
        };
        let inner = path.strip_prefix(folder.as_str()).unwrap_or(path);
        mounted.join(inner.trim_start_matches('/'))
    }
}

async fn read_here(path: &Path, from: u64, bytes_max: usize, kept_max: u64) -> io::Result<RunLog> {
    let mut file = match tokio::fs::File::open(path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(RunLog {
                from,
                bytes: Vec::new(),
            });
        }
        file => file?,
    };
    let size = file.metadata().await?.len();
    let from = from.max(size.saturating_sub(kept_max));
    file.seek(io::SeekFrom::Start(from)).await?;
    let mut bytes = Vec::new();
    file.take(bytes_max as u64).read_to_end(&mut bytes).await?;
    Ok(RunLog { from, bytes })
}

async fn remove_here(path: &Path) -> io::Result<()> {
    let removed = match tokio::fs::symlink_metadata(path).await {
        Ok(file) if file.is_dir() => tokio::fs::remove_dir_all(path).await,
        Ok(_) => tokio::fs::remove_file(path).await,
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

async fn expect(shell: &Shell, text: &str, input: &[u8]) -> Result<Vec<u8>, Fault> {
    let answer = shell.run(text, input).await?;
    if answer.code == 0 {
        return Ok(answer.bytes);
    }
    Err(Fault::Unknown(answer.told()))
}

fn disk(path: &Path, error: &io::Error) -> Fault {
    Fault::Unknown(format!("{}: {error}", path.display()))
}
