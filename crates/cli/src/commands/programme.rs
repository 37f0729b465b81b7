//! `madang programme`: list, make, change and remove programmes.

use super::server::{Table, cell, instant_cell, print, rows};
use crate::http_client::{ApiClient, escape};
use crate::people_args::{ProgrammeCommand, TermsArgs};
use madang_types::{Preempted, WhenEnded, Zone};
use serde_json::{Map, Value, json};
use std::process::ExitCode;

/// Exit code 0 where the server did it.
pub async fn run(command: ProgrammeCommand) -> anyhow::Result<ExitCode> {
    match command {
        ProgrammeCommand::List(server) => {
            let answer = ApiClient::new(&server)?.get("/api/v1/programmes").await?;
            print(&answer, server.json, |list| table(rows(list)))
        }
        ProgrammeCommand::Create {
            id,
            weight,
            terms,
            server,
        } => {
            let mut body = given(&terms);
            body.insert("id".into(), json!(id));
            body.insert("weight".into(), json!(weight));
            let body = Value::Object(body);
            let answer = ApiClient::new(&server)?
                .post("/api/v1/programmes", &body)
                .await?;
            print(&answer, server.json, |row| {
                format!("made {}\n", cell(row, "id"))
            })
        }
        ProgrammeCommand::Set {
            id,
            weight,
            terms,
            server,
        } => {
            let mut body = given(&terms);
            body.extend(weight.map(|weight| ("weight".to_owned(), json!(weight))));
            let path = format!("/api/v1/programmes/{}", escape(&id));
            let client = ApiClient::new(&server)?;
            let answer = client.patch(&path, &Value::Object(body)).await?;
            print(&answer, server.json, |row| {
                format!("changed {}\n", cell(row, "id"))
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

/// The terms that were given.
fn given(terms: &TermsArgs) -> Map<String, Value> {
    let TermsArgs {
        from,
        until,
        eligibility,
        residency_floor,
        jobs_when_ended,
        jobs_preempted,
    } = terms;
    let fields = [
        ("from", from.as_deref()),
        ("until", until.as_deref()),
        ("eligibility", eligibility.as_deref()),
        ("residency_floor", residency_floor.map(Zone::as_str)),
        ("jobs_when_ended", jobs_when_ended.map(WhenEnded::as_str)),
        ("jobs_preempted", jobs_preempted.map(Preempted::as_str)),
    ];
    let given = fields
        .into_iter()
        .filter_map(|(name, text)| Some((name, text?)));
    given
        .map(|(name, text)| (name.to_owned(), json!(text)))
        .collect()
}

fn table(rows: &[Value]) -> String {
    let columns = [
        "id",
        "weight",
        "from",
        "until",
        "least ground",
        "jobs at its end",
        "stopped jobs are",
        "origin",
        "created",
        "removed",
        "for",
    ];
    let mut table = Table::new(&columns, &[1]);
    for row in rows {
        table.row(vec![
            cell(row, "id"),
            cell(row, "weight"),
            instant_cell(row, "from"),
            instant_cell(row, "until"),
            cell(row, "residency_floor"),
            cell(row, "jobs_when_ended"),
            cell(row, "jobs_preempted"),
            cell(row, "origin"),
            instant_cell(row, "created_at"),
            instant_cell(row, "disabled_at"),
            cell(row, "eligibility"),
        ]);
    }
    table.text()
}
