//! Why a policy cannot be used.

use madang_types::calendar::civil;
use madang_types::{
    BasisId, DataClass, DataFlags, Micros, ModelId, Policy, ProgrammeId, RuleId, SiteId, TenantId,
};
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
    /// What has expired by then; `None`: it is broken already.
    pub lapse: Option<Lapse>,
}

/// Legal bases that expire at the same instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lapse {
    /// They are not held from then on.
    pub at: Micros,
    /// Which.
    pub bases: Vec<BasisId>,
}

impl PolicyError {
    /// The same of a policy as it will stand at that expiry.
    pub(super) fn once(self, policy: &Policy, at: Micros) -> Self {
        let Self::Broken(mut breaches) = self else {
            return self;
        };
        let expiring = policy.bases.iter().filter(|basis| basis.expires_at == at);
        let bases: Vec<BasisId> = expiring.map(|basis| basis.id.clone()).collect();
        for breach in &mut breaches {
            let bases = bases.clone();
            breach.lapse = Some(Lapse { at, bases });
        }
        Self::Broken(breaches)
    }
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
            lapse,
            ..
        } = self;
        if let Some(Lapse { at, bases }) = lapse {
            let bases: Vec<&str> = bases.iter().map(BasisId::as_str).collect();
            let day = day_in_korea(*at);
            write!(f, "from {day} on, without {}, ", bases.join(", "))?;
        }
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

/// The day in Korea (UTC+9) of an instant.
fn day_in_korea(at: Micros) -> String {
    const HOUR_US: i64 = 3_600_000_000;
    let days = at.0.saturating_add(9 * HOUR_US).div_euclid(24 * HOUR_US);
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_at_midnight_in_korea() {
        for (at_s, day) in [
            (0, "1970-01-01"),
            (951_749_999, "2000-02-28"),
            (951_750_000, "2000-02-29"),
            (951_836_400, "2000-03-01"),
            (1_814_367_600, "2027-07-01"),
            (1_814_367_599, "2027-06-30"),
            (-62_135_629_200, "0001-01-01"),
        ] {
            assert_eq!(day_in_korea(Micros(at_s * 1_000_000)), day, "{at_s}");
        }
        for at in [i64::MIN, i64::MAX] {
            assert!(!day_in_korea(Micros(at)).is_empty());
        }
    }
}
