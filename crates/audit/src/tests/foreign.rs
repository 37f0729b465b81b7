//! The crates `signed_note` and `tlog_tiles` of Cloudflare, which nobody here wrote, accept our checkpoints and proofs and
//! refuse changed ones. Their `TileHashReader` is not used: version 0.2.0 gives out hashes of changed tiles.

use super::{Growing, ORIGIN, SIZE_MAX, SplitMix, leaf};
use crate::Hash;
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{check_record, check_tree, record_hash};

pub(super) fn theirs(hash: &Hash) -> tlog_tiles::Hash {
    tlog_tiles::Hash(hash.0)
}

/// The size and root of a note that their verifier accepts.
fn opened(note: &[u8], key: &str) -> Option<(u64, tlog_tiles::Hash)> {
    let note = Note::from_bytes(note).ok()?;
    let known = VerifierList::new(vec![Box::new(StandardVerifier::new(key).ok()?)]);
    note.verify(&known).ok()?;
    let checkpoint = tlog_tiles::Checkpoint::from_bytes(note.text()).ok()?;
    (checkpoint.origin() == ORIGIN).then(|| (checkpoint.size(), *checkpoint.hash()))
}

fn flipped(hashes: &[tlog_tiles::Hash], random: &mut SplitMix) -> Option<Vec<tlog_tiles::Hash>> {
    let mut hashes = hashes.to_vec();
    let at = random.index(hashes.len().max(1));
    random.flip(&mut hashes.get_mut(at)?.0);
    Some(hashes)
}

#[test]
fn invariant_8_others_accept_checkpoints_and_proofs_of_every_size_and_refuse_changed_ones() {
    let (mut log, mut random) = (Growing::new(), SplitMix(16));
    let key = log.key.verifier().to_string();
    let mut roots = vec![log.checkpoint()];
    for size in 1..=SIZE_MAX {
        log.grow();
        let files = log.files();
        let note = files["checkpoint"].clone();
        let (their_size, root) = opened(&note, &key).unwrap();
        assert_eq!((their_size, root.0), (size, log.checkpoint().root.0));
        let mut changed = note;
        random.flip(&mut changed);
        assert_eq!(opened(&changed, &key), None, "size {size}");

        let reader = log.reader(files).unwrap();
        let index = random.below(size);
        let (bytes, hashes) = reader.prove(index).unwrap();
        assert_eq!(bytes, leaf(index));
        let proof: Vec<_> = hashes.iter().map(theirs).collect();
        check_record(&proof, size, root, index, record_hash(&bytes)).unwrap();
        assert!(check_record(&proof, size, root, index, record_hash(b"other")).is_err());
        if let Some(changed) = flipped(&proof, &mut random) {
            assert!(check_record(&changed, size, root, index, record_hash(&bytes)).is_err());
        }

        let old = &roots[random.index(roots.len())];
        let proof: Vec<_> = reader
            .prove_consistency(old)
            .unwrap()
            .iter()
            .map(theirs)
            .collect();
        if old.size > 0 {
            let before = theirs(&old.root);
            check_tree(&proof, size, root, old.size, before).unwrap();
            if let Some(changed) = flipped(&proof, &mut random) {
                assert!(check_tree(&changed, size, root, old.size, before).is_err());
            }
        }
        roots.push(log.checkpoint());
    }
}
