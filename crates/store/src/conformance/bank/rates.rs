//! Parts of keys' rates. Books that have one gateway divide none, and have none of these properties to keep.

use super::{Fixture, LATER, World};
use crate::RateBooks;
use crate::conformance::Failure;
use madang_ledger::{Holder, PartAsk, PartGrant, WHOLE_PERMILLE};
use std::sync::Arc;
use tokio::task::JoinSet;

fn ask_of(key: &str, number: u64, (holds, gives): (u32, u32)) -> Result<PartAsk, Failure> {
    Ok(PartAsk {
        key: key.parse()?,
        number,
        holds,
        gives,
        fill: WHOLE_PERMILLE,
        demand: 1,
        least: 1,
    })
}

/// Asks for one key; what it holds and how full what came is, or `None` where the run is over.
async fn ask(
    books: &dyn RateBooks,
    holder: &Holder,
    (number, holds, gives): (u64, u32, u32),
) -> Result<Option<(u32, u32)>, Failure> {
    let asks = vec![ask_of("k1", number, (holds, gives))?];
    let told = books.rate_parts(holder.clone(), asks).await?;
    let Some(told) = told else { return Ok(None) };
    assert_eq!((told.len(), told[0].number), (1, number));
    Ok(Some((told[0].permille, told[0].fill)))
}

/// One has all until another asks, and then each an even part: what is asked again stays, and what is given up is the other's.
pub async fn parts_are_kept_and_moved(fixture: &impl Fixture) -> Result<(), Failure> {
    let world = World::new(fixture).await?;
    let Some(books) = world.books.rate_books() else {
        return Ok(());
    };
    let (one, other) = (world.begin("gw-1").await?, world.begin("gw-2").await?);
    assert_eq!(ask(books, &one, (1, 0, 0)).await?, Some((1_000, 1_000)));
    for number in 2..4 {
        let kept = ask(books, &one, (number, 1_000, 0)).await?;
        assert_eq!(kept.map(|(permille, _)| permille), Some(1_000));
    }
    let waits = ask(books, &other, (1, 0, 0)).await?;
    assert_eq!(waits.map(|(permille, _)| permille), Some(0));
    let gives = ask(books, &one, (4, 500, 500)).await?;
    assert_eq!(gives.map(|(permille, _)| permille), Some(500));
    assert_eq!(ask(books, &other, (2, 0, 0)).await?, Some((500, 1_000)));
    // What is asked twice is not done twice.
    assert_eq!(ask(books, &one, (4, 0, 0)).await?, Some((500, 0)));
    Ok(())
}

/// Of a run of which a later one has begun, or that was given up, what it held is free at once, as empty, and it gets nothing any more.
pub async fn a_run_that_is_over_holds_no_part(fixture: &impl Fixture) -> Result<(), Failure> {
    let world = World::new(fixture).await?;
    let Some(books) = world.books.rate_books() else {
        return Ok(());
    };
    let (first, other) = (world.begin("gw-1").await?, world.begin("gw-2").await?);
    assert_eq!(ask(books, &first, (1, 0, 0)).await?, Some((1_000, 1_000)));
    let second = world.begin("gw-1").await?;
    assert_eq!(ask(books, &first, (2, 1_000, 0)).await?, None);
    assert_eq!(ask(books, &second, (1, 0, 0)).await?, Some((1_000, 0)));
    let waits = ask(books, &other, (1, 0, 0)).await?;
    assert_eq!(waits.map(|(permille, _)| permille), Some(0));
    world.books.give_up("gw-1".parse()?, LATER).await?;
    assert_eq!(ask(books, &second, (2, 1_000, 0)).await?, None);
    assert_eq!(ask(books, &other, (2, 0, 0)).await?, Some((1_000, 0)));
    Ok(())
}

/// Gateways that ask for the same keys at one time hold together no more than all of each.
pub async fn first_asks_at_one_time_divide_one_whole(
    fixture: &impl Fixture,
) -> Result<(), Failure> {
    let world = World::new(fixture).await?;
    if world.books.rate_books().is_none() {
        return Ok(());
    }
    let mut asking = JoinSet::new();
    for gateway in 0..6 {
        let holder = world.begin(&format!("gw-{gateway}")).await?;
        let books = Arc::clone(&world.books);
        let keys = (0..20).map(|key| ask_of(&format!("k{key}"), 1 + key, (0, 0)));
        let asks = keys.collect::<Result<Vec<_>, _>>()?;
        asking.spawn(async move {
            let Some(books) = books.rate_books() else {
                return Ok(None);
            };
            books.rate_parts(holder, asks).await
        });
    }
    let mut told: Vec<PartGrant> = Vec::new();
    while let Some(asked) = asking.join_next().await {
        told.extend(asked??.into_iter().flatten());
    }
    for key in 0..20 {
        let of_key = told.iter().filter(|grant| grant.number == 1 + key);
        let held: u32 = of_key.map(|grant| grant.permille).sum();
        assert_eq!(held, WHOLE_PERMILLE, "k{key}");
    }
    Ok(())
}
