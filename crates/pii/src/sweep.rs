//! The sweep: where in sixty-four bytes something may begin that a rule should look at. It may name too many places,
//! never too few; rules decide.

use wide::u8x16;

/// Bytes of a block.
pub const BLOCK: usize = 64;

/// The places named in `bytes[at..at + 64]`, a bit for each: digits, leads of full-width forms, digits spelled in Hangul
/// that others follow, `@`, and what stands in the beginnings of credentials (`-`, `_`, G–J) and in assignments (`=`,
/// `:`). Beyond the end there are none.
#[inline]
pub fn sweep(bytes: &[u8], at: usize) -> u64 {
    if let Some(block) = bytes.get(at..at + BLOCK + 2) {
        return places(block, 0);
    }
    let mut padded = [0u8; BLOCK + 2];
    let rest = bytes.get(at..).unwrap_or_default();
    for (to, from) in padded.iter_mut().zip(rest) {
        *to = *from;
    }
    places(
        &padded,
        u64::MAX.unbounded_shl(u32::try_from(rest.len()).unwrap_or(u32::MAX)),
    )
}

#[inline]
fn places(block: &[u8], unknown: u64) -> u64 {
    let quarters = [0, 16, 32, 48].map(|at| (at, lane(block, at)));
    let (mut named, mut beyond_ascii) = (0, 0);
    for (at, here) in quarters {
        named |= bits(singles(here)) << at;
        beyond_ascii |= bits(here) << at;
    }
    if beyond_ascii == 0 {
        return named;
    }
    let mut spoken = 0;
    for (at, _) in quarters {
        spoken |= bits(spelled(lane(block, at + 1), lane(block, at + 2))) << at;
    }
    spoken &= beyond_ascii;
    // One syllable is a word of its own (이, 사, 오 …), and so are two; three of them, or some beside digits, may be a
    // number. What lies across the end of the block is unknown here and taken for digits.
    let digit = named | spoken | unknown;
    let across = |bytes: u32| !(u64::MAX >> bytes);
    let mut within_11 = digit >> 1 | digit >> 2;
    within_11 |= within_11 >> 2;
    within_11 |= within_11 >> 4;
    within_11 |= within_11 >> 3 | across(11);
    let second = digit & within_11;
    let from_3_to_6 = second >> 3 | second >> 4 | second >> 5 | second >> 6 | across(6);
    named | spoken & from_3_to_6
}

#[inline]
fn singles(here: u8x16) -> u8x16 {
    let is = |byte| here.simd_eq(u8x16::splat(byte));
    let within = |first: u8, last: u8| {
        let offset = here - u8x16::splat(first);
        offset.min(u8x16::splat(last - first)).simd_eq(offset)
    };
    // 0x2D and 0x3D differ in one bit.
    let dash_or_equals = (here | u8x16::splat(b'-' ^ b'=')).simd_eq(u8x16::splat(b'='));
    within(b'0', b':') | within(b'G', b'J') | dash_or_equals | is(b'@') | is(b'_') | is(0xEF)
}

/// High where 공 영 일 이 삼 사 오 육 륙 칠 팔 구 begin, and at one other syllable in ten: six comparisons of a mixture of the
/// second and third bytes do for twelve syllables.
#[inline]
fn spelled(second: u8x16, third: u8x16) -> u8x16 {
    let mixed = (second ^ third) + third;
    let is = |but: u8, byte: u8| (mixed | u8x16::splat(but)).simd_eq(u8x16::splat(byte));
    // 공 영 삼 사, 일 이 륙 구, 오, 육, 칠, 팔
    is(0x61, 0xFB) | is(0x18, 0xDD) | is(0, 0xE0) | is(0, 0xDE) | is(0, 0xB9) | is(0, 0xAC)
}

#[inline]
fn lane(block: &[u8], at: usize) -> u8x16 {
    let mut bytes = [0u8; 16];
    if let Some(from) = block.get(at..at + 16) {
        bytes.copy_from_slice(from);
    }
    u8x16::new(bytes)
}

#[inline]
fn bits(lane: u8x16) -> u64 {
    u64::from(lane.to_bitmask())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_begin_something_is_named() {
        let cases = [
            ("no. 7", 4),
            ("tel ０１０", 4),
            ("번호 공일공", 7),
            ("번호 일 이", 7),
            ("me@example.com", 2),
            ("key sk-abc", 6),
            ("AKIA", 2),
            ("eyJ", 2),
        ];
        for (given, at) in cases {
            assert_eq!(sweep(given.as_bytes(), 0).trailing_zeros(), at, "{given}");
        }
    }

    #[test]
    fn all_digits_spelled_in_hangul_are_named() {
        for first in "공영일이삼사오육륙칠팔구".chars() {
            let pair = format!("{first}일");
            assert_eq!(sweep(pair.as_bytes(), 0) & 1, 1, "{pair}");
        }
    }
}
