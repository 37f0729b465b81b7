//! Problems of a fleet file as people read them: place, caret, reason, help.

use madang_fleet::{FileProblems, Problem, Severity};
use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode,
};
use std::fmt;
use std::fmt::Write;

/// Width in columns that the help lines are wrapped at.
const WIDTH: usize = 100;

/// Renders the problems of a file, and a line that counts them. Text that looks like a secret is shown as asterisks.
/// `color` is for terminals.
pub fn render(file: &FileProblems, color: bool) -> String {
    let FileProblems {
        path,
        source,
        problems,
    } = file;
    let theme = if color {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(WIDTH)
        .with_links(false)
        .with_context_lines(1);
    let name = path.display().to_string();
    let text = NamedSource::new(&name, masked(source, problems));
    let mut out = String::new();
    for problem in problems {
        let report = Rendered {
            problem,
            text: &text,
        };
        if handler.render_report(&mut out, &report).is_err() {
            // A place that cannot be drawn is still said.
            out.push_str(&one_line(&name, source, problem));
        }
        out.push('\n');
    }
    out.push_str(&summary(&name, problems));
    out
}

/// The text with what looks like a secret replaced, byte by byte, so that places stay what they are.
fn masked(source: &str, problems: &[Problem]) -> String {
    let mut bytes = source.as_bytes().to_vec();
    let secrets = problems.iter().filter(|p| p.code == "secret_inline");
    for span in secrets.map(|p| p.span.clone()) {
        for byte in bytes.get_mut(span).into_iter().flatten() {
            if !matches!(byte, b'"' | b'\'' | b'\n' | b'\r') {
                *byte = b'*';
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn one_line(name: &str, source: &str, problem: &Problem) -> String {
    let before = source.get(..problem.span.start).unwrap_or_default();
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    format!("{name}:{line}: {}", problem.message)
}

fn summary(name: &str, problems: &[Problem]) -> String {
    let errors = count(problems, Severity::Error);
    let warnings = count(problems, Severity::Warning);
    let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let mut line = format!("{name}: ");
    let written = match (errors, warnings) {
        (0, 0) => write!(line, "no problems"),
        (0, _) => write!(line, "{}", plural(warnings, "warning")),
        (_, 0) => write!(line, "{}", plural(errors, "error")),
        _ => write!(
            line,
            "{}, {}",
            plural(errors, "error"),
            plural(warnings, "warning")
        ),
    };
    debug_assert!(written.is_ok(), "a String takes every write");
    line.push('\n');
    line
}

fn count(problems: &[Problem], severity: Severity) -> usize {
    problems.iter().filter(|p| p.severity == severity).count()
}

/// One problem as miette wants it.
#[derive(Debug)]
struct Rendered<'r> {
    problem: &'r Problem,
    text: &'r NamedSource<String>,
}

impl fmt::Display for Rendered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl std::error::Error for Rendered<'_> {}

impl Diagnostic for Rendered<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.problem.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.problem.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let remedy = self.problem.remedy.as_ref()?;
        Some(Box::new(remedy))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self.text)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        // Beside other places the place itself needs a word too.
        let word = (!self.problem.related.is_empty()).then(|| "here".to_owned());
        let here = LabeledSpan::new_primary_with_span(word, self.problem.span.clone());
        let related = self.problem.related.iter();
        let related =
            related.map(|(span, why)| LabeledSpan::new_with_span(Some(why.clone()), span.clone()));
        Some(Box::new(std::iter::once(here).chain(related)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn shown(source: &str) -> String {
        let problems = match madang_fleet::parse(source, Path::new("")) {
            Ok(parsed) => parsed.warnings,
            Err(problems) => problems,
        };
        rendered("fleet.toml", source, problems, false)
    }

    fn rendered(path: &str, source: &str, problems: Vec<Problem>, color: bool) -> String {
        let file = FileProblems {
            path: path.into(),
            source: source.into(),
            problems,
        };
        render(&file, color)
    }

    #[test]
    fn a_problem_is_shown_with_place_reason_and_help() {
        let source = "[[site]]\nid = \"포항\"\ncountry = \"KR\"\npower_cap = 20000\n";
        let text = shown(source);
        for part in [
            "fleet.toml:4:1",
            "unknown key `power_cap` in [[site]]",
            "help: did you mean `power_cap_kw`?",
            "fleet.toml:2:6",
            "2 errors, 1 warning",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(!text.contains('\u{1b}'), "no colour was asked for");
    }

    #[test]
    fn related_places_are_pointed_at() {
        let row = "[[site]]\nid = \"a\"\ncountry = \"KR\"\n";
        let text = shown(&format!("{row}{row}"));
        assert!(text.contains("first here"), "{text}");
    }

    #[test]
    fn secrets_are_not_repeated() {
        let key = "sk-proj-0123456789abcdef";
        let source = format!(
            "[[upstream]]\nid = \"u\"\ndialect = \"openai\"\nurl = \"https://api.openai.com\"\nkey_file = \"{key}\"\nmodels = [{{ id = \"g\" }}]\n"
        );
        let text = shown(&source);
        assert!(!text.contains(key), "{text}");
        assert!(text.contains("key_file = \"****"), "{text}");
    }

    #[test]
    fn a_fleet_without_problems_says_so() {
        assert_eq!(
            rendered("f.toml", "", Vec::new(), true),
            "f.toml: no problems\n"
        );
    }

    #[test]
    fn ends_of_texts_can_be_pointed_at() {
        for source in [
            "",
            "x",
            "x =",
            "[[site",
            "포 = 항",
            "a = \"b\nc = \"d\"\r\n",
        ] {
            let text = shown(source);
            assert!(text.contains("fleet.toml"), "{text}");
        }
    }
}
