//! What a file holds, whatever it is packed with: gzip, zstd or nothing. Several packed files one behind the other are one.

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::{self, BufRead, BufReader, Read};

/// Bytes of a text that is held in memory once it is unpacked.
const TEXT_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// What a file holds.
///
/// # Errors
/// It cannot be read.
pub fn unpacked<'r>(reader: impl Read + Send + 'r) -> io::Result<Box<dyn BufRead + Send + 'r>> {
    let mut reader = BufReader::new(reader);
    let head = reader.fill_buf()?;
    Ok(match head {
        [0x1f, 0x8b, ..] => told("gzip", MultiGzDecoder::new(reader)),
        // A frame, or one that says something beside the text.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            told("zstd", Frames::new(reader))
        }
        _ => Box::new(reader),
    })
}

/// The same as a text, whole.
pub(crate) fn unpacked_text(bytes: &[u8]) -> io::Result<String> {
    read_text(unpacked(bytes)?, TEXT_BYTES_MAX)
}

/// A text of at most so many bytes.
///
/// # Errors
/// It is longer, or no text.
pub(crate) fn read_text(reader: impl Read, bytes_max: u64) -> io::Result<String> {
    let mut text = String::new();
    let read = reader.take(bytes_max + 1).read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read <= bytes_max) {
        return Ok(text);
    }
    let problem = format!("it holds more than {bytes_max} bytes");
    Err(io::Error::new(io::ErrorKind::FileTooLarge, problem))
}

/// What goes wrong while something is unpacked is said to be that.
struct Told<R> {
    by: &'static str,
    inner: R,
}

fn told<'r>(by: &'static str, inner: impl Read + Send + 'r) -> Box<dyn BufRead + Send + 'r> {
    Box::new(BufReader::new(Told { by, inner }))
}

impl<R: Read> Read for Told<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.inner.read(into).map_err(|error| {
            let by = self.by;
            let problem = format!("what was packed by {by} is broken or cut off: {error}");
            io::Error::new(error.kind(), problem)
        })
    }
}

/// All frames of a file by zstd, one behind the other: those who pack on several threads write several.
struct Frames<R> {
    source: R,
    decoder: FrameDecoder,
}

impl<R: BufRead> Frames<R> {
    fn new(source: R) -> Self {
        Self {
            source,
            decoder: FrameDecoder::new(),
        }
    }

    /// Begins the next frame; false where there is none.
    fn next_frame(&mut self) -> io::Result<bool> {
        loop {
            if self.source.fill_buf()?.is_empty() {
                return Ok(false);
            }
            let length = match self.decoder.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => u64::from(length),
                Err(error) => return Err(io::Error::other(error)),
            };
            let skipped = io::copy(&mut (&mut self.source).take(length), &mut io::sink())?;
            if skipped < length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// A frame that says what its bytes add up to is believed only if they do.
    fn check_sum(&self) -> io::Result<()> {
        let said = self.decoder.get_checksum_from_data();
        if said.is_none() || said == self.decoder.get_calculated_checksum() {
            return Ok(());
        }
        let problem = "its checksum is another one";
        Err(io::Error::new(io::ErrorKind::InvalidData, problem))
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while !into.is_empty() {
            if self.decoder.can_collect() > 0 {
                return self.decoder.read(into);
            }
            if self.decoder.is_finished() {
                self.check_sum()?;
                if !self.next_frame()? {
                    break;
                }
                continue;
            }
            let some = BlockDecodingStrategy::UptoBytes(into.len());
            let decoded = self.decoder.decode_blocks(&mut self.source, some);
            decoded.map_err(io::Error::other)?;
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn gzip(text: &str) -> Vec<u8> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(text.as_bytes()).unwrap();
        packer.finish().unwrap()
    }

    fn zstd(text: &str) -> Vec<u8> {
        use ruzstd::encoding::{CompressionLevel, compress_to_vec};
        compress_to_vec(text.as_bytes(), CompressionLevel::Fastest)
    }

    fn said(bytes: &[u8]) -> String {
        match unpacked_text(bytes) {
            Ok(text) => text,
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn packed_files_one_behind_the_other_are_one() {
        let long = "0123456789\n".repeat(50_000);
        for pack in [gzip as fn(&str) -> Vec<u8>, zstd] {
            let parts = [pack("head\n"), pack(&long), pack(""), pack("end\n")].concat();
            assert_eq!(said(&parts), format!("head\n{long}end\n"));
        }
        // What says something beside the text is passed over, also as the first.
        let beside = [&[0x51, 0x2a, 0x4d, 0x18, 3, 0, 0, 0], &b"abc"[..]].concat();
        let parts = [&beside, &zstd("one\n"), &beside, &zstd("two\n"), &beside];
        assert_eq!(said(&parts.map(Vec::as_slice).concat()), "one\ntwo\n");
        assert_eq!(said(b""), "");
        assert_eq!(said(b"as it is"), "as it is");
    }

    #[test]
    fn what_is_cut_off_or_broken_is_no_shorter_text() {
        let long: String = (0..20_000).map(|n| format!("{}\n", n * n)).collect();
        for (by, packed) in [("gzip", gzip(&long)), ("zstd", zstd(&long))] {
            let words = format!("what was packed by {by} is broken or cut off");
            for length in [5, packed.len() / 2, packed.len() - 1] {
                let said = said(&packed[..length]);
                assert!(said.starts_with(&words), "{by} {length}: {said}");
            }
            let mut changed = packed.clone();
            let end = changed.len() - 2;
            changed[end] ^= 0x55;
            assert!(said(&changed).starts_with(&words), "{by}");
            let followed = [&packed[..], b"and more"].concat();
            assert!(said(&followed).starts_with(&words), "{by}");
        }
    }
}
