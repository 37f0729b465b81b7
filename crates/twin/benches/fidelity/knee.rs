//! The most tokens a second of an engine, and the most within MLPerf's limits, beside MLPerf v5.1's Offline and Server figures.

use super::verdict;
use madang_catalog::{Batch, Catalog, Deployment, EngineKind, Parallel};
use madang_twin::fidelity::{Calibration, EngineRow, engine_rows, predict};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

type Failure = Box<dyn std::error::Error>;

/// A benchmark: its name, the model, mean tokens of prompt and answer, and the Server scenario's limits on the first token and on
/// each further one, in milliseconds, for 99 of 100 requests. From memory of MLPerf's rules and descriptions of its data sets.
struct Task {
    name: &'static str,
    model: &'static str,
    input: u32,
    output: u32,
    first_ms: f64,
    token_ms: f64,
}

const fn task(
    (name, model): (&'static str, &'static str),
    (input, output): (u32, u32),
    (first_ms, token_ms): (f64, f64),
) -> Task {
    Task {
        name,
        model,
        input,
        output,
        first_ms,
        token_ms,
    }
}

const TASKS: [Task; 5] = [
    task(
        ("llama2-70b-99", "Llama-2-70B"),
        (300, 294),
        (2_000.0, 200.0),
    ),
    task(
        ("llama3.1-405b", "Llama-3.1-405B"),
        (9_428, 685),
        (6_000.0, 175.0),
    ),
    task(
        ("llama3.1-8b", "Llama-3.1-8B"),
        (778, 128),
        (2_000.0, 100.0),
    ),
    task(
        ("deepseek-r1", "DeepSeek-R1"),
        (800, 3_880),
        (2_000.0, 80.0),
    ),
    task(
        ("mixtral-8x7b", "Mixtral-8x7B"),
        (300, 145),
        (2_000.0, 200.0),
    ),
];
/// Tokens of one iteration.
const ITERATION_TOKENS: f64 = 8_192.0;

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
        let name = format!("{} on {}", TASKS[row.task].name, row.chip);
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
        let Some(task) = TASKS.iter().position(|task| task.name == cell("model")) else {
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

/// Engines of one to eight accelerators: layers divided, and for models of experts attention whole on each beside it.
fn divisions(row: &Measured, experts: bool) -> Vec<Parallel> {
    let sizes = [1, 2, 4, 8]
        .into_iter()
        .filter(|size| *size <= row.accelerators);
    sizes
        .flat_map(|size| {
            let ranks = Parallel {
                data: size,
                expert: size,
                ..Parallel::tensor(1)
            };
            let more = (experts && size > 1).then_some(ranks);
            std::iter::once(Parallel::tensor(size)).chain(more)
        })
        .collect()
}

/// The most tokens a second: over engines and over concurrencies.
fn capacity(catalog: &Catalog, calibration: &Calibration, row: &Measured) -> Result<f64, Failure> {
    let task = &TASKS[row.task];
    let kind = EngineKind::named(row.engine);
    let experts = catalog
        .model(task.model)
        .is_some_and(|model| model.shape.experts > 0.0);
    let mut best = 0.0_f64;
    for parallel in divisions(row, experts) {
        let place = (task.model, row.chip.as_str());
        let Ok(deployment) = catalog.deployment(place, parallel, &row.precision, kind) else {
            continue;
        };
        let held = f64::from(task.input + task.output);
        let room = deployment.memory()?.kv_tokens as f64 / held;
        let counts: Vec<f64> = (0..=26)
            .map(|doubled| 2_f64.powf(f64::from(doubled) / 2.0).round())
            .filter(|requests| *requests <= room && *requests >= f64::from(parallel.data))
            .collect();
        let engines = f64::from(row.accelerators / parallel.accelerators());
        for (requests, engine) in counts.iter().zip(asked(row, &parallel, &counts)?) {
            let tpot_ms = predict(calibration, catalog, &engine).tpot_ms;
            let keeps = !row.server
                || tpot_ms <= task.token_ms
                    && first_ms(&deployment, task, (*requests, tpot_ms)) <= task.first_ms;
            if keeps {
                best = best.max(requests * 1e3 / tpot_ms * engines);
            }
        }
    }
    Ok(best)
}

/// Rows of one engine at those concurrencies.
fn asked(row: &Measured, parallel: &Parallel, counts: &[f64]) -> Result<Vec<EngineRow>, Failure> {
    let task = &TASKS[row.task];
    let mut text = "system,backend,model_path,precision,mode,isl,osl,tp_size,attention_dp_size,moe_ep_size,batch_size\n".to_owned();
    for requests in counts {
        writeln!(
            text,
            "{},{},{},{},agg,{},{},{},{},{},{}",
            row.chip,
            row.engine,
            task.model,
            row.precision,
            task.input,
            task.output,
            parallel.tensor,
            parallel.data,
            parallel.expert,
            requests / f64::from(parallel.data)
        )?;
    }
    Ok(if counts.is_empty() {
        Vec::new()
    } else {
        engine_rows(text.as_bytes())?
    })
}

/// What 99 of 100 first tokens take, in milliseconds: the prompt's iterations and the wait behind other prompts, as in a queue of
/// random arrivals and even service (M/D/1): the wait is longer than t with a chance of load × e^(-2 (1 - load) t ÷ service).
fn first_ms(deployment: &Deployment, task: &Task, (requests, tpot_ms): (f64, f64)) -> f64 {
    let (input, output) = (f64::from(task.input), f64::from(task.output));
    let iterations = (input / (ITERATION_TOKENS - requests).max(1.0)).ceil();
    let at = |prompts: f64| {
        deployment.iteration_us(&Batch {
            sequences: requests,
            kv_tokens: requests * (input + output / 2.0),
            prompt_tokens: prompts * input,
            prompt_pairs: prompts * input * input / 2.0,
        }) / 1e3
    };
    let (with, without) = (at(1.0 / iterations), at(0.0));
    let service = iterations * (with - without);
    let load = requests / (output * tpot_ms) * service;
    if load >= 1.0 {
        return f64::INFINITY;
    }
    let wait = service * (100.0 * load).max(1.0).ln() / (2.0 * (1.0 - load));
    iterations * with + without / 2.0 + wait
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
