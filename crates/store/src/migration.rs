//! What the numbered steps of every schema have in common.

use crate::StoreError;

/// One step of the schema. A published step is never edited; a change is a new step.
pub(crate) struct Migration {
    pub version: u32,
    pub name: &'static str,
    pub sql: &'static str,
}

impl Migration {
    /// What is written down beside the step, so that an edited one is known.
    pub fn checksum(&self) -> String {
        blake3::hash(self.sql.as_bytes()).to_hex().to_string()
    }

    /// What applying it is called where it fails.
    pub fn shown(&self) -> String {
        format!("apply the migration {:04}_{}", self.version, self.name)
    }

    /// Whether the step is to be applied, by the checksum that the database has of it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where it was applied with other text.
    pub fn is_missing(&self, found: Option<&str>) -> Result<bool, StoreError> {
        match found {
            Some(found) if found == self.checksum() => Ok(false),
            Some(_) => Err(StoreError::Unavailable(format!(
                "the migration {:04}_{} was applied with other text than this program has; use the program that made the \
                 database, or restore a backup",
                self.version, self.name
            ))),
            None => Ok(true),
        }
    }
}

/// Refuses a database whose newest step is none of these.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub(crate) fn refuse_future(newest: u32, steps: &[Migration]) -> Result<(), StoreError> {
    let known = steps.last().map_or(0, |step| step.version);
    if newest > known {
        return Err(StoreError::Unavailable(format!(
            "the database has schema version {newest} and this program knows {known}; use the newer program that wrote it"
        )));
    }
    Ok(())
}

/// Whether the steps are the files of their folder, numbered from 1.
#[cfg(test)]
pub(crate) fn check_folder(folder: &str, steps: &[Migration]) {
    let folder = format!("{}/migrations/{folder}", env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let named: Vec<String> = steps
        .iter()
        .map(|step| format!("{:04}_{}.sql", step.version, step.name))
        .collect();
    assert_eq!(files, named);
    let numbers = steps.iter().zip(1..);
    assert!(numbers.into_iter().all(|(step, n)| step.version == n));
}
