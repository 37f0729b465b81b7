//! Whatever stands in a fleet file, parsing ends with a fleet or with problems that lie inside the text.
#![cfg(test)]

use madang_fleet::{Problem, parse};
use proptest::prelude::*;
use std::path::Path;

const EXAMPLES: [&str; 3] = [
    include_str!("../../../examples/laptop.toml"),
    include_str!("../../../examples/two-sites.toml"),
    include_str!("../../../examples/korea.toml"),
];

fn check(source: &str) {
    let problems: Vec<Problem> = match parse(source, Path::new("/etc/madang")) {
        Ok(parsed) => parsed.warnings,
        Err(problems) => {
            assert!(!problems.is_empty());
            problems
        }
    };
    for problem in &problems {
        let spans = problem
            .related
            .iter()
            .map(|(span, _)| span)
            .chain([&problem.span]);
        for span in spans {
            assert!(
                source.get(span.clone()).is_some(),
                "{problem:?} lies outside the text"
            );
        }
        assert!(!problem.message.is_empty());
    }
}

/// One way of damaging a text.
#[derive(Clone, Debug)]
enum Edit {
    /// Cuts some characters out.
    Cut(prop::sample::Index, usize),
    /// Puts something in.
    Insert(prop::sample::Index, String),
    /// Replaces a line by another of the same text.
    Swap(prop::sample::Index, prop::sample::Index),
    /// Ends the text there.
    Truncate(prop::sample::Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let index = any::<prop::sample::Index>;
    let text = prop_oneof![
        "[\\[\\]{}=,.\"'#\n0-9a-z_ -]{1,6}",
        "\\PC{1,4}",
        Just("\n[[replica]]\n".to_owned()),
        Just("\n[limits]\n".to_owned()),
        Just("-1".to_owned()),
        Just("\"\"".to_owned()),
        Just("\u{feff}".to_owned()),
        Just("\r\n".to_owned()),
    ];
    prop_oneof![
        (index(), 1usize..20).prop_map(|(at, n)| Edit::Cut(at, n)),
        (index(), text).prop_map(|(at, text)| Edit::Insert(at, text)),
        (index(), index()).prop_map(|(a, b)| Edit::Swap(a, b)),
        index().prop_map(Edit::Truncate),
    ]
}

fn apply(source: &str, edit: &Edit) -> String {
    let mut chars: Vec<char> = source.chars().collect();
    if chars.is_empty() {
        return String::new();
    }
    match edit {
        Edit::Cut(at, n) => {
            let at = at.index(chars.len());
            let end = (at + n).min(chars.len());
            chars.drain(at..end);
        }
        Edit::Insert(at, text) => {
            let at = at.index(chars.len());
            chars.splice(at..at, text.chars());
        }
        Edit::Swap(a, b) => {
            let mut lines: Vec<&str> = source.split('\n').collect();
            let (a, b) = (a.index(lines.len()), b.index(lines.len()));
            lines[a] = lines[b];
            return lines.join("\n");
        }
        Edit::Truncate(at) => chars.truncate(at.index(chars.len())),
    }
    chars.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_examples_never_break_the_parser(
        example in prop::sample::select(EXAMPLES.to_vec()),
        edits in prop::collection::vec(edit(), 1..6),
    ) {
        let source = edits.iter().fold(example.to_owned(), |source, edit| apply(&source, edit));
        check(&source);
    }

    #[test]
    fn any_text_ends_in_problems_or_a_fleet(source in "\\PC{0,80}") {
        check(&source);
    }

    #[test]
    fn nested_tables_of_any_depth_are_survived(depth in 1usize..3_000, open in prop::sample::select(vec!["[", "{ a = ", "[[a.", "a."])) {
        check(&open.repeat(depth));
        check(&format!("site = {}", open.repeat(depth)));
    }
}
