//! What must hold for any bytes that come from outside: one function for each kind of input. The fuzzer calls them in
//! `make soak`, the tests of the gateway with what lies in `corpus`. It must not ship, and must not test what one example
//! shows: that is for the rooms' own tests.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use madang_audit::{Checkpoint, ConsistencyProof, InclusionProof, Leaf, Reader, VerifierKey};
use madang_core::PolicyTable;
use madang_gateway::policy;
use madang_gateway::trace_context::{RandomIds, TraceContext};
use madang_gateway::walk::{Masked, inspect};
use madang_pii::{Masker, scan};
use madang_types::Micros;
use madang_wire::urls::{ImageData, named_urls, with_images};
use madang_wire::{AnswerKind, RequestBody, SseSplitter, anthropic};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

/// Nesting of a request at most, as in a fleet file that says nothing of it.
const DEPTH_MAX: u32 = 64;
/// An event of a stream at most, in bytes.
const EVENT_BYTES_MAX: usize = 1 << 16;

/// A request: parsed, looked at, masked, edited. What was masked is one again, and comes back.
pub fn request(bytes: &[u8]) {
    let Ok(body) = RequestBody::parse(Bytes::copy_from_slice(bytes), DEPTH_MAX) else {
        return;
    };
    let inspection = inspect(&body);
    images(&body);
    let pieces = body.edit().set("model", "\"m\"").pieces();
    let edited = RequestBody::parse(pieces.concat().into(), DEPTH_MAX).unwrap();
    assert_eq!(edited.string("model").unwrap().unwrap(), "m");
    if !inspection.is_maskable() {
        return;
    }
    let Masked {
        body: masked,
        restore,
    } = inspection.mask(&body, DEPTH_MAX).unwrap();
    let value = |json: &[u8]| serde_json::from_slice::<serde_json::Value>(json).ok();
    // Keys that come out alike, or arguments that were no JSON, may be told otherwise; texts may not.
    if let (Some(before), Some(after)) = (value(bytes), value(masked.bytes())) {
        assert_eq!(
            before.as_object().unwrap().len(),
            after.as_object().unwrap().len()
        );
        assert!(value(&restore.answer(masked.bytes())).is_some());
    }
}

/// URLs of images give way to the images, and nothing else does.
fn images(body: &RequestBody) {
    let image = ImageData {
        media_type: "image/png",
        base64: "AA==".to_owned(),
    };
    let urls = named_urls(body);
    let images = urls.iter().filter(|named| named.is_image());
    let filled = with_images(body, images.map(|named| (named, &image)));
    let filled = RequestBody::parse(filled.into(), DEPTH_MAX).unwrap();
    let (left, others) = (
        named_urls(&filled),
        urls.iter().filter(|named| !named.is_image()),
    );
    assert!(
        left.iter()
            .map(|named| &named.url)
            .eq(others.map(|named| &named.url))
    );
}

/// An event stream: where it is cut makes no difference, and what is put back into it is JSON.
pub fn events(bytes: &[u8]) {
    let split = |length: usize| {
        let mut splitter = SseSplitter::new(EVENT_BYTES_MAX);
        let mut events = Vec::new();
        let results: Vec<bool> = bytes
            .chunks(length)
            .map(|chunk| {
                splitter
                    .push(Bytes::copy_from_slice(chunk), &mut events)
                    .is_ok()
            })
            .collect();
        (events, results.iter().all(|ok| *ok))
    };
    let ((whole, sound), (pieces, sound_in_pieces)) = (split(usize::MAX), split(3));
    assert_eq!(sound, sound_in_pieces);
    let raw = |events: &[madang_wire::SseEvent]| -> Vec<Bytes> {
        events.iter().map(|event| event.raw.clone()).collect()
    };
    assert_eq!(raw(&whole), raw(&pieces));
    let request = br#"{"messages":[{"content":"010-1234-5678 kim@example.com"}]}"#;
    let body = RequestBody::parse(Bytes::from_static(request), DEPTH_MAX).unwrap();
    let masked = inspect(&body).mask(&body, DEPTH_MAX).unwrap();
    for kind in [
        AnswerKind::Chat,
        AnswerKind::Completions,
        AnswerKind::Responses,
        AnswerKind::Messages,
    ] {
        let mut stream = masked.restore.stream(kind);
        let (mut out, mut all_json) = (Vec::new(), true);
        let is_json = |data: &[u8]| serde_json::from_slice::<serde_json::Value>(data).is_ok();
        for data in whole.iter().filter_map(|event| event.data()) {
            // What is held back leaves in the form of its own event.
            all_json &= is_json(&data);
            stream.event(&data, &mut out);
        }
        stream.finish(&mut out);
        assert!(!all_json || out.iter().all(|data| is_json(data)));
    }
}

/// A fleet file with its policy: refused with its problems, or compiled.
pub fn policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match madang_fleet::parse(text, Path::new("/")) {
        Ok(parsed) => {
            let places = policy::places(&parsed.fleet);
            // What compiles has a decision for everything; what does not is refused.
            drop(PolicyTable::compile(
                &policy::policy_of(&parsed.fleet),
                places,
                Micros(0),
            ));
        }
        Err(problems) => assert!(!problems.is_empty()),
    }
}

/// A log of three leaves: its verifier key, whose other half was thrown away, what it signed at one leaf and at three, and
/// its files.
const LOG_KEY: &str = "test+364db3c8+AXKjKwkFYrdKh0FUYGjnur7P4BFajccLc2ITqje5T8m+";
const NOTES: [&str; 2] = [
    include_str!("../corpus/log/earlier.txt"),
    include_str!("../corpus/log/checkpoint.txt"),
];
const TILES: [(&str, &[u8]); 2] = [
    (
        "tile/entries/000.p/3",
        include_bytes!("../corpus/log/entries.bin"),
    ),
    ("tile/0/000.p/3", include_bytes!("../corpus/log/hashes.bin")),
];

struct Log {
    key: VerifierKey,
    signed: [Checkpoint; 2],
    leaves: Vec<Vec<u8>>,
}

static LOG: LazyLock<Log> = LazyLock::new(|| {
    let key: VerifierKey = LOG_KEY.parse().unwrap();
    let mut leaves = Vec::new();
    let reader = Reader::open(log_with("checkpoint", NOTES[1].as_bytes()), key.clone()).unwrap();
    reader.verify(|_, leaf| leaves.push(leaf.to_vec())).unwrap();
    Log {
        signed: NOTES.map(|note| Checkpoint::open(note, &key).unwrap()),
        key,
        leaves,
    }
});

/// The log's files, with `bytes` for that of one path.
fn log_with(path: &str, bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::from(TILES.map(|(path, bytes)| (path.to_owned(), bytes.to_vec())));
    files.insert("checkpoint".to_owned(), NOTES[1].as_bytes().to_vec());
    files.insert(path.to_owned(), bytes.to_vec());
    files
}

/// A log's files: tiles, checkpoints, notes, proofs and leaves are refused, but for those of the log itself.
pub fn log(bytes: &[u8]) {
    drop(Leaf::decode(bytes));
    let Log {
        key,
        signed,
        leaves,
    } = &*LOG;
    // Signatures of others may stand beside the log's own, so it is what a note says that must be known.
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(found) = Checkpoint::open(text, key) {
            assert!(signed.contains(&found));
        }
        if let Ok(proof) = InclusionProof::parse(text)
            && proof.check(key).is_ok()
        {
            let index = usize::try_from(proof.index).unwrap();
            assert_eq!(leaves.get(index), Some(&proof.leaf));
        }
        if let Ok(proof) = ConsistencyProof::parse(text)
            && let Ok(found) = proof.check(&signed[0], key)
        {
            assert!(signed.contains(&found));
        }
    }
    let verified = |path| {
        let reader = Reader::open(log_with(path, bytes), key.clone())?;
        reader
            .verify(|_, _| {})
            .map(|()| reader.checkpoint().clone())
    };
    if let Ok(found) = verified("checkpoint") {
        assert_eq!(found, signed[1]);
    }
    for (path, truth) in TILES {
        assert_eq!(verified(path).is_ok(), bytes == truth, "{path}");
    }
}

/// A text for the scanner: spans lie in it in order, and what is masked comes back.
pub fn text(bytes: &[u8]) {
    let found = scan(bytes);
    for pair in found.windows(2) {
        assert!(pair[0].span.end <= pair[1].span.start);
    }
    if let Ok(text) = str::from_utf8(bytes) {
        let mut masker = Masker::new([text]);
        let masked = masker.mask(text, &found);
        assert_eq!(masker.unmasker().unmask(&masked), text);
    }
}

/// A caller's headers, one a line: what is sent on is well-formed, and no more than its names.
pub fn headers(bytes: &[u8]) {
    let mut callers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let at = line
            .iter()
            .position(|byte| *byte == b':')
            .unwrap_or(line.len());
        let (name, value) = line.split_at(at);
        let name = HeaderName::from_bytes(name);
        let value = HeaderValue::from_bytes(value.get(1..).unwrap_or_default());
        if let (Ok(name), Ok(value)) = (name, value) {
            callers.append(name, value);
        }
    }
    let mut sent = HeaderMap::new();
    TraceContext::from_headers(&callers, &RandomIds::new()).write(&mut sent);
    assert!(
        sent.keys()
            .all(|name| matches!(name.as_str(), "traceparent" | "tracestate"))
    );
    let values = callers
        .get_all("anthropic-beta")
        .iter()
        .map(HeaderValue::as_bytes);
    if let Some(betas) = anthropic::betas_sent(values) {
        let known = |name: &str| anthropic::BETAS_SENT.contains(&name);
        assert!(betas.split(',').all(|name| known(name.trim())), "{betas}");
    }
}
