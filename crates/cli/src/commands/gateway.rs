//! `madang gateway`: the gateways that share the books; give one up, and release what waits of it.

use super::server::{Table, cell, instant_cell, print, rows};
use crate::ground_args::GatewayCommand;
use crate::http_client::{ApiClient, escape};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Exit code 0 where the server did it.
pub async fn run(command: GatewayCommand) -> anyhow::Result<ExitCode> {
    match command {
        GatewayCommand::List(server) => {
            let answer = ApiClient::new(&server)?.get("/api/v1/gateways").await?;
            print(&answer, server.json, |list| table(rows(list)))
        }
        GatewayCommand::GiveUp { id, server } => {
            let path = format!("/api/v1/gateways/{}", escape(&id));
            let answer = ApiClient::new(&server)?.delete(&path).await?;
            print(&answer, server.json, |row| {
                let id = cell(row, "id");
                format!(
                    "gave up {id}: what it held waits in suspense for what it may still report\n"
                )
            })
        }
        GatewayCommand::Release { id, server } => {
            let path = format!("/api/v1/gateways/{}/release", escape(&id));
            let answer = ApiClient::new(&server)?.post(&path, &json!({})).await?;
            print(&answer, server.json, |row| {
                let id = cell(row, "id");
                format!("released what waited of {id}: it can be spent again\n")
            })
        }
    }
}

fn table(rows: &[Value]) -> String {
    let mut table = Table::new(&["gateway", "run", "began", "heard of", "purses"], &[1, 4]);
    for row in rows {
        table.row(vec![
            cell(row, "id"),
            cell(row, "run"),
            instant_cell(row, "begun_at"),
            instant_cell(row, "seen_at"),
            cell(row, "purses_count"),
        ]);
    }
    table.text()
}
