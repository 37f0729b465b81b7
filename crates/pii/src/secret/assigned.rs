//! What is assigned to a password, a key or a token: `password=…`, `"api_key": "…"`, `Authorization: Bearer …`.

use super::Found;
use crate::text::Text;

/// Bytes before the sign that may name what is assigned.
const NAME_MAX: usize = 24;
/// Bytes of a value.
const VALUE_MAX: usize = 256;

/// What names end with that are credentials, and the least length of such a value.
const NAMES: [(&str, usize); 24] = [
    ("password", 6),
    ("passwd", 6),
    ("passphrase", 6),
    ("pwd", 6),
    ("pw", 6),
    ("secret", 8),
    ("token", 16),
    ("api_key", 12),
    ("api-key", 12),
    ("apikey", 12),
    ("access_key", 12),
    ("accesskey", 12),
    ("account_key", 12),
    ("accountkey", 12),
    ("secret_key", 8),
    ("secretkey", 8),
    ("private_key", 12),
    ("auth_key", 12),
    ("authorization", 16),
    ("비밀번호", 6),
    ("패스워드", 6),
    ("비번", 6),
    ("암호", 6),
    ("api 키", 12),
];

/// The value after the sign at `at`.
pub fn value(text: &Text<'_>, at: usize) -> Found {
    let least = named(text, at)?;
    let mut start = at + 1;
    for _ in 0..3 {
        match text.byte(start) {
            Some(b' ' | b'"' | b'\'' | b'=' | b'`') => start += 1,
            _ => break,
        }
    }
    for scheme in ["Bearer ", "bearer ", "Basic ", "Token "] {
        if text.starts_with(start, scheme) {
            start += scheme.len();
        }
    }
    let mut end = start;
    while end - start < VALUE_MAX && text.byte(end).is_some_and(is_value) {
        end += 1;
    }
    // The padding of base64.
    while end > start && end - start < VALUE_MAX && text.byte(end) == Some(b'=') {
        end += 1;
    }
    let value = text.bytes().get(start..end)?;
    let value = value.get(
        ..value.len()
            - value
                .iter()
                .rev()
                .take_while(|byte| b".,!?".contains(byte))
                .count(),
    )?;
    let next = text.byte(end);
    let letters = value.iter().any(u8::is_ascii_alphabetic);
    let others = value.iter().any(u8::is_ascii_digit);
    let called = matches!(next, Some(b'(' | b'[' | b'{' | b'<' | b'$' | b'*'));
    (value.len() >= least && letters && others && !called)
        .then_some((start..start + value.len(), 80))
}

/// The least length of the value where the name before `at` is one of a credential.
fn named(text: &Text<'_>, at: usize) -> Option<usize> {
    let before = text.bytes().get(at.saturating_sub(NAME_MAX)..at)?;
    let trimmed = before.trim_ascii_end();
    let name = trimmed
        .strip_suffix(b"\"")
        .or(trimmed.strip_suffix(b"'"))
        .unwrap_or(trimmed);
    let last = name.last()?.to_ascii_lowercase();
    text.count(NAME_MAX);
    let ends = |word: &str| {
        name.len()
            .checked_sub(word.len())
            .and_then(|from| name.get(from..))
            .is_some_and(|end| end.eq_ignore_ascii_case(word.as_bytes()))
    };
    NAMES
        .iter()
        // The cheap question first.
        .find(|(word, _)| word.as_bytes().last() == Some(&last) && ends(word))
        .map(|(_, least)| *least)
}

fn is_value(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"'`,;()[]{}<>$*\\=".contains(&byte)
}
