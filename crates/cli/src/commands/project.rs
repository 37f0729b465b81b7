//! `madang project`: list, make, change and disable projects.

use super::server::{Table, cell, instant_cell, limit_cell, micro_won, print, rows};
use crate::http_client::{ApiClient, escape, path_with};
use crate::people_args::ProjectCommand;
use serde_json::{Map, Value, json};
use std::process::ExitCode;

/// Exit code 0 where the server did it.
pub async fn run(command: ProjectCommand) -> anyhow::Result<ExitCode> {
    match command {
        ProjectCommand::List { tenant, server } => {
            let path = path_with("/api/v1/projects", &[("tenant", tenant.as_deref())]);
            let answer = ApiClient::new(&server)?.get(&path).await?;
            print(&answer, server.json, |list| table(rows(list)))
        }
        ProjectCommand::Create {
            id,
            tenant,
            label,
            limit_won,
            server,
        } => {
            let limit = limit_won.map(micro_won);
            let body =
                json!({ "id": id, "tenant": tenant, "label": label, "limit_micro_won": limit });
            let client = ApiClient::new(&server)?;
            let answer = client.post("/api/v1/projects", &body).await?;
            print(&answer, server.json, |row| {
                let (id, tenant) = (cell(row, "id"), cell(row, "tenant"));
                format!(
                    "made {id}; give it a key: madang key create --tenant {tenant} --project {id}\n"
                )
            })
        }
        ProjectCommand::Set {
            id,
            tenant,
            label,
            limit_won,
            server,
        } => {
            let label = label.map(|label| ("label".to_owned(), json!(label)));
            let limit = limit_won.map(|won| ("limit_micro_won".to_owned(), json!(micro_won(won))));
            let body: Map<String, Value> = label.into_iter().chain(limit).collect();
            let path = format!("/api/v1/projects/{}/{}", escape(&tenant), escape(&id));
            let client = ApiClient::new(&server)?;
            let answer = client.patch(&path, &Value::Object(body)).await?;
            print(&answer, server.json, |row| {
                format!("changed {}\n", cell(row, "id"))
            })
        }
        ProjectCommand::Disable { id, tenant, server } => {
            let path = format!("/api/v1/projects/{}/{}", escape(&tenant), escape(&id));
            let answer = ApiClient::new(&server)?.delete(&path).await?;
            print(&answer, server.json, |row| {
                format!(
                    "disabled {}: its keys are refused from now on\n",
                    cell(row, "id")
                )
            })
        }
    }
}

fn table(rows: &[Value]) -> String {
    let columns = ["tenant", "id", "limit", "created", "disabled", "label"];
    let mut table = Table::new(&columns, &[2]);
    for row in rows {
        table.row(vec![
            cell(row, "tenant"),
            cell(row, "id"),
            limit_cell(row),
            instant_cell(row, "created_at"),
            instant_cell(row, "disabled_at"),
            cell(row, "label"),
        ]);
    }
    table.text()
}
