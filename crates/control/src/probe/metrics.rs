//! What an engine's `/metrics` says about its load: vLLM, SGLang and llama.cpp. Pure.
//!
//! The text is Prometheus's exposition format. Of a page only the names in [`FIELDS`] are read; an
//! engine that lacks one leaves that field empty, and lines that are no samples are passed over.

/// Bytes of a page that are read; the rest is not looked at.
pub const METRICS_BYTES_MAX: usize = 1024 * 1024;

/// The load of one engine as it tells it. Empty fields were not told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EngineLoad {
    /// Sequences being computed.
    pub running: Option<u64>,
    /// Sequences that wait inside the engine.
    pub waiting: Option<u64>,
    /// Used part of the KV cache, 0 to 1; the fullest where there are several.
    pub kv_used_ratio: Option<f64>,
    /// Prompt tokens since the engine's start.
    pub prompt_tokens: Option<u64>,
    /// Generated tokens since the engine's start.
    pub output_tokens: Option<u64>,
    /// Prompt tokens that the prefix cache was asked for, since the engine's start.
    pub prefix_query_tokens: Option<u64>,
    /// Prompt tokens that the prefix cache had, since the engine's start.
    pub prefix_hit_tokens: Option<u64>,
    /// Part of recent prompt tokens that the prefix cache had, 0 to 1, where the engine tells only that.
    pub prefix_hit_ratio: Option<f64>,
    /// Requests thrown out of the batch for want of memory, since the engine's start.
    pub preemptions: Option<u64>,
    /// When its process began, in seconds since 1970; the latest where there are several.
    pub started_s: Option<u64>,
}

#[derive(Clone, Copy)]
enum Field {
    Running,
    Waiting,
    KvUsedRatio,
    PromptTokens,
    OutputTokens,
    PrefixQueryTokens,
    PrefixHitTokens,
    PrefixHitRatio,
    Preemptions,
    Started,
}

/// Names of the three engines. Python's exporter adds `_total` to counters, older versions do not. No
/// counter stands here under two names that one engine exposes at once: it would count twice.
const FIELDS: [(&str, Field); 26] = [
    ("vllm:num_requests_running", Field::Running),
    ("vllm:num_requests_waiting", Field::Waiting),
    ("vllm:kv_cache_usage_perc", Field::KvUsedRatio),
    ("vllm:gpu_cache_usage_perc", Field::KvUsedRatio),
    ("vllm:prompt_tokens_total", Field::PromptTokens),
    ("vllm:generation_tokens_total", Field::OutputTokens),
    ("vllm:prefix_cache_queries", Field::PrefixQueryTokens),
    ("vllm:prefix_cache_queries_total", Field::PrefixQueryTokens),
    ("vllm:prefix_cache_hits", Field::PrefixHitTokens),
    ("vllm:prefix_cache_hits_total", Field::PrefixHitTokens),
    ("sglang:num_running_reqs", Field::Running),
    ("sglang:num_queue_reqs", Field::Waiting),
    ("sglang:token_usage", Field::KvUsedRatio),
    ("sglang:prompt_tokens_total", Field::PromptTokens),
    ("sglang:generation_tokens_total", Field::OutputTokens),
    ("sglang:cached_tokens_total", Field::PrefixHitTokens),
    ("sglang:cache_hit_rate", Field::PrefixHitRatio),
    ("llamacpp:requests_processing", Field::Running),
    ("llamacpp:requests_deferred", Field::Waiting),
    ("llamacpp:kv_cache_usage_ratio", Field::KvUsedRatio),
    ("llamacpp:prompt_tokens_total", Field::PromptTokens),
    ("llamacpp:tokens_predicted_total", Field::OutputTokens),
    (
        "llamacpp:prompt_tokens_cached_total",
        Field::PrefixHitTokens,
    ),
    ("vllm:num_preemptions_total", Field::Preemptions),
    ("sglang:num_retracted_requests_total", Field::Preemptions),
    ("process_start_time_seconds", Field::Started),
];

/// Reads a page. Several series of one name (data-parallel engines) are added up, ratios give the
/// greatest; series of a tensor- or pipeline-parallel rank other than 0 repeat rank 0 and are left out.
pub fn parse_load(page: &[u8]) -> EngineLoad {
    let read = &page[..page.len().min(METRICS_BYTES_MAX)];
    let text = String::from_utf8_lossy(read);
    let mut load = EngineLoad::default();
    for (field, value) in samples(&text).filter_map(field) {
        add(&mut load, field, value);
    }
    load
}

/// One sample of a page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    /// Its metric.
    pub name: &'a str,
    /// What stands between its braces.
    pub labels: &'a str,
    /// Its value: any number, infinite ones and none at all too.
    pub value: f64,
}

/// All samples of a page in Prometheus's text format; lines that are none are passed over.
pub fn samples(text: &str) -> impl Iterator<Item = Sample<'_>> {
    text.lines().filter_map(read_sample)
}

fn read_sample(line: &str) -> Option<Sample<'_>> {
    let line = line.trim_start();
    let name_end = line.find(|c: char| c == '{' || c.is_ascii_whitespace())?;
    let (name, rest) = line.split_at(name_end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inner) => split_labels(inner)?,
        None => ("", rest),
    };
    // A time may follow the value.
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Sample {
        name,
        labels,
        value,
    })
}

fn field(
    Sample {
        name,
        labels,
        value,
    }: Sample<'_>,
) -> Option<(Field, f64)> {
    let field = FIELDS.iter().find(|(known, _)| *known == name)?.1;
    let sound = value.is_finite() && value >= 0.0 && !repeats_rank_0(labels);
    sound.then_some((field, value))
}

/// Labels and what follows them; a quoted value may hold `}` and escaped quotes.
fn split_labels(text: &str) -> Option<(&str, &str)> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '}' if !quoted => return Some((&text[..at], &text[at + 1..])),
            _ => {}
        }
    }
    None
}

fn repeats_rank_0(labels: &str) -> bool {
    labels.split(',').any(|label| {
        let (name, value) = label.split_once('=').unwrap_or(("", ""));
        matches!(name.trim(), "tp_rank" | "pp_rank") && value.trim() != "\"0\""
    })
}

fn add(load: &mut EngineLoad, field: Field, value: f64) {
    // Counters are whole numbers written as floats; beyond 2^53 the last digits are the engine's loss.
    let sum = |count: &mut Option<u64>| {
        *count = Some(count.unwrap_or(0).saturating_add(value.round() as u64));
    };
    let greatest = |ratio: &mut Option<f64>| {
        *ratio = Some(ratio.unwrap_or(0.0).max(value.min(1.0)));
    };
    match field {
        Field::Running => sum(&mut load.running),
        Field::Waiting => sum(&mut load.waiting),
        Field::PromptTokens => sum(&mut load.prompt_tokens),
        Field::OutputTokens => sum(&mut load.output_tokens),
        Field::PrefixQueryTokens => sum(&mut load.prefix_query_tokens),
        Field::PrefixHitTokens => sum(&mut load.prefix_hit_tokens),
        Field::Preemptions => sum(&mut load.preemptions),
        Field::Started => {
            load.started_s = Some(load.started_s.unwrap_or(0).max(value as u64));
        }
        Field::KvUsedRatio => greatest(&mut load.kv_used_ratio),
        Field::PrefixHitRatio => greatest(&mut load.prefix_hit_ratio),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vllm_with_two_data_parallel_engines() {
        let load = parse_load(include_bytes!("fixtures/vllm.txt"));
        let expected = EngineLoad {
            running: Some(12),
            waiting: Some(3),
            kv_used_ratio: Some(0.75),
            prompt_tokens: Some(1_234_567),
            output_tokens: Some(345_678),
            prefix_query_tokens: Some(1_200_000),
            prefix_hit_tokens: Some(600_032),
            prefix_hit_ratio: None,
            preemptions: Some(7),
            started_s: Some(1_795_000_123),
        };
        assert_eq!(load, expected);
    }

    #[test]
    fn sglang_counts_rank_0_only() {
        let load = parse_load(include_bytes!("fixtures/sglang.txt"));
        let expected = EngineLoad {
            running: Some(31),
            waiting: Some(7),
            kv_used_ratio: Some(0.28),
            prompt_tokens: Some(8_128_902),
            output_tokens: Some(7_557_572),
            prefix_query_tokens: None,
            prefix_hit_tokens: Some(4_100),
            prefix_hit_ratio: Some(0.0075),
            preemptions: Some(2),
            started_s: None,
        };
        assert_eq!(load, expected);
    }

    #[test]
    fn llama_cpp_tells_no_cache_use() {
        let load = parse_load(include_bytes!("fixtures/llama_cpp.txt"));
        let expected = EngineLoad {
            running: Some(4),
            waiting: Some(4),
            prompt_tokens: Some(1_420),
            output_tokens: Some(256),
            prefix_hit_tokens: Some(135),
            ..EngineLoad::default()
        };
        assert_eq!(load, expected);
    }

    #[test]
    fn what_is_no_sample_is_passed_over() {
        let check = |page: &str, running: Option<u64>| {
            assert_eq!(parse_load(page.as_bytes()).running, running, "{page:?}");
        };
        check("", None);
        check("<html>not found</html>", None);
        check("vllm:num_requests_running", None);
        check("vllm:num_requests_running ", None);
        check("vllm:num_requests_running NaN", None);
        check("vllm:num_requests_running +Inf", None);
        check("vllm:num_requests_running -1", None);
        check(
            "vllm:num_requests_running{a=\"}\\\"} 9\"} 3 1700000000",
            Some(3),
        );
        check("vllm:num_requests_running{a=\"x 3", None);
        check("vllm:num_requests_running_now 3", None);
        check("# vllm:num_requests_running 3", None);
        check("vllm:num_requests_running 3\r\n", Some(3));
        check("vllm:num_requests_running 1e300", Some(u64::MAX));
        check("vllm:num_requests_running \"3\"", None);
        check("vllm:num_requests_running{} 0x3", None);
        let bytes = [
            b"\xff\xfe\nvllm:num_requests_running 2\n".as_slice(),
            &[0xff],
        ]
        .concat();
        assert_eq!(parse_load(&bytes).running, Some(2));
    }

    #[test]
    fn odd_values_leave_their_field_empty_and_break_nothing() {
        let check = |page: &str, expected: EngineLoad| {
            assert_eq!(parse_load(page.as_bytes()), expected, "{page:?}");
        };
        let none = EngineLoad::default;
        for value in ["NaN", "-3", "+Inf", "soon", ""] {
            check(&format!("process_start_time_seconds {value}"), none());
            check(&format!("vllm:num_preemptions_total {value}"), none());
            check(&format!("sglang:token_usage {value}"), none());
        }
        let started = |started_s| EngineLoad {
            started_s: Some(started_s),
            ..none()
        };
        check(
            "process_start_time_seconds 1.79500012391e+09",
            started(1_795_000_123),
        );
        check(
            "process_start_time_seconds 5\nprocess_start_time_seconds 4\n",
            started(5),
        );
        check("process_start_time_seconds 1e300", started(u64::MAX));
        let full = EngineLoad {
            kv_used_ratio: Some(1.0),
            ..none()
        };
        check("llamacpp:kv_cache_usage_ratio 17", full);
        check(
            "vllm:kv_cache_usage_perc 0.5\nvllm:gpu_cache_usage_perc 1e9\n",
            full,
        );
    }

    #[test]
    fn a_page_is_read_to_its_bound() {
        let mut page = "# filling\n".repeat(METRICS_BYTES_MAX / 10);
        page.push_str("xxxxxxxxxx\nvllm:num_requests_running 3\n");
        assert_eq!(parse_load(page.as_bytes()), EngineLoad::default());
    }
}
