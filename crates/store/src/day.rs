//! The civil day of an instant at a fixed offset: the one definition that every implementation's sums by day follow.

use madang_types::Micros;
use madang_types::calendar::civil;

const DAY_S: i64 = 86_400;

/// Days since 1970-01-01 of `at`, `offset_s` seconds east of UTC. Every instant has one.
pub fn day_number(at: Micros, offset_s: i32) -> i64 {
    (at.0.div_euclid(1_000_000) + i64::from(offset_s)).div_euclid(DAY_S)
}

/// A day number as `YYYY-MM-DD` in the Gregorian calendar; years outside 0000 to 9999 carry their sign.
pub fn day_text(day_number: i64) -> String {
    let (year, month, day) = civil(day_number);
    if (0..=9999).contains(&year) {
        format!("{year:04}-{month:02}-{day:02}")
    } else {
        format!("{year:+05}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(at_us: i64, offset_s: i32, day: &str) {
        assert_eq!(day_text(day_number(Micros(at_us), offset_s)), day);
    }

    #[test]
    fn a_day_begins_at_midnight_of_its_offset() {
        check(0, 0, "1970-01-01");
        check(-1, 0, "1969-12-31");
        check(54_000_000_000 - 1, 32_400, "1970-01-01");
        check(54_000_000_000, 32_400, "1970-01-02");
        check(951_782_400_000_000, 0, "2000-02-29");
        check(i64::MAX, i32::MAX, "+294315-01-29");
        check(i64::MIN, i32::MIN, "-290376-12-03");
    }

    proptest! {
        #[test]
        fn days_agree_with_jiff(at_us in -60_000_000_000_000_000_i64..250_000_000_000_000_000, offset_s in -86_399..=86_399) {
            let day = jiff::Timestamp::from_microsecond(at_us)
                .unwrap()
                .to_zoned(jiff::tz::Offset::from_seconds(offset_s).unwrap().to_time_zone())
                .date();
            prop_assert_eq!(day_text(day_number(Micros(at_us), offset_s)), day.to_string());
        }
    }
}
