//! `madang status`: pools and replicas of the running server.

use super::server::{Table, cell, print, rows, serves};
use crate::args::ServerArgs;
use crate::http_client::ApiClient;
use crate::out;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Exit code 0 where the server answered.
pub async fn run(args: ServerArgs) -> anyhow::Result<ExitCode> {
    let client = ApiClient::new(&args)?;
    let status = client.get("/api/v1/status").await?;
    let replicas = client.get("/api/v1/replicas").await?;
    if args.json {
        let mut status = status.json()?;
        status["replicas"] = json!(rows(&replicas.json()?));
        out::line(&status.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    let replicas = replicas.json()?;
    print(&status, false, |status| shown(status, rows(&replicas)))
}

fn shown(status: &Value, replicas: &[Value]) -> String {
    let books = if status["books_writable"] == false {
        "; the books cannot be written"
    } else {
        ""
    };
    let mut text = format!(
        "fleet {} (load {}), up for {} s, {} requests{books}\n\n",
        cell(status, "fleet"),
        cell(status, "generation"),
        cell(status, "uptime_s"),
        cell(status, "requests_count"),
    );
    let mut pools = Table::new(
        &[
            "model", "waiting", "member", "site", "serves", "running", "slots",
        ],
        &[1, 5, 6],
    );
    for pool in status["pools"].as_array().into_iter().flatten() {
        for member in pool["members"].as_array().into_iter().flatten() {
            pools.row(vec![
                cell(pool, "model"),
                cell(pool, "waiting"),
                cell(member, "replica"),
                cell(member, "site"),
                serves(member).into(),
                cell(member, "running"),
                cell(member, "slots"),
            ]);
        }
    }
    text.push_str(&pools.text());
    if !replicas.is_empty() {
        text.push('\n');
        text.push_str(&replica_table(replicas));
    }
    let clusters = status["clusters"].as_array();
    let clusters = clusters.map_or(&[][..], Vec::as_slice);
    if !clusters.is_empty() {
        text.push('\n');
        text.push_str(&cluster_table(clusters));
    }
    text
}

/// Slurm clusters that are set up from here; a row for each fault.
fn cluster_table(clusters: &[Value]) -> String {
    let mut table = Table::new(&["cluster", "set up", "fault"], &[]);
    let none = [Value::Null];
    for cluster in clusters {
        let faults = cluster["faults"].as_array();
        let faults = faults.filter(|faults| !faults.is_empty());
        for fault in faults.map_or(&none[..], Vec::as_slice) {
            table.row(vec![
                cell(cluster, "id"),
                cell(cluster, "set_up_at"),
                fault.as_str().unwrap_or("-").to_owned(),
            ]);
        }
    }
    table.text()
}

fn replica_table(replicas: &[Value]) -> String {
    let mut table = Table::new(
        &["replica", "state", "starts", "pid", "address", "reason"],
        &[2, 3],
    );
    for replica in replicas {
        table.row(vec![
            cell(replica, "id"),
            cell(replica, "state"),
            cell(replica, "starts_count"),
            cell(replica, "pid"),
            cell(replica, "address"),
            cell(replica, "reason"),
        ]);
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_and_replicas_are_shown() {
        let status = json!({
            "fleet": "fleet.toml", "generation": 2, "uptime_s": 5, "requests_count": 1, "books_writable": true,
            "pools": [{"model": "m", "waiting": 0, "members": [
                {"replica": "r1", "site": "here", "available": true, "leaving": false, "running": 1, "slots": 4}]}],
            "clusters": [{"id": "pohang", "faults": ["it is away"]}],
        });
        let replicas = [
            json!({"id": "r1", "state": "up", "starts_count": 1, "pid": 7, "address": "http://a", "reason": null}),
        ];
        let text = shown(&status, &replicas);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "fleet fleet.toml (load 2), up for 5 s, 1 requests"
        );
        assert_eq!(
            lines[3],
            "m            0  r1      here  yes           1      4"
        );
        assert_eq!(lines[6], "r1       up          1    7  http://a  -");
        assert_eq!(lines[9], "pohang   -       it is away");
    }
}
