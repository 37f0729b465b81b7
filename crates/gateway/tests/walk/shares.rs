//! Shares over time: what the books say of the past is credit here, and what is granted is a weight.

use crate::harness::{Plan, World};
use madang_gateway::clock;
use madang_gateway::credits::Folded;
use madang_store::Store;
use madang_store::conformance::sample::plain;
use madang_types::{Micros, Tenant, Tokens};

const HOUR_US: i64 = 3_600_000_000;

async fn tenant_put(world: &World, name: &str) {
    let tenants = world.store.tenant_list().await.unwrap();
    let tenant = Tenant {
        id: name.parse().unwrap(),
        programme: None,
        ..tenants[0].clone()
    };
    world.store.tenant_put(tenant).await.unwrap();
    world.gateway.people_refresh().await.unwrap();
}

/// A record of that tenant, so many hours old.
async fn record_put(world: &World, name: &str, hour: i64, id: u128) {
    let at = Micros(clock::now().0 - hour * HOUR_US);
    let mut record = plain(id, at).unwrap();
    record.tenant = name.parse().unwrap();
    record.model = Some("m".parse().unwrap());
    record.tokens.output = Tokens(300_000);
    world.store.usage_append(record).await.unwrap();
}

/// Three tenants share one replica. In the last two days one used all of it, and one nothing.
#[tokio::test]
async fn what_the_books_say_of_the_past_is_credit_after_a_restart() {
    let world = World::start(Plan::default()).await;
    tenant_put(&world, "busy").await;
    tenant_put(&world, "idle").await;
    for hour in 2..50_i64 {
        record_put(&world, "busy", hour, u128::from(hour.unsigned_abs())).await;
    }
    let shares = || world.gateway.share_status();
    assert!(shares().iter().all(|share| share.balance_us == 0));
    let mut folded = Folded::default();
    assert!(
        !world.gateway.credits_restore(&mut folded).await.unwrap(),
        "nobody else writes to these books"
    );
    let of = |name: &str| {
        let found = shares()
            .into_iter()
            .find(|share| share.tenant.as_str() == name);
        found.unwrap()
    };
    let (busy, idle) = (of("busy"), of("idle"));
    assert!(busy.balance_us < -HOUR_US, "{busy:?}");
    assert!(idle.balance_us > HOUR_US, "{idle:?}");
    assert!(
        idle.month.entitled_us > 0 && idle.month.delivered_us == 0,
        "{idle:?}"
    );
    // What is owed is owed to somebody.
    let sum: i64 = shares().iter().map(|share| share.balance_us).sum();
    assert!(sum.abs() < 1_000, "{:?}", shares());
    // Another look finds the same, and what came late of the last day; the time before is closed to all but a new start.
    let near = |one: i64, other: i64| (one - other).abs() < HOUR_US / 100;
    world.gateway.credits_restore(&mut folded).await.unwrap();
    assert!(near(of("idle").balance_us, idle.balance_us));
    record_put(&world, "idle", 30, 1_000).await;
    world.gateway.credits_restore(&mut folded).await.unwrap();
    assert!(near(of("idle").balance_us, idle.balance_us));
    record_put(&world, "idle", 3, 1_001).await;
    world.gateway.credits_restore(&mut folded).await.unwrap();
    let late = of("idle").balance_us;
    assert!(late < idle.balance_us && !near(late, idle.balance_us));
    world
        .gateway
        .credits_restore(&mut Folded::default())
        .await
        .unwrap();
    let anew = of("idle").balance_us;
    assert!(anew < late && !near(anew, late));
}
