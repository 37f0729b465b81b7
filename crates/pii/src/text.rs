//! The bytes of a text, read one character at a time as a reader would see them: full-width forms as their ASCII
//! twins, every dash as a dash, what has no width as nothing.

use std::cell::Cell;

/// What a character is to the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symbol {
    /// A digit 0–9, ASCII, full-width or mathematical.
    Digit(u8),
    /// A digit 0–9 as a Hangul syllable: 공, 일, 이 …
    Spoken(u8),
    /// Another ASCII character, or the full-width form of one.
    Ascii(u8),
    Space,
    Dash,
    Dot,
    /// Without width: it is read over.
    Nothing,
    /// Any other character.
    Other,
    /// The end of the text.
    End,
}

impl Symbol {
    pub fn is_letter(self) -> bool {
        matches!(self, Self::Ascii(byte) if byte.is_ascii_alphabetic())
    }

    pub fn is_alphanumeric(self) -> bool {
        self.is_letter() || matches!(self, Self::Digit(_))
    }
}

/// A text.
pub struct Text<'a> {
    bytes: &'a [u8],
    steps: Cell<u64>,
}

impl<'a> Text<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            steps: Cell::new(0),
        }
    }

    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Bytes looked at beside the sweep.
    pub fn steps(&self) -> u64 {
        self.steps.get()
    }

    #[inline]
    pub fn count(&self, steps: usize) {
        // Counting takes a tenth of the time.
        if cfg!(test) {
            self.steps.set(self.steps.get() + steps as u64);
        }
    }

    /// The byte at `at`; none after the end.
    pub fn byte(&self, at: usize) -> Option<u8> {
        self.count(1);
        self.bytes.get(at).copied()
    }

    /// The bytes from `at`, `length` of them or fewer at the end.
    pub fn ahead(&self, at: usize, length: usize) -> &'a [u8] {
        let end = at.saturating_add(length).min(self.bytes.len());
        self.count(end.saturating_sub(at));
        self.bytes.get(at..end).unwrap_or_default()
    }

    pub fn starts_with(&self, at: usize, word: &str) -> bool {
        self.ahead(at, word.len()) == word.as_bytes()
    }

    /// Which of some words in Hangul stands at `at`.
    pub fn one_of<const N: usize>(&self, at: usize, words: &Words<N>) -> Option<&'static str> {
        if !words.begin_with(self.ahead(at, 3)) {
            return None;
        }
        let mut words = words.words.iter().copied();
        words.find(|word| self.starts_with(at, word))
    }

    /// The character at `at` and where the next one begins.
    #[inline(always)]
    pub fn symbol(&self, at: usize) -> (Symbol, usize) {
        self.count(1);
        match self.bytes.get(at) {
            Some(first @ ..0x80) => (ascii(*first), at + 1),
            _ => self.symbol_beyond_ascii(at),
        }
    }

    fn symbol_beyond_ascii(&self, at: usize) -> (Symbol, usize) {
        match *self.bytes.get(at..).unwrap_or_default() {
            // Hangul is asked about most, and has nothing else of interest.
            [first @ 0xEA..=0xED, second, third, ..] => (hangul([first, second, third]), at + 3),
            [first @ 0xE0..=0xEF, second, third, ..] => (wide([first, second, third]), at + 3),
            [0xC2, second, ..] => (latin(second), at + 2),
            [0xC3..=0xDF, _, ..] => (Symbol::Other, at + 2),
            [0xF0, 0x9D, 0x9F, last @ 0x8E..=0xBF, ..] => {
                (Symbol::Digit((last - 0x8E) % 10), at + 4)
            }
            [0xF0..=0xF4, _, _, _, ..] => (Symbol::Other, at + 4),
            [..0xC2 | 0xF5.., ..] => (Symbol::Other, at + 1),
            [] => (Symbol::End, at),
            // A character without its rest.
            _ => (Symbol::Other, self.bytes.len()),
        }
    }

    /// The next character that has width, where it begins and where it ends.
    #[inline(always)]
    pub fn visible(&self, at: usize) -> (Symbol, usize, usize) {
        match self.symbol(at) {
            (Symbol::Nothing, next) => self.visible_beyond(next),
            (symbol, next) => (symbol, at, next),
        }
    }

    fn visible_beyond(&self, mut at: usize) -> (Symbol, usize, usize) {
        // Floods of nothing are read once by each anchor before them, and no further than this.
        for _ in 1..ZERO_WIDTH_MAX {
            let (symbol, next) = self.symbol(at);
            if symbol != Symbol::Nothing {
                return (symbol, at, next);
            }
            at = next;
        }
        (Symbol::Other, at, at)
    }

    /// The character with width that ends at `at` and where it begins; [`Symbol::End`] at the beginning.
    #[inline(always)]
    pub fn before(&self, at: usize) -> (Symbol, usize) {
        match self.bytes.get(..at) {
            Some([.., byte @ ..0x80]) => {
                self.count(1);
                (ascii(*byte), at - 1)
            }
            // The beginning of a character without its rest.
            Some([.., 0xC0..=0xFF]) => (Symbol::Other, at - 1),
            _ => self.before_beyond_ascii(at),
        }
    }

    fn before_beyond_ascii(&self, mut at: usize) -> (Symbol, usize) {
        // Most that is not ASCII is Hangul, which is never without width.
        if let Some(
            [
                ..,
                first @ 0xEA..=0xED,
                second @ 0x80..0xC0,
                third @ 0x80..0xC0,
            ],
        ) = self.bytes.get(..at)
        {
            self.count(1);
            return (hangul([*first, *second, *third]), at - 3);
        }
        for _ in 0..ZERO_WIDTH_MAX {
            let mut start = at;
            let floor = at.saturating_sub(4);
            while start > floor {
                start -= 1;
                if self.bytes.get(start).is_none_or(|byte| byte & 0xC0 != 0x80) {
                    break;
                }
            }
            if start == at {
                return (Symbol::End, at);
            }
            let (symbol, _) = self.symbol(start);
            if symbol != Symbol::Nothing {
                return (symbol, start);
            }
            at = start;
        }
        (Symbol::Other, at)
    }
}

/// Words in Hangul, with their first syllables: these tell most of what stands in a text from all of them.
pub struct Words<const N: usize> {
    words: [&'static str; N],
    firsts: [u32; N],
}

impl<const N: usize> Words<N> {
    pub const fn new(words: [&'static str; N]) -> Self {
        let mut firsts = [0; N];
        let mut at = 0;
        while at < N {
            firsts[at] = first_syllable(words[at].as_bytes());
            at += 1;
        }
        Self { words, firsts }
    }

    /// Whether any of them begins with the first syllable of `bytes`.
    #[inline]
    pub fn begin_with(&self, bytes: &[u8]) -> bool {
        self.firsts.contains(&first_syllable(bytes))
    }
}

/// The first three bytes as a number; 0 where there are fewer.
const fn first_syllable(bytes: &[u8]) -> u32 {
    match *bytes {
        [first, second, third, ..] => u32::from_be_bytes([0, first, second, third]),
        _ => 0,
    }
}

/// Characters without width that are read over in a row.
const ZERO_WIDTH_MAX: usize = 4;

#[inline]
fn ascii(byte: u8) -> Symbol {
    ASCII
        .get(usize::from(byte))
        .copied()
        .unwrap_or(Symbol::Other)
}

const ASCII: [Symbol; 128] = {
    let mut symbols = [Symbol::Other; 128];
    let mut byte = 0;
    while byte < 128 {
        symbols[byte as usize] = match byte {
            b'0'..=b'9' => Symbol::Digit(byte - b'0'),
            b' ' | b'\t' => Symbol::Space,
            b'-' => Symbol::Dash,
            b'.' => Symbol::Dot,
            _ => Symbol::Ascii(byte),
        };
        byte += 1;
    }
    symbols
};

fn latin(second: u8) -> Symbol {
    match second {
        0xA0 => Symbol::Space,
        0xAD => Symbol::Nothing,
        0xB7 => Symbol::Dot,
        _ => Symbol::Other,
    }
}

#[inline]
fn hangul(bytes: [u8; 3]) -> Symbol {
    spoken_digit(bytes).map_or(Symbol::Other, Symbol::Spoken)
}

fn wide(bytes: [u8; 3]) -> Symbol {
    match bytes {
        // U+FF01–U+FF5E, the full-width ASCII
        [0xEF, 0xBC, last @ 0x81..=0xBF] => ascii(last - 0x81 + b'!'),
        [0xEF, 0xBD, last @ 0x80..=0x9E] => ascii(last - 0x80 + b'`'),
        [0xE2, 0x80, 0x80..=0x8A | 0xAF] | [0xE2, 0x81, 0x9F] | [0xE3, 0x80, 0x80] => Symbol::Space,
        // hyphens and dashes, minus, box drawing, Hangul and kana long marks, small hyphen
        [0xE2, 0x80, 0x90..=0x95]
        | [0xE2, 0x81, 0x83]
        | [0xE2, 0x88, 0x92]
        | [0xE2, 0x94, 0x80]
        | [0xE3, 0x85, 0xA1]
        | [0xE3, 0x83, 0xBC]
        | [0xEF, 0xB9, 0xA3] => Symbol::Dash,
        [0xE2, 0x80, 0xA2 | 0xA4 | 0xA7] | [0xE2, 0x8B, 0x85] | [0xE3, 0x83, 0xBB] => Symbol::Dot,
        // joiners, marks of direction, byte order mark, variation selectors, the enclosing keycap
        [0xE2, 0x80, 0x8B..=0x8F | 0xAA..=0xAE]
        | [0xE2, 0x81, 0xA0..=0xA4]
        | [0xE2, 0x83, 0xA3]
        | [0xE1, 0xA0, 0x8E]
        | [0xEF, 0xBB, 0xBF]
        | [0xEF, 0xB8, 0x8E | 0x8F] => Symbol::Nothing,
        _ => Symbol::Other,
    }
}

/// Whether the bytes at `at` are a syllable that is read as a digit.
#[inline]
pub fn is_spoken_digit(bytes: &[u8], at: usize) -> bool {
    match *bytes.get(at..).unwrap_or_default() {
        [first, second, third, ..] => spoken_digit([first, second, third]).is_some(),
        _ => false,
    }
}

/// The syllables that are read as digits.
const SPOKEN: [(&str, u8); 12] = [
    ("공", 0),
    ("영", 0),
    ("일", 1),
    ("이", 2),
    ("삼", 3),
    ("사", 4),
    ("오", 5),
    ("육", 6),
    ("륙", 6),
    ("칠", 7),
    ("팔", 8),
    ("구", 9),
];

/// Them by [`slot`], each as one number with its digit last; no two have the same slot.
const SPOKEN_SLOTS: [u32; 32] = {
    let mut slots = [0; 32];
    let mut rest: &[(&str, u8)] = &SPOKEN;
    while let [(syllable, digit), others @ ..] = rest {
        if let [first, second, third] = *syllable.as_bytes() {
            slots[slot(second, third)] = u32::from_be_bytes([first, second, third, *digit]);
        }
        rest = others;
    }
    slots
};

#[inline]
const fn slot(second: u8, third: u8) -> usize {
    (second as usize + 5 * third as usize) / 2 % 32
}

/// The digit that a Hangul syllable is read as.
#[inline]
fn spoken_digit(bytes: [u8; 3]) -> Option<u8> {
    let [first, second, third] = bytes;
    let found = SPOKEN_SLOTS.get(slot(second, third))?;
    // What differs in the digit's place alone is the syllable.
    let digit = found ^ u32::from_be_bytes([first, second, third, 0]);
    u8::try_from(digit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_read_as_a_reader_sees_them() {
        let cases = [
            ("7", Symbol::Digit(7)),
            ("７", Symbol::Digit(7)),
            ("𝟟", Symbol::Digit(7)),
            ("칠", Symbol::Spoken(7)),
            ("－", Symbol::Dash),
            ("–", Symbol::Dash),
            ("\u{a0}", Symbol::Space),
            ("\u{3000}", Symbol::Space),
            ("．", Symbol::Dot),
            ("＠", Symbol::Ascii(b'@')),
            ("Ｍ", Symbol::Ascii(b'M')),
            ("\u{200b}", Symbol::Nothing),
            ("한", Symbol::Other),
        ];
        for (given, expected) in cases {
            let text = Text::new(given.as_bytes());
            assert_eq!(text.symbol(0), (expected, given.len()), "{given:?}");
            if expected != Symbol::Nothing {
                assert_eq!(text.before(given.len()), (expected, 0), "{given:?}");
            }
        }
    }
}
