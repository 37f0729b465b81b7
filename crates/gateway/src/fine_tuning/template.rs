//! A template filled in: pure, from what the operator wrote and what was asked for to what a batch job is.

use crate::refused::Refused;
use madang_fleet::{FineTuning, FineTuningResources};
use madang_types::{
    DataClass, DataFlags, ErrorCode, JobCheckpoint, JobFlex, JobResources, JobSpec, JobStage,
    Priority, StopSignal,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The names of what a job has in its folder.
pub(super) const TRAINING_FILE: &str = "training.jsonl";
pub(super) const VALIDATION_FILE: &str = "validation.jsonl";
pub(super) const OUTPUT_DIR: &str = "output";
/// The folder of results, in the folder that machines and Madang share.
pub(super) const RESULTS: &str = "results";
/// What leaves the choice to the template.
const AUTO: &str = "auto";

/// What a template is filled in with.
pub(super) struct Asked<'a> {
    /// The name of the fine-tuning job, and of the batch job.
    pub job: String,
    pub model: &'a str,
    pub seed: u64,
    pub suffix: &'a str,
    pub hyperparameters: &'a BTreeMap<String, f64>,
    /// SHA-256 of the training file and of the validation file, in hex.
    pub training: String,
    pub validation: Option<String>,
    /// Where inputs and results lie.
    pub exchange: &'a Path,
    pub data: (DataClass, DataFlags),
    pub priority: Priority,
}

/// The hyperparameters of a job: what was asked for, and what the template says of the rest.
///
/// # Errors
/// One is not in the template, or may not be that.
pub(super) fn hyperparameters(
    template: &FineTuning,
    asked: &BTreeMap<String, Value>,
) -> Result<BTreeMap<String, f64>, Refused> {
    let invalid = |name: &str, message: String| {
        Refused::new(ErrorCode::FieldInvalid, message).at(format!("hyperparameters.{name}"))
    };
    for name in asked.keys() {
        if template.hyperparameter.iter().all(|row| row.name != *name) {
            let known: Vec<&str> = template
                .hyperparameter
                .iter()
                .map(|row| &*row.name)
                .collect();
            let known = match known.as_slice() {
                [] => "none".to_owned(),
                known => known.join(", "),
            };
            let shown: String = name.chars().take(64).collect();
            let message =
                format!("there is no hyperparameter '{shown}' for this model; there are: {known}");
            return Err(invalid(&shown, message));
        }
    }
    let mut found = BTreeMap::new();
    for row in &template.hyperparameter {
        let value = match asked.get(&row.name) {
            None | Some(Value::Null) => Some(row.default),
            Some(Value::String(word)) if word == AUTO => Some(row.default),
            Some(value) => value.as_f64().filter(|value| row.allows(*value)),
        };
        let value = value.ok_or_else(|| {
            let whole = if row.whole {
                "a whole number"
            } else {
                "a number"
            };
            let message = format!(
                "'{}' is 'auto' or {whole} from {} to {}",
                row.name, row.min, row.max
            );
            invalid(&row.name, message)
        })?;
        found.insert(row.name.clone(), value);
    }
    Ok(found)
}

/// The batch job that a template becomes.
///
/// # Errors
/// Its folder has no name that a job could be told.
pub(super) fn spec(template: &FineTuning, asked: &Asked<'_>) -> Result<JobSpec, Refused> {
    let exchange = asked.exchange.to_str().ok_or_else(|| {
        let message = "the folder of fine-tuning jobs is not UTF-8, and jobs cannot be told of it";
        Refused::new(ErrorCode::FilesUnavailable, message)
    })?;
    let values = values(asked);
    let input = |name: &str, sha256: &String| JobStage {
        from: format!("{exchange}/{name}"),
        to: name.to_owned(),
        sha256: Some(sha256.clone()),
        bytes: None,
    };
    let mut inputs = vec![input(TRAINING_FILE, &asked.training)];
    inputs.extend(
        asked
            .validation
            .iter()
            .map(|sha256| input(VALIDATION_FILE, sha256)),
    );
    let output = |name: &String| JobStage {
        from: format!("{OUTPUT_DIR}/{name}"),
        to: format!("{exchange}/{RESULTS}/{name}"),
        sha256: None,
        bytes: None,
    };
    let env = template.env.iter();
    let grace_ms = template.checkpoint_grace_ms;
    Ok(JobSpec {
        name: asked.job.clone(),
        command: template
            .command
            .iter()
            .map(|word| fill(word, &values))
            .collect(),
        script: template.script.clone(),
        image: template.image.clone(),
        resources: resources(&template.resources),
        time_limit_ms: template.time_limit_ms,
        data_class: asked.data.0,
        data_flags: asked.data.1,
        inputs,
        outputs: template.results.iter().map(output).collect(),
        array: None,
        after: Vec::new(),
        checkpoint: grace_ms.map(|grace_ms| JobCheckpoint {
            signal: StopSignal::Term,
            grace_ms,
        }),
        priority: asked.priority,
        qos: None,
        flex: JobFlex::default(),
        retries_max: 0,
        env: env
            .map(|(name, value)| (name.clone(), fill(value, &values)))
            .collect(),
        secrets: BTreeMap::new(),
    })
}

fn resources(asked: &FineTuningResources) -> JobResources {
    let FineTuningResources {
        accelerator,
        count,
        per_node,
        accelerator_memory_mib_min,
        cpu_milli,
        memory_mib,
    } = asked.clone();
    JobResources {
        accelerator,
        count,
        per_node,
        share_milli: madang_types::MILLI,
        accelerator_memory_mib_min,
        cpu_milli,
        memory_mib,
    }
}

fn values(asked: &Asked<'_>) -> BTreeMap<String, String> {
    let validation = asked.validation.as_ref().map_or("", |_| VALIDATION_FILE);
    let own = [
        ("job", asked.job.clone()),
        ("model", asked.model.to_owned()),
        ("output_dir", OUTPUT_DIR.to_owned()),
        ("seed", asked.seed.to_string()),
        ("suffix", asked.suffix.to_owned()),
        ("training_file", TRAINING_FILE.to_owned()),
        ("validation_file", validation.to_owned()),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value));
    let numbers = asked.hyperparameters.iter();
    numbers
        .map(|(name, value)| (name.clone(), value.to_string()))
        .chain(own)
        .collect()
}

/// A word with its placeholders filled in, in one pass: what stands for one is not looked at again.
fn fill(word: &str, values: &BTreeMap<String, String>) -> String {
    let mut filled = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = rest.find('{') {
        filled.push_str(&rest[..at]);
        let inner = &rest[at + 1..];
        let named = inner
            .split_once('}')
            .and_then(|(name, after)| Some((values.get(name)?, after)));
        match named {
            Some((value, after)) => {
                filled.push_str(value);
                rest = after;
            }
            None => {
                filled.push('{');
                rest = inner;
            }
        }
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn template(more: Value) -> FineTuning {
        let mut all = json!({
            "id": "t", "models": ["tiny"], "command": ["train", "{training_file}"],
            "hyperparameter": [
                {"name": "n_epochs", "default": 3.0, "min": 1.0, "max": 10.0, "whole": true},
                {"name": "rate", "default": 0.5, "min": 0.0, "max": 1.0},
            ],
        });
        let more = more.as_object().unwrap().clone();
        all.as_object_mut().unwrap().extend(more);
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn hyperparameters_are_the_templates_and_within_its_bounds() {
        let template = template(json!({}));
        let check = |asked: Value, expected: Result<[f64; 2], &str>| {
            let asked = serde_json::from_value(asked).unwrap();
            let found = hyperparameters(&template, &asked);
            let found = found.map(|all| [all["n_epochs"], all["rate"]]);
            assert_eq!(
                found.map_err(|refused| refused.message),
                expected.map_err(Into::into)
            );
        };
        check(json!({}), Ok([3.0, 0.5]));
        check(json!({"n_epochs": "auto", "rate": null}), Ok([3.0, 0.5]));
        check(json!({"n_epochs": 10, "rate": 0.25}), Ok([10.0, 0.25]));
        let epochs = Err("'n_epochs' is 'auto' or a whole number from 1 to 10");
        check(json!({"n_epochs": 11}), epochs);
        check(json!({"n_epochs": 2.5}), epochs);
        check(json!({"n_epochs": "7"}), epochs);
        check(
            json!({"beta": 1}),
            Err("there is no hyperparameter 'beta' for this model; there are: n_epochs, rate"),
        );
    }

    #[test]
    fn placeholders_are_words_of_a_vector_and_filled_in_once() {
        let template = template(json!({
            "command": ["train", "--data={training_file}", "{validation_file}", "{suffix}", "{n_epochs}/{rate}", "{\"a\": {}}"],
            "env": {"SEED": "{seed}", "OUT": "{output_dir}", "NAME": "{job} {model}"},
            "results": ["model.bin"],
        }));
        let numbers = [("n_epochs".to_owned(), 3.0), ("rate".to_owned(), 0.5)].into();
        let asked = Asked {
            job: "ftjob-1".to_owned(),
            model: "tiny",
            seed: 7,
            suffix: "{seed}; rm -rf /",
            hyperparameters: &numbers,
            training: "ab".repeat(32),
            validation: None,
            exchange: Path::new("/x"),
            data: (DataClass::Open, DataFlags::default()),
            priority: Priority::Standard,
        };
        let spec = spec(&template, &asked).unwrap();
        let expected = [
            "train",
            "--data=training.jsonl",
            "",
            "{seed}; rm -rf /",
            "3/0.5",
            "{\"a\": {}}",
        ];
        assert_eq!(spec.command, expected);
        assert_eq!((&*spec.env["SEED"], &*spec.env["OUT"]), ("7", "output"));
        assert_eq!(spec.env["NAME"], "ftjob-1 tiny");
        assert_eq!(spec.inputs[0].from, "/x/training.jsonl");
        assert_eq!(spec.inputs.len(), 1, "there is no validation file");
        assert_eq!(spec.outputs[0].to, "/x/results/model.bin");
        spec.check().unwrap();
    }
}
