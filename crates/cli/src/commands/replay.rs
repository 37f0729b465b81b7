//! `madang replay FILE`: a recording through a fresh core; every effect must be the same, byte for byte.

use crate::args::ReplayArgs;
use crate::out;
use anyhow::{Context, bail};
use madang_core::recording::{Step, replay};
use madang_twin::trace::{LINE_BYTES_MAX, unpacked};
use serde_json::json;
use std::fs::File;
use std::io::{BufRead, Read};
use std::process::ExitCode;

/// A recording as it was read.
struct Recording {
    steps: Vec<Step>,
    /// The number of a last line that has no end: whoever wrote it was killed meanwhile.
    torn: Option<usize>,
}

/// Exit code 0 where the replay is equal and the recording whole.
pub fn run(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let shown = args.file.display();
    let Recording { steps, torn } = read(args)?;
    if steps.is_empty() && torn.is_none() {
        bail!("{shown} is no recording: there is no step in it");
    }
    let divergence = match (replay(steps), torn) {
        (Ok(count), None) => {
            if args.json {
                out::line(&json!({ "steps": count, "equal": true }).to_string());
            } else {
                out::line(&format!("{count} steps replayed, every effect equal"));
            }
            return Ok(ExitCode::SUCCESS);
        }
        (Ok(count), Some(line)) => {
            if args.json {
                let body = json!({ "steps": count, "equal": true, "torn_line": line });
                out::line(&body.to_string());
                return Ok(ExitCode::from(1));
            }
            bail!(
                "{count} steps replayed, every effect equal, but {shown}:{line}, the last line, is torn: whoever wrote it was killed \
                 meanwhile. Take the line away (unpacked: sed -i '$d' FILE) to have a whole recording of the steps before it"
            );
        }
        (Err(divergence), _) => divergence,
    };
    let step = divergence.step + 1;
    if args.json {
        let body = json!({ "equal": false, "step": step, "recorded": divergence.recorded, "replayed": divergence.replayed });
        out::line(&body.to_string());
        return Ok(ExitCode::from(1));
    }
    let recorded = serde_json::to_string(&divergence.recorded)?;
    let replayed = serde_json::to_string(&divergence.replayed)?;
    bail!("step {step} went another way\n  recorded: {recorded}\n  replayed: {replayed}")
}

fn read(args: &ReplayArgs) -> anyhow::Result<Recording> {
    let shown = args.file.display();
    let file = File::open(&args.file).with_context(|| format!("cannot open {shown}"))?;
    let mut lines = unpacked(file).with_context(|| format!("{shown} cannot be read"))?;
    let mut steps = Vec::new();
    let mut torn = None;
    for number in 1.. {
        let mut line = Vec::new();
        (&mut lines)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line)
            .with_context(|| format!("{shown}:{number} cannot be read"))?;
        if line.is_empty() {
            break;
        }
        if u64::try_from(line.len()).is_ok_and(|length| length == LINE_BYTES_MAX) {
            bail!("{shown}:{number} is too long for a recording");
        }
        let whole = line.strip_suffix(b"\n");
        let text = whole.unwrap_or(&line);
        let step: Step = match serde_json::from_slice(text) {
            Ok(step) => step,
            Err(error) if whole.is_none() && error.is_eof() => {
                torn = Some(number);
                break;
            }
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("{shown}:{number} is not a step of a recording"));
            }
        };
        // The text itself is compared too: what is written must be what is read.
        if serde_json::to_vec(&step)? != text {
            bail!(
                "{shown}:{number} does not read back byte for byte: was it made by another version?"
            );
        }
        steps.push(step);
    }
    Ok(Recording { steps, torn })
}
