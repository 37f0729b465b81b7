//! The gateway's hold on the books: writes before the last byte, and writes for requests whose client left.

use crate::metrics::Metrics;
use madang_store::{Settlement, Store, StoreError};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Records of abandoned requests that may wait for the store. Each was a connection, so this is far above any load.
const ABANDONED_MAX: usize = 65_536;
/// How long new requests are refused after a write failed, before one may try again.
const REST_US: i64 = 1_000_000;

/// Writes that failed: counted, and the last one's time.
#[derive(Clone)]
struct Failures {
    last_us: Arc<AtomicI64>,
    metrics: Arc<Metrics>,
}

impl Failures {
    fn note(&self) {
        self.last_us.store(crate::clock::now().0, Ordering::Relaxed);
        self.metrics.usage_write_failure();
    }
}

/// The books as the gateway uses them.
pub struct Books {
    store: Arc<dyn Store>,
    failures: Failures,
    abandoned: Mutex<Option<mpsc::Sender<Settlement>>>,
    writer: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Books {
    /// Takes the store and starts the writer for abandoned requests. Must be called inside a runtime.
    pub fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>) -> Self {
        let (abandoned, mut waiting) = mpsc::channel::<Settlement>(ABANDONED_MAX);
        let failures = Failures {
            last_us: Arc::new(AtomicI64::new(i64::MIN / 2)),
            metrics,
        };
        let writing = (Arc::clone(&store), failures.clone());
        let writer = tokio::spawn(async move {
            let (store, failures) = writing;
            while let Some(settlement) = waiting.recv().await {
                let id = settlement.record.id;
                if let Err(error) = store.usage_settle(settlement).await {
                    failures.note();
                    tracing::error!(request = %id, %error, "an abandoned request's record was not written");
                }
            }
        });
        Self {
            store,
            failures,
            abandoned: Mutex::new(Some(abandoned)),
            writer: tokio::sync::Mutex::new(Some(writer)),
        }
    }

    /// The store itself, for reads and for the control API.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// A shared handle on the store.
    pub fn store_arc(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    /// Writes down what requests under way come to, should this process die.
    pub async fn draft(&self, drafts: Vec<Settlement>) {
        if let Err(error) = self.store.usage_draft(drafts).await {
            self.failures.note();
            tracing::error!(%error, "what requests under way have used was not written");
        }
    }

    /// Writes a record and its entry; they outlive the process when this returns `Ok`.
    ///
    /// # Errors
    /// The store cannot write; new requests are refused for a moment.
    pub async fn settle(&self, settlement: Settlement) -> Result<(), StoreError> {
        let result = self.store.usage_settle(settlement).await;
        if result.is_err() {
            self.failures.note();
        }
        result
    }

    /// Hands over what a request came to whose client left: its future is gone and cannot wait.
    pub fn settle_later(&self, settlement: Settlement) {
        let abandoned = self
            .abandoned
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let sent = abandoned
            .as_ref()
            .is_some_and(|sender| sender.try_send(settlement).is_ok());
        if !sent {
            self.failures.note();
            tracing::error!(
                "an abandoned request's record was not written: too many wait for the store"
            );
        }
    }

    /// Whether a write failed a moment ago: nothing new is served then, since it could not be recorded.
    pub fn resting(&self) -> bool {
        let since = crate::clock::now().0 - self.failures.last_us.load(Ordering::Relaxed);
        (0..REST_US).contains(&since)
    }

    /// Waits until the records of abandoned requests are written.
    pub async fn close(&self) {
        self.abandoned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let writer = self.writer.lock().await.take();
        if let Some(writer) = writer
            && writer.await.is_err()
        {
            tracing::error!("the writer of abandoned requests panicked");
        }
    }
}
