//! What a request's data is besides its class: facts to which the law ties duties of their own.

use crate::DataClass;
use crate::class::words;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// A fact about data that policy may look at. Under the built-in rules each adds reasons to refuse or to mask, but for
/// [`DataFlag::Pseudonymised`], which can open a way; rules of a policy file may ask for any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataFlag {
    /// Personal data of any kind (PIPA art. 2).
    Pii,
    /// Unique identifiers: resident and foreigner registration numbers, passports, driving licences (PIPA art. 24).
    UniqueId,
    /// Health and medical records (PIPA art. 23, Medical Service Act).
    Health,
    /// Personal credit information.
    Credit,
    /// Pseudonymised for statistics, research or archives (PIPA art. 28-2).
    Pseudonymised,
    /// Of children under 14 (PIPA art. 22-2).
    Minor,
}

words!(DataFlag, DataFlagError, "a data flag is one of pii, unique_id, health, credit, pseudonymised, minor",
    "pii" => DataFlag::Pii, "unique_id" => DataFlag::UniqueId, "health" => DataFlag::Health,
    "credit" => DataFlag::Credit, "pseudonymised" => DataFlag::Pseudonymised, "minor" => DataFlag::Minor);

impl DataFlag {
    /// All flags, in the order of their bits.
    pub const ALL: [Self; 6] = [
        Self::Pii,
        Self::UniqueId,
        Self::Health,
        Self::Credit,
        Self::Pseudonymised,
        Self::Minor,
    ];

    fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

/// A set of flags. In JSON a list of their words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataFlags(u8);

impl DataFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// How many sets there are.
    pub const SETS: u8 = 1 << DataFlag::ALL.len();

    /// The set with that number, for enumerations; bits beyond the last flag are dropped.
    pub fn from_bits(bits: u8) -> Self {
        Self(bits & (Self::SETS - 1))
    }

    /// The set's number, under [`DataFlags::SETS`].
    pub fn bits(self) -> u8 {
        self.0
    }

    /// This set and `flag`.
    #[must_use]
    pub fn with(self, flag: DataFlag) -> Self {
        Self(self.0 | flag.bit())
    }

    /// What is in either.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether `flag` is in it.
    pub fn has(self, flag: DataFlag) -> bool {
        self.0 & flag.bit() != 0
    }

    /// Whether no flag is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its flags, in the order of [`DataFlag::ALL`].
    pub fn iter(self) -> impl Iterator<Item = DataFlag> {
        DataFlag::ALL
            .into_iter()
            .filter(move |flag| self.has(*flag))
    }
}

impl From<DataFlag> for DataFlags {
    fn from(flag: DataFlag) -> Self {
        Self(flag.bit())
    }
}

impl FromIterator<DataFlag> for DataFlags {
    fn from_iter<I: IntoIterator<Item = DataFlag>>(flags: I) -> Self {
        flags.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Display for DataFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, flag) in self.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(f, "{comma}{flag}")?;
        }
        Ok(())
    }
}

impl FromStr for DataFlags {
    type Err = DataFlagError;

    /// Words with commas between them; spaces around a word are dropped. No word is no flag.
    fn from_str(text: &str) -> Result<Self, DataFlagError> {
        if text.trim().is_empty() {
            return Ok(Self::NONE);
        }
        text.split(',').map(|word| word.trim().parse()).collect()
    }
}

impl Serialize for DataFlags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for DataFlags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let flags: Vec<DataFlag> = Deserialize::deserialize(deserializer)?;
        Ok(flags.into_iter().collect())
    }
}

/// How data is marked: its class and its flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DataMark {
    /// How sensitive it is.
    pub class: DataClass,
    /// What else it is.
    pub flags: DataFlags,
}

impl DataMark {
    /// The stricter of both classes and all flags of either: marks add up and nothing lowers one.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self {
            class: self.class.max(other.class),
            flags: self.flags.union(other.flags),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_reads_back() {
        for bits in 0..DataFlags::SETS {
            let set = DataFlags::from_bits(bits);
            let json = serde_json::to_string(&set).unwrap();
            assert_eq!(serde_json::from_str::<DataFlags>(&json).unwrap(), set);
            assert_eq!(set.to_string().parse(), Ok(set));
        }
        assert_eq!(
            "pii, minor".parse(),
            Ok(DataFlags::NONE.with(DataFlag::Pii).with(DataFlag::Minor))
        );
        assert_eq!("PII".parse::<DataFlags>(), Err(DataFlagError));
    }
}
