//! The edge's clock and the ids made from it. The core sees neither: it is handed instants and ids.

use madang_types::{Micros, RequestId};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The latest instant that [`now`] gave out.
static LATEST_US: AtomicI64 = AtomicI64::new(0);

/// The present instant. Within the process it never goes back: where the system's clock is set back, it stands
/// still until that clock has caught up, so that spans and the order of records hold.
pub fn now() -> Micros {
    let read_us = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(_) => 0,
    };
    let latest_us = LATEST_US.fetch_max(read_us, Ordering::AcqRel);
    Micros(read_us.max(latest_us))
}

/// A new request id: a UUIDv7, so that ids made by this process sort in the order in which they were made.
pub fn request_id_new() -> RequestId {
    RequestId(uuid::Uuid::now_v7().as_u128())
}

/// An instant as people write it, in UTC.
pub fn clock_text(at: Micros) -> String {
    jiff::Timestamp::from_microsecond(at.0).map_or_else(|_| at.0.to_string(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_goes_back_between_threads() {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(|| {
                    let mut last = now();
                    for _ in 0..10_000 {
                        let next = now();
                        assert!(next >= last);
                        last = next;
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("the thread ends well");
        }
        assert!(now() > Micros(1_700_000_000_000_000));
    }

    #[test]
    fn ids_are_version_7_and_sort_by_making() {
        let ids: Vec<_> = (0..10_000).map(|_| request_id_new()).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(ids.iter().all(|id| (id.0 >> 76) & 0xf == 7));
    }
}
