//! The files that a scenario names: in its folder, or built in.

use crate::trace::AZURE_CONVERSATION;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;

/// Scenarios that are built in, by name.
pub const BUILTIN: &[(&str, &str)] = &[
    (
        "korea-2026",
        include_str!("../../../../examples/scenarios/korea-2026.toml"),
    ),
    (
        "korea-2026-low",
        include_str!("../../../../examples/scenarios/korea-2026-low.toml"),
    ),
    (
        "korea-2026-high",
        include_str!("../../../../examples/scenarios/korea-2026-high.toml"),
    ),
    (
        "startup-programme",
        include_str!("../../../../examples/scenarios/startup-programme.toml"),
    ),
    (
        "grid-event",
        include_str!("../../../../examples/scenarios/grid-event.toml"),
    ),
    (
        "single-node",
        include_str!("../../../../examples/scenarios/single-node.toml"),
    ),
    (
        "university",
        include_str!("../../../../examples/scenarios/university.toml"),
    ),
];

/// Files that are built in. Scenarios of one's own may name them too.
const FILES: &[(&str, &[u8])] = &[
    ("azure-2023-conversation", AZURE_CONVERSATION),
    (
        "kr-industrial-2026.csv",
        include_bytes!("../../../../examples/scenarios/kr-industrial-2026.csv"),
    ),
    (
        "solar-jeonnam.csv",
        include_bytes!("../../../../examples/scenarios/solar-jeonnam.csv"),
    ),
];

/// Where the files of a scenario are.
#[derive(Clone, Debug)]
pub enum Files {
    /// In that folder; those that are not are looked for among those that are built in.
    Folder(PathBuf),
    /// Built in.
    Builtin,
}

impl Files {
    /// Opens a file. It is read more than once: a pipe would be empty the second time.
    ///
    /// # Errors
    /// It is not there, is no plain file, or cannot be opened.
    pub fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        if let Self::Folder(folder) = self {
            let path = folder.join(name);
            match fs::metadata(&path) {
                Ok(found) if found.is_file() => return Ok(Box::new(File::open(path)?)),
                Ok(_) => return Err(io::Error::other("it is no plain file")),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let built_in = FILES.iter().find(|(known, _)| *known == name);
        match built_in {
            Some((_, bytes)) => Ok(Box::new(*bytes)),
            None => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "there is no such file, and none of that name is built in",
            )),
        }
    }

    /// Names of the files that are built in.
    pub fn built_in() -> impl Iterator<Item = &'static str> {
        FILES.iter().map(|(name, _)| *name)
    }
}
