//! What waits in suspense: of whom, since when, and what pays for what its gateway reports late.
//!
//! The account of a purse's suspense holds the parts of all gateways that were given up. Whatever leaves it passes through the account
//! of the run that held it, so that the entries say whose part it is taken from.

use crate::account::{Account, Purse};
use crate::bank::Holder;
use crate::entry::{Entry, EntryId, Leg, Phase, Subject};
use crate::rules::Fault;
use madang_types::{GatewayId, Micros, TenantId, Unit};
use std::collections::{BTreeMap, BTreeSet};

/// How long ago a gateway must have been given up before what waits of it is released, in milliseconds: long after the longest that one
/// that is cut off spends from what it holds, and than any request takes, so that only what lies on its disk can still come.
pub const RELEASE_AFTER_MS: u64 = 3_600_000;

/// The part of a purse that one run held when it was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspended {
    /// In what it is counted.
    pub unit: Unit,
    /// What of it still waits.
    pub left: i64,
    /// When its gateway was given up.
    pub since: Micros,
}

/// Of a purse the parts in suspense, by the run that held them, as the entries say that name the account of its suspense. Of one that
/// was released nothing waits.
pub fn suspended<'a>(
    purse: &Purse,
    entries: impl IntoIterator<Item = &'a Entry>,
) -> BTreeMap<Holder, Suspended> {
    let suspense = Account::Suspense(purse.clone());
    let mut parts = BTreeMap::<Holder, Suspended>::new();
    let mut written = BTreeSet::new();
    for entry in entries {
        written.insert(entry.id);
        for leg in &entry.legs {
            let (run, amount) = match (&leg.from, &leg.to) {
                (run, to) if *to == suspense => (run, leg.amount),
                (from, run) if *from == suspense => (run, -leg.amount),
                _ => continue,
            };
            let Some((holder, _)) = Holder::of(run) else {
                continue;
            };
            let part = parts.entry(holder).or_insert(Suspended {
                unit: leg.unit,
                left: 0,
                since: Micros(i64::MIN),
            });
            part.left += amount;
            if amount > 0 {
                part.since = part.since.max(entry.at);
            }
        }
    }
    for (holder, part) in &mut parts {
        if written.contains(&holder.release_id(purse)) {
            part.left = 0;
        }
    }
    parts
}

/// Why what waits of a gateway since then may not be released at `at`, if so.
///
/// # Errors
/// The words for whoever asked.
pub fn check_release(gateway: &GatewayId, since: Micros, at: Micros) -> Result<(), String> {
    let from = since.plus_ms(RELEASE_AFTER_MS);
    if from <= at {
        return Ok(());
    }
    let minutes = from.0.saturating_sub(at.0) / 60_000_000 + 1;
    Err(format!(
        "the gateway '{gateway}' was given up less than {} min ago, and may still report what it spent: try again in {minutes} min",
        RELEASE_AFTER_MS / 60_000
    ))
}

impl Holder {
    /// The id of what releases its part of a purse: where an entry of that id stands, nothing of it waits any more.
    pub fn release_id(&self, purse: &Purse) -> EntryId {
        let what = format!("release:{}:{}:{purse}", self.gateway, self.epoch);
        EntryId::named(&what)
    }

    /// Gives back to a purse what waits in suspense of its part.
    pub fn release(&self, at: Micros, purse: &Purse, (unit, amount): (Unit, i64)) -> Entry {
        let leg = |from, to| Leg {
            unit,
            amount,
            from,
            to,
        };
        let lease = self.lease(purse);
        Entry {
            id: self.release_id(purse),
            phase: Phase::Direct,
            at,
            subject: Subject::Lease,
            legs: vec![
                leg(Account::Suspense(purse.clone()), lease.clone()),
                leg(lease, Account::Purse(purse.clone())),
            ],
        }
    }
}

/// What an entry lacks in the account of a run: of one that was given up, perhaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// Whose account.
    pub holder: Holder,
    /// A part of what.
    pub purse: Purse,
    /// Of what unit.
    pub unit: Unit,
    /// How much.
    pub amount: i64,
}

impl Lacking {
    /// What an entry lacks that was refused.
    pub fn of(fault: &Fault) -> Option<Self> {
        let Fault::Short {
            account,
            unit,
            lacks,
            ..
        } = fault
        else {
            return None;
        };
        let (holder, purse) = Holder::of(account)?;
        Some(Self {
            holder,
            purse,
            unit: *unit,
            amount: *lacks,
        })
    }

    /// The entry with what it lacks: so much of it from suspense as waits there, and the rest `tenant` owes. What a ceiling lacks beyond
    /// that comes from outside, as the same won are paid from elsewhere: the entry says it, and the limit is passed by so much.
    pub fn cover(&self, mut entry: Entry, waits: i64, tenant: &TenantId) -> Entry {
        let lease = self.holder.lease(&self.purse);
        let paid = self.amount.min(waits).max(0);
        let mut owed = self.amount - paid;
        let mut more = Vec::new();
        let mut add = |amount: i64, from: Account, to: Account| {
            let unit = self.unit;
            more.push(Leg {
                unit,
                amount,
                from,
                to,
            });
        };
        if paid > 0 {
            add(paid, Account::Suspense(self.purse.clone()), lease.clone());
        }
        if owed > 0 && matches!(self.purse, Purse::Ceiling(_)) {
            add(owed, Account::World, lease.clone());
            owed = 0;
        }
        let is_its = |leg: &&mut Leg| leg.from == lease && leg.unit == self.unit;
        for leg in entry.legs.iter_mut().filter(is_its) {
            let amount = owed.min(leg.amount);
            leg.amount -= amount;
            owed -= amount;
            if amount > 0 {
                add(amount, Account::Tenant(tenant.clone()), leg.to.clone());
            }
        }
        entry.legs.retain(|leg| leg.amount > 0);
        entry.legs.append(&mut more);
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRANT: &str = "allocation:hanbit-2026";
    const CEILING: &str = "ceiling:key.k1";

    fn holder(epoch: u32) -> Holder {
        let gateway = "gw-1".parse().unwrap();
        Holder { gateway, epoch }
    }

    fn leg(amount: i64, from: &str, to: &str) -> Leg {
        Leg {
            unit: Unit::MicroWon,
            amount,
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
        }
    }

    fn request(legs: &[(i64, &str, &str)]) -> Entry {
        let legs = legs.iter().map(|(amount, from, to)| leg(*amount, from, to));
        Entry {
            id: EntryId(7),
            phase: Phase::Direct,
            at: Micros(5),
            subject: Subject::Lease,
            legs: legs.collect(),
        }
    }

    /// A request that took 40 of a purse by way of `legs`, where so much of its run's part `waits`.
    #[track_caller]
    fn check(purse: &str, waits: i64, legs: &[(i64, &str, &str)], expected: &[(i64, &str, &str)]) {
        let lacking = Lacking {
            holder: holder(1),
            purse: purse.parse().unwrap(),
            unit: Unit::MicroWon,
            amount: 40,
        };
        let covered = lacking.cover(request(legs), waits, &"hanbit".parse().unwrap());
        assert_eq!(covered, request(expected), "{waits} wait");
    }

    #[test]
    fn what_comes_late_is_paid_from_suspense_and_the_rest_is_owed() {
        let lease = "lease:gw-1:1:allocation:hanbit-2026";
        let waits = "suspense:allocation:hanbit-2026";
        let (site, tenant) = ("site:pohang", "tenant:hanbit");
        let late = [(40, lease, site)];
        check(GRANT, 90, &late, &[(40, lease, site), (40, waits, lease)]);
        let both = [(15, lease, site), (15, waits, lease), (25, tenant, site)];
        check(GRANT, 15, &late, &both);
        check(GRANT, 0, &late, &[(40, tenant, site)]);
        check(GRANT, -1, &late, &[(40, tenant, site)]);
        // Under a ceiling the same won are only counted.
        let lease = "lease:gw-1:1:ceiling:key.k1";
        let late = [(40, lease, "world"), (40, tenant, site)];
        let waits = (10, "suspense:ceiling:key.k1", lease);
        let beyond = [waits, (30, "world", lease)];
        check(CEILING, 10, &late, &[&late[..], &beyond].concat());
        check(
            CEILING,
            0,
            &late,
            &[&late[..], &[(40, "world", lease)]].concat(),
        );
    }

    #[test]
    fn of_what_waits_it_is_known_whose_it_is() {
        let purse: Purse = GRANT.parse().unwrap();
        let given_up = |epoch, at, amount| {
            let held = (Unit::MicroWon, amount);
            holder(epoch).give_up(Micros(at), &purse, held)
        };
        let lacking = Lacking {
            holder: holder(1),
            purse: purse.clone(),
            unit: Unit::MicroWon,
            amount: 40,
        };
        let lease = "lease:gw-1:1:allocation:hanbit-2026";
        let late = request(&[(40, lease, "site:pohang")]);
        let entries = [
            given_up(1, 10, 100),
            given_up(2, 20, 60),
            lacking.cover(late, 160, &"hanbit".parse().unwrap()),
            holder(2).release(Micros(30), &purse, (Unit::MicroWon, 60)),
        ];
        let parts = suspended(&purse, &entries);
        let part = |epoch| {
            let part: &Suspended = &parts[&holder(epoch)];
            (part.left, part.since.0)
        };
        assert_eq!((parts.len(), part(1), part(2)), (2, (60, 10), (0, 20)));
    }

    #[test]
    fn what_was_released_in_part_is_not_released_again() {
        let purse: Purse = GRANT.parse().unwrap();
        // Less was there than was given up: an entry of an earlier version took it and does not say whose it was.
        let entries = [
            holder(1).give_up(Micros(10), &purse, (Unit::MicroWon, 100)),
            holder(1).release(Micros(20), &purse, (Unit::MicroWon, 70)),
        ];
        let left = |count| suspended(&purse, &entries[..count])[&holder(1)].left;
        assert_eq!((left(1), left(2)), (100, 0));
    }

    #[test]
    fn what_was_given_up_just_now_is_not_released() {
        let gateway: GatewayId = "gw-1".parse().unwrap();
        let check = |at_ms: u64, expected: Option<&str>| {
            let why = check_release(&gateway, Micros(0), Micros(0).plus_ms(at_ms)).err();
            let told =
                expected.is_some_and(|text| why.as_ref().is_some_and(|why| why.contains(text)));
            assert!(
                told || (why.is_none() && expected.is_none()),
                "{at_ms}: {why:?}"
            );
        };
        check(1, Some("try again in 60 min"));
        check(RELEASE_AFTER_MS - 1, Some("try again in 1 min"));
        check(RELEASE_AFTER_MS, None);
        let early = check_release(&gateway, Micros(9), Micros(8));
        assert!(early.is_err(), "a clock that jumped back");
    }
}
