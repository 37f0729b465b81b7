//! Classes of jobs, and machines that are kept: what they name is there, and they say one thing.

use super::Row;
use crate::at::At;
use crate::check::{Check, by_id};
use crate::model::{JobsReservation, JobsTerms};
use crate::raw::Text;
use crate::shape::brief;
use madang_types::{NodesId, ProgrammeId, RESERVATIONS_MAX, TenantId};
use std::collections::BTreeSet;
use std::ops::Range;

/// Classes of jobs.
const QOS_MAX: usize = 64;

/// A name of a row, and where it stands.
fn name(text: &str, span: Range<usize>) -> Text {
    let value = text.to_owned();
    Some(At { span, value })
}

impl Check<'_, '_> {
    /// Classes, where each is by `row`.
    pub(super) fn qos<'s>(
        &mut self,
        terms: &JobsTerms,
        table: &Range<usize>,
        row: impl Fn(usize) -> Row<'s>,
    ) {
        if terms.qos.len() > QOS_MAX {
            let message = format!("there are more than {QOS_MAX} `jobs.qos`");
            self.report.error("number_range", table, message);
            return;
        }
        let mut known = BTreeSet::new();
        for (number, qos) in terms.qos.iter().enumerate() {
            if !known.insert(qos.id.as_str()) {
                self.called_twice(&qos.id, row(number));
            }
        }
        if known.len() == terms.qos.len() && terms.qos_tiers().is_none() {
            let message = "a class of `jobs.qos` goes before itself by way of `preempts`";
            let entry = self.report.error("terms_invalid", table, message);
            entry.help("take one of the names out of `preempts`");
        }
        for (number, qos) in terms.qos.iter().enumerate() {
            let row = row(number);
            let preempts = qos.preempts.iter().flatten();
            for id in preempts.filter(|id| !known.contains(id.as_str())) {
                let message = format!("`preempts` names no jobs.qos: \"{}\"", brief(id));
                let span = row.key("preempts");
                let entry = self.report.error("reference_unknown", &span, message);
                entry.help("add a [[jobs.qos]] with this id, or take it out");
            }
            for id in qos.programmes.iter().flatten() {
                let id = name(id, row.key("programmes"));
                self.reference("programmes", &id, "programme", ProgrammeId::new);
            }
        }
    }

    /// Reservations, where each is by `row`.
    pub(super) fn reservations<'s>(
        &mut self,
        reservations: &[JobsReservation],
        table: &Range<usize>,
        row: impl Fn(usize) -> Row<'s>,
    ) {
        if reservations.len() > RESERVATIONS_MAX {
            let message = format!("there are more than {RESERVATIONS_MAX} `jobs.reservations`");
            self.report.error("number_range", table, message);
        }
        let mut ids = BTreeSet::new();
        for (number, kept) in reservations.iter().enumerate() {
            let row = row(number);
            if !ids.insert(kept.id.as_str()) {
                self.called_twice(&kept.id, row);
            }
            self.reservation(kept, row);
        }
    }

    fn reservation(&mut self, kept: &JobsReservation, row: Row<'_>) {
        let id = brief(&kept.id);
        if kept.span().is_none_or(|(from, until)| from >= until) {
            let message =
                format!("`jobs.reservations` \"{id}\" has no time between `from` and `until`");
            let entry = self.report.error("date_invalid", &row.span(), message);
            entry.help("write both as 2026-12-01T09:00:00+09:00, the earlier one as `from`");
        }
        let pairs = [
            (
                "machines",
                kept.machines.is_some(),
                "count",
                kept.count.is_some(),
            ),
            (
                "programme",
                kept.programme.is_some(),
                "tenant",
                kept.tenant.is_some(),
            ),
        ];
        for (one, _, other, _) in pairs
            .into_iter()
            .filter(|(_, one, _, other)| *one && *other)
        {
            let message = format!("`jobs.reservations` \"{id}\" has `{one}` and `{other}`");
            let entry = self.report.error("choose_one", &row.key(other), message);
            entry.help("take one of them out");
        }
        let nodes = name(&kept.nodes, row.key("nodes"));
        self.reference("nodes", &nodes, "nodes", NodesId::new);
        if let Some(id) = &kept.programme {
            let programme = name(id, row.key("programme"));
            self.reference("programme", &programme, "programme", ProgrammeId::new);
        }
        if let Some(id) = &kept.tenant {
            let tenant = name(id, row.key("tenant"));
            self.reference("tenant", &tenant, "tenant", TenantId::new);
        }
        let of = by_id(&self.raw.nodes, |nodes| &nodes.id);
        let count = of.get(kept.nodes.as_str());
        let count = count.and_then(|nodes| nodes.count.as_ref());
        let last = kept.machines.iter().flatten().copied().max();
        if let (Some(count), Some(last)) = (count, last)
            && last >= count.value
        {
            let message = format!(
                "`jobs.reservations` \"{id}\" keeps machine {last} of {}",
                count.value
            );
            let entry = self
                .report
                .error("number_range", &row.key("machines"), message);
            entry.help("machines are counted from 0");
        }
    }
}
