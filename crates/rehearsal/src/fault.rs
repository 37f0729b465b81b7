//! What can go wrong on request: one fault for a request by header, or by chance for all of them.

use madang_twin::random::Random;
use std::fmt::Write as _;
use std::str::FromStr;

/// The header that asks for a fault.
pub(crate) const FAULT_HEADER: &str = "x-rehearsal-fault";

/// Something that goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answers 500 at once.
    Error500,
    /// Answers 503 at once.
    Error503,
    /// Answers 429 with `retry-after` at once.
    Error429,
    /// Closes without an answer.
    RefuseConnection,
    /// No byte of an answer ever comes.
    Stall,
    /// The answer stops in the middle; the connection stays open.
    StallMid,
    /// The connection is closed after the answer's head.
    CutBefore,
    /// The connection is closed in the middle of the answer.
    CutMid,
    /// The usage that was asked for is left out.
    NoUsage,
    /// Usage tells more tokens than were sent.
    WrongUsage,
    /// An event, or the body, is no JSON.
    BadJson,
    /// `content-length` tells more bytes than come.
    WrongLength,
    /// The answer never ends.
    Endless,
    /// All comes ten times later.
    Slow,
}

/// Names on the command line and in the header.
const FAULTS: [(&str, Fault); 14] = [
    ("error-500", Fault::Error500),
    ("error-503", Fault::Error503),
    ("error-429", Fault::Error429),
    ("refuse-connection", Fault::RefuseConnection),
    ("stall", Fault::Stall),
    ("stall-mid", Fault::StallMid),
    ("cut-before", Fault::CutBefore),
    ("cut-mid", Fault::CutMid),
    ("no-usage", Fault::NoUsage),
    ("wrong-usage", Fault::WrongUsage),
    ("bad-json", Fault::BadJson),
    ("wrong-length", Fault::WrongLength),
    ("endless", Fault::Endless),
    ("slow", Fault::Slow),
];

/// A fault of the engine, not of a request.
const NO_METRICS: &str = "no-metrics";

impl Fault {
    /// The fault of that name; `cut` is short for `cut-mid`.
    pub fn named(name: &str) -> Option<Self> {
        let name = if name == "cut" { "cut-mid" } else { name };
        FAULTS
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, fault)| *fault)
    }

    /// All names, separated by commas.
    pub fn names() -> String {
        let names: Vec<&str> = FAULTS.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    }
}

/// What goes wrong with all requests, and how often.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FaultPlan {
    /// Faults with their probabilities, whose sum is at most 1.
    chances: Vec<(Fault, f64)>,
    /// `/metrics` answers 404.
    pub no_metrics: bool,
}

impl FaultPlan {
    /// What goes wrong with the next request.
    pub(crate) fn draw(&self, random: &mut Random) -> Option<Fault> {
        if self.chances.is_empty() {
            return None;
        }
        let mut left = random.unit();
        for (fault, chance) in &self.chances {
            if left < *chance {
                return Some(*fault);
            }
            left -= chance;
        }
        None
    }
}

/// The text is no plan of faults.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FaultPlanError(String);

impl FromStr for FaultPlan {
    type Err = FaultPlanError;

    fn from_str(text: &str) -> Result<Self, FaultPlanError> {
        let mut plan = Self::default();
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            if part == NO_METRICS {
                plan.no_metrics = true;
                continue;
            }
            let (name, chance) = part.split_once('=').unwrap_or((part, "1"));
            if name.trim() == NO_METRICS {
                return Err(FaultPlanError(format!(
                    "'{NO_METRICS}' is the engine's and no request's: it takes no probability, write it alone. Faults that take one: {}",
                    Fault::names()
                )));
            }
            let fault = Fault::named(name.trim()).ok_or_else(|| unknown(name.trim()))?;
            let chance: f64 = chance
                .trim()
                .parse()
                .ok()
                .filter(|p| (0.0..=1.0).contains(p))
                .ok_or_else(|| {
                    FaultPlanError(format!(
                        "'{name}' has a probability from 0 to 1, as in {name}=0.05"
                    ))
                })?;
            plan.chances.push((fault, chance));
        }
        // Tenths that add up to one do so only nearly in binary.
        if plan.chances.iter().map(|(_, chance)| chance).sum::<f64>() > 1.0 + 1e-9 {
            return Err(FaultPlanError(
                "the probabilities of all faults add up to more than 1".into(),
            ));
        }
        Ok(plan)
    }
}

fn unknown(name: &str) -> FaultPlanError {
    let shown: String = name.chars().take(40).collect();
    let mut text = format!("'{shown}' is not a fault");
    let near = FAULTS
        .iter()
        .map(|(known, _)| *known)
        .chain([NO_METRICS])
        .min_by_key(|known| strsim::levenshtein(known, &shown));
    if let Some(near) = near {
        // writing to a String cannot fail
        write!(text, "; did you mean '{near}'?").unwrap_or_default();
    }
    write!(text, " Faults: {}, {NO_METRICS}", Fault::names()).unwrap_or_default();
    FaultPlanError(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_read() {
        let check = |text: &str, chances: &[(Fault, f64)], no_metrics| {
            let expected = FaultPlan {
                chances: chances.to_vec(),
                no_metrics,
            };
            assert_eq!(text.parse(), Ok(expected), "{text}");
        };
        check("", &[], false);
        check(
            "cut=0.05,stall=0.01",
            &[(Fault::CutMid, 0.05), (Fault::Stall, 0.01)],
            false,
        );
        check(" no-metrics , slow ", &[(Fault::Slow, 1.0)], true);
        let refuse = |text: &str, words: &str| {
            let error = text.parse::<FaultPlan>().unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        };
        refuse("stal=0.1", "did you mean 'stall'?");
        refuse("stall=2", "from 0 to 1");
        refuse("stall=x", "from 0 to 1");
        refuse("stall=0.6,cut-mid=0.6", "more than 1");
        refuse("stall=NaN", "from 0 to 1");
        refuse("no-metrics=0.5", "takes no probability, write it alone");
        refuse("no-metrics =1", "Faults that take one: error-500,");
    }

    #[test]
    fn faults_come_as_often_as_told_and_in_the_same_order_again() {
        let plan: FaultPlan = "cut=0.05,stall=0.01".parse().unwrap();
        let draw = |seed| {
            let mut random = Random::new(seed, 1);
            (0..100_000)
                .map(|_| plan.draw(&mut random))
                .collect::<Vec<_>>()
        };
        let drawn = draw(7);
        let count = |fault| drawn.iter().filter(|drawn| **drawn == Some(fault)).count();
        assert!((4_500..5_500).contains(&count(Fault::CutMid)));
        assert!((800..1_200).contains(&count(Fault::Stall)));
        assert_eq!(drawn, draw(7));
        assert_ne!(drawn, draw(8));
    }
}
