//! Cutting a stream of bytes into lines of bounded length. Pure.

use super::LINE_BYTES_MAX;

/// Holds the unfinished line between two reads.
#[derive(Debug, Default)]
pub(super) struct Lines {
    unfinished: Vec<u8>,
}

impl Lines {
    /// Takes bytes and gives each finished line, without its end, to `take`.
    pub fn push(&mut self, mut bytes: &[u8], mut take: impl FnMut(&str)) {
        while !bytes.is_empty() {
            let room = LINE_BYTES_MAX - self.unfinished.len();
            let end = bytes.iter().take(room + 1).position(|b| *b == b'\n');
            if let Some(end) = end {
                self.unfinished.extend_from_slice(&bytes[..end]);
                self.finish(&mut take);
                bytes = &bytes[end + 1..];
            } else if bytes.len() <= room {
                self.unfinished.extend_from_slice(bytes);
                return;
            } else {
                self.unfinished.extend_from_slice(&bytes[..room]);
                bytes = &bytes[room..];
                self.cut(&mut take);
            }
        }
    }

    /// Gives what is left after the stream's end.
    pub fn end(&mut self, mut take: impl FnMut(&str)) {
        if !self.unfinished.is_empty() {
            self.finish(&mut take);
        }
    }

    fn finish(&mut self, take: &mut impl FnMut(&str)) {
        let line = self.unfinished.strip_suffix(b"\r");
        let line = line.unwrap_or(&self.unfinished);
        take(&String::from_utf8_lossy(line));
        self.unfinished.clear();
    }

    /// Gives the full buffer as a line, but for the start of a character that its end would cut in two.
    fn cut(&mut self, take: &mut impl FnMut(&str)) {
        let at = match std::str::from_utf8(&self.unfinished) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Ok(_) | Err(_) => self.unfinished.len(),
        };
        take(&String::from_utf8_lossy(&self.unfinished[..at]));
        self.unfinished.drain(..at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut taken = Vec::new();
        for piece in pieces {
            lines.push(piece, |line| taken.push(line.to_owned()));
        }
        lines.end(|line| taken.push(line.to_owned()));
        taken
    }

    #[test]
    fn lines_are_cut_at_their_ends() {
        assert_eq!(cut(&[b"a\nb\r\n\nc"]), ["a", "b", "", "c"]);
        assert_eq!(cut(&[b"a", b"b", b"\n", b"c\n"]), ["ab", "c"]);
        assert_eq!(cut(&[b"\xff\xfe ok\n"]), ["\u{fffd}\u{fffd} ok"]);
        assert_eq!(cut(&[b""]), Vec::<String>::new());
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let exact = "x".repeat(LINE_BYTES_MAX);
        assert_eq!(cut(&[format!("{exact}\n").as_bytes()]), [exact.as_str()]);
        assert_eq!(
            cut(&[format!("{exact}y\n").as_bytes()]),
            [exact.as_str(), "y"]
        );
        let korean = "마".repeat(LINE_BYTES_MAX);
        let lines = cut(&[korean.as_bytes()]);
        assert!(lines.iter().all(|line| line.len() <= LINE_BYTES_MAX));
        assert_eq!(lines.concat(), korean);
    }

    proptest! {
        #[test]
        fn pieces_change_nothing_and_no_line_is_too_long(
            text in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'a'), any::<u8>()], 0..600),
            repeat in 1_usize..80,
            piece in 1_usize..70_000,
        ) {
            let bytes = text.repeat(repeat);
            let pieces: Vec<&[u8]> = bytes.chunks(piece).collect();
            let lines = cut(&pieces);
            prop_assert_eq!(&lines, &cut(&[&bytes]));
            // A byte that is not UTF-8 becomes a character of three bytes.
            prop_assert!(lines.iter().all(|line| line.len() <= 3 * LINE_BYTES_MAX));
        }
    }
}
