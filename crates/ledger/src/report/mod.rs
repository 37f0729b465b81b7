//! What a programme promised in a span, what was delivered, and whether the records of requests and the ledger's entries say the same
//! of it. Pure: a store reads the sums ([`Extract`]), whoever asks shows the report.

mod concentration;
mod energy;
mod idle;
mod promise;
mod reconcile;
mod rows;
#[cfg(test)]
mod tests;

pub use concentration::Concentration;
pub use energy::{EnergyUse, SiteEnergy, TenantEnergy, energy_use};
pub use idle::{AwardUse, MeasuredRun, awards, payers};
pub use promise::{Line, promised};
pub use reconcile::{Compared, DIFFERENCES_SHOWN_MAX, Difference, Reconciliation};
pub use rows::{Booked, EXTRACT_ROWS_MAX, Extract, LegSum, Row, Sums};

use madang_types::{
    Allocation, AllocationId, MicroWon, Micros, ModelId, ProgrammeBudget, ProgrammeId, SiteId,
    TenantId,
};
use std::collections::{BTreeMap, BTreeSet};

/// A site's or an upstream's id.
type Place<'a> = &'a str;
/// Allocations by id.
type Grants<'a> = BTreeMap<&'a AllocationId, &'a Allocation>;

/// What a report is about.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Whose.
    pub programme: &'a ProgrammeId,
    /// From the first instant on, before the second.
    pub span: (Micros, Micros),
    /// Budgets; other programmes' do no harm.
    pub budgets: &'a [ProgrammeBudget],
    /// All allocations, other programmes' too: they say whose a lease is. Read after the extract, so that none is lacking.
    pub allocations: &'a [Allocation],
}

/// The report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Promised and delivered, by unit.
    pub lines: Vec<Line>,
    /// All that was delivered to the programme's tenants.
    pub total: Delivered,
    /// The same by tenant.
    pub by_tenant: BTreeMap<TenantId, Delivered>,
    /// By model; `None` where a request named none that is known.
    pub by_model: BTreeMap<Option<ModelId>, Delivered>,
    /// By site or upstream; `None` where a request was sent nowhere.
    pub by_site: BTreeMap<Option<SiteId>, Delivered>,
    /// By day, days since 1970-01-01.
    pub by_day: BTreeMap<i64, Delivered>,
    /// By all four.
    pub rows: BTreeMap<Cell, Delivered>,
    /// How tokens are spread over tenants.
    pub tokens_among: Option<Concentration>,
    /// Whether the ledger says the same.
    pub reconciliation: Reconciliation,
}

/// What the finest rows are told apart by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// Who is billed.
    pub tenant: TenantId,
    /// The model.
    pub model: Option<ModelId>,
    /// The site or upstream.
    pub site: Option<SiteId>,
    /// Days since 1970-01-01.
    pub day: i64,
}

/// What was delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Sums over all its records.
    pub sums: Sums,
    /// What of the cost was paid with tokens of a grant, and not in won.
    pub cost_in_tokens: MicroWon,
    /// Requests that were served while nothing had a price or a budget.
    pub unmetered_requests: u64,
}

impl Delivered {
    fn of(row: &Row) -> Self {
        let mut delivered = Self {
            sums: row.sums,
            ..Self::default()
        };
        match row.booked {
            Booked::Tokens => delivered.cost_in_tokens = row.sums.cost,
            Booked::Unmetered => delivered.unmetered_requests = row.sums.requests,
            Booked::Won | Booked::Missing => {}
        }
        delivered
    }

    /// With another's added.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let unmetered = self.unmetered_requests;
        Self {
            sums: self.sums.plus(other.sums),
            cost_in_tokens: self.cost_in_tokens.saturating_add(other.cost_in_tokens),
            unmetered_requests: unmetered.saturating_add(other.unmetered_requests),
        }
    }

    /// What was charged in won.
    pub fn charged(&self) -> MicroWon {
        self.sums.cost.saturating_sub(self.cost_in_tokens)
    }
}

/// Rows by tenant, model, site and day, whatever the ledger says of them.
pub fn cells(rows: &[Row]) -> BTreeMap<Cell, Delivered> {
    grouped(rows, |row| Cell {
        tenant: row.tenant.clone(),
        model: row.model.clone(),
        site: row.site.clone(),
        day: row.day,
    })
}

/// Whether records and ledger say the same, of an extract; `allocations` as in [`Scope`].
pub fn reconciled(extract: &Extract, allocations: &[Allocation]) -> Reconciliation {
    let tenants = extract.tenants.iter().collect();
    let grants: Grants<'_> = allocations.iter().map(|row| (&row.id, row)).collect();
    reconcile::reconcile(&tenants, &extract.rows, (&extract.legs, &grants))
}

/// The report of an extract.
pub fn report(scope: &Scope<'_>, extract: &Extract) -> Report {
    let Extract {
        tenants,
        rows,
        legs,
        job_legs,
        energy_legs: _,
    } = extract;
    let all_legs = [legs.as_slice(), job_legs].concat();
    let tenants: BTreeSet<&TenantId> = tenants.iter().collect();
    let grants: Grants<'_> = scope.allocations.iter().map(|row| (&row.id, row)).collect();
    let by_tenant = grouped(rows, |row| row.tenant.clone());
    let tokens = by_tenant
        .iter()
        .map(|(tenant, delivered)| (tenant, delivered.sums.tokens().into()))
        .collect();
    let total = by_tenant
        .values()
        .copied()
        .fold(Delivered::default(), Delivered::plus);
    Report {
        lines: promise::lines(scope, &tenants, (&all_legs, &grants)),
        total,
        tokens_among: Concentration::of(&tokens),
        by_tenant,
        by_model: grouped(rows, |row| row.model.clone()),
        by_site: grouped(rows, |row| row.site.clone()),
        by_day: grouped(rows, |row| row.day),
        rows: cells(rows),
        reconciliation: reconcile::reconcile(&tenants, rows, (legs, &grants)),
    }
}

fn grouped<K: Ord>(rows: &[Row], key: impl Fn(&Row) -> K) -> BTreeMap<K, Delivered> {
    let mut groups: BTreeMap<K, Delivered> = BTreeMap::new();
    for row in rows {
        let group = groups.entry(key(row)).or_default();
        *group = group.plus(Delivered::of(row));
    }
    groups
}

/// A sum, held at the end of its type.
pub fn held(amount: i128) -> i64 {
    let end = if amount < 0 { i64::MIN } else { i64::MAX };
    i64::try_from(amount).unwrap_or(end)
}
