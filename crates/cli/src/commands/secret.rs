//! `madang secret`: secrets of jobs.

use super::job::client;
use super::server::{Table, cell, instant_cell, print, rows};
use crate::http_client::{escape, path_with};
use crate::secret_args::SecretCommand;
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::io::{IsTerminal, Read};
use std::process::ExitCode;

/// The longest value, and a line's end.
const VALUE_BYTES_MAX: u64 = madang_types::SECRET_VALUE_BYTES_MAX as u64 + 2;

/// Exit code 0 where the server did it.
pub async fn run(command: SecretCommand) -> anyhow::Result<ExitCode> {
    match command {
        SecretCommand::Put {
            name,
            tenant,
            project,
            server,
        } => {
            let value = value()?;
            let body =
                json!({ "name": name, "tenant": tenant, "project": project, "value": value });
            let answer = client(&server)?.post("/api/v1/secrets", &body).await?;
            print(&answer, server.json, |row| {
                format!(
                    "put {}, version {}\n",
                    cell(row, "name"),
                    cell(row, "version")
                )
            })
        }
        SecretCommand::List { tenant, server } => {
            let path = path_with("/api/v1/secrets", &[("tenant", tenant.as_deref())]);
            let answer = client(&server)?.get(&path).await?;
            print(&answer, server.json, |list| table(rows(list)))
        }
        SecretCommand::Delete {
            name,
            tenant,
            project,
            server,
        } => {
            let client = client(&server)?;
            let tenant = match tenant {
                Some(tenant) => tenant,
                None => own_tenant(&client.get("/api/v1/tenants").await?.json()?)?,
            };
            let path = format!("/api/v1/secrets/{}/{}", escape(&tenant), escape(&name));
            let path = path_with(&path, &[("project", project.as_deref())]);
            let answer = client.delete(&path).await?;
            print(&answer, server.json, |row| {
                format!("deleted {}\n", cell(row, "name"))
            })
        }
    }
}

/// Standard input, without the end of its last line.
fn value() -> anyhow::Result<String> {
    if std::io::stdin().is_terminal() {
        bail!("the value is read from standard input: madang secret put NAME < file");
    }
    let mut text = String::new();
    let read = std::io::stdin()
        .take(VALUE_BYTES_MAX)
        .read_to_string(&mut text);
    read.context("the value is not UTF-8, or cannot be read")?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

/// The tenant of a key that sees one alone.
fn own_tenant(list: &Value) -> anyhow::Result<String> {
    match rows(list) {
        [row] => Ok(cell(row, "id")),
        _ => bail!("whose secret it is has to be said: --tenant TENANT"),
    }
}

fn table(rows: &[Value]) -> String {
    let columns = ["name", "project", "version", "set", "by", "sealed with"];
    let mut table = Table::new(&columns, &[2]);
    for row in rows {
        table.row(vec![
            cell(row, "name"),
            cell(row, "project"),
            cell(row, "version"),
            instant_cell(row, "set_at"),
            cell(row, "set_by"),
            cell(row, "seal_key"),
        ]);
    }
    table.text()
}
