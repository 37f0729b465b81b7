//! Three gateways on one PostgreSQL, each by a way of its own: gateways are killed, ways are cut, held up and slowed, the server is
//! killed, under load. Nothing that a client saw finished is lost or there twice, no grant is passed, and once all is well again
//! what is left can be spent. The engine writes down what it really served. How long: `MADANG_SOAK_S`; moments: `MADANG_TEST_SEED`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../harness/mod.rs"]
mod harness;
mod verdict;
mod yard;

use harness::random::Random;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use verdict::Verdict;
use yard::Yard;

/// How long trouble is made, in seconds.
const TROUBLE_S: u64 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn no_budget_is_passed_by_gateways_that_are_killed_and_cut_off() {
    let trouble_s = std::env::var("MADANG_SOAK_S").map_or(TROUBLE_S, |text| text.parse().unwrap());
    let mut random = Random::new();
    let mut yard = Yard::new(trouble_s).await;
    let until = Instant::now() + Duration::from_secs(trouble_s);
    while Instant::now() < until {
        yard.trouble(&mut random).await;
        // The wait is the test's subject: trouble comes at moments that nothing chose.
        sleep(Duration::from_millis(300 + random.below(1_700))).await;
    }
    yard.heal().await;
    yard.spend_what_is_left().await;
    let verdict = Verdict::new(&yard.end().await).await;
    println!("{verdict}");
    verdict.check();
}
