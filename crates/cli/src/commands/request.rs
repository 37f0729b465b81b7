//! `madang request`: one request's record.

use super::server::{cell, print, printable};
use crate::args::RequestArgs;
use crate::http_client::{ApiClient, escape};
use serde_json::Value;
use std::process::ExitCode;

/// Exit code 0 where the record is there.
pub async fn run(args: RequestArgs) -> anyhow::Result<ExitCode> {
    let RequestArgs { id, server } = args;
    let path = format!("/api/v1/requests/{}", escape(&id));
    let answer = ApiClient::new(&server)?.get(&path).await?;
    print(&answer, server.json, shown)
}

/// One line for each field, in an order that tells the story.
const FIELDS: [&str; 20] = [
    "id",
    "arrived_at",
    "tenant",
    "key",
    "endpoint",
    "model",
    "site",
    "replica",
    "outcome",
    "status",
    "error",
    "streamed",
    "attempts",
    "data_class",
    "priority",
    "bytes_in",
    "bytes_out",
    "cost_krw",
    "energy_millijoules",
    "decision",
];
/// Spans in microseconds, shown in milliseconds.
const SPANS: [(&str, &str); 4] = [
    ("queued_us", "queued_ms"),
    ("first_token_us", "first_token_ms"),
    ("per_token_us", "per_token_ms"),
    ("total_us", "total_ms"),
];

fn shown(record: &Value) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        text.push_str(&format!("{name:<20}{}\n", printable(value)));
    };
    for field in FIELDS {
        line(field, &cell(record, field));
    }
    let tokens = &record["tokens"];
    let estimated = if tokens["estimated"] == true {
        " (estimated)"
    } else {
        ""
    };
    let counts =
        ["uncached", "cached", "output"].map(|kind| format!("{} {kind}", cell(tokens, kind)));
    line("tokens", &format!("{}{estimated}", counts.join(", ")));
    for (field, name) in SPANS {
        let span = record[field]
            .as_u64()
            .map(|us| format!("{}.{:03}", us / 1000, us % 1000));
        line(name, &span.unwrap_or_else(|| "-".into()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_record_is_shown_line_by_line() {
        let record = json!({
            "id": "req_1", "model": null, "status": 200, "total_us": 1_234_567, "per_token_us": null,
            "tokens": {"uncached": 3, "cached": 0, "output": 9, "estimated": true},
        });
        let text = shown(&record);
        for line in [
            "id                  req_1",
            "model               -",
            "tokens              3 uncached, 0 cached, 9 output (estimated)",
            "total_ms            1234.567",
            "per_token_ms        -",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
    }
}
