//! Typed ids. Names come from the fleet file or the API; request and key ids are made at the edge.

use crate::Hex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The greatest length of a name, in bytes: names become labels, file names and header values.
pub const NAME_BYTES_MAX: usize = 96;

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("a name must not be empty")]
    Empty,
    /// More than [`NAME_BYTES_MAX`] bytes.
    #[error("a name has at most {NAME_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// A character outside the allowed set.
    #[error("a name is made of a-z, A-Z, 0-9, '.', '_' and '-'{1}; '{0}' is not allowed")]
    Character(char, &'static str),
    /// The first character is punctuation (`.hidden`, `-flag`, `/path`), or two slashes or dots meet.
    #[error("a name begins and ends with a letter or a digit and has no '..' or '//'")]
    Form,
}

fn check(text: &str, slash: bool) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong(text.len()));
    }
    for c in text.chars() {
        let allowed = c.is_ascii_alphanumeric()
            || matches!(c, '.' | '_' | '-')
            || (slash && matches!(c, '/' | ':'));
        if !allowed {
            let also = if slash {
                " (and '/' and ':' in a model's name)"
            } else {
                ""
            };
            return Err(NameError::Character(c, also));
        }
    }
    let ends = [text.as_bytes()[0], text.as_bytes()[text.len() - 1]];
    let sound = ends.iter().all(u8::is_ascii_alphanumeric);
    if !sound || text.contains("..") || text.contains("//") {
        return Err(NameError::Form);
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, slash: $slash:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and takes a name.
            ///
            /// # Errors
            /// Says what is wrong with the text.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check(text, $slash)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// A data centre (or one machine that stands for one).
    SiteId, slash: false
);
name!(
    /// Machines of one kind at one site.
    NodesId, slash: false
);
name!(
    /// A served model's public name, which may hold `/` and `:`. Never part of a path on disk.
    ModelId, slash: true
);
name!(
    /// A class of models, such as `large`: tokens that are granted may be for one of them.
    ModelClass, slash: false
);
name!(
    /// A kind of what a unit counts: of tokens a class of models, of accelerator time a kind of accelerator, such as `h200`.
    Class, slash: false
);
name!(
    /// One running engine.
    ReplicaId, slash: false
);
name!(
    /// A model service run by others.
    UpstreamId, slash: false
);
name!(
    /// A programme that grants allocations.
    ProgrammeId, slash: false
);
name!(
    /// Who is billed.
    TenantId, slash: false
);
name!(
    /// The public part of an API key `mdg_<id>_<secret>`.
    KeyId, slash: false
);
name!(
    /// A rule of the policy; those of stop switches hold a `:`.
    RuleId, slash: true
);
name!(
    /// A legal basis in the operator's register.
    BasisId, slash: false
);
name!(
    /// A grant from a programme to a tenant for a period.
    AllocationId, slash: false
);
name!(
    /// What a key or a project may spend at most; the names of a tenant and its project stand in it with `:` between them.
    CeilingId, slash: true
);
name!(
    /// A tenant's working unit; unique in its tenant.
    ProjectId, slash: false
);
name!(
    /// One of the gateways that share a store.
    GatewayId, slash: false
);

/// A request's id: a UUIDv7 made at the edge, so that ids sort by arrival. Written `req_` + 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u128);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("req_")?;
        Hex(&self.0.to_be_bytes()).fmt(f)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not `req_` and 32 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a request id is 'req_' and 32 hexadecimal digits")]
pub struct RequestIdError;

impl FromStr for RequestId {
    type Err = RequestIdError;
    fn from_str(text: &str) -> Result<Self, RequestIdError> {
        let hex = text.strip_prefix("req_").ok_or(RequestIdError)?;
        let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if hex.len() != 32 || !hex.bytes().all(lower_hex) {
            return Err(RequestIdError);
        }
        u128::from_str_radix(hex, 16)
            .map(Self)
            .map_err(|_| RequestIdError)
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl From<Class> for ModelClass {
    fn from(class: Class) -> Self {
        Self(class.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_as_labels_files_and_header_values() {
        for good in ["a", "pohang-h200", "exaone-4.0-32b", "A1_b"] {
            assert!(SiteId::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "-x",
            "x-",
            "a..b",
            "a b",
            "a/b",
            "가",
            "a\nb",
            &"x".repeat(97),
        ] {
            assert!(SiteId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_a_model_name_may_hold_a_slash() {
        assert!(ModelId::new("LGAI/EXAONE-4.0-32B").is_ok());
        assert!(ModelId::new("qwen:0.5b").is_ok());
        for bad in ["/etc/passwd", "a//b", "a/../b", "a/"] {
            assert!(ModelId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn request_ids_read_back() {
        let id = RequestId(0x0123_4567_89ab_cdef);
        assert_eq!(id.to_string(), "req_00000000000000000123456789abcdef");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in [
            "",
            "req_",
            "req_+123456789abcdef0123456789abcdef",
            "019a",
            "req_0123456789ABCDEF0123456789abcdef",
        ] {
            assert_eq!(bad.parse::<RequestId>(), Err(RequestIdError), "{bad:?}");
        }
    }
}
