//! `madang programme`: list, make and remove programmes.

use super::server::{Table, cell, instant_cell, print, rows};
use crate::http_client::{ApiClient, escape};
use crate::people_args::ProgrammeCommand;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Exit code 0 where the server did it.
pub async fn run(command: ProgrammeCommand) -> anyhow::Result<ExitCode> {
    match command {
        ProgrammeCommand::List(server) => {
            let answer = ApiClient::new(&server)?.get("/api/v1/programmes").await?;
            print(&answer, server.json, |list| table(rows(list)))
        }
        ProgrammeCommand::Create { id, weight, server } => {
            let body = json!({ "id": id, "weight": weight });
            let answer = ApiClient::new(&server)?
                .post("/api/v1/programmes", &body)
                .await?;
            print(&answer, server.json, |row| {
                format!("made {}\n", cell(row, "id"))
            })
        }
        ProgrammeCommand::Remove { id, server } => {
            let path = format!("/api/v1/programmes/{}", escape(&id));
            let answer = ApiClient::new(&server)?.delete(&path).await?;
            print(&answer, server.json, |row| {
                format!(
                    "removed {}: the keys of its tenants are refused from now on\n",
                    cell(row, "id")
                )
            })
        }
    }
}

fn table(rows: &[Value]) -> String {
    let mut table = Table::new(&["id", "weight", "origin", "created", "removed"], &[1]);
    for row in rows {
        table.row(vec![
            cell(row, "id"),
            cell(row, "weight"),
            cell(row, "origin"),
            instant_cell(row, "created_at"),
            instant_cell(row, "disabled_at"),
        ]);
    }
    table.text()
}
