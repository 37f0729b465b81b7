//! Reads the head of a GGUF file: enough to say that it is one, what it is, and what it is instead.
//!
//! The file is not trusted: nothing is allocated by a length that it states, and no more than [`HEAD_BYTES_MAX`] is read.

use crate::error::ProvisionError;
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

/// Bytes of metadata and tensor descriptions; the largest known vocabularies take 20 MB.
const HEAD_BYTES_MAX: u64 = 256 << 20;
/// Metadata keys; real files have some dozens.
const KEYS_MAX: u64 = 1 << 16;
/// Tensors; real files have some thousands.
const TENSORS_MAX: u64 = 1 << 20;
/// Bytes of a string that is looked at; longer ones are skipped over.
const TEXT_BYTES_MAX: u64 = 4096;
/// Depth of arrays in arrays.
const DEPTH_MAX: u32 = 4;
/// Most dimensions of a tensor.
const DIMENSIONS_MAX: u32 = 8;

/// What the head of a model file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ModelFileFacts {
    /// Bytes of the file.
    pub bytes: u64,
    /// Version of the format: 2 or 3.
    pub version: u32,
    /// Tensors.
    pub tensors: u64,
    /// `general.architecture`, such as `qwen2`.
    pub architecture: Option<String>,
    /// `general.name`.
    pub name: Option<String>,
    /// The longest context the model was made for, tokens.
    pub context_tokens: Option<u64>,
    /// Whether it has a chat template: without one it only continues text.
    pub chat_template: bool,
}

/// Reads the facts of a model file that llama.cpp is to serve. Blocks for some milliseconds.
///
/// # Errors
/// [`ProvisionError::NotAModel`] with what the file is instead, and the remedy.
pub fn model_file(path: &Path) -> Result<ModelFileFacts, ProvisionError> {
    let not = |found: String, remedy: &str| ProvisionError::NotAModel {
        path: path.into(),
        found,
        remedy: remedy.into(),
    };
    let facts =
        std::fs::metadata(path).map_err(|error| not(error.to_string(), "check the path"))?;
    if facts.is_dir() {
        return Err(not("it is a folder".into(), "name the .gguf file in it"));
    }
    if !facts.is_file() {
        return Err(not("it is not a regular file".into(), "name a .gguf file"));
    }
    let mut file =
        File::open(path).map_err(|error| not(error.to_string(), "check its permissions"))?;
    let mut start = Vec::new();
    file.by_ref()
        .take(512)
        .read_to_end(&mut start)
        .map_err(|error| not(error.to_string(), "check the disk"))?;
    if !start.starts_with(b"GGUF") {
        let (found, remedy) = instead(&start);
        return Err(not(found.to_owned(), remedy));
    }
    file.rewind()
        .map_err(|error| not(error.to_string(), "check the disk"))?;
    read_head(BufReader::with_capacity(1 << 16, file), facts.len()).map_err(|problem| {
        not(
            problem.0,
            "fetch the file again and compare its sha256 with the publisher's",
        )
    })
}

/// What a file that is not GGUF is, by its first bytes.
fn instead(start: &[u8]) -> (&'static str, &'static str) {
    const CONVERT: &str = "convert it with llama.cpp's convert_hf_to_gguf.py, fetch the .gguf of this model, or serve it with vLLM (launch)";
    let text = String::from_utf8_lossy(start)
        .trim_start()
        .to_ascii_lowercase();
    let json_after_length = start.len() > 8 && start[8] == b'{' && start[4..8] == [0; 4];
    match start {
        [] => ("it is empty", "fetch it again"),
        _ if text.starts_with("<!doctype")
            || text.starts_with("<html")
            || text.starts_with("<?xml") =>
        {
            (
                "it is a web page (a download that got a page for a person, or an error, in place of the file)",
                "fetch the file itself: on a model hub the link that has /resolve/ in it",
            )
        }
        _ if text.starts_with("version https://git-lfs") => (
            "it is a Git LFS pointer, not the file",
            "run git lfs pull in that repository",
        ),
        [b'P', b'K', 3, 4, ..] => (
            "it is a zip archive (a PyTorch checkpoint or a Python wheel)",
            CONVERT,
        ),
        _ if json_after_length => ("it is a safetensors file", CONVERT),
        [0x80, 2..=5, ..] => ("it is a Python pickle (a PyTorch checkpoint)", CONVERT),
        [b'l' | b't' | b'f', b'm' | b'j' | b'a', b'g', b'g', ..] => (
            "it is an old GGML file, from before GGUF",
            "fetch the .gguf of this model",
        ),
        [0x1f, 0x8b, ..] => ("it is compressed with gzip", "unpack it first: gunzip"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => ("it is compressed with zstd", "unpack it first: unzstd"),
        _ if text.starts_with('{') || text.starts_with('[') => {
            ("it is JSON text", "name the .gguf file")
        }
        _ if start.iter().all(|&b| b == 0) => (
            "it is all zeros (a download that was never finished)",
            "fetch it again",
        ),
        _ => ("it does not begin with GGUF", "name a .gguf file"),
    }
}

/// Why the head is not one.
struct Problem(String);

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self("it is cut short inside its head".into()),
            _ => Self(error.to_string()),
        }
    }
}

/// Reads within the bounds of the file and of the head.
struct Head<R> {
    from: BufReader<R>,
    read: u64,
    bytes_max: u64,
}

impl<R: Read + Seek> Head<R> {
    fn spend(&mut self, bytes: u64) -> Result<(), Problem> {
        self.read = self.read.saturating_add(bytes);
        if self.read <= self.bytes_max {
            return Ok(());
        }
        Err(Problem(
            "its head states more than the file holds: it is cut short or damaged".into(),
        ))
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        self.spend(N as u64)?;
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, Problem> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn u64(&mut self) -> Result<u64, Problem> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    fn skip(&mut self, bytes: u64) -> Result<(), Problem> {
        self.spend(bytes)?;
        let bytes =
            i64::try_from(bytes).map_err(|_| Problem("a length is beyond all bounds".into()))?;
        Ok(self.from.seek_relative(bytes)?)
    }

    /// A string, where it is short enough to be looked at; its length.
    fn text(&mut self) -> Result<(Option<String>, u64), Problem> {
        let length = self.u64()?;
        if length > TEXT_BYTES_MAX {
            self.skip(length)?;
            return Ok((None, length));
        }
        self.spend(length)?;
        let mut bytes = Vec::new();
        self.from.by_ref().take(length).read_to_end(&mut bytes)?;
        Ok((String::from_utf8(bytes).ok(), length))
    }
}

/// A value of the metadata, as far as it is of use.
enum Value {
    Number(u64),
    Text(Option<String>, u64),
    Other,
}

fn read_head<R: Read + Seek>(
    from: BufReader<R>,
    file_bytes: u64,
) -> Result<ModelFileFacts, Problem> {
    let mut head = Head {
        from,
        read: 0,
        bytes_max: file_bytes.min(HEAD_BYTES_MAX),
    };
    head.bytes::<4>()?;
    let version = head.u32()?;
    if version.swap_bytes() <= 3 {
        return Err(Problem("it is for big-endian machines".into()));
    }
    if !(2..=3).contains(&version) {
        return Err(Problem(format!(
            "it is GGUF version {version}; versions 2 and 3 are known"
        )));
    }
    let (tensors, keys) = (head.u64()?, head.u64()?);
    if keys > KEYS_MAX || tensors > TENSORS_MAX {
        return Err(Problem(format!(
            "it states {keys} keys and {tensors} tensors, more than any model has"
        )));
    }
    if tensors == 0 {
        return Err(Problem(
            "it has no tensors: it is a vocabulary or an empty shell".into(),
        ));
    }
    let mut facts = ModelFileFacts {
        bytes: file_bytes,
        version,
        tensors,
        ..ModelFileFacts::default()
    };
    let mut alignment = 32;
    for _ in 0..keys {
        let (key, _) = head.text()?;
        let kind = head.u32()?;
        let value = value(&mut head, kind, 0)?;
        match (key.as_deref().unwrap_or_default(), value) {
            ("general.architecture", Value::Text(text, _)) => facts.architecture = text,
            ("general.name", Value::Text(text, _)) => facts.name = text,
            ("general.alignment", Value::Number(bytes)) => alignment = bytes,
            ("tokenizer.chat_template", Value::Text(_, length)) => facts.chat_template = length > 0,
            (key, Value::Number(tokens)) if key.ends_with(".context_length") => {
                facts.context_tokens = Some(tokens)
            }
            _ => {}
        }
    }
    let last_offset = last_tensor_offset(&mut head, tensors)?;
    if alignment == 0
        || head
            .read
            .next_multiple_of(alignment.min(HEAD_BYTES_MAX))
            .saturating_add(last_offset)
            >= file_bytes
    {
        return Err(Problem(
            "its tensors lie past its end: it is cut short".into(),
        ));
    }
    Ok(facts)
}

fn value<R: Read + Seek>(head: &mut Head<R>, kind: u32, depth: u32) -> Result<Value, Problem> {
    if let Some(bytes) = fixed_bytes(kind) {
        return match kind {
            4 | 5 => Ok(Value::Number(head.u32()?.into())),
            10 | 11 => Ok(Value::Number(head.u64()?)),
            _ => head.skip(bytes).map(|()| Value::Other),
        };
    }
    match kind {
        8 => head.text().map(|(text, length)| Value::Text(text, length)),
        9 if depth < DEPTH_MAX => {
            let (item, count) = (head.u32()?, head.u64()?);
            if let Some(bytes) = fixed_bytes(item) {
                head.skip(count.saturating_mul(bytes))?;
            } else {
                for _ in 0..count {
                    match item {
                        8 => {
                            let length = head.u64()?;
                            head.skip(length)?;
                        }
                        _ => {
                            value(head, item, depth + 1)?;
                        }
                    }
                }
            }
            Ok(Value::Other)
        }
        _ => Err(Problem(format!(
            "a value of its metadata has the unknown type {kind}"
        ))),
    }
}

/// Bytes of a value of a kind that has always the same length.
fn fixed_bytes(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

/// Where the last tensor begins, from the start of the data.
fn last_tensor_offset<R: Read + Seek>(head: &mut Head<R>, tensors: u64) -> Result<u64, Problem> {
    let mut last = 0;
    for _ in 0..tensors {
        head.text()?;
        let dimensions = head.u32()?;
        if dimensions > DIMENSIONS_MAX {
            return Err(Problem(format!(
                "a tensor of it has {dimensions} dimensions"
            )));
        }
        head.skip(u64::from(dimensions) * 8 + 4)?;
        last = last.max(head.u64()?);
    }
    Ok(last)
}

#[cfg(test)]
#[path = "gguf_tests.rs"]
mod tests;
