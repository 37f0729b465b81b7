use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

const BLOCKS_MAX: usize = 1024;

fn blocks(kind: AnswerKind, body: &Json, model: &str, blocks_max: usize) -> PromptBlocks {
    let body = RequestBody::parse(Bytes::from(body.to_string()), 64).expect("a body");
    prompt_blocks(&body, None, (kind, model), blocks_max)
}

fn chat(messages: &[String]) -> Json {
    let messages: Vec<Json> = messages
        .iter()
        .map(|content| json!({"role": "user", "content": content}))
        .collect();
    json!({"messages": messages})
}

fn hashes(messages: &[String]) -> Vec<u64> {
    blocks(AnswerKind::Chat, &chat(messages), "m", BLOCKS_MAX).hashes
}

fn common(one: &[u64], other: &[u64]) -> usize {
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn equal_beginnings_have_equal_hashes(
        shared in proptest::collection::vec("[ -~]{0,3000}", 1..6),
        one in "a[ -~]{2000,3000}",
        other in "b[ -~]{2000,3000}",
    ) {
        let with = |last: &String| [shared.as_slice(), std::slice::from_ref(last)].concat();
        let (short, one, other) = (hashes(&shared), hashes(&with(&one)), hashes(&with(&other)));
        prop_assert_eq!(&one[..short.len()], short.as_slice());
        // They differ right behind what they share, and never meet again.
        let common = common(&one, &other);
        // The marks before the next message may be what completes a block.
        prop_assert!((short.len()..=short.len() + 1).contains(&common), "{common} after {}", short.len());
        prop_assert!(one[common..].iter().all(|hash| !other.contains(hash)));
    }

    #[test]
    fn another_first_byte_changes_all(text in "[ -~]{0,5000}") {
        let texts = [format!("a{text}"), format!("b{text}")];
        let [one, other] = texts.map(|text| hashes(&[text]));
        prop_assert_eq!(one.len(), other.len());
        prop_assert_eq!(common(&one, &other), 0);
        prop_assert!(one.iter().all(|hash| !other.contains(hash)));
    }

    #[test]
    fn what_is_hashed_is_bounded_and_a_longer_prompt_keeps_the_hashes_of_its_beginning(
        blocks_short in 0_usize..40, blocks_more in 0_usize..200, blocks_max in 1_usize..16,
    ) {
        let of = |count: usize, max: usize| {
            let prompt = "0123456789abcdef".repeat(64 * count);
            blocks(AnswerKind::Completions, &json!({"prompt": prompt}), "m", max)
        };
        let long = of(blocks_short + blocks_more, blocks_max);
        prop_assert!(long.hashes.len() <= blocks_max);
        prop_assert_eq!(long.prompt_bytes / long.block_bytes, long.hashes.len() as u64);
        let all = of(blocks_short + blocks_more, usize::MAX).hashes;
        let stride = usize::try_from(long.block_bytes / BLOCK_BYTES).expect("it is small");
        let kept: Vec<u64> = all.iter().skip(stride - 1).step_by(stride).copied().collect();
        prop_assert_eq!(&long.hashes, &kept);
        let short = of(blocks_short, usize::MAX).hashes;
        prop_assert_eq!(&all[..short.len()], short.as_slice());
    }

    #[test]
    fn any_body_is_read(value in crate::fixtures::value(), kind in 0_usize..4) {
        let text = format!(r#"{{"messages":{value},"prompt":{value},"input":{value},"tools":{value}}}"#);
        let kinds = [AnswerKind::Chat, AnswerKind::Completions, AnswerKind::Responses, AnswerKind::Embeddings];
        if let Ok(body) = RequestBody::parse(Bytes::from(text), 64) {
            let blocks = prompt_blocks(&body, None, (kinds[kind], "m"), 4);
            prop_assert!(blocks.hashes.len() <= 4 && blocks.block_tokens(10) >= 1);
        }
    }
}

/// Bodies whose hashes are alike (`true`) or share nothing.
#[test]
fn what_makes_a_difference() {
    let long = "x".repeat(5000);
    let check = |(kind, one): (AnswerKind, Json), other: Json, alike: bool| {
        let [one, other] = [one, other].map(|body| blocks(kind, &body, "m", BLOCKS_MAX).hashes);
        assert!(!one.is_empty() && !other.is_empty());
        assert_eq!(one == other, alike, "{kind:?}");
        assert!(alike || common(&one, &other) == 0, "{kind:?}");
    };
    let message = |role: &str| json!({"messages": [{"role": role, "content": long}]});
    let reordered = json!({"messages": [{"content": long, "role": "user"}], "temperature": 1});
    check((AnswerKind::Chat, message("user")), reordered, true);
    check(
        (AnswerKind::Chat, message("user")),
        message("system"),
        false,
    );
    let mut with_tools = message("user");
    with_tools["tools"] = json!([{"type": "function"}]);
    check((AnswerKind::Chat, message("user")), with_tools, false);
    let mut salted = message("user");
    salted["cache_salt"] = json!("mine");
    check((AnswerKind::Chat, message("user")), salted, false);
    let split =
        json!({"messages": [{"role": "user", "content": ""}, {"role": "user", "content": long}]});
    check((AnswerKind::Chat, message("user")), split, false);
    let response = |instructions: &str| json!({"instructions": instructions, "input": long});
    check((AnswerKind::Responses, response("a")), response("b"), false);
    check(
        (AnswerKind::Completions, json!({"prompt": long})),
        json!({"prompt": long, "suffix": "end"}),
        true,
    );
}

#[test]
fn owners_share_nothing() {
    let body = json!({"messages": [{"role": "user", "content": "x".repeat(5000)}]});
    let body = RequestBody::parse(Bytes::from(body.to_string()), 8).unwrap();
    let of = |owner| prompt_blocks(&body, owner, (AnswerKind::Chat, "m"), BLOCKS_MAX).hashes;
    let all = [None, Some("alpha"), Some("beta")].map(of);
    assert_eq!(all[1], of(Some("alpha")));
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        assert_eq!(common(&all[one], &all[other]), 0, "{one} {other}");
    }
}

#[test]
fn models_share_nothing_and_embeddings_have_none() {
    let body = json!({"prompt": "x".repeat(5000), "input": "x".repeat(5000)});
    let of = |kind, model| blocks(kind, &body, model, BLOCKS_MAX).hashes;
    let (base, adapter) = (
        of(AnswerKind::Completions, "m"),
        of(AnswerKind::Completions, "m-lora"),
    );
    assert_eq!((base.len(), common(&base, &adapter)), (4, 0));
    assert!(of(AnswerKind::Embeddings, "m").is_empty());
}

#[test]
fn tokens_of_a_block_follow_the_estimate_of_the_whole() {
    let of = |block_bytes, prompt_bytes| PromptBlocks {
        hashes: Vec::new(),
        block_bytes,
        prompt_bytes,
    };
    assert_eq!(of(1024, 10_240).block_tokens(2_500), 250);
    assert_eq!(of(2048, 10_240).block_tokens(2_500), 500);
    assert_eq!(of(1024, 0).block_tokens(0), 1);
    assert_eq!(of(u64::MAX, 1).block_tokens(u64::MAX), u32::MAX);
}

#[test]
fn names_of_two_owners_are_two_names() {
    assert_eq!(name_hash("a", b"chat-1"), name_hash("a", b"chat-1"));
    assert_ne!(name_hash("a", b"chat-1"), name_hash("b", b"chat-1"));
    assert_ne!(name_hash("a", b"chat-1"), name_hash("a", b"chat-2"));
}
