//! The scanner's bars, measured: what it finds on a labelled set, and how fast it is on prose and on the worst input that
//! a search comes upon. Exits with 1 where a bar is missed.
//!
//! `cargo bench -p madang-pii --bench bars -- [--set FILE] [--show] [--seconds N]`
#![expect(clippy::print_stdout, reason = "it prints a table")]

mod floods;
mod prose;
mod quality;
#[path = "../../tests/random/mod.rs"]
mod random;
mod speed;
mod worst;

use quality::Quality;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What the command line says.
struct Options {
    set: Option<PathBuf>,
    show: bool,
    seconds: f64,
}

fn options() -> Options {
    let mut options = Options {
        set: std::env::var_os("PII_SET").map(PathBuf::from),
        show: false,
        seconds: 20.0,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--set" => options.set = arguments.next().map(PathBuf::from),
            "--show" => options.show = true,
            "--seconds" => {
                let seconds = arguments.next().and_then(|seconds| seconds.parse().ok());
                options.seconds = seconds.unwrap_or(options.seconds);
            }
            // Cargo passes `--bench`.
            _ => {}
        }
    }
    options
}

/// A bar: what was measured, and whether that is enough.
fn bar(name: &str, measured: f64, unit: &str, least: f64) -> bool {
    let holds = measured >= least;
    let verdict = if holds { "holds" } else { "MISSED" };
    println!("{name:<40} {measured:>10.3} {unit:<5} at least {least:>8.3}  {verdict}");
    holds
}

fn main() -> ExitCode {
    let options = options();
    let found = if let Some(set) = &options.set {
        found(set, options.show)
    } else {
        println!("no labelled set (--set FILE, or PII_SET): recall and precision are not measured");
        true
    };
    let held = [found, fast(options.seconds)];
    if held.iter().all(|held| *held) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    }
}

fn found(set: &Path, show: bool) -> bool {
    // Cargo runs benches in the folder of their crate; paths are meant from the repository's.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join(set);
    let quality = match Quality::measure(&path, show) {
        Ok(quality) => quality,
        Err(error) => {
            println!("{}: {error}", path.display());
            return false;
        }
    };
    quality.print();
    let (recall, typed, precision) = quality.bars();
    let (flagged, negatives) = quality.negatives();
    let clean = 1.0 - f64::from(flagged) / f64::from(negatives.max(1));
    println!("hard negatives flagged: {flagged} of {negatives}");
    [
        bar("recall", recall, "", 0.97),
        bar("recall of the right type", typed, "", 0.96),
        bar("precision", precision, "", 0.99),
        bar("hard negatives not flagged", clean, "", 0.995),
    ]
    .iter()
    .all(|held| *held)
}

fn fast(seconds: f64) -> bool {
    let english = prose::english(4 << 20);
    let korean = prose::korean(4 << 20);
    let mut held = vec![
        bar(
            "English prose",
            speed::megabytes_per_second(english.as_bytes()),
            "MB/s",
            500.0,
        ),
        bar(
            "Korean prose",
            speed::megabytes_per_second(korean.as_bytes()),
            "MB/s",
            1_000.0,
        ),
    ];
    for (name, seed) in floods::FLOODS {
        let speed = speed::megabytes_per_second(&worst::flood(seed.as_bytes()));
        held.push(bar(&format!("flood of {name}"), speed, "MB/s", 50.0));
    }
    let worst = worst::search(seconds);
    println!(
        "worst of {} inputs: {:?}",
        worst.tried,
        String::from_utf8_lossy(&worst.seed)
    );
    held.push(bar("worst input found", worst.speed, "MB/s", 50.0));
    held.iter().all(|held| *held)
}
