//! Budgets and allocations of tokens for one class of models.

use super::{Books, Fixture, refused};
use crate::conformance::Failure;
use madang_ledger::{Order, OrderKind, Purse};
use madang_types::{Allocation, Micros, ProgrammeBudget, Unit};
use std::sync::Arc;

/// Tokens of `startups`: 1,000 for any model, 300 for models of the class `large`.
struct World {
    books: Arc<dyn Books>,
}

impl World {
    async fn new(fixture: &impl Fixture) -> Result<Self, Failure> {
        let world = Self {
            books: fixture.open().await,
        };
        world.budget(None, 1_000, 1).await?;
        world.budget(Some("large"), 300, 1).await?;
        Ok(world)
    }

    async fn budget(&self, class: Option<&str>, amount: i64, at: i64) -> Result<(), Failure> {
        let budget = budget(class, amount)?;
        Ok(self.books.budget_put(budget, Micros(at)).await?)
    }

    async fn grant(&self, id: &str, class: Option<&str>, amount: i64) -> Result<(), Failure> {
        let allocation = Allocation {
            id: id.parse()?,
            programme: "startups".parse()?,
            tenant: "hanbit".parse()?,
            unit: Unit::Tokens,
            class: class.map(str::parse).transpose()?,
            amount,
            hard: true,
            from: Micros(2),
            tranches: Vec::new(),
            until: Micros(100),
            created_at: Micros(2),
            recalled_at: None,
        };
        Ok(self.books.allocation_insert(allocation).await?)
    }

    /// What may still be granted: for any model, and for large ones.
    async fn check(&self, any: i64, large: i64) -> Result<(), Failure> {
        for (account, expected) in [
            ("programme:startups", any),
            ("programme:startups:large", large),
        ] {
            let balances = self.books.balance(account.parse()?).await?;
            let found = balances.first().map(|(_, balance)| balance.available());
            assert_eq!(found, Some(expected), "{account}");
        }
        let report = self.books.ledger_verify().await?;
        assert!(report.findings.is_empty(), "{report:?}");
        Ok(())
    }
}

fn budget(class: Option<&str>, amount: i64) -> Result<ProgrammeBudget, Failure> {
    Ok(ProgrammeBudget {
        programme: "startups".parse()?,
        unit: Unit::Tokens,
        class: class.map(str::parse).transpose()?,
        amount,
        concentration_permille_max: 1_000,
    })
}

/// Budgets of one unit and several classes do not know of each other; all of it is there when the books are opened anew.
pub async fn budgets_of_classes_stand_side_by_side(fixture: &impl Fixture) -> Result<(), Failure> {
    let world = World::new(fixture).await?;
    world.grant("a", Some("large"), 200).await?;
    world.check(1_000, 100).await?;
    // A tenant may hold one of each at one time, and no other's budget pays.
    world.grant("b", None, 900).await?;
    world.check(100, 100).await?;
    let overlaps = world.grant("c", Some("large"), 1).await;
    refused(overlaps, "overlaps the allocation 'a'")?;
    let none = world.grant("c", Some("small"), 1).await;
    refused(none, "no budget in tokens for models of the class 'small'")?;
    let short = world.budget(Some("large"), 199, 3).await;
    refused(short, "programme:startups:large has 100")?;
    world.budget(Some("large"), 250, 4).await?;
    world.check(100, 50).await?;
    let granted = world.books.allocation_list((None, None)).await?;
    drop(world);
    let books = fixture.open().await;
    let budgets = [budget(None, 1_000)?, budget(Some("large"), 250)?];
    assert_eq!(books.budget_list().await?, budgets);
    let classes = granted.iter().map(|grant| grant.class.as_ref());
    let classes: Vec<_> = classes.map(|class| class.map(|it| it.as_str())).collect();
    assert_eq!(classes, [Some("large"), None]);
    assert_eq!(books.allocation_list((None, None)).await?, granted);
    Ok(())
}

/// What is not spent of it goes back to its class's budget, and what a gateway held follows.
pub async fn what_is_left_goes_back_to_its_class(fixture: &impl Fixture) -> Result<(), Failure> {
    let world = World::new(fixture).await?;
    world.grant("a", Some("large"), 200).await?;
    let holder = world.books.run_begin("gw-1".parse()?, Micros(3)).await?;
    let order = |number, kind| -> Result<Order, Failure> {
        Ok(Order {
            number,
            purse: Purse::Allocation("a".parse()?),
            unit: Unit::Tokens,
            kind,
        })
    };
    let take = order(1, OrderKind::Take { want: 60, need: 0 })?;
    let moved = world.books.order(holder.clone(), take, Micros(4)).await?;
    assert_eq!((moved.moved, moved.left), (60, 140));
    let recalled = world
        .books
        .allocation_recall("a".parse()?, Micros(5), Micros(5));
    recalled.await?;
    world.check(1_000, 240).await?;
    let back = order(2, OrderKind::Return { amount: 60 })?;
    world.books.order(holder, back, Micros(6)).await?;
    assert_eq!(world.books.allocations_sweep(Micros(7)).await?, 1);
    world.check(1_000, 300).await
}
