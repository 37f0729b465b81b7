//! Rights that move between a purse and a gateway: how many, and the entries by which they do.
//!
//! A gateway that is cut off goes on spending what it holds, so nobody else may: what was moved to it is its own until it has moved it
//! back, or is given up. What a gateway held that was given up is neither free nor spent: it waits in suspense for what that gateway
//! may still report.

use crate::account::{Account, Purse};
use crate::entry::{Entry, EntryId, Leg, Phase, Subject};
use madang_types::{GatewayId, Micros, Unit};
use serde::{Deserialize, Serialize};

/// One run of a gateway.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Holder {
    /// Which gateway.
    pub gateway: GatewayId,
    /// Which run of it.
    pub epoch: u32,
}

/// What a gateway asks of the bank about one purse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its number, from 1; one whose answer did not come is asked again under the same one, and a later one only after that is
    /// answered.
    pub number: u64,
    /// Of which purse.
    pub purse: Purse,
    /// In what that is counted.
    pub unit: Unit,
    /// What.
    pub kind: OrderKind,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderKind {
    /// Move rights to the gateway.
    Take {
        /// So much would be good.
        want: i64,
        /// So much a request lacks that waits.
        need: i64,
    },
    /// Take them back: the gateway counts them no longer.
    Return {
        /// So much.
        amount: i64,
    },
}

/// The last order of a run about a purse, and what it moved to the gateway. An order that moved nothing leaves no entry, and yet must
/// not be carried out when it comes a second time: nobody waits for it any more, and what it moved then would be lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastOrder {
    /// Its number.
    pub number: u64,
    /// Above zero: to the gateway; below: back.
    pub moved: i64,
}

impl OrderKind {
    /// What an order moves to the gateway, of a purse that has so much available, where so many gateways share it.
    pub fn moves(self, available: i64, gateways: u32) -> i64 {
        match self {
            Self::Take { want, need } => grant_size(available, (want, need), gateways),
            Self::Return { amount } => -amount,
        }
    }
}

/// What of a purse goes to a gateway that asks: what it wants, where that leaves every other one as much; all that a request of its
/// lacks, where that is there; and an even part else.
fn grant_size(available: i64, (want, need): (i64, i64), gateways: u32) -> i64 {
    let even = available / i64::from(gateways.max(1));
    want.min(even).max(need).min(available).max(0)
}

impl EntryId {
    /// The id of what has a name: the same whenever it is worked out.
    pub fn named(name: &str) -> Self {
        Self(fnv_1a(name.as_bytes()))
    }
}

impl Holder {
    /// Its account of a purse.
    pub fn lease(&self, of: &Purse) -> Account {
        Account::Lease {
            gateway: self.gateway.clone(),
            epoch: self.epoch,
            of: of.clone(),
        }
    }

    /// The id of what its order of that number moves: the same whenever it is asked again.
    pub fn order_id(&self, number: u64) -> EntryId {
        EntryId::named(&format!("order:{}:{}:{number}", self.gateway, self.epoch))
    }

    /// Moves rights to it (`amount` above zero) or back from it.
    pub fn moves(
        &self,
        (id, at): (EntryId, Micros),
        purse: &Purse,
        (unit, amount): (Unit, i64),
    ) -> Entry {
        let (from, to) = (Account::Purse(purse.clone()), self.lease(purse));
        let (from, to) = if amount < 0 { (to, from) } else { (from, to) };
        entry((id, at), (unit, amount.saturating_abs()), (from, to))
    }

    /// Takes back what a run had left of a purse that is over and has reported everything.
    pub fn close(&self, at: Micros, purse: &Purse, left: (Unit, i64)) -> Entry {
        let what = format!("close:{}:{}:{purse}", self.gateway, self.epoch);
        let to = Account::Purse(purse.clone());
        entry((EntryId::named(&what), at), left, (self.lease(purse), to))
    }

    /// Puts what it held of a purse in suspense.
    pub fn give_up(&self, at: Micros, purse: &Purse, held: (Unit, i64)) -> Entry {
        let to = Account::Suspense(purse.clone());
        let id = self.suspense_id(purse);
        entry((id, at), held, (self.lease(purse), to))
    }

    /// The id of what puts in suspense what it held of a purse: where an entry of that id stands, it was given up.
    pub fn suspense_id(&self, purse: &Purse) -> EntryId {
        let what = format!("suspense:{}:{}:{purse}", self.gateway, self.epoch);
        EntryId::named(&what)
    }

    /// Whose account this is, and of which purse, where it is a part that a run holds.
    pub(crate) fn of(account: &Account) -> Option<(Self, Purse)> {
        let Account::Lease { gateway, epoch, of } = account else {
            return None;
        };
        let holder = Self {
            gateway: gateway.clone(),
            epoch: *epoch,
        };
        Some((holder, of.clone()))
    }
}

fn entry(
    (id, at): (EntryId, Micros),
    (unit, amount): (Unit, i64),
    (from, to): (Account, Account),
) -> Entry {
    let leg = Leg {
        unit,
        amount,
        from,
        to,
    };
    Entry {
        id,
        phase: Phase::Direct,
        at,
        subject: Subject::Lease,
        legs: vec![leg],
    }
}

/// FNV-1a of 128 bits (Fowler, Noll, Vo): ids that anybody can work out again. Names are the operators' own, so nobody is served by
/// a collision.
fn fnv_1a(bytes: &[u8]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let step = |hash: u128, byte: &u8| (hash ^ u128::from(*byte)).wrapping_mul(PRIME);
    bytes.iter().fold(OFFSET, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_what_is_wanted_and_leaves_the_others_theirs() {
        let check = |available, asked, gateways, expected| {
            assert_eq!(
                grant_size(available, asked, gateways),
                expected,
                "{available} {asked:?}"
            );
        };
        check(1_000, (100, 0), 1, 100);
        check(1_000, (5_000, 0), 1, 1_000);
        check(1_000, (5_000, 0), 4, 250);
        check(1_000, (5_000, 600), 4, 600);
        check(1_000, (5_000, 5_000), 4, 1_000);
        check(0, (10, 10), 4, 0);
        check(-5, (10, 10), 0, 0);
    }

    #[test]
    fn the_hash_is_the_published_one() {
        // From the test vectors of draft-eastlake-fnv.
        assert_eq!(fnv_1a(b""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(fnv_1a(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }
}
