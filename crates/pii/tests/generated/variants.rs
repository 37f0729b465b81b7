//! The ways in which people, forms and evaders write a value.

use crate::random::Random;
use madang_types::PiiKind;

/// Separators of groups.
const SEPARATORS: [(&str, &str); 11] = [
    ("dash", "-"),
    ("solid", ""),
    ("space", " "),
    ("dot", "."),
    ("en dash", "–"),
    ("hyphen", "\u{2010}"),
    ("minus", "\u{2212}"),
    ("no-break", "\u{a0}"),
    ("spaced dash", " - "),
    ("zero width", "\u{200b}"),
    ("joiner", "-\u{2060}"),
];

/// `value` in the variants that make sense for its kind.
pub fn of(kind: PiiKind, value: &str, random: &mut Random) -> Vec<(&'static str, String)> {
    match kind {
        PiiKind::Email
        | PiiKind::Address
        | PiiKind::VehiclePlate
        | PiiKind::Secret
        | PiiKind::Ip => {
            vec![("plain", value.to_owned())]
        }
        PiiKind::Passport => vec![
            ("plain", value.to_owned()),
            ("full width", full_width(value)),
            ("zero width", scattered(value, random)),
        ],
        // Without groups and without a check digit a word must be very near: the sentences have one.
        _ => {
            let mut variants: Vec<(&str, String)> = SEPARATORS
                .iter()
                .map(|(name, separator)| (*name, value.replace('-', separator)))
                .collect();
            variants.push(("full width", full_width(value)));
            variants.push(("full solid", full_width(&value.replace('-', ""))));
            variants.push(("scattered", scattered(value, random)));
            if matches!(kind, PiiKind::Phone | PiiKind::Rrn) && value.starts_with("01")
                || kind == PiiKind::Rrn
            {
                variants.push(("spelled", spelled(value, ' ')));
                variants.push(("spelled dash", spelled(value, '-')));
            }
            variants
        }
    }
}

/// ASCII as its full-width forms.
fn full_width(value: &str) -> String {
    let wide = |letter: char| match u32::from(letter) {
        code @ 0x21..=0x7E => char::from_u32(code + 0xFEE0).unwrap(),
        _ => letter,
    };
    value.chars().map(wide).collect()
}

/// Something without width between some characters.
fn scattered(value: &str, random: &mut Random) -> String {
    let mut text = String::new();
    for letter in value.chars() {
        text.push(letter);
        if random.below(3) == 0 {
            text.push(*random.pick(&['\u{200b}', '\u{200c}', '\u{feff}', '\u{ad}']));
        }
    }
    text
}

/// Digits as they are said.
fn spelled(value: &str, separator: char) -> String {
    let said = |letter: char| match letter.to_digit(10) {
        Some(digit) => "공일이삼사오육칠팔구".chars().nth(digit as usize).unwrap(),
        None => separator,
    };
    value.chars().map(said).collect()
}
