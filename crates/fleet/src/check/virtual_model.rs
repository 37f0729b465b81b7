//! Virtual models: their names are nobody else's, and they lead to models that are there.

use super::policy::{Read, word, words};
use super::{Check, Known, once, rows};
use crate::model::{Candidate, Prefer, VirtualModel};
use crate::raw::{RawCandidate, RawVirtualModel};
use crate::shape::brief;
use madang_types::{DataClass, ModelId};
use std::collections::BTreeMap;
use std::ops::Range;

/// Models that one name may lead to. A request that fails is tried at each of them in turn.
const CANDIDATES_MAX: usize = 16;

impl<'c> Check<'c, '_> {
    /// Where each name that a model, an adapter or an upstream's model has is first written.
    pub(super) fn model_spans(&self) -> BTreeMap<&'c str, &'c Range<usize>> {
        let raw = self.raw;
        let models = rows(&raw.model).filter_map(|row| row.value.id.as_ref());
        let adapters = rows(&raw.replica).flat_map(|row| &row.value.adapters);
        let foreign = rows(&raw.upstream).flat_map(|row| &row.value.models);
        let foreign = foreign
            .flat_map(|at| &at.value)
            .filter_map(|at| at.value.id.as_ref());
        let names = models
            .chain(adapters.flat_map(|at| &at.value))
            .chain(foreign);
        let mut spans = BTreeMap::new();
        for at in names {
            spans.entry(at.value.as_str()).or_insert(&at.span);
        }
        spans
    }

    pub(super) fn virtual_models(&mut self) -> Option<BTreeMap<ModelId, VirtualModel>> {
        let raw = self.raw;
        let (known, taken) = (self.known(), self.model_spans());
        self.ids(
            "virtual model",
            rows(&raw.virtual_model).map(|row| &row.value.id),
        );
        let mut found = BTreeMap::new();
        let mut whole = true;
        for row in rows(&raw.virtual_model) {
            let id = self.name(&row.value.id, ModelId::new);
            if let Some(at) = &row.value.id
                && let Some(other) = taken.get(at.value.as_str())
            {
                let message = format!(
                    "the virtual model \"{}\" has the name of a model",
                    brief(&at.value)
                );
                self.report
                    .error("id_shared", &at.span, message)
                    .help("give it another name: one name is one thing, whoever asks for it")
                    .related(other, "the model");
            }
            match (id, self.virtual_model(&row.value, &known)) {
                (Some(id), Some(model)) => {
                    found.insert(id, model);
                }
                _ => whole = false,
            }
        }
        whole.then_some(found)
    }

    fn virtual_model(&mut self, raw: &RawVirtualModel, known: &Known) -> Option<VirtualModel> {
        let at = raw.candidates.as_ref()?;
        let rows = &at.value;
        if rows.is_empty() && self.sure("virtual_model") {
            self.report
                .error("missing_key", &at.span, "the virtual model leads nowhere")
                .help("candidates = [{ model = \"…\" }, { model = \"…\" }]");
        }
        if let Some(row) = rows.get(CANDIDATES_MAX) {
            let message = format!("a virtual model has at most {CANDIDATES_MAX} candidates");
            self.report
                .error("number_range", &row.span, message)
                .help("take out those that are never reached");
        }
        let models = rows.iter().map(|row| &row.value.model);
        once(
            self.report,
            ("candidate", "take one of the two out"),
            models,
        );
        let mut read = Read {
            known,
            report: self.report,
            sound: true,
        };
        let candidates = rows.iter().map(|row| read.candidate(&row.value));
        let candidates: Option<Vec<Candidate>> = candidates.collect();
        let sound = read.sound;
        let mut candidates = candidates.filter(|_| sound)?;
        let prefer = raw.prefer.as_ref().map(|at| at.value);
        if prefer.unwrap_or_default() == Prefer::Cost {
            let cost = |candidate: &Candidate| candidate.cost.unwrap_or(f64::INFINITY);
            candidates.sort_by(|one, other| cost(one).total_cmp(&cost(other)));
        }
        Some(VirtualModel { candidates })
    }
}

impl Read<'_, '_, '_> {
    fn candidate(&mut self, raw: &RawCandidate) -> Option<Candidate> {
        let models = self.known.models.as_ref();
        let model = self.named("model", raw.model.as_slice(), models);
        let programmes = self.known.programmes.as_ref();
        Some(Candidate {
            model: model.into_iter().next()?,
            class_max: word(&raw.class_max).unwrap_or(DataClass::Classified),
            flags_none: words(&raw.flags_none),
            programme: self.people("programme", &raw.programme, programmes),
            cost: raw.cost.as_ref().map(|at| at.value),
        })
    }
}
