//! What was promised and delivered in a civil month.

use super::Used;
use crate::learn::rounded;
use madang_types::Micros;
use madang_types::calendar::civil;
use serde::{Deserialize, Serialize};

/// A tenant's month so far, in microseconds of one accelerator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Month {
    /// Which: months since January of year 0.
    pub number: i64,
    /// Served.
    pub delivered_us: u64,
    /// Asked for, served or not.
    pub asked_us: u64,
    /// Its share of what there was.
    pub entitled_us: u64,
}

impl Month {
    /// What it was promised: its share of what there was, or what it asked for, where that is less.
    pub fn promised_us(&self) -> u64 {
        self.asked_us.min(self.entitled_us)
    }

    /// Delivered ÷ promised, in thousandths; `None` where nothing was promised.
    pub fn delivered_permille(&self) -> Option<u64> {
        self.delivered_us
            .saturating_mul(1000)
            .checked_div(self.promised_us())
    }

    /// Begins anew where it is another month.
    pub(super) fn turn(&mut self, number: i64) {
        if self.number != number {
            *self = Self {
                number,
                ..Self::default()
            };
        }
    }

    pub(super) fn add(&mut self, used: Used, entitled_us: f64) {
        // Service is charged as predicted and trued up later: a moment may give back more than it takes.
        let sum = |total: u64, more: f64| {
            let size = rounded(if more < 0.0 { -more } else { more } + 0.5);
            if more < 0.0 {
                total.saturating_sub(size)
            } else {
                total.saturating_add(size)
            }
        };
        self.delivered_us = sum(self.delivered_us, used.served_us);
        self.asked_us = sum(self.asked_us, used.asked_us);
        self.entitled_us = sum(self.entitled_us, entitled_us);
    }
}

/// Months since January of year 0 in the Gregorian calendar, `offset_s` seconds east of UTC.
pub(super) fn month_number(at: Micros, offset_s: i32) -> i64 {
    let seconds = at.0.div_euclid(1_000_000) + i64::from(offset_s);
    let (year, month, _) = civil(seconds.div_euclid(86_400));
    year * 12 + month - 1
}
