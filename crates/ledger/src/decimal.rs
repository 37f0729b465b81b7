//! Millionths as people write them: `1391.5`, `0.000001`.

/// Digits after the point.
const PLACES: usize = 6;

/// As a decimal number, exact, with the zeros at its end left out.
pub fn decimal_text(millionths: i64) -> String {
    let sign = if millionths < 0 { "-" } else { "" };
    let amount = millionths.unsigned_abs();
    let text = format!("{sign}{}.{:06}", amount / 1_000_000, amount % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The millionths of a decimal number of zero or more; `None` where it is none, has more than six digits after its point, or does
/// not fit.
pub fn decimal(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let pointed = text.contains('.');
    if whole.is_empty() || !digits(whole) || !digits(part) || pointed == part.is_empty() {
        return None;
    }
    if part.len() > PLACES {
        return None;
    }
    let millionths: i64 = format!("{part:0<PLACES$}").parse().ok()?;
    let whole: i64 = whole.parse().ok()?;
    whole.checked_mul(1_000_000)?.checked_add(millionths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let check = |millionths: i64, text: &str| {
            assert_eq!(decimal_text(millionths), text);
            if millionths >= 0 {
                assert_eq!(decimal(text), Some(millionths));
            }
        };
        check(0, "0");
        check(1, "0.000001");
        check(1_500_000, "1.5");
        check(12_000_000, "12");
        check(-250_000, "-0.25");
        check(i64::MAX, "9223372036854.775807");
        check(i64::MIN, "-9223372036854.775808");
        assert_eq!(decimal("1391.500"), Some(1_391_500_000));
        for bad in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "1,000",
            "1.0000001",
            "99999999999999",
            "１",
            "1 ",
        ] {
            assert_eq!(decimal(bad), None, "{bad:?}");
        }
    }
}
