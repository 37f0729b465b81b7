//! Work that grows with a request's body: a large one is looked at on a thread apart, since all streams of a lane wait for what its
//! thread does.

use crate::refused::Refused;
use madang_types::ErrorCode;
use std::sync::Arc;
use std::thread::available_parallelism;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Bodies of at most so many bytes are looked at where they came: that takes some milliseconds at most, and a tenth of that as a rule.
const HERE_BYTES_MAX: usize = 512 * 1024;

/// How many large bodies are looked at at once: a part of the processors, as each look takes one, and memory beside the body.
#[derive(Debug)]
pub(crate) struct Apart {
    places: Arc<Semaphore>,
}

impl Default for Apart {
    fn default() -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        Self {
            places: Arc::new(Semaphore::new(processors.div_ceil(4))),
        }
    }
}

impl Apart {
    /// What `work` on a body of so many bytes comes to. Where nobody waits for it any more it is not begun; what has begun goes on to its
    /// end, and holds its place until then.
    ///
    /// # Errors
    /// It panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refused> {
        if bytes <= HERE_BYTES_MAX {
            return Ok(work());
        }
        let failed = |_| Refused::new(ErrorCode::Internal, "the body could not be looked at");
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| failed(()))?;
        let done = spawn_blocking(move || {
            let done = work();
            drop(place);
            done
        });
        done.await.map_err(|error| {
            tracing::error!(%error, "a look at a large body failed");
            failed(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::thread::{current, park_timeout};
    use std::time::Duration;

    #[tokio::test]
    async fn a_large_body_keeps_nobody_waiting_and_a_small_one_goes_nowhere() {
        let apart = Apart::default();
        let here = current().id();
        for (bytes, stays) in [
            (0, true),
            (HERE_BYTES_MAX, true),
            (HERE_BYTES_MAX + 1, false),
        ] {
            let there = apart.run(bytes, || current().id()).await.unwrap();
            assert_eq!(there == here, stays, "{bytes} bytes");
        }
    }

    #[tokio::test]
    async fn few_are_looked_at_at_once_and_a_panic_leaves_its_place() {
        let apart = Apart::default();
        let places = apart.places.available_permits();
        let (now, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let looks = (0..3 * places + 3).map(|_| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            apart.run(usize::MAX, move || {
                most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                park_timeout(Duration::from_millis(5));
                now.fetch_sub(1, SeqCst);
            })
        });
        for done in futures_util::future::join_all(looks).await {
            done.unwrap();
        }
        assert_eq!(most.load(SeqCst), places);
        let failed = apart.run(usize::MAX, || panic!("a test")).await;
        assert_eq!(
            failed.map_err(|refused| refused.code),
            Err::<(), _>(ErrorCode::Internal)
        );
        assert_eq!(apart.places.available_permits(), places);
    }
}
