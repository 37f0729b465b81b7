//! What the ledger says of a request: who paid, who earned, who got how many tokens from whom.

use madang_core::budget::Settled;
use madang_ledger::{Account, Entry, Holder, Leg, Phase, Purse, Subject};
use madang_types::{SiteId, Unit, UpstreamId, UsageRecord};

/// The entry of a request that has ended; `None` where nothing moved. `own`: it ran at a site of ours. `paid`: what it cost, and from
/// whose rights that is taken.
pub fn entry_of(
    record: &UsageRecord,
    own: bool,
    paid: Option<(&Holder, &Settled)>,
) -> Option<Entry> {
    let place = place(record.site.as_ref()?, own)?;
    let tenant = Account::Tenant(record.tenant.clone());
    let caller = caller_of(record);
    let mut legs = Vec::new();
    let mut add = |unit: Unit, amount: i64, from: &Account, to: &Account| {
        if amount > 0 {
            legs.push(Leg {
                unit,
                amount,
                from: from.clone(),
                to: to.clone(),
            });
        }
    };
    if let Some((holder, settled)) = paid {
        for draw in &settled.draws {
            // A ceiling only counts: the same won are paid from elsewhere.
            let to = match draw.purse {
                Purse::Allocation(_) => &place,
                Purse::Ceiling(_) => &Account::World,
            };
            add(draw.unit, draw.amount, &holder.lease(&draw.purse), to);
        }
        add(Unit::MicroWon, settled.owed.0, &tenant, &place);
    }
    let tokens = &record.tokens;
    for (unit, tokens) in [
        (Unit::UncachedTokens, tokens.uncached),
        (Unit::CachedTokens, tokens.cached),
        (Unit::OutputTokens, tokens.output),
    ] {
        let amount = i64::try_from(tokens.0).unwrap_or(i64::MAX);
        add(unit, amount, &place, &caller);
    }
    if legs.is_empty() {
        return None;
    }
    Some(Entry {
        id: record.id.into(),
        phase: Phase::Direct,
        at: record.arrived_at,
        subject: Subject::Request(record.id),
        legs,
    })
}

/// To whom a request is delivered: its key's project, or its tenant where that has none.
pub fn caller_of(record: &UsageRecord) -> Account {
    let tenant = record.tenant.clone();
    match &record.project {
        Some(project) => Account::Project(tenant, project.clone()),
        None => Account::Tenant(tenant),
    }
}

/// A request's site, or the upstream whose id stands as one.
fn place(site: &SiteId, own: bool) -> Option<Account> {
    if own {
        return Some(Account::Site(site.clone()));
    }
    UpstreamId::new(site.as_str()).ok().map(Account::Upstream)
}
