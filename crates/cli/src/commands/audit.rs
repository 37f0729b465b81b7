//! `madang audit`: the log of what policy decided, read as an outsider reads it.

use super::server::{Table, cell, print};
use crate::audit_args::{
    AuditCommand, CheckProofArgs, EraseArgs, LogArgs, ProofOf, ProveArgs, ReportArgs, VerifyArgs,
};
use crate::http_client::{Answer, ApiClient};
use crate::out;
use anyhow::{Context, bail};
use http::HeaderMap;
use madang_audit::report::{self, Figure, Report, Scope};
use madang_audit::{
    AuditError, AuditLog, Checkpoint, ConsistencyProof, Folder, InclusionProof, Keyring, Leaf,
    Month, Reader, Settings, VerifierKey, verifier_key,
};
use madang_types::{Micros, RequestId, TenantId};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Asia/Seoul, which has had no other offset since 1988.
const SEOUL_S: i32 = 9 * 3600;

/// Exit code 0 where what was asked holds.
pub fn run(command: AuditCommand) -> anyhow::Result<ExitCode> {
    match command {
        AuditCommand::Verify(args) => verify(&args)?,
        AuditCommand::Prove(args) => prove(&args)?,
        AuditCommand::CheckProof(args) => check_proof(&args)?,
        AuditCommand::Report(args) => report(&args)?,
        AuditCommand::Erase(args) => return erase(&args),
        AuditCommand::Key(LogArgs { dir, data, .. }) => {
            out::line(&verifier_key(&folder(dir.as_deref(), &data))?.to_string());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn folder(dir: Option<&Path>, data: &Path) -> PathBuf {
    dir.map_or_else(|| data.join("audit"), Path::to_owned)
}

fn open(args: &LogArgs) -> anyhow::Result<(Reader<Folder>, VerifierKey)> {
    let folder = folder(args.dir.as_deref(), &args.data);
    let key = match &args.key {
        Some(key) => key.parse()?,
        None => verifier_key(&folder)?,
    };
    let reader = Reader::open(Folder::new(&folder), key.clone());
    Ok((
        reader.with_context(|| format!("the audit log in {}", folder.display()))?,
        key,
    ))
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// A checkpoint that was kept, signed by `key`.
fn kept(path: &Path, key: &VerifierKey) -> anyhow::Result<Checkpoint> {
    Checkpoint::open(&read(path)?, key)
        .with_context(|| format!("the checkpoint {}", path.display()))
}

fn verify(args: &VerifyArgs) -> anyhow::Result<()> {
    let (reader, key) = open(&args.log)?;
    reader.verify(|_, _| {})?;
    let old = args
        .checkpoint
        .as_deref()
        .map(|path| kept(path, &key))
        .transpose()?;
    if let Some(old) = &old {
        reader.prove_consistency(old)?;
    }
    let Checkpoint { origin, size, root } = reader.checkpoint();
    if args.json {
        let continues = old.map(|old| old.size);
        out::line(&json!({ "origin": origin, "size": size, "root": root.to_string(), "key": key.to_string(), "continues": continues }).to_string());
        return Ok(());
    }
    out::line(&format!(
        "{origin}: all {size} leaves are what was signed, root {root}"
    ));
    match old {
        Some(old) => out::line(&format!(
            "it continues the checkpoint of {} leaves",
            old.size
        )),
        None => out::note(
            "keep its checkpoint: with --checkpoint, the next run shows that nothing was rewritten since",
        ),
    }
    if args.log.key.is_none() {
        out::note(
            "the key is the folder's own; an auditor gives the one that was had from elsewhere: --key VKEY",
        );
    }
    Ok(())
}

fn prove(args: &ProveArgs) -> anyhow::Result<()> {
    let (reader, key) = open(&args.log)?;
    let ProofOf {
        request,
        index,
        since,
    } = &args.what;
    if let Some(request) = request {
        return prove_request(&reader, request.parse()?, args.out.as_deref());
    }
    let proof = match (index, since) {
        (Some(index), _) => InclusionProof::make(&reader, *index)?.to_string(),
        (None, Some(old)) => ConsistencyProof::make(&reader, &kept(old, &key)?)?.to_string(),
        (None, None) => bail!("say what to prove: --request, --index or --since"),
    };
    match &args.out {
        Some(path) => write(path, &proof),
        None => {
            out::result(&proof);
            Ok(())
        }
    }
}

fn prove_request(
    reader: &Reader<Folder>,
    request: RequestId,
    folder: Option<&Path>,
) -> anyhow::Result<()> {
    let mut indexes = Vec::new();
    reader.verify(|index, leaf| {
        if Leaf::decode(leaf).is_ok_and(|leaf| leaf.request() == Some(request)) {
            indexes.push(index);
        }
    })?;
    if indexes.is_empty() {
        bail!(
            "the log has no leaf of {request}; what was decided in the last second is not under a checkpoint yet"
        );
    }
    for index in indexes {
        let proof = InclusionProof::make(reader, index)?;
        match folder {
            None => out::line(&format!("{index} {}", String::from_utf8_lossy(&proof.leaf))),
            Some(folder) => {
                fs::create_dir_all(folder)
                    .with_context(|| format!("cannot make {}", folder.display()))?;
                let path = folder.join(format!("{request}-{index}.tlog-proof"));
                write(&path, &proof.to_string())?;
                out::line(&path.display().to_string());
            }
        }
    }
    if folder.is_none() {
        out::note("all are proven; -o FOLDER writes the proofs as files");
    }
    Ok(())
}

fn check_proof(args: &CheckProofArgs) -> anyhow::Result<()> {
    let key: VerifierKey = args.key.parse()?;
    let text = read(&args.file)?;
    if let Some(old) = &args.checkpoint {
        let old = kept(old, &key)?;
        let new = ConsistencyProof::parse(&text)?.check(&old, &key)?;
        out::line(&format!(
            "{}: the log of {} leaves continues the one of {}",
            new.origin, new.size, old.size
        ));
        return Ok(());
    }
    let proof = InclusionProof::parse(&text)?;
    let checkpoint = proof.check(&key)?;
    out::note(&format!(
        "{}: leaf {} of {} is, under the root {}:",
        checkpoint.origin, proof.index, checkpoint.size, checkpoint.root
    ));
    out::line(&String::from_utf8_lossy(&proof.leaf));
    Ok(())
}

fn report(args: &ReportArgs) -> anyhow::Result<()> {
    let scope = Scope {
        tenant: TenantId::new(&args.tenant)?,
        month: args.month.parse()?,
        offset_s: SEOUL_S,
        home: args.home.clone(),
    };
    let (reader, _) = open(&args.log)?;
    let report = report::report(&reader, scope)?;
    if let Some(path) = &args.html {
        write(path, &report::html(&report))?;
        out::note(&format!("the report is in {}", path.display()));
    }
    if args.json {
        out::line(&serde_json::to_string(&report)?);
    } else if args.html.is_none() {
        out::result(&shown(&report));
    }
    Ok(())
}

fn shown(report: &Report) -> String {
    let mut text = format!(
        "{} in {}: {} requests, leaves {} of {}\n",
        report.tenant,
        report.month,
        report.requests.map_or(0, |requests| requests.count),
        range(report.leaves),
        report.log.size
    );
    let unknown = |country: &Option<String>| country.clone().unwrap_or_else(|| "unknown".into());
    let mut table = Table::new(
        &[
            "went to", "country", "model", "class", "masked", "attempts", "leaves",
        ],
        &[5],
    );
    for row in &report.sent {
        table.row(vec![
            row.location.id.clone(),
            unknown(&row.location.country),
            row.model
                .as_ref()
                .map_or_else(|| "-".into(), ToString::to_string),
            row.class.to_string(),
            if row.masked { "yes" } else { "no" }.into(),
            row.attempts.count.to_string(),
            range(Some(row.attempts)),
        ]);
    }
    text.push_str(&table.text());
    let mut table = Table::new(&["denied by", "unmet", "attempts", "leaves"], &[2]);
    for row in &report.denials {
        table.row(vec![
            row.rules.join(","),
            row.unmet.join(","),
            row.attempts.count.to_string(),
            range(Some(row.attempts)),
        ]);
    }
    text.push_str(&table.text());
    let counts = [
        report.transfers.len(),
        report.policies.len(),
        report.stops.len(),
        report.erasures.len(),
    ];
    let [transfers, policies, stops, erasures] = counts;
    text.push_str(&format!(
        "{transfers} kinds of transfers abroad, {policies} policies loaded, {stops} stops, {erasures} keys destroyed: --html or --json shows all\n"
    ));
    text
}

fn range(figure: Option<Figure>) -> String {
    figure.map_or_else(
        || "-".into(),
        |figure| format!("{}-{}", figure.first, figure.last),
    )
}

/// By the server that has the log, else in its folder.
fn erase(args: &EraseArgs) -> anyhow::Result<ExitCode> {
    let EraseArgs {
        dir,
        tenant,
        month,
        server,
    } = args;
    let ask = async || {
        let body = json!({ "tenant": tenant, "month": month });
        let client = ApiClient::new(server)?;
        client.post("/api/v1/audit/erasures", &body).await
    };
    let here = |folder: &Path| erase_in(folder, (tenant, month));
    let answer = match dir {
        Some(dir) => here(dir)?,
        None if server.url.is_some() => super::in_runtime(ask())?,
        None => match here(&folder(None, &server.data)) {
            Err(error) if is_in_use(&error) => super::in_runtime(ask())?,
            erased => erased?,
        },
    };
    print(&answer, server.json, |row| {
        format!(
            "the key of {} for {} is destroyed, leaf {}; remove it from backups of the folder keys too\n",
            cell(row, "tenant"),
            cell(row, "month"),
            cell(row, "leaf")
        )
    })
}

fn is_in_use(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(AuditError::InUse(_)))
}

/// Answers as a server does. It holds the log's lock, so no server has the key in memory.
fn erase_in(folder: &Path, (tenant, month): (&str, &str)) -> anyhow::Result<Answer> {
    let (tenant, month): (TenantId, Month) = (TenantId::new(tenant)?, month.parse()?);
    let origin = verifier_key(folder)?.name().to_owned();
    let log = AuditLog::open(folder, &Settings::new(&origin))?;
    let now = Micros(jiff::Timestamp::now().as_microsecond());
    let keys = Keyring::new(folder, SEOUL_S);
    let appended = keys.erase(&log, (tenant.clone(), month), now)?;
    let erased = json!({ "tenant": tenant, "month": month.to_string(), "leaf": appended.index });
    Ok(Answer {
        text: erased.to_string(),
        headers: HeaderMap::new(),
    })
}
