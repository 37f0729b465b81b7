//! A log only grows: not even whoever holds its key gets a checkpoint accepted that forgets or rewrites what an earlier one
//! covered.

use super::foreign::theirs;
use super::{Growing, SIZE_MAX, SplitMix};
use crate::{Checkpoint, ConsistencyProof, SigningKey};
use tlog_tiles::check_tree;

/// The leaves that an insider writes anew, each in a log of its own: at the ends of tiles and between.
const REWRITTEN: [u64; 6] = [0, 1, 6, 255, 256, 1_000];

/// A log with the same key and the same leaves but one.
struct Fork {
    rewritten: u64,
    log: Growing,
    earlier: Vec<Checkpoint>,
}

impl Fork {
    fn of(log: &Growing, rewritten: u64) -> Self {
        let key = SigningKey::from_secret_text(&log.key.to_secret_text()).unwrap();
        let log = Growing {
            key,
            ..Growing::new()
        };
        Self {
            rewritten,
            log,
            earlier: Vec::new(),
        }
    }

    fn grow(&mut self) {
        match self.log.edge.size == self.rewritten {
            true => self.log.push(b"rewritten"),
            false => self.log.grow(),
        }
        self.earlier.push(self.log.checkpoint());
    }

    /// Nothing that the fork can show makes it a continuation of what the true log had signed.
    fn is_refused_after(&self, signed: &Checkpoint) {
        let what = format!(
            "leaf {} written anew, {} leaves after {}",
            self.rewritten, self.log.edge.size, signed.size
        );
        let reader = self.log.reader(self.log.files()).unwrap();
        assert!(reader.prove_consistency(signed).is_err(), "{what}");
        let its_own = &self.earlier[usize::try_from(signed.size - 1).unwrap()];
        let proof = ConsistencyProof::make(&reader, its_own).unwrap();
        let key = self.log.key.verifier();
        assert!(proof.check(its_own, key).is_ok(), "{what}");
        assert!(proof.check(signed, key).is_err(), "{what}");
        let hashes = reader.prove_consistency(its_own).unwrap();
        let hashes: Vec<_> = hashes.iter().map(theirs).collect();
        let (new, old) = (self.log.checkpoint(), signed);
        let theirs = check_tree(
            &hashes,
            new.size,
            theirs(&new.root),
            old.size,
            theirs(&old.root),
        );
        assert!(theirs.is_err(), "{what}");
    }
}

#[test]
fn invariant_8_an_accepted_checkpoint_extends_every_earlier_one() {
    let (mut log, mut random) = (Growing::new(), SplitMix(8));
    let mut forks = REWRITTEN.map(|leaf| Fork::of(&log, leaf));
    let (mut signed, mut shorter) = (Vec::new(), None);
    for size in 1..=SIZE_MAX {
        log.grow();
        signed.push(log.checkpoint());
        let reader = log.reader(log.files()).unwrap();
        let key = log.key.verifier();
        for _ in 0..3 {
            let old: &Checkpoint = &signed[random.index(signed.len())];
            let proof = ConsistencyProof::make(&reader, old).unwrap();
            assert_eq!(proof.check(old, key).as_ref(), Ok(reader.checkpoint()));
        }
        if let Some(files) = shorter.replace(log.files()) {
            let cut = log.reader(files).unwrap();
            let refused = cut.prove_consistency(reader.checkpoint());
            assert!(refused.is_err(), "the last of {size} leaves is cut off");
        }
        for fork in &mut forks {
            fork.grow();
            let covering = size.saturating_sub(fork.rewritten);
            if covering > 0 {
                let covered = fork.rewritten + random.below(covering);
                fork.is_refused_after(&signed[usize::try_from(covered).unwrap()]);
            }
        }
    }
}
