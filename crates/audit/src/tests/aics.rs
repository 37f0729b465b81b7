//! PyPI's `aics-tlog`, which nobody here wrote, reads the same logs: `aics.py` beside this file asks it.

use super::{Growing, SIZE_MAX};
use std::path::PathBuf;
use std::process::Command;

/// The Python that `scripts/tools test` sets up.
fn python() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.join(".cache/venv/bin/python")
}

#[test]
fn invariant_8_aics_tlog_accepts_logs_of_every_size_and_refuses_changed_ones() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = Growing::new();
    for size in 1..=SIZE_MAX {
        log.grow();
        for (path, bytes) in log.files() {
            let path = match path.as_str() {
                "checkpoint" => folder.path().join(format!("checkpoints/{size}")),
                path => folder.path().join(path),
            };
            if !path.exists() {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, bytes).unwrap();
            }
        }
    }
    assert!(
        python().exists(),
        "{} is missing; run: scripts/tools test",
        python().display()
    );
    let said = Command::new(python())
        .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/tests/aics.py"))
        .arg(folder.path())
        .arg(log.key.verifier().to_string())
        .arg(SIZE_MAX.to_string())
        .output()
        .unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
    assert!(
        said.status.success() && text.contains(&format!("{SIZE_MAX} sizes")),
        "{text}"
    );
}
