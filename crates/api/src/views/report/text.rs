//! Amounts, instants and names as the page writes them.

use madang_ledger::decimal_text;
use madang_types::text::html_escape;
use madang_types::{Micros, Unit};
use std::fmt::{Arguments, Display, Write};

/// A share in percent.
pub(super) fn permille(permille: u32) -> String {
    format!("{}.{} %", permille / 10, permille % 10)
}

/// An amount of a unit as people read it, exact.
pub(super) fn amount(unit: Unit, value: i64) -> String {
    match unit {
        Unit::MicroWon => format!("₩{}", separated(&decimal_text(value))).replace("₩-", "-₩"),
        // Millionths of an hour, cut off: 18 ms are 5 of them.
        Unit::AcceleratorMs => {
            let millionths = i128::from(value) * 5 / 18;
            separated(&decimal_text(i64::try_from(millionths).unwrap_or(value)))
        }
        Unit::MilliJoules => separated(&decimal_text(value.saturating_mul(1000))),
        Unit::Tokens | Unit::UncachedTokens | Unit::CachedTokens | Unit::OutputTokens => {
            separated(&value.to_string())
        }
    }
}

/// The same, of a thousand won and more without its decimals.
pub(super) fn brief(unit: Unit, value: i64) -> String {
    const WON: i64 = 1_000_000;
    let is_large = unit == Unit::MicroWon && value.unsigned_abs() >= 1000 * WON.unsigned_abs();
    amount(unit, if is_large { value / WON * WON } else { value })
}

/// A count.
pub(super) fn grouped(value: u64) -> String {
    separated(&value.to_string())
}

/// A decimal number with a comma before each three digits of its whole part.
fn separated(number: &str) -> String {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let (sign, digits) = match whole.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", whole),
    };
    let mut text = String::from(sign);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if !part.is_empty() {
        text.push('.');
        text.push_str(part);
    }
    text
}

/// An instant as clocks at the offset show it.
pub(super) fn local(at: Micros, offset_s: i32) -> String {
    let local = jiff::tz::Offset::from_seconds(offset_s).ok();
    let stamp = jiff::Timestamp::from_microsecond(at.0).ok();
    let at = local.zip(stamp).map(|(offset, at)| offset.to_datetime(at));
    at.map(|at| at.strftime("%Y-%m-%d %H:%M").to_string())
        .unwrap_or_default()
}

/// As in `UTC+09:00`.
pub(super) fn offset_text(offset_s: i32) -> String {
    let sign = if offset_s < 0 { '-' } else { '+' };
    let minutes = offset_s.unsigned_abs() / 60;
    format!("UTC{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

/// Writes at the end of a text.
pub(super) fn add(text: &mut String, what: Arguments<'_>) {
    text.write_fmt(what)
        .expect("writing into a string does not fail");
}

/// Text that is no markup.
pub(super) fn escape(text: impl Display) -> String {
    html_escape(&text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_exact() {
        let check = |unit, value, text: &str| assert_eq!(amount(unit, value), text);
        check(Unit::MicroWon, 1_234_567_000_001, "₩1,234,567.000001");
        check(Unit::MicroWon, -500_000, "-₩0.5");
        check(Unit::MicroWon, 999_000_000, "₩999");
        check(Unit::OutputTokens, 1_000, "1,000");
        check(Unit::Tokens, i64::MIN, "-9,223,372,036,854,775,808");
        check(Unit::AcceleratorMs, 5_400_000, "1.5");
        check(Unit::AcceleratorMs, 36_000_000_000, "10,000");
        check(Unit::MilliJoules, 1_500, "1.5");
    }

    #[test]
    fn large_amounts_are_brief() {
        let check = |value, text: &str| assert_eq!(brief(Unit::MicroWon, value), text);
        check(999_999_999, "₩999.999999");
        check(1_000_000_001, "₩1,000");
        check(-1_000_999_999, "-₩1,000");
    }

    #[test]
    fn no_text_is_markup() {
        assert_eq!(
            escape("<a href=\"x\">&'"),
            "&lt;a href=&quot;x&quot;&gt;&amp;&#39;"
        );
    }
}
