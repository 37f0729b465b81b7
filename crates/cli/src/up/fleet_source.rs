//! The fleets that need no file: this machine with the default models, or with one model file.

use anyhow::Context;
use madang_control::FleetSource;
use madang_provision::{model_file, sha256_of_file};
use std::path::{Path, PathBuf};

/// What `madang up` serves without a fleet file: the example that the documentation shows.
const DEFAULT_FLEET: &str = include_str!("../../../../examples/laptop.toml");
/// Context asked for where the model file does not say, and the most that is asked for on a small machine.
const CONTEXT_TOKENS_DEFAULT: u64 = 4096;
const CONTEXT_TOKENS_MAX: u64 = 8192;

/// The default fleet.
pub fn default_source() -> FleetSource {
    FleetSource::Text {
        name: "the default fleet".into(),
        text: DEFAULT_FLEET.into(),
        base_dir: PathBuf::from("."),
    }
}

/// A fleet of one model file on this machine. Reads the file's head and its digest first.
pub async fn model_source(path: PathBuf) -> anyhow::Result<FleetSource> {
    tokio::task::spawn_blocking(move || model_fleet(&path)).await?
}

fn model_fleet(path: &Path) -> anyhow::Result<FleetSource> {
    let facts = model_file(path)?;
    let path = path
        .canonicalize()
        .with_context(|| format!("cannot find {}", path.display()))?;
    let (sha256, _) =
        sha256_of_file(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let context_tokens = facts
        .context_tokens
        .unwrap_or(CONTEXT_TOKENS_DEFAULT)
        .clamp(256, CONTEXT_TOKENS_MAX);
    let text = format!(
        r#"[[site]]
id = "laptop"
country = "KR"

[[model]]
id = {id}
context_tokens = {context_tokens}
tools = "repair"
weights = {{ sha256 = "{sha256}", bytes = {bytes}, sources = [{{ file = {file} }}] }}

[[replica]]
id = "laptop-chat"
site = "laptop"
model = {id}
engine = "llama.cpp"
slots = 4
launch = {{ builtin = "llama.cpp" }}
"#,
        id = toml_string(&model_name(&path)),
        bytes = facts.bytes,
        file = toml_string(&path.display().to_string()),
    );
    let name = format!("the fleet of {}", path.display());
    Ok(FleetSource::Text {
        name,
        text,
        base_dir: PathBuf::from("/"),
    })
}

/// The file's name without its ending, with what no name may hold turned into `-`.
fn model_name(path: &Path) -> String {
    let stem = path
        .file_stem()
        .map(|stem| stem.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    let safe: String = stem
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
                c
            } else {
                '-'
            }
        })
        .collect();
    let mut name = String::new();
    for part in safe
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|part| !part.is_empty())
    {
        // The separator that stood there is kept, one of a run.
        if !name.is_empty() {
            let rest = &safe[safe.find(part).unwrap_or_default().saturating_sub(1)..];
            name.push(if rest.starts_with('.') { '.' } else { '-' });
        }
        name.push_str(part);
    }
    if name.is_empty() {
        "model".into()
    } else {
        name.chars().take(80).collect()
    }
}

fn toml_string(text: &str) -> String {
    // A JSON string is a TOML basic string but for DEL, which no path of a served file should hold.
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_becomes_a_model_name() {
        for (path, expected) in [
            ("/m/Qwen2.5-0.5B.gguf", "qwen2.5-0.5b"),
            ("/m/한글 모델.gguf", "model"),
            ("/m/-x-.gguf", "x"),
            ("/m/a b__c.gguf", "a-b-c"),
        ] {
            assert_eq!(model_name(Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn the_default_fleet_has_no_problem() {
        let read = default_source().read().unwrap();
        assert_eq!(read.warnings, []);
    }
}
