//! Bytes as hexadecimal digits.

use std::fmt;

const DIGITS: &[u8; 16] = b"0123456789abcdef";
/// Bytes that are written at once: a whole hash.
const RUN_BYTES: usize = 32;

/// Shows bytes as lower-case hexadecimal digits, two for each. Several hashes and ids are written for each request, and the
/// formatting of numbers takes twenty times as long.
#[derive(Clone, Copy, Debug)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 2 * RUN_BYTES];
        for run in self.0.chunks(RUN_BYTES) {
            for (place, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(run) {
                let digit = |nibble: u8| DIGITS[usize::from(nibble)];
                *place = [digit(byte >> 4), digit(byte & 0xf)];
            }
            let digits = std::str::from_utf8(&text[..2 * run.len()]);
            f.write_str(digits.map_err(|_| fmt::Error)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_numbers() {
        let bytes: Vec<u8> = (0..=255).collect();
        for length in [0, 1, 31, 32, 33, 64, 256] {
            let expected: String = bytes[..length].iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(Hex(&bytes[..length]).to_string(), expected);
        }
    }
}
