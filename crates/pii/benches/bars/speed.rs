//! Speed in processor time of this thread, so that others on the machine count little.

use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;

fn seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "seconds of a bench are few")]
    let whole = time.tv_sec as f64;
    #[expect(clippy::cast_precision_loss, reason = "less than a thousand million")]
    let part = time.tv_nsec as f64;
    whole + part * 1e-9
}

/// Megabytes a second, the best of some runs: the others measure what else ran.
pub fn megabytes_per_second(text: &[u8]) -> f64 {
    best(text, 7)
}

/// The same of two runs, for a search.
pub fn quick(text: &[u8]) -> f64 {
    best(text, 2)
}

fn best(text: &[u8], runs: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "megabytes")]
    let megabytes = text.len() as f64 * 1e-6;
    let run = |_| {
        let start = seconds();
        black_box(madang_pii::scan(black_box(text)));
        megabytes / (seconds() - start)
    };
    (0..runs).map(run).fold(0.0, f64::max)
}
