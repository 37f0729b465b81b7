//! `madang report`: the server makes the report, in each of its forms; here it is asked for and put where it should be.

use super::{energy, idle};
use crate::http_client::{Answer, ApiClient, escape, path_with};
use crate::out;
use crate::report_args::{Language, ReportArgs, ReportCommand, ReportFormat};
use anyhow::{Context, bail};
use std::process::ExitCode;

/// Exit code 0 where the ledger says what the records say.
pub async fn run(command: ReportCommand) -> anyhow::Result<ExitCode> {
    match command {
        ReportCommand::Programme {
            id,
            format,
            lang,
            report,
        } => {
            let format = match format {
                None | Some(ReportFormat::Json) => "json",
                Some(ReportFormat::Csv) => "csv",
                Some(ReportFormat::Html) => "html",
            };
            let lang = match lang {
                Language::En => "en",
                Language::Ko => "ko",
            };
            let path = format!("/api/v1/programmes/{}/report", escape(&id));
            ask(
                &report,
                &path,
                &[("format", Some(format)), ("lang", Some(lang))],
            )
            .await
        }
        ReportCommand::Costs {
            programme,
            tenant,
            report,
        } => {
            if report.server.json {
                bail!("costs come as CSV: leave --json out");
            }
            ask(&report, "/api/v1/costs", &of_whom(&programme, &tenant)).await
        }
        ReportCommand::Energy {
            programme,
            tenant,
            report,
        } => energy_of(&report, &of_whom(&programme, &tenant)).await,
        ReportCommand::Idle {
            programme,
            tenant,
            below_percent,
            after_s,
            csv,
            report,
        } => {
            let (below, after_s) = ((below_percent * 10).to_string(), after_s.to_string());
            let of = [
                ("programme", programme.as_deref()),
                ("tenant", tenant.as_deref()),
                ("below_permille", Some(&*below)),
                ("after_s", Some(&*after_s)),
                ("format", csv.then_some("csv")),
            ];
            let answer = asked(&report, "/api/v1/reports/idle", &of).await?;
            let text = match csv || report.server.json {
                true => answer.text,
                false => idle::text(&serde_json::from_str(&answer.text)?),
            };
            put(&report, &text)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The parameters that say whose.
fn of_whom<'a>(
    programme: &'a Option<String>,
    tenant: &'a Option<String>,
) -> [(&'static str, Option<&'a str>); 2] {
    [
        ("programme", programme.as_deref()),
        ("tenant", tenant.as_deref()),
    ]
}

async fn energy_of(report: &ReportArgs, of: &[(&str, Option<&str>)]) -> anyhow::Result<ExitCode> {
    let answer = asked(report, "/api/v1/reports/energy", of).await?;
    let text = match report.server.json {
        true => answer.text,
        false => energy::text(&serde_json::from_str(&answer.text)?),
    };
    put(report, &text)?;
    Ok(ExitCode::SUCCESS)
}

async fn ask(
    report: &ReportArgs,
    path: &str,
    parameters: &[(&str, Option<&str>)],
) -> anyhow::Result<ExitCode> {
    let answer = asked(report, path, parameters).await?;
    put(report, &answer.text)?;
    agreed(&answer)
}

async fn asked(
    report: &ReportArgs,
    path: &str,
    parameters: &[(&str, Option<&str>)],
) -> anyhow::Result<Answer> {
    let ReportArgs {
        month,
        offset_s,
        output: _,
        server,
    } = report;
    let offset_s = offset_s.to_string();
    let mut all = vec![
        ("month", month.as_deref()),
        ("offset_s", Some(offset_s.as_str())),
    ];
    all.extend(parameters);
    ApiClient::new(server)?.get(&path_with(path, &all)).await
}

/// Where the report is to be.
fn put(report: &ReportArgs, text: &str) -> anyhow::Result<()> {
    match &report.output {
        Some(file) => {
            let written = std::fs::write(file, text);
            written.with_context(|| format!("cannot write {}", file.display()))?;
            out::note(&format!("written to {}", file.display()));
        }
        None => out::result(text),
    }
    Ok(())
}

/// A report that does not add up is shown, and fails.
fn agreed(answer: &Answer) -> anyhow::Result<ExitCode> {
    let said = answer.headers.get("x-madang-reconciled");
    if said.is_none_or(|said| said != "true") {
        bail!(
            "the ledger's entries do not sum to what the records of requests do\n  help: `reconciliation` in the report with \
             --format json says where; `madang ledger verify` looks for changed entries"
        );
    }
    Ok(ExitCode::SUCCESS)
}
