//! What is left of a tenant's month once its key is erased: a log that verifies, and nothing that confirms a text.

use crate::bench::Bench;
use madang_audit::leaf::Event;
use madang_audit::{ConsistencyProof, Folder, InclusionProof, Leaf, Reader, verifier_key};
use madang_testkit::eventually;
use ring::hmac;
use serde_json::json;
use std::collections::HashSet;
use std::path::Path;

const KEY_BYTES: usize = 32;

fn asked(text: &str) -> String {
    let messages = json!([{"role": "user", "content": text}]);
    json!({"model": "m", "messages": messages, "max_tokens": 2}).to_string()
}

async fn ask(bench: &Bench, key: &str, body: &str) {
    let answer = bench
        .send("POST", "/v1/chat/completions", Some(key), Some(body))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![std::fs::read(path).unwrap()],
        })
        .collect()
}

/// Somebody who has a text and looks for what confirms that it was said: a key of a stored hash of it, or a hash of it that
/// needs none.
struct Holder {
    digest: [u8; KEY_BYTES],
    plain: [u8; KEY_BYTES],
    /// The keyed hashes that are stored.
    hashes: HashSet<String>,
    /// Strings that have been tried and confirm nothing.
    tried: HashSet<[u8; KEY_BYTES]>,
}

impl Holder {
    fn of(said: &[u8], hashes: HashSet<String>) -> Self {
        Self {
            digest: *blake3::hash(said).as_bytes(),
            plain: sha256(said),
            hashes,
            tried: HashSet::new(),
        }
    }

    fn confirms(&self, string: &[u8; KEY_BYTES]) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, string);
        let hash = hex(hmac::sign(&key, &self.digest).as_ref());
        *string == self.digest || *string == self.plain || self.hashes.contains(&hash)
    }

    /// The stored strings that confirm the text, of all that are as long as a key.
    fn confirming(&mut self, folder: &Path) -> HashSet<[u8; KEY_BYTES]> {
        let mut found = HashSet::new();
        for file in files(folder) {
            for window in file.windows(KEY_BYTES) {
                let string = window.try_into().unwrap();
                if self.tried.insert(string) && self.confirms(&string) {
                    self.tried.remove(&string);
                    found.insert(string);
                }
            }
        }
        found
    }
}

fn sha256(said: &[u8]) -> [u8; KEY_BYTES] {
    let digest = ring::digest::digest(&ring::digest::SHA256, said);
    digest.as_ref().try_into().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The log as it lies on the disk, once a checkpoint covers all of it.
async fn log(bench: &Bench) -> Reader<Folder> {
    let audit = &bench.control.gateway().audit;
    let covered = || {
        let status = audit.status();
        status.waiting == 0 && status.checkpoint_size == status.size
    };
    assert!(eventually(covered).await, "{:?}", audit.status());
    let folder = audit.folder();
    Reader::open(Folder::new(folder), verifier_key(folder).unwrap()).unwrap()
}

/// The keyed hashes of prompts, each with its leaf's place.
fn prompt_hashes(reader: &Reader<Folder>) -> Vec<(u64, String)> {
    let mut hashes = Vec::new();
    let each = |index, leaf: &[u8]| {
        if let Event::Decision(decision) = Leaf::decode(leaf).unwrap().event {
            let hash = decision.prompt_hmac.map(|hash| (index, hash.to_string()));
            hashes.extend(hash);
        }
    };
    reader.verify(each).unwrap();
    hashes
}

#[tokio::test]
async fn invariant_9_after_erasure_no_stored_byte_confirms_a_text_and_all_proofs_hold() {
    let bench = Bench::start().await;
    let (_, key) = bench.tenant("alpha").await;
    let said = asked("my number is 010-1234-5678");
    ask(&bench, &key, &said).await;
    let reader = log(&bench).await;
    let hashes = prompt_hashes(&reader);
    let &[(index, _)] = hashes.as_slice() else {
        unreachable!("{hashes:?}")
    };
    let hashes: HashSet<String> = hashes.into_iter().map(|(_, hash)| hash).collect();
    let folder = bench.books_file().parent().unwrap().to_owned();
    let keys = folder.join("audit/keys/alpha");
    let month = std::fs::read_dir(&keys).unwrap().next().unwrap().unwrap();
    let month = month.file_name().into_string().unwrap();
    let secret = std::fs::read(keys.join(&month)).unwrap();
    let mut holder = Holder::of(said.as_bytes(), hashes);
    let only = HashSet::from([secret.try_into().unwrap()]);
    assert_eq!(holder.confirming(&folder), only, "the month's key alone");
    let (old, proof) = (
        reader.checkpoint().clone(),
        InclusionProof::make(&reader, index).unwrap(),
    );

    let whose = json!({"tenant": "alpha", "month": month});
    let erased = bench
        .post("/api/v1/audit/erasures", &bench.operator, whose)
        .await;
    assert_eq!(erased.status, 201, "{}", erased.text);
    assert_eq!(holder.confirming(&folder), HashSet::new());
    // Nor does the key that the same month goes on with.
    ask(&bench, &key, &asked("something else")).await;
    assert_eq!(holder.confirming(&folder), HashSet::new());

    // Proofs of before hold, and what was signed since continues what was signed then.
    let reader = log(&bench).await;
    let key = verifier_key(&folder.join("audit")).unwrap();
    assert_eq!(proof.check(&key).as_ref(), Ok(&old));
    let grown = ConsistencyProof::make(&reader, &old).unwrap();
    assert_eq!(grown.check(&old, &key).as_ref(), Ok(reader.checkpoint()));
    assert_eq!(prompt_hashes(&reader).len(), 2);
}
