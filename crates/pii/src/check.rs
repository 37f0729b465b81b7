//! Check digits and dates.

/// Σ weight × digit; of so many digits that the sum is right and the compiler adds them side by side.
fn weighted<const N: usize>(digits: &[u8], weights: [u8; N]) -> u32 {
    let Some(digits) = digits.first_chunk::<N>() else {
        return 0;
    };
    let mut sum = 0;
    for (digit, weight) in digits.iter().zip(weights) {
        sum += u16::from(*digit) * u16::from(weight);
    }
    u32::from(sum)
}

fn at(digits: &[u8], index: usize) -> u32 {
    digits.get(index).copied().map_or(0, u32::from)
}

const RESIDENT: [u8; 12] = [2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5];

/// The check digit of a resident registration number: (11 − Σ mod 11) mod 10.
pub fn resident(digits: &[u8]) -> bool {
    (11 - weighted(digits, RESIDENT) % 11) % 10 == at(digits, 12)
}

/// The check digit of a foreigner registration number: (13 − Σ mod 11) mod 10.
pub fn foreigner(digits: &[u8]) -> bool {
    (13 - weighted(digits, RESIDENT) % 11) % 10 == at(digits, 12)
}

/// The check digit of a corporate registration number: (10 − Σ mod 10) mod 10, weights 1, 2, 1, 2 …
pub fn corporation(digits: &[u8]) -> bool {
    let sum = weighted(digits, [1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2]);
    (10 - sum % 10) % 10 == at(digits, 12)
}

/// The check digit of a business registration number: weights 1, 3, 7 …, and the tens of five times the ninth.
pub fn business(digits: &[u8]) -> bool {
    let sum = weighted(digits, [1, 3, 7, 1, 3, 7, 1, 3, 5]) + at(digits, 8) * 5 / 10;
    (10 - sum % 10) % 10 == at(digits, 9)
}

/// The check digit of an article number (EAN-13): weights 1, 3, 1, 3 …
pub fn article(digits: &[u8]) -> bool {
    let sum = weighted(digits, [1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3]);
    digits.len() == 13 && (10 - sum % 10) % 10 == at(digits, 12)
}

/// Luhn's check of a card number (ISO/IEC 7812-1).
pub fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit) => digit * 2 - if digit > 4 { 9 } else { 0 },
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Whether the digits begin with a day: YYMMDD.
pub fn is_birth(digits: &[u8]) -> bool {
    let Some([_, _, months @ 0..=1, month, days @ 0..=3, day]) = digits.first_chunk() else {
        return false;
    };
    let number = |tens: &u8, ones: &u8| u64::from(tens * 10 + ones);
    is_day(number(months, month), number(days, day))
}

/// Whether there is such a day in some year.
pub fn is_day(month: u64, day: u64) -> bool {
    let last = match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=last).contains(&day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(number: &str) -> Vec<u8> {
        number.bytes().map(|byte| byte - b'0').collect()
    }

    #[test]
    fn check_digits() {
        type Check = fn(&[u8]) -> bool;
        let cases: [(Check, &str, &str); 6] = [
            (resident, "1409201226637", "1409201226638"),
            (foreigner, "0808155138603", "0808155138604"),
            (corporation, "1601289634386", "1601289634387"),
            (business, "9771297533", "9771297534"),
            (article, "8801012727365", "8801012727366"),
            (luhn, "4111111111111111", "4111111111111112"),
        ];
        for (check, right, wrong) in cases {
            assert!(check(&digits(right)), "{right}");
            assert!(!check(&digits(wrong)), "{wrong}");
        }
    }
}
