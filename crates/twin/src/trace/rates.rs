//! Requests a second through time, as `category,t_s,req_per_s`: the form of ServeGen's rates by ten minutes.

use super::packed::{read_text, unpacked};
use super::records::{RecordError, Records};
use std::collections::BTreeSet;
use std::io::Read;

/// Rows of a file of rates.
const ROWS_MAX: u64 = 1_000_000;
/// Bytes of it once it is unpacked.
const BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Categories that are named where one is wanted.
const SHOWN: usize = 20;
/// The longest span, in seconds: a year.
const SPAN_S_MAX: u64 = 366 * 86_400;

/// Requests a second, each for the same time.
#[derive(Clone, Debug, PartialEq)]
pub struct Rates {
    /// Of each span, one after another.
    pub per_second: Vec<f64>,
    /// How long a span is, in seconds.
    pub span_s: u64,
}

/// Why rates cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RateError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// It is no table.
    #[error("it cannot be read: {0}")]
    Read(#[from] RecordError),
    /// Its form is another one.
    #[error(
        "line {0}: it is not category,t_s,req_per_s with times that go up in equal steps of a year at most, and rates from 0 to 10,000,000"
    )]
    Line(u64),
    /// There is a header at most.
    #[error("it has no rows: category,t_s,req_per_s and a row for each step are wanted")]
    Empty,
    /// It is too long.
    #[error("it has more than {ROWS_MAX} rows")]
    TooLong,
    /// Nothing is left, or there are several kinds and none was named.
    #[error("{0}; it has: {1}")]
    Category(&'static str, String),
}

#[derive(serde::Deserialize)]
struct Row {
    category: String,
    t_s: u64,
    req_per_s: f64,
}

impl Rates {
    /// Reads the rates of a category; of the only one where none is named.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn read(reader: Box<dyn Read + Send>, category: Option<&str>) -> Result<Self, RateError> {
        let text = read_text(unpacked(reader)?, BYTES_MAX)?;
        let mut table = Records::new(&text, None);
        let headers = table.header()?;
        let mut known: BTreeSet<String> = BTreeSet::new();
        let mut points: Vec<(u64, f64)> = Vec::new();
        let (mut count, mut record) = (0, csv::StringRecord::new());
        while let Some(line) = table.next(&mut record)? {
            let row = record.deserialize(Some(&headers));
            let row: Row = row.map_err(|error| RecordError::new(line, &error))?;
            count += 1;
            if count > ROWS_MAX {
                return Err(RateError::TooLong);
            }
            if !known.contains(&row.category) {
                known.insert(row.category.clone());
            }
            if category.is_some_and(|category| category != row.category) {
                continue;
            }
            let steps = points.len();
            let sound = match points.as_slice() {
                [] => row.t_s == 0,
                [_] => (1..=SPAN_S_MAX).contains(&row.t_s),
                [_, (step, _), ..] => {
                    u64::try_from(steps).is_ok_and(|steps| row.t_s == steps * step)
                }
            };
            // A second category begins at zero again: which one was meant is said below.
            let again = category.is_none() && known.len() > 1;
            if !(again || sound && (0.0..=1e7).contains(&row.req_per_s)) {
                return Err(RateError::Line(line));
            }
            points.push((row.t_s, row.req_per_s));
        }
        if category.is_none() && known.len() > 1 {
            let wanted = "name one of its categories, as `category`";
            return Err(RateError::Category(wanted, list(&known)));
        }
        if known.is_empty() {
            return Err(RateError::Empty);
        }
        let span_s = points.get(1).map_or(600, |(step, _)| *step);
        if points.is_empty() {
            let absent = "it has no such category";
            return Err(RateError::Category(absent, list(&known)));
        }
        Ok(Self {
            per_second: points.into_iter().map(|(_, rate)| rate).collect(),
            span_s,
        })
    }
}

/// The first of them.
fn list(known: &BTreeSet<String>) -> String {
    let mut shown: Vec<&str> = known.iter().map(String::as_str).take(SHOWN).collect();
    if known.len() > SHOWN {
        shown.push("…");
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_of_one_category_are_read() {
        let text = "category,t_s,req_per_s,active_clients\na,0,1.5,4\na,600,2,4\nb,0,9,1\n";
        let read = |text: &str, category| {
            let reader = Box::new(std::io::Cursor::new(text.to_owned()));
            match Rates::read(reader, category) {
                Ok(rates) => format!("{:?} {}", rates.per_second, rates.span_s),
                Err(error) => error.to_string(),
            }
        };
        assert_eq!(read(text, Some("a")), "[1.5, 2.0] 600");
        assert_eq!(
            read(text, None),
            "name one of its categories, as `category`; it has: a, b"
        );
        assert_eq!(
            read(text, Some("c")),
            "it has no such category; it has: a, b"
        );
        assert!(read("category,t_s,req_per_s\n", None).starts_with("it has no rows"));
        assert!(read("", Some("a")).starts_with("it has no rows"));
        let hole = "category,t_s,req_per_s\na,0,1\na,600,1\na,1800,1\n";
        assert!(
            read(hole, None).starts_with("line 4: "),
            "{}",
            read(hole, None)
        );
        // Three such steps would be beyond any clock.
        let ages = "category,t_s,req_per_s\na,0,1\na,9999999999999999999,1\na,1,1\n";
        assert!(read(ages, None).starts_with("line 3: "));
        let negative = "category,t_s,req_per_s\na,0,-1\n";
        assert!(read(negative, None).starts_with("line 2: "));
        // However lines end.
        assert!(read(&hole.replace('\n', "\r\n"), None).starts_with("line 4: "));
        let word = "category,t_s,req_per_s\r\na,0,1\r\na,soon,1\r\n";
        assert!(read(word, None).starts_with("it cannot be read: line 3: "));
    }
}
