//! The bank in SQLite: orders are carried out once, a run that begins takes back what the one before it held, and no grant breaks a
//! rule or moves a part of what it says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use madang_ledger::{Currency, Holder, Order, OrderKind, Price, Purse};
use madang_store::{Bank, GrantError, Ledger, SqliteStore};
use madang_types::{Allocation, MicroWon, Micros, ProgrammeBudget, Tranche, Unit};

const GRANT: &str = "hanbit-2026";

struct World {
    _folder: tempfile::TempDir,
    bank: SqliteStore,
}

impl World {
    /// A budget of 1,000 µ₩, of which 600 are granted until 100.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bank = SqliteStore::open(&folder.path().join("books.sqlite")).unwrap();
        let world = Self {
            _folder: folder,
            bank,
        };
        world.budget(1_000, 1).await.unwrap();
        world.grant(GRANT, (600, 100), 2).await.unwrap();
        world
    }

    async fn budget(&self, amount: i64, at: i64) -> Result<(), GrantError> {
        let budget = ProgrammeBudget {
            programme: "startups".parse().unwrap(),
            unit: Unit::MicroWon,
            amount,
            concentration_permille_max: 1_000,
        };
        self.bank.budget_put(budget, Micros(at)).await
    }

    async fn grant(
        &self,
        id: &str,
        (amount, until): (i64, i64),
        at: i64,
    ) -> Result<(), GrantError> {
        self.grant_parts(id, (amount, until), (at, &[])).await
    }

    async fn grant_parts(
        &self,
        id: &str,
        (amount, until): (i64, i64),
        (at, tranches): (i64, &[(i64, i64)]),
    ) -> Result<(), GrantError> {
        let tranches = tranches.iter().map(|(from, amount)| Tranche {
            from: Micros(*from),
            amount: *amount,
        });
        let allocation = Allocation {
            id: id.parse().unwrap(),
            programme: "startups".parse().unwrap(),
            tenant: id.split('-').next().unwrap().parse().unwrap(),
            unit: Unit::MicroWon,
            amount,
            hard: true,
            from: Micros(at),
            tranches: tranches.collect(),
            until: Micros(until),
            created_at: Micros(at),
            recalled_at: None,
        };
        self.bank.allocation_insert(allocation).await
    }

    /// What was moved to the gateway, and what is elsewhere.
    async fn order(&self, holder: &Holder, number: u64, kind: OrderKind) -> (i64, i64) {
        self.order_at(holder, (&purse(), number, kind), 10).await
    }

    async fn order_at(
        &self,
        holder: &Holder,
        (purse, number, kind): (&Purse, u64, OrderKind),
        at: i64,
    ) -> (i64, i64) {
        let order = Order {
            number,
            purse: purse.clone(),
            unit: Unit::MicroWon,
            kind,
        };
        let moved = self
            .bank
            .order(holder.clone(), order, Micros(at))
            .await
            .unwrap();
        (moved.moved, moved.left)
    }

    async fn begin(&self, gateway: &str) -> Holder {
        self.bank
            .run_begin(gateway.parse().unwrap(), Micros(10))
            .await
            .unwrap()
    }

    async fn available(&self, account: &str) -> i64 {
        let balances = self.bank.balance(account.parse().unwrap()).await.unwrap();
        balances
            .first()
            .map_or(0, |(_, balance)| balance.available())
    }

    async fn check_sound(&self) {
        let report = self.bank.ledger_verify().await.unwrap();
        assert!(report.findings.is_empty(), "{report:?}");
    }
}

fn purse() -> Purse {
    format!("allocation:{GRANT}").parse().unwrap()
}

fn take(want: i64, need: i64) -> OrderKind {
    OrderKind::Take { want, need }
}

#[tokio::test]
async fn an_order_is_carried_out_once() {
    let world = World::new().await;
    let holder = world.begin("gw-1").await;
    assert_eq!(world.order(&holder, 1, take(200, 0)).await, (200, 400));
    assert_eq!(world.order(&holder, 1, take(200, 0)).await, (200, 400));
    assert_eq!(
        world
            .order(&holder, 2, OrderKind::Return { amount: 50 })
            .await,
        (0, 450)
    );
    assert_eq!(
        world
            .order(&holder, 2, OrderKind::Return { amount: 50 })
            .await,
        (0, 450)
    );
    // Late, and its answer goes to nobody.
    world.order(&holder, 1, take(200, 0)).await;
    assert_eq!(
        world.available("lease:gw-1:1:allocation:hanbit-2026").await,
        150
    );
    world.check_sound().await;
}

#[tokio::test]
async fn an_order_that_moved_nothing_moves_nothing_later() {
    let world = World::new().await;
    let (one, other) = (world.begin("gw-1").await, world.begin("gw-2").await);
    world.order(&one, 1, take(0, 600)).await;
    assert_eq!(world.order(&other, 1, take(100, 100)).await, (0, 600));
    world
        .order(&one, 2, OrderKind::Return { amount: 600 })
        .await;
    assert_eq!(world.order(&other, 1, take(100, 100)).await, (0, 600));
    assert_eq!(world.order(&other, 2, take(100, 100)).await, (100, 500));
}

#[tokio::test]
async fn a_run_that_begins_takes_back_what_the_one_before_it_held() {
    let world = World::new().await;
    let first = world.begin("gw-1").await;
    world.order(&first, 1, take(0, 500)).await;
    let second = world.begin("gw-1").await;
    assert_eq!((first.epoch, second.epoch), (1, 2));
    assert_eq!(
        world
            .bank
            .purse_left(purse(), Unit::MicroWon)
            .await
            .unwrap(),
        600
    );
    assert!(
        !world
            .bank
            .run_seen(first.clone(), Micros(11))
            .await
            .unwrap()
    );
    assert!(
        world
            .bank
            .run_seen(second.clone(), Micros(11))
            .await
            .unwrap()
    );
    // What the first one still asks for is nobody's any more, and what it gives back it does not have.
    assert_eq!(world.order(&first, 2, take(0, 500)).await, (0, 600));
    assert_eq!(
        world
            .order(&first, 3, OrderKind::Return { amount: 100 })
            .await,
        (0, 600)
    );
    assert_eq!(world.order(&second, 1, take(0, 600)).await, (600, 0));
    world.check_sound().await;
}

#[tokio::test]
async fn no_grant_breaks_a_rule_and_a_refused_one_moves_nothing() {
    let world = World::new().await;
    let check = |found: Result<(), GrantError>, expected: &str| match found {
        Err(GrantError::Refused(why)) => assert!(why.contains(expected), "{why}"),
        other => unreachable!("{other:?}"),
    };
    check(world.grant(GRANT, (1, 100), 3).await, "exists already");
    check(
        world.grant("daeil-2026", (401, 100), 3).await,
        "programme:startups has 400",
    );
    check(world.budget(599, 3).await, "programme:startups has 400");
    check(world.budget(-1, 3).await, "not within");
    assert_eq!(world.available("programme:startups").await, 400);
    world.budget(600, 4).await.unwrap();
    assert_eq!(world.available("programme:startups").await, 0);
    world.check_sound().await;
}

#[tokio::test]
async fn what_is_left_of_a_grant_that_is_over_goes_back() {
    let world = World::new().await;
    let holder = world.begin("gw-1").await;
    world.order(&holder, 1, take(200, 0)).await;
    assert_eq!(world.bank.allocations_sweep(Micros(99)).await.unwrap(), 0);
    assert_eq!(world.bank.allocations_sweep(Micros(100)).await.unwrap(), 1);
    assert_eq!(world.available("programme:startups").await, 800);
    world
        .order(&holder, 2, OrderKind::Return { amount: 200 })
        .await;
    assert_eq!(world.bank.allocations_sweep(Micros(101)).await.unwrap(), 1);
    assert_eq!(world.available("programme:startups").await, 1_000);
    world.check_sound().await;
}

#[tokio::test]
async fn a_tranche_can_be_had_from_its_instant_on_and_what_came_before_stays() {
    let world = World::new().await;
    let parts = [(5, 100), (20, 150), (30, 50)];
    let parts = (5, parts.as_slice());
    world
        .grant_parts("daeil-2026", (300, 100), parts)
        .await
        .unwrap();
    // All of it is promised from the beginning.
    assert_eq!(world.available("programme:startups").await, 100);
    let all = world.bank.allocation_list((None, None)).await.unwrap();
    assert_eq!(all[0].tranches.len(), 3);
    let holder = world.begin("gw-1").await;
    let purse: Purse = "allocation:daeil-2026".parse().unwrap();
    let check = async |(number, kind): (u64, OrderKind), at, expected| {
        let came = world.order_at(&holder, (&purse, number, kind), at).await;
        assert_eq!(came, expected, "order {number} at {at}");
    };
    check((1, take(60, 0)), 10, (60, 40)).await;
    check((2, take(300, 300)), 19, (40, 0)).await;
    check((3, take(300, 300)), 19, (0, 0)).await;
    check((4, OrderKind::Return { amount: 30 }), 19, (0, 30)).await;
    check((5, take(40, 40)), 20, (40, 140)).await;
    // A clock that jumps back frees nothing again.
    check((6, take(300, 300)), 19, (0, 0)).await;
    check((7, take(300, 300)), 30, (190, 0)).await;
    check((7, take(300, 300)), 30, (190, 0)).await;
    world.check_sound().await;
}

#[tokio::test]
async fn a_recall_takes_back_what_has_not_come_yet_too() {
    let world = World::new().await;
    let parts = (5, [(5, 100), (50, 200)].as_slice());
    world
        .grant_parts("daeil-2026", (300, 100), parts)
        .await
        .unwrap();
    let id = "daeil-2026".parse().unwrap();
    world.bank.allocation_recall(id, Micros(10)).await.unwrap();
    assert_eq!(world.available("programme:startups").await, 400);
    world.check_sound().await;
}

#[tokio::test]
async fn tranches_that_break_a_rule_move_nothing() {
    let world = World::new().await;
    let many: Vec<(i64, i64)> = (0..25).map(|part| (5 + part, 1)).collect();
    for (amount, parts, expected) in [
        (300, &[(5, 100), (50, 199)][..], "are 299 in all"),
        (300, &[(5, 100), (4, 200)], "put them in order"),
        (
            300,
            &[(5, 100), (100, 200)],
            "when the allocation has ended",
        ),
        (300, &[(4, 300)], "the first tranche comes when"),
        (300, &[(5, 301), (50, -1)], "tranche 2 is -1"),
        (300, &[(5, i64::MAX), (6, i64::MAX), (7, 302)], "in all"),
        (25, &many, "25 tranches"),
        (401, &[(5, 1), (6, 400)], "programme:startups has 400"),
    ] {
        let parts = (5, parts);
        match world.grant_parts("daeil-2026", (amount, 100), parts).await {
            Err(GrantError::Refused(why)) => assert!(why.contains(expected), "{why}"),
            other => unreachable!("{other:?}"),
        }
        assert_eq!(world.available("programme:startups").await, 400);
    }
    world.check_sound().await;
}

#[tokio::test]
async fn a_ceiling_is_filled_once_and_raised_by_the_difference() {
    let world = World::new().await;
    let ceiling = "ceiling:project:daeil:web";
    for (limit, at, expected) in [
        (100, 1, 100),
        (100, 2, 100),
        (70, 3, 100),
        (250, 4, 250),
        (250, 4, 250),
        (100, 5, 250),
        (251, 6, 251),
    ] {
        let id = "project:daeil:web".parse().unwrap();
        let filled = world.bank.ceiling_fill(id, MicroWon(limit), Micros(at));
        filled.await.unwrap();
        assert_eq!(world.available(ceiling).await, expected, "{limit}");
    }
    world.check_sound().await;
}

#[tokio::test]
async fn a_price_begins_now_or_later_and_once() {
    let world = World::new().await;
    let price = |from: i64| Price {
        model: "m".parse().unwrap(),
        place: None,
        from: Micros(from),
        currency: Currency::KRW,
        uncached: 1,
        cached: 0,
        output: 2,
    };
    let add = async |from: i64| world.bank.price_insert(price(from), Micros(10)).await;
    assert!(matches!(add(9).await, Err(GrantError::Refused(_))));
    add(10).await.unwrap();
    assert!(matches!(add(10).await, Err(GrantError::Refused(_))));
    assert_eq!(world.bank.price_list().await.unwrap(), [price(10)]);
}
