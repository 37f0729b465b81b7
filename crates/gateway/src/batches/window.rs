//! How many lines of a batch are under way: as many as find room without waiting, and one more. What waits in a queue keeps nobody
//! else from anything, but it is of no use there either.

use std::time::Duration;
use tokio::time::Instant;

/// Lines that are under way at the beginning.
const FIRST: usize = 4;
/// Shortest and longest pause after a refusal that does not say how long to wait.
const PAUSE_MS: (u64, u64) = (250, 60_000);

/// Lines that may be under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window(usize);

impl Default for Window {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Window {
    /// How many, of `most` that are allowed.
    pub fn size(&mut self, most: u32) -> usize {
        self.0 = self
            .0
            .min(usize::try_from(most).unwrap_or(usize::MAX))
            .max(1);
        self.0
    }

    /// A line was answered; whether it had to wait in a queue.
    pub fn answered(&mut self, waited: bool) {
        self.0 = if waited {
            self.0.saturating_sub(1).max(1)
        } else {
            self.0.saturating_add(1)
        };
    }

    /// A line was not served for now.
    pub fn refused(&mut self) {
        self.0 = (self.0 / 2).max(1);
    }
}

/// A time in which nothing is begun.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pause {
    until: Option<Instant>,
    next_ms: u64,
}

impl Pause {
    /// Begins one, where none is on: as long as was asked for, or longer each time.
    pub fn begin(&mut self, now: Instant, asked: Option<Duration>) {
        if self.until(now).is_some() {
            return;
        }
        let (first, longest) = PAUSE_MS;
        let ms = self.next_ms.clamp(first, longest);
        self.next_ms = ms.saturating_mul(2);
        let pause = Duration::from_millis(ms).max(asked.unwrap_or_default());
        self.until = Some(now + pause.min(Duration::from_millis(longest)));
    }

    /// A line was answered.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// When it ends, if it is on.
    pub fn until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_stays_where_lines_begin_to_wait() {
        let mut window = Window::default();
        let room = 40;
        for _ in 0..200 {
            let waits = window.size(1000) > room;
            window.answered(waits);
        }
        assert!((room..=room + 1).contains(&window.size(1000)));
        window.refused();
        assert_eq!(window.size(1000), room / 2);
        assert_eq!(window.size(3), 3);
        (0..9).for_each(|_| window.refused());
        assert_eq!(window.size(1000), 1);
    }

    #[test]
    fn pauses_grow_until_something_is_answered() {
        let mut pause = Pause::default();
        let mut now = Instant::now();
        let waited = [(); 10].map(|()| {
            pause.begin(now, None);
            pause.begin(now, None);
            let until = pause.until(now).unwrap();
            let waited = until - now;
            now = until;
            assert_eq!(pause.until(now), None);
            waited.as_millis()
        });
        assert_eq!(
            waited,
            [
                250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000
            ]
        );
        pause.clear();
        pause.begin(now, Some(Duration::from_secs(5)));
        assert_eq!(pause.until(now), Some(now + Duration::from_secs(5)));
    }
}
