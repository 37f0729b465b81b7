//! The keys of a goal's file with what stands beside them, so that a report can say where each figure is from.

use crate::goal::Input;

/// Each key of a text that was read without problems, in its order: `site.ulsan.pue`, its value as written, its comment.
pub(crate) fn of(source: &str) -> Vec<Input> {
    let mut inputs: Vec<Input> = Vec::new();
    let mut table = String::new();
    let mut open: Option<Input> = None;
    for line in source.lines() {
        let (code, comment) = split(line.trim());
        if let Some(mut input) = open.take() {
            input.value.push_str(code);
            append(&mut input.source, comment);
            finish(input, &mut open, &mut inputs);
        } else if code.starts_with('[') {
            table = code.trim_matches(['[', ']', ' ']).to_owned();
        } else if let Some((key, value)) = code.split_once('=') {
            let (key, value) = (key.trim(), value.trim());
            if key == "id" {
                let kind = table.split('.').next().unwrap_or_default();
                table = format!("{kind}.{}", value.trim_matches('"'));
            }
            let input = Input {
                key: format!("{table}.{key}"),
                value: value.to_owned(),
                source: comment.to_owned(),
            };
            finish(input, &mut open, &mut inputs);
        }
    }
    inputs
}

/// A list may go on in the next line.
fn finish(input: Input, open: &mut Option<Input>, inputs: &mut Vec<Input>) {
    let count = |bracket| input.value.matches(bracket).count();
    if count('[') > count(']') {
        *open = Some(input);
    } else {
        inputs.push(input);
    }
}

fn append(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push_str("; ");
    }
    text.push_str(more);
}

/// What stands before a comment, and the comment.
fn split(line: &str) -> (&str, &str) {
    let mut quoted = false;
    for (at, char) in line.char_indices() {
        match char {
            '"' => quoted = !quoted,
            '#' if !quoted => return (line[..at].trim_end(), line[at + 1..].trim()),
            _ => {}
        }
    }
    (line, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_their_rows_and_their_comments() {
        let text = "[plan]\nyears = 5 # chosen\n[[site]]\nid = \"a#b\" # made up\nhours = [1,\n 2] # two\n";
        let found: Vec<String> = of(text)
            .iter()
            .map(|input| format!("{} {} ({})", input.key, input.value, input.source))
            .collect();
        let expected = [
            "plan.years 5 (chosen)",
            "site.a#b.id \"a#b\" (made up)",
            "site.a#b.hours [1,2] (two)",
        ];
        assert_eq!(found, expected);
    }
}
