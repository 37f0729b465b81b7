//! `madang plan`: from a goal to the cheapest fleet, as a text, JSON or a page.

mod show;

use crate::diagnose;
use crate::out;
use crate::plan_args::{Lang, PlanArgs};
use anyhow::{Context, bail};
use madang_catalog::Catalog;
use madang_fleet::{FileProblems, Problem};
use madang_planner::{Asked, BUILTIN, Language, html, parse, plan, schema};
use madang_twin::scenario::Files;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

/// Bytes of a goal.
const GOAL_BYTES_MAX: u64 = 1024 * 1024;

pub fn run(args: &PlanArgs) -> anyhow::Result<ExitCode> {
    let Some(name) = &args.goal else {
        out::result(&schema());
        return Ok(ExitCode::SUCCESS);
    };
    let (path, text, files) = source(name)?;
    let catalog = Catalog::shipped()?;
    let goal = match parse(&text, &files, &catalog) {
        Ok((goal, warnings)) => {
            tell(&path, text, warnings);
            goal
        }
        Err(problems) => {
            tell(&path, text, problems);
            return Ok(ExitCode::FAILURE);
        }
    };
    let threads = match args.threads {
        Some(threads) => usize::try_from(threads).unwrap_or(1),
        None => thread::available_parallelism().map_or(1, usize::from),
    };
    let asked = Asked {
        confirm: !args.no_confirm,
        threads,
    };
    let report = plan(&goal, asked)?;
    if let Some(file) = &args.html {
        let language = match args.lang {
            Lang::En => Language::English,
            Lang::Ko => Language::Korean,
        };
        std::fs::write(file, html(&report, language))
            .with_context(|| format!("{} cannot be written", file.display()))?;
    }
    if args.json {
        out::line(&serde_json::to_string_pretty(&report)?);
    } else {
        show::show(&report);
    }
    Ok(ExitCode::SUCCESS)
}

/// A file, or one of the goals that are built in.
fn source(name: &Path) -> anyhow::Result<(PathBuf, String, Files)> {
    let shown = name.display();
    if !name.exists() {
        let built_in = BUILTIN.iter().find(|(known, _)| name.as_os_str() == *known);
        let Some((known, text)) = built_in else {
            let known: Vec<&str> = BUILTIN.iter().map(|(known, _)| *known).collect();
            bail!(
                "there is no file {shown}, and no goal of that name is built in: those are {}",
                known.join(", ")
            );
        };
        return Ok((
            format!("{known}.toml").into(),
            (*text).to_owned(),
            Files::Builtin,
        ));
    }
    let size = std::fs::metadata(name)
        .with_context(|| format!("{shown} cannot be read"))?
        .len();
    if size > GOAL_BYTES_MAX {
        bail!("{shown} has {size} bytes; a goal has at most {GOAL_BYTES_MAX}");
    }
    let text = std::fs::read_to_string(name).with_context(|| format!("{shown} cannot be read"))?;
    let folder = name.parent().map(Path::to_path_buf).unwrap_or_default();
    Ok((name.to_owned(), text, Files::Folder(folder)))
}

fn tell(path: &Path, source: String, problems: Vec<Problem>) {
    if problems.is_empty() {
        return;
    }
    let file = FileProblems {
        path: path.to_owned(),
        source,
        problems,
    };
    out::note(diagnose::render(&file, out::color()).trim_end());
}
