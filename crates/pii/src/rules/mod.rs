//! The rules for numbers: one function for each kind, from a number and the words near it to how sure it is.

pub mod bank;
mod business;
mod card;
mod license;
pub mod passport;
pub mod phone;
pub mod plate;
pub mod resident;
mod social;

use crate::cluster::Number;
use crate::context::Nearby;
use crate::words::{Topic, Topics};
use madang_types::PiiKind;

/// Fewer digits than this make no number of ours.
pub const DIGITS_MIN: usize = 9;
/// More digits than this make no number of ours.
pub const DIGITS_MAX: usize = 19;

/// Whether any rule takes a number of so many digits.
pub fn may_match(digits: usize) -> bool {
    (DIGITS_MIN..=DIGITS_MAX).contains(&digits)
}

/// Whether any kind's numbers have this shape, but for telephone numbers that begin as such and accounts, which have any.
pub fn has_shape(shape: &[u8]) -> bool {
    match *shape {
        [_] => true,
        [first, second] => {
            matches!(
                (first, second),
                (6, 7) | (2, 10) | (8, 7) | (4, 12) | (8, 8) | (3, 7) | (1, 10)
            )
        }
        [first, second, third] => matches!(
            (first, second, third),
            (3, 2, 4 | 5)
                | (2, 2, 8)
                | (4, 6, 2 | 4 | 5)
                | (2, 6, 2)
                | (6, 1, 6)
                | (3, 3, 4)
                | (1, 3, 7)
        ),
        [2, 2, 6, 2] | [2 | 4, 2, 2, 7] | [1, 3, 3, 4] | [4, 4, 4, 1..=4] | [4, 4, 4, 4, 1..=3] => {
            true
        }
        _ => false,
    }
}

/// The topics of which a word must speak where a number of so many digits, with nothing between them, begins in any way.
fn words(digits: usize) -> Option<Topics> {
    let words = match digits {
        9 => const { Topics::of([Topic::Ssn, Topic::Passport]) },
        10 => const { Topics::of([Topic::Brn, Topic::Bank]) },
        12 => const { Topics::of([Topic::License, Topic::Bank]) },
        13 => const { Topics::of([Topic::Crn, Topic::Bank]) },
        11 | 14 => const { Topics::of([Topic::Bank]) },
        _ => return None,
    };
    Some(words)
}

/// Whether any rule may take these digits without a gap between them or a plus before them: most digits in a row begin as
/// nothing of ours, and no word near is for what may begin in any way.
pub fn may_be_solid(digits: &[u8], near: &mut Nearby<'_, '_>) -> bool {
    phone::may_be_solid(digits, near)
        || card::may_be(digits)
        || digits.len() == 13 && resident::may_be_solid(digits, near)
        || words(digits.len()).is_some_and(|words| near.speaks_of(words))
}

/// The kind that fits best and how sure that is.
pub fn judge(number: &Number<'_>, near: &mut Nearby<'_, '_>) -> Option<(PiiKind, u8)> {
    if number.edges.amount {
        return None;
    }
    let mut best = Best {
        number,
        near,
        found: None,
    };
    match number.digits.len() {
        9 => {
            best.of(PiiKind::UsSsn, social::confidence);
            best.of(PiiKind::Phone, phone::confidence);
            best.of(PiiKind::Passport, passport::digits_only);
        }
        10 => {
            best.of(PiiKind::Phone, phone::confidence);
            best.of(PiiKind::Brn, business::confidence);
            best.of(PiiKind::BankAccount, bank::confidence);
            best.of(PiiKind::DriverLicense, license::without_province);
        }
        11 => {
            best.of(PiiKind::Phone, phone::confidence);
            best.of(PiiKind::BankAccount, bank::confidence);
        }
        12 => {
            best.of(PiiKind::DriverLicense, license::confidence);
            best.of(PiiKind::Phone, phone::confidence);
            best.of(PiiKind::BankAccount, bank::confidence);
        }
        13 => {
            best.of(PiiKind::Rrn, resident::confidence);
            best.of(PiiKind::Frn, resident::foreigner);
            best.of(PiiKind::Crn, business::corporation);
            best.of(PiiKind::Phone, phone::confidence);
            best.of(PiiKind::Card, card::confidence);
            best.of(PiiKind::BankAccount, bank::confidence);
        }
        14 => {
            best.of(PiiKind::BankAccount, bank::confidence);
            best.of(PiiKind::Card, card::confidence);
            best.of(PiiKind::Phone, phone::confidence);
        }
        15 => {
            best.of(PiiKind::Card, card::confidence);
            best.of(PiiKind::Rrn, resident::with_century);
            best.of(PiiKind::Phone, phone::confidence);
        }
        16 => {
            best.of(PiiKind::Card, card::confidence);
            best.of(PiiKind::BankAccount, bank::confidence);
        }
        17..=DIGITS_MAX => best.of(PiiKind::Card, card::confidence),
        _ => {}
    }
    best.found
}

/// How sure it is that the number is an account's.
pub fn account(number: &Number<'_>, near: &mut Nearby<'_, '_>) -> Option<(PiiKind, u8)> {
    let mut best = Best {
        number,
        near,
        found: None,
    };
    if !number.edges.amount && matches!(number.digits.len(), 10..=14 | 16) {
        best.of(PiiKind::BankAccount, bank::confidence);
    }
    best.found
}

/// How sure it is that the number is a telephone's.
pub fn telephone(number: &Number<'_>, near: &mut Nearby<'_, '_>) -> Option<(PiiKind, u8)> {
    let mut best = Best {
        number,
        near,
        found: None,
    };
    best.of(PiiKind::Phone, phone::confidence);
    best.found
}

/// How sure it is that the number, of thirteen digits, is a resident's or a foreigner's.
pub fn resident(number: &Number<'_>, near: &mut Nearby<'_, '_>) -> Option<(PiiKind, u8)> {
    let mut best = Best {
        number,
        near,
        found: None,
    };
    best.of(PiiKind::Rrn, resident::confidence);
    best.of(PiiKind::Frn, resident::foreigner);
    best.found
}

/// The best so far; of two that fit as well the first.
struct Best<'n, 'c, 'a> {
    number: &'n Number<'n>,
    near: &'n mut Nearby<'c, 'a>,
    found: Option<(PiiKind, u8)>,
}

impl Best<'_, '_, '_> {
    #[inline(always)]
    fn of(&mut self, kind: PiiKind, rule: impl Fn(&Number<'_>, &mut Nearby<'_, '_>) -> u8) {
        let mut confidence = rule(self.number, self.near);
        if self.number.edges.joined {
            confidence = confidence.saturating_sub(25);
        }
        if confidence > self.found.map_or(0, |(_, least)| least) {
            self.found = Some((kind, confidence));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Edges;
    use crate::context::Context;
    use crate::text::Text;

    /// All ways to write so many digits in up to five groups.
    fn shapes(digits: u8, most: usize) -> Vec<Vec<u8>> {
        let mut all = vec![vec![digits]];
        for first in (1..digits).filter(|_| most > 1) {
            all.extend(shapes(digits - first, most - 1).into_iter().map(|rest| {
                let mut shape = vec![first];
                shape.extend(rest);
                shape
            }));
        }
        all
    }

    const WORDS: [&str; 12] = [
        "주민등록번호",
        "외국인등록번호",
        "사업자등록번호",
        "법인등록번호",
        "운전면허",
        "여권",
        "전화",
        "카드",
        "계좌",
        "ssn",
        "주문번호",
        "-",
    ];

    #[test]
    fn whatever_a_rule_takes_without_a_gap_may_be_solid() {
        let mut state = 7_u64;
        let mut digit = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            u8::try_from((state >> 33) % 10).unwrap_or_default()
        };
        let mut taken = 0;
        for (word, length) in WORDS
            .iter()
            .flat_map(|word| (9..=19).map(move |n| (word, n)))
        {
            let text = format!("{word} #");
            let at = text.len() - 1;
            let text = Text::new(text.as_bytes());
            for _ in 0..2_000 {
                let digits: Vec<u8> = (0..length).map(|_| digit()).collect();
                let number = Number {
                    digits: &digits,
                    shape: &[length],
                    gap: None,
                    mixed: false,
                    edges: Edges {
                        hangul: true,
                        ..Edges::default()
                    },
                    span: at..at + 1,
                };
                let mut context = Context::default();
                let mut near = Nearby::new(&text, &mut context, at..at + 1);
                if judge(&number, &mut near).is_some() {
                    taken += 1;
                    assert!(may_be_solid(&digits, &mut near), "{word} {digits:?}");
                }
            }
        }
        assert!(taken > 10_000, "{taken}");
    }

    #[test]
    fn whatever_a_rule_takes_has_a_shape_or_begins_as_a_telephone_number() {
        // Accounts have any shape.
        let words = WORDS.into_iter().filter(|word| *word != "계좌");
        let fills = [
            "9001011234567890123",
            "4111111111111111000",
            "2125550164212555016",
            "1123123456121234567",
        ];
        let lengths = 9..=19;
        for (length, fill) in lengths.flat_map(|length| fills.map(|fill| (length, fill))) {
            let digits: Vec<u8> = fill.bytes().take(length).map(|byte| byte - b'0').collect();
            let all = shapes(u8::try_from(length).unwrap_or_default(), 5);
            for shape in all.iter().filter(|shape| !has_shape(shape)) {
                for word in words.clone() {
                    let text = format!("{word} #");
                    let at = text.len() - 1;
                    let text = Text::new(text.as_bytes());
                    let mut context = Context::default();
                    let mut near = Nearby::new(&text, &mut context, at..at + 1);
                    let number = Number {
                        digits: &digits,
                        shape,
                        gap: Some(crate::cluster::Gap::Dash),
                        mixed: false,
                        edges: Edges::default(),
                        span: at..at + 1,
                    };
                    assert_eq!(judge(&number, &mut near), None, "{fill} {shape:?} {word}");
                }
            }
        }
    }
}
