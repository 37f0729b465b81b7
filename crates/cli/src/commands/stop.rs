//! `madang stop`: stop a country, an upstream or a site; list and lift stops.

use super::server::{Table, cell, instant_cell, print, rows};
use crate::args::ServerArgs;
use crate::ground_args::{StopCommand, StopPlace};
use crate::http_client::{ApiClient, escape};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Exit code 0 where the server did it.
pub async fn run(command: StopCommand) -> anyhow::Result<ExitCode> {
    match command {
        StopCommand::Country(place) => set("country", place).await,
        StopCommand::Upstream(place) => set("upstream", place).await,
        StopCommand::Site(place) => set("site", place).await,
        StopCommand::List(server) => list(server).await,
        StopCommand::Lift { scope, server } => {
            let path = format!("/api/v1/stops/{}", escape(&scope));
            let answer = ApiClient::new(&server)?.delete(&path).await?;
            print(&answer, server.json, |row| {
                format!(
                    "lifted {}: it is used again from now on\n",
                    cell(row, "scope")
                )
            })
        }
    }
}

async fn set(kind: &str, place: StopPlace) -> anyhow::Result<ExitCode> {
    let StopPlace {
        name,
        reason,
        server,
    } = place;
    let body = json!({ "scope": format!("{kind}:{name}"), "reason": reason });
    let answer = ApiClient::new(&server)?
        .post("/api/v1/stops", &body)
        .await?;
    print(&answer, server.json, |row| {
        format!(
            "stopped {}: nothing goes there, and what ran there was cut\n",
            cell(row, "scope")
        )
    })
}

async fn list(server: ServerArgs) -> anyhow::Result<ExitCode> {
    let answer = ApiClient::new(&server)?.get("/api/v1/stops").await?;
    print(&answer, server.json, |list| table(rows(list)))
}

fn table(rows: &[Value]) -> String {
    let mut table = Table::new(&["stopped", "since", "by", "reason"], &[]);
    for row in rows {
        table.row(vec![
            cell(row, "scope"),
            instant_cell(row, "set_at"),
            cell(row, "set_by"),
            cell(row, "reason"),
        ]);
    }
    table.text()
}
