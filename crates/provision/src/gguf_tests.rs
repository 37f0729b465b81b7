//! Heads built by hand, broken in every way.

use super::*;
use proptest::prelude::*;
use std::io::Cursor;

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn number(out: &mut Vec<u8>, key: &str, value: u32) {
    text(out, key);
    out.extend(4u32.to_le_bytes());
    out.extend(value.to_le_bytes());
}

fn string(out: &mut Vec<u8>, key: &str, value: &str) {
    text(out, key);
    out.extend(8u32.to_le_bytes());
    text(out, value);
}

/// A small well-formed file: five keys, one of them a list of strings, and one tensor of 16 bytes.
fn sample() -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(3u32.to_le_bytes());
    out.extend(1u64.to_le_bytes());
    out.extend(5u64.to_le_bytes());
    string(&mut out, "general.architecture", "qwen2");
    string(&mut out, "general.name", "Sample");
    number(&mut out, "qwen2.context_length", 32_768);
    text(&mut out, "tokenizer.ggml.tokens");
    out.extend(9u32.to_le_bytes());
    out.extend(8u32.to_le_bytes());
    out.extend(3u64.to_le_bytes());
    for token in ["a", "", "서울"] {
        text(&mut out, token);
    }
    string(&mut out, "tokenizer.chat_template", &"x".repeat(5000));
    text(&mut out, "output.weight");
    out.extend(1u32.to_le_bytes());
    out.extend(4u64.to_le_bytes());
    out.extend(0u32.to_le_bytes());
    out.extend(0u64.to_le_bytes());
    out.resize(out.len().next_multiple_of(32) + 16, 0);
    out
}

fn read(bytes: &[u8]) -> Result<ModelFileFacts, String> {
    read_head(BufReader::new(Cursor::new(bytes)), bytes.len() as u64).map_err(|problem| problem.0)
}

#[test]
fn a_whole_file_is_read() {
    let facts = read(&sample()).unwrap();
    assert_eq!(facts.architecture.as_deref(), Some("qwen2"));
    assert_eq!(facts.name.as_deref(), Some("Sample"));
    assert_eq!(facts.context_tokens, Some(32_768));
    assert_eq!(
        (facts.version, facts.tensors, facts.chat_template),
        (3, 1, true)
    );
}

#[test]
fn every_cut_is_seen() {
    let whole = sample();
    for length in 4..whole.len() - 16 {
        assert!(read(&whole[..length]).is_err(), "{length}");
    }
}

#[test]
fn what_a_file_is_instead() {
    let folder = tempfile::tempdir().unwrap();
    let check = |content: &[u8], expected: &str| {
        let path = folder.path().join("model.gguf");
        std::fs::write(&path, content).unwrap();
        let said = model_file(&path).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    };
    check(b"", "it is empty");
    check(b"\n<!DOCTYPE html><html>", "web page");
    check(
        b"version https://git-lfs.github.com/spec/v1",
        "git lfs pull",
    );
    check(b"PK\x03\x04\0\0", "zip archive");
    check(b"\x10\x02\0\0\0\0\0\0{\"__metadata__\":{}}", "safetensors");
    check(b"\x80\x02}q\x01", "pickle");
    check(b"tjgg\x01\0\0\0", "old GGML");
    check(b"\x1f\x8b\x08", "gunzip");
    check(b"{\"model_type\":\"qwen2\"}", "JSON");
    check(&[0; 64], "all zeros");
    check(b"hello", "does not begin with GGUF");
    check(b"GGUF", "cut short");
    check(b"GGUF\0\0\0\x03aaaaaaaaaaaaaaaa", "big-endian");
    check(b"GGUF\x09\0\0\0aaaaaaaaaaaaaaaa", "version 9");
    check(b"GGUF\x03\0\0\0aaaaaaaaaaaaaaaa", "more than any model has");
    let mut shell = b"GGUF\x03\0\0\0".to_vec();
    shell.extend([0; 16]);
    check(&shell, "no tensors");
    assert!(
        model_file(folder.path())
            .unwrap_err()
            .to_string()
            .contains("folder")
    );
    assert!(
        model_file(&folder.path().join("none"))
            .unwrap_err()
            .to_string()
            .contains("No such file")
    );
}

proptest! {
    /// Whatever the bytes, an answer comes, and no length in them is trusted with memory.
    #[test]
    fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut file = b"GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0".to_vec();
        file.extend(bytes);
        read(&file).unwrap_or_default();
    }

    /// A good file with a few bytes changed.
    #[test]
    fn no_change_breaks_it(changes in proptest::collection::vec((0usize..5500, any::<u8>()), 1..8)) {
        let mut file = sample();
        for (place, byte) in changes {
            let length = file.len();
            file[place % length] = byte;
        }
        read(&file).unwrap_or_default();
    }
}
