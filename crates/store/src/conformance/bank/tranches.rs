//! Allocations that come in parts.

use super::{Fixture, World, give_back, refused, take};
use crate::conformance::Failure;
use madang_ledger::{OrderKind, Purse};
use madang_types::Micros;

/// All of it is promised from the beginning, and no part can be had before it comes.
pub async fn a_tranche_can_be_had_from_its_instant_on_and_what_came_before_stays(
    fixture: &impl Fixture,
) -> Result<(), Failure> {
    let world = World::new(fixture).await?;
    let parts = (5, [(5, 100), (20, 150), (30, 50)].as_slice());
    world.grant_parts("daeil-2026", (300, 100), parts).await?;
    assert_eq!(world.available("programme:startups").await?, 100);
    let all = world.books.allocation_list((None, None)).await?;
    assert_eq!(all[0].tranches.len(), 3);
    let holder = world.begin("gw-1").await?;
    let purse: Purse = "allocation:daeil-2026".parse()?;
    let check = async |(number, kind): (u64, OrderKind), at, expected| -> Result<(), Failure> {
        let came = world.order_at(&holder, (&purse, number, kind), at).await?;
        assert_eq!(came, expected, "order {number} at {at}");
        Ok(())
    };
    check((1, take(60, 0)), 10, (60, 40)).await?;
    check((2, take(300, 300)), 19, (40, 0)).await?;
    check((3, take(300, 300)), 19, (0, 0)).await?;
    check((4, give_back(30)), 19, (0, 30)).await?;
    check((5, take(40, 40)), 20, (40, 140)).await?;
    // A clock that jumps back frees nothing again.
    check((6, take(300, 300)), 19, (0, 0)).await?;
    check((7, take(300, 300)), 30, (190, 0)).await?;
    check((7, take(300, 300)), 30, (190, 0)).await?;
    world.check_sound().await
}

/// A recall takes back what has not come yet too.
pub async fn a_recall_takes_back_what_has_not_come_yet_too(
    fixture: &impl Fixture,
) -> Result<(), Failure> {
    let world = World::new(fixture).await?;
    let parts = (5, [(5, 100), (50, 200)].as_slice());
    world.grant_parts("daeil-2026", (300, 100), parts).await?;
    let id = "daeil-2026".parse()?;
    world
        .books
        .allocation_recall(id, Micros(10), Micros(10))
        .await?;
    assert_eq!(world.available("programme:startups").await?, 400);
    world.check_sound().await
}

/// Parts that break a rule are refused in words, and nothing of them is moved.
pub async fn tranches_that_break_a_rule_move_nothing(
    fixture: &impl Fixture,
) -> Result<(), Failure> {
    let world = World::new(fixture).await?;
    let many: Vec<(i64, i64)> = (0..25).map(|part| (5 + part, 1)).collect();
    let late = "when the allocation has ended";
    for (amount, parts, expected) in [
        (300, &[(5, 100), (50, 199)][..], "are 299 in all"),
        (300, &[(5, 100), (4, 200)], "put them in order"),
        (300, &[(5, 100), (100, 200)], late),
        (300, &[(4, 300)], "the first tranche comes when"),
        (300, &[(5, 301), (50, -1)], "tranche 2 is -1"),
        (300, &[(5, i64::MAX), (6, i64::MAX), (7, 302)], "in all"),
        (25, &many, "25 tranches"),
        (401, &[(5, 1), (6, 400)], "programme:startups has 400"),
    ] {
        let granted = world.grant_parts("daeil-2026", (amount, 100), (5, parts));
        refused(granted.await, expected)?;
        assert_eq!(world.available("programme:startups").await?, 400);
    }
    world.check_sound().await
}
