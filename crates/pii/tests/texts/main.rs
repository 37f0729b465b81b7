//! Texts as people and programs write them, with what is in them marked: `⟦PHONE 010-0842-5316⟧`. One on a line; `\n`, `\t`
//! and `\u200b` are written out. No number in them is of anyone.
#![expect(clippy::unwrap_used, reason = "tests")]

use madang_pii::{Finding, scan};
use std::ops::Range;

/// A text without its marks, and what they say.
fn unmarked(line: &str) -> (String, Vec<(String, Range<usize>)>) {
    let line = line
        .replace("\\n", "\n")
        .replace("\\t", "\t")
        .replace("\\u200b", "\u{200b}");
    let mut pieces = line.split('⟦');
    let mut text = pieces.next().unwrap().to_owned();
    let mut marked = Vec::new();
    for piece in pieces {
        let (mark, after) = piece.split_once('⟧').unwrap();
        let (kind, value) = mark.split_once(' ').unwrap();
        let start = text.len();
        text.push_str(value);
        marked.push((kind.to_owned(), start..text.len()));
        text.push_str(after);
    }
    (text, marked)
}

/// Whether `found` is of that kind and is at least half of the marked value, and the value half of it.
fn agrees(found: &Finding, (kind, marked): &(String, Range<usize>)) -> bool {
    let common =
        found.span.end.min(marked.end) as isize - found.span.start.max(marked.start) as isize;
    let longest = found.span.len().max(marked.len()) as isize;
    found.kind.as_str() == kind && common * 2 >= longest
}

fn check(lines: &str) {
    let mut wrong = String::new();
    for line in lines.lines() {
        let (text, marked) = unmarked(line);
        let found = scan(text.as_bytes());
        let right = found.len() == marked.len()
            && found
                .iter()
                .zip(&marked)
                .all(|(found, marked)| agrees(found, marked));
        if !right {
            let found: Vec<_> = found
                .iter()
                .map(|finding| {
                    (
                        finding.kind.as_str(),
                        &text[finding.span.clone()],
                        finding.confidence,
                    )
                })
                .collect();
            wrong += &format!("{line}\n    {found:?}\n");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn what_is_marked_is_found() {
    check(include_str!("found.txt"));
}

#[test]
fn nothing_is_found_where_nothing_is() {
    check(include_str!("negatives.txt"));
}
