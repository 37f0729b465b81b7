//! `madang explain`: what would become of a request, without sending it.

use super::server::{Table, cell, print, printable};
use crate::ground_args::ExplainArgs;
use crate::http_client::ApiClient;
use anyhow::Context;
use serde_json::{Map, Value};
use std::process::ExitCode;

/// Exit code 0 where it would be served or wait, 1 where it would be refused.
pub async fn run(args: ExplainArgs) -> anyhow::Result<ExitCode> {
    let json = args.server.json;
    let client = ApiClient::new(&args.server)?;
    let answer = client.post("/api/v1/explain", &question(args)?).await?;
    let code = print(&answer, json, text)?;
    let refused = answer.json().is_ok_and(|row| !row["refusal"].is_null());
    Ok(if refused { ExitCode::FAILURE } else { code })
}

fn question(args: ExplainArgs) -> anyhow::Result<Value> {
    let mut question = Map::new();
    question.insert("model".into(), args.model.into());
    let optional = [
        ("tenant", args.tenant),
        ("key", args.with_key),
        ("class", args.class),
        ("endpoint", args.endpoint),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            question.insert(name.into(), value.into());
        }
    }
    if !args.flags.is_empty() {
        question.insert("flags".into(), args.flags.into());
    }
    if let Some(path) = args.body {
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        let body: Value = serde_json::from_str(&text)
            .with_context(|| format!("{} is not JSON", path.display()))?;
        question.insert("body".into(), body);
    }
    Ok(question.into())
}

fn text(row: &Value) -> String {
    let data = &row["data"];
    let mut out = format!(
        "class       {} (from {})\nflags       {}\nfound       {}\npolicy      {}\n",
        cell(data, "class"),
        cell(data, "class_from").replace('_', " "),
        cell(data, "flags"),
        found(&data["found"]),
        cell(row, "policy_hash"),
    );
    out += &match (&row["taken"], &row["refusal"]) {
        (Value::Object(_), _) => {
            let taken = &row["taken"];
            let masked = if taken["masked"] == true {
                ", masked"
            } else {
                ""
            };
            format!(
                "would go to {} at {}{masked}: {}\n\n",
                cell(taken, "model"),
                cell(taken, "replica"),
                cell(taken, "decision")
            )
        }
        (_, Value::Null) => "would wait for a free replica\n\n".into(),
        (_, refusal) => format!("refused     {}\n\n", refusal.as_str().unwrap_or_default()),
    };
    let rows = |name: &str| row[name].as_array().map_or(&[][..], Vec::as_slice);
    out += &table(
        &[
            "model", "replica", "location", "country", "zone", "effect", "rules",
        ],
        rows("candidates"),
    );
    let urls = rows("urls");
    if !urls.is_empty() {
        out += "\n";
        out += &table(
            &["host", "origin", "location", "zone", "effect", "rules"],
            urls,
        );
    }
    out
}

fn found(counts: &Value) -> String {
    let counts = counts.as_object().into_iter().flatten();
    let words: Vec<String> = counts
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    if words.is_empty() {
        "-".into()
    } else {
        words.join(", ")
    }
}

/// What the policy says of each row, with the columns that name it.
fn table(names: &[&str], rows: &[Value]) -> String {
    let columns: Vec<&str> = names.iter().copied().chain(["why"]).collect();
    let mut table = Table::new(&columns, &[]);
    for row in rows {
        let cells = names.iter().map(|name| cell(row, name));
        table.row(cells.chain([why(row)]).collect());
    }
    table.text()
}

/// The rule's text; where no rule permits, what the nearest ones ask for.
fn why(row: &Value) -> String {
    let unmet = row["unmet"].as_array().into_iter().flatten();
    let unmet: Vec<String> = unmet
        .map(|unmet| {
            format!(
                "{} needs {}",
                cell(unmet, "rule"),
                cell(unmet, "conditions")
            )
        })
        .collect();
    let text = printable(row["text"].as_str().unwrap_or_default());
    [text, unmet.join("; ")]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}
