use proptest::prelude::*;

use super::*;

const fn usage(prompt_tokens: u64, cached_tokens: u64, output_tokens: u64) -> Option<EngineUsage> {
    Some(EngineUsage {
        prompt_tokens,
        cached_tokens: if cached_tokens == 0 {
            None
        } else {
            Some(cached_tokens)
        },
        output_tokens,
    })
}

/// Kind, body, and what it says: usage, finish reason, bytes of output.
type Answer = (
    AnswerKind,
    &'static str,
    Option<EngineUsage>,
    Option<&'static str>,
    u64,
);

/// Whole answers in the shapes of OpenAI, vLLM, llama.cpp and SGLang.
const ANSWERS: &[Answer] = &[
    (
        AnswerKind::Chat,
        r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"gpt-4o","choices":[{"index":0,
           "message":{"role":"assistant","content":"Hello!","refusal":null,"annotations":[]},"logprobs":null,
           "finish_reason":"stop"}],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,
           "prompt_tokens_details":{"cached_tokens":16,"audio_tokens":0},
           "completion_tokens_details":{"reasoning_tokens":0}},"service_tier":"default"}"#,
        usage(19, 16, 10),
        Some("stop"),
        6,
    ),
    (
        // vLLM: no details, a stop reason, tool calls.
        AnswerKind::Chat,
        r#"{"id":"chatcmpl-2","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant",
           "reasoning_content":null,"content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"now",
           "arguments":"{\"tz\":1}"}}]},"logprobs":null,"finish_reason":"tool_calls","stop_reason":null}],
           "usage":{"prompt_tokens":100,"total_tokens":120,"completion_tokens":20,"prompt_tokens_details":null},
           "prompt_logprobs":null}"#,
        usage(100, 0, 20),
        Some("tool_calls"),
        11,
    ),
    (
        // llama.cpp: usage and timings; the usage is what is billed.
        AnswerKind::Chat,
        r#"{"choices":[{"finish_reason":"length","index":0,"message":{"role":"assistant","content":"안녕"}}],
           "created":1,"model":"qwen","system_fingerprint":"b1","object":"chat.completion",
           "usage":{"completion_tokens":2,"prompt_tokens":30,"total_tokens":32,"prompt_tokens_details":{"cached_tokens":5}},
           "id":"chatcmpl-3","timings":{"cache_n":5,"prompt_n":25,"prompt_ms":1.5,"predicted_n":2,"predicted_ms":30.1}}"#,
        usage(30, 5, 2),
        Some("length"),
        6,
    ),
    (
        AnswerKind::Completions,
        r#"{"id":"cmpl-1","object":"text_completion","choices":[{"index":0,"text":" there","logprobs":null,
           "finish_reason":"stop"}],"usage":{"prompt_tokens":2,"completion_tokens":3,"total_tokens":5}}"#,
        usage(2, 0, 3),
        Some("stop"),
        6,
    ),
    (
        AnswerKind::Embeddings,
        r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.1,-2e-3]}],"model":"e5",
           "usage":{"prompt_tokens":8,"total_tokens":8}}"#,
        usage(8, 0, 0),
        None,
        0,
    ),
    (
        AnswerKind::Responses,
        r#"{"id":"resp_1","object":"response","status":"completed","error":null,"incomplete_details":null,
           "output":[{"type":"reasoning","summary":[{"type":"summary_text","text":"ab"}]},
           {"type":"message","content":[{"type":"output_text","text":"Hi","annotations":[]}]},
           {"type":"function_call","name":"f","arguments":"{}"}],
           "usage":{"input_tokens":36,"input_tokens_details":{"cached_tokens":30},"output_tokens":87,
           "output_tokens_details":{"reasoning_tokens":0},"total_tokens":123}}"#,
        usage(36, 30, 87),
        Some("completed"),
        7,
    ),
    (
        AnswerKind::Responses,
        r#"{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[],
           "usage":{"input_tokens":1,"output_tokens":2}}"#,
        usage(1, 0, 2),
        Some("max_output_tokens"),
        0,
    ),
    (
        // llama.cpp without usage.
        AnswerKind::Completions,
        r#"{"choices":[{"text":"x"}],"timings":{"cache_n":3,"prompt_n":4,"predicted_n":1}}"#,
        usage(7, 3, 1),
        None,
        1,
    ),
];

#[test]
fn answers_are_read() {
    for (kind, body, usage, finish_reason, output_bytes) in ANSWERS {
        let facts = from_answer(*kind, body.as_bytes());
        assert_eq!(facts.usage, *usage, "{body}");
        assert_eq!(facts.finish_reason.as_deref(), *finish_reason, "{body}");
        assert_eq!(facts.output_bytes, *output_bytes, "{body}");
        assert_eq!((facts.suspicious, facts.error), (false, false), "{body}");
    }
    assert_eq!(
        from_answer(AnswerKind::Chat, ANSWERS[2].1.as_bytes()).output_non_ascii_bytes,
        6
    );
}

/// Answers, the usage read from them, and whether it is suspicious.
const USAGES: &[(&str, Option<EngineUsage>, bool)] = &[
    (r#"{"usage":null}"#, None, false),
    (
        r#"{"usage":{"prompt_tokens":3,"completion_tokens":1}}"#,
        usage(3, 0, 1),
        false,
    ),
    (
        r#"{"usage":{"prompt_tokens":3.0,"completion_tokens":1}}"#,
        usage(3, 0, 1),
        false,
    ),
    (
        r#"{"usage":{"prompt_tokens":3,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":9}}}"#,
        usage(3, 3, 1),
        true,
    ),
    (
        r#"{"usage":{"prompt_tokens":3,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":-9}}}"#,
        usage(3, 0, 1),
        true,
    ),
    (
        r#"{"usage":{"prompt_tokens":3,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":null}}}"#,
        usage(3, 0, 1),
        false,
    ),
    (
        r#"{"usage":{"prompt_tokens":3,"completion_tokens":1,"prompt_tokens_details":7}}"#,
        usage(3, 0, 1),
        false,
    ),
    (
        r#"{"usage":{"prompt_tokens":3,"completion_tokens":1,"prompt_cache_hit_tokens":2}}"#,
        usage(3, 2, 1),
        false,
    ),
    (
        r#"{"usage":{"prompt_tokens":-3,"completion_tokens":1}}"#,
        None,
        true,
    ),
    (
        r#"{"usage":{"prompt_tokens":"3","completion_tokens":1}}"#,
        None,
        true,
    ),
    (
        r#"{"usage":{"prompt_tokens":9007199254740992,"completion_tokens":1}}"#,
        usage(1 << 53, 0, 1),
        false,
    ),
    (
        r#"{"usage":{"prompt_tokens":9007199254740993,"completion_tokens":1}}"#,
        None,
        true,
    ),
    (
        r#"{"usage":{"prompt_tokens":99999999999999999999999,"completion_tokens":1}}"#,
        None,
        true,
    ),
    (r#"{"usage":{"prompt_tokens":3}}"#, None, true),
    (r#"{"usage":{}}"#, None, true),
    (r#"{"usage":[1]}"#, None, true),
    (r#"{"usage":"many"}"#, None, true),
    (
        r#"{"usage":{"prompt_tokens":-1,"completion_tokens":1},"timings":{"prompt_n":4,"predicted_n":1}}"#,
        usage(4, 0, 1),
        true,
    ),
    (r#"{"timings":{"prompt_n":4}}"#, None, true),
    (r#"{"timings":[]}"#, None, false),
    (
        r#"{"choices":[{"message":{"content":"\"usage\":{\"prompt_tokens\":3}"}}]}"#,
        None,
        false,
    ),
    (
        r#"{"choices":[{"message":{"usage":{"prompt_tokens":3,"completion_tokens":1}}}]}"#,
        None,
        false,
    ),
    ("", None, false),
    ("null", None, false),
    ("[DONE]", None, false),
    ("<html>502</html>", None, false),
];

#[test]
fn usage_that_cannot_be_true_is_marked() {
    for (body, usage, suspicious) in USAGES {
        let facts = from_answer(AnswerKind::Chat, body.as_bytes());
        assert_eq!(
            (facts.usage, facts.suspicious),
            (*usage, *suspicious),
            "{body}"
        );
    }
}

/// What an event says, in short: o output, u only usage, f finished, e error, s suspicious.
fn marks(facts: &EventFacts) -> String {
    let marks = [
        (facts.output_chunk, 'o'),
        (facts.only_usage, 'u'),
        (facts.finished, 'f'),
        (facts.error, 'e'),
        (facts.suspicious, 's'),
    ];
    marks
        .iter()
        .filter(|(set, _)| *set)
        .map(|(_, mark)| mark)
        .collect()
}

const CHAT: AnswerKind = AnswerKind::Chat;
const RESPONSES: AnswerKind = AnswerKind::Responses;

/// Streamed chunks in the shapes of the four engines.
const EVENTS: &[(AnswerKind, &str, &str, Option<EngineUsage>)] = &[
    // llama.cpp opens with a role and null content, vLLM and OpenAI with an empty one.
    (
        CHAT,
        r#"{"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],"object":"chat.completion.chunk"}"#,
        "",
        None,
    ),
    (
        CHAT,
        r#"{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":null}"#,
        "",
        None,
    ),
    (
        CHAT,
        r#"{"choices":[{"index":0,"delta":{"content":"Hi"},"logprobs":null,"finish_reason":null}]}"#,
        "o",
        None,
    ),
    (
        CHAT,
        r#"{"choices":[{"index":0,"delta":{"reasoning_content":"hm","content":null},"finish_reason":null}]}"#,
        "o",
        None,
    ),
    (
        CHAT,
        r#"{"choices":[{"index":0,"delta":{"content":""},"logprobs":{"content":[{"token":"","logprob":-0.1}]},"finish_reason":null}]}"#,
        "o",
        None,
    ),
    (
        CHAT,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":""}}]},"finish_reason":null}]}"#,
        "o",
        None,
    ),
    (
        CHAT,
        r#"{"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}"#,
        "f",
        None,
    ),
    // SGLang ends with empty content and its matched stop.
    (
        CHAT,
        r#"{"choices":[{"index":0,"delta":{"role":null,"content":"","tool_calls":null},"logprobs":null,"finish_reason":"stop","matched_stop":151645}],"usage":null}"#,
        "f",
        None,
    ),
    // What include_usage adds.
    (
        CHAT,
        r#"{"id":"c","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}}"#,
        "u",
        usage(9, 0, 4),
    ),
    // llama.cpp adds timings to it, and to the last chunk when usage was not asked for.
    (
        CHAT,
        r#"{"choices":[],"usage":{"completion_tokens":4,"prompt_tokens":9,"total_tokens":13,"prompt_tokens_details":{"cached_tokens":8}},"timings":{"cache_n":8,"prompt_n":1,"predicted_n":4}}"#,
        "u",
        usage(9, 8, 4),
    ),
    (
        CHAT,
        r#"{"choices":[{"finish_reason":"stop","index":0,"delta":{}}],"timings":{"cache_n":8,"prompt_n":1,"predicted_n":4}}"#,
        "f",
        usage(9, 8, 4),
    ),
    // vLLM's continuous usage.
    (
        CHAT,
        r#"{"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}],"usage":{"prompt_tokens":9,"total_tokens":10,"completion_tokens":1}}"#,
        "o",
        usage(9, 0, 1),
    ),
    (
        CHAT,
        r#"{"choices":[],"usage":{"prompt_tokens":-1}}"#,
        "us",
        None,
    ),
    (
        CHAT,
        r#"{"choices":[],"prompt_filter_results":[]}"#,
        "",
        None,
    ),
    (
        CHAT,
        r#"{"error":{"message":"boom","type":"server_error","code":500}}"#,
        "e",
        None,
    ),
    (
        CHAT,
        r#"{"object":"error","message":"boom","code":400}"#,
        "e",
        None,
    ),
    (
        CHAT,
        r#"{"error":null,"choices":[{"delta":{"content":"x"}}]}"#,
        "o",
        None,
    ),
    (CHAT, "[DONE]", "", None),
    (CHAT, "", "", None),
    (
        AnswerKind::Completions,
        r#"{"choices":[{"text":"a","index":0,"logprobs":null,"finish_reason":null}]}"#,
        "o",
        None,
    ),
    (
        AnswerKind::Completions,
        r#"{"choices":[{"text":"","index":0,"logprobs":null,"finish_reason":"length"}]}"#,
        "f",
        None,
    ),
    (
        RESPONSES,
        r#"{"type":"response.created","sequence_number":0,"response":{"id":"r","status":"in_progress","error":null,"usage":null,"output":[]}}"#,
        "",
        None,
    ),
    (
        RESPONSES,
        r#"{"type":"response.output_text.delta","sequence_number":4,"item_id":"m","output_index":0,"content_index":0,"delta":"Hi"}"#,
        "o",
        None,
    ),
    (
        RESPONSES,
        r#"{"type":"response.function_call_arguments.delta","item_id":"f","output_index":0,"delta":"{\"a"}"#,
        "o",
        None,
    ),
    (
        RESPONSES,
        r#"{"type":"response.output_text.done","text":"Hi"}"#,
        "",
        None,
    ),
    (
        RESPONSES,
        r#"{"type":"response.completed","response":{"status":"completed","error":null,"output":[{"type":"message","content":[{"type":"output_text","text":"Hi"}]}],"usage":{"input_tokens":5,"input_tokens_details":{"cached_tokens":2},"output_tokens":1}}}"#,
        "f",
        usage(5, 2, 1),
    ),
    (
        RESPONSES,
        r#"{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"usage":{"input_tokens":5,"output_tokens":1}}}"#,
        "f",
        usage(5, 0, 1),
    ),
    (
        RESPONSES,
        r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"x"},"usage":null}}"#,
        "fe",
        None,
    ),
    (
        RESPONSES,
        r#"{"type":"error","code":"server_error","message":"x","param":null}"#,
        "e",
        None,
    ),
];

#[test]
fn events_are_read() {
    for (kind, data, expected, usage) in EVENTS {
        let facts = from_event(*kind, data.as_bytes());
        assert_eq!(
            (marks(&facts).as_str(), facts.usage),
            (*expected, *usage),
            "{data}"
        );
    }
    let last = from_event(RESPONSES, EVENTS[EVENTS.len() - 3].1.as_bytes());
    assert_eq!(last.finish_reason.as_deref(), Some("max_output_tokens"));
    assert_eq!(
        from_event(CHAT, EVENTS[6].1.as_bytes())
            .finish_reason
            .as_deref(),
        Some("stop")
    );
    assert_eq!(from_event(CHAT, EVENTS[2].1.as_bytes()).output_bytes, 2);
}

fn fixture() -> impl Strategy<Value = (AnswerKind, String)> {
    let answers = ANSWERS
        .iter()
        .map(|(kind, text, ..)| (*kind, (*text).to_owned()));
    let events = EVENTS
        .iter()
        .map(|(kind, text, ..)| (*kind, (*text).to_owned()));
    prop::sample::select(answers.chain(events).collect::<Vec<_>>())
}

fn is_sane(usage: Option<EngineUsage>) -> bool {
    usage.is_none_or(|usage| {
        usage.cached_tokens <= Some(usage.prompt_tokens)
            && usage.prompt_tokens <= 2 * COUNT_MAX
            && usage.output_tokens <= COUNT_MAX
    })
}

proptest! {
    #[test]
    fn broken_answers_say_something_sane_or_nothing(
        (kind, text) in fixture(), at in any::<prop::sample::Index>(), with in prop::collection::vec(any::<u8>(), 0..6), cut in any::<bool>(),
    ) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len() + 1);
        let end = if cut { bytes.len() } else { (at + with.len()).min(bytes.len()) };
        bytes.splice(at..end, with);
        prop_assert!(is_sane(from_answer(kind, &bytes).usage));
        prop_assert!(is_sane(from_event(kind, &bytes).usage));
        drop(crate::error::engine_error(&bytes));
    }

    #[test]
    fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for kind in [CHAT, AnswerKind::Completions, AnswerKind::Embeddings, RESPONSES] {
            let _ = (from_answer(kind, &bytes), from_event(kind, &bytes));
        }
        drop(crate::error::engine_error(&bytes));
    }

    #[test]
    fn counts_come_through_exactly(prompt in 0..=COUNT_MAX, cached in 0..=COUNT_MAX, output in 0..=COUNT_MAX) {
        let body = format!(r#"{{"usage":{{"prompt_tokens":{prompt},"completion_tokens":{output},"prompt_tokens_details":{{"cached_tokens":{cached}}}}}}}"#);
        let facts = from_answer(CHAT, body.as_bytes());
        prop_assert_eq!(facts.usage, usage(prompt, cached.min(prompt), output));
        prop_assert_eq!(facts.suspicious, cached > prompt);
    }
}
