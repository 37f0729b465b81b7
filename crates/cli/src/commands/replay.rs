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

/// Exit code 0 where the replay is equal.
pub fn run(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let shown = args.file.display();
    let file = File::open(&args.file).with_context(|| format!("cannot open {shown}"))?;
    let mut lines = unpacked(file).with_context(|| format!("{shown} cannot be read"))?;
    let mut steps = Vec::new();
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
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let step: Step = serde_json::from_slice(line)
            .with_context(|| format!("{shown}:{number} is not a step of a recording"))?;
        // The text itself is compared too: what is written must be what is read.
        if serde_json::to_vec(&step)? != line {
            bail!(
                "{shown}:{number} does not read back byte for byte: was it made by another version?"
            );
        }
        steps.push(step);
    }
    if steps.is_empty() {
        bail!("{shown} is no recording: there is no step in it");
    }
    match replay(steps) {
        Ok(count) => {
            if args.json {
                out::line(&json!({ "steps": count, "equal": true }).to_string());
            } else {
                out::line(&format!("{count} steps replayed, every effect equal"));
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(divergence) => {
            let recorded = serde_json::to_string(&divergence.recorded)?;
            let replayed = serde_json::to_string(&divergence.replayed)?;
            if args.json {
                let body = json!({ "equal": false, "step": divergence.step + 1, "recorded": divergence.recorded, "replayed": divergence.replayed });
                out::line(&body.to_string());
                return Ok(ExitCode::from(1));
            }
            bail!(
                "step {} went another way\n  recorded: {recorded}\n  replayed: {replayed}",
                divergence.step + 1
            )
        }
    }
}
