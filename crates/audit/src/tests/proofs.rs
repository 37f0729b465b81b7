//! Proofs as files.

use super::{Growing, leaf};
use crate::{ConsistencyProof, InclusionProof, SigningKey};

#[test]
fn proofs_read_back_hold_and_hold_for_no_changed_bit() {
    let mut log = Growing::new();
    let mut earlier = vec![log.checkpoint()];
    for size in 1..=9 {
        log.grow();
        let key = log.key.verifier();
        let reader = log.reader(log.files()).unwrap();
        for index in 0..size {
            let proof = InclusionProof::make(&reader, index).unwrap();
            let text = proof.to_string();
            let read = InclusionProof::parse(&text).unwrap();
            assert_eq!(
                (read.check(key).unwrap(), &read.leaf),
                (log.checkpoint(), &leaf(index))
            );
            assert_eq!(read, proof);
            for at in 0..text.len() {
                let mut changed = text.clone().into_bytes();
                changed[at] ^= 1;
                let holds = String::from_utf8(changed)
                    .ok()
                    .and_then(|text| InclusionProof::parse(&text).ok()?.check(key).ok());
                assert_eq!(holds, None, "byte {at} of {text}");
            }
        }
        for old in &earlier {
            let proof = ConsistencyProof::make(&reader, old).unwrap();
            let read = ConsistencyProof::parse(&proof.to_string()).unwrap();
            assert_eq!(read, proof);
            assert_eq!(read.check(old, key), Ok(log.checkpoint()));
            let stranger = SigningKey::generate("madang.example/test").unwrap();
            assert!(read.check(old, stranger.verifier()).is_err());
        }
        earlier.push(log.checkpoint());
    }
    let reader = log.reader(log.files()).unwrap();
    let proof = ConsistencyProof::make(&reader, &earlier[4]).unwrap();
    assert!(proof.check(&earlier[5], log.key.verifier()).is_err());
    assert!(InclusionProof::make(&reader, 9).is_err());
}

#[test]
fn what_is_no_proof_is_refused() {
    for text in [
        "",
        "old",
        "old 1",
        "old 01\n\nx",
        "old 1\nzz\n\nx",
        "c2sp.org/tlog-proof@v1\nindex 0\n\nx",
        "c2sp.org/tlog-proof@v1\nextra \nindex -1\n\nx",
    ] {
        assert!(
            InclusionProof::parse(text).is_err() && ConsistencyProof::parse(text).is_err(),
            "{text:?}"
        );
    }
}
