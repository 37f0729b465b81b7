//! Errors in OpenAI's shape, and a fleet file's problems.

use madang_fleet::{FileProblems, Problem};
use madang_gateway::refused::{Refused, doc_page};
use serde::Serialize;
use utoipa::ToSchema;

/// An error answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// The error.
    error: ErrorView,
}

/// What went wrong, in OpenAI's shape.
#[derive(Debug, Serialize, ToSchema)]
struct ErrorView {
    /// What is wrong, for a person.
    message: String,
    /// OpenAI's class of error.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    kind: &'static str,
    /// The parameter at fault.
    param: Option<String>,
    /// The stable code; docs/errors has a page for each.
    #[schema(value_type = String)]
    code: &'static str,
    /// The request's id; empty where none was made.
    request_id: String,
    /// What mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    remedy: Option<&'static str>,
    /// The page of the code.
    doc: String,
    /// Where policy denies it: why, place by place.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasons: Option<Vec<ReasonView>>,
    /// The fleet file, where it is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// The fleet file's problems, by position.
    #[serde(skip_serializing_if = "Option::is_none")]
    problems: Option<Vec<ProblemView>>,
}

/// Why policy keeps data away from a place.
#[derive(Debug, Serialize, ToSchema)]
struct ReasonView {
    /// The place.
    location: String,
    /// Rules that decided.
    rules: Vec<String>,
    /// Permitting rules that nearly did, and what of them was not met.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    unmet: Vec<String>,
    /// The rules' own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// The same in Korean.
    #[serde(skip_serializing_if = "Option::is_none")]
    text_ko: Option<String>,
}

impl ErrorBody {
    /// A refusal with the problems of a fleet file.
    pub fn with_problems(refused: &Refused, file: String, problems: Vec<ProblemView>) -> Self {
        let Refused {
            code,
            message,
            quotes: _,
            param,
            retry_after_ms: _,
            denials: _,
            remedy,
        } = refused;
        Self {
            error: ErrorView {
                message: message.clone(),
                kind: code.kind(),
                param: param.clone(),
                code: code.as_str(),
                request_id: String::new(),
                remedy: Some(remedy.unwrap_or(code.remedy())),
                doc: doc_page(*code),
                reasons: None,
                file: Some(file),
                problems: Some(problems),
            },
        }
    }
}

/// One problem of a fleet file, or of the policy file that it names.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProblemView {
    /// The file that it is in.
    file: String,
    /// Line, from 1.
    line: usize,
    /// Column in characters, from 1.
    column: usize,
    /// `error` or `warning`.
    #[schema(value_type = String)]
    severity: &'static str,
    /// What kind of problem.
    #[schema(value_type = String)]
    code: &'static str,
    /// What is wrong.
    message: String,
    /// What would mend it.
    remedy: Option<String>,
}

/// The problems of a file, with lines and columns.
pub(crate) fn problem_views(file: &FileProblems) -> impl Iterator<Item = ProblemView> {
    file.problems.iter().map(|p| problem_view(file, p))
}

fn problem_view(file: &FileProblems, problem: &Problem) -> ProblemView {
    let Problem {
        code,
        severity,
        span: _,
        message,
        remedy,
        related: _,
    } = problem;
    let (line, column) = problem.line_column(&file.source);
    ProblemView {
        file: file.path.display().to_string(),
        line,
        column,
        severity: severity.as_str(),
        code,
        message: message.clone(),
        remedy: remedy.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_fleet::Severity;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let file = FileProblems {
            path: "fleet.toml".into(),
            source: "a = 1\n서울 = x\n".into(),
            problems: Vec::new(),
        };
        let check = |start: usize, place: (usize, usize)| {
            let problem = Problem {
                code: "syntax",
                severity: Severity::Error,
                span: start..start,
                message: "wrong".into(),
                remedy: None,
                related: Vec::new(),
            };
            let view = problem_view(&file, &problem);
            assert_eq!((view.line, view.column), place, "{start}");
        };
        check(0, (1, 1));
        check(6, (2, 1));
        check(12, (2, 3));
        check(file.source.len(), (3, 1));
        check(999, (3, 1));
    }
}
