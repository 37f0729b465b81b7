//! What the fleet file says of fine-tuning: templates that jobs are made from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What every template's words may name in braces, beside its hyperparameters.
pub const FINE_TUNING_PLACEHOLDERS: [&str; 7] = [
    "job",
    "model",
    "output_dir",
    "seed",
    "suffix",
    "training_file",
    "validation_file",
];

/// A template of fine-tuning jobs: what is run where somebody asks for a model of it to be fine-tuned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FineTuning {
    /// Its name, for logs and refusals.
    pub id: String,
    /// The models that it tunes, as callers name them. They need not be served here.
    pub models: Vec<String>,
    /// The program and its arguments. `{training_file}` and the other placeholders stand for what was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// A script in place of a command. It has no placeholders: it reads what was asked for in its variables (`env`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// Variables of its environment, with the same placeholders.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The container image in which it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What it needs of machines.
    #[serde(default)]
    pub resources: FineTuningResources,
    /// The longest that it may run, in milliseconds; an hour where not given.
    #[serde(default = "hour_ms")]
    #[schemars(range(min = 1000, max = 7_776_000_000_u64))]
    pub time_limit_ms: u64,
    /// It may be stopped for others, and goes on from its own checkpoints; it is killed so long after `SIGTERM`, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3_600_000))]
    pub checkpoint_grace_ms: Option<u64>,
    /// The hyperparameters that callers may set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hyperparameter: Vec<Hyperparameter>,
    /// Files that it leaves in `{output_dir}`; callers get them as files of the purpose `fine-tune-results`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<String>,
    /// Where its inputs and results lie, for each tenant and job: an absolute path that this machine and those that run it both have.
    /// `fine-tuning` in the data folder where not given. Read at the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
}

/// What a fine-tuning job needs of machines, as a job says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FineTuningResources {
    /// Kinds of accelerator that will do, such as `h200`; any where empty.
    pub accelerator: Vec<String>,
    /// Accelerators in all; on machines of kind `cpu` they are processors.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub count: u32,
    /// How many of them are on one machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub per_node: Option<u32>,
    /// Memory that each has at least, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub accelerator_memory_mib_min: Option<u64>,
    /// Processor time for each piece, in thousandths of a core.
    #[schemars(range(min = 0, max = 100_000_000))]
    pub cpu_milli: u64,
    /// Memory of the machine for each piece, in MiB.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub memory_mib: u64,
}

impl Default for FineTuningResources {
    fn default() -> Self {
        Self {
            accelerator: Vec::new(),
            count: 1,
            per_node: None,
            accelerator_memory_mib_min: None,
            cpu_milli: 0,
            memory_mib: 0,
        }
    }
}

/// A number that callers may set, and what it may be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hyperparameter {
    /// Its name, such as `n_epochs`, which is a placeholder too.
    pub name: String,
    /// What it is where nobody sets it, or sets it to `auto`.
    pub default: f64,
    /// The least that it may be.
    pub min: f64,
    /// The most.
    pub max: f64,
    /// Only whole numbers will do.
    #[serde(default)]
    pub whole: bool,
}

fn hour_ms() -> u64 {
    3_600_000
}

impl FineTuning {
    /// The names in braces of its command and its variables.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        let texts = self.command.iter().chain(self.env.values());
        texts.flat_map(|text| placeholders(text))
    }
}

impl Hyperparameter {
    /// Whether it may be that.
    pub fn allows(&self, value: f64) -> bool {
        (self.min..=self.max).contains(&value) && (!self.whole || value.fract() == 0.0)
    }
}

/// The names in `{…}`. Braces around anything but a lower-case word (JSON, say) are left to the program.
pub(crate) fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|rest| {
        let (name, _) = rest.split_once('}')?;
        is_placeholder(name).then_some(name)
    })
}

/// Whether a name can stand in braces.
pub(crate) fn is_placeholder(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_in_braces_are_placeholders() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(placeholders(text).collect::<Vec<_>>(), expected, "{text}");
        };
        check("{port}", &["port"]);
        check("0.0.0.0:{port}/{served_name}", &["port", "served_name"]);
        check(r#"{"a":{"b":1}}"#, &[]);
        check("{}", &[]);
        check("{open", &[]);
        check("${HOME}", &[]);
        check("{gpu_ids}", &["gpu_ids"]);
    }
}
