//! The keys of a goal's file with what stands beside them, so that a report can say where each figure is from.

use crate::goal::Input;

/// Where a figure is from that the goal does not say.
pub(crate) const DEFAULT: &str = "not said in the goal: what is taken then";

/// Each key of a text that was read without problems, in its order: `site.ulsan.pue`, its value as written, its comment.
pub(crate) fn of(source: &str) -> Vec<Input> {
    let mut inputs: Vec<Input> = Vec::new();
    let mut table = String::new();
    // Lists of the last input that go on in the next line.
    let mut open = 0;
    for line in source.lines() {
        let (code, comment, opened) = split(line.trim());
        if open > 0 {
            if let Some(input) = inputs.last_mut() {
                input.value.push_str(code);
                append(&mut input.source, comment);
            }
            open += opened;
        } else if code.starts_with('[') {
            table = code.trim_matches(['[', ']', ' ']).to_owned();
        } else if let Some((key, value)) = code.split_once('=') {
            let (key, value) = (key.trim(), value.trim());
            if key == "id" {
                let kind = table.split('.').next().unwrap_or_default();
                table = format!("{kind}.{}", value.trim_matches(['"', '\'']));
            }
            inputs.push(Input {
                key: format!("{table}.{key}"),
                value: value.to_owned(),
                source: comment.to_owned(),
            });
            open = opened;
        }
    }
    inputs
}

/// Whether a key is one of these; `*` in a pattern such as `site.*.pue` stands for any row.
pub(crate) fn is_one_of(key: &str, patterns: &[&str]) -> bool {
    patterns
        .iter()
        .any(|pattern| match pattern.split_once('*') {
            Some((before, after)) => key.starts_with(before) && key.ends_with(after),
            None => key == *pattern,
        })
}

fn append(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push_str("; ");
    }
    text.push_str(more);
}

/// What stands before a comment, the comment, and how many lists open less those that close; none of them is looked for in strings.
fn split(line: &str) -> (&str, &str, i32) {
    let mut quote = None;
    let mut escaped = false;
    let mut opened = 0;
    for (at, char) in line.char_indices() {
        match (quote, char) {
            _ if escaped => escaped = false,
            (Some('"'), '\\') => escaped = true,
            (Some(open), _) if open == char => quote = None,
            (None, '"' | '\'') => quote = Some(char),
            (None, '[') => opened += 1,
            (None, ']') => opened -= 1,
            (None, '#') => return (line[..at].trim_end(), line[at + 1..].trim(), opened),
            _ => {}
        }
    }
    (line, "", opened)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_their_rows_and_their_comments() {
        let text = "[plan]\nsaid = \"a \\\" # b\"\nabout = 'a [draft # b' # mine\nyears = 5 # chosen\n[[site]]\nid = \"a#b\" # made up\nhours = [1,\n 2] # two\n";
        let found: Vec<String> = of(text)
            .iter()
            .map(|input| format!("{} {} ({})", input.key, input.value, input.source))
            .collect();
        let expected = [
            r#"plan.said "a \" # b" ()"#,
            "plan.about 'a [draft # b' (mine)",
            "plan.years 5 (chosen)",
            "site.a#b.id \"a#b\" (made up)",
            "site.a#b.hours [1,2] (two)",
        ];
        assert_eq!(found, expected);
    }
}
