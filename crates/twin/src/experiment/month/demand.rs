//! Who wants how much when.

use crate::random::Random;
use madang_core::{Shares, TenantShare};
use madang_types::{NameError, ProgrammeId, TenantId};

/// Programmes and their weights.
pub(super) const PROGRAMMES: [(&str, u32); 3] = [("research", 4), ("public", 2), ("startups", 1)];

/// Minutes of an hour and a day.
const HOUR: u64 = 60;
const DAY: u64 = 24 * HOUR;
/// What a tenant wants differs from minute to minute by up to this part.
const SPREAD: f64 = 0.2;

/// One tenant: while it wants something, it wants `level` times its share of everything.
#[derive(Debug)]
pub(super) struct Wish {
    pub name: &'static str,
    /// Index in [`PROGRAMMES`].
    pub programme: usize,
    pub when: When,
    pub level: f64,
    /// Its work waits for so many hours; 0: what is not served in its minute is not wanted later.
    pub waits_h: u32,
    pub words: &'static str,
}

/// When a tenant wants something.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    Always,
    /// Between two hours of the day, the second may be after midnight; on five days a week only.
    Hours(u64, u64, bool),
    /// From a day on.
    From(u64),
    /// Between two hours of one day.
    Once(u64, u64, u64),
    /// At random: for so many hours on average, then nothing for so many.
    Bursts(f64, f64),
}

#[rustfmt::skip]
pub(super) const TENANTS: [Wish; 9] = [
    Wish { name: "climate", programme: 0, when: When::Always, level: 4.0, waits_h: 6, words: "4 × its share, always" },
    Wish { name: "genome", programme: 0, when: When::Hours(20, 32, false), level: 1.8, waits_h: 6, words: "1.8 ×, by night" },
    Wish { name: "physics", programme: 0, when: When::Bursts(4.0, 20.0), level: 2.5, waits_h: 6, words: "2.5 ×, in bursts" },
    Wish { name: "tax", programme: 1, when: When::Hours(9, 18, true), level: 2.5, waits_h: 0, words: "2.5 ×, in office hours" },
    Wish { name: "health", programme: 1, when: When::Always, level: 0.9, waits_h: 0, words: "0.9 ×, always" },
    Wish { name: "archive", programme: 1, when: When::From(14), level: 1.5, waits_h: 6, words: "1.5 ×, from day 15 on" },
    Wish { name: "chat", programme: 2, when: When::Hours(18, 24, false), level: 3.0, waits_h: 0, words: "3 ×, in the evening" },
    Wish { name: "labs", programme: 2, when: When::Bursts(2.0, 22.0), level: 3.5, waits_h: 0, words: "3.5 ×, in bursts" },
    Wish { name: "demo", programme: 2, when: When::Once(21, 9, 21), level: 3.5, waits_h: 0, words: "3.5 ×, on day 22 alone" },
];

/// The tenants' weights: those of a programme weigh the same.
pub(super) fn shares() -> Result<Shares, NameError> {
    let mut shares = Shares::default();
    for (name, weight) in PROGRAMMES {
        shares.programmes.push((ProgrammeId::new(name)?, weight));
    }
    for wish in &TENANTS {
        shares.tenants.push(TenantShare {
            tenant: TenantId::new(wish.name)?,
            programme: Some(ProgrammeId::new(PROGRAMMES[wish.programme].0)?),
            weight: 1,
        });
    }
    Ok(shares)
}

/// What one tenant wants, minute by minute, in times its share.
pub(super) struct Demand {
    wish: &'static Wish,
    random: Random,
    /// A burst is under way, until then.
    burst: (bool, u64),
}

impl Demand {
    pub fn new(seed: u64, number: u64, wish: &'static Wish) -> Self {
        Self {
            wish,
            random: Random::new(seed, 300 + number),
            burst: (true, 0),
        }
    }

    /// In the next minute, which is this one of the month.
    pub fn next(&mut self, minute: u64) -> f64 {
        let (day, hour) = (minute / DAY, minute % DAY / HOUR);
        let wants = match self.wish.when {
            When::Always => true,
            When::Hours(from, until, week) => {
                let within = (from..until).contains(&hour) || (from..until).contains(&(hour + 24));
                within && !(week && day % 7 >= 5)
            }
            When::From(first) => day >= first,
            When::Once(only, from, until) => day == only && (from..until).contains(&hour),
            When::Bursts(on, off) => self.bursts(minute, (on, off)),
        };
        let spread = 1.0 + SPREAD * (2.0 * self.random.unit() - 1.0);
        if wants { self.wish.level * spread } else { 0.0 }
    }

    fn bursts(&mut self, minute: u64, (on, off): (f64, f64)) -> bool {
        while minute >= self.burst.1 {
            let now_on = !self.burst.0;
            let mean_h = if now_on { on } else { off };
            let minute_ns = 60_000_000_000;
            let length = self.random.gap_ns(1.0 / (mean_h * 3_600.0)) / minute_ns + 1;
            self.burst = (now_on, self.burst.1 + length);
        }
        self.burst.0
    }
}
