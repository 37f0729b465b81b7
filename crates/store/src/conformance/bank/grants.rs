//! Budgets, allocations, ceilings, prices and rates of exchange.

use super::{Books, Fixture, GRANT, World, give_back, refused, take};
use crate::StoreError;
use crate::conformance::Failure;
use madang_ledger::{AcceleratorPrice, Currency, Exchange, Price, Purse};
use madang_types::{MicroWon, Micros, Unit};

/// What breaks a rule is refused in words, and nothing of it is moved.
pub async fn a_refused_grant_moves_nothing(fixture: &impl Fixture) -> Result<(), Failure> {
    let world = World::new(fixture).await?;
    let short = "programme:startups has 400";
    refused(world.grant(GRANT, (1, 100), 3).await, "exists already")?;
    refused(world.grant("daeil-2026", (401, 100), 3).await, short)?;
    refused(world.budget(599, 3).await, short)?;
    refused(world.budget(-1, 3).await, "not within")?;
    assert_eq!(world.available("programme:startups").await?, 400);
    world.budget(600, 4).await?;
    assert_eq!(world.available("programme:startups").await?, 0);
    world.check_sound().await
}

/// At its end what no gateway holds goes back, and what one held follows when it is returned.
pub async fn what_is_left_of_a_grant_that_is_over_goes_back(
    fixture: &impl Fixture,
) -> Result<(), Failure> {
    let world = World::new(fixture).await?;
    let holder = world.begin("gw-1").await?;
    world.order(&holder, 1, take(200, 0)).await?;
    assert_eq!(world.books.allocations_sweep(Micros(99)).await?, 0);
    assert_eq!(world.books.allocations_sweep(Micros(100)).await?, 1);
    assert_eq!(world.available("programme:startups").await?, 800);
    world.order(&holder, 2, give_back(200)).await?;
    assert_eq!(world.books.allocations_sweep(Micros(101)).await?, 1);
    assert_eq!(world.available("programme:startups").await?, 1_000);
    world.check_sound().await
}

/// A recall ends it, with notice or at once, and only ever earlier; what is not spent goes back when it has ended, once. There is
/// nothing to recall of what was never granted.
pub async fn a_recall_ends_a_grant(fixture: &impl Fixture) -> Result<(), Failure> {
    let world = World::new(fixture).await?;
    for (ends_at, at, recalled_at, free) in [
        (60, 10, 60, 400),
        (50, 11, 50, 400),
        (70, 12, 50, 400),
        (20, 20, 20, 1_000),
        (30, 30, 20, 1_000),
    ] {
        let (ends_at, at) = (Micros(ends_at), Micros(at));
        let recalled = world.books.allocation_recall(GRANT.parse()?, ends_at, at);
        let found = (
            recalled.await?.recalled_at,
            world.available("programme:startups").await?,
        );
        assert_eq!(found, (Some(Micros(recalled_at)), free), "{ends_at:?}");
    }
    let absent = world
        .books
        .allocation_recall("none".parse()?, Micros(20), Micros(20));
    let expected = StoreError::Absent("the allocation 'none'".into());
    assert_eq!(absent.await, Err(expected.into()));
    world.check_sound().await
}

/// A higher limit raises it to there; as high or lower changes nothing.
pub async fn a_ceiling_is_filled_once_and_raised_by_the_difference(
    fixture: &impl Fixture,
) -> Result<(), Failure> {
    let world = World::new(fixture).await?;
    for (limit, at, expected) in [
        (100, 1, 100),
        (100, 2, 100),
        (70, 3, 100),
        (250, 4, 250),
        (250, 4, 250),
        (100, 5, 250),
        (251, 6, 251),
    ] {
        let id = "project:daeil:web".parse()?;
        let filled = world.books.ceiling_fill(id, MicroWon(limit), Micros(at));
        filled.await?;
        let ceiling = Purse::Ceiling("project:daeil:web".parse()?);
        let left = world.books.purse_left(ceiling, Unit::MicroWon).await?;
        assert_eq!(left, expected, "{limit}");
    }
    world.check_sound().await
}

/// Prices and rates are added at this instant.
const NOW: Micros = Micros(10);

/// `late` after the earliest instant at which a price may begin.
fn from(books: &dyn Books, late: i64) -> Micros {
    Micros(NOW.plus_ms(books.notice_ms()).0 + late)
}

fn price(from: Micros, place: Option<&str>) -> Result<Price, Failure> {
    Ok(Price {
        model: "m".parse()?,
        place: place.map(str::parse).transpose()?,
        from,
        currency: Currency::KRW,
        uncached: 1,
        cached: 0,
        output: 2,
    })
}

/// A price cannot begin in the past, nor before everybody knows it, and one that stands is not replaced.
pub async fn a_price_begins_now_or_later_and_once(fixture: &impl Fixture) -> Result<(), Failure> {
    let books = fixture.open().await;
    let add = async |price| -> Result<(), Failure> { Ok(books.price_insert(price, NOW).await?) };
    refused(add(price(Micros(9), None)?).await, "in the past")?;
    refused(add(price(from(&*books, -1), None)?).await, "")?;
    let prices = [
        price(from(&*books, 0), None)?,
        price(from(&*books, 1), None)?,
        price(from(&*books, 0), Some("pohang"))?,
    ];
    for price in &prices {
        add(price.clone()).await?;
    }
    refused(add(prices[0].clone()).await, "exists already")?;
    // By model and place, and what holds everywhere first.
    assert_eq!(books.price_list().await?, prices);
    Ok(())
}

fn hour(from: Micros, site: Option<&str>) -> Result<AcceleratorPrice, Failure> {
    Ok(AcceleratorPrice {
        accelerator: "h200".parse()?,
        site: site.map(str::parse).transpose()?,
        from,
        hour: MicroWon(4_500_000_000),
    })
}

/// The same of prices of accelerator time.
pub async fn a_price_of_accelerator_time_begins_once(
    fixture: &impl Fixture,
) -> Result<(), Failure> {
    let books = fixture.open().await;
    let add = async |price| -> Result<(), Failure> {
        Ok(books.accelerator_price_insert(price, NOW).await?)
    };
    refused(add(hour(Micros(9), None)?).await, "in the past")?;
    refused(add(hour(from(&*books, -1), None)?).await, "")?;
    let prices = [
        hour(from(&*books, 0), None)?,
        hour(from(&*books, 1), None)?,
        hour(from(&*books, 0), Some("pohang"))?,
    ];
    for price in &prices {
        add(price.clone()).await?;
    }
    refused(add(prices[0].clone()).await, "exists already")?;
    drop(books);
    let books = fixture.open().await;
    assert_eq!(books.accelerator_price_list().await?, prices);
    Ok(())
}

fn exchange(from: Micros) -> Result<Exchange, Failure> {
    Ok(Exchange {
        currency: "USD".parse()?,
        from,
        won: MicroWon(1_391_500_000),
    })
}

/// The same of rates of exchange.
pub async fn a_rate_of_exchange_begins_once(fixture: &impl Fixture) -> Result<(), Failure> {
    let books = fixture.open().await;
    let add = async |from| -> Result<(), Failure> {
        Ok(books.exchange_insert(exchange(from)?, NOW).await?)
    };
    refused(add(Micros(9)).await, "in the past")?;
    refused(add(from(&*books, -1)).await, "")?;
    add(from(&*books, 2)).await?;
    refused(add(from(&*books, 2)).await, "exists already")?;
    let rates = [exchange(from(&*books, 2))?];
    assert_eq!(books.exchange_list().await?, rates);
    Ok(())
}

/// All of it is there when the books are opened anew.
pub async fn grants_and_prices_survive(fixture: &impl Fixture) -> Result<(), Failure> {
    let world = World::new(fixture).await?;
    let (price, exchange) = (
        price(from(&*world.books, 0), None)?,
        exchange(from(&*world.books, 0))?,
    );
    world.books.price_insert(price.clone(), NOW).await?;
    world.books.exchange_insert(exchange, NOW).await?;
    world
        .books
        .allocation_recall(GRANT.parse()?, Micros(20), Micros(20))
        .await?;
    let budgets = world.books.budget_list().await?;
    let granted = world.books.allocation_list((None, None)).await?;
    assert_eq!((budgets.len(), granted.len()), (1, 1));
    drop(world);
    let books = fixture.open().await;
    assert_eq!(books.budget_list().await?, budgets);
    for of in [
        (None, Some("hanbit".parse()?)),
        (Some("startups".parse()?), None),
    ] {
        assert_eq!(books.allocation_list(of).await?, granted);
    }
    let others = books
        .allocation_list((None, Some("daeil".parse()?)))
        .await?;
    assert_eq!(others, []);
    assert_eq!(books.price_list().await?, [price]);
    assert_eq!(books.exchange_list().await?, [exchange]);
    Ok(())
}
