//! What to believe of a meter. One that is silent, jumps or lies is not followed down: what is taken instead is never less than what may
//! be drawn, and it is said that it is not measured. What jumps up is followed at once, and how much of it came out of nothing is said:
//! one look alone may have been wrong.

use madang_types::Micros;
use serde::{Deserialize, Serialize};

/// Above the model's most by more than this, in thousandths, no reading is true: its unit or its place is another one. Below it something
/// may draw that the model does not know of.
const ABOVE_MILLI: u64 = 2_000;
/// Below the model's least by more than this, in thousandths, none is either: what is switched on draws something.
const BELOW_MILLI: u64 = 500;
/// A site's own meter that says less than those of its parts together by more than this, in thousandths of what it says, is not believed.
const PARTS_MILLI: u64 = 1_100;
/// Times in a row that a reading of less than half the last one is told before it is believed.
const FALLS_BELIEVED: u32 = 3;
/// Times in a row after which a reading that does not move at all is doubted, where the model does.
const SAME_DOUBTED: u32 = 30;

/// What the model says of what a meter measures, in watts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Modelled {
    /// Where all of it does nothing.
    pub idle_watts: u64,
    /// By what it does.
    pub likely_watts: u64,
    /// At most.
    pub full_watts: u64,
    /// How fast it may rise, in watts a second.
    pub rise_watts_per_s: u64,
}

/// What a meter told, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// In watts.
    pub watts: u64,
    /// When it was measured, as far as is known.
    pub at: Micros,
}

/// Why a reading is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// None came, or none in time.
    Silent,
    /// More than what is measured can draw.
    TooHigh,
    /// Less than what is measured draws where it does nothing.
    TooLow,
    /// It fell by more than half at once.
    Fell,
    /// It has not moved at all though what it measures has.
    Stuck,
    /// Other meters say that parts of it draw more.
    BelowParts,
}

impl Doubt {
    /// Its word in metrics.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::TooHigh => "too_high",
            Self::TooLow => "too_low",
            Self::Fell => "fell",
            Self::Stuck => "stuck",
            Self::BelowParts => "below_parts",
        }
    }

    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Silent => "the meter is silent",
            Self::TooHigh => "the meter says more than what it measures can draw",
            Self::TooLow => "the meter says less than what it measures draws where it does nothing",
            Self::Fell => "the meter fell by more than half at once, and is not believed yet",
            Self::Stuck => "the meter does not move though what it measures does",
            Self::BelowParts => "the meter says less than those of its parts together",
        }
    }
}

/// What is taken in place of a reading that is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Instead {
    /// The last reading that was believed, and what may have come on top since.
    Last,
    /// What the model thinks likely: it is more than that.
    Likely,
    /// The most that can be drawn.
    Most,
    /// What meters of its parts say, and of the others that they do nothing.
    Parts,
}

impl Instead {
    /// Its word in lists.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Likely => "likely",
            Self::Most => "most",
            Self::Parts => "parts",
        }
    }

    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Last => "what it said last, and what may have come on top since",
            Self::Likely => "what the model thinks likely",
            Self::Most => "the most that it can be",
            Self::Parts => "what the meters of its parts say",
        }
    }
}

/// That a meter is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubted {
    /// Why not.
    pub why: Doubt,
    /// What is taken instead.
    pub instead: Instead,
}

/// What is taken as drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Believed {
    /// In watts.
    pub watts: u64,
    /// It is what the meter says.
    pub measured: bool,
    /// How old that is, in microseconds; nothing where it is not measured, as what may have come on top is in it then.
    pub age_us: u64,
    /// How much of it is more than the model thinks likely and than may have come on top of what was believed before, in watts: only at
    /// the first look that says so.
    pub sudden_watts: u64,
    /// Why not, and what is taken instead.
    pub doubt: Option<Doubted>,
}

/// One meter, over time.
#[derive(Clone, Debug, Default)]
pub struct Gauge {
    /// The last reading that was believed.
    last: Option<Reading>,
    /// The last one that was told, how often it came in a row, and what the model said when it first came.
    told: Option<(u64, u32, u64)>,
    falls: u32,
    /// What was taken at the last look was more than it could be by what was known before.
    jumped: bool,
}

impl Gauge {
    /// What is taken as drawn at `now`, by the newest reading; one older than `stale_us` is none.
    pub fn take(
        &mut self,
        now: Micros,
        reading: Option<Reading>,
        model: &Modelled,
        stale_us: u64,
    ) -> Believed {
        let may_be = self.last.map_or(0, |last| may_be(now, last, model));
        let believed = self.believe(now, reading, model, stale_us);
        let told = match believed.doubt {
            None => true,
            Some(doubted) => doubted.why == Doubt::TooHigh,
        };
        let above = believed
            .watts
            .saturating_sub(may_be.max(model.likely_watts));
        let jumps = told && above > 0;
        let jumped = std::mem::replace(&mut self.jumped, jumps);
        Believed {
            sudden_watts: if jumps && !jumped { above } else { 0 },
            ..believed
        }
    }

    fn believe(
        &mut self,
        now: Micros,
        reading: Option<Reading>,
        model: &Modelled,
        stale_us: u64,
    ) -> Believed {
        let fresh = reading.filter(|reading| now.since_us(reading.at) <= stale_us);
        let Some(reading) = fresh else {
            return self.instead(now, Doubt::Silent, model);
        };
        if let Some(doubt) = self.doubt(reading, model) {
            return match doubt {
                // It errs on the side of the cap, but not beyond what can be.
                Doubt::TooHigh => not_measured(model.full_watts, (doubt, Instead::Most)),
                doubt => self.instead(now, doubt, model),
            };
        }
        self.last = Some(reading);
        Believed {
            watts: reading.watts,
            measured: true,
            age_us: now.since_us(reading.at),
            sudden_watts: 0,
            doubt: None,
        }
    }

    fn doubt(&mut self, reading: Reading, model: &Modelled) -> Option<Doubt> {
        let watts = reading.watts;
        self.told = match self.told {
            Some((same, count, since)) if same == watts => {
                Some((same, count.saturating_add(1), since))
            }
            _ => Some((watts, 1, model.likely_watts)),
        };
        // One that falls to what the model thinks likely shows what was bent.
        let fell = self.last.is_some_and(|last| watts < last.watts / 2);
        let half = fell && watts < model.likely_watts;
        self.falls = if half {
            self.falls.saturating_add(1)
        } else {
            0
        };
        if watts.saturating_mul(1_000) > model.full_watts.saturating_mul(ABOVE_MILLI) {
            return Some(Doubt::TooHigh);
        }
        if watts.saturating_mul(1_000) < model.idle_watts.saturating_mul(BELOW_MILLI) {
            return Some(Doubt::TooLow);
        }
        if half && self.falls < FALLS_BELIEVED {
            return Some(Doubt::Fell);
        }
        let quarter = model.full_watts.saturating_sub(model.idle_watts) / 4;
        let (_, count, modelled) = self.told?;
        let rose = model.likely_watts > modelled.saturating_add(quarter);
        (count >= SAME_DOUBTED && rose).then_some(Doubt::Stuck)
    }

    /// What is taken where the meter is not believed: the last reading that was, and what may have come on top since; without one the
    /// most. Never less than what the model thinks likely.
    fn instead(&self, now: Micros, doubt: Doubt, model: &Modelled) -> Believed {
        let Some(last) = self.last else {
            return not_measured(model.full_watts, (doubt, Instead::Most));
        };
        let may_be = may_be(now, last, model);
        let most = model.full_watts.max(last.watts);
        let watts = may_be.max(model.likely_watts).min(most);
        let instead = match watts {
            watts if watts == most && most > last.watts => Instead::Most,
            watts if watts > may_be => Instead::Likely,
            _ => Instead::Last,
        };
        not_measured(watts, (doubt, instead))
    }

    /// No reading of it was ever believed.
    pub fn is_mute(&self) -> bool {
        self.last.is_none()
    }
}

/// What may be drawn by now where so much was at the last reading, in watts.
fn may_be(now: Micros, last: Reading, model: &Modelled) -> u64 {
    let seconds = now.since_us(last.at).div_ceil(1_000_000);
    let risen = model.rise_watts_per_s.saturating_mul(seconds);
    last.watts.saturating_add(risen)
}

fn not_measured(watts: u64, (why, instead): (Doubt, Instead)) -> Believed {
    Believed {
        watts,
        measured: false,
        age_us: 0,
        sudden_watts: 0,
        doubt: Some(Doubted { why, instead }),
    }
}

impl Believed {
    /// A site's own meter beside those of its parts, which say `parts_watts` together, without cooling and what nobody else measures. Where it
    /// is below that by more than meters differ, it lies, or one of them does: `instead_watts` is taken then, or what they say where that is
    /// more.
    #[must_use]
    pub fn no_less_than(self, parts_watts: u64, instead_watts: u64) -> Self {
        let told = self.watts.saturating_mul(PARTS_MILLI);
        match self.measured && parts_watts.saturating_mul(1_000) > told {
            true => not_measured(
                instead_watts.max(parts_watts),
                (Doubt::BelowParts, Instead::Parts),
            ),
            false => self,
        }
    }

    /// Two meters of which each measures a part: both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            watts: self.watts.saturating_add(other.watts),
            measured: self.measured && other.measured,
            age_us: self.age_us.max(other.age_us),
            sudden_watts: self.sudden_watts.saturating_add(other.sudden_watts),
            doubt: self.doubt.or(other.doubt),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: Modelled = Modelled {
        idle_watts: 200,
        likely_watts: 600,
        full_watts: 1_000,
        rise_watts_per_s: 50,
    };
    const STALE_US: u64 = 5_000_000;

    /// Readings at each second, `-` for none, and what is taken: where it is not measured with `!` by the last reading, `~` as likely and `^`
    /// as the most.
    fn check(readings: &str, expected: &str) {
        let mut gauge = Gauge::default();
        let mut last = None;
        let mut found = Vec::new();
        for (second, told) in (0_i64..).zip(readings.split_whitespace()) {
            let now = Micros(second * 1_000_000);
            if let Ok(watts) = told.parse() {
                last = Some(Reading { watts, at: now });
            }
            let believed = gauge.take(now, last, &MODEL, STALE_US);
            let mark = match believed.doubt.map(|doubt| doubt.instead) {
                None => "",
                Some(Instead::Last) => "!",
                Some(Instead::Likely) => "~",
                Some(Instead::Most | Instead::Parts) => "^",
            };
            assert_eq!(believed.measured, believed.doubt.is_none());
            let age_us = last.map_or(0, |reading: Reading| now.since_us(reading.at));
            let expected_us = if believed.measured { age_us } else { 0 };
            assert_eq!(believed.age_us, expected_us);
            found.push(format!("{}{mark}", believed.watts));
        }
        assert_eq!(found.join(" "), expected, "{readings}");
    }

    #[test]
    fn a_sites_meter_is_not_believed_below_those_of_its_parts() {
        let measured = |watts| Believed {
            watts,
            measured: true,
            age_us: 7,
            sudden_watts: 0,
            doubt: None,
        };
        let check = |watts, parts, instead, expected: u64| {
            let taken = measured(watts).no_less_than(parts, instead);
            let doubted = taken.doubt.map(|doubt| doubt.why);
            let is_low = expected != watts;
            assert_eq!((taken.watts, taken.measured), (expected, !is_low));
            assert_eq!(doubted, is_low.then_some(Doubt::BelowParts));
        };
        check(1_000, 900, 1_170, 1_000);
        check(1_000, 1_100, 1_430, 1_000);
        check(1_000, 1_101, 1_431, 1_431);
        check(0, 1, 1, 1);
        check(0, 0, 0, 0);
        // One that is not believed for another reason stays so.
        let silent = not_measured(100, (Doubt::Silent, Instead::Last));
        assert_eq!(silent.no_less_than(500, 650), silent);
    }

    #[test]
    fn what_is_silent_is_taken_to_rise_until_it_is_full() {
        check("500 510", "500 510");
        check("-", "1000^");
        // For five seconds the last one stands, then it may have risen since.
        check(
            "500 - - - - - - - - - - - - -",
            "500 500 500 500 500 500 800! 850! 900! 950! 1000^ 1000^ 1000^ 1000^",
        );
        check("500 - - - - - - 520", "500 500 500 500 500 500 800! 520");
    }

    #[test]
    fn what_cannot_be_is_not_believed() {
        check("700 2001", "700 1000^");
        // Something may draw that the model does not know of.
        check("700 2000", "700 2000");
        check("700 99", "700 750!");
        check("300 99", "300 600~");
        check("0", "1000^");
        // A fall is believed once it was told three times.
        check("900 400 400 400 400", "900 950! 1000^ 400 400");
        check("900 400 890 400 400 400", "900 950! 890 940! 990! 400");
        // A rise is believed at once.
        check("300 950", "300 950");
    }

    #[test]
    fn what_jumps_up_is_sudden_at_the_first_look_and_never_what_the_model_thinks_likely() {
        let sudden = |readings: &[u64]| {
            let mut gauge = Gauge::default();
            let take = |(second, watts): (i64, &u64)| {
                let at = Micros(second * 1_000_000);
                let reading = Reading { watts: *watts, at };
                gauge.take(at, Some(reading), &MODEL, STALE_US).sudden_watts
            };
            (0..).zip(readings).map(take).collect::<Vec<_>>()
        };
        // Six hundred are likely, fifty may come on top each second.
        assert_eq!(sudden(&[300, 600]), [0, 0]);
        assert_eq!(sudden(&[700, 750, 900, 900]), [100, 0, 100, 0]);
        assert_eq!(sudden(&[300, 950, 650, 950, 1_000]), [0, 350, 0, 250, 0]);
        // What cannot be is taken as the most, and that is sudden too.
        assert_eq!(sudden(&[300, 9_000, 9_000]), [0, 400, 0]);
        // One that is not believed for other reasons says nothing of a jump.
        assert_eq!(sudden(&[900, 99]), [300, 0]);
    }

    #[test]
    fn one_that_falls_with_what_it_measures_is_believed_at_once() {
        let after = |watts, likely_watts| {
            let mut gauge = Gauge::default();
            let model = Modelled {
                likely_watts,
                ..MODEL
            };
            let reading = |watts, second: i64| {
                let at = Micros(second * 1_000_000);
                Some(Reading { watts, at })
            };
            gauge.take(Micros(0), reading(900, 0), &model, STALE_US);
            let now = Micros(1_000_000);
            let believed = gauge.take(now, reading(watts, 1), &model, STALE_US);
            believed.doubt.map(|doubt| doubt.why)
        };
        assert_eq!(after(300, 300), None);
        assert_eq!(after(299, 300), Some(Doubt::Fell));
    }

    #[test]
    fn one_that_does_not_move_while_the_model_does_is_doubted() {
        let mut gauge = Gauge::default();
        let mut take = |second: i64, likely_watts| {
            let now = Micros(second * 1_000_000);
            let model = Modelled {
                likely_watts,
                ..MODEL
            };
            let reading = Reading {
                watts: 500,
                at: now,
            };
            gauge.take(now, Some(reading), &model, STALE_US)
        };
        for second in 0..60 {
            assert!(take(second, 500).measured, "{second}");
        }
        let stuck = take(60, 900);
        let doubt = Some(Doubted {
            why: Doubt::Stuck,
            instead: Instead::Likely,
        });
        assert_eq!((stuck.doubt, stuck.watts), (doubt, 900));
        // It may well stand still where the model does.
        assert!(take(61, 510).measured);
    }
}
