//! What is written when a request ends: its record, and what the ledger says of it.

use madang_ledger::Entry;
use madang_types::UsageRecord;
use serde::{Deserialize, Serialize};

/// A request's record and its entry, written together or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    /// The record.
    pub record: UsageRecord,
    /// What it moves between accounts, where it moves anything. Its id is the request's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Entry>,
}

impl From<UsageRecord> for Settlement {
    fn from(record: UsageRecord) -> Self {
        Self {
            record,
            entry: None,
        }
    }
}

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Line {
    /// A request has ended.
    Settled(Box<Settlement>),
    /// A request is under way: this is booked if nothing more is heard of it.
    Draft {
        /// What is booked.
        draft: Box<Settlement>,
    },
    /// A request has ended, in the words of a program that knew no ledger.
    Record(Box<UsageRecord>),
}
