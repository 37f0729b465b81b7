//! How far predictions are from measurements that they were not fitted on, each figure beside its bar.
//!
//! `make bench-twin`; the folder with the measurements is named by `MADANG_TWIN_DATA`, and nothing is judged without it.

#![expect(clippy::print_stdout, reason = "its result is what it prints")]

mod capacity;
mod knee;
mod mlperf;
mod shown;
mod tasks;

use madang_catalog::Catalog;
use madang_twin::fidelity::requests::{Carried, RequestRun, learn, request_runs, scores};
use madang_twin::fidelity::{Judged, Judgement, cross_validate, engine_rows, leave_out};
use std::path::{Path, PathBuf};

const SEED: u64 = 1;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(folder) = std::env::var_os("MADANG_TWIN_DATA").map(PathBuf::from) else {
        println!("MADANG_TWIN_DATA names no folder with measurements: nothing is judged");
        return Ok(());
    };
    let catalog = Catalog::shipped()?;
    // Cargo passes `--bench` too.
    let mut words = std::env::args().skip(1);
    let asked = words.find(|word| word != "--bench").unwrap_or_default();
    if !["", "requests", "engines", "knee"].contains(&asked.as_str()) {
        return Err("requests, engines or knee: without a word, all of them".into());
    }
    let is_asked = |part: &str| asked.is_empty() || asked == part;
    if is_asked("requests") {
        single_requests(&catalog, &folder)?;
    }
    if is_asked("engines") {
        engines(&catalog, &folder)?;
    }
    if is_asked("knee") {
        knee::knee(&catalog, &folder)?;
    }
    Ok(())
}

fn single_requests(catalog: &Catalog, folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let path = folder.join("vllm_requests_dev.csv.gz");
    if !path.exists() {
        println!("{} is not there: requests are not judged", path.display());
        return Ok(());
    }
    let runs = request_runs(&std::fs::read(path)?)?;
    println!("single requests: errors in %, those of mean, median, p90, p99 with their sign\n");
    let all = learn(catalog, &runs, None)?;
    println!(
        "fitted on all: {:?} {:.4}\n",
        all.coefficients
            .values()
            .map(|value| (value * 100.0).round() / 100.0),
        all.answer_s
    );
    for run in &runs {
        show_run("in the fit", run, &all.carry(catalog, run, None)?);
    }
    for run in &runs {
        let others: Vec<RequestRun> = runs
            .iter()
            .filter(|other| other.model != run.model)
            .cloned()
            .collect();
        let learnt = learn(catalog, &others, None)?;
        let carried = learnt.carry(catalog, run, None)?;
        show_run("left out", run, &carried);
        let alone = learn(catalog, std::slice::from_ref(run), None)?;
        show_run("fitted on itself", run, &alone.carry(catalog, run, None)?);
    }
    Ok(())
}

fn show_run(what: &str, run: &RequestRun, said: &Carried) {
    let score = scores(run, &said.requests);
    println!(
        "{what}: {}: last token {:.1} (bar 5: {}), first token {:.1}; aggregates at most {:.1} (bar 3: {})",
        score.run,
        score.e2e_mean_error * 100.0,
        verdict(score.e2e_mean_error <= 0.05),
        score.ttft_mean_error * 100.0,
        score.aggregates_worst * 100.0,
        verdict(score.aggregates_worst <= 0.03)
    );
    let pairs = said.requests.iter().zip(&run.requests);
    let (first, last): (Vec<bool>, Vec<bool>) = pairs
        .filter_map(|(said, was)| {
            let first = (said.ttft_low_s..=said.ttft_high_s).contains(&was.ttft_s?);
            let last = (said.e2e_low_s..=said.e2e_high_s).contains(&was.e2e_s?);
            Some((first, last))
        })
        .unzip();
    let part = |inside: Vec<bool>| {
        inside.iter().filter(|inside| **inside).count() * 100 / inside.len().max(1)
    };
    println!(
        "  in the bands for nine of ten: first token {} %, last token {} %",
        part(first),
        part(last)
    );
    for (name, errors) in ["first token", "further tokens", "last token"]
        .iter()
        .zip(score.aggregates)
    {
        let [mean, median, p90, p99] = errors.map(|error| error * 100.0);
        println!("  {name:<16} {mean:>+6.1} {median:>+6.1} {p90:>+6.1} {p99:>+6.1}");
    }
}

fn engines(catalog: &Catalog, folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let path = folder.join("engine_e2e_dev.csv.gz");
    if !path.exists() {
        println!("{} is not there: engines are not judged", path.display());
        return Ok(());
    }
    let rows = engine_rows(&std::fs::read(path)?)?;
    println!(
        "time of a token and to the first one, of rows that were left out (errors in %, bands for 90 %)\n"
    );
    println!(
        "{:<32} {:>5}  {:>28}  {:>18}  {:>18}  {:>28}",
        "left out",
        "rows",
        "token: median mean p90 band",
        "together: med mean",
        "split: med mean",
        "first: median mean p90 band"
    );
    let cross = cross_validate(catalog, &rows, (5, false), SEED)?;
    show(&cross);
    println!(
        "{:<32} bars: token median 8 ({}), mean 12 ({})",
        "",
        verdict(cross.tpot.median <= 0.08),
        verdict(cross.tpot.mean <= 0.12)
    );
    show(&cross_validate(catalog, &rows, (5, true), SEED)?);
    for judgement in leave_out(catalog, &rows, |row| row.system.clone())? {
        show(&judgement);
    }
    for judgement in leave_out(catalog, &rows, |row| {
        let known = Catalog::shipped().ok();
        let model =
            known.and_then(|known| known.model(&row.model_path).map(|model| model.name.clone()));
        model.unwrap_or_else(|| row.model_path.clone())
    })? {
        show(&judgement);
    }
    Ok(())
}

fn verdict(holds: bool) -> &'static str {
    if holds { "holds" } else { "MISSED" }
}

fn show(judgement: &Judgement) {
    let all = |judged: &Judged| {
        format!(
            "{:.1} {:.1} {:.1} {:.0}",
            judged.median * 100.0,
            judged.mean * 100.0,
            judged.p90 * 100.0,
            judged.in_band * 100.0
        )
    };
    let two = |judged: &Judged| format!("{:.1} {:.1}", judged.median * 100.0, judged.mean * 100.0);
    println!(
        "{:<32} {:>5}  {:>28}  {:>18}  {:>18}  {:>28}",
        judgement.left_out,
        judgement.rows,
        all(&judgement.tpot),
        two(&judgement.tpot_together),
        two(&judgement.tpot_split),
        all(&judgement.ttft)
    );
}
