//! Runs of gateways and what they hold.

use super::{Fixture, LATER, World, give_back, purse, refused, take};
use crate::StoreError;
use crate::conformance::Failure;
use madang_ledger::{Order, OrderKind};
use madang_types::{Micros, Unit};
use std::sync::Arc;

/// An order that comes again is answered as it was and moves nothing; one that comes late moves nothing either.
pub async fn an_order_is_carried_out_once(fixture: &impl Fixture) -> Result<(), Failure> {
    let world = World::new(fixture).await?;
    let holder = world.begin("gw-1").await?;
    for _ in 0..2 {
        assert_eq!(world.order(&holder, 1, take(200, 0)).await?, (200, 400));
    }
    for _ in 0..2 {
        assert_eq!(world.order(&holder, 2, give_back(50)).await?, (0, 450));
    }
    world.order(&holder, 1, take(200, 0)).await?;
    let held = world
        .available("lease:gw-1:1:allocation:hanbit-2026")
        .await?;
    assert_eq!(held, 150);
    world.check_sound().await
}

/// An order that found nothing finds nothing when it comes again: whoever waited for it has left.
pub async fn an_order_that_moved_nothing_moves_nothing_later(
    fixture: &impl Fixture,
) -> Result<(), Failure> {
    let world = World::new(fixture).await?;
    let (one, other) = (world.begin("gw-1").await?, world.begin("gw-2").await?);
    world.order(&one, 1, take(0, 600)).await?;
    assert_eq!(world.order(&other, 1, take(100, 100)).await?, (0, 600));
    world.order(&one, 2, give_back(600)).await?;
    assert_eq!(world.order(&other, 1, take(100, 100)).await?, (0, 600));
    assert_eq!(world.order(&other, 2, take(100, 100)).await?, (100, 500));
    world.check_sound().await
}

/// What the run before held is free again, and that run can move nothing any more.
pub async fn a_run_that_begins_takes_back_what_the_one_before_it_held(
    fixture: &impl Fixture,
) -> Result<(), Failure> {
    let world = World::new(fixture).await?;
    let first = world.begin("gw-1").await?;
    world.order(&first, 1, take(0, 500)).await?;
    let second = world.begin("gw-1").await?;
    assert_eq!((first.epoch, second.epoch), (1, 2));
    assert_eq!(world.left().await?, 600);
    assert!(!world.books.run_seen(first.clone(), Micros(11)).await?);
    assert!(world.books.run_seen(second.clone(), Micros(11)).await?);
    assert_eq!(world.order(&first, 2, take(0, 500)).await?, (0, 600));
    assert_eq!(world.order(&first, 3, give_back(100)).await?, (0, 600));
    assert_eq!(world.order(&second, 1, take(0, 600)).await?, (600, 0));
    world.check_sound().await
}

/// Nobody else spends what a gateway held that was given up, and it holds nothing any more; a run that it begins later does.
pub async fn what_is_given_up_waits_in_suspense(fixture: &impl Fixture) -> Result<(), Failure> {
    let world = World::new(fixture).await?;
    let (one, other) = (world.begin("gw-1").await?, world.begin("gw-2").await?);
    world.order(&one, 1, take(0, 500)).await?;
    let early = world.books.give_up("gw-1".parse()?, Micros(60_000_009));
    refused(early.await.map_err(Into::into), "was heard of within 60 s")?;
    let given_up = world.books.give_up("gw-1".parse()?, LATER).await?;
    assert_eq!(given_up, 1);
    let suspense = world.available("suspense:allocation:hanbit-2026").await?;
    assert_eq!((suspense, world.left().await?), (500, 100));
    assert!(!world.books.run_seen(one.clone(), Micros(21)).await?);
    assert_eq!(world.order(&one, 2, take(0, 100)).await?, (0, 100));
    assert_eq!(world.order(&other, 1, take(0, 600)).await?, (100, 0));
    let again = world.begin("gw-1").await?;
    assert!(again.epoch > one.epoch);
    let rows = world.books.gateway_list().await?;
    let names: Vec<_> = rows.iter().map(|row| row.holder.gateway.as_str()).collect();
    assert_eq!(names, ["gw-1", "gw-2"]);
    assert_eq!((rows[0].purses, rows[1].purses), (0, 1));
    let absent = world.books.give_up("gw-9".parse()?, LATER).await;
    let expected = StoreError::Absent("the gateway 'gw-9'".into());
    assert_eq!(absent, Err(expected.into()));
    world.check_sound().await
}

/// Gateways that ask at one time get together what there is, and no more.
pub async fn orders_at_one_time_move_what_there_is(fixture: &impl Fixture) -> Result<(), Failure> {
    let world = World::new(fixture).await?;
    let mut asking = tokio::task::JoinSet::new();
    for gateway in 0..8 {
        let holder = world.begin(&format!("gw-{gateway}")).await?;
        for number in 1..=10 {
            let (books, holder) = (Arc::clone(&world.books), holder.clone());
            let order = Order {
                number,
                purse: purse()?,
                unit: Unit::MicroWon,
                kind: OrderKind::Take { want: 0, need: 9 },
            };
            asking.spawn(async move { books.order(holder, order, Micros(10)).await });
        }
    }
    while let Some(asked) = asking.join_next().await {
        asked??;
    }
    let mut held = 0;
    for gateway in 0..8 {
        let lease = format!("lease:gw-{gateway}:1:allocation:hanbit-2026");
        held += world.available(&lease).await?;
    }
    let nobodys = world.available("allocation:hanbit-2026").await?;
    assert_eq!((held + nobodys, world.left().await?), (600, 600));
    world.check_sound().await
}
