//! The sweep: where in sixty-four bytes something may begin that a rule should look at. It may name too many places,
//! never too few; rules decide.

use wide::u8x16;

/// Bytes of a block.
pub const BLOCK: usize = 64;

/// Bytes after a place that decide whether it is named; as many must have come.
pub const LOOK_AHEAD: usize = 8;

/// What a set bit means.
#[derive(Clone, Copy, Default)]
pub struct Anchors {
    /// A digit, the lead of a full-width form, or the first of two digits spelled in Hangul.
    pub digits: u64,
    /// `@`.
    pub ats: u64,
    /// The beginning of what begins credentials, or an underscore or sign of assignment within.
    pub secrets: u64,
}

impl Anchors {
    pub fn any(self) -> u64 {
        self.digits | self.ats | self.secrets
    }
}

/// The places named in `bytes[at..at + 64]`; beyond the end there are none.
pub fn sweep(bytes: &[u8], at: usize) -> Anchors {
    let mut padded = [0u8; BLOCK + 2];
    let block = if let Some(block) = bytes.get(at..at + BLOCK + 2) {
        block
    } else {
        let rest = bytes.get(at..).unwrap_or_default();
        let length = rest.len().min(padded.len());
        if let (Some(to), Some(from)) = (padded.get_mut(..length), rest.get(..length)) {
            to.copy_from_slice(from);
        }
        &padded
    };
    let mut anchors = Anchors::default();
    let mut spoken = 0u64;
    for (lane, _) in block[..BLOCK].chunks_exact(16).enumerate() {
        let quarter = Quarter::load(block, lane * 16);
        let shift = lane * 16;
        anchors.digits |= quarter.digits() << shift;
        anchors.ats |= quarter.ats() << shift;
        anchors.secrets |= quarter.secrets() << shift;
        spoken |= quarter.spoken() << shift;
    }
    // One syllable alone is a word of its own (이, 사, 오 …); two of them, or one beside a digit, may be a number. What
    // lies across the block's end is unknown here and is named.
    let digit = anchors.digits | spoken;
    let followed = digit >> 3 | digit >> 4 | digit >> 5 | digit >> 6 | !(u64::MAX >> 6);
    anchors.digits |= spoken & followed;
    anchors
}

struct Quarter {
    here: u8x16,
    next: u8x16,
    third: u8x16,
}

impl Quarter {
    fn load(block: &[u8], at: usize) -> Self {
        Self {
            here: lane(block, at),
            next: lane(block, at + 1),
            third: lane(block, at + 2),
        }
    }

    fn digits(&self) -> u64 {
        let low = u8x16::splat(b'0');
        let nine = u8x16::splat(9);
        let offset = self.here - low;
        let digit = offset.min(nine).simd_eq(offset);
        bits(digit | self.is(0xEF))
    }

    fn ats(&self) -> u64 {
        bits(self.is(b'@'))
    }

    fn secrets(&self) -> u64 {
        let next = |byte| self.next.simd_eq(u8x16::splat(byte));
        let capital = self.is(b'A') & (next(b'K') | next(b'S') | next(b'I'));
        let dashed = next(b'-') & (self.is(b'k') | self.is(b't') | self.is(b'i') | self.is(b'-'));
        let pairs = (self.is(b'x') & next(b'o'))
            | (self.is(b'y') & next(b'J'))
            | (self.is(b'G') & next(b'.'));
        bits(capital | dashed | pairs | self.is(b'_') | self.is(b'=') | self.is(b':'))
    }

    /// The first bytes of 공 영 일 이 삼 사 오 육 륙 칠 팔 구, by their second and third bytes: a third of the syllables
    /// have the lead byte EC, and the pair tells nearly as much.
    fn spoken(&self) -> u64 {
        let next = |byte| self.next.simd_eq(u8x16::splat(byte));
        let third = |byte| self.third.simd_eq(u8x16::splat(byte));
        let pairs = (next(0x9D) & (third(0xBC) | third(0xB4)))
            | (next(0x82) & (third(0xBC) | third(0xAC)))
            | (next(0x98) & (third(0x81) | third(0xA4)))
            | (next(0x9C) & third(0xA1))
            | (next(0xB9) & third(0xA0))
            | (next(0xA5) & third(0x99))
            | (next(0x8C) & third(0x94))
            | (next(0xB3) & third(0xB5))
            | (next(0xB5) & third(0xAC));
        bits(pairs)
    }

    fn is(&self, byte: u8) -> u8x16 {
        self.here.simd_eq(u8x16::splat(byte))
    }
}

fn lane(block: &[u8], at: usize) -> u8x16 {
    let mut bytes = [0u8; 16];
    if let Some(from) = block.get(at..at + 16) {
        bytes.copy_from_slice(from);
    }
    u8x16::new(bytes)
}

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
            ("key sk-abc", 5),
            ("AKIA", 0),
            ("eyJ", 1),
        ];
        for (given, at) in cases {
            let anchors = sweep(given.as_bytes(), 0).any();
            assert_eq!(anchors.trailing_zeros(), at, "{given}");
        }
        assert_eq!(
            sweep("이 사람이 오늘은 사과를 먹었다".as_bytes(), 0).any() >> 58,
            0
        );
    }
}
