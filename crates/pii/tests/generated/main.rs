//! A labelled set made anew in each run from a seed: sentences, separators and values that no rule was written from.
#![expect(clippy::unwrap_used, reason = "tests")]

mod negatives;
#[path = "../random/mod.rs"]
mod random;
mod sentences;
mod values;
mod variants;

use madang_pii::scan;
use madang_types::PiiKind;
use random::Random;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// One sentence and what is in it.
struct Case {
    text: String,
    kind: PiiKind,
    start: usize,
    end: usize,
    variant: &'static str,
}

/// Every sentence in every variant, some values each.
fn cases(random: &mut Random) -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, sentences) in sentences::SENTENCES {
        for sentence in *sentences {
            for _ in 0..6 {
                let value = values::value(*kind, random);
                for (variant, written) in variants::of(*kind, &value, random) {
                    let (before, after) = sentence.split_once('#').unwrap();
                    cases.push(Case {
                        text: format!("{before}{written}{after}"),
                        kind: *kind,
                        start: before.len(),
                        end: before.len() + written.len(),
                        variant,
                    });
                }
            }
        }
    }
    cases
}

#[test]
fn what_is_there_is_found() {
    let seed = values::seed();
    let mut counts: BTreeMap<(PiiKind, &str), (u32, u32)> = BTreeMap::new();
    let mut misses = String::new();
    let mut false_positives = 0;
    for case in cases(&mut Random(seed)) {
        let found = scan(case.text.as_bytes());
        let hit = found.iter().any(|finding| {
            let (start, end) = (
                finding.span.start.max(case.start),
                finding.span.end.min(case.end),
            );
            finding.kind == case.kind && end.saturating_sub(start) * 2 >= case.end - case.start
        });
        let count = counts.entry((case.kind, case.variant)).or_default();
        count.0 += 1;
        count.1 += u32::from(hit);
        let strays = found
            .iter()
            .filter(|finding| finding.span.end <= case.start || finding.span.start >= case.end);
        let strays = strays.count();
        false_positives += strays;
        if !hit || strays > 0 {
            writeln!(
                misses,
                "{} {}: {:?} {found:?}",
                case.kind, case.variant, case.text
            )
            .unwrap();
        }
    }
    let (all, hits) = counts
        .values()
        .fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    println!("{misses}");
    for ((kind, variant), (all, hits)) in &counts {
        println!("{kind:<15} {variant:<12} {hits}/{all}");
    }
    println!("seed {seed}: {hits} of {all} found, {false_positives} besides");
    assert!(
        f64::from(hits) >= 0.985 * f64::from(all),
        "seed {seed}: {hits} of {all}\n{misses}"
    );
    assert!(
        false_positives * 500 <= all as usize,
        "seed {seed}: {false_positives}\n{misses}"
    );
}

#[test]
fn what_is_not_there_is_not_found() {
    let seed = values::seed();
    let mut random = Random(seed);
    let (mut all, mut flagged) = (0, 0);
    let mut report = String::new();
    for template in negatives::NEGATIVES {
        for _ in 0..60 {
            let text = values::fill(template, &mut random);
            all += 1;
            let found = scan(text.as_bytes());
            if !found.is_empty() {
                flagged += 1;
                writeln!(report, "{text:?} {found:?}").unwrap();
            }
        }
    }
    println!("{report}seed {seed}: {flagged} of {all} flagged");
    assert!(
        flagged * 200 <= all,
        "seed {seed}: {flagged} of {all}\n{report}"
    );
}
