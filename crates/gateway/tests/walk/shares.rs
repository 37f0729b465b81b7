//! Shares over time: what the books say of the past is credit here, and what is granted is a weight.

use crate::harness::{Plan, World};
use madang_gateway::clock;
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

/// Three tenants share one replica. In the last two days one used all of it, and one nothing.
#[tokio::test]
async fn what_the_books_say_of_the_past_is_credit_after_a_restart() {
    let world = World::start(Plan::default()).await;
    tenant_put(&world, "busy").await;
    tenant_put(&world, "idle").await;
    let now = clock::now();
    for hour in 2..50_i64 {
        let mut record = plain(
            u128::from(hour.unsigned_abs()),
            Micros(now.0 - hour * HOUR_US),
        )
        .unwrap();
        record.tenant = "busy".parse().unwrap();
        record.model = Some("m".parse().unwrap());
        record.tokens.output = Tokens(300_000);
        world.store.usage_append(record).await.unwrap();
    }
    let shares = || world.gateway.share_status();
    assert!(shares().iter().all(|share| share.balance_us == 0));
    assert!(
        !world.gateway.credits_restore().await.unwrap(),
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
    // Another look finds the same.
    world.gateway.credits_restore().await.unwrap();
    assert!((of("idle").balance_us - idle.balance_us).abs() < HOUR_US / 100);
}
