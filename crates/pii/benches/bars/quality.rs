//! Recall and precision on a labelled set.

use madang_pii::scan;
use madang_types::PiiKind;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Deserialize)]
struct Row {
    id: String,
    text: String,
    neg: Option<String>,
    spans: Vec<Gold>,
}

#[derive(Deserialize)]
struct Gold {
    bstart: usize,
    bend: usize,
    label: String,
}

/// What one label came to.
#[derive(Clone, Copy, Default)]
struct Count {
    gold: u32,
    found: u32,
    typed: u32,
    false_positives: u32,
}

/// What a set came to.
#[derive(Default)]
pub struct Quality {
    labels: BTreeMap<String, Count>,
    negatives: u32,
    negatives_flagged: u32,
}

impl Quality {
    /// Scans every row of the set at `path`; with `show`, prints each miss and each false positive.
    pub fn measure(path: &Path, show: bool) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        let mut quality = Self::default();
        for (number, line) in text.lines().enumerate() {
            let row: Row = serde_json::from_str(line)
                .map_err(|error| format!("line {}: {error}", number + 1))?;
            quality.add(&row, show);
        }
        Ok(quality)
    }

    fn add(&mut self, row: &Row, show: bool) {
        let mut found = scan(row.text.as_bytes());
        // The set has no label for internet addresses.
        found.retain(|finding| finding.kind != PiiKind::Ip);
        for gold in &row.spans {
            let half = |finding: &&madang_pii::Finding| {
                let (start, end) = (
                    finding.span.start.max(gold.bstart),
                    finding.span.end.min(gold.bend),
                );
                end.saturating_sub(start) * 2 >= gold.bend - gold.bstart
            };
            let any = found.iter().any(|finding| half(&finding));
            let typed = found
                .iter()
                .any(|finding| half(&finding) && finding.kind.as_str() == gold.label);
            let count = self.labels.entry(gold.label.clone()).or_default();
            count.gold += 1;
            count.found += u32::from(any);
            count.typed += u32::from(typed);
            if show && !typed && gold.label != "PERSON" {
                println!(
                    "missed {} {}: {:?} found {found:?}",
                    gold.label, row.id, row.text
                );
            }
        }
        for finding in &found {
            let touches =
                |gold: &Gold| finding.span.start < gold.bend && gold.bstart < finding.span.end;
            if !row.spans.iter().any(touches) {
                let label = finding.kind.as_str().to_owned();
                self.labels.entry(label).or_default().false_positives += 1;
                if show {
                    println!("false {finding:?} {}: {:?}", row.id, row.text);
                }
            }
        }
        if row.neg.is_some() {
            self.negatives += 1;
            self.negatives_flagged += u32::from(!found.is_empty());
        }
    }

    /// Recall of any type and of the right one, and precision, over all labels but names of people.
    pub fn bars(&self) -> (f64, f64, f64) {
        let mut all = Count::default();
        for (label, count) in &self.labels {
            if label != "PERSON" {
                all.gold += count.gold;
                all.found += count.found;
                all.typed += count.typed;
            }
            all.false_positives += count.false_positives;
        }
        let ratio = |part: u32, whole: u32| f64::from(part) / f64::from(whole.max(1));
        (
            ratio(all.found, all.gold),
            ratio(all.typed, all.gold),
            ratio(all.found, all.found + all.false_positives),
        )
    }

    /// Hard negatives that were flagged, and all.
    pub fn negatives(&self) -> (u32, u32) {
        (self.negatives_flagged, self.negatives)
    }

    /// A line for each label.
    pub fn print(&self) {
        println!(
            "{:<15} {:>5} {:>6} {:>6} {:>6}",
            "label", "gold", "found", "typed", "false"
        );
        for (label, count) in &self.labels {
            println!(
                "{label:<15} {:>5} {:>6} {:>6} {:>6}",
                count.gold, count.found, count.typed, count.false_positives
            );
        }
    }
}
