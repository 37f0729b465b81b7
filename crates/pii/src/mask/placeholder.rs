//! How placeholders are written: `[`, the kind, `_`, a number from 1, `]`.

use madang_types::PiiKind;

/// Bytes of the longest placeholder: the longest kind and ten digits.
pub const LENGTH_MAX: usize = 14 + 1 + 10 + 2;

pub fn write(kind: PiiKind, ordinal: u32) -> String {
    format!("[{}_{ordinal}]", kind.as_str())
}

/// What `text` begins with.
#[derive(Debug, PartialEq, Eq)]
pub enum Start {
    /// A placeholder, that many bytes long.
    Whole(PiiKind, u32, usize),
    /// What may become one when more comes.
    Part,
    Other,
}

/// Reads a placeholder at the beginning of `text`, which begins with `[`.
pub fn read(text: &str) -> Start {
    let bytes = text.as_bytes();
    let window = bytes.get(..bytes.len().min(LENGTH_MAX)).unwrap_or_default();
    let Some(close) = window.iter().position(|byte| *byte == b']') else {
        let possible = window
            .iter()
            .skip(1)
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_');
        return if possible && window.len() < LENGTH_MAX {
            Start::Part
        } else {
            Start::Other
        };
    };
    let inside = text
        .get(1..close)
        .and_then(|inside| inside.rsplit_once('_'));
    let read = inside.and_then(|(kind, ordinal)| {
        // One way to write a number: no sign, no leading zero.
        if ordinal.starts_with(['0', '+']) {
            return None;
        }
        Some((kind.parse().ok()?, ordinal.parse().ok()?))
    });
    read.map_or(Start::Other, |(kind, ordinal)| {
        Start::Whole(kind, ordinal, close + 1)
    })
}

/// Every placeholder in `text`.
pub fn all(text: &str) -> impl Iterator<Item = (PiiKind, u32)> {
    text.match_indices('[')
        .filter_map(|(at, _)| match read(text.get(at..)?) {
            Start::Whole(kind, ordinal, _) => Some((kind, ordinal)),
            Start::Part | Start::Other => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_read_as_they_are_written() {
        let longest = PiiKind::ALL
            .iter()
            .map(|kind| write(*kind, u32::MAX).len())
            .max();
        assert_eq!(longest, Some(LENGTH_MAX));
        let cases = [
            ("[PHONE_12] x", Start::Whole(PiiKind::Phone, 12, 10)),
            (
                "[BANK_ACCOUNT_1]",
                Start::Whole(PiiKind::BankAccount, 1, 16),
            ),
            ("[PHONE_01]", Start::Other),
            ("[PHONE_+1]", Start::Other),
            ("[PHONES_1]", Start::Other),
            ("[PHO", Start::Part),
            ("[", Start::Part),
            ("[a", Start::Other),
            ("[AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", Start::Other),
        ];
        for (given, expected) in cases {
            assert_eq!(read(given), expected, "{given}");
        }
    }
}
