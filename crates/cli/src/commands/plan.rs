//! `madang plan`: from a goal to the cheapest fleet, as a text, JSON or a page.

mod show;

use super::source::{Kind, Source, threads};
use crate::out;
use crate::plan_args::PlanArgs;
use crate::report_args::Language as Lang;
use anyhow::Context;
use madang_catalog::Catalog;
use madang_planner::{Asked, BUILTIN, Language, html, parse, plan, schema};
use std::process::ExitCode;

const GOALS: Kind = Kind {
    word: "goal",
    built_in: BUILTIN,
    bytes_max: 1024 * 1024,
};

pub fn run(args: &PlanArgs) -> anyhow::Result<ExitCode> {
    let Some(name) = &args.goal else {
        out::result(&schema());
        return Ok(ExitCode::SUCCESS);
    };
    let source = Source::read(name, &GOALS)?;
    let catalog = Catalog::shipped()?;
    let Some(goal) = source.told(parse(&source.text, &source.files, &catalog)) else {
        return Ok(ExitCode::FAILURE);
    };
    let asked = Asked {
        confirm: !args.no_confirm,
        threads: threads(args.threads),
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
