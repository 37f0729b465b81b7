//! What a newcomer reads: where it is, what it serves, the key, and snippets that work as pasted.

use crate::out;
use crate::up::first_keys::FirstKeys;
use anyhow::anyhow;
use madang_control::{Control, ReplicaView};
use madang_fleet::ModelKind;
use madang_types::ModelId;
use serde_json::json;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// Starts after which an engine that is not up counts as failed. One failure may be chance: a port taken meanwhile.
const STARTS_MAX: u64 = 2;
/// Most of a log line that a message shows; the log has it whole.
const LINE_CHARS_MAX: usize = 400;
/// Time between looks at starting engines.
const LOOK_MS: u64 = 50;

/// What the welcome is made of.
pub struct Facts<'a> {
    /// `host:port` that clients on this machine reach.
    pub listen: String,
    /// The data folder.
    pub data: &'a Path,
    /// The first keys.
    pub keys: &'a FirstKeys,
    /// Launched replicas that did not come up.
    pub failed: &'a [ReplicaView],
}

/// Waits until each launched replica is up or has failed to start twice; returns those that failed.
pub async fn wait_for_engines(control: &Control) -> Vec<ReplicaView> {
    loop {
        let launched: Vec<ReplicaView> = control
            .replicas()
            .into_iter()
            .filter(|view| view.launched)
            .collect();
        let failed =
            |view: &ReplicaView| view.starts_count >= STARTS_MAX && view.state == "backoff";
        if launched
            .iter()
            .all(|view| view.state == "up" || failed(view))
        {
            return launched
                .into_iter()
                .filter(|view| view.state != "up")
                .collect();
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
}

/// No engine came up: why, and the last words of each.
pub fn engines_failure(failed: &[ReplicaView]) -> anyhow::Error {
    let mut text = String::from("no engine started");
    for view in failed {
        let reason = view.reason.as_deref().unwrap_or("it ended");
        text.push_str(&format!("\n  {}: {reason}", view.id));
        for line in view.last_lines.iter().rev().take(8).rev() {
            let line: String = line.chars().take(LINE_CHARS_MAX).collect();
            text.push_str(&format!("\n    | {line}"));
        }
    }
    text.push_str("\n  `madang doctor` says what may be missing on this machine");
    anyhow!(text)
}

/// Prints the welcome, or its facts as JSON.
pub fn print(control: &Control, facts: &Facts<'_>, as_json: bool) {
    let (chat, embedding) = served(control);
    if as_json {
        let body = json!({
            "url": format!("http://{}", facts.listen),
            "data": facts.data,
            "tenant_key": facts.keys.tenant_key,
            "tenant_key_file": facts.keys.tenant_file,
            "operator_key_file": facts.keys.operator_file,
            "models": control.gateway().snapshot().models.keys().collect::<Vec<_>>(),
            "failed": facts.failed.iter().map(|view| view.id.as_str()).collect::<Vec<_>>(),
        });
        return out::line(&body.to_string());
    }
    let mut text = heading(facts, &chat, &embedding);
    if let Some(model) = chat.first() {
        text.push_str(&snippets(facts, model));
    }
    out::result(&text);
}

type Models = Vec<ModelId>;

/// Served models: chat, then embedding.
fn served(control: &Control) -> (Models, Models) {
    let snapshot = control.gateway().snapshot();
    let kind = |id: &ModelId| {
        snapshot
            .fleet
            .models
            .get(id)
            .map(|model| model.kind)
            .unwrap_or_default()
    };
    snapshot
        .models
        .keys()
        .cloned()
        .partition(|id| kind(id) == ModelKind::Chat)
}

fn heading(facts: &Facts<'_>, chat: &[ModelId], embedding: &[ModelId]) -> String {
    let names = |models: &[ModelId]| {
        models
            .iter()
            .map(ModelId::as_str)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mut lines = vec![format!(
        "\nMadang 마당 {} serves at http://{}/v1",
        env!("CARGO_PKG_VERSION"),
        facts.listen
    )];
    if !chat.is_empty() {
        lines.push(format!("  chat        {}", names(chat)));
    }
    if !embedding.is_empty() {
        lines.push(format!("  embeddings  {}", names(embedding)));
    }
    match &facts.keys.tenant_key {
        Some(key) => {
            lines.push(format!("  tenant key  {key}"));
            lines.push(format!(
                "              shown this once; kept in {}",
                facts.keys.tenant_file.display()
            ));
        }
        None => lines.push(format!(
            "  tenant key  in {}",
            facts.keys.tenant_file.display()
        )),
    }
    lines.push(format!(
        "  operator    key in {}",
        facts.keys.operator_file.display()
    ));
    if chat.iter().any(|id| id.as_str().contains("0.5b")) {
        lines.push("\nThe chat model is very small (half a billion parameters): it proves that the whole path is real,".into());
        lines.push("not that its answers are good. Serve a better one with --fleet FILE or --model PATH.gguf.".into());
    }
    for view in facts.failed {
        let reason = view.reason.as_deref().unwrap_or("it ended");
        lines.push(format!(
            "\nNOT UP: {} ({reason}); see `madang logs {}`",
            view.id, view.id
        ));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn snippets(facts: &Facts<'_>, model: &ModelId) -> String {
    let mut text = String::new();
    let url = format!("http://{}/v1", facts.listen);
    let key_file = facts.keys.tenant_file.display();
    let written = write!(
        text,
        r#"
Try it with curl:

curl -s {url}/chat/completions \
  -H "Authorization: Bearer $(cat '{key_file}')" \
  -H "Content-Type: application/json" \
  -d '{{"model": "{model}", "temperature": 0, "messages": [{{"role": "user", "content": "대한민국의 수도는 어디인가요? 한 문장으로 답하세요."}}]}}'

or with Python (pip install openai):

from openai import OpenAI
client = OpenAI(base_url="{url}", api_key=open("{key_file}").read().strip())
for chunk in client.chat.completions.create(
    model="{model}", stream=True, temperature=0,
    messages=[{{"role": "user", "content": "What is the capital of South Korea? Answer in one sentence."}}],
):
    print(chunk.choices[0].delta.content or "", end="", flush=True)
print()

Stop with Ctrl-C.
"#
    );
    // Writing to a String does not fail.
    if written.is_err() {
        text.clear();
    }
    text
}
