//! How many lines of a batch are under way: as many as find room, and a few that wait for the next. Those that wait keep nobody else
//! from anything; more of them would be of no use.

use std::time::Duration;
use tokio::time::Instant;

/// Lines that are under way at the beginning.
const FIRST: usize = 4;
/// Requests before a line in the queue that are enough to fill what room there comes.
const QUEUE_PLACES: u32 = 4;
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

    /// A line was answered; how many stood before it, where it had to wait in a queue.
    pub fn answered(&mut self, place: Option<u32>) {
        match place {
            None => self.0 = self.0.saturating_add(1),
            Some(place) if place > QUEUE_PLACES => self.0 = self.0.saturating_sub(1).max(1),
            Some(_) => {}
        }
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
    fn a_window_stays_where_a_few_lines_wait() {
        let mut window = Window(200);
        let room = 40;
        let place = |under_way: usize| {
            let before = under_way.checked_sub(room + 1)?;
            u32::try_from(before).ok()
        };
        (0..400).for_each(|_| window.answered(place(window.0)));
        assert_eq!(window.size(1000), room + 5);
        window.0 = FIRST;
        (0..400).for_each(|_| window.answered(place(window.0)));
        assert_eq!(window.size(1000), room + 1);
        window.refused();
        assert_eq!(window.size(1000), 20);
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
