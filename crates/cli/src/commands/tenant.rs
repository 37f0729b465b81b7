//! `madang tenant`: list, show, make and remove tenants.

use super::server::{Table, cell, instant_cell, print, rows};
use crate::args::ServerArgs;
use crate::http_client::{ApiClient, escape};
use crate::people_args::TenantCommand;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Exit code 0 where the server did it.
pub async fn run(command: TenantCommand) -> anyhow::Result<ExitCode> {
    match command {
        TenantCommand::List(server) => {
            let answer = ApiClient::new(&server)?.get("/api/v1/tenants").await?;
            print(&answer, server.json, |list| table(rows(list)))
        }
        TenantCommand::Show { id, server } => {
            let answer = ApiClient::new(&server)?.get(&path(&id)).await?;
            print(&answer, server.json, |row| table(std::slice::from_ref(row)))
        }
        TenantCommand::Create {
            id,
            programme,
            weight,
            class_floor,
            data_flags,
            server,
        } => {
            let body = json!({
                "id": id, "programme": programme, "weight": weight, "class_floor": class_floor,
                "data_flags": data_flags,
            });
            create(&server, &body).await
        }
        TenantCommand::Remove { id, server } => {
            let answer = ApiClient::new(&server)?.delete(&path(&id)).await?;
            print(&answer, server.json, |row| {
                format!(
                    "removed {}: its keys are refused from now on\n",
                    cell(row, "id")
                )
            })
        }
    }
}

async fn create(server: &ServerArgs, body: &Value) -> anyhow::Result<ExitCode> {
    let answer = ApiClient::new(server)?
        .post("/api/v1/tenants", body)
        .await?;
    print(&answer, server.json, |row| {
        let id = cell(row, "id");
        format!("made {id}; give it a key: madang key create --tenant {id}\n")
    })
}

fn path(id: &str) -> String {
    format!("/api/v1/tenants/{}", escape(id))
}

fn table(rows: &[Value]) -> String {
    let mut table = Table::new(
        &[
            "id",
            "programme",
            "weight",
            "class floor",
            "flags",
            "origin",
            "created",
            "removed",
        ],
        &[2],
    );
    for row in rows {
        table.row(vec![
            cell(row, "id"),
            cell(row, "programme"),
            cell(row, "weight"),
            cell(row, "class_floor"),
            cell(row, "data_flags"),
            cell(row, "origin"),
            instant_cell(row, "created_at"),
            instant_cell(row, "disabled_at"),
        ]);
    }
    table.text()
}
