//! The Gregorian calendar, for rooms that may know no clock.

/// Days since 1970-01-01 as year, month (1 to 12) and day (1 to 31); every number of a day has them.
pub fn civil(days: i64) -> (i64, i64, i64) {
    // Eras of 400 years with years that begin in March put the leap day last, where it needs no case
    // (Hinnant, "chrono-compatible low-level date algorithms").
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = (march_month + 2) % 12 + 1;
    (era * 400 + year + i64::from(month <= 2), month, day)
}
