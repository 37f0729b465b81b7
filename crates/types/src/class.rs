//! What a request says of itself: how sensitive its data is and how urgent it is.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The data class of a request, as in Korea's N2SF: O 공개, S 민감, C 기밀. The order is the order of strictness.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum DataClass {
    /// 공개: may go anywhere that policy lists.
    #[default]
    Open,
    /// 민감: stays where the law of the land is one's own.
    Sensitive,
    /// 기밀: stays on government-isolated ground.
    Classified,
}

/// How urgent a request is; order is from most to least urgent.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Someone's safety or a public service waits for it.
    Critical,
    /// The ordinary case.
    #[default]
    Standard,
    /// Uses what the others leave.
    Batch,
}

macro_rules! words {
    ($type:ty, $error:ident, $what:literal, $($text:literal => $variant:path),+) => {
        /// The text is none of the known words.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
        #[error($what)]
        pub struct $error;

        impl $type {
            /// The word that stands for it in headers and files.
            pub fn as_str(self) -> &'static str {
                match self { $($variant => $text),+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = $error;
            fn from_str(text: &str) -> Result<Self, $error> {
                match text { $($text => Ok($variant),)+ _ => Err($error) }
            }
        }
    };
}
pub(crate) use words;

words!(DataClass, DataClassError, "a data class is one of open, sensitive, classified",
    "open" => DataClass::Open, "sensitive" => DataClass::Sensitive, "classified" => DataClass::Classified);
words!(Priority, PriorityError, "a priority is one of critical, standard, batch",
    "critical" => Priority::Critical, "standard" => Priority::Standard, "batch" => Priority::Batch);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back_and_unknown_ones_are_refused() {
        assert_eq!("sensitive".parse(), Ok(DataClass::Sensitive));
        assert_eq!("Open".parse::<DataClass>(), Err(DataClassError));
        assert_eq!("batch".parse(), Ok(Priority::Batch));
        assert!(
            DataClass::Open < DataClass::Sensitive && DataClass::Sensitive < DataClass::Classified
        );
    }
}
