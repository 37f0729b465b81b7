//! What is wrong with a fleet file: problems with a place and a remedy, and the report that gathers them.

use std::borrow::Cow;
use std::ops::Range;

/// At most this many problems are reported; a text worse than that is not mended one line at a time.
pub const PROBLEMS_MAX: usize = 500;

/// Every code that reading a text can give. The page docs/fleet-file.md explains each.
pub const CODES: &[&str] = &[
    "syntax",
    "unknown_key",
    "missing_key",
    "wrong_type",
    "unknown_word",
    "number_range",
    "name_invalid",
    "id_duplicate",
    "id_shared",
    "reference_unknown",
    "site_mismatch",
    "country_invalid",
    "home_missing",
    "date_invalid",
    "terms_invalid",
    "unverified",
    "url_invalid",
    "url_duplicate",
    "port_conflict",
    "choose_one",
    "launch_invalid",
    "placeholder_unknown",
    "builtin_mismatch",
    "weights_missing",
    "weights_invalid",
    "digest_invalid",
    "requirement_invalid",
    "path_invalid",
    "secret_inline",
    "key_in_clear",
    "key_without_tls",
    "key_file_missing",
    "model_unserved",
    "nothing_to_serve",
    "kv_too_small",
    "key_without_effect",
    "limits_conflict",
    "tariff_incomplete",
    "too_many_problems",
];

/// Whether a fleet with the problem can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It cannot: the fleet is refused whole.
    Error,
    /// It can; the operator should know.
    Warning,
}

/// One thing wrong at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// One of [`CODES`], or of those that compiling the policy gives.
    pub code: &'static str,
    /// Whether the fleet is refused for it.
    pub severity: Severity,
    /// Bytes of the source; lies inside it, on character borders.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What would mend it.
    pub remedy: Option<String>,
    /// Other places that matter, each with a word of why.
    pub related: Vec<(Range<usize>, String)>,
}

impl Problem {
    /// Where it begins in its source: line and column, both from 1; columns count characters.
    pub fn line_column(&self, source: &str) -> (usize, usize) {
        let before = source.get(..self.span.start).unwrap_or(source);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        (line, before[line_start..].chars().count() + 1)
    }
}

impl Severity {
    /// The word that stands for it in machine-readable output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// Gathers problems; bounded.
pub struct Report<'a> {
    source: &'a str,
    problems: Vec<Problem>,
    omitted: usize,
    has_error: bool,
    /// Lines that the TOML parser could not read. What they would have said is unknown, so problems on them and
    /// absences anywhere are not held against the text.
    broken_lines: Vec<Range<usize>>,
}

impl<'a> Report<'a> {
    /// Nothing is wrong yet with that text.
    pub fn new(source: &'a str) -> Self {
        Self {
            source,
            problems: Vec::new(),
            omitted: 0,
            has_error: false,
            broken_lines: Vec::new(),
        }
    }

    /// Notes a syntax error, and that its line is unread.
    pub(crate) fn syntax(&mut self, span: Range<usize>, message: String) {
        let span = self.clamp(&span);
        let start = self.source[..span.start].rfind('\n').map_or(0, |i| i + 1);
        let end = self.source[span.end..]
            .find('\n')
            .map_or(self.source.len(), |i| span.end + i);
        self.push(Problem {
            code: "syntax",
            severity: Severity::Error,
            span,
            remedy: syntax_remedy(&message, &self.source[start..end]),
            message,
            related: Vec::new(),
        });
        // Behind a full report nothing more is weighed.
        if self.broken_lines.len() < PROBLEMS_MAX {
            self.broken_lines.push(start..end);
        }
    }

    /// Whether the text is read completely, so that what is absent is truly absent.
    pub fn is_whole(&self) -> bool {
        self.broken_lines.is_empty()
    }

    /// Whether no more problems will be shown: what costs time to say need not be worked out.
    pub fn is_full(&self) -> bool {
        self.problems.len() >= PROBLEMS_MAX
    }

    /// Whether a `[table]` line could not be read, so that keys may seem to stand in another table.
    pub(crate) fn lost_header(&self) -> bool {
        let lines = self.broken_lines.iter();
        lines
            .map(|line| self.source[line.clone()].trim_start())
            .any(|line| line.starts_with('['))
    }

    /// Adds an error; the caller may attach more to what is returned.
    pub fn error(
        &mut self,
        code: &'static str,
        span: &Range<usize>,
        message: impl Into<String>,
    ) -> Entry<'_> {
        self.entry(code, Severity::Error, span, message.into())
    }

    /// Adds a warning.
    pub fn warning(
        &mut self,
        code: &'static str,
        span: &Range<usize>,
        message: impl Into<String>,
    ) -> Entry<'_> {
        self.entry(code, Severity::Warning, span, message.into())
    }

    fn entry(
        &mut self,
        code: &'static str,
        severity: Severity,
        span: &Range<usize>,
        message: String,
    ) -> Entry<'_> {
        debug_assert!(CODES.contains(&code), "{code} is not in CODES");
        let span = self.clamp(span);
        let unread = self
            .broken_lines
            .iter()
            .any(|line| line.start <= span.start && span.start <= line.end);
        let index = if unread {
            None
        } else {
            self.push(Problem {
                code,
                severity,
                span,
                message,
                remedy: None,
                related: Vec::new(),
            })
        };
        Entry {
            report_len: self.source.len(),
            problem: index.and_then(|i| self.problems.get_mut(i)),
        }
    }

    fn push(&mut self, problem: Problem) -> Option<usize> {
        self.has_error |= problem.severity == Severity::Error;
        if self.is_full() {
            self.omitted += 1;
            return None;
        }
        self.problems.push(problem);
        Some(self.problems.len() - 1)
    }

    /// A span inside the source, on character borders, that covers at least one character where there is one.
    fn clamp(&self, span: &Range<usize>) -> Range<usize> {
        let len = self.source.len();
        let mut start = span.start.min(len);
        while !self.source.is_char_boundary(start) {
            start -= 1;
        }
        let mut end = span.end.clamp(start, len);
        while !self.source.is_char_boundary(end) {
            end += 1;
        }
        start..end
    }

    /// The problems by position, and whether one is an error.
    pub fn finish(mut self) -> (Vec<Problem>, bool) {
        self.problems
            .sort_by_key(|p| (p.span.start, p.span.end, p.severity, p.code));
        if self.omitted > 0 {
            let end = self.source.len();
            self.problems.push(Problem {
                code: "too_many_problems",
                severity: if self.has_error {
                    Severity::Error
                } else {
                    Severity::Warning
                },
                span: end..end,
                message: format!("{} more problems are not shown", self.omitted),
                remedy: Some("mend those above first".into()),
                related: Vec::new(),
            });
        }
        (self.problems, self.has_error)
    }
}

/// A problem just added, to which a remedy and other places can be attached. Holds nothing when the report is full.
pub struct Entry<'r> {
    report_len: usize,
    problem: Option<&'r mut Problem>,
}

impl Entry<'_> {
    /// What would mend it.
    pub fn help(mut self, remedy: impl Into<String>) -> Self {
        if let Some(problem) = &mut self.problem {
            problem.remedy = Some(remedy.into());
        }
        self
    }

    /// Another place that matters, and why.
    pub fn related(mut self, span: &Range<usize>, why: impl Into<String>) -> Self {
        let inside = span.end <= self.report_len && span.start <= span.end;
        if let Some(problem) = self.problem.as_mut().filter(|_| inside) {
            problem.related.push((span.clone(), why.into()));
        }
        self
    }
}

fn syntax_remedy(message: &str, line: &str) -> Option<String> {
    if message.starts_with("duplicate key") {
        return Some("a key stands once in a table; take one of the two out".into());
    }
    let value = line.split_once('=').map(|(_, v)| v.trim());
    match value {
        Some("") => Some("give the key a value, such as key = \"text\" or key = 8".into()),
        Some(v) if v.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            Some("text stands in quotes: key = \"text\"".into())
        }
        Some(v) if v.starts_with('"') && v.matches('"').count() % 2 == 1 => {
            Some("close the text with a quote".into())
        }
        Some(_) => None,
        None if line.trim_start().starts_with('[') => {
            Some("a table begins with [name] or, where there can be several, [[name]]".into())
        }
        None => line
            .split_once(':')
            .map(|_| "TOML writes key = value, not key: value".into()),
    }
}

/// Words of like length that are compared; a suggestion is a courtesy and must not cost seconds.
const CANDIDATES_MAX: usize = 2_000;

/// The candidate that was probably meant, if one is near.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let folded: Cow<'_, str> = word.to_ascii_lowercase().replace('-', "_").into();
    let length = folded.chars().count();
    // A third of the word may be wrong: `cuont` is near `count`, `kind` is not near `site`.
    let distance_max = (length / 3).clamp(1, 4);
    candidates
        .into_iter()
        .filter(|c| c.len().abs_diff(word.len()) <= distance_max)
        .take(CANDIDATES_MAX)
        .map(|c| {
            let other = c.to_ascii_lowercase().replace('-', "_");
            (strsim::damerau_levenshtein(&folded, &other), c)
        })
        .filter(|(distance, _)| *distance <= distance_max)
        .min()
        .map(|(_, c)| c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let keys = ["id", "site", "count", "per_node", "power_cap_kw"];
        let check = |word: &str, expected: Option<&str>| {
            assert_eq!(nearest(word, keys), expected, "{word}");
        };
        check("cuont", Some("count"));
        check("power_cap", Some("power_cap_kw"));
        check("per-node", Some("per_node"));
        check("Site", Some("site"));
        check("colour", None);
        check("", None);
    }

    #[test]
    fn a_report_is_bounded_and_says_so() {
        let mut report = Report::new("x");
        for _ in 0..PROBLEMS_MAX + 7 {
            report.error("syntax", &(0..1), "wrong");
        }
        let (problems, has_error) = report.finish();
        assert!(has_error);
        assert_eq!(problems.len(), PROBLEMS_MAX + 1);
        assert_eq!(
            problems.last().map(|p| p.message.as_str()),
            Some("7 more problems are not shown")
        );
    }

    #[test]
    fn spans_are_brought_inside_the_source() {
        let mut report = Report::new("a판b");
        report.error("syntax", &(2..3), "inside a character");
        report.error("syntax", &(90..99), "behind the end");
        let (problems, _) = report.finish();
        assert_eq!(problems[0].span, 1..4);
        assert_eq!(problems[1].span, 5..5);
    }
}
