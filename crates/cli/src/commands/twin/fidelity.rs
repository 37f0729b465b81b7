//! `madang twin catalog`, `calibrate` and `predict`: what the twin knows of chips, models and engines, and how true it is.

use super::read;
use crate::out;
use crate::twin_args::fidelity::{CalibrateArgs, CatalogArgs, ListArgs, PredictArgs, RequestsArgs};
use anyhow::{Context, bail};
use madang_catalog::{Catalog, Deployment, EngineKind, Parallel, model_of_config};
use madang_twin::fidelity::requests::{
    RequestPrediction, RequestRun, Score, learn, request_runs, scores,
};
use madang_twin::fidelity::{Calibration, EngineRow, Prediction, calibrate, engine_rows, predict};
use std::path::Path;

/// The catalogue, with rows of one's own.
pub(super) fn catalog(args: &CatalogArgs) -> anyhow::Result<Catalog> {
    let mut catalog = Catalog::shipped()?;
    if let Some(path) = &args.chips {
        let text = text(path)?;
        let added = catalog.add_chips(&text);
        added.with_context(|| path.display().to_string())?;
    }
    if let Some(path) = &args.models {
        let text = text(path)?;
        let added = catalog.add_models(&text);
        added.with_context(|| path.display().to_string())?;
    }
    for config in &args.config {
        let Some((name, path)) = config.split_once('=') else {
            bail!("--config {config}: NAME=FILE is wanted, as in new-70b=config.json");
        };
        let model = model_of_config(name, &text(Path::new(path))?);
        catalog.add_model(model.with_context(|| path.to_owned())?);
    }
    Ok(catalog)
}

fn text(path: &Path) -> anyhow::Result<String> {
    let bytes = read(path)?;
    String::from_utf8(bytes).with_context(|| format!("{} is no text", path.display()))
}

fn rows(path: &Path) -> anyhow::Result<Vec<EngineRow>> {
    let shown = path.display();
    engine_rows(&read(path)?).with_context(|| format!("{shown} is not a table of engines"))
}

pub(super) fn run_catalog(args: &ListArgs) -> anyhow::Result<()> {
    let catalog = catalog(&args.catalog)?;
    let engines = EngineKind::ALL.map(EngineKind::coefficients);
    if args.json {
        let whole = serde_json::json!({
            "chips": catalog.chips, "models": catalog.models, "engines": engines,
        });
        out::line(&serde_json::to_string_pretty(&whole)?);
        return Ok(());
    }
    out::line(
        "chip                    GB    GB/s   bf16    fp8    fp4 TFLOPS   link GB/s     W   trust      from",
    );
    let figure =
        |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0}"));
    for chip in &catalog.chips {
        out::line(&format!(
            "{:<20} {:>5.0} {:>7.0} {:>6.0} {:>6} {:>6} {:>18.0} {:>5}   {:<8}   {}",
            chip.name,
            chip.memory_gb,
            chip.memory_gb_s,
            chip.bf16_tflops,
            figure(chip.fp8_tflops),
            figure(chip.fp4_tflops),
            chip.link_gb_s,
            figure(chip.tdp_w),
            format!("{:?}", chip.confidence).to_lowercase(),
            chip.source
        ));
    }
    out::line(
        "\nmodel                        10^9 params   KV bytes/token, bf16   past windows   H200s, fp8: fewest   tokens held   trust      from",
    );
    for model in &catalog.models {
        let shape = &model.shape;
        let growth = 2.0 * shape.kv_layer_elements() * shape.full_layers;
        let (fewest, tokens) = fewest(&catalog, &model.name);
        out::line(&format!(
            "{:<28} {:>11.1} {:>22.0} {:>14.0} {:>20} {:>13}   {:<8}   {}",
            model.name,
            model.params_b,
            2.0 * shape.kv_elements(1.0),
            growth,
            fewest,
            tokens,
            format!("{:?}", model.confidence).to_lowercase(),
            model.source
        ));
    }
    out::line("\nengine   rows   90 % within   elsewhere   chips                          from");
    for own in &engines {
        out::line(&format!(
            "{:<8} {:>4}        ×{:<6.2}      ×{:<6.2}   {:<28}   {}",
            super::word(own.engine),
            own.rows,
            own.band,
            own.band_elsewhere,
            own.chips,
            own.source
        ));
    }
    Ok(())
}

/// How many H200 a model needs in fp8, and the tokens that they hold then.
fn fewest(catalog: &Catalog, model: &str) -> (String, String) {
    for tensor in [1, 2, 4, 8, 16, 32] {
        let deployment: Result<Deployment, _> = catalog.deployment(
            (model, "H200-SXM"),
            Parallel::tensor(tensor),
            "fp8",
            EngineKind::Vllm,
        );
        if let Ok(memory) = deployment.and_then(|deployment| deployment.memory()) {
            return (tensor.to_string(), memory.kv_tokens.to_string());
        }
    }
    ("over 32".to_owned(), "-".to_owned())
}

pub(super) fn run_calibrate(args: &CalibrateArgs) -> anyhow::Result<()> {
    let catalog = catalog(&args.catalog)?;
    let rows = rows(&args.rows)?;
    let calibration = calibrate(&catalog, &rows, &args.source)
        .with_context(|| format!("{} cannot be fitted", args.rows.display()))?;
    let holes = rows.iter().filter(|row| !row.is_measured()).count();
    if holes > 0 {
        let (shown, all) = (args.rows.display(), rows.len());
        out::note(&format!(
            "warning: {shown}: {holes} of {all} rows have no ttft_ms or no tpot_ms (nothing, 0 or NaN): nothing is learnt from them"
        ));
    }
    let folder = args.out.display();
    std::fs::create_dir_all(&args.out).with_context(|| format!("{folder} cannot be made"))?;
    let write = |name: &str, bytes: &[u8]| {
        let path = args.out.join(name);
        std::fs::write(&path, bytes)
            .with_context(|| format!("{} cannot be written", path.display()))
    };
    write("calibration.json.gz", &calibration.to_bytes()?)?;
    write("coefficients.csv", calibration.table()?.as_bytes())?;
    for own in &calibration.engines {
        out::line(&format!(
            "{}: {} rows, {}; nine of ten within ×{:.2} before what is left is interpolated",
            super::word(own.engine),
            own.rows,
            own.chips.replace('|', ", "),
            own.band
        ));
    }
    out::line(&format!("{folder}: coefficients.csv, calibration.json.gz"));
    Ok(())
}

pub(super) fn run_predict(args: &PredictArgs) -> anyhow::Result<()> {
    let catalog = catalog(&args.catalog)?;
    let calibration = match &args.calibration {
        Some(path) => {
            Calibration::of_bytes(&read(path)?).with_context(|| path.display().to_string())?
        }
        None => Calibration::shipped()?,
    };
    let said: Vec<Prediction> = rows(&args.rows)?
        .iter()
        .map(|row| predict(&calibration, &catalog, row))
        .collect();
    if args.json {
        out::line(&serde_json::to_string_pretty(&said)?);
        return Ok(());
    }
    out::line(
        "first token ms   nine of ten from         to   token ms   nine of ten from       to   id   (guessed)",
    );
    for row in &said {
        let mut guessed = match row.guessed.as_slice() {
            [] => String::new(),
            some => format!("   ({})", some.join("; ")),
        };
        if let Some(note) = &row.note {
            guessed.push_str(&format!("   it has no room: {note}"));
        }
        out::line(&format!(
            "{:>14.1} {:>18.1} {:>10.1} {:>10.2} {:>18.2} {:>8.2}   {}{guessed}",
            row.ttft_ms,
            row.ttft_low_ms,
            row.ttft_high_ms,
            row.tpot_ms,
            row.tpot_low_ms,
            row.tpot_high_ms,
            row.id
        ));
    }
    Ok(())
}

/// Requests of a log are mostly closer together than this, in seconds, and a run of so many at least that is not is told.
const GAP_S_USUAL: f64 = 60.0;
const GAP_REQUESTS: usize = 10;

/// What a run says that may not be meant so.
fn doubts(run: &RequestRun) -> Vec<String> {
    let far = run.gap_s().filter(|gap_s| *gap_s > GAP_S_USUAL);
    let far = far.filter(|_| run.requests.len() >= GAP_REQUESTS);
    let far = far.map(|gap_s| {
        format!(
            "arrival_s: requests come {gap_s:.0} s apart in the mean, so that each is served nearly alone; divide it by 1,000 where it is in milliseconds"
        )
    });
    let unordered = run.unordered.map(|unordered| unordered.to_string());
    unordered.into_iter().chain(far).collect()
}

fn runs(path: &Path) -> anyhow::Result<Vec<RequestRun>> {
    let shown = path.display();
    let runs =
        request_runs(&read(path)?).with_context(|| format!("{shown} is not a log of requests"))?;
    for run in &runs {
        let (model, hardware) = (&run.model, &run.hardware);
        for doubt in doubts(run) {
            out::note(&format!("warning: {shown}, {model} on {hardware}: {doubt}"));
        }
    }
    Ok(runs)
}

pub(super) fn run_requests(args: &RequestsArgs) -> anyhow::Result<()> {
    let catalog = catalog(&args.catalog)?;
    let measured = runs(&args.calibrate)?;
    let learnt = learn(&catalog, &measured, args.calibrate_tp)
        .with_context(|| format!("{} cannot be replayed", args.calibrate.display()))?;
    say_holes(&args.calibrate, &measured);
    let mut said: Vec<RequestPrediction> = Vec::new();
    let mut judged: Vec<Score> = Vec::new();
    let mut notes = Vec::new();
    for run in runs(&args.run)? {
        let carried = learnt
            .carry(&catalog, &run, args.tp)
            .with_context(|| format!("{} cannot be replayed", args.run.display()))?;
        notes.push(format!(
            "{} on {} × {}{}",
            run.model,
            carried.accelerators,
            run.hardware,
            carried
                .guessed
                .iter()
                .map(|guess| format!("; {guess}"))
                .collect::<String>()
        ));
        let score = scores(&run, &carried.requests);
        if score.requests > 0 {
            judged.push(score);
        }
        said.extend(carried.requests);
    }
    // In the order of the log, whatever runs they belong to and whenever they came.
    said.sort_by_key(|prediction| prediction.line);
    if args.json {
        notes.iter().for_each(|note| out::note(note));
        out::line(&serde_json::to_string_pretty(&said)?);
        return Ok(());
    }
    notes.iter().for_each(|note| out::line(note));
    out::line(
        "\nfirst token s   nine of ten from       to   last token s   nine of ten from       to   request",
    );
    for row in &said {
        out::line(&format!(
            "{:>13.3} {:>18.3} {:>8.3} {:>14.3} {:>18.3} {:>8.3}   {}",
            row.ttft_s,
            row.ttft_low_s,
            row.ttft_high_s,
            row.e2e_s,
            row.e2e_low_s,
            row.e2e_high_s,
            row.request
        ));
    }
    out::line("\nerrors of the fit, and of what was predicted where it was measured");
    learnt.scores.iter().chain(&judged).for_each(show_score);
    Ok(())
}

/// Requests from which nothing is learnt.
fn say_holes(path: &Path, runs: &[RequestRun]) {
    let requests = || runs.iter().flat_map(|run| &run.requests);
    let holes = requests().filter(|of| !of.is_measured()).count();
    if holes > 0 {
        let (shown, all) = (path.display(), requests().count());
        out::note(&format!(
            "warning: {shown}: {holes} of {all} requests have no ttft_s or no e2e_s (nothing, 0 or NaN): less is learnt from them, or nothing"
        ));
    }
}

fn show_score(score: &Score) {
    out::line(&format!(
        "{}: {} requests; last token {:.1} %, first token {:.1} % off in the mean; mean, median, p90, p99 of",
        score.run,
        score.requests,
        score.e2e_mean_error * 100.0,
        score.ttft_mean_error * 100.0
    ));
    for (name, errors) in ["first token", "further tokens", "last token"]
        .iter()
        .zip(score.aggregates)
    {
        let [mean, median, p90, p99] = errors.map(|error| error * 100.0);
        out::line(&format!(
            "  {name:<16} {mean:>+6.1} {median:>+6.1} {p90:>+6.1} {p99:>+6.1} %"
        ));
    }
}
