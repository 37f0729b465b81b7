//! Many floods, of all kinds, beside Madang's rule and beside plain VTC: where the first protects least, and where it gives up most.
//!
//! ```text
//! cargo run -p madang-twin --example floods                                # those below, and 40 drawn at random
//! cargo run -p madang-twin --example floods -- --seed 2 --drawn 10         # others
//! cargo run -p madang-twin --example floods -- 12,12000,20 60,200,2000+6,30000,50   # these alone; A+B are at once
//! ```

#![expect(clippy::print_stdout, reason = "its result is what it prints")]

use madang_twin::engine::PROFILES;
use madang_twin::experiment::noisy::{Flood, NoisyOptions, ShareRule, noisy};
use madang_twin::random::Random;
use std::sync::{Mutex, PoisonError};

/// Floods that were of interest once.
const KNOWN: &str = "120,1155,211 6,30000,50 60,200,2000 400,50,10 30,4000,100 20,8000,400 8,20000,200 3,100000,20 4,50000,10 \
    12,12000,20 200,500,500 120,1155,211+6,30000,50+60,200,2000 60,200,2000+6,30000,50 1.5,32000,10 25,6000,5 \
    9,9000,1500 5,25000,4000 40,5000,10+3,30000,10 \
    20,50,3000+20,4000,10+2,30000,10";
/// Engines, as in the documentation.
const REPLICAS: usize = 4;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What came of one.
struct Row {
    floods: String,
    inflation: f64,
    tokens_part: f64,
    unserved: u64,
}

/// What is asked for.
struct Options {
    seed: u64,
    floods: Vec<String>,
}

fn main() -> Result<(), Failure> {
    let options = options()?;
    let sets = Mutex::new(options.floods.into_iter());
    let threads = std::thread::available_parallelism()?.get();
    let work = || -> Result<Vec<Row>, Failure> {
        let mut rows = Vec::new();
        loop {
            let set = sets.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(set) = set else { return Ok(rows) };
            rows.push(row(&set, options.seed)?);
        }
    };
    let mut rows = Vec::new();
    std::thread::scope(|scope| -> Result<(), Failure> {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            rows.extend(worker.join().map_err(|_| "a run panicked")??);
        }
        Ok(())
    })?;
    print(&mut rows);
    Ok(())
}

fn options() -> Result<Options, Failure> {
    let (mut seed, mut drawn, mut floods) = (1, 40, Vec::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} has no value"));
        match arg.as_str() {
            "--seed" => seed = value()?.parse()?,
            "--drawn" => drawn = value()?.parse()?,
            _ => floods.push(arg),
        }
    }
    if floods.is_empty() {
        floods.extend(KNOWN.split_whitespace().map(str::to_owned));
        let mut random = Random::new(seed, 0);
        floods.extend((0..drawn).map(|_| draw(&mut random)));
    }
    Ok(Options { seed, floods })
}

/// One to three floods at once, each with more work than the engines can do beside the others, or almost; sizes are log-uniform.
fn draw(random: &mut Random) -> String {
    let sets = [1, 1, 1, 2, 2, 3];
    let at = usize::try_from(random.below(6)).unwrap_or(0);
    let count = sets.get(at).copied().unwrap_or(1);
    let mut between = |low: f64, high: f64| low * (high / low).powf(random.unit());
    let flood = |_| {
        let (input, output) = (between(16.0, 32_768.0), between(1.0, 4_096.0));
        // Seconds of an engine, or a slot's part of one.
        let work_s = input * 62.8e-6 * (1.0 + input / 65_536.0) + output * 12e-5;
        let rate = (between(1.5, 12.0) / work_s).min(150.0);
        format!("{rate:.1},{input:.0},{output:.0}")
    };
    (0..count).map(flood).collect::<Vec<_>>().join("+")
}

fn row(set: &str, seed: u64) -> Result<Row, Failure> {
    let floods: Vec<Flood> = set.split('+').map(str::parse).collect::<Result<_, _>>()?;
    let run = |share| {
        noisy(&NoisyOptions {
            floods: floods.clone(),
            share,
            credit: false,
            seed,
            replicas: REPLICAS,
            profile: PROFILES[0].clone(),
        })
    };
    let tokens = run(ShareRule::Vtc)?.total_tokens;
    let report = run(ShareRule::Madang)?;
    Ok(Row {
        floods: set.to_owned(),
        inflation: report.inflation_p99,
        tokens_part: report.total_tokens as f64 / tokens as f64,
        unserved: report.unserved,
    })
}

/// Worst first, by how far they are from 1.5 and from 0.95.
fn print(rows: &mut [Row]) {
    let margin = |row: &Row| (1.5 / row.inflation - 1.0).min(row.tokens_part / 0.95 - 1.0);
    rows.sort_by(|one, other| margin(one).total_cmp(&margin(other)));
    println!("p99 ratio   tokens ÷ VTC's   refused   floods");
    for row in rows.iter() {
        println!(
            "{:9.3}   {:14.3}   {:7}   {}",
            row.inflation, row.tokens_part, row.unserved, row.floods
        );
    }
    let worst_inflation = rows.iter().map(|row| row.inflation).fold(0.0, f64::max);
    let least_tokens = rows
        .iter()
        .map(|row| row.tokens_part)
        .fold(f64::INFINITY, f64::min);
    println!(
        "{} floods: p99 ratio at most {worst_inflation:.3}, tokens at least {least_tokens:.3} of VTC's",
        rows.len()
    );
}
