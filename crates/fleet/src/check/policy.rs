//! The policy: ids, references and days. What its rules come to together is checked where they are compiled.

use super::country::{self, is_code};
use super::{Check, Index, RENAME, name, once, place, rows};
use crate::at::At;
use crate::problem::{Report, nearest};
use crate::raw::{RawBasis, RawConditions, RawNever, RawPolicy, RawRule, Rows, Text, Texts};
use crate::shape::brief;
use jiff::civil::Date;
use jiff::tz::Offset;
use madang_types::policy::OneOf;
use madang_types::{
    Basis, BasisId, Conditions, Country, Micros, NameError, Never, Policy, PolicyEffect, Rule,
    RuleId,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;

/// Expiries and programmes count in Korean days.
const OFFSET: Offset = Offset::constant(9);

/// The names that a policy may speak of; `None` where the text that holds them is not whole.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub locations: Option<BTreeSet<String>>,
    pub models: Option<BTreeSet<String>>,
    pub programmes: Option<BTreeSet<String>>,
    pub tenants: Option<BTreeSet<String>>,
}

impl Check<'_, '_> {
    /// The fleet's policy, and the file that it stands in, where it has its own.
    pub(super) fn policy(&mut self) -> Option<(Policy, Option<PathBuf>)> {
        let raw = self.raw.policy.as_ref();
        let home =
            self.home(raw.is_some_and(|at| at.value.home.is_some() || at.value.file.is_some()));
        let Some(at) = raw else {
            return Some((
                Policy {
                    home: home?,
                    ..Policy::default()
                },
                None,
            ));
        };
        let known = self.known();
        let file = at.value.file.as_ref();
        if let Some(file) = file {
            let path = self.path(file);
            self.alone(&at.value, file);
            return Some((
                Policy {
                    home: home?,
                    ..Policy::default()
                },
                Some(path?),
            ));
        }
        let policy = read(&at.value, &known, self.report)?;
        let home = policy.home.or(home?);
        Some((Policy { home, ..policy }, None))
    }

    /// The country of all sites; an error where they do not agree and nobody says which is home.
    fn home(&mut self, given: bool) -> Option<Option<Country>> {
        let mut countries: BTreeMap<&str, &Range<usize>> = BTreeMap::new();
        for row in rows(&self.raw.site) {
            if let Some(at) = &row.value.country
                && is_code(&at.value)
            {
                countries.entry(&at.value).or_insert(&at.span);
            }
        }
        let mut all = countries.into_iter();
        match (all.next(), all.next()) {
            (None, _) => Some(None),
            (Some((only, _)), None) => Some(only.parse().ok()),
            _ if given => Some(None),
            (Some((_, first)), Some((other, span))) => {
                let message = format!(
                    "the sites are in several countries, also \"{}\": which is home?",
                    brief(other)
                );
                self.report
                    .error("home_missing", span, message)
                    .help("add [policy] with home = \"KR\": what is domestic is seen from there")
                    .related(first, "another one");
                None
            }
        }
    }

    /// A policy file stands alone: of two places for one key, one would be forgotten.
    fn alone(&mut self, raw: &RawPolicy, file: &At<String>) {
        let RawPolicy {
            file: _,
            home,
            builtin,
            classified_programmes,
            rule,
            never,
            basis,
        } = raw;
        let others = [
            home.as_ref().map(|at| at.span.clone()),
            builtin.as_ref().map(|at| at.span.clone()),
            classified_programmes.as_ref().map(|at| at.span.clone()),
            rows(rule).next().map(|at| at.span.clone()),
            rows(never).next().map(|at| at.span.clone()),
            rows(basis).next().map(|at| at.span.clone()),
        ];
        if let Some(other) = others.into_iter().flatten().next() {
            self.report
                .error(
                    "choose_one",
                    &file.span,
                    "the policy stands in a file and here",
                )
                .help("move this key to the policy file, or take `file` out")
                .related(&other, "here");
        }
    }

    pub(super) fn known(&self) -> Known {
        let sure = |table: &str| self.sure(table);
        let ids = |index: fn(&Index) -> &BTreeMap<String, Range<usize>>| {
            index(&self.index).keys().cloned()
        };
        let others = ids(|index| &index.upstreams).chain(ids(|index| &index.origins));
        let locations = ids(|index| &index.sites).chain(others);
        let models = self.model_spans().into_keys().map(str::to_owned);
        Known {
            locations: (sure("site") && sure("upstream") && sure("origin"))
                .then(|| locations.collect()),
            models: (sure("model") && sure("upstream") && sure("replica"))
                .then(|| models.collect()),
            programmes: sure("programme").then(|| ids(|index| &index.programmes).collect()),
            tenants: sure("tenant").then(|| ids(|index| &index.tenants).collect()),
        }
    }
}

/// Reads the policy's keys; `None` where one cannot be used. Problems go into the report.
pub(crate) fn read(raw: &RawPolicy, known: &Known, report: &mut Report<'_>) -> Option<Policy> {
    let mut read = Read {
        known,
        report,
        sound: true,
    };
    let home = read.country(&raw.home);
    let rules = read.rows("rule", &raw.rule, |raw| &raw.id, Read::rule);
    let never = read.rows("never", &raw.never, |raw| &raw.id, Read::never);
    let bases = read.rows("basis", &raw.basis, |raw| &raw.id, Read::basis);
    let classified = read.people(
        "programme",
        &raw.classified_programmes,
        known.programmes.as_ref(),
    );
    let policy = Policy {
        home,
        builtin: raw.builtin.as_ref().is_none_or(|at| at.value),
        classified_programmes: classified.unwrap_or_default(),
        rules,
        never,
        bases,
        ..Policy::default()
    };
    read.sound.then_some(policy)
}

/// Where the ids of rules and statements stand.
pub(crate) fn spans(raw: &RawPolicy) -> BTreeMap<String, Range<usize>> {
    let rules = rows(&raw.rule).filter_map(|row| row.value.id.as_ref());
    let never = rows(&raw.never).filter_map(|row| row.value.id.as_ref());
    let ids = rules.chain(never);
    ids.map(|at| (at.value.clone(), at.span.clone())).collect()
}

pub(super) struct Read<'k, 'r, 's> {
    pub known: &'k Known,
    pub report: &'r mut Report<'s>,
    /// Everything so far could be used.
    pub sound: bool,
}

impl Read<'_, '_, '_> {
    /// The rows of a table; ids are there once.
    fn rows<R, T>(
        &mut self,
        table: &str,
        raw: &Rows<R>,
        id: fn(&R) -> &Text,
        mut read: impl FnMut(&mut Self, &R) -> Option<T>,
    ) -> Vec<T> {
        let ids = rows(raw).map(|row| id(&row.value));
        once(self.report, (table, RENAME), ids);
        let mut found = Vec::new();
        for row in rows(raw) {
            match read(self, &row.value) {
                Some(value) => found.push(value),
                None => self.sound = false,
            }
        }
        found
    }

    fn rule(&mut self, raw: &RawRule) -> Option<Rule> {
        let id = self.rule_id(&raw.id);
        let effect = word::<PolicyEffect>(&raw.effect);
        let when = raw.when.as_ref().map(|at| self.conditions(&at.value));
        let models = self.known.models.as_ref();
        let reroute = self.named("model", raw.reroute.as_slice(), models);
        if let (Some(at), Some(PolicyEffect::Allow)) = (&raw.reroute, effect) {
            self.report
                .warning(
                    "key_without_effect",
                    &at.span,
                    "only a rule that denies or masks gives another model instead",
                )
                .help("take `reroute` out, or is the effect \"deny\"?");
        }
        Some(Rule {
            id: id?,
            when: when.unwrap_or_default(),
            effect: effect?,
            reroute: reroute.into_iter().next(),
            text: raw.text.as_ref()?.value.clone(),
            text_ko: raw
                .text_ko
                .as_ref()
                .map(|at| at.value.clone())
                .unwrap_or_default(),
        })
    }

    fn never(&mut self, raw: &RawNever) -> Option<Never> {
        let id = self.rule_id(&raw.id);
        let when = raw.when.as_ref().map(|at| self.conditions(&at.value));
        Some(Never {
            id: id?,
            when: when?,
            masked_may: raw.masked_may.as_ref().is_some_and(|at| at.value),
            text: raw.text.as_ref()?.value.clone(),
        })
    }

    fn basis(&mut self, raw: &RawBasis) -> Option<Basis> {
        let id = self.name(raw.id.as_ref()?, BasisId::new);
        let programme = self.people("programme", &raw.programme, self.known.programmes.as_ref());
        let tenant = self.people("tenant", &raw.tenant, self.known.tenants.as_ref());
        let location = self.places(&raw.location);
        let expires_at = end_of(self.report, raw.expires_on.as_ref()?);
        Some(Basis {
            id: id?,
            kind: word(&raw.kind)?,
            programme: programme.unwrap_or_default(),
            tenant: tenant.unwrap_or_default(),
            location,
            expires_at: expires_at?,
        })
    }

    fn conditions(&mut self, raw: &RawConditions) -> Conditions {
        let known = self.known;
        let models = raw.model.as_ref();
        Conditions {
            class: list(&raw.class),
            flags_any: words(&raw.flags_any),
            flags_all: words(&raw.flags_all),
            flags_none: words(&raw.flags_none),
            programme: self.people("programme", &raw.programme, known.programmes.as_ref()),
            tenant: self.people("tenant", &raw.tenant, known.tenants.as_ref()),
            model: models.map(|at| self.named("model", &at.value, known.models.as_ref())),
            location: self.places(&raw.location),
            country: self.countries(&raw.country),
            operator_country: self.countries(&raw.operator_country),
            zone: list(&raw.zone),
            assurance_any: words(&raw.assurance_any),
            assurance_none: words(&raw.assurance_none),
            own: raw.own.as_ref().map(|at| at.value),
            basis_any: words(&raw.basis_any),
            basis_none: words(&raw.basis_none),
        }
    }

    fn places<T: FromStr + Ord>(&mut self, list: &Texts) -> OneOf<T> {
        let known = self.known.locations.as_ref();
        list.as_ref()
            .map(|at| self.named("site, upstream or origin", &at.value, known))
    }

    /// Names of rows of the fleet: one that is not there is an error, since a rule about it would say nothing.
    pub(super) fn named<T: FromStr + Ord>(
        &mut self,
        what: &str,
        list: &[At<String>],
        known: Option<&BTreeSet<String>>,
    ) -> BTreeSet<T> {
        for at in list {
            if let Some(known) = known.filter(|known| !known.contains(&at.value)) {
                let near = nearest(&at.value, known.iter().map(String::as_str));
                let message = format!("there is no {what} \"{}\"", brief(&at.value));
                let entry = self.report.error("reference_unknown", &at.span, message);
                match near {
                    Some(near) => entry.help(format!("did you mean \"{}\"?", brief(near))),
                    None => entry.help(format!("name a {what} of the fleet")),
                };
                self.sound = false;
            }
        }
        list.iter().filter_map(|at| at.value.parse().ok()).collect()
    }

    /// Names of programmes and tenants, which may also be made by the API.
    pub(super) fn people<T: FromStr<Err = NameError> + Ord>(
        &mut self,
        what: &str,
        list: &Texts,
        known: Option<&BTreeSet<String>>,
    ) -> OneOf<T> {
        let list = list.as_ref()?;
        let mut people = BTreeSet::new();
        for at in &list.value {
            let Some(name) = self.name(at, T::from_str) else {
                continue;
            };
            people.insert(name);
            if known.is_some_and(|known| !known.contains(&at.value)) {
                let message = format!("the fleet file has no {what} \"{}\"", brief(&at.value));
                self.report
                    .warning("reference_unknown", &at.span, message)
                    .help("nothing to do if it is made with the command line or the API");
            }
        }
        Some(people)
    }

    fn name<T>(&mut self, at: &At<String>, make: fn(&str) -> Result<T, NameError>) -> Option<T> {
        let name = name(self.report, at, make);
        self.sound &= name.is_some();
        name
    }

    /// A rule's id. A `:` stands in those of stop switches only.
    fn rule_id(&mut self, text: &Text) -> Option<RuleId> {
        let at = text.as_ref()?;
        self.name(at, BasisId::new)?;
        RuleId::new(&at.value).ok()
    }

    fn country(&mut self, text: &Text) -> Option<Country> {
        country::read(text.as_ref()?, self.report).or_else(|| {
            self.sound = false;
            None
        })
    }

    fn countries(&mut self, list: &Texts) -> OneOf<Country> {
        let list = list.as_ref()?;
        let mut countries = BTreeSet::new();
        for at in &list.value {
            match country::read(at, self.report) {
                Some(country) => {
                    countries.insert(country);
                }
                None => self.sound = false,
            }
        }
        Some(countries)
    }
}

/// The instant with which a day begins in Korea.
pub(super) fn begin_of(report: &mut Report<'_>, at: &At<String>) -> Option<Micros> {
    midnight(day(report, at)?)
}

/// The instant with which a day ends in Korea.
pub(super) fn end_of(report: &mut Report<'_>, at: &At<String>) -> Option<Micros> {
    midnight(day(report, at)?.tomorrow().ok()?)
}

fn day(report: &mut Report<'_>, at: &At<String>) -> Option<Date> {
    place::date(at, |span, message| {
        report
            .error("date_invalid", span, message)
            .help("year, month and day, such as \"2027-06-30\"");
    })
}

fn midnight(day: Date) -> Option<Micros> {
    let instant = OFFSET.to_timestamp(day.at(0, 0, 0, 0)).ok()?;
    Some(Micros(instant.as_microsecond()))
}

// The words below were checked against the schema; a test holds it and the types together.

pub(super) fn word<T: FromStr>(text: &Text) -> Option<T> {
    text.as_ref()?.value.parse().ok()
}

pub(super) fn words<T: FromStr, C: FromIterator<T>>(list: &Texts) -> C {
    let all = list.iter().flat_map(|at| &at.value);
    all.filter_map(|at| at.value.parse().ok()).collect()
}

fn list<T: FromStr + Ord>(list: &Texts) -> OneOf<T> {
    list.as_ref().map(|_| words(list))
}
