//! Fleet files of tests.

use std::path::PathBuf;

/// One site, the model `m`, and probes that look often.
pub const HEAD: &str = r#"
[[site]]
id = "here"
country = "KR"

[[model]]
id = "m"
context_tokens = 8192

[probe]
interval_ms = 200
timeout_ms = 200
failures_max = 20
"#;

/// A replica that someone else runs.
pub fn url_replica(id: &str, url: &str) -> String {
    format!(
        "\n[[replica]]\nid = \"{id}\"\nsite = \"here\"\nmodel = \"m\"\nurl = \"{url}\"\nengine = \"vllm\"\nslots = 64\n"
    )
}

/// A replica that Madang starts with this command.
pub fn launch_replica(id: &str, command: &[&str]) -> String {
    let command = serde_json::to_string(command).expect("texts are JSON");
    format!(
        "\n[[replica]]\nid = \"{id}\"\nsite = \"here\"\nmodel = \"m\"\nengine = \"openai\"\nslots = 8\n\n\
         [replica.launch]\ncommand = {command}\nstart_s_max = 60\nstop_s_max = 5\n"
    )
}

/// A replica that runs the small engine of these tests; `mark` is an argument without effect that makes it another one.
pub fn python_replica(id: &str, mark: &str) -> String {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/harness/engine.py");
    launch_replica(
        id,
        &[
            "python3",
            &script.to_string_lossy(),
            "{port}",
            "{served_name}",
            mark,
        ],
    )
}

/// The head and these replicas.
pub fn fleet(replicas: &[String]) -> String {
    format!("{HEAD}{}", replicas.concat())
}
