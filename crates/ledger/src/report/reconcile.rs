//! Records and ledger beside each other: what was used and what it cost, told twice.

use super::rows::{Booked, LegSum, Row};
use super::{Grants, Place, held};
use crate::Account;
use madang_types::{AllocationId, SiteId, TenantId, Unit};
use std::collections::{BTreeMap, BTreeSet};

/// Differences that a report tells; the others it counts.
pub const DIFFERENCES_SHOWN_MAX: usize = 100;

/// What both sides count.
const UNITS: [Unit; 4] = [
    Unit::UncachedTokens,
    Unit::CachedTokens,
    Unit::OutputTokens,
    Unit::MicroWon,
];

/// Whether records and ledger say the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconciliation {
    /// Both sides' sums, by unit. What was served before anything had a price is on neither.
    pub totals: Vec<Compared>,
    /// Where they differ, the first of it.
    pub differences: Vec<Difference>,
    /// In how many places they differ.
    pub differences_count: usize,
    /// Records that have a cost and no entry.
    pub missing_requests: u64,
    /// Records of what was served while nothing had a price or a budget, which have no entries.
    pub unmetered_requests: u64,
    /// Their tokens.
    pub unmetered_tokens: u64,
}

/// A unit's sums on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// The unit: tokens by class, or µ₩.
    pub unit: Unit,
    /// What the records say; held at the end of its type.
    pub records: i64,
    /// What the ledger's entries say, likewise.
    pub ledger: i64,
}

/// A tenant and place for which the sides differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Whose.
    pub tenant: TenantId,
    /// Where; `None` where the record names no place.
    pub site: Option<SiteId>,
    /// The sums.
    pub sums: Compared,
}

impl Reconciliation {
    /// Whether nothing differs and nothing is missing.
    pub fn agrees(&self) -> bool {
        self.differences_count == 0 && self.missing_requests == 0
    }
}

type Key<'a> = (&'a TenantId, Option<Place<'a>>, Unit);

/// Compares by tenant, place and unit.
pub(super) fn reconcile(
    tenants: &BTreeSet<&TenantId>,
    rows: &[Row],
    (legs, grants): (&[LegSum], &Grants<'_>),
) -> Reconciliation {
    let mut sides: BTreeMap<Key<'_>, (i128, i128)> = BTreeMap::new();
    let (mut missing_requests, mut unmetered_requests, mut unmetered_tokens) = (0_u64, 0_u64, 0);
    for row in rows {
        let sums = &row.sums;
        match row.booked {
            Booked::Won | Booked::Tokens => {}
            Booked::Missing => missing_requests = missing_requests.saturating_add(sums.requests),
            Booked::Unmetered => {
                unmetered_requests = unmetered_requests.saturating_add(sums.requests);
                unmetered_tokens = sums.tokens().saturating_add(unmetered_tokens);
                continue;
            }
        }
        for unit in UNITS {
            let site = row.site.as_ref().map(SiteId::as_str);
            let side = sides.entry((&row.tenant, site, unit)).or_default();
            side.0 += of_records(row, unit);
        }
    }
    for leg in legs {
        if let Some((tenant, place, amount)) = used(leg, grants)
            && tenants.contains(tenant)
        {
            let key = (tenant, Some(place), leg.unit);
            sides.entry(key).or_default().1 += amount;
        }
    }
    let differing = sides
        .iter()
        .filter(|(_, (records, ledger))| records != ledger);
    Reconciliation {
        totals: totals(&sides),
        differences_count: differing.clone().count(),
        differences: differing
            .take(DIFFERENCES_SHOWN_MAX)
            .map(|(key, side)| difference(key, *side))
            .collect(),
        missing_requests,
        unmetered_requests,
        unmetered_tokens,
    }
}

fn of_records(row: &Row, unit: Unit) -> i128 {
    match unit {
        Unit::UncachedTokens => row.sums.uncached_tokens.into(),
        Unit::CachedTokens => row.sums.cached_tokens.into(),
        Unit::OutputTokens => row.sums.output_tokens.into(),
        // Who was granted tokens pays no won.
        Unit::MicroWon if row.booked != Booked::Tokens => row.sums.cost.0.into(),
        _ => 0,
    }
}

fn totals(sides: &BTreeMap<Key<'_>, (i128, i128)>) -> Vec<Compared> {
    let of = |unit: Unit| {
        let of_unit = sides.iter().filter(|((_, _, of), _)| *of == unit);
        let (records, ledger) =
            of_unit.fold((0, 0), |sum, (_, side)| (sum.0 + side.0, sum.1 + side.1));
        compared(unit, (records, ledger))
    };
    UNITS.map(of).into()
}

fn difference((tenant, place, unit): &Key<'_>, sides: (i128, i128)) -> Difference {
    Difference {
        tenant: (*tenant).clone(),
        site: place.and_then(|place| SiteId::new(place).ok()),
        sums: compared(*unit, sides),
    }
}

fn compared(unit: Unit, (records, ledger): (i128, i128)) -> Compared {
    Compared {
        unit,
        records: held(records),
        ledger: held(ledger),
    }
}

/// What a leg says that a tenant used at a place, or paid there; below zero where it goes back, as in a correction.
fn used<'a>(leg: &'a LegSum, grants: &Grants<'a>) -> Option<(&'a TenantId, Place<'a>, i128)> {
    match leg.unit {
        Unit::UncachedTokens | Unit::CachedTokens | Unit::OutputTokens => {
            let (place, caller, amount) = between(leg, place, Account::tenant)?;
            Some((caller, place, amount))
        }
        Unit::MicroWon => between(leg, |account| payer(account, grants), place),
        Unit::Tokens | Unit::AcceleratorMs | Unit::MilliJoules => None,
    }
}

/// What a leg takes from a grant for a place; below zero where it goes back.
pub(super) fn drawn(leg: &LegSum) -> Option<(&AllocationId, i128)> {
    let (allocation, _, amount) = between(leg, Account::allocation, place)?;
    Some((allocation, amount))
}

/// What a leg says that a tenant owes for what a place did; below zero where it goes back.
pub(super) fn owed(leg: &LegSum) -> Option<(&TenantId, i128)> {
    if leg.unit != Unit::MicroWon {
        return None;
    }
    let (tenant, _, amount) = between(leg, debtor, place)?;
    Some((tenant, amount))
}

/// What a leg moves from one to the other; below zero where it goes from the other to the one.
fn between<'a, A, B>(
    leg: &'a LegSum,
    one: impl Fn(&'a Account) -> Option<A>,
    other: impl Fn(&'a Account) -> Option<B>,
) -> Option<(A, B, i128)> {
    let amount = i128::from(leg.amount);
    let there = one(&leg.from).zip(other(&leg.to));
    let back = || one(&leg.to).zip(other(&leg.from));
    there
        .map(|(a, b)| (a, b, amount))
        .or_else(|| back().map(|(a, b)| (a, b, -amount)))
}

fn place(account: &Account) -> Option<Place<'_>> {
    match account {
        Account::Site(id) => Some(id.as_str()),
        Account::Upstream(id) => Some(id.as_str()),
        _ => None,
    }
}

fn debtor(account: &Account) -> Option<&TenantId> {
    match account {
        Account::Tenant(tenant) => Some(tenant),
        _ => None,
    }
}

fn payer<'a>(account: &'a Account, grants: &Grants<'a>) -> Option<&'a TenantId> {
    let granted = || grants.get(account.allocation()?).map(|grant| &grant.tenant);
    debtor(account).or_else(granted)
}
