//! A key's rates among several gateways: each holds a part of them, as a lease that ends. Parts are split and moved, never created,
//! and what a part lets through at once moves with it.
//!
//! What all gateways together can let through at once is what their parts have filled up to, and never more than one full minute:
//! whoever gives a part up says how full it was, what nobody holds fills as a bucket does, and of what is not known to be full it is
//! taken that it is empty.

use crate::bank::Holder;
use madang_types::{KeyId, Micros};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;

/// All of a key's rates, in thousandths.
pub const WHOLE_PERMILLE: u32 = 1_000;
/// How long a gateway counts on its part after it asked, in milliseconds.
pub const PART_LEASE_MS: u64 = 600_000;
/// How much longer the books do, so that clocks that go at different speeds do no harm, in milliseconds.
const PART_GRACE_MS: u64 = 10_000;
/// In which an empty part fills, in milliseconds.
const FILL_MS: u64 = 60_000;
/// What of a key's rates is divided evenly among those who want it, so that nobody waits for a first request; the rest goes by demand.
const EVEN_PERMILLE: u32 = 250;

/// What a gateway says and asks about one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartAsk {
    /// Whose rates.
    pub key: KeyId,
    /// Its number; each ask has a higher one, and what comes late is not carried out.
    pub number: u64,
    /// What the gateway counts on, in thousandths.
    pub holds: u32,
    /// What it has just given up, in thousandths.
    pub gives: u32,
    /// How full that was, in thousandths.
    pub fill: u32,
    /// How much was asked of it lately; zero for nothing, and then it wants no part.
    pub demand: u32,
    /// The part below which not one request fits, in thousandths.
    pub least: u32,
}

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartGrant {
    /// Whose rates.
    pub key: KeyId,
    /// The number of the ask.
    pub number: u64,
    /// What the gateway holds now, in thousandths.
    pub permille: u32,
    /// How full that is which it did not hold before, in thousandths.
    pub fill: u32,
    /// What it should hold, in thousandths: it gives up what is above.
    pub target: u32,
}

/// Who holds which part of a key's rates. None at all is a key that nobody asked for within a minute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyParts {
    parts: Vec<Part>,
    /// When that is full which nobody holds.
    full_at: Micros,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    holder: Holder,
    number: u64,
    permille: u32,
    demand: u32,
    until: Micros,
}

impl KeyParts {
    /// A gateway gives up what it counts on no longer, and gets what is free of what it should hold.
    pub fn ask(&mut self, now: Micros, holder: &Holder, ask: &PartAsk) -> PartGrant {
        self.end(now, holder);
        let is_mine = |part: &Part| part.holder.gateway == holder.gateway;
        let at = self.parts.iter().position(is_mine);
        let known = at.map(|at| &self.parts[at]);
        let told = |permille, fill, target| PartGrant {
            key: ask.key.clone(),
            number: ask.number,
            permille,
            fill,
            target,
        };
        // Of a run that is over, or an ask that came before: nothing is done a second time.
        match known {
            Some(part) if part.holder.epoch > holder.epoch => return told(0, 0, 0),
            Some(part) if part.number >= ask.number => {
                return told(part.permille, 0, part.permille);
            }
            _ => {}
        }
        let held = known.map_or(0, |part| part.permille);
        let holds = ask.holds.min(held);
        self.free(now, held - holds, ask);
        let mine = Part {
            holder: holder.clone(),
            number: ask.number,
            permille: holds,
            demand: ask.demand,
            until: now.plus_ms(PART_LEASE_MS + PART_GRACE_MS),
        };
        self.parts.retain(|part| !is_mine(part));
        self.parts.push(mine);
        let target = self.target(holder, ask.least);
        let granted = self.nobodys().min(target.saturating_sub(holds));
        let permille = holds + granted;
        match self.parts.last_mut() {
            Some(mine) if permille > 0 || ask.demand > 0 => mine.permille = permille,
            _ => drop(self.parts.pop()),
        }
        told(permille, self.fill(now), target)
    }

    /// Whether it says no more than nothing would.
    pub fn is_idle(&self, now: Micros) -> bool {
        let over = |part: &Part| part.until.plus_ms(FILL_MS) <= now;
        self.full_at <= now && self.parts.iter().all(over)
    }

    /// The sum of all parts, in thousandths: never above the whole.
    pub fn held(&self) -> u32 {
        self.parts.iter().map(|part| part.permille).sum()
    }

    /// Ends leases that are over, and those of earlier runs of a gateway: how full these were nobody knows.
    fn end(&mut self, now: Micros, holder: &Holder) {
        let mut full_at = self.full_at;
        self.parts.retain(|part| {
            let by = &part.holder;
            let ended_at = if part.until <= now {
                part.until
            } else if by.gateway == holder.gateway && by.epoch < holder.epoch {
                now
            } else {
                return true;
            };
            full_at = full_at.max(ended_at.plus_ms(FILL_MS));
            false
        });
        self.full_at = full_at;
    }

    /// So much is nobody's from now on. Where it is not what the gateway says that it gave up, an answer or an ask was lost.
    fn free(&mut self, now: Micros, freed: u32, ask: &PartAsk) {
        if freed == 0 {
            return;
        }
        let known = freed == ask.gives;
        let fill = if known { ask.fill } else { 0 };
        let lacks = u64::from(WHOLE_PERMILLE.saturating_sub(fill));
        let full_at = now.plus_ms(lacks * FILL_MS / u64::from(WHOLE_PERMILLE));
        self.full_at = self.full_at.max(full_at);
    }

    fn nobodys(&self) -> u32 {
        WHOLE_PERMILLE.saturating_sub(self.held())
    }

    /// How full that is which nobody holds.
    fn fill(&self, now: Micros) -> u32 {
        let lacks_ms = self.full_at.since_us(now).div_ceil(1_000);
        let lacks = (lacks_ms * u64::from(WHOLE_PERMILLE)).div_ceil(FILL_MS);
        WHOLE_PERMILLE.saturating_sub(u32::try_from(lacks).unwrap_or(WHOLE_PERMILLE))
    }

    /// What a gateway should hold: evenly a part of some of it, the rest by demand. Where so many want it that not one request would
    /// fit into each part, whoever holds most has it.
    fn target(&self, holder: &Holder, least: u32) -> u32 {
        let least = least.clamp(1, WHOLE_PERMILLE);
        let wants = |part: &&Part| part.demand > 0;
        let mut wanting: Vec<&Part> = self.parts.iter().filter(wants).collect();
        wanting.sort_by_key(|part| (Reverse(part.permille), &part.holder));
        wanting.truncate((WHOLE_PERMILLE / least) as usize);
        let is_mine = |part: &&&Part| part.holder == *holder;
        let Some(mine) = wanting.iter().find(is_mine) else {
            return 0;
        };
        let count = u32::try_from(wanting.len()).unwrap_or(u32::MAX);
        let even = (EVEN_PERMILLE / count).max(least);
        let rest = WHOLE_PERMILLE.saturating_sub(even.saturating_mul(count));
        let demand: u64 = wanting.iter().map(|part| u64::from(part.demand)).sum();
        let by_demand = u64::from(rest) * u64::from(mine.demand) / demand;
        even + u32::try_from(by_demand).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(gateway: &str, epoch: u32) -> Holder {
        let gateway = gateway.parse().unwrap();
        Holder { gateway, epoch }
    }

    fn at(s: u64) -> Micros {
        Micros(0).plus_ms(s * 1_000)
    }

    /// Asks at a second; the part, how full what came is, and what it should be.
    fn ask(
        parts: &mut KeyParts,
        (s, gateway): (u64, (&str, u32)),
        (number, holds, demand): (u64, u32, u32),
    ) -> (u32, u32, u32) {
        ask_giving(parts, (s, gateway), (number, holds, demand), (0, 0))
    }

    fn ask_giving(
        parts: &mut KeyParts,
        (s, (gateway, epoch)): (u64, (&str, u32)),
        (number, holds, demand): (u64, u32, u32),
        (gives, fill): (u32, u32),
    ) -> (u32, u32, u32) {
        let ask = PartAsk {
            key: KeyId::new("k").unwrap(),
            number,
            holds,
            gives,
            fill,
            demand,
            least: 17,
        };
        let told = parts.ask(at(s), &holder(gateway, epoch), &ask);
        assert!(parts.held() <= WHOLE_PERMILLE, "{parts:?}");
        (told.permille, told.fill, told.target)
    }

    #[test]
    fn one_holds_all_and_gives_up_what_another_should_have() {
        let mut parts = KeyParts::default();
        let (a, b) = (("gw-a", 1), ("gw-b", 1));
        assert_eq!(ask(&mut parts, (100, a), (1, 0, 30)), (1_000, 1_000, 1_000));
        assert_eq!(ask(&mut parts, (101, b), (1, 0, 10)), (0, 1_000, 312));
        assert_eq!(
            ask(&mut parts, (102, a), (2, 1_000, 30)),
            (1_000, 1_000, 687)
        );
        // What it gives up is half full, and fills from then on.
        let told = ask_giving(&mut parts, (103, a), (3, 687, 30), (313, 500));
        assert_eq!(told, (687, 500, 687));
        assert_eq!(ask(&mut parts, (109, b), (2, 0, 10)), (312, 600, 312));
        // Who wants nothing holds nothing; what is free is the other's.
        let told = ask_giving(&mut parts, (200, a), (4, 0, 0), (687, 1_000));
        assert_eq!(told, (0, 1_000, 0));
        assert_eq!(
            ask(&mut parts, (200, b), (3, 312, 10)),
            (1_000, 1_000, 1_000)
        );
        ask_giving(&mut parts, (201, b), (4, 0, 0), (1_000, 1_000));
        assert!(parts.is_idle(at(201)));
    }

    #[test]
    fn what_is_doubled_lost_or_late_creates_nothing() {
        let mut parts = KeyParts::default();
        let a = ("gw-a", 1);
        assert_eq!(ask(&mut parts, (100, a), (2, 0, 30)).0, 1_000);
        // A second time: what it holds, of which nothing is known to be full.
        assert_eq!(ask(&mut parts, (100, a), (2, 0, 30)), (1_000, 0, 1_000));
        assert_eq!(ask(&mut parts, (100, a), (1, 0, 0)), (1_000, 0, 1_000));
        // The answer was lost: what it was to get is free again, and empty.
        assert_eq!(ask(&mut parts, (100, a), (3, 0, 30)), (1_000, 0, 1_000));
        // It does not hold more than the books say, whatever it says.
        assert_eq!(ask(&mut parts, (160, ("gw-b", 1)), (1, 900, 30)).0, 0);
    }

    #[test]
    fn a_lease_ends_by_time_and_with_its_run() {
        let mut parts = KeyParts::default();
        let b = ("gw-b", 1);
        assert_eq!(ask(&mut parts, (0, ("gw-a", 1)), (9, 0, 30)).0, 1_000);
        assert_eq!(ask(&mut parts, (609, b), (1, 0, 30)).0, 0);
        assert_eq!(ask(&mut parts, (610, b), (2, 0, 30)), (1_000, 0, 1_000));
        // Its next run begins with nothing and from 1, and takes nothing back that was not its own.
        assert_eq!(
            ask(&mut parts, (611, ("gw-b", 2)), (1, 0, 30)),
            (1_000, 0, 1_000)
        );
        assert_eq!(ask(&mut parts, (612, b), (3, 1_000, 30)), (0, 0, 0));
        assert_eq!(
            ask(&mut parts, (1_251, ("gw-a", 2)), (1, 0, 30)),
            (1_000, 500, 1_000)
        );
    }

    #[test]
    fn no_part_is_too_small_for_one_request() {
        let check = |least: u32, gateways: &[(u32, u32)], expected: &[u32]| {
            let names = ["gw-a", "gw-b", "gw-c", "gw-d"];
            let part = |(name, (permille, demand)): (&&str, &(u32, u32))| Part {
                holder: holder(name, 1),
                number: 1,
                permille: *permille,
                demand: *demand,
                until: at(9),
            };
            let parts = KeyParts {
                parts: names.iter().zip(gateways).map(part).collect(),
                full_at: at(0),
            };
            let found: Vec<u32> = parts
                .parts
                .iter()
                .map(|part| parts.target(&part.holder, least))
                .collect();
            assert_eq!(found, expected, "{least} {gateways:?}");
        };
        check(1, &[(0, 5)], &[1_000]);
        check(1, &[(0, 5), (0, 5)], &[500, 500]);
        check(1, &[(0, 30), (9, 10), (0, 0)], &[687, 312, 0]);
        check(334, &[(0, 9), (1, 1), (0, 1)], &[632, 367, 0]);
        check(1_000, &[(400, 1), (600, 1)], &[0, 1_000]);
        check(250, &[(0, 1), (0, 9), (0, 9), (1, 1)], &[250; 4]);
    }
}
