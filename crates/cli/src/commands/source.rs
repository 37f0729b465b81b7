//! What `madang plan` and `madang twin run` read: a file, or one that is built in.

use crate::diagnose;
use crate::out;
use anyhow::{Context, bail};
use madang_fleet::{FileProblems, Problem};
use madang_twin::scenario::Files;
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
        let size = std::fs::metadata(name)
            .with_context(|| format!("{shown} cannot be read"))?
            .len();
        if size > kind.bytes_max {
            bail!(
                "{shown} has {size} bytes; a {word} has at most {}",
                kind.bytes_max
            );
        }
        let text =
            std::fs::read_to_string(name).with_context(|| format!("{shown} cannot be read"))?;
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

/// So many threads as were asked for, or as there are cores.
pub(super) fn threads(asked: Option<u32>) -> usize {
    match asked {
        Some(threads) => usize::try_from(threads).unwrap_or(1),
        None => thread::available_parallelism().map_or(1, usize::from),
    }
}
