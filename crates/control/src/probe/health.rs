//! From answers of probes to "up" and "down". Pure.

/// What changed with a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It may get requests.
    Up,
    /// It must not get requests; a launched engine hangs and is to be restarted.
    Down,
}

/// The health of one replica. New ones are unknown: the first success makes them up, and as many
/// failures in a row as of any other make them down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    failures_max: u32,
    failures_count: u32,
    up: Option<bool>,
}

impl Health {
    /// Unknown; `failures_max` failures in a row (at least one) make it down.
    pub fn new(failures_max: u32) -> Self {
        Self {
            failures_max: failures_max.max(1),
            failures_count: 0,
            up: None,
        }
    }

    /// Takes the answer of one probe; tells a change.
    pub fn on_probe(&mut self, ok: bool) -> Option<Change> {
        if ok {
            self.failures_count = 0;
            return (self.up.replace(true) != Some(true)).then_some(Change::Up);
        }
        self.failures_count = self.failures_count.saturating_add(1);
        if self.failures_count < self.failures_max || self.up == Some(false) {
            return None;
        }
        self.up = Some(false);
        Some(Change::Down)
    }

    /// Forgets all: the engine was started anew.
    pub fn reset(&mut self) {
        (self.failures_count, self.up) = (0, None);
    }

    /// Whether it may get requests: one success, and not yet too many failures since.
    pub fn is_up(&self) -> bool {
        self.up == Some(true)
    }

    /// Failures in a row.
    pub fn failures_count(&self) -> u32 {
        self.failures_count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `probes`: `+` and `-`; `expected`: what each changes, `U`, `D` or `.`.
    fn check(failures_max: u32, probes: &str, expected: &str) {
        let mut health = Health::new(failures_max);
        let changes: String = probes
            .chars()
            .map(|probe| match health.on_probe(probe == '+') {
                Some(Change::Up) => 'U',
                Some(Change::Down) => 'D',
                None => '.',
            })
            .collect();
        assert_eq!(changes, expected, "{probes} with {failures_max}");
        let last = expected.chars().rfind(|c| *c != '.');
        assert_eq!(health.is_up(), last == Some('U'));
    }

    #[test]
    fn failures_in_a_row_make_down_and_one_success_makes_up() {
        check(3, "+++", "U..");
        check(3, "+--+--+", "U......");
        check(3, "+----+", "U..D.U");
        check(3, "---+", "..DU");
        check(3, "-----", "..D..");
        check(1, "+-+-", "UDUD");
        check(0, "-+", "DU");
    }

    #[test]
    fn a_new_start_is_unknown_again() {
        let mut health = Health::new(2);
        health.on_probe(false);
        health.on_probe(false);
        health.reset();
        assert!(!health.is_up());
        assert_eq!(health.failures_count(), 0);
        assert_eq!(health.on_probe(false), None);
        assert_eq!(health.on_probe(false), Some(Change::Down));
    }
}
