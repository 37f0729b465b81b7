//! The edge's clock and the ids made from it. The core sees neither: it is handed instants and ids.

use madang_types::{Micros, RequestId};
use rustix::time::{ClockId, clock_gettime};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// By how much of what has passed time goes faster or slower while the system's clock is followed: spans are true to that part.
const FOLLOW_DIVISOR: i64 = 8;
/// At once no more is made up for than what one so long a span allows, in microseconds.
const FOLLOW_SPAN_US_MAX: i64 = 1_000_000;
/// A lesser difference is none, in microseconds: two clocks are never read at once.
const SAME_US: i64 = 10_000;
/// One that is told, in microseconds.
const TOLD_US: i64 = 1_000_000;

static CLOCK: OnceLock<Clock> = OnceLock::new();

/// Time as the system's clock says it, that passes as a clock does that nobody sets.
struct Clock {
    /// What is added to the time since boot, in microseconds.
    offset_us: AtomicI64,
    /// The time since boot when that was changed last.
    followed_us: AtomicI64,
    /// The latest instant that was given out.
    latest_us: AtomicI64,
    /// It was told that the system's clock was set.
    is_told: AtomicBool,
}

/// The present instant. Within the process it never goes back and never stands still: where the system's clock is set, it is followed by
/// an eighth of what passes, so that waits, rests and spans last as long as they should, and nothing is late at once.
pub fn now() -> Micros {
    let (mut boot_us, wall_us) = (since_boot_us(), wall_us());
    let clock = CLOCK.get_or_init(|| Clock {
        offset_us: AtomicI64::new(wall_us - boot_us),
        followed_us: AtomicI64::new(boot_us),
        latest_us: AtomicI64::new(0),
        is_told: AtomicBool::new(false),
    });
    if clock.is_off(boot_us, wall_us) {
        boot_us = clock.look_again();
    }
    let read_us = boot_us + clock.offset_us.load(Ordering::Acquire);
    let latest_us = clock.latest_us.fetch_max(read_us, Ordering::AcqRel);
    Micros(read_us.max(latest_us))
}

impl Clock {
    fn behind_us(&self, boot_us: i64, wall_us: i64) -> i64 {
        wall_us - boot_us - self.offset_us.load(Ordering::Acquire)
    }

    fn is_off(&self, boot_us: i64, wall_us: i64) -> bool {
        self.behind_us(boot_us, wall_us).abs() >= SAME_US || self.is_told.load(Ordering::Relaxed)
    }

    /// Reads both clocks once more, and follows the system's: whoever was kept waiting between the two has read two times. The time since
    /// boot.
    fn look_again(&self) -> i64 {
        let (before_us, wall_us) = (since_boot_us(), wall_us());
        let boot_us = since_boot_us();
        if boot_us - before_us < SAME_US {
            self.follow(boot_us, wall_us);
        }
        boot_us
    }

    fn follow(&self, boot_us: i64, wall_us: i64) {
        let behind_us = self.behind_us(boot_us, wall_us);
        if behind_us.abs() < SAME_US {
            if self.is_told.swap(false, Ordering::AcqRel) {
                tracing::info!("the system's clock is followed to its end");
            }
            return;
        }
        if behind_us.abs() >= TOLD_US && !self.is_told.swap(true, Ordering::AcqRel) {
            let by_s = behind_us / TOLD_US;
            tracing::warn!(
                by_s,
                "the system's clock was set: it is followed by an eighth of what passes, and at once by a restart"
            );
        }
        let followed_us = self.followed_us.load(Ordering::Acquire);
        let mine = self.followed_us.compare_exchange(
            followed_us,
            boot_us,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        if mine.is_ok() {
            let step_us = step_us(behind_us, boot_us - followed_us);
            self.offset_us.fetch_add(step_us, Ordering::AcqRel);
        }
    }
}

/// By how much is made up for where time is behind by so much, and so much has passed since that was done last.
fn step_us(behind_us: i64, passed_us: i64) -> i64 {
    let most_us = passed_us.clamp(0, FOLLOW_SPAN_US_MAX) / FOLLOW_DIVISOR;
    behind_us.clamp(-most_us, most_us)
}

fn wall_us() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX / 2),
        Err(_) => 0,
    }
}

/// Nobody sets it, and it goes on while the machine sleeps.
fn since_boot_us() -> i64 {
    let read = clock_gettime(ClockId::Boottime);
    read.tv_sec * 1_000_000 + read.tv_nsec / 1_000
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

    /// Where the system's clock is set by so much at the start, what the clock says then and later, each a second after the last.
    fn check(set_us: i64, expected: [i64; 4]) {
        let clock = Clock {
            offset_us: AtomicI64::new(0),
            followed_us: AtomicI64::new(0),
            latest_us: AtomicI64::new(0),
            is_told: AtomicBool::new(false),
        };
        let said = [1, 2, 3, 4].map(|second| {
            let boot_us = second * 1_000_000;
            clock.follow(boot_us, boot_us + set_us);
            boot_us + clock.offset_us.load(Ordering::Acquire)
        });
        assert_eq!(said, expected, "set by {set_us}");
    }

    #[test]
    fn a_clock_that_is_set_is_followed_by_an_eighth_of_what_passes() {
        check(0, [1_000_000, 2_000_000, 3_000_000, 4_000_000]);
        check(9_999, [1_000_000, 2_000_000, 3_000_000, 4_000_000]);
        check(100_000, [1_100_000, 2_100_000, 3_100_000, 4_100_000]);
        check(200_000, [1_125_000, 2_200_000, 3_200_000, 4_200_000]);
        check(-200_000, [875_000, 1_800_000, 2_800_000, 3_800_000]);
        let month_us = 30 * 86_400 * 1_000_000;
        check(month_us, [1_125_000, 2_250_000, 3_375_000, 4_500_000]);
        check(-month_us, [875_000, 1_750_000, 2_625_000, 3_500_000]);
        // Whoever was not asked for an hour makes up for no more at once than after a second.
        assert_eq!(step_us(month_us, 3_600_000_000), 125_000);
        assert_eq!(step_us(-month_us, -1), 0);
    }

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
