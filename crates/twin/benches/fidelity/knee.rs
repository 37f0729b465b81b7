//! The most tokens a second of an engine, and the most within MLPerf's limits, beside MLPerf v5.1's Offline and Server figures.

use super::verdict;
use madang_catalog::Catalog;
use madang_twin::fidelity::{Calibration, engine_rows, predict};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

type Failure = Box<dyn std::error::Error>;

/// The benchmark's name, the model, mean tokens of prompt and answer, and the Server scenario's limit on a token, in
/// milliseconds. Lengths are from memory of MLPerf's descriptions of its data sets.
const TASKS: [(&str, &str, u32, u32, f64); 5] = [
    ("llama2-70b-99", "Llama-2-70B", 300, 294, 200.0),
    ("llama3.1-405b", "Llama-3.1-405B", 9_428, 685, 175.0),
    ("llama3.1-8b", "Llama-3.1-8B", 778, 128, 100.0),
    ("deepseek-r1", "DeepSeek-R1", 800, 3_880, 80.0),
    ("mixtral-8x7b", "Mixtral-8x7B", 300, 145, 200.0),
];

/// A measured row of the table.
struct Measured {
    chip: String,
    engine: &'static str,
    precision: String,
    accelerators: u32,
    task: usize,
    server: bool,
    tokens_s: f64,
}

pub fn knee(catalog: &Catalog, folder: &Path) -> Result<(), Failure> {
    let path = folder.join("mlperf_v5.1_llm.csv.gz");
    if !path.exists() {
        println!("{} is not there: the knee is not judged", path.display());
        return Ok(());
    }
    let calibration = Calibration::shipped()?;
    let mut groups: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut server_of_offline: BTreeMap<String, [Vec<f64>; 4]> = BTreeMap::new();
    for row in measured(catalog, &path)? {
        let said = capacity(catalog, &calibration, &row)?;
        let name = format!("{} on {}", TASKS[row.task].0, row.chip);
        let kind = if row.server { "server" } else { "offline" };
        groups
            .entry(format!("{name}, {kind}"))
            .or_default()
            .push(said / row.tokens_s - 1.0);
        let place = server_of_offline.entry(name).or_default();
        let at = usize::from(row.server);
        place[at].push(row.tokens_s / f64::from(row.accelerators));
        place[2 + at].push(said / f64::from(row.accelerators));
    }
    println!(
        "\ntokens a second by the closed form beside MLPerf v5.1 (median of rows, error in %; bar 10)\n"
    );
    for (name, errors) in &groups {
        let error = median(errors.clone());
        println!(
            "{name:<56} {:>3} rows {:>+7.1} ({})",
            errors.len(),
            error * 100.0,
            verdict(error.abs() <= 0.1)
        );
    }
    println!(
        "\nserver as a part of offline: measured, predicted, error in % (the knee, whatever the engine's speed; bar 10)\n"
    );
    for (name, [offline, server, said_offline, said_server]) in server_of_offline {
        if offline.is_empty() || server.is_empty() {
            continue;
        }
        let measured = median(server) / median(offline);
        let said = median(said_server) / median(said_offline);
        let error = said / measured - 1.0;
        println!(
            "{name:<48} {measured:.3} {said:.3} {:>+6.1} ({})",
            error * 100.0,
            verdict(error.abs() <= 0.1)
        );
    }
    Ok(())
}

fn measured(catalog: &Catalog, path: &Path) -> Result<Vec<Measured>, Failure> {
    let mut reader =
        csv::Reader::from_reader(flate2::read::GzDecoder::new(std::fs::File::open(path)?));
    let header = reader.headers()?.clone();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record?;
        let cell = |name: &str| {
            let at = header.iter().position(|other| other == name);
            at.and_then(|at| record.get(at)).unwrap_or_default()
        };
        let Some(task) = TASKS.iter().position(|(name, ..)| *name == cell("model")) else {
            continue;
        };
        let accelerator = cell("accelerator");
        let plain = !accelerator.contains('(')
            && !accelerator.contains("Virtualized")
            && !accelerator.contains("NVL-");
        let Some(chip) = catalog.chip(accelerator).filter(|_| plain) else {
            continue;
        };
        let server = cell("scenario") == "Server";
        let (Ok(tokens_s), Ok(each), Ok(nodes)) = (
            cell("result").parse(),
            cell("accelerators").parse::<u32>(),
            cell("nodes").parse::<u32>(),
        ) else {
            continue;
        };
        if cell("category") != "closed" || !(server || cell("scenario") == "Offline") {
            continue;
        }
        rows.push(Measured {
            chip: chip.name.clone(),
            engine: if cell("software").contains("TensorRT") {
                "trtllm"
            } else {
                "vllm"
            },
            precision: cell("weight_dtype").to_owned(),
            accelerators: each * nodes,
            task,
            server,
            tokens_s,
        });
    }
    Ok(rows)
}

/// The most tokens a second: over engines of one to eight accelerators, and over concurrencies.
fn capacity(catalog: &Catalog, calibration: &Calibration, row: &Measured) -> Result<f64, Failure> {
    let (_, model, input, output, limit_ms) = TASKS[row.task];
    let mut text =
        "system,backend,model_path,precision,mode,isl,osl,batch_size,tp_size,moe_ep_size\n"
            .to_owned();
    let mut asked = Vec::new();
    for tensor in [1, 2, 4, 8] {
        if tensor > row.accelerators {
            continue;
        }
        for doubled in 6..=24 {
            let requests = 2_f64.powf(f64::from(doubled) / 2.0).round();
            writeln!(
                text,
                "{},{},{model},{},agg,{input},{output},{requests},{tensor},1",
                row.chip, row.engine, row.precision
            )?;
            asked.push((tensor, requests));
        }
    }
    let mut best = 0.0_f64;
    for ((tensor, requests), engine) in asked.into_iter().zip(engine_rows(text.as_bytes())?) {
        let Some(room) = room(catalog, row, model, tensor) else {
            continue;
        };
        let said = predict(calibration, catalog, &engine);
        if requests <= room && (!row.server || said.tpot_ms <= limit_ms) {
            best = best.max(requests * 1e3 / said.tpot_ms * f64::from(row.accelerators / tensor));
        }
    }
    Ok(best)
}

/// Sequences that the KV memory of one engine holds; `None` where the model has no room.
fn room(catalog: &Catalog, row: &Measured, model: &str, tensor: u32) -> Option<f64> {
    let (_, _, input, output, _) = TASKS[row.task];
    let engine = madang_catalog::EngineKind::named(row.engine);
    let parallel = madang_catalog::Parallel::tensor(tensor);
    let place = (model, row.chip.as_str());
    let deployment = catalog
        .deployment(place, parallel, &row.precision, engine)
        .ok()?;
    Some(deployment.memory().ok()?.kv_tokens as f64 / f64::from(input + output))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
