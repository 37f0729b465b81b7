//! `madang key`: list, make and revoke keys.

use super::server::{Table, cell, instant_cell, limit_cell, micro_won, print, rows};
use crate::http_client::{ApiClient, escape, path_with};
use crate::out;
use crate::people_args::{KeyCommand, KeyCreateArgs};
use madang_types::{Endpoint, Role};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Exit code 0 where the server did it.
pub async fn run(command: KeyCommand) -> anyhow::Result<ExitCode> {
    match command {
        KeyCommand::List { tenant, server } => {
            let path = path_with("/api/v1/keys", &[("tenant", tenant.as_deref())]);
            let answer = ApiClient::new(&server)?.get(&path).await?;
            print(&answer, server.json, |list| table(rows(list)))
        }
        KeyCommand::Create(args) => create(*args).await,
        KeyCommand::Revoke { id, server } => {
            let path = format!("/api/v1/keys/{}", escape(&id));
            let answer = ApiClient::new(&server)?.delete(&path).await?;
            print(&answer, server.json, |row| {
                format!("revoked {}: it is refused from now on\n", cell(row, "id"))
            })
        }
    }
}

async fn create(args: KeyCreateArgs) -> anyhow::Result<ExitCode> {
    let KeyCreateArgs {
        tenant,
        operator,
        role,
        programme,
        project,
        models,
        endpoints,
        requests_per_min,
        tokens_per_min,
        limit_won,
        class_floor,
        data_flags,
        label,
        expires_days,
        server,
    } = args;
    let role = if operator { Some(Role::Operator) } else { role };
    let endpoints: Vec<&str> = endpoints.into_iter().map(Endpoint::as_str).collect();
    let body = json!({
        "tenant": tenant, "role": role, "programme": programme, "project": project, "models": models,
        "endpoints": endpoints, "rate_requests_per_min": requests_per_min, "rate_tokens_per_min": tokens_per_min,
        "limit_micro_won": limit_won.map(micro_won), "class_floor": class_floor,
        "data_flags": data_flags, "label": label, "expires_days": expires_days,
    });
    let answer = ApiClient::new(&server)?.post("/api/v1/keys", &body).await?;
    let code = print(&answer, server.json, |row| {
        format!("{}\n", cell(row, "key"))
    })?;
    out::note("Keep the key now: it is not stored and will not be shown again.");
    Ok(code)
}

fn table(rows: &[Value]) -> String {
    let names = [
        "id", "owner", "role", "for", "per min", "won", "floor", "flags", "state", "created",
        "expires", "label",
    ];
    let mut table = Table::new(&names, &[5]);
    for row in rows {
        table.row(vec![
            cell(row, "id"),
            owner(row),
            cell(row, "role"),
            scopes(row),
            rates(row),
            limit_cell(row),
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

/// A programme, a tenant, or `tenant/project`.
fn owner(row: &Value) -> String {
    let parts = ["programme", "tenant", "project"].iter();
    joined(parts.filter_map(|field| row[*field].as_str()), "/")
}

/// Models and doors that it is for; `-` for all.
fn scopes(row: &Value) -> String {
    let lists = ["models", "endpoints"].iter();
    let words = lists.filter_map(|field| row[*field].as_array()).flatten();
    joined(words.filter_map(Value::as_str), ",")
}

/// Requests and tokens in a minute, as `60 req 1000 tok`; `-` for no bound.
fn rates(row: &Value) -> String {
    let rates = [
        ("rate_requests_per_min", "req"),
        ("rate_tokens_per_min", "tok"),
    ];
    let told = rates.iter().filter_map(|(field, unit)| {
        let rate = row[*field].as_u64()?;
        Some(format!("{rate} {unit}"))
    });
    let told: Vec<String> = told.collect();
    joined(told.iter().map(String::as_str), " ")
}

fn joined<'a>(parts: impl Iterator<Item = &'a str>, between: &str) -> String {
    let parts: Vec<&str> = parts.collect();
    if parts.is_empty() {
        "-".into()
    } else {
        parts.join(between)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_with_its_owner_and_its_bounds() {
        let check = |row: Value, expected: [&str; 4]| {
            let shown = [owner(&row), scopes(&row), rates(&row), limit_cell(&row)];
            assert_eq!(shown, expected, "{row}");
        };
        check(json!({"tenant": null, "models": []}), ["-", "-", "-", "-"]);
        check(
            json!({
                "tenant": "hanbit", "project": "web", "models": ["m", "n"], "endpoints": ["chat"],
                "rate_requests_per_min": 60, "rate_tokens_per_min": 1000, "limit_micro_won": 5_500_000,
            }),
            ["hanbit/web", "m,n,chat", "60 req 1000 tok", "5"],
        );
        check(json!({"programme": "ours"}), ["ours", "-", "-", "-"]);
    }
}
