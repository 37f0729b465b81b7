//! What `madang plan` and `madang twin run` read: a file, or one that is built in.

use crate::diagnose;
use crate::out;
use anyhow::{Context, bail};
use madang_fleet::{FileProblems, Problem};
use madang_twin::scenario::Files;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::thread;

/// One kind of such files.
pub(super) struct Kind {
    /// What people call one.
    pub word: &'static str,
    /// Those that are built in: name and text.
    pub built_in: &'static [(&'static str, &'static str)],
    /// Bytes of one.
    pub bytes_max: u64,
}

/// A text, and where the files are that it names.
pub(super) struct Source {
    path: PathBuf,
    pub text: String,
    pub files: Files,
}

impl Source {
    /// A file, or one of those that are built in.
    pub fn read(name: &Path, kind: &Kind) -> anyhow::Result<Self> {
        let (shown, word) = (name.display(), kind.word);
        if !name.exists() {
            let mut built_in = kind.built_in.iter();
            let Some((known, text)) = built_in.find(|(known, _)| name.as_os_str() == *known) else {
                let known: Vec<&str> = kind.built_in.iter().map(|(known, _)| *known).collect();
                bail!(
                    "there is no file {shown}, and no {word} of that name is built in: those are {}",
                    known.join(", ")
                );
            };
            return Ok(Self {
                path: format!("{known}.toml").into(),
                text: (*text).to_owned(),
                files: Files::Builtin,
            });
        }
        let bytes = bounded(name, word, kind.bytes_max)?;
        let text = String::from_utf8(bytes).with_context(|| format!("{shown} is no text"))?;
        let folder = name.parent().map(Path::to_path_buf).unwrap_or_default();
        Ok(Self {
            path: name.to_owned(),
            text,
            files: Files::Folder(folder),
        })
    }

    /// What was read off of the text, after its problems were said; nothing where it cannot be used.
    pub fn told<T>(&self, parsed: Result<(T, Vec<Problem>), Vec<Problem>>) -> Option<T> {
        let (value, problems) = match parsed {
            Ok((value, warnings)) => (Some(value), warnings),
            Err(problems) => (None, problems),
        };
        if !problems.is_empty() {
            let file = FileProblems {
                path: self.path.clone(),
                source: self.text.clone(),
                problems,
            };
            out::note(diagnose::render(&file, out::color()).trim_end());
        }
        value
    }
}

/// A file's bytes, unless there are more of them than such a file has. It need not say how many: a pipe or a device does not.
pub(super) fn bounded(path: &Path, word: &str, most: u64) -> anyhow::Result<Vec<u8>> {
    let shown = path.display();
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
        std::io::Result::Ok(bytes)
    };
    let bytes = read().with_context(|| format!("{shown} cannot be read"))?;
    if u64::try_from(bytes.len()).is_ok_and(|size| size <= most) {
        return Ok(bytes);
    }
    bail!("{shown} has more than the {most} bytes of a {word}")
}

/// So many threads as were asked for, or as there are cores.
pub(super) fn threads(asked: Option<u32>) -> usize {
    match asked {
        Some(threads) => usize::try_from(threads).unwrap_or(1),
        None => thread::available_parallelism().map_or(1, usize::from),
    }
}
