//! What a new policy changes: who gains and who loses, over every combination of both.

use super::error::PolicyError;
use super::table::{CONTENTS, PlaceIndex, PolicyTable, Subject, Whom, content_at, index};
use madang_types::{
    DataClass, DataFlags, ModelId, PolicyEffect, ProgrammeId, RuleId, SiteId, TenantId,
};
use std::collections::{BTreeMap, BTreeSet};

/// Examples of each direction that are shown.
const EXAMPLES_MAX: usize = 10;

/// What changes from one policy to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Combinations that were compared.
    pub combinations: u64,
    /// Those in which the new policy is milder.
    pub gained: u64,
    /// Those in which it is stricter.
    pub lost: u64,
    /// Some that are milder.
    pub gains: Vec<Change>,
    /// Some that are stricter.
    pub losses: Vec<Change>,
}

/// One combination that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The tenant; `None`: whoever no rule names.
    pub tenant: Option<TenantId>,
    /// Its programme, likewise.
    pub programme: Option<ProgrammeId>,
    /// The model, likewise.
    pub model: Option<ModelId>,
    /// The site or upstream.
    pub location: SiteId,
    /// Of the data.
    pub class: DataClass,
    /// Of the data.
    pub flags: DataFlags,
    /// What was.
    pub before: PolicyEffect,
    /// What will be.
    pub after: PolicyEffect,
    /// The rules that decide then.
    pub rules: Vec<RuleId>,
}

/// Subjects and places of which both tables hold the same rows.
struct Group<'g> {
    count: u64,
    whom: Whom<'g>,
    location: &'g SiteId,
    before: (Subject, Option<PlaceIndex>),
    after: (Subject, Option<PlaceIndex>),
}

impl Difference {
    /// Compares two tables. A place that one of them lacks counts as denied there. Stop switches do not count.
    ///
    /// # Errors
    /// Together they tell too much apart.
    pub fn between(before: &PolicyTable, after: &PolicyTable) -> Result<Self, PolicyError> {
        let names = before.names.union(&after.names);
        let all = before.places.iter().chain(&after.places);
        let places: BTreeSet<&SiteId> = all.map(|row| &row.id).collect();
        let places: Vec<_> = places
            .into_iter()
            .map(|id| (id, before.place_named(id), after.place_named(id)))
            .collect();
        let pairs = names.pairs(places.len())?;
        let mut groups: BTreeMap<(Option<usize>, Option<usize>), Group<'_>> = BTreeMap::new();
        for whom in names.everybody() {
            let subjects = (before.subject(whom), after.subject(whom));
            for (location, old, new) in &places {
                let (before_at, after_at) = ((subjects.0, *old), (subjects.1, *new));
                let key = (before.row_at(before_at), after.row_at(after_at));
                let group = groups.entry(key).or_insert(Group {
                    count: 0,
                    whom,
                    location,
                    before: before_at,
                    after: after_at,
                });
                group.count += 1;
            }
        }
        let mut difference = Self {
            combinations: u64::try_from(pairs.saturating_mul(CONTENTS)).unwrap_or(u64::MAX),
            ..Self::default()
        };
        for group in groups.values() {
            difference.add(before, after, group);
        }
        Ok(difference)
    }

    fn add(&mut self, before: &PolicyTable, after: &PolicyTable, group: &Group<'_>) {
        let mut shown = BTreeSet::new();
        for at in 0..CONTENTS {
            let (class, flags) = content_at(at);
            let old = before
                .entry(group.before, at)
                .map_or(PolicyEffect::Deny, |d| d.effect);
            let new = after.entry(group.after, at);
            let effect = new.map_or(PolicyEffect::Deny, |d| d.effect);
            let examples = match effect.cmp(&old) {
                std::cmp::Ordering::Equal => continue,
                std::cmp::Ordering::Less => {
                    self.gained += group.count;
                    &mut self.gains
                }
                std::cmp::Ordering::Greater => {
                    self.lost += group.count;
                    &mut self.losses
                }
            };
            // Of the flag sets of one kind of change the first, which has the fewest flags, says enough.
            if examples.len() < EXAMPLES_MAX && shown.insert((class, old, effect)) {
                examples.push(Change {
                    tenant: group.whom.tenant.cloned(),
                    programme: group.whom.programme.cloned(),
                    model: group.whom.model.cloned(),
                    location: group.location.clone(),
                    class,
                    flags,
                    before: old,
                    after: effect,
                    rules: new.map(|d| d.rules.clone()).unwrap_or_default(),
                });
            }
        }
    }
}

impl PolicyTable {
    fn row_at(&self, (subject, place): (Subject, Option<PlaceIndex>)) -> Option<usize> {
        self.row(subject, place?)
    }

    fn entry(
        &self,
        at: (Subject, Option<PlaceIndex>),
        content: usize,
    ) -> Option<&super::decision::PolicyDecision> {
        let row = self.row_at(at)?;
        let entry = *self.entries.get(row * CONTENTS + content)?;
        self.decisions.get(index(entry))
    }
}
