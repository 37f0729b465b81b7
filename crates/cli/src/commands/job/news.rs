//! What is told of a job that somebody looks at: a line where there is something new, not one for each second by which a guess moves.

use super::{waits, warning};
use crate::commands::server::cell;
use crate::out;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// A start that is expected so much earlier or later than was told is no news.
const MOVED: SignedDuration = SignedDuration::from_secs(60);

/// What was told last.
#[derive(Default)]
pub(super) struct News {
    told: Option<Line>,
}

#[derive(Clone, PartialEq, Eq)]
struct Line {
    what: String,
    starts_at: Option<Timestamp>,
}

impl News {
    /// Says how a job stands, where that is new.
    pub(super) fn tell(&mut self, id: &str, job: &Value) {
        let stands = || warning(job).unwrap_or_else(|| cell(job, "state"));
        let why = job["waits"]["why"].as_str();
        let what = why.map_or_else(stands, str::to_owned);
        let starts_at = job["waits"]["starts_at"].as_str();
        let starts_at = starts_at.and_then(|at| at.parse().ok());
        if self.takes(Line { what, starts_at }, Timestamp::now()) {
            let line = waits(job).unwrap_or_else(stands);
            out::note(&format!("job {id} {line}"));
        }
    }

    /// Whether it is news; then it is what was told last. An expected start is news where it has moved by a minute and by half of the
    /// time that was left, and where the one that was told has passed.
    fn takes(&mut self, line: Line, now: Timestamp) -> bool {
        let is_known = self.told.as_ref().is_some_and(|told| {
            let is_near = match (told.starts_at, line.starts_at) {
                (Some(told), Some(at)) => {
                    let left = told.duration_since(now);
                    let by = at.duration_since(told).abs();
                    left.is_positive() && (by < MOVED || by < left / 2)
                }
                (told, at) => told == at,
            };
            told.what == line.what && is_near
        });
        if !is_known {
            self.told = Some(line);
        }
        !is_known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + s).unwrap()
    }

    /// Which of these lines, each with the second in which it is told, are news.
    fn news(lines: &[(i64, &str, Option<i64>)]) -> Vec<i64> {
        let mut news = News::default();
        let taken = lines.iter().filter(|(now, what, starts_s)| {
            let line = Line {
                what: (*what).to_owned(),
                starts_at: starts_s.map(at),
            };
            news.takes(line, at(*now))
        });
        taken.map(|(now, ..)| *now).collect()
    }

    #[test]
    fn a_guess_that_moves_a_little_is_no_news() {
        let waits = |now, s| (now, "it is next", Some(s));
        assert_eq!(news(&[waits(0, 600), waits(1, 601), waits(2, 640)]), [0]);
        // A minute, but less than half of what is left; then more.
        assert_eq!(news(&[waits(0, 600), waits(1, 680), waits(2, 950)]), [0, 2]);
        // It comes sooner, and what was told has passed.
        assert_eq!(
            news(&[waits(0, 600), waits(1, 60), waits(61, 62)]),
            [0, 1, 61]
        );
    }

    #[test]
    fn another_reason_is_news_and_so_is_a_start_that_nobody_knows_any_more() {
        let lines = [
            (0, "a", None),
            (1, "a", None),
            (2, "b", None),
            (3, "b", Some(90)),
            (4, "b", None),
        ];
        assert_eq!(news(&lines), [0, 2, 3, 4]);
    }

    #[test]
    fn who_runs_for_longer_than_its_like_is_told_of_a_few_times() {
        // Each second it is expected to run for as long again.
        let lines: Vec<_> = (10..4_000)
            .map(|s| (s, "it is next", Some(2 * s)))
            .collect();
        let told = news(&lines);
        assert!(told.len() <= 24, "{told:?}");
    }
}
