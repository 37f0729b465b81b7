//! What requests come to: records and entries together, and what a dead program had under way.

use super::{Fixture, LATER, World, purse, take};
use crate::conformance::Failure;
use crate::conformance::sample::plain;
use crate::{Settlement, UsageFilter};
use madang_ledger::{Account, Entry, Finding, Holder, Leg, Phase, Subject};
use madang_types::{Micros, Outcome, RequestId, Unit};

/// A request that the gateway's rights paid for.
fn settlement(holder: &Holder, id: u128, amount: i64) -> Result<Settlement, Failure> {
    let record = plain(id, Micros(10))?;
    let leg = Leg {
        unit: Unit::MicroWon,
        amount,
        from: holder.lease(&purse()?),
        to: Account::Site("pohang".parse()?),
    };
    let entry = Entry {
        id: record.id.into(),
        phase: Phase::Direct,
        at: Micros(11),
        subject: Subject::Request(record.id),
        legs: vec![leg],
    };
    Ok(Settlement {
        record,
        entry: Some(entry),
    })
}

/// A settlement that comes again, or another one of the same request, changes nothing.
pub async fn a_settlement_is_booked_once(fixture: &impl Fixture) -> Result<(), Failure> {
    let world = World::new(fixture).await?;
    let holder = world.begin("gw-1").await?;
    world.order(&holder, 1, take(0, 500)).await?;
    for amount in [30, 30, 40] {
        let settled = settlement(&holder, 7, amount)?;
        world.books.usage_settle(settled).await?;
    }
    assert_eq!(world.available("site:pohang").await?, 30);
    assert_eq!(world.left().await?, 570);
    let entries = world.books.entry(RequestId(7).into()).await?;
    let expected = settlement(&holder, 7, 30)?.entry;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries.first().map(|row| &row.entry), expected.as_ref());
    world.check_sound().await
}

/// An entry that the rules refuse does not take its record with it, and whoever verifies is told of it.
pub async fn what_is_refused_is_kept_apart(fixture: &impl Fixture) -> Result<(), Failure> {
    let world = World::new(fixture).await?;
    let holder = world.begin("gw-1").await?;
    world.order(&holder, 1, take(0, 20)).await?;
    for (id, amount) in [(1, 20), (2, 1)] {
        let settled = settlement(&holder, id, amount)?;
        world.books.usage_settle(settled).await?;
    }
    assert!(world.books.usage_get(RequestId(2)).await?.is_some());
    assert_eq!(world.available("site:pohang").await?, 20);
    let report = world.books.ledger_verify().await?;
    let apart = |finding: &Finding| matches!(finding, Finding::Apart { id, .. } if *id == RequestId(2).into());
    assert!(
        report.findings.len() == 1 && report.findings.iter().all(apart),
        "{report:?}"
    );
    Ok(())
}

/// A request that was never ended is booked as its last draft says, by whoever opens the books next.
pub async fn a_draft_is_settled_by_the_next_start(fixture: &impl Fixture) -> Result<(), Failure> {
    let world = World::new(fixture).await?;
    let holder = world.begin("gw-1").await?;
    world.order(&holder, 1, take(0, 500)).await?;
    for amount in [10, 25] {
        let mut draft = settlement(&holder, 7, amount)?;
        draft.record.outcome = Outcome::Orphaned;
        world.books.usage_draft(vec![draft]).await?;
    }
    assert_eq!(world.books.usage_get(RequestId(7)).await?, None);
    drop(world);
    let world = World {
        books: fixture.open().await,
    };
    let record = world.books.usage_get(RequestId(7)).await?;
    let outcome = record.map(|record| record.outcome);
    assert_eq!(outcome, Some(Outcome::Orphaned));
    assert_eq!(world.available("site:pohang").await?, 25);
    assert_eq!(world.left().await?, 575);
    world.check_sound().await
}

/// A draft that comes after the end changes nothing, and neither does the one that came before it.
pub async fn what_has_ended_has_no_draft(fixture: &impl Fixture) -> Result<(), Failure> {
    let world = World::new(fixture).await?;
    let holder = world.begin("gw-1").await?;
    world.order(&holder, 1, take(0, 500)).await?;
    let draft = || settlement(&holder, 7, 10).map(|draft| vec![draft]);
    world.books.usage_draft(draft()?).await?;
    // A read has what waits in the journal written first, so that the end comes in a batch of its own.
    world.books.usage_get(RequestId(7)).await?;
    world
        .books
        .usage_settle(settlement(&holder, 7, 30)?)
        .await?;
    world.books.usage_draft(draft()?).await?;
    drop(world);
    let world = World {
        books: fixture.open().await,
    };
    assert_eq!(world.available("site:pohang").await?, 30);
    world.check_sound().await
}

/// What a gateway had spent when it was given up is paid from what it held.
pub async fn what_a_gateway_reports_late_is_taken_from_suspense(
    fixture: &impl Fixture,
) -> Result<(), Failure> {
    let world = World::new(fixture).await?;
    let holder = world.begin("gw-1").await?;
    world.order(&holder, 1, take(0, 500)).await?;
    world
        .books
        .usage_settle(settlement(&holder, 1, 30)?)
        .await?;
    world.books.usage_get(RequestId(1)).await?;
    world.books.give_up("gw-1".parse()?, LATER).await?;
    for id in [1, 2, 2] {
        let late = settlement(&holder, id, 40)?;
        world.books.usage_settle(late).await?;
    }
    assert_eq!(world.available("site:pohang").await?, 70);
    let suspense = world.available("suspense:allocation:hanbit-2026").await?;
    assert_eq!(suspense, 430);
    world.check_sound().await
}

/// What was spent of a grant is in the extract of the programme that granted it, and of no other.
pub async fn what_was_granted_is_in_its_programmes_extract(
    fixture: &impl Fixture,
) -> Result<(), Failure> {
    let world = World::new(fixture).await?;
    let holder = world.begin("gw-1").await?;
    world.order(&holder, 1, take(0, 500)).await?;
    world
        .books
        .usage_settle(settlement(&holder, 7, 30)?)
        .await?;
    let lease = holder.lease(&purse()?);
    for (programme, count) in [("startups", 1), ("other", 0)] {
        let filter = UsageFilter {
            programme: Some(programme.parse()?),
            ..UsageFilter::default()
        };
        let legs = world.books.usage_extract(filter, 0).await?.legs;
        assert_eq!(legs.len(), count, "{programme}: {legs:?}");
        for leg in legs {
            assert_eq!((leg.amount, &leg.from), (30, &lease), "{programme}");
        }
    }
    Ok(())
}
