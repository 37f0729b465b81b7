//! Any changed bit is refused, and no reader is given what is not authentic.

use super::{FileMap, Growing, SIZE_MAX, SplitMix, leaf};
use crate::AuditError;

/// Whether a log of changed files is refused.
fn refused(log: &Growing, files: FileMap) -> bool {
    log.reader(files)
        .and_then(|reader| reader.verify(|_, _| {}))
        .is_err()
}

#[test]
fn invariant_8_every_bit_of_a_small_log_counts() {
    let mut log = Growing::new();
    for _ in 0..6 {
        log.grow();
        let files = log.files();
        assert!(!refused(&log, files.clone()));
        for (path, bytes) in &files {
            for bit in 0..bytes.len() * 8 {
                let mut changed = bytes.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                let mut files = files.clone();
                files.insert(path.clone(), changed);
                assert!(
                    refused(&log, files),
                    "bit {bit} of {path} at size {}",
                    log.edge.size
                );
            }
        }
    }
}

#[test]
fn invariant_8_a_flipped_bit_a_cut_and_a_missing_file_are_refused_at_every_size() {
    let (mut log, mut random) = (Growing::new(), SplitMix(14));
    for size in 1..=SIZE_MAX {
        log.grow();
        let files = log.files();
        assert!(!refused(&log, files.clone()), "size {size}");
        let paths: Vec<&String> = files.keys().collect();
        for kind in 0..6 {
            let mut changed = files.clone();
            // The newest tiles and the checkpoint are looked at as often as all others together.
            let path = match kind {
                0 => "checkpoint",
                1 => paths[random.index(paths.len())],
                _ => {
                    let partial: Vec<_> = paths
                        .iter()
                        .filter(|path| path.contains(".p/") || path.contains("tile/1"))
                        .collect();
                    partial
                        .get(random.index(partial.len().max(1)))
                        .map_or("checkpoint", |path| path.as_str())
                }
            };
            if kind == 5 {
                changed.remove(path);
            } else if let Some(bytes) = changed.get_mut(path) {
                match kind {
                    4 => bytes.truncate(random.index(bytes.len())),
                    _ => random.flip(bytes),
                }
            }
            assert!(
                refused(&log, changed),
                "{path}, kind {kind}, at size {size}"
            );
        }
    }
}

/// Hashes of a changed tile are in no proof, and a changed leaf is given to nobody.
#[test]
fn cve_2026_56865_a_proof_from_changed_tiles_is_the_true_one_or_none() {
    let (mut log, mut random) = (Growing::new(), SplitMix(15));
    let mut earlier = log.checkpoint();
    let mut refused = 0;
    for size in 1..=SIZE_MAX {
        log.grow();
        let files = log.files();
        let sound = log.reader(files.clone()).unwrap();
        for _ in 0..4 {
            let index = random.below(size);
            let truth = sound.prove(index).unwrap();
            assert_eq!(truth.0, leaf(index));
            let mut changed = files.clone();
            let paths: Vec<String> = changed
                .keys()
                .filter(|path| path.starts_with("tile"))
                .cloned()
                .collect();
            let path = &paths[random.index(paths.len())];
            random.flip(changed.get_mut(path).unwrap());
            let reader = log.reader(changed).unwrap();
            match reader.prove(index) {
                Ok(proof) => assert_eq!(proof, truth, "leaf {index} at size {size}"),
                Err(AuditError::Damaged { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
            match reader.prove_consistency(&earlier) {
                Ok(proof) => assert_eq!(proof, sound.prove_consistency(&earlier).unwrap()),
                Err(AuditError::Damaged { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        if random.below(8) == 0 {
            earlier = log.checkpoint();
        }
    }
    assert!(refused > 1000, "only {refused} were refused");
}
