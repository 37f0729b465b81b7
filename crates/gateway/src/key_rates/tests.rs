use super::*;
use madang_store::sqlite::SqliteStore;
use madang_store::{PostgresOptions, PostgresStore};
use madang_testkit::{Database, Postgres};
use madang_types::GatewayId;

const BOUNDS: RateBounds = RateBounds {
    requests_per_min: Some(600),
    tokens_per_min: None,
};

struct Node {
    rates: Arc<KeyRates>,
    task: tokio::task::JoinHandle<()>,
}

impl Node {
    async fn start(database: &Database, gateway: &str) -> Self {
        let url = database.url().parse().unwrap();
        let open = move || PostgresStore::open(&url, &PostgresOptions::default()).unwrap();
        let bank = tokio::task::spawn_blocking(open).await.unwrap();
        let gateway: GatewayId = gateway.parse().unwrap();
        let purses = Purses::open(Arc::new(bank), gateway).await.unwrap();
        let rates = KeyRates::new(purses);
        let task = tokio::spawn(Arc::clone(&rates).attend());
        Self { rates, task }
    }

    async fn admit(&self, key: &str) -> Result<RateStanding, RateRefusal> {
        self.rates.admit((&key.parse().unwrap(), BOUNDS), 0).await
    }

    /// Asks until a request is let through.
    async fn until_admitted(&self, key: &str) -> RateStanding {
        for _ in 0..1_000 {
            match self.admit(key).await {
                Ok(standing) => return standing,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        panic!("no request of {key} is let through")
    }

    async fn stop(&self) {
        self.rates.close().await;
        self.task.abort();
    }
}

#[tokio::test]
async fn the_only_gateway_of_its_books_asks_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let bank = SqliteStore::open(&folder.path().join("madang.db")).unwrap();
    let purses = Purses::open(Arc::new(bank), "gw".parse().unwrap()).await;
    let rates = KeyRates::new(purses.unwrap());
    Arc::clone(&rates).attend().await;
    let key = "k".parse().unwrap();
    let standing = rates.admit((&key, BOUNDS), 0).await.unwrap();
    assert_eq!(standing.requests.unwrap().remaining, 599);
    rates.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_request_waits_for_its_part_and_another_gateway_gets_one() {
    let server = Postgres::shared().unwrap();
    let database = server.database().unwrap();
    let one = Node::start(&database, "gw-1").await;
    let other = Node::start(&database, "gw-2").await;
    let standing = one.admit("k1").await.unwrap();
    assert_eq!(standing.requests.unwrap().remaining, 599);
    let standing = other.until_admitted("k1").await;
    assert!(standing.requests.unwrap().remaining < 599);
    // What is given back at the end is free at once.
    one.admit("k2").await.unwrap();
    one.stop().await;
    let left = other.admit("k2").await.unwrap().requests.unwrap().remaining;
    assert!(left > 590, "{left}");
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gateway_held_that_is_given_up_is_free_and_it_begins_anew() {
    let server = Postgres::shared().unwrap();
    let database = server.database().unwrap();
    let silent = Node::start(&database, "gw-1").await;
    silent.admit("k").await.unwrap();
    silent.task.abort();
    let other = Node::start(&database, "gw-2").await;
    let lacking = other.admit("k").await.unwrap_err();
    assert!(lacking.part_comes_us.is_some(), "{lacking:?}");
    let later = crate::clock::now().plus_ms(120_000);
    let bank = other.rates.purses.bank();
    bank.give_up("gw-1".parse().unwrap(), later).await.unwrap();
    other.until_admitted("k").await;
    // It hears of it with its next look, and what it counted on is no longer its own.
    let before = silent.rates.purses.holder();
    let task = tokio::spawn(Arc::clone(&silent.rates).attend());
    for _ in 0..1_000 {
        if silent.rates.purses.holder().epoch > before.epoch {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(silent.rates.purses.holder().epoch, before.epoch + 2);
    silent.until_admitted("k").await;
    task.abort();
    other.stop().await;
}
