//! What the file says of fine-tuning: templates that can be filled in, and one for each model.

use super::{Check, rows};
use crate::at::At;
use crate::model::{FINE_TUNING_PLACEHOLDERS, FineTuning, is_placeholder};
use crate::shape::brief;
use madang_types::ModelId;
use std::collections::BTreeMap;
use std::ops::Range;

/// Files that one job may leave for callers.
const RESULTS_MAX: usize = 16;
/// Hyperparameters of one template.
const HYPERPARAMETERS_MAX: usize = 64;

impl<'c> Check<'c, '_> {
    pub(super) fn fine_tuning(&mut self) -> Vec<FineTuning> {
        let raw = self.raw;
        let (mut ids, mut models) = (BTreeMap::new(), BTreeMap::new());
        for At { value, span } in rows(&raw.fine_tuning) {
            self.once_tuned(("template", &value.id), span, &mut ids);
            for model in &value.models {
                self.once_tuned(("model", model), span, &mut models);
                if let Err(reason) = ModelId::new(model) {
                    let message = format!("the model \"{}\": {reason}", brief(model));
                    let entry = self.report.error("name_invalid", span, message);
                    entry.help("name models as callers will name them");
                }
            }
            if value.models.is_empty() {
                let message = "the template tunes no model";
                let entry = self.report.error("missing_key", span, message);
                entry.help("add models = [\"…\"]: what callers write in `model`");
            }
            self.program(value, span);
            self.words_of(value, span);
            self.numbers_of(value, span);
            self.files_of(value, span);
        }
        rows(&raw.fine_tuning)
            .map(|row| row.value.clone())
            .collect()
    }

    fn once_tuned(
        &mut self,
        (what, name): (&str, &'c str),
        span: &'c Range<usize>,
        seen: &mut BTreeMap<&'c str, &'c Range<usize>>,
    ) {
        if let Some(first) = seen.insert(name, span) {
            let message = format!("the {what} \"{}\" is in fine_tuning twice", brief(name));
            let entry = self.report.error("id_duplicate", span, message);
            entry
                .help("take one of the two out")
                .related(first, "first here");
        }
    }

    fn program(&mut self, template: &FineTuning, span: &Range<usize>) {
        let code = match (&template.script, template.command.is_empty()) {
            (Some(_), true) | (None, false) => return,
            (Some(_), false) => "choose_one",
            (None, true) => "missing_key",
        };
        let message = "a template has a `command` or a `script`";
        let entry = self.report.error(code, span, message);
        entry.help(
            "command = [\"python3\", \"/opt/train.py\", \"{training_file}\", \"{output_dir}\"]",
        );
    }

    fn words_of(&mut self, template: &FineTuning, span: &Range<usize>) {
        let own = template.hyperparameter.iter().map(|row| row.name.as_str());
        let known: Vec<&str> = FINE_TUNING_PLACEHOLDERS.into_iter().chain(own).collect();
        for name in template.placeholders() {
            if !known.contains(&name) {
                self.unknown_placeholder(name, &known, span);
            }
        }
    }

    fn numbers_of(&mut self, template: &FineTuning, span: &Range<usize>) {
        let rows = &template.hyperparameter;
        if rows.len() > HYPERPARAMETERS_MAX {
            let message = format!("a template has at most {HYPERPARAMETERS_MAX} hyperparameters");
            let entry = self.report.error("number_range", span, message);
            entry.help("take out those that nobody sets");
        }
        for (at, row) in rows.iter().enumerate() {
            let name = brief(&row.name);
            let known = FINE_TUNING_PLACEHOLDERS.contains(&&*row.name);
            if known || !is_placeholder(&row.name) {
                let message = format!("a hyperparameter cannot be called \"{name}\"");
                let entry = self.report.error("name_invalid", span, message);
                entry.help("use small letters and '_', and no other placeholder's name");
            }
            if rows[..at].iter().any(|other| other.name == row.name) {
                let message = format!("the hyperparameter \"{name}\" is there twice");
                let entry = self.report.error("id_duplicate", span, message);
                entry.help("take one of the two out");
            }
            if !row.allows(row.default) {
                let message = format!("the `default` of \"{name}\" is not what it may be");
                let entry = self.report.error("number_range", span, message);
                entry.help("it is from `min` to `max`, and whole where `whole` is true");
            }
        }
    }

    fn files_of(&mut self, template: &FineTuning, span: &Range<usize>) {
        if template.results.len() > RESULTS_MAX {
            let message = format!("a template has at most {RESULTS_MAX} results");
            let entry = self.report.error("number_range", span, message);
            entry.help("pack many files into one");
        }
        let plain = |name: &str| {
            let sound = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
            name.bytes().all(sound) && !name.starts_with('.') && (1..=128).contains(&name.len())
        };
        for (at, name) in template.results.iter().enumerate() {
            let twice = template.results[..at].contains(name);
            if !plain(name) || twice {
                let message = format!("a result cannot be called \"{}\"", brief(name));
                let entry = self.report.error("path_invalid", span, message);
                entry.help(
                    "name files in {output_dir}, each once: letters, digits, '.', '_' and '-'",
                );
            }
        }
        if let Some(folder) = template.folder.as_ref().filter(|path| !path.is_absolute()) {
            let shown = folder.display().to_string();
            let message = format!("`folder` is no absolute path: \"{}\"", brief(&shown));
            let entry = self.report.error("path_invalid", span, message);
            entry.help("machines that run jobs do not know the fleet file's folder");
        }
    }
}
