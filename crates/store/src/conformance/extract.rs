//! Properties of what reports are made of.

use super::sample::{SEOUL_MIDNIGHT, SEOUL_OFFSET_S, full, plain, tenant};
use super::{Failure, Fixture};
use crate::{Settlement, Store, UsageFilter};
use madang_ledger::report::{Booked, Extract, LegSum, Row, Sums};
use madang_ledger::{Account, Entry, Leg, Phase, Subject};
use madang_types::{MicroWon, Micros, MilliJoules, Outcome, TokenUse, Tokens, Unit, UsageRecord};
use std::sync::Arc;

/// The civil day that begins at [`SEOUL_MIDNIGHT`]: 2026-03-01.
const MARCH_1: i64 = 20_513;

/// What `requests` of [`plain`] sum to.
fn plain_sums(requests: u64) -> Sums {
    Sums {
        requests,
        finished: requests,
        uncached_tokens: 10 * requests,
        cached_tokens: 3 * requests,
        output_tokens: 7 * requests,
        ..Sums::default()
    }
}

fn plain_row(day: i64, booked: Booked, sums: Sums) -> Result<Row, Failure> {
    Ok(Row {
        tenant: "demo".parse()?,
        model: Some("qwen".parse()?),
        site: None,
        day,
        booked,
        sums,
    })
}

async fn all(store: &Arc<dyn Store>, filter: UsageFilter) -> Result<Extract, Failure> {
    Ok(store.usage_extract(filter, SEOUL_OFFSET_S).await?)
}

/// Each kind is a row: what nothing was charged for, what used nothing, what has a cost and no entry.
pub async fn records_are_by_tenant_model_site_and_day(
    fixture: &impl Fixture,
) -> Result<(), Failure> {
    let store = fixture.open().await;
    let filter = UsageFilter::default;
    assert_eq!(all(&store, filter()).await?, Extract::default());
    for (id, at) in [(1, -1), (2, 0), (3, 0), (4, 86_399_999_999)] {
        let at = Micros(SEOUL_MIDNIGHT.0 + at);
        store.usage_append(plain(id, at)?).await?;
    }
    let mut refused = plain(5, SEOUL_MIDNIGHT)?;
    refused.tokens = TokenUse::default();
    refused.outcome = Outcome::Refused;
    refused.model = None;
    store.usage_append(refused).await?;
    store.usage_append(full(6, SEOUL_MIDNIGHT)?).await?;
    let nothing = Sums {
        requests: 1,
        ..Sums::default()
    };
    let expected = [
        Row {
            model: None,
            ..plain_row(MARCH_1, Booked::Won, nothing)?
        },
        plain_row(MARCH_1 - 1, Booked::Unmetered, plain_sums(1))?,
        plain_row(MARCH_1, Booked::Unmetered, plain_sums(3))?,
        Row {
            tenant: "kma".parse()?,
            model: Some("LGAI/EXAONE-4.0:32b".parse()?),
            site: Some("pohang".parse()?),
            day: MARCH_1,
            booked: Booked::Missing,
            sums: Sums {
                requests: 1,
                finished: 0,
                estimated: 1,
                uncached_tokens: 11,
                cached_tokens: 12,
                output_tokens: 13,
                cost: MicroWon(-20),
                energy: MilliJoules(21),
            },
        },
    ];
    assert_eq!(all(&store, filter()).await?.rows, expected);
    let utc = store.usage_extract(filter(), 0).await?;
    let days = utc.rows.iter().map(|row| row.day);
    assert_eq!(days.collect::<Vec<_>>(), [20_512, 20_512, 20_513, 20_512]);
    Ok(())
}

/// The span has its first instant and not its last; the tenants are those of the programme now, with or without records.
pub async fn an_extract_has_its_span_and_its_tenants(
    fixture: &impl Fixture,
) -> Result<(), Failure> {
    let store = fixture.open().await;
    for id in ["demo", "idle"] {
        store.tenant_put(tenant(id, 1)?).await?;
    }
    let mut foreign = tenant("kma", 1)?;
    foreign.programme = None;
    store.tenant_put(foreign).await?;
    for (id, at) in (1..).zip([9, 10, 19, 20]) {
        store.usage_append(plain(id, Micros(at))?).await?;
        store.usage_append(full(id + 100, Micros(at))?).await?;
    }
    let span = UsageFilter {
        from: Some(Micros(10)),
        until: Some(Micros(20)),
        ..UsageFilter::default()
    };
    let open = UsageFilter {
        programme: Some("open".parse()?),
        ..span.clone()
    };
    let extract = all(&store, open.clone()).await?;
    assert_eq!(extract.tenants, ["demo".parse()?, "idle".parse()?]);
    assert_eq!(
        extract.rows,
        [plain_row(0, Booked::Unmetered, plain_sums(2))?]
    );
    let kma = UsageFilter {
        tenant: Some("kma".parse()?),
        ..span.clone()
    };
    let extract = all(&store, kma).await?;
    assert_eq!(extract.tenants, ["kma".parse()?]);
    assert_eq!(extract.rows.len(), 1);
    let idle = UsageFilter {
        tenant: Some("idle".parse()?),
        ..open
    };
    assert_eq!(all(&store, idle).await?.tenants, ["idle".parse()?]);
    assert_eq!(all(&store, span).await?.tenants.len(), 3);
    Ok(())
}

/// Sums stand at the ends of their types.
pub async fn an_extract_never_overflows(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    for id in 1..=3 {
        let mut record = plain(id, Micros(0))?;
        record.tokens.output = Tokens(i64::MAX.unsigned_abs());
        record.cost = Some(MicroWon(i64::MIN));
        record.energy = Some(MilliJoules(i64::MAX));
        store.usage_append(record).await?;
    }
    let extract = all(&store, UsageFilter::default()).await?;
    let sums = extract.rows[0].sums;
    assert_eq!(
        (sums.output_tokens, sums.cost.0, sums.energy.0),
        (u64::MAX, i64::MIN, i64::MAX)
    );
    Ok(())
}

/// A settlement at [`SEOUL_MIDNIGHT`] whose entry takes `paid` of a unit from its tenant and delivers the record's tokens.
fn settled(id: u128, (unit, paid): (Unit, i64)) -> Result<Settlement, Failure> {
    let mut record: UsageRecord = full(id, SEOUL_MIDNIGHT)?;
    record.cost = Some(MicroWon(20));
    let place: Account = "site:pohang".parse()?;
    let leg = |unit, amount, from: &Account, to: &Account| Leg {
        unit,
        amount,
        from: from.clone(),
        to: to.clone(),
    };
    let payer: Account = "tenant:kma".parse()?;
    let caller: Account = "project:kma:forecast".parse()?;
    let legs = vec![
        leg(unit, paid, &payer, &place),
        leg(Unit::UncachedTokens, 11, &place, &caller),
        leg(Unit::CachedTokens, 12, &place, &caller),
        leg(Unit::OutputTokens, 13, &place, &caller),
    ];
    let entry = Entry {
        id: record.id.into(),
        phase: Phase::Direct,
        at: record.arrived_at,
        subject: Subject::Request(record.id),
        legs,
    };
    Ok(Settlement {
        record,
        entry: Some(entry),
    })
}

/// A record with an entry is told from one without, one paid in tokens from one paid in won; legs are summed by their accounts, those
/// of the span alone, and only where an account is theirs.
pub async fn entries_stand_beside_their_records(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    store.tenant_put(tenant("kma", 1)?).await?;
    store
        .usage_settle(settled(1, (Unit::MicroWon, 20))?)
        .await?;
    store
        .usage_settle(settled(2, (Unit::MicroWon, 20))?)
        .await?;
    store.usage_settle(settled(3, (Unit::Tokens, 36))?).await?;
    let mut after = settled(4, (Unit::MicroWon, 20))?;
    let until = Micros(SEOUL_MIDNIGHT.0 + 1);
    after.record.arrived_at = until;
    if let Some(entry) = &mut after.entry {
        entry.at = until;
    }
    store.usage_settle(after).await?;
    let span = UsageFilter {
        programme: Some("open".parse()?),
        from: Some(SEOUL_MIDNIGHT),
        until: Some(until),
        ..UsageFilter::default()
    };
    let extract = all(&store, span.clone()).await?;
    let rows = extract.rows.iter();
    let rows: Vec<(Booked, u64)> = rows.map(|row| (row.booked, row.sums.requests)).collect();
    assert_eq!(rows, [(Booked::Won, 2), (Booked::Tokens, 1)]);
    let mut legs = extract.legs;
    legs.sort_by_key(|leg| leg.unit);
    let sum = |unit, amount, from: &str, to: &str| -> Result<LegSum, Failure> {
        Ok(LegSum {
            unit,
            from: from.parse()?,
            to: to.parse()?,
            amount,
        })
    };
    let (payer, place, caller) = ("tenant:kma", "site:pohang", "project:kma:forecast");
    let expected = [
        sum(Unit::MicroWon, 40, payer, place)?,
        sum(Unit::Tokens, 36, payer, place)?,
        sum(Unit::UncachedTokens, 33, place, caller)?,
        sum(Unit::CachedTokens, 36, place, caller)?,
        sum(Unit::OutputTokens, 39, place, caller)?,
    ];
    assert_eq!(legs, expected);
    let of_another = UsageFilter {
        programme: Some("other".parse()?),
        ..span
    };
    assert_eq!(all(&store, of_another).await?, Extract::default());
    Ok(())
}
