//! Whether what stands in the books follows the rules: every entry read again, every balance counted anew.

use crate::{Account, Applied, Balance, Book, Entry, EntryId, Fault, Phase};
use madang_types::Unit;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Findings that a report tells; the others it counts. One wrong row may be seen in several places.
pub const FINDINGS_SHOWN_MAX: usize = 20;

/// Something in the books that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Entries between two others are not there.
    Gap {
        /// The first that is missing.
        first: u64,
        /// The last.
        last: u64,
    },
    /// What stands there is no entry, balance or account.
    Unreadable {
        /// Where.
        place: String,
        /// Why not.
        text: String,
    },
    /// An entry that the rules would have refused.
    Refused {
        /// Which.
        seq: u64,
        /// Its id.
        id: EntryId,
        /// Why.
        fault: Fault,
    },
    /// An entry that is not what was written there.
    Changed {
        /// Which.
        seq: u64,
        /// Its id, as it stands there now.
        id: EntryId,
    },
    /// An id whose entries do not go together, or that was used twice.
    Phases {
        /// Which.
        id: EntryId,
        /// What stands under it.
        entries: Vec<(u64, Phase)>,
    },
    /// The entries in the order of their ids are not those in the order of writing.
    Ids,
    /// A balance that does not follow from the entries.
    Balance {
        /// Whose.
        account: Account,
        /// Of what.
        unit: Unit,
        /// What stands in the books.
        kept: Balance,
        /// What the entries come to.
        counted: Balance,
    },
    /// What all accounts have of a unit does not sum to zero.
    Sum {
        /// Of what.
        unit: Unit,
        /// What it sums to.
        sum: i128,
    },
    /// The list of an account's entries lacks some, or has others.
    Listing {
        /// Whose.
        account: Account,
    },
    /// A request's entry that the rules refused when it ended, and that is kept beside the ledger.
    Apart {
        /// Which.
        id: EntryId,
        /// Why, in the words of then.
        text: String,
    },
    /// A table, index or trigger of the ledger is gone or was changed.
    Schema {
        /// Which.
        name: String,
    },
}

impl Finding {
    /// Where it is.
    pub fn place(&self) -> String {
        match self {
            Self::Gap { first, last } if first == last => format!("entry {first}"),
            Self::Gap { first, last } => format!("entries {first} to {last}"),
            Self::Unreadable { place, .. } => place.clone(),
            Self::Refused { seq, id, .. } | Self::Changed { seq, id } => {
                format!("entry {seq} (id {id})")
            }
            Self::Phases { id, .. } => format!("id {id}"),
            Self::Ids => "index of ids".to_owned(),
            Self::Balance { account, unit, .. } => format!("balance of {account} in {unit}"),
            Self::Sum { unit, .. } => format!("all balances in {unit}"),
            Self::Listing { account } => format!("list of the entries of {account}"),
            Self::Apart { id, .. } => format!("request's entry (id {id})"),
            Self::Schema { name } => name.clone(),
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Gap { .. }
            | Self::Unreadable { .. }
            | Self::Refused { .. }
            | Self::Changed { .. }
            | Self::Phases { .. } => {
                "compare with the last backup that verifies, and restore it; then write what is missing again by its ids"
            }
            Self::Balance { .. } | Self::Sum { .. } => {
                "where no entry is at fault too, the balance was changed by itself: restore a backup that verifies"
            }
            Self::Ids | Self::Listing { .. } => {
                "the file or an index of it is damaged: restore a backup that verifies"
            }
            Self::Apart { .. } => {
                "a fault of Madang's own, please report it: the request was served and moved nothing"
            }
            Self::Schema { .. } => {
                "somebody changed the ledger's tables: restore a backup that verifies"
            }
        }
    }
}

impl fmt::Display for Finding {
    /// What is wrong.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap { .. } => f.write_str("missing in the order of writing"),
            Self::Unreadable { text, .. } => f.write_str(text),
            Self::Refused { fault, .. } => fault.fmt(f),
            Self::Changed { .. } => f.write_str("not what was written: its checksum differs"),
            Self::Phases { entries, .. } => {
                f.write_str("its entries do not go together:")?;
                entries
                    .iter()
                    .try_for_each(|(seq, phase)| write!(f, " {phase} at {seq}"))
            }
            Self::Ids => f.write_str("it does not hold the entries that were written"),
            Self::Balance { kept, counted, .. } => {
                let shown = |b: &Balance| {
                    let Balance {
                        total_in,
                        total_out,
                        reserved_out,
                    } = b;
                    format!("in {total_in}, out {total_out}, reserved {reserved_out}")
                };
                write!(
                    f,
                    "it says {}; the entries come to {}",
                    shown(kept),
                    shown(counted)
                )
            }
            Self::Sum { sum, .. } => write!(f, "they sum to {sum}, not to zero"),
            Self::Listing { .. } => f.write_str("it does not hold the entries that name it"),
            Self::Apart { text, .. } => write!(f, "it was refused: {text}"),
            Self::Schema { .. } => f.write_str("not as the ledger was made"),
        }
    }
}

/// What the books are, read from end to end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries read.
    pub entries: u64,
    /// Their legs.
    pub legs: u64,
    /// Accounts that they name.
    pub accounts: u64,
    /// Reservations that have not ended.
    pub open_reservations: u64,
    /// The first findings, [`FINDINGS_SHOWN_MAX`] at most. None: all of it follows the rules.
    pub findings: Vec<Finding>,
    /// All findings.
    pub findings_count: u64,
}

impl Report {
    /// Adds a finding.
    pub fn find(&mut self, finding: Finding) {
        self.findings_count += 1;
        if self.findings.len() < FINDINGS_SHOWN_MAX {
            self.findings.push(finding);
        }
    }
}

/// Reads the books once: first [`Verifier::entry`] in the order of writing, then [`Verifier::id`] in the order of ids, then
/// [`Verifier::balance`]. It remembers accounts and open reservations, and nothing of the entries that have ended.
#[derive(Debug, Default)]
pub struct Verifier {
    report: Report,
    book: Book,
    last_seq: u64,
    /// What was seen in the order of writing less what was seen in the order of ids; order does not change it.
    unseen: u64,
    /// An entry could not be read: what its index says of it is not looked at.
    unread: bool,
    id: Option<(EntryId, Vec<(u64, Phase)>)>,
    balances_seen: BTreeSet<(Account, Unit)>,
    sums: BTreeMap<Unit, i128>,
}

impl Verifier {
    /// Adds a finding of the caller's own.
    pub fn find(&mut self, finding: Finding) {
        self.report.find(finding);
    }

    /// The next entry; why it cannot be read where it is none.
    pub fn entry(&mut self, seq: u64, entry: Result<Entry, String>) {
        let first = self.last_seq + 1;
        if seq > first {
            let last = seq - 1;
            self.find(Finding::Gap { first, last });
        } else if seq < first {
            let place = format!("entry {seq}");
            let text = format!("it stands where {first} should be: entries are counted from 1");
            self.find(Finding::Unreadable { place, text });
        }
        self.last_seq = seq;
        self.report.entries += 1;
        let entry = match entry {
            Ok(entry) => entry,
            Err(text) => {
                self.unread = true;
                let place = format!("entry {seq}");
                return self.find(Finding::Unreadable { place, text });
            }
        };
        let (id, phase) = (entry.id, entry.phase);
        self.unseen = self.unseen.wrapping_add(mixed(seq, id, phase));
        self.report.legs += u64::try_from(entry.legs.len()).unwrap_or(u64::MAX);
        match self.book.enter(entry) {
            Ok(Applied::New(_)) => {}
            Ok(Applied::Repeated) => {
                let fault = Fault::Conflict(phase);
                self.find(Finding::Refused { seq, id, fault });
            }
            Err(fault) => self.find(Finding::Refused { seq, id, fault }),
        }
        if phase != Phase::Reserve {
            self.book.forget(id);
        }
    }

    /// The next row in the order of ids, and of phases within one.
    pub fn id(&mut self, id: EntryId, phase: Phase, seq: u64) {
        self.unseen = self.unseen.wrapping_sub(mixed(seq, id, phase));
        match &mut self.id {
            Some((same, entries)) if *same == id => entries.push((seq, phase)),
            _ => {
                self.id_ends();
                self.id = Some((id, vec![(seq, phase)]));
            }
        }
    }

    fn id_ends(&mut self) {
        let Some((id, entries)) = self.id.take() else {
            return;
        };
        let phases: Vec<Phase> = entries.iter().map(|(_, phase)| *phase).collect();
        let sound = matches!(
            phases[..],
            [Phase::Direct]
                | [Phase::Reserve]
                | [Phase::Reserve, Phase::Post]
                | [Phase::Reserve, Phase::Void]
        );
        if !sound {
            self.find(Finding::Phases { id, entries });
        }
    }

    /// A balance as it is kept beside the entries.
    pub fn balance(&mut self, account: Account, unit: Unit, kept: Balance) {
        let sum = self.sums.entry(unit).or_default();
        *sum += i128::from(kept.total_in) - i128::from(kept.total_out);
        let counted = self.book.balance(&account, unit);
        self.balances_seen.insert((account.clone(), unit));
        if kept != counted {
            self.find(Finding::Balance {
                account,
                unit,
                kept,
                counted,
            });
        }
    }

    /// What came of it.
    pub fn finish(mut self) -> Report {
        self.id_ends();
        if self.unseen != 0 && !self.unread {
            self.find(Finding::Ids);
        }
        for (unit, sum) in std::mem::take(&mut self.sums) {
            if sum != 0 {
                self.find(Finding::Sum { unit, sum });
            }
        }
        let book = std::mem::take(&mut self.book);
        for (account, unit, counted) in book.balances() {
            if !self.balances_seen.contains(&(account.clone(), unit)) {
                self.find(Finding::Balance {
                    account: account.clone(),
                    unit,
                    kept: Balance::default(),
                    counted,
                });
            }
        }
        let mut report = self.report;
        report.accounts = count(book.accounts().count());
        report.open_reservations = count(book.ids().count());
        report
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// A row as one number, so that two orders of the same rows come to the same sum (the finaliser of SplitMix64).
fn mixed(seq: u64, EntryId(id): EntryId, phase: Phase) -> u64 {
    let [high, low] = [id >> 64, id].map(|half| half as u64);
    [high, low, phase as u64]
        .into_iter()
        .fold(seq, |hash, part| {
            let mut z = (hash ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        })
}
