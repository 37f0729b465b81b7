//! Objects of S3-compatible stores that a run on Slurm brings and keeps.
//!
//! No key to a store goes to the cluster. The batch script is given an address of each object, signed for that object alone, for reading
//! or for putting, for a week at most, in a file that its owner alone reads and that it removes. While the run waits or runs the file is
//! written anew each day.

use super::files::Files;
use super::options::SlurmOptions;
use super::script::quoted;
use super::transport::Fault;
use crate::jobs::RunSpec;
use crate::jobs::local::{open_object, signed};
use madang_types::{JobStage, RunId, TenantId};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// An address is good for so long: the longest that stores take.
const LIFE: Duration = Duration::from_secs(7 * 86_400);
/// Addresses are made anew after so long, in milliseconds.
const RENEWED_MS: u64 = 86_400_000;
/// What is put in one piece, by S3's own word: more goes in parts, whose addresses are known once it has begun.
pub(super) const PUT_BYTES_MAX: u64 = 5 << 30;
const SCHEME: &str = "s3://";

/// What was signed of a run, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Signed {
    tenant: TenantId,
    /// Names of objects, without `s3://`, by the place of the stage.
    gets: Vec<Option<String>>,
    puts: Vec<Option<String>>,
    /// In milliseconds since 1970.
    at_ms: u64,
}

/// Whether a stage's other end is an object of a store.
pub(super) fn is_object(place: &str) -> bool {
    place.starts_with(SCHEME)
}

/// Whether this cluster's runs can have that object.
///
/// # Errors
/// Why not.
pub(super) fn check(
    options: &SlurmOptions,
    tenant: &TenantId,
    (stage, put): (&JobStage, bool),
) -> Result<(), String> {
    let place = if put { &stage.to } else { &stage.from };
    let name = place.strip_prefix(SCHEME).unwrap_or(place);
    open_object(&options.buckets, tenant, (name, put))?;
    if options.shell.is_none() && options.mounted.is_none() {
        return Err(
            "there is no way for its signed address: the folder of the runs is not mounted here, and no shell of the cluster is configured"
                .to_owned(),
        );
    }
    match stage.bytes.filter(|bytes| put && *bytes > PUT_BYTES_MAX) {
        Some(_) => Err(format!(
            "from Slurm at most {PUT_BYTES_MAX} bytes are put in a store"
        )),
        None => Ok(()),
    }
}

impl Signed {
    /// What is to be signed of a run; `None` where nothing is.
    pub(super) fn of(spec: &RunSpec, at_ms: u64) -> Option<Self> {
        let name = |place: &str| place.strip_prefix(SCHEME).map(str::to_owned);
        let gets: Vec<Option<String>> = spec.inputs.iter().map(|s| name(&s.from)).collect();
        let puts: Vec<Option<String>> = spec.outputs.iter().map(|s| name(&s.to)).collect();
        let any = gets.iter().chain(&puts).any(Option::is_some);
        any.then(|| Self {
            tenant: spec.owner.1.clone(),
            gets,
            puts,
            at_ms,
        })
    }

    /// The same, signed at another time.
    pub(super) fn at(self, at_ms: u64) -> Self {
        Self { at_ms, ..self }
    }

    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.at_ms) >= RENEWED_MS
    }

    /// Writes their addresses where the batch script reads them.
    pub(super) async fn write(
        &self,
        options: &SlurmOptions,
        (files, run): (&Files, RunId),
    ) -> Result<(), Fault> {
        let text = self.text(options).map_err(Fault::Refused)?;
        files.write_secret(&urls_path(options, run), &text).await
    }

    /// `get[0]='https://…'`, in the words of bash.
    fn text(&self, options: &SlurmOptions) -> Result<String, String> {
        let mut text = String::new();
        for (list, names, put) in [("get", &self.gets, false), ("put", &self.puts, true)] {
            for (at, name) in names.iter().enumerate() {
                let Some(name) = name else { continue };
                let (bucket, key) = open_object(&options.buckets, &self.tenant, (name, put))
                    .map_err(|why| format!("{SCHEME}{name}: {why}"))?;
                let url = signed(bucket, (key, put), LIFE)?;
                text.push_str(&format!("{list}[{at}]={}\n", quoted(&url)));
            }
        }
        Ok(text)
    }
}

/// The file of a run's addresses.
pub(super) fn urls_path(options: &SlurmOptions, run: RunId) -> String {
    format!("{}/.{run}.urls", options.folder)
}
