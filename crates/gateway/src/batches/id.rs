//! Names of files, batches and fine-tuning jobs, as OpenAI's clients know them: a prefix and 32 hexadecimal digits. They become
//! names on disk, so nothing else is taken for one.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// The text is no id of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id is a prefix and 32 hexadecimal digits")]
pub(crate) struct IdError;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) struct $name(u128);

        impl $name {
            /// A new one: a UUIDv7, so that those made later sort later.
            pub fn new() -> Self {
                Self(uuid::Uuid::now_v7().as_u128())
            }

            /// When it was made, in seconds since 1970.
            pub fn made_at_s(self) -> i64 {
                i64::try_from((self.0 >> 80) / 1000).unwrap_or(i64::MAX)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{:032x}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let hex = text.strip_prefix($prefix).ok_or(IdError)?;
                let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
                if hex.len() != 32 || !hex.bytes().all(lower_hex) {
                    return Err(IdError);
                }
                u128::from_str_radix(hex, 16).map(Self).map_err(|_| IdError)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// A file.
    FileId, "file-"
);
id!(
    /// A batch.
    BatchId, "batch_"
);
id!(
    /// A fine-tuning job.
    TuningId, "ftjob-"
);

impl TuningId {
    /// The part of it that was drawn at random, as far as 32 bits hold it.
    pub fn drawn(self) -> u64 {
        u64::try_from(self.0 & 0xffff_ffff).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_else_is_an_id() {
        let id = FileId::new();
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in [
            "",
            "file-",
            "file-../../etc/passwd",
            "batch_0",
            "file-0123456789ABCDEF0123456789abcdef",
        ] {
            assert_eq!(bad.parse::<FileId>(), Err(IdError), "{bad:?}");
        }
        assert!(id.made_at_s() > 1_700_000_000);
    }
}
