//! `madang key`: list, make and revoke keys.

use super::server::{Table, cell, instant_cell, print, rows};
use crate::args::KeyCommand;
use crate::http_client::{ApiClient, escape, path_with};
use crate::out;
use serde_json::{Map, Value};
use std::process::ExitCode;

/// Exit code 0 where the server did it.
pub async fn run(command: KeyCommand) -> anyhow::Result<ExitCode> {
    match command {
        KeyCommand::List { tenant, server } => {
            let path = path_with("/api/v1/keys", &[("tenant", tenant.as_deref())]);
            let answer = ApiClient::new(&server)?.get(&path).await?;
            print(&answer, server.json, |list| table(rows(list)))
        }
        KeyCommand::Create {
            tenant,
            operator,
            class_floor,
            data_flags,
            label,
            expires_days,
            server,
        } => {
            let mut body = body(tenant, operator, label, expires_days);
            body.insert("class_floor".into(), class_floor.into());
            body.insert("data_flags".into(), data_flags.into());
            let body = Value::Object(body);
            let answer = ApiClient::new(&server)?.post("/api/v1/keys", &body).await?;
            let code = print(&answer, server.json, |row| {
                format!("{}\n", cell(row, "key"))
            })?;
            out::note("Keep the key now: it is not stored and will not be shown again.");
            Ok(code)
        }
        KeyCommand::Revoke { id, server } => {
            let path = format!("/api/v1/keys/{}", escape(&id));
            let answer = ApiClient::new(&server)?.delete(&path).await?;
            print(&answer, server.json, |row| {
                format!("revoked {}: it is refused from now on\n", cell(row, "id"))
            })
        }
    }
}

fn body(
    tenant: Option<String>,
    operator: bool,
    label: String,
    expires_days: Option<u32>,
) -> Map<String, Value> {
    let mut body = Map::new();
    if let Some(tenant) = tenant {
        body.insert("tenant".into(), tenant.into());
    }
    if operator {
        body.insert("role".into(), "operator".into());
    }
    body.insert("label".into(), label.into());
    if let Some(days) = expires_days {
        body.insert("expires_days".into(), days.into());
    }
    body
}

fn table(rows: &[Value]) -> String {
    let mut table = Table::new(
        &[
            "id", "tenant", "role", "floor", "flags", "state", "created", "expires", "label",
        ],
        &[],
    );
    for row in rows {
        table.row(vec![
            cell(row, "id"),
            cell(row, "tenant"),
            cell(row, "role"),
            cell(row, "class_floor"),
            cell(row, "data_flags"),
            cell(row, "state"),
            instant_cell(row, "created_at"),
            instant_cell(row, "expires_at"),
            cell(row, "label"),
        ]);
    }
    table.text()
}
