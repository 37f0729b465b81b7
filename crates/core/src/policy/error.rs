//! Why a policy cannot be used.

use madang_types::{DataClass, DataFlags, ModelId, ProgrammeId, RuleId, SiteId, TenantId};
use std::fmt;

/// Why a policy cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyError {
    /// It tells too much apart.
    TooLarge {
        /// What there is most of.
        dimension: &'static str,
        /// How many of that.
        count: usize,
        /// How many combinations there would be, at least.
        combinations: usize,
    },
    /// It permits what must never be.
    Broken(Vec<Breach>),
}

/// A statement that does not hold, with the first combination that breaks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The statement.
    pub never: RuleId,
    /// What it says.
    pub text: String,
    /// Rows of class and flags in which it is broken.
    pub count: u64,
    /// For whom, where somebody is named.
    pub tenant: Option<TenantId>,
    /// Of which programme.
    pub programme: Option<ProgrammeId>,
    /// For which model.
    pub model: Option<ModelId>,
    /// Where.
    pub location: SiteId,
    /// Data of which class.
    pub class: DataClass,
    /// With which flags.
    pub flags: DataFlags,
    /// The rules that permit it.
    pub rules: Vec<RuleId>,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge {
                dimension,
                count,
                combinations,
            } => write!(
                f,
                "the policy tells too much apart: {combinations} combinations, most of them by its {count} {dimension}; \
                 name fewer of them, or programmes in place of tenants"
            ),
            Self::Broken(breaches) => {
                for (n, breach) in breaches.iter().enumerate() {
                    write!(f, "{}{breach}", if n == 0 { "" } else { "; " })?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for PolicyError {}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            never,
            text,
            location,
            class,
            flags,
            ..
        } = self;
        let rules: Vec<&str> = self.rules.iter().map(RuleId::as_str).collect();
        write!(
            f,
            "{never} is broken ({text}): {} would permit {class} data",
            rules.join(", ")
        )?;
        if !flags.is_empty() {
            write!(f, " with {flags}")?;
        }
        write!(f, " at {location}")?;
        let names = [
            ("tenant", self.tenant.as_ref().map(TenantId::as_str)),
            (
                "programme",
                self.programme.as_ref().map(ProgrammeId::as_str),
            ),
            ("model", self.model.as_ref().map(ModelId::as_str)),
        ];
        for (what, name) in names {
            if let Some(name) = name {
                write!(f, ", {what} {name}")?;
            }
        }
        Ok(())
    }
}
