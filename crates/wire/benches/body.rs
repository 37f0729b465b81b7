//! Time to check and edit a request body, to measure its text, and to read a stream's events.
//!
//! Bounds to hold in release on one 2020s core: a 16 KB body in 30 µs, one of 400 KB in 300 µs.

use bytes::Bytes;
use divan::Bencher;
use divan::counter::BytesCount;
use madang_wire::anthropic::{door::MessagesStream, upstream::ChatStream};
use madang_wire::{AnswerKind, RequestBody, SseSplitter, prefix, sniff, text, urls, usage};

fn main() {
    divan::main();
}

const DEPTH_MAX: u32 = 64;
const SIZES: &[usize] = &[1_000, 16_000, 400_000];

/// What a prompt is made of.
#[derive(Debug, Clone, Copy)]
enum Prose {
    English,
    Korean,
    /// Code: an escape every few bytes.
    Code,
    /// Korean as encoders for ASCII write it: nothing but escapes.
    Escaped,
    /// Token ids.
    Numbers,
}

const PROSES: [Prose; 5] = [
    Prose::English,
    Prose::Korean,
    Prose::Code,
    Prose::Escaped,
    Prose::Numbers,
];

fn body(prose: Prose, size: usize) -> Bytes {
    let phrase = match prose {
        Prose::English => "The quick brown fox jumps over the lazy dog. ",
        Prose::Korean => "포항의 데이터 센터에서 모델이 대답합니다. ",
        Prose::Code => "    let x = \\\"a\\\";\\n",
        Prose::Escaped => "\\ud3ec\\ud56d\\uc758 \\ub370\\uc774\\ud130 ",
        Prose::Numbers => "10234, ",
    };
    let content = phrase.repeat(size / phrase.len() + 1);
    Bytes::from(match prose {
        Prose::Numbers => format!("{{\"model\":\"m\",\"stream\":true,\"prompt\":[{content}0]}}"),
        _ => format!(
            "{{\"model\":\"m\",\"stream\":true,\"temperature\":0.7,\"max_tokens\":256,\"messages\":[\
             {{\"role\":\"system\",\"content\":\"You are helpful.\"}},\
             {{\"role\":\"user\",\"content\":\"{content}\"}}]}}"
        ),
    })
}

fn each(bencher: Bencher<'_, '_>, size: usize, prose: Prose, run: impl Fn(Bytes) -> u64 + Sync) {
    let body = body(prose, size);
    bencher
        .counter(BytesCount::new(body.len()))
        .bench(|| run(divan::black_box(body.clone())));
}

#[divan::bench(args = SIZES, consts = [0, 1, 2, 3, 4])]
fn parse<const PROSE: usize>(bencher: Bencher<'_, '_>, size: usize) {
    each(bencher, size, PROSES[PROSE], |bytes| {
        RequestBody::parse(bytes, DEPTH_MAX).is_ok().into()
    });
}

/// All the gateway does with a body: check, read its features, measure its text, look for URLs, set the model.
#[divan::bench(args = SIZES, consts = [0, 1, 2, 3, 4])]
fn all<const PROSE: usize>(bencher: Bencher<'_, '_>, size: usize) {
    each(bencher, size, PROSES[PROSE], |bytes| {
        let Ok(body) = RequestBody::parse(bytes, DEPTH_MAX) else {
            return 0;
        };
        let features = sniff::features(&body).is_ok();
        let edited = body.edit().set("model", "\"org/engine-name\"").pieces();
        let urls = urls::named_urls(&body).len() as u64;
        u64::from(features)
            + text::prompt_bytes(&body, AnswerKind::Chat)
            + edited.len() as u64
            + urls
    });
}

/// The hashes of a checked body's prompt. 50 KB of prose must stay within 15 µs; code with a quote every few bytes takes 30.
#[divan::bench(args = [50_000, 400_000], consts = [0, 1, 2, 3])]
fn prompt_blocks<const PROSE: usize>(bencher: Bencher<'_, '_>, size: usize) {
    let bytes = body(PROSES[PROSE], size);
    let Ok(body) = RequestBody::parse(bytes, DEPTH_MAX) else {
        return;
    };
    bencher.counter(BytesCount::new(size)).bench(|| {
        prefix::prompt_blocks(divan::black_box(&body), None, (AnswerKind::Chat, "m"), 1024)
    });
}

const CHUNK: &str = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\
    \"choices\":[{\"index\":0,\"delta\":{\"content\":\" 대답\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n";

/// One streamed chunk: split and read.
#[divan::bench]
fn event(bencher: Bencher<'_, '_>) {
    let chunk = Bytes::from_static(CHUNK.as_bytes());
    let mut splitter = SseSplitter::new(1 << 20);
    let mut events = Vec::new();
    bencher
        .counter(BytesCount::new(CHUNK.len()))
        .bench_local(|| {
            events.clear();
            let split = splitter
                .push(divan::black_box(chunk.clone()), &mut events)
                .is_ok();
            let read = events
                .iter()
                .filter_map(|event| Some(usage::from_event(AnswerKind::Chat, &event.data()?)));
            (split, read.map(|facts| facts.output_bytes).sum::<u64>())
        });
}

/// The same chunk for a caller of Messages, and a part of a message for a caller of chat.
#[divan::bench]
fn mapped_event(bencher: Bencher<'_, '_>) {
    let chunk = CHUNK.trim_start_matches("data: ").trim_ascii();
    let part = "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" 대답\"}}";
    let mut door = MessagesStream::new("msg_1".to_owned(), false);
    let mut upstream = ChatStream::new(1, false);
    let mut out = Vec::new();
    let start = "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}";
    upstream.push(start.as_bytes(), &mut out);
    bencher
        .counter(BytesCount::new(chunk.len() + part.len()))
        .bench_local(|| {
            out.clear();
            door.push(divan::black_box(chunk.as_bytes()), &mut out);
            upstream.push(divan::black_box(part.as_bytes()), &mut out);
            out.len()
        });
}

/// An embeddings answer of 100 vectors of 1536 numbers: the usage is found without reading them.
#[divan::bench]
fn embeddings_answer(bencher: Bencher<'_, '_>) {
    let vector = vec!["-0.012345678"; 1536].join(",");
    let item = format!("{{\"object\":\"embedding\",\"index\":0,\"embedding\":[{vector}]}}");
    let items = vec![item; 100].join(",");
    let answer = format!(
        "{{\"object\":\"list\",\"data\":[{items}],\"usage\":{{\"prompt_tokens\":8,\"total_tokens\":8}}}}"
    );
    bencher
        .counter(BytesCount::new(answer.len()))
        .bench(|| usage::from_answer(AnswerKind::Embeddings, divan::black_box(answer.as_bytes())));
}
