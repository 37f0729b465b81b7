//! What must hold for any bytes from outside, for those in `fuzz/corpus` and for changes of them. `make soak` lets the
//! fuzzer look for others.
#![cfg(test)]

#[path = "../../../fuzz/src/lib.rs"]
mod targets;

use std::path::Path;

/// Calls the function with each file of its corpus, with what is left of it when it is cut, and with single bytes changed.
fn check(name: &str, holds: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(name);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for path in files {
        println!("{}", path.display());
        let bytes = std::fs::read(path).unwrap();
        holds(&bytes);
        let step = bytes.len() / 48 + 1;
        for at in (0..bytes.len()).step_by(step) {
            holds(&bytes[..at]);
            for change in [0x00, 0x22, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = change;
                holds(&changed);
            }
        }
    }
}

#[test]
fn requests() {
    check("request", targets::request);
}

#[test]
fn event_streams() {
    check("events", targets::events);
}

#[test]
fn policies() {
    check("policy", targets::policy);
}

#[test]
fn logs() {
    check("log", targets::log);
}

#[test]
fn texts() {
    check("text", targets::text);
}

#[test]
fn headers() {
    check("headers", targets::headers);
}
