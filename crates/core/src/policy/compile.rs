//! From a policy to its table: every combination of what the rules tell apart is worked out, and held against what must never
//! be.

use super::builtin;
use super::clause::{Clause, Ground};
use super::decision::{ConditionKind, Failing, PolicyDecision};
use super::error::{Breach, PolicyError};
use super::ground::is_unknown;
use super::judge::{Case, Verdict, clause, judge};
use super::table::{
    CONTENTS, Names, PAIRS_MAX, PlaceRow, PolicyTable, Whom, content_at, index, numbered,
};
use madang_types::{
    Basis, Micros, Never, Place, Policy, PolicyEffect, ProgrammeId, Rule, RuleId, SiteId, TenantId,
};
use std::collections::{BTreeMap, BTreeSet};

/// Greatest number of entries: rows that differ, times class and flags.
const ENTRIES_MAX: usize = 1 << 22;
/// Greatest number of rules and statements, and of bases that are held.
const RULES_MAX: usize = 1 << 10;

impl PolicyTable {
    /// Compiles a policy that is to be put in force: as it stands at `now`, and, for its errors only, as it will stand each time
    /// that a basis has expired, for those who held it. Whatever is loaded can be compiled anew then.
    ///
    /// # Errors
    /// The policy is too large, or permits what must never be: now, or from the day that the error names.
    pub fn load(
        policy: &Policy,
        places: impl IntoIterator<Item = (SiteId, Place)>,
        now: Micros,
    ) -> Result<Self, PolicyError> {
        let table = Self::compile(policy, places, now)?;
        let expiries = policy.bases.iter().map(|basis| basis.expires_at);
        let expiries: BTreeSet<Micros> = expiries
            .filter(|at| (table.expires_at..Micros(i64::MAX)).contains(at))
            .collect();
        let days: Vec<(Micros, Holders<'_>)> = expiries
            .into_iter()
            .map(|at| (at, Holders::of(policy, at)))
            .collect();
        let subjects = days.iter().map(|(_, holders)| holders.count(&table.names));
        let pairs = subjects.fold(0_usize, usize::saturating_add);
        let pairs = pairs.saturating_mul(table.places.len());
        if pairs > PAIRS_MAX {
            return Err(PolicyError::TooLarge {
                dimension: "days on which bases expire",
                count: days.len(),
                combinations: pairs.saturating_mul(CONTENTS),
            });
        }
        for (at, holders) in days {
            let mut then = Work::new(policy, table.places.clone(), at)?;
            let stands = then.work_out(|whom| holders.include(whom));
            stands.map_err(|error| error.once(policy, at))?;
        }
        Ok(table)
    }

    /// Compiles a policy over those places, as it stands at `now`: bases that have expired by then are not held.
    ///
    /// # Errors
    /// The policy is too large, or permits what must never be.
    pub fn compile(
        policy: &Policy,
        places: impl IntoIterator<Item = (SiteId, Place)>,
        now: Micros,
    ) -> Result<Self, PolicyError> {
        let places: BTreeSet<(SiteId, Place)> = places.into_iter().collect();
        let places = places
            .into_iter()
            .map(|(id, place)| Self::ground_of(policy.home, id, place))
            .collect();
        let work = Work::new(policy, places, now)?;
        work.run(policy)
    }
}

/// Who held a basis that expires at some instant: for all others that instant changes nothing.
struct Holders<'p> {
    tenants: BTreeSet<&'p TenantId>,
    programmes: BTreeSet<&'p ProgrammeId>,
}

impl<'p> Holders<'p> {
    fn of(policy: &'p Policy, at: Micros) -> Self {
        let lapsing = || {
            policy
                .bases
                .iter()
                .filter(move |basis| basis.expires_at == at)
        };
        Self {
            tenants: lapsing().flat_map(|basis| &basis.tenant).collect(),
            programmes: lapsing().flat_map(|basis| &basis.programme).collect(),
        }
    }

    fn include(&self, whom: &Whom<'_>) -> bool {
        let Whom {
            tenant, programme, ..
        } = whom;
        tenant.is_some_and(|tenant| self.tenants.contains(tenant))
            || programme.is_some_and(|programme| self.programmes.contains(programme))
    }

    /// How many subjects they are among all that the names tell apart.
    fn count(&self, names: &Names) -> usize {
        let [tenants, programmes] = [names.tenants.len() + 1, names.programmes.len() + 1];
        let by_tenant = self.tenants.len().saturating_mul(programmes);
        let others = tenants.saturating_sub(self.tenants.len());
        let all = by_tenant.saturating_add(others.saturating_mul(self.programmes.len()));
        all.saturating_mul(names.models.len() + 1)
    }
}

/// The policy in force: built-in rules that no rule of its own replaces, and its own.
fn rules_of(policy: &Policy) -> Vec<Rule> {
    let own: BTreeSet<&RuleId> = policy.rules.iter().map(|rule| &rule.id).collect();
    let builtin = builtin::rules(policy).into_iter();
    let kept = builtin.filter(|rule| policy.builtin && !own.contains(&rule.id));
    policy.rules.iter().cloned().chain(kept).collect()
}

struct Work {
    rules: Vec<Rule>,
    never: Vec<Never>,
    bases: Vec<Basis>,
    names: Names,
    places: Vec<PlaceRow>,
    rows: Vec<u32>,
    entries: Vec<u32>,
    decisions: Vec<PolicyDecision>,
    unmaskable: Vec<Option<PolicyDecision>>,
    /// Decisions and rows that exist already.
    known: BTreeMap<Verdict, u32>,
    seen: BTreeMap<(Vec<Failing>, Vec<u16>), u32>,
    breaches: BTreeMap<RuleId, Breach>,
    since: Micros,
}

impl Work {
    fn new(policy: &Policy, places: Vec<PlaceRow>, now: Micros) -> Result<Self, PolicyError> {
        let rules = rules_of(policy);
        let never: Vec<Never> = builtin::never()
            .into_iter()
            .chain(policy.never.clone())
            .collect();
        let (bases, lapsed): (Vec<Basis>, Vec<Basis>) = policy
            .bases
            .iter()
            .cloned()
            .partition(|basis| basis.expires_at > now);
        let since = lapsed.iter().map(|basis| basis.expires_at).max();
        let names = names_of(&rules, &never, &bases);
        let pairs = names.pairs(places.len())?;
        let sizes = [("rules", rules.len() + never.len()), ("bases", bases.len())];
        if let Some((dimension, count)) = sizes.into_iter().find(|(_, size)| *size > RULES_MAX) {
            return Err(PolicyError::TooLarge {
                dimension,
                count,
                combinations: pairs.saturating_mul(CONTENTS),
            });
        }
        Ok(Self {
            rules,
            never,
            bases,
            names,
            places,
            rows: Vec::with_capacity(pairs),
            entries: Vec::new(),
            decisions: Vec::new(),
            unmaskable: Vec::new(),
            known: BTreeMap::new(),
            seen: BTreeMap::new(),
            breaches: BTreeMap::new(),
            since: since.unwrap_or(Micros(i64::MIN)),
        })
    }

    fn run(mut self, policy: &Policy) -> Result<PolicyTable, PolicyError> {
        self.work_out(|_| true)?;
        let expiries = self.bases.iter().map(|basis| basis.expires_at);
        Ok(PolicyTable {
            hash: policy.hash,
            home: policy.home,
            names: self.names,
            places: self.places,
            rows: self.rows,
            entries: self.entries,
            decisions: self.decisions,
            unmaskable: self.unmaskable,
            since: self.since,
            expires_at: expiries.min().unwrap_or(Micros(i64::MAX)),
            ..PolicyTable::default()
        })
    }

    /// Works out the rows of some subjects at all places, and holds them against what must never be.
    fn work_out(&mut self, whose: impl Fn(&Whom<'_>) -> bool) -> Result<(), PolicyError> {
        let contents: Vec<Vec<Failing>> = (0..CONTENTS).map(|at| self.content(at)).collect();
        let grounds: Vec<Vec<Failing>> = self.places.iter().map(|row| self.ground(row)).collect();
        let unknown = self.unknown_row();
        for whom in self.names.clone().everybody().filter(whose) {
            let failing: Vec<Failing> = self
                .clauses()
                .map(|clause| subject(clause, &whom))
                .collect();
            let held = self.held(&whom);
            for (at, ground) in grounds.iter().enumerate() {
                let row = if is_unknown(&self.places[at].place) {
                    unknown
                } else {
                    self.pair((&failing, ground), (&held, at), (&contents, &whom))?
                };
                self.rows.push(row);
            }
        }
        let breaches = std::mem::take(&mut self.breaches);
        if breaches.is_empty() {
            return Ok(());
        }
        Err(PolicyError::Broken(breaches.into_values().collect()))
    }

    fn clauses(&self) -> impl Iterator<Item = Clause<'_>> {
        let never = self.never.iter().map(|never| Clause {
            when: &never.when,
            permits: false,
        });
        self.rules.iter().map(clause).chain(never)
    }

    fn content(&self, at: usize) -> Vec<Failing> {
        let (class, flags) = content_at(at);
        self.clauses()
            .map(|clause| clause.content(class, flags))
            .collect()
    }

    fn ground(&self, row: &PlaceRow) -> Vec<Failing> {
        let ground = Ground {
            id: &row.id,
            place: &row.place,
            zone: row.zone,
        };
        self.clauses()
            .map(|clause| clause.ground(&ground))
            .collect()
    }

    /// The bases of a subject, whatever the place.
    fn held(&self, whom: &Whom<'_>) -> Vec<u16> {
        let holds = |basis: &Basis| {
            whom.tenant
                .is_some_and(|tenant| basis.tenant.contains(tenant))
                || whom
                    .programme
                    .is_some_and(|programme| basis.programme.contains(programme))
        };
        let all = (0..).zip(&self.bases);
        all.filter(|(_, basis)| holds(basis))
            .map(|(index, _)| index)
            .collect()
    }

    /// A row in which everything is refused because nobody knows under which law the place is.
    fn unknown_row(&mut self) -> u32 {
        self.decisions.push(PolicyDecision::refusal(
            "unknown-location",
            "The fleet does not say under which law the place and its operator are (`country`, `operator_country`).",
            "시설이나 운영자의 소재 국가가 등록되지 않은 곳입니다.",
        ));
        self.unmaskable.push(None);
        self.entries.resize(CONTENTS, 0);
        0
    }

    /// The row of one subject at one place.
    fn pair(
        &mut self,
        (subject, ground): (&[Failing], &[Failing]),
        (held, at): (&[u16], usize),
        (contents, whom): (&[Vec<Failing>], &Whom<'_>),
    ) -> Result<u32, PolicyError> {
        let location = &self.places[at].id;
        let covers = |index: &&u16| {
            let basis = self.bases.get(usize::from(**index));
            basis.is_some_and(|basis| {
                basis
                    .location
                    .as_ref()
                    .is_none_or(|set| set.contains(location))
            })
        };
        let held: Vec<u16> = held.iter().filter(covers).copied().collect();
        let bases = || {
            held.iter()
                .filter_map(|index| self.bases.get(usize::from(*index)))
        };
        let of = |(clause, (subject, ground)): (Clause<'_>, (&Failing, &Failing))| {
            let failing = subject.and(*ground).and(clause.basis(bases()));
            // A rule that permits is named where nothing does, and a basis that is held where it averts a rule.
            let matters =
                clause.permits || failing.is_none() || failing.is_only(ConditionKind::Basis);
            if matters { failing } else { Failing::HOPELESS }
        };
        let failing: Vec<Failing> = self
            .clauses()
            .zip(subject.iter().zip(ground))
            .map(of)
            .collect();
        let key = (failing, held);
        if let Some(row) = self.seen.get(&key) {
            return Ok(*row);
        }
        if self.entries.len() + CONTENTS > ENTRIES_MAX {
            return Err(PolicyError::TooLarge {
                dimension: "rules",
                count: self.rules.len(),
                combinations: self.rows.len().saturating_mul(CONTENTS),
            });
        }
        let row = u32::try_from(self.entries.len() / CONTENTS).unwrap_or(u32::MAX);
        for (content_at, content) in contents.iter().enumerate() {
            self.entry(&key, content, (content_at, at), whom);
        }
        self.seen.insert(key, row);
        Ok(row)
    }

    fn entry(
        &mut self,
        (pair, held): &(Vec<Failing>, Vec<u16>),
        content: &[Failing],
        (at, place_at): (usize, usize),
        whom: &Whom<'_>,
    ) {
        let failing = || pair.iter().zip(content);
        let cases: Vec<Case<'_>> = (0..)
            .zip(self.rules.iter().zip(failing()))
            .filter(|(_, (_, (pair, _)))| **pair != Failing::HOPELESS)
            .map(|(index, (rule, (pair, content)))| (index, rule, pair.and(*content)))
            .collect();
        let verdict = judge(&cases, (&self.bases, held));
        let effect = verdict.effect;
        let decision = match self.known.get(&verdict) {
            Some(decision) => *decision,
            None => {
                let spelt = verdict.spell(&self.rules, &self.bases);
                let decision = u32::try_from(self.decisions.len()).unwrap_or(u32::MAX);
                self.decisions.push(spelt);
                self.unmaskable.push(verdict.spell_unmaskable(&self.rules));
                self.known.insert(verdict, decision);
                decision
            }
        };
        self.entries.push(decision);
        if effect == PolicyEffect::Deny {
            return;
        }
        let rules = &self.decisions[index(decision)].rules;
        let of_never = failing().skip(self.rules.len());
        let broken = self
            .never
            .iter()
            .zip(of_never)
            .filter(|(never, (pair, content))| {
                let holds = pair.and(**content).is_none();
                holds && (effect == PolicyEffect::Allow || !never.masked_may)
            });
        for (never, _) in broken {
            let (class, flags) = content_at(at);
            let breach = self
                .breaches
                .entry(never.id.clone())
                .or_insert_with(|| Breach {
                    never: never.id.clone(),
                    text: never.text.clone(),
                    count: 0,
                    tenant: whom.tenant.cloned(),
                    programme: whom.programme.cloned(),
                    model: whom.model.cloned(),
                    location: self.places[place_at].id.clone(),
                    class,
                    flags,
                    rules: rules.clone(),
                    lapse: None,
                });
            breach.count += 1;
        }
    }
}

fn subject(clause: Clause<'_>, whom: &Whom<'_>) -> Failing {
    clause
        .tenant(whom.tenant)
        .and(clause.programme(whom.programme))
        .and(clause.model(whom.model))
}

/// The names that conditions and bases speak of.
fn names_of(rules: &[Rule], never: &[Never], bases: &[Basis]) -> Names {
    let conditions = || {
        let rules = rules.iter().map(|rule| &rule.when);
        rules.chain(never.iter().map(|never| &never.when))
    };
    let tenants = conditions().flat_map(|when| when.tenant.iter().flatten());
    let programmes = conditions().flat_map(|when| when.programme.iter().flatten());
    let models = conditions().flat_map(|when| when.model.iter().flatten());
    Names {
        tenants: numbered(tenants.chain(bases.iter().flat_map(|basis| &basis.tenant))),
        programmes: numbered(programmes.chain(bases.iter().flat_map(|basis| &basis.programme))),
        models: numbered(models),
    }
}
