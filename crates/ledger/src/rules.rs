//! Whether an entry may be written, and what it changes.

use crate::{Account, Balance, Entry, EntryError, Leg, Phase};
use madang_types::Unit;

/// One balance as an entry leaves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whose.
    pub account: Account,
    /// Of what.
    pub unit: Unit,
    /// From now on.
    pub balance: Balance,
}

/// What an entry does that may be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is new, and these balances change; each stands here once.
    New(Vec<Change>),
    /// It stands in the books already, word for word: nothing is to be done.
    Repeated,
}

/// Why an entry may not be written. Nothing of it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is not well formed.
    #[error(transparent)]
    Shape(#[from] EntryError),
    /// Its id and phase stand in the books with other content.
    #[error("a {0} with this id was written before and says something else; an id is used once")]
    Conflict(Phase),
    /// Its id is that of another entry, which it cannot follow.
    #[error("the id belongs to a {0} already; an entry that begins needs an id of its own")]
    Taken(Phase),
    /// It ends a reservation that was never made.
    #[error("there is no reserve with this id; write the reserve first, or a direct entry")]
    NotReserved,
    /// It ends what has ended.
    #[error("the id has ended with a {0} already; nothing can follow")]
    Ended(Phase),
    /// An account that may not fall below zero would.
    #[error("{account} has {available} {unit} left, {lacks} less than this entry takes")]
    Short {
        /// Which.
        account: Account,
        /// Of what.
        unit: Unit,
        /// What it has without this entry.
        available: i64,
        /// What is missing.
        lacks: i64,
    },
    /// It takes more from such an account than its reservation set aside there.
    #[error("{account} had {reserved} {unit} set aside for this id, and the post takes {posted}")]
    OverReserved {
        /// Which.
        account: Account,
        /// Of what.
        unit: Unit,
        /// What was set aside.
        reserved: i64,
        /// What it takes.
        posted: i64,
    },
    /// A balance would leave the numbers that there are.
    #[error("the balance of {account} in {unit} would leave its range")]
    Range {
        /// Which.
        account: Account,
        /// Of what.
        unit: Unit,
    },
}

/// The rules. `earlier` is every entry of the same id that the books hold, in any order; `balance_of` gives balances as they
/// stand. It is asked for those of the accounts that the entry names, and those that its reservation named.
///
/// A limited account ([`Account::is_limited`]) has at least zero available after the entry as a whole. A `Post` takes from such
/// an account no more than its own `Reserve` set aside there, unit by unit.
///
/// # Errors
/// Why the entry may not be written.
pub fn apply(
    entry: &Entry,
    earlier: &[Entry],
    balance_of: impl Fn(&Account, Unit) -> Balance,
) -> Result<Applied, Fault> {
    entry.check()?;
    let reserve = match standing(entry, earlier)? {
        Standing::Repeated => return Ok(Applied::Repeated),
        Standing::Begins => None,
        Standing::Ends(reserve) => Some(reserve),
    };
    let mut sheet = Sheet {
        balance_of,
        changes: Vec::with_capacity(entry.legs.len() + 1),
    };
    if let Some(reserve) = reserve {
        check_reserved(&entry.legs, &reserve.legs)?;
        for leg in &reserve.legs {
            sheet.change(&leg.from, leg.unit, |balance| balance.free(leg.amount))?;
        }
    }
    for leg in &entry.legs {
        if entry.phase == Phase::Reserve {
            sheet.change(&leg.from, leg.unit, |balance| balance.reserve(leg.amount))?;
        } else {
            sheet.change(&leg.from, leg.unit, |balance| balance.give(leg.amount))?;
            sheet.change(&leg.to, leg.unit, |balance| balance.receive(leg.amount))?;
        }
    }
    sheet.finish()
}

enum Standing<'a> {
    Repeated,
    Begins,
    Ends(&'a Entry),
}

fn standing<'a>(entry: &Entry, earlier: &'a [Entry]) -> Result<Standing<'a>, Fault> {
    let of = |phase| earlier.iter().find(|entry| entry.phase == phase);
    if let Some(same) = of(entry.phase) {
        return if same == entry {
            Ok(Standing::Repeated)
        } else {
            Err(Fault::Conflict(entry.phase))
        };
    }
    match entry.phase {
        Phase::Direct | Phase::Reserve => match earlier.first() {
            Some(other) => Err(Fault::Taken(other.phase)),
            None => Ok(Standing::Begins),
        },
        Phase::Post | Phase::Void => {
            if let Some(end) = earlier.iter().find(|entry| entry.phase != Phase::Reserve) {
                return Err(Fault::Ended(end.phase));
            }
            of(Phase::Reserve)
                .map(Standing::Ends)
                .ok_or(Fault::NotReserved)
        }
    }
}

/// That what is posted stays, at limited accounts, within what was set aside.
fn check_reserved(posted: &[Leg], reserved: &[Leg]) -> Result<(), Fault> {
    for leg in posted.iter().filter(|leg| leg.from.is_limited()) {
        let [asked, set_aside] = [posted, reserved].map(|legs| taken(legs, leg));
        if asked > set_aside {
            return Err(Fault::OverReserved {
                account: leg.from.clone(),
                unit: leg.unit,
                reserved: set_aside,
                posted: asked,
            });
        }
    }
    Ok(())
}

/// What `legs` take from the account of `like` in its unit. A sum that does not fit is held at the end: a reservation of so
/// much cannot stand in the books, so a post of so much is refused all the same.
fn taken(legs: &[Leg], like: &Leg) -> i64 {
    legs.iter()
        .filter(|leg| leg.unit == like.unit && leg.from == like.from)
        .fold(0, |sum: i64, leg| sum.saturating_add(leg.amount))
}

/// The balances that an entry changes: a few, so they are looked for one by one.
struct Sheet<F> {
    balance_of: F,
    changes: Vec<Change>,
}

impl<F: Fn(&Account, Unit) -> Balance> Sheet<F> {
    fn change(
        &mut self,
        account: &Account,
        unit: Unit,
        step: impl FnOnce(Balance) -> Option<Balance>,
    ) -> Result<(), Fault> {
        let range = || Fault::Range {
            account: account.clone(),
            unit,
        };
        let is_it = |change: &&mut Change| change.unit == unit && change.account == *account;
        if let Some(change) = self.changes.iter_mut().find(is_it) {
            change.balance = step(change.balance).ok_or_else(range)?;
        } else {
            let balance = step((self.balance_of)(account, unit)).ok_or_else(range)?;
            let account = account.clone();
            self.changes.push(Change {
                account,
                unit,
                balance,
            });
        }
        Ok(())
    }

    fn finish(self) -> Result<Applied, Fault> {
        for change in self
            .changes
            .iter()
            .filter(|change| change.account.is_limited())
        {
            let left = change.balance.available();
            if left < 0 {
                return Err(Fault::Short {
                    account: change.account.clone(),
                    unit: change.unit,
                    available: (self.balance_of)(&change.account, change.unit).available(),
                    lacks: left.saturating_neg(),
                });
            }
        }
        Ok(Applied::New(self.changes))
    }
}
