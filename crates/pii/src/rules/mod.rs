//! The rules for numbers: one function for each kind, from a number and the words near it to how sure it is.

mod bank;
mod business;
mod card;
mod license;
pub mod passport;
mod phone;
pub mod plate;
mod resident;
mod social;

use crate::cluster::Number;
use crate::context::Nearby;
use madang_types::PiiKind;

/// Fewer digits than this make no number of ours.
pub const DIGITS_MIN: usize = 9;
/// More digits than this make no number of ours.
pub const DIGITS_MAX: usize = 19;

type Rule = fn(&Number<'_>, &mut Nearby<'_, '_>) -> u8;

/// The rules by number of digits.
fn rules(digits: usize) -> &'static [(PiiKind, Rule)] {
    match digits {
        9 => &[
            (PiiKind::UsSsn, social::confidence),
            (PiiKind::Phone, phone::confidence),
            (PiiKind::Passport, passport::digits_only),
        ],
        10 => &[
            (PiiKind::Phone, phone::confidence),
            (PiiKind::Brn, business::confidence),
            (PiiKind::BankAccount, bank::confidence),
            (PiiKind::DriverLicense, license::without_province),
        ],
        11 => &[
            (PiiKind::Phone, phone::confidence),
            (PiiKind::BankAccount, bank::confidence),
        ],
        12 => &[
            (PiiKind::DriverLicense, license::confidence),
            (PiiKind::Phone, phone::confidence),
            (PiiKind::BankAccount, bank::confidence),
        ],
        13 => &[
            (PiiKind::Rrn, resident::confidence),
            (PiiKind::Frn, resident::foreigner),
            (PiiKind::Crn, business::corporation),
            (PiiKind::Phone, phone::confidence),
            (PiiKind::Card, card::confidence),
            (PiiKind::BankAccount, bank::confidence),
        ],
        14 => &[
            (PiiKind::BankAccount, bank::confidence),
            (PiiKind::Card, card::confidence),
            (PiiKind::Phone, phone::confidence),
        ],
        15 => &[
            (PiiKind::Card, card::confidence),
            (PiiKind::Rrn, resident::with_century),
            (PiiKind::Phone, phone::confidence),
        ],
        16 => &[
            (PiiKind::Card, card::confidence),
            (PiiKind::BankAccount, bank::confidence),
        ],
        17..=DIGITS_MAX => &[(PiiKind::Card, card::confidence)],
        _ => &[],
    }
}

/// Whether any rule takes a number of so many digits.
pub fn may_match(digits: usize) -> bool {
    (DIGITS_MIN..=DIGITS_MAX).contains(&digits)
}

/// The kind that fits best and how sure that is.
pub fn judge(number: &Number<'_>, near: &mut Nearby<'_, '_>) -> Option<(PiiKind, u8)> {
    if number.edges.amount {
        return None;
    }
    let mut best = None;
    for (kind, rule) in rules(number.digits.len()) {
        let mut confidence = rule(number, near);
        if number.edges.joined {
            confidence = confidence.saturating_sub(25);
        }
        if best.is_none_or(|(_, least)| confidence > least) && confidence > 0 {
            best = Some((*kind, confidence));
        }
    }
    best
}
