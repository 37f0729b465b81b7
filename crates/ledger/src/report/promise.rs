//! What was promised of each unit, and what of it was delivered.

use super::concentration::Concentration;
use super::reconcile::{drawn, owed};
use super::rows::LegSum;
use super::{Grants, Scope, held};
use madang_types::{Allocation, Class, Micros, TenantId, Tranche, Unit};
use std::collections::{BTreeMap, BTreeSet};

/// The units in which programmes grant.
const UNITS: [Unit; 3] = [Unit::MicroWon, Unit::Tokens, Unit::AcceleratorMs];

/// One unit, and of tokens perhaps one class of models. Amounts are in it, and held at the end of their type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The unit.
    pub unit: Unit,
    /// What is for this class of models alone; `None` for the rest.
    pub class: Option<Class>,
    /// What the programme has to allocate in all, whatever the span.
    pub budget: Option<i64>,
    /// The most of the budget that one tenant may hold, in thousandths.
    pub concentration_permille_max: Option<u32>,
    /// Its allocations that are in force at any time of the span, whole.
    pub granted: i64,
    /// The parts of them that fall into the span ([`promised`]).
    pub promised: i64,
    /// What was spent of the programme's allocations.
    pub delivered: i64,
    /// What of that was spent by tenants that are not in the programme now, and so in no breakdown.
    pub delivered_to_others: i64,
    /// What the programme's tenants spent of other programmes' allocations.
    pub delivered_by_others: i64,
    /// What the programme's tenants owe, as no allocation pays it.
    pub owed: i64,
    /// `promised − delivered`: below zero where more was spent than the span's part.
    pub unspent: i64,
    /// How `promised` is spread over tenants.
    pub promised_among: Option<Concentration>,
    /// How `delivered` and `owed` are.
    pub delivered_among: Option<Concentration>,
}

/// The part of an allocation that falls into a span: as much of its amount as the span has of its period, where it was not recalled
/// before; of one that comes in tranches, of each until the next one comes. Rounded down at each instant, so that the parts of spans
/// that meet sum to the part of the whole.
pub fn promised(allocation: &Allocation, (from, until): (Micros, Micros)) -> i64 {
    let whole = [Tranche {
        from: allocation.from,
        amount: allocation.amount,
    }];
    let tranches = match &*allocation.tranches {
        [] => &whole[..],
        tranches => tranches,
    };
    let nexts = tranches.iter().skip(1).map(|next| next.from);
    let ends = nexts.chain([allocation.until]);
    let parts = tranches.iter().zip(ends).map(|(tranche, end)| {
        let (begins, ends) = (i128::from(tranche.from.0), i128::from(end.0));
        let stops = ends.min(allocation.ends_at().0.into()).max(begins);
        let by = |at: Micros| {
            let at = i128::from(at.0).clamp(begins, stops);
            i128::from(tranche.amount) * (at - begins) / (ends - begins).max(1)
        };
        by(until) - by(from)
    });
    held(parts.sum())
}

pub(super) fn is_in_force(allocation: &Allocation, (from, until): (Micros, Micros)) -> bool {
    allocation.from < until && from < allocation.ends_at()
}

/// What a line is about.
type Counted<'a> = (Unit, Option<&'a Class>);

/// A line for each unit and class of which the programme has a budget or a grant, or in which something was spent.
pub(super) fn lines(
    scope: &Scope<'_>,
    tenants: &BTreeSet<&TenantId>,
    (legs, grants): (&[LegSum], &Grants<'_>),
) -> Vec<Line> {
    let budgets = scope.budgets.iter();
    let budgets = budgets.map(|budget| (budget.unit, budget.class.as_ref()));
    let all = UNITS.map(|unit| (unit, None)).into_iter().chain(budgets);
    let all: BTreeSet<Counted<'_>> = all.chain(grants.values().map(|grant| of(grant))).collect();
    let lines = all.into_iter();
    let lines = lines.map(|counted| line(counted, scope, (tenants, legs, grants)));
    let said = |line: &Line| {
        let Line {
            budget,
            granted,
            delivered,
            delivered_by_others,
            owed,
            ..
        } = line;
        let amounts = [granted, delivered, delivered_by_others, owed];
        budget.is_some() || amounts.iter().any(|amount| **amount != 0)
    };
    lines.filter(said).collect()
}

fn of(grant: &Allocation) -> Counted<'_> {
    (grant.unit, grant.class.as_ref())
}

fn line(
    counted: Counted<'_>,
    scope: &Scope<'_>,
    (tenants, legs, grants): (&BTreeSet<&TenantId>, &[LegSum], &Grants<'_>),
) -> Line {
    let (mut granted, mut promises) = (0_i128, BTreeMap::new());
    for grant in grants.values() {
        let own = of(grant) == counted && grant.programme == *scope.programme;
        if own && is_in_force(grant, scope.span) {
            granted += i128::from(grant.amount);
            *promises.entry(&grant.tenant).or_default() += i128::from(promised(grant, scope.span));
        }
    }
    let spent = spent(counted, scope, (tenants, legs, grants));
    let promised: i128 = promises.values().sum();
    let (unit, class) = counted;
    let of_line = |budget: &&madang_types::ProgrammeBudget| {
        let of = (budget.unit, budget.class.as_ref());
        of == counted && budget.programme == *scope.programme
    };
    let budget = scope.budgets.iter().find(of_line);
    Line {
        unit,
        class: class.cloned(),
        budget: budget.map(|budget| budget.amount),
        concentration_permille_max: budget.map(|budget| budget.concentration_permille_max),
        granted: held(granted),
        promised: held(promised),
        delivered: held(spent.delivered),
        delivered_to_others: held(spent.to_others),
        delivered_by_others: held(spent.by_others),
        owed: held(spent.owed),
        unspent: held(promised - spent.delivered),
        promised_among: Concentration::of(&promises),
        delivered_among: Concentration::of(&spent.among),
    }
}

#[derive(Default)]
struct Spent<'a> {
    delivered: i128,
    to_others: i128,
    by_others: i128,
    owed: i128,
    among: BTreeMap<&'a TenantId, i128>,
}

fn spent<'a>(
    counted: Counted<'_>,
    scope: &Scope<'_>,
    (tenants, legs, grants): (&BTreeSet<&TenantId>, &'a [LegSum], &Grants<'a>),
) -> Spent<'a> {
    let mut spent = Spent::default();
    for leg in legs.iter().filter(|leg| leg.unit == counted.0) {
        if let Some((tenant, amount)) = owed(leg).filter(|_| counted.1.is_none()) {
            if tenants.contains(tenant) {
                spent.owed += amount;
                *spent.among.entry(tenant).or_default() += amount;
            }
            continue;
        }
        let drawn = drawn(leg).and_then(|(id, amount)| Some((*grants.get(id)?, amount)));
        let Some((grant, amount)) = drawn.filter(|(grant, _)| of(grant) == counted) else {
            continue;
        };
        let (own, member) = (
            grant.programme == *scope.programme,
            tenants.contains(&grant.tenant),
        );
        if own {
            spent.delivered += amount;
            *spent.among.entry(&grant.tenant).or_default() += amount;
        }
        match (own, member) {
            (true, false) => spent.to_others += amount,
            (false, true) => spent.by_others += amount,
            (true, true) | (false, false) => {}
        }
    }
    spent
}
