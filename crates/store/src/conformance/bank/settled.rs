//! What requests come to: records and entries together, and what a dead program had under way.

use super::{Fixture, LATER, MUCH_LATER, World, purse, refused, take};
use crate::conformance::Failure;
use crate::conformance::sample::plain;
use crate::{Settlement, StoreError, UsageFilter};
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

/// What waits of one gateway goes back and can be spent, what waits of another stays, and what comes after that is owed.
pub async fn what_is_released_can_be_spent_and_what_comes_after_is_owed(
    fixture: &impl Fixture,
) -> Result<(), Failure> {
    let world = World::new(fixture).await?;
    let (one, two) = (world.begin("gw-1").await?, world.begin("gw-2").await?);
    world.order(&one, 1, take(0, 300)).await?;
    world.order(&two, 1, take(0, 200)).await?;
    let books = &world.books;
    let release = async |gateway: &str, at| -> Result<u64, Failure> {
        Ok(books.release(gateway.parse()?, at).await?)
    };
    refused(release("gw-1", MUCH_LATER).await, "nothing waits")?;
    for gateway in ["gw-1", "gw-2"] {
        world.books.give_up(gateway.parse()?, LATER).await?;
    }
    let late = async |holder: &Holder, id, amount| -> Result<(), Failure> {
        let late = settlement(holder, id, amount)?;
        Ok(books.usage_settle(late).await?)
    };
    late(&one, 1, 40).await?;
    let suspense = || world.available("suspense:allocation:hanbit-2026");
    assert_eq!(suspense().await?, 460);
    let early = Micros(MUCH_LATER.0 - 1);
    refused(release("gw-1", early).await, "try again in 1 min")?;
    assert_eq!(release("gw-1", MUCH_LATER).await?, 1);
    assert_eq!((suspense().await?, world.left().await?), (200, 360));
    refused(release("gw-1", MUCH_LATER).await, "nothing waits")?;
    let absent = world.books.release("gw-9".parse()?, MUCH_LATER).await;
    let expected = StoreError::Absent("the gateway 'gw-9'".into());
    assert_eq!(absent, Err(expected.into()));
    // Another gateway spends it, and so does the one that reports a word of its own after all.
    let three = world.begin("gw-3").await?;
    assert_eq!(world.order(&three, 1, take(0, 360)).await?, (360, 0));
    for _ in 0..2 {
        late(&one, 2, 50).await?;
        late(&two, 3, 60).await?;
    }
    assert_eq!(world.available("site:pohang").await?, 150);
    assert_eq!(suspense().await?, 140);
    let tenant = plain(2, Micros(10))?.tenant;
    assert_eq!(world.available(&format!("tenant:{tenant}")).await?, -50);
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
