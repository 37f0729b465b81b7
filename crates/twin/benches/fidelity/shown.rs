//! The knee's figures, each beside its bar, and how many of them hold.

use crate::knee::{Compared, KINDS, OFFLINE, SERVER, median};
use crate::verdict;
use std::collections::BTreeMap;

type All = BTreeMap<String, Compared>;

/// The shipped table of tuned engines is taken for stale where it is so far from what the closed form says by now.
const STALE: f64 = 0.005;

pub fn show(compared: &All) {
    println!(
        "\ntokens a second in runs as MLPerf makes them, beside MLPerf v5.1 (median of rows, error in %; bar 10); by engines as measured rows have them, and by engines tuned as far as MLPerf's Offline rows of other pairs of model and chip tell; whether the band holds it\n"
    );
    let (mut plain, mut tuned) = (Vec::new(), Vec::new());
    let mut in_band = [0, 0];
    for (name, of) in compared {
        for (at, kind) in KINDS.iter().enumerate().take(SERVER + 1) {
            if of.measured[at].is_empty() {
                continue;
            }
            let both = [&of.said[at], &of.tuned[at]].map(|said| error(said, &of.measured[at]));
            let held: [bool; 2] =
                std::array::from_fn(|way| (1.0 + both[way]).ln().abs() <= of.bands[way].ln());
            for (count, held) in in_band.iter_mut().zip(held) {
                *count += usize::from(held);
            }
            let words = std::array::from_fn::<_, 2, _>(|way| one(both[way], held[way]));
            let (name, rows) = (format!("{name}, {kind}"), of.measured[at].len());
            println!("{name:<40} {rows:>3} rows {}   {}", words[0], words[1]);
            plain.push(both[0]);
            tuned.push(both[1]);
        }
    }
    sum("as measured rows have them", &plain);
    println!("{:>48} in the band: {}", "", in_band[0]);
    sum("tuned", &tuned);
    println!("{:>48} in the band: {}", "", in_band[1]);
    show_server(
        "server as a part of offline (the knee, whatever the engine's speed)",
        compared,
        |of| {
            let part = |of: &[Vec<f64>]| median(of[SERVER].clone()) / median(of[OFFLINE].clone());
            Some((part(&of.measured), part(&of.said)))
        },
    );
    show_server(
        "server, tokens a second of an accelerator, by an engine that is as fast offline as the measured one",
        compared,
        |of| {
            let [measured, fitted] =
                [&of.measured, &of.fitted].map(|of| median(of[SERVER].clone()));
            Some((measured, fitted))
        },
    );
    show_server(
        "the same of the submission that has the most in server, by an engine that is as fast offline as its own",
        compared,
        |of| of.greatest,
    );
    show_interactive(compared);
    show_stale(compared);
}

/// Limits that are tighter than Server's: no bar.
fn show_interactive(compared: &All) {
    let mut errors = Vec::new();
    println!(
        "\ninteractive (error in %): by engines as measured rows have them, and by an engine that is as fast offline as the measured one\n"
    );
    for (name, of) in compared {
        let at = SERVER + 1;
        if of.fitted[at].is_empty() {
            continue;
        }
        let [said, fitted] =
            [&of.said[at], &of.fitted[at]].map(|said| error(said, &of.measured[at]));
        println!(
            "{name:<40} {:>3} rows {:>+7.1} {:>+7.1}",
            of.measured[at].len(),
            said * 100.0,
            fitted * 100.0
        );
        errors.push(fitted);
    }
    sum("as fast offline as the measured one", &errors);
}

/// Whether the shipped table of tuned engines says what the closed form leaves by now.
fn show_stale(compared: &All) {
    for (name, of) in compared {
        let now = median(of.closed.clone()) / median(of.measured[OFFLINE].clone());
        let is = of.times.is_some_and(|times| (now - times).abs() <= STALE);
        if !now.is_nan() && !is {
            println!("tuned.csv: {name}: {now:.3} now, {:?} there", of.times);
        }
    }
}

fn one(error: f64, held: bool) -> String {
    let band = if held { "in its band" } else { "OUT OF IT" };
    let verdict = verdict(error.abs() <= 0.1);
    format!("{:>+7.1} ({verdict:>6}, {band})", error * 100.0)
}

/// The median error of what is said of rows.
fn error(said: &[f64], measured: &[f64]) -> f64 {
    let pairs = said.iter().zip(measured);
    median(
        pairs
            .map(|(said, measured)| said / measured - 1.0)
            .collect(),
    )
}

/// A measured figure of each task and chip that has rows of both kinds beside the predicted one.
fn show_server(what: &str, compared: &All, figures: impl Fn(&Compared) -> Option<(f64, f64)>) {
    println!("\n{what}: measured, predicted, error in % (bar 10)\n");
    let mut errors = Vec::new();
    for (name, of) in compared {
        if of.measured[OFFLINE].is_empty() || of.measured[SERVER].is_empty() {
            continue;
        }
        let Some((measured, said)) = figures(of) else {
            continue;
        };
        let error = said / measured - 1.0;
        println!(
            "{name:<48} {measured:>10.3} {said:>10.3} {:>+6.1} ({})",
            error * 100.0,
            verdict(error.abs() <= 0.1)
        );
        errors.push(error);
    }
    sum("all", &errors);
}

fn sum(what: &str, errors: &[f64]) {
    let within = |bar: f64| errors.iter().filter(|error| error.abs() <= bar).count();
    let mean = errors.iter().map(|error| error.abs()).sum::<f64>() / errors.len() as f64;
    println!(
        "{what:>48} {} of {} within 10 %, {} within 30 %, mean {:.1}",
        within(0.1),
        errors.len(),
        within(0.3),
        mean * 100.0
    );
}
