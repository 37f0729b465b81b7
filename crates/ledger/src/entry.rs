//! What is written: entries, which move amounts and are never changed.

use crate::account::Account;
use madang_types::{AllocationId, JobId, Micros, ProgrammeId, RequestId, SiteId, Unit};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The most legs of one entry.
pub const LEGS_COUNT_MAX: usize = 16;

/// An entry's id, chosen by whoever writes it, once: a second write of the same id and phase changes nothing. In text 32 hex
/// digits, as JSON has no numbers of that size.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EntryId(pub u128);

/// The text is not 32 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an entry's id is 32 hexadecimal digits (0-9, a-f)")]
pub struct EntryIdError;

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for EntryId {
    type Err = EntryIdError;

    fn from_str(text: &str) -> Result<Self, EntryIdError> {
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 32 || !text.bytes().all(is_digit) {
            return Err(EntryIdError);
        }
        u128::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| EntryIdError)
    }
}

impl TryFrom<String> for EntryId {
    type Error = EntryIdError;

    fn try_from(text: String) -> Result<Self, EntryIdError> {
        text.parse()
    }
}

impl From<EntryId> for String {
    fn from(id: EntryId) -> Self {
        id.to_string()
    }
}

impl From<RequestId> for EntryId {
    fn from(request: RequestId) -> Self {
        Self(request.0)
    }
}

/// One movement of one unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// Of what.
    pub unit: Unit,
    /// How much; at least 1.
    pub amount: i64,
    /// Who has less.
    pub from: Account,
    /// Who has more.
    pub to: Account,
}

impl Leg {
    /// Whether it moves the same unit between the same accounts, however much of it.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        (self.unit, &self.from, &self.to) == (other.unit, &other.from, &other.to)
    }

    /// What moves the same back.
    pub(crate) fn back(&self) -> Self {
        Self {
            from: self.to.clone(),
            to: self.from.clone(),
            ..*self
        }
    }
}

/// What an entry does with its amounts. Of one id there is a `Direct` alone, or a `Reserve` and at most one of `Post` and `Void`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Moves them at once.
    Direct,
    /// Sets them aside at those who give; those who get have nothing yet.
    Reserve,
    /// Moves what was really used, and frees what was set aside. Of what was set aside it takes no more than that.
    Post,
    /// Frees what was set aside; it has no legs.
    Void,
}

impl Phase {
    /// Whether it has moved what it moves: all but what is only set aside.
    pub fn ends(self) -> bool {
        self != Self::Reserve
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Reserve => "reserve",
            Self::Post => "post",
            Self::Void => "void",
        })
    }
}

/// What an entry is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A programme's budget was set, raised or lowered.
    Budget(ProgrammeId),
    /// An allocation was granted, ran out or was called back.
    Allocation(AllocationId),
    /// Rights were moved to a gateway or came back from it.
    Lease,
    /// A request was served.
    Request(RequestId),
    /// A job ran.
    Job(JobId),
    /// What a site drew in a span.
    Energy(SiteId),
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its id.
    pub id: EntryId,
    /// What it does.
    pub phase: Phase,
    /// When that happened, by the clock of whoever wrote it. Order in the books is the order of writing.
    pub at: Micros,
    /// What it is about.
    pub subject: Subject,
    /// What it moves: all of it or nothing.
    pub legs: Vec<Leg>,
}

/// An entry that is not well formed, whatever the books hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Nothing is moved, or a `Void` moves something.
    #[error("an entry has 1 to {LEGS_COUNT_MAX} legs, a void has none; this one has {0}")]
    Legs(usize),
    /// A leg of less than 1.
    #[error("a leg moves at least 1, this one {0}")]
    Amount(i64),
    /// A leg that gives to whom it takes from.
    #[error("a leg moves from one account to another, this one from {0} to itself")]
    Same(Account),
}

impl Entry {
    /// Whether it is well formed.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), EntryError> {
        let void = self.phase == Phase::Void;
        if void != self.legs.is_empty() || self.legs.len() > LEGS_COUNT_MAX {
            return Err(EntryError::Legs(self.legs.len()));
        }
        for leg in &self.legs {
            if leg.amount < 1 {
                return Err(EntryError::Amount(leg.amount));
            }
            if leg.from == leg.to {
                return Err(EntryError::Same(leg.from.clone()));
            }
        }
        Ok(())
    }
}
