//! A key's rates among several gateways: each holds a part of them, as a lease that ends. Parts are split and moved, never created,
//! and what a part lets through at once moves with it.
//!
//! What all gateways together can let through at once is what their parts have filled up to, and never more than one full minute:
//! whoever gives a part up says how full it was, what nobody holds fills as a bucket does, and of what is not known to be full it is
//! taken that it is empty.

use crate::bank::Holder;
use madang_types::{GatewayId, KeyId, Micros};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// All of a key's rates, in thousandths.
pub const WHOLE_PERMILLE: u32 = 1_000;
/// How long a gateway counts on its part after it asked, in milliseconds.
pub const PART_LEASE_MS: u64 = 600_000;
/// How much longer the books do at least, so that clocks that go at different speeds or are set do no harm, in milliseconds.
const PART_GRACE_MS: u64 = 10_000;
/// How old a lease may be until it is written anew where nothing else changes, in milliseconds.
const RENEW_MS: u64 = 10_000;
/// How long the books count on a lease that has just been written, in milliseconds.
const HELD_MS: u64 = PART_LEASE_MS + PART_GRACE_MS + RENEW_MS;
/// Whoever said nothing for so long gives nothing up before its lease ends, in milliseconds.
const SILENT_MS: u64 = RENEW_MS + 5_000;
/// How long it takes until a part has come that another gateway gives up, in milliseconds: one look of each.
pub const PART_MOVES_MS: u64 = 2_000;
/// In which an empty part fills, in milliseconds.
const FILL_MS: u64 = 60_000;
/// What of a key's rates is divided evenly among those who want it, so that nobody waits for a first request; the rest goes by demand.
const EVEN_PERMILLE: u32 = 250;

/// What a gateway says and asks about one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartAsk {
    /// Whose rates.
    pub key: KeyId,
    /// Its number; each ask of a run has a higher one, and what comes late is not carried out.
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
    /// How long until it holds so much that one request fits, if nothing more is asked of the others, in milliseconds.
    pub comes_ms: u64,
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
    /// Ends leases that are over, and those of runs that are, of which `latest` knows a later one: how full these were nobody knows.
    pub fn end(&mut self, now: Micros, latest: &BTreeMap<GatewayId, u32>) {
        // What was written before the clock was set back lasts no longer than if it had been written now.
        let mut full_at = self.full_at.min(now.plus_ms(FILL_MS));
        self.parts.retain_mut(|part| {
            part.until = part.until.min(now.plus_ms(HELD_MS));
            let runs = latest.get(&part.holder.gateway) == Some(&part.holder.epoch);
            if runs && part.until > now {
                return true;
            }
            if part.permille > 0 {
                full_at = full_at.max(part.until.min(now).plus_ms(FILL_MS));
            }
            false
        });
        self.full_at = full_at;
    }

    /// A run of a gateway gives up what it counts on no longer, and gets what is free of what it should hold. What is over must have
    /// ended before ([`Self::end`]).
    pub fn ask(&mut self, now: Micros, holder: &Holder, ask: &PartAsk) -> PartGrant {
        let at = self.place(holder);
        let Part {
            number,
            permille: held,
            until,
            ..
        } = self.parts[at];
        let mut told = PartGrant {
            key: ask.key.clone(),
            number: ask.number,
            permille: held,
            fill: 0,
            target: held,
            comes_ms: 0,
        };
        let keeps_all = self.parts.len() == 1
            && (held, ask.holds) == (WHOLE_PERMILLE, WHOLE_PERMILLE)
            && ask.demand > 0;
        let is_young = until >= now.plus_ms(HELD_MS - RENEW_MS);
        // What comes twice or late is not done, and while nobody else wants any of it nothing need be written.
        if ask.number <= number || (keeps_all && is_young) {
            return told;
        }
        let holds = ask.holds.min(held);
        self.free(now, held - holds, ask);
        self.parts[at] = Part {
            holder: holder.clone(),
            number: ask.number,
            permille: holds,
            demand: ask.demand,
            until: now.plus_ms(HELD_MS),
        };
        told.target = self.target(holder, ask.least);
        told.permille = holds + self.nobodys().min(told.target.saturating_sub(holds));
        told.fill = self.fill(now);
        self.parts[at].permille = told.permille;
        told.comes_ms = self.comes_ms(now, (at, told.target), ask.least);
        if told.permille == 0 && ask.demand == 0 {
            self.parts.remove(at);
        }
        told
    }

    /// Whether it says no more than nothing would.
    pub fn is_idle(&self, now: Micros) -> bool {
        self.parts.is_empty() && self.full_at <= now
    }

    /// The sum of all parts, in thousandths: never above the whole.
    pub fn held(&self) -> u32 {
        self.parts.iter().map(|part| part.permille).sum()
    }

    /// Where a run's part stands; one that has none gets an empty one.
    fn place(&mut self, holder: &Holder) -> usize {
        let found = self.parts.iter().position(|part| part.holder == *holder);
        found.unwrap_or_else(|| {
            self.parts.push(Part {
                holder: holder.clone(),
                number: 0,
                permille: 0,
                demand: 0,
                until: Micros(0),
            });
            self.parts.len() - 1
        })
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

    /// How long until the part at `at` has grown to its least: the others give up what they have too much of with their next look, and
    /// those of which nothing is heard when their leases end. Whoever is due nothing waits until the others want none.
    fn comes_ms(&self, now: Micros, (at, target): (usize, u32), least: u32) -> u64 {
        let mut has = self.parts[at].permille;
        if has >= least {
            return 0;
        }
        if target == 0 {
            return PART_MOVES_MS + FILL_MS;
        }
        let others = self.parts.iter().enumerate();
        let others = others.filter(|(other, _)| *other != at);
        let comes = |(_, part): (usize, &Part)| {
            let lasts_ms = part.until.since_us(now).div_ceil(1_000);
            let excess = part
                .permille
                .saturating_sub(self.target(&part.holder, least));
            match lasts_ms + SILENT_MS > HELD_MS {
                true => (PART_MOVES_MS, excess),
                false => (lasts_ms, part.permille),
            }
        };
        let mut coming: Vec<(u64, u32)> = others.map(comes).collect();
        coming.sort_unstable();
        let found = coming.into_iter().find(|(_, permille)| {
            has += permille;
            has >= least
        });
        found.map_or(PART_MOVES_MS, |(ms, _)| ms)
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

    /// The parts of a key that lets 60 requests through in a minute, and the latest run of each gateway.
    #[derive(Default)]
    struct Books {
        parts: KeyParts,
        latest: BTreeMap<GatewayId, u32>,
    }

    impl Books {
        fn begin(&mut self, gateway: &str) {
            let gateway = gateway.parse().unwrap();
            *self.latest.entry(gateway).or_default() += 1;
        }

        fn ask_giving(
            &mut self,
            (s, gateway): (u64, &str),
            (number, holds, demand): (u64, u32, u32),
            (gives, fill): (u32, u32),
        ) -> PartGrant {
            let id: GatewayId = gateway.parse().unwrap();
            let epoch = *self.latest.entry(id.clone()).or_insert(1);
            let ask = PartAsk {
                key: KeyId::new("k").unwrap(),
                number,
                holds,
                gives,
                fill,
                demand,
                least: 17,
            };
            self.parts.end(at(s), &self.latest);
            let holder = Holder { gateway: id, epoch };
            let told = self.parts.ask(at(s), &holder, &ask);
            assert!(self.parts.held() <= WHOLE_PERMILLE, "{:?}", self.parts);
            told
        }

        /// Asks at a second; the part, how full what came is, and what it should be.
        fn ask(
            &mut self,
            about: (u64, &str),
            (number, holds, demand): (u64, u32, u32),
        ) -> (u32, u32, u32) {
            let told = self.ask_giving(about, (number, holds, demand), (0, 0));
            (told.permille, told.fill, told.target)
        }
    }

    #[test]
    fn one_holds_all_and_gives_up_what_another_should_have() {
        let mut books = Books::default();
        assert_eq!(books.ask((100, "a"), (1, 0, 30)), (1_000, 1_000, 1_000));
        assert_eq!(books.ask((101, "b"), (1, 0, 10)), (0, 1_000, 312));
        assert_eq!(books.ask((102, "a"), (2, 1_000, 30)), (1_000, 1_000, 687));
        // What it gives up is half full, and fills from then on.
        let told = books.ask_giving((103, "a"), (3, 687, 30), (313, 500));
        assert_eq!((told.permille, told.fill, told.target), (687, 500, 687));
        assert_eq!(books.ask((109, "b"), (2, 0, 10)), (312, 600, 312));
        // Who wants nothing holds nothing; what is free is the other's.
        let told = books.ask_giving((200, "a"), (4, 0, 0), (687, 1_000));
        assert_eq!((told.permille, told.fill, told.target), (0, 1_000, 0));
        assert_eq!(books.ask((200, "b"), (3, 312, 10)), (1_000, 1_000, 1_000));
        books.ask_giving((201, "b"), (4, 0, 0), (1_000, 1_000));
        assert!(books.parts.is_idle(at(201)));
    }

    #[test]
    fn what_is_doubled_lost_or_late_creates_nothing() {
        let mut books = Books::default();
        assert_eq!(books.ask((100, "a"), (2, 0, 30)).0, 1_000);
        // A second time, or late: what it holds, of which nothing is known to be full.
        assert_eq!(books.ask((100, "a"), (2, 0, 30)), (1_000, 0, 1_000));
        assert_eq!(books.ask((100, "a"), (1, 0, 0)), (1_000, 0, 1_000));
        // The answer was lost: what it was to get is free again, and empty.
        assert_eq!(books.ask((100, "a"), (3, 0, 30)), (1_000, 0, 1_000));
        // It does not hold more than the books say, whatever it says.
        assert_eq!(books.ask((160, "b"), (1, 900, 30)).0, 0);
    }

    #[test]
    fn a_lease_ends_by_time_and_with_its_run() {
        let mut books = Books::default();
        assert_eq!(books.ask((0, "a"), (9, 0, 30)).0, 1_000);
        assert_eq!(books.ask((619, "b"), (1, 0, 30)).0, 0);
        assert_eq!(books.ask((620, "b"), (2, 0, 30)), (1_000, 0, 1_000));
        // Its next run begins with nothing and from 1.
        books.begin("b");
        assert_eq!(books.ask((621, "b"), (1, 0, 30)), (1_000, 0, 1_000));
        // Of a run that was given up, or began anew and asked nothing yet, others get what it held.
        books.begin("b");
        assert_eq!(books.ask((651, "a"), (10, 0, 30)), (1_000, 0, 1_000));
        // How full it was when its lease ended nobody knows; since then it fills.
        assert_eq!(books.ask((1_301, "b"), (1, 0, 30)), (1_000, 500, 1_000));
    }

    #[test]
    fn a_clock_that_is_set_back_holds_up_nobody() {
        let mut books = Books::default();
        assert_eq!(books.ask((50_000, "a"), (1, 0, 30)).0, 1_000);
        assert_eq!(books.ask((100, "b"), (1, 0, 30)).0, 0);
        assert_eq!(books.ask((720, "b"), (2, 0, 30)).0, 1_000);
        books.ask((50_000, "b"), (3, 0, 0));
        assert_eq!(books.ask((100, "a"), (2, 0, 30)), (1_000, 0, 1_000));
    }

    #[test]
    fn who_is_alone_writes_only_to_renew_its_lease() {
        let mut books = Books::default();
        books.ask((100, "a"), (1, 0, 30));
        let written = books.parts.clone();
        for number in 2..=12 {
            let told = books.ask((98 + number, "a"), (number, 1_000, 40));
            assert_eq!(told, (1_000, 0, 1_000));
            assert!(books.parts == written, "{number}");
        }
        books.ask((111, "a"), (13, 1_000, 40));
        assert!(books.parts != written);
        books.ask((112, "b"), (1, 0, 40));
        let written = books.parts.clone();
        books.ask((113, "a"), (14, 1_000, 40));
        assert!(books.parts != written);
    }

    #[test]
    fn whoever_has_no_part_is_told_when_it_comes() {
        let mut books = Books::default();
        let comes_ms = |books: &mut Books, (s, number): (u64, u64)| {
            books.ask_giving((s, "b"), (number, 0, 30), (0, 0)).comes_ms
        };
        assert_eq!(comes_ms(&mut books, (0, 1)), 0);
        books.begin("b");
        books.ask((100, "a"), (1, 0, 30));
        // One that was heard of gives it up with its next look, one that is silent when its lease ends.
        assert_eq!(comes_ms(&mut books, (101, 1)), PART_MOVES_MS);
        assert_eq!(comes_ms(&mut books, (114, 2)), PART_MOVES_MS);
        assert_eq!(comes_ms(&mut books, (115, 3)), 605_000);
        assert_eq!(comes_ms(&mut books, (719, 4)), 1_000);
        assert_eq!(comes_ms(&mut books, (720, 5)), 0);
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
