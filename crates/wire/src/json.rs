//! The one JSON reader of this crate: a strict scanner that checks a whole text in one pass without recursion, and a
//! lenient cursor that walks a text by skipping.
//!
//! Both work on bytes and keep spans, because what is forwarded must stay byte for byte.

mod scan;
mod walk;

#[cfg(test)]
mod tests;

pub(crate) use scan::{Fault, FaultKind, Scanner};
pub(crate) use walk::{Key, Kind, Value, string_end};

/// The offset of the first byte at or after `at` that is not JSON white space.
pub(crate) fn skip_space(text: &[u8], at: usize) -> usize {
    let mut at = at;
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = text.get(at) {
        at += 1;
    }
    at
}

/// The offset of the first byte at or after `at` that ends a run of plain string text: a quote, a backslash, and with
/// `CONTROLS` a control character. The end of the text when there is none.
pub(crate) fn plain_end<const CONTROLS: bool>(text: &[u8], at: usize) -> usize {
    let mut at = at;
    // Text with many escapes has short runs: a few words first, then all there is.
    for _ in 0..4 {
        let Some(word) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) else {
            break;
        };
        let found = stops_in::<CONTROLS>(u64::from_le_bytes(*word));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = text.get(at..).unwrap_or_default();
    let run = &rest[..memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len())];
    // The smallest byte of the run is found without an early exit, so that the compiler makes vector code of it.
    if CONTROLS && run.iter().fold(u8::MAX, |least, &byte| least.min(byte)) < 0x20 {
        return at
            + run
                .iter()
                .position(|&byte| byte < 0x20)
                .unwrap_or(run.len());
    }
    at + run.len()
}

/// The high bits of the bytes of `word` at which a plain run ends. Only the lowest of them is certain: the borrow of a
/// true one may mark bytes above it.
fn stops_in<const CONTROLS: bool>(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let controls = if CONTROLS {
        word.wrapping_sub(ONES * 0x20) & !word
    } else {
        0
    };
    (zero(word ^ (ONES * 0x22)) | zero(word ^ (ONES * 0x5c)) | controls) & HIGH
}
