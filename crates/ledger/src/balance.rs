//! What an account has of a unit.

use serde::{Deserialize, Serialize};

/// What one account has of one unit. None of the three is below zero, and `total_out + reserved_out` fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// All that it was ever given.
    pub total_in: i64,
    /// All that it ever gave.
    pub total_out: i64,
    /// What reservations that have not ended set aside of it.
    pub reserved_out: i64,
}

impl Balance {
    /// What it has and nobody set aside; below zero where it owes.
    pub fn available(self) -> i64 {
        // Exact: what is taken off fits, and none of the three is below zero.
        self.total_in
            .saturating_sub(self.total_out.saturating_add(self.reserved_out))
    }

    /// With so much more given to it; `None` where that does not fit.
    pub(crate) fn receive(self, amount: i64) -> Option<Self> {
        let total_in = self.total_in.checked_add(amount)?;
        Some(Self { total_in, ..self })
    }

    /// With so much more given away.
    pub(crate) fn give(self, amount: i64) -> Option<Self> {
        let total_out = self.total_out.checked_add(amount)?;
        Self { total_out, ..self }.fitting()
    }

    /// With so much more set aside.
    pub(crate) fn reserve(self, amount: i64) -> Option<Self> {
        let reserved_out = self.reserved_out.checked_add(amount)?;
        Self {
            reserved_out,
            ..self
        }
        .fitting()
    }

    /// With so much less set aside; `None` where so much is not.
    pub(crate) fn free(self, amount: i64) -> Option<Self> {
        let reserved_out = self.reserved_out.checked_sub(amount)?;
        (reserved_out >= 0).then_some(Self {
            reserved_out,
            ..self
        })
    }

    fn fitting(self) -> Option<Self> {
        self.total_out.checked_add(self.reserved_out)?;
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_wraps() {
        let full = Balance {
            total_in: i64::MAX,
            total_out: i64::MAX - 1,
            reserved_out: 1,
        };
        assert_eq!(full.available(), 0);
        assert_eq!(full.receive(1), None);
        assert_eq!(full.give(1), None);
        assert_eq!(full.reserve(1), None);
        assert_eq!(full.free(2), None);
        let freed = full.free(1).unwrap();
        assert_eq!(freed.available(), 1);
        assert_eq!(freed.give(1).unwrap().available(), 0);
        let owing = Balance::default().give(i64::MAX).unwrap();
        assert_eq!(owing.available(), -i64::MAX);
    }
}
