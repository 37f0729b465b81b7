//! `/metrics` in the names of each engine.

/// Counts that every dialect shows under its own names.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) running: u64,
    pub(crate) waiting: u64,
    pub(crate) prompt_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) slots: u64,
    /// 0 where it is not said.
    pub(crate) started_s: u64,
}

/// The text, or `None` where the dialect has no metrics.
pub(crate) fn text(engine: &str, model: &str, c: Counts) -> Option<String> {
    let used = c.running as f64 / c.slots.max(1) as f64;
    let (names, label): ([&str; 5], String) = match engine {
        "vllm" => (
            [
                "vllm:num_requests_running",
                "vllm:num_requests_waiting",
                "vllm:kv_cache_usage_perc",
                "vllm:prompt_tokens_total",
                "vllm:generation_tokens_total",
            ],
            format!("{{engine=\"0\",model_name=\"{model}\"}}"),
        ),
        "sglang" => (
            [
                "sglang:num_running_reqs",
                "sglang:num_queue_reqs",
                "sglang:token_usage",
                "sglang:prompt_tokens_total",
                "sglang:generation_tokens_total",
            ],
            format!("{{model_name=\"{model}\"}}"),
        ),
        "llama.cpp" => (
            [
                "llamacpp:requests_processing",
                "llamacpp:requests_deferred",
                "llamacpp:kv_cache_usage_ratio",
                "llamacpp:prompt_tokens_total",
                "llamacpp:tokens_predicted_total",
            ],
            String::new(),
        ),
        _ => return None,
    };
    let values = [
        c.running.to_string(),
        c.waiting.to_string(),
        used.to_string(),
        c.prompt_tokens.to_string(),
        c.output_tokens.to_string(),
    ];
    let mut out = String::new();
    for (at, (name, value)) in names.iter().zip(values).enumerate() {
        let kind = if at < 3 { "gauge" } else { "counter" };
        out.push_str(&format!(
            "# HELP {name} of the fake engine\n# TYPE {name} {kind}\n{name}{label} {value}\n"
        ));
    }
    if c.started_s > 0 {
        out.push_str(&format!("process_start_time_seconds {}.25\n", c.started_s));
    }
    Some(out)
}
