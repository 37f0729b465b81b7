//! Keys as people write them who know other programs.

/// What people write for a key of ours.
pub(super) fn synonym(word: &str) -> Option<&'static str> {
    Some(match word {
        "name" => "id",
        "base_url" | "endpoint" | "address" | "api_base" => "url",
        "api_key" | "key" | "token" | "secret" | "api_key_file" => "key_file",
        "provider" | "backend" | "providers" | "backends" => "upstream",
        "data_center" | "datacenter" | "dc" | "location" => "site",
        "engines" | "worker" | "server" | "endpoints" => "replica",
        "node" | "node_pool" | "machines" => "nodes",
        "program" | "project" => "programme",
        "customer" | "org" | "account" => "tenant",
        "concurrency" | "max_num_seqs" | "parallel" => "slots",
        "max_model_len" | "context" | "context_length" | "context_size" => "context_tokens",
        "served_model" | "model_name" => "upstream_model",
        "gpus" | "gpus_per_node" => "per_node",
        "gpu" | "accelerators" => "accelerator",
        "cmd" | "argv" => "command",
        "type" => "kind",
        "digest" | "hash" => "sha256",
        "size" => "bytes",
        _ => return None,
    })
}
