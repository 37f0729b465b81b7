//! Personal data for requests, in the ways people write it, and how to find it again in bytes.

use crate::random::Random;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use madang_types::PiiKind;
use serde_json::Value;

/// A value that a request holds.
#[derive(Clone, Debug)]
pub struct Planted {
    pub kind: PiiKind,
    /// As it is written.
    pub written: String,
}

impl Planted {
    /// A value of that kind, in a sentence.
    pub fn new(kind: PiiKind, random: &mut Random) -> (Self, String) {
        let (before, plain) = match kind {
            PiiKind::Rrn => ("주민등록번호는 ", resident(random, 1, 11)),
            PiiKind::Frn => ("외국인등록번호는 ", resident(random, 5, 13)),
            PiiKind::Passport => ("여권 번호는 ", format!("M{}", random.digits(8))),
            PiiKind::DriverLicense => {
                let (region, year) = (random.between(11, 26), random.between(10, 25));
                let (serial, check) = (random.digits(6), random.digits(2));
                (
                    "운전면허 번호는 ",
                    format!("{region}-{year}-{serial}-{check}"),
                )
            }
            PiiKind::Email => (
                "메일은 ",
                format!("kim{}@mail.example.com", random.digits(5)),
            ),
            PiiKind::Card => ("카드 번호는 ", card(random)),
            _ => (
                "전화는 ",
                format!("010-{}-{}", random.between(2000, 9999), random.digits(4)),
            ),
        };
        let written = match kind {
            PiiKind::Email | PiiKind::Passport => plain,
            _ => variant(&plain, random),
        };
        let sentence = format!("{before}{written} 입니다. ");
        (Self { kind, written }, sentence)
    }

    /// A resident's number as a number, in no sentence.
    pub fn number(random: &mut Random) -> Self {
        Self {
            kind: PiiKind::Rrn,
            written: resident(random, 1, 11).replace('-', ""),
        }
    }

    /// Whether the value stands in a JSON body in any way: cut into parts, encoded, with other separators.
    pub fn is_in(&self, body: &[u8]) -> bool {
        bare(&flat(body)).contains(&bare(&self.written))
    }

    /// Whether the value stands in bytes of any kind as it was written, or without its separators.
    pub fn is_in_text(&self, text: &str) -> bool {
        let narrow = bare(&self.written);
        text.contains(&self.written) || text.contains(&narrow)
    }
}

fn resident(random: &mut Random, century: usize, base: usize) -> String {
    let (year, month) = (random.between(10, 14), random.between(1, 12));
    let (day, century) = (random.between(10, 28), century + random.below(2));
    let number = format!("{year}{month:02}{day}-{century}{}", random.digits(5));
    let digits = number.bytes().filter(u8::is_ascii_digit);
    let weights = [2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5];
    let sum: usize = digits
        .zip(weights)
        .map(|(digit, weight)| usize::from(digit - b'0') * weight)
        .sum();
    format!("{number}{}", (base - sum % 11) % 10)
}

fn card(random: &mut Random) -> String {
    let number = format!("4{}", random.digits(14));
    let sum: u32 = number
        .bytes()
        .enumerate()
        .map(|(at, digit)| {
            let digit = u32::from(digit - b'0');
            let twice = digit * 2;
            if at % 2 == 0 {
                twice / 10 + twice % 10
            } else {
                digit
            }
        })
        .sum();
    let number = format!("{number}{}", (10 - sum % 10) % 10);
    format!(
        "{}-{}-{}-{}",
        &number[..4],
        &number[4..8],
        &number[8..12],
        &number[12..]
    )
}

/// The value with other separators, or in full width.
fn variant(plain: &str, random: &mut Random) -> String {
    match random.below(6) {
        0 => plain.replace('-', " "),
        1 => plain.replace('-', "–"),
        2 => plain.replace('-', "-\u{200b}"),
        3 => plain.chars().map(wide).collect(),
        _ => plain.to_owned(),
    }
}

fn wide(letter: char) -> char {
    match u32::from(letter) {
        code @ 0x21..=0x7E => char::from_u32(code + 0xFEE0).unwrap(),
        _ => letter,
    }
}

/// All texts of a JSON body in order: where one is cut into parts makes no difference.
pub fn flat(body: &[u8]) -> String {
    let mut text = String::new();
    all_texts(&serde_json::from_slice(body).unwrap(), &mut text);
    text
}

/// Letters and digits alone, in half width.
fn bare(text: &str) -> String {
    let narrow = |letter: char| match u32::from(letter) {
        code @ 0xFF01..=0xFF5E => char::from_u32(code - 0xFEE0).unwrap(),
        _ => letter,
    };
    text.chars()
        .map(narrow)
        .filter(|letter| letter.is_alphanumeric() || *letter == '@')
        .collect()
}

/// Every key, string and number, in order; what is JSON or base64 inside a string too.
fn all_texts(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => {
            out.push_str(text);
            let encoded = text.split_once(";base64,").map(|(_, content)| content);
            if let Some(bytes) = encoded.and_then(|content| STANDARD.decode(content).ok()) {
                out.push_str(&String::from_utf8_lossy(&bytes));
            }
            if let Ok(inside @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(text) {
                all_texts(&inside, out);
            }
        }
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::Array(items) => {
            for item in items {
                // The words between two parts of a content are no part of it.
                let part = item.get("text").filter(|_| item["type"] == "text");
                all_texts(part.unwrap_or(item), out);
            }
        }
        Value::Object(fields) => {
            for (key, value) in fields {
                out.push_str(key);
                all_texts(value, out);
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}
