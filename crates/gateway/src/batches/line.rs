//! The lines of a batch: what each must be, and all that is wrong with them, by line.

use super::batch::LineError;
use bytes::Bytes;
use madang_types::Endpoint;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashSet;
use std::io::{self, BufRead, Read};

/// Errors of one batch that are told.
const ERRORS_MAX: usize = 100;
/// Longest name of a line, in bytes.
const CUSTOM_ID_BYTES_MAX: usize = 512;

/// One line of the input.
#[derive(Deserialize)]
struct RawLine<'a> {
    #[serde(borrow)]
    custom_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    url: Option<Cow<'a, str>>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
}

/// What of a body decides whether it can be answered in a file.
#[derive(Deserialize)]
struct Streamed {
    #[serde(default)]
    stream: Option<bool>,
}

/// A line that can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// From 1.
    pub number: u64,
    pub custom_id: String,
    /// The request's own bytes.
    pub body: Bytes,
    /// How often an engine has failed it.
    pub failures: u32,
}

/// The doors that a batch can go through, by their paths.
pub(super) const DOORS: [(&str, Endpoint); 4] = [
    ("/v1/chat/completions", Endpoint::Chat),
    ("/v1/completions", Endpoint::Completions),
    ("/v1/embeddings", Endpoint::Embeddings),
    ("/v1/responses", Endpoint::Responses),
];

/// The path of a door.
pub(super) fn path_of(endpoint: Endpoint) -> &'static str {
    let door = DOORS.iter().find(|(_, door)| *door == endpoint);
    door.map_or("", |(path, _)| path)
}

/// Bounds on an input.
#[derive(Clone, Copy, Debug)]
pub(super) struct InputLimits {
    pub lines_max: u64,
    pub line_bytes_max: u64,
}

/// Reads lines one after the other; those of white space alone are left out.
pub(super) struct Lines<R> {
    input: R,
    endpoint: Endpoint,
    line_bytes_max: u64,
    number: u64,
    bytes: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub fn new(input: R, endpoint: Endpoint, line_bytes_max: u64) -> Self {
        Self {
            input,
            endpoint,
            line_bytes_max,
            number: 0,
            bytes: Vec::new(),
        }
    }

    /// The next line, or what is wrong with it; `None` after the last. What follows a line that is too long is not read.
    pub fn next(&mut self) -> io::Result<Option<Result<Line, LineError>>> {
        loop {
            self.bytes.clear();
            let longest = self.line_bytes_max.saturating_add(1);
            let mut input = (&mut self.input).take(longest);
            if input.read_until(b'\n', &mut self.bytes)? == 0 {
                return Ok(None);
            }
            self.number += 1;
            let text = self.bytes.trim_ascii();
            // A mark of the byte order stands before the first line of files from some editors.
            let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
            if !self.bytes.ends_with(b"\n") && exceeds(self.bytes.len(), self.line_bytes_max) {
                let message = format!(
                    "the line has more than limits.body_bytes_max = {} bytes",
                    self.line_bytes_max
                );
                return Ok(Some(Err(self.wrong("line_too_long", &message, None))));
            }
            if !text.is_empty() {
                return Ok(Some(self.read(text)));
            }
        }
    }

    fn read(&self, text: &[u8]) -> Result<Line, LineError> {
        let raw: RawLine<'_> = serde_json::from_slice(text).map_err(|_| {
            let message = "the line is not one JSON object with custom_id, method, url and body";
            self.wrong("invalid_json_line", message, None)
        })?;
        let missing = |name| {
            let message = format!("the field '{name}' is missing");
            self.wrong("missing_required_parameter", &message, Some(name))
        };
        let custom_id = raw.custom_id.ok_or_else(|| missing("custom_id"))?;
        if custom_id.is_empty() || custom_id.len() > CUSTOM_ID_BYTES_MAX {
            let message = format!("a custom_id has 1 to {CUSTOM_ID_BYTES_MAX} bytes");
            return Err(self.wrong("invalid_custom_id", &message, Some("custom_id")));
        }
        let method = raw.method.ok_or_else(|| missing("method"))?;
        if method != "POST" {
            return Err(self.wrong("invalid_method", "the method must be POST", Some("method")));
        }
        let url = raw.url.ok_or_else(|| missing("url"))?;
        let path = path_of(self.endpoint);
        if url != path {
            let message = format!("the url must be the batch's endpoint, {path}");
            return Err(self.wrong("mismatched_endpoint", &message, Some("url")));
        }
        let body = raw.body.ok_or_else(|| missing("body"))?.get();
        let streamed: Streamed = serde_json::from_str(body).map_err(|_| {
            let message = "the body is not a JSON object of a request";
            self.wrong("invalid_request", message, Some("body"))
        })?;
        if streamed.stream == Some(true) {
            let message = "answers in a file are not streamed: leave 'stream' out";
            return Err(self.wrong("invalid_request", message, Some("body.stream")));
        }
        Ok(Line {
            number: self.number,
            custom_id: custom_id.into_owned(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            failures: 0,
        })
    }

    fn wrong(&self, code: &str, message: &str, param: Option<&str>) -> LineError {
        LineError {
            code: code.to_owned(),
            line: Some(self.number),
            message: message.to_owned(),
            param: param.map(str::to_owned),
        }
    }
}

fn exceeds(length: usize, max: u64) -> bool {
    u64::try_from(length).unwrap_or(u64::MAX) > max
}

/// A line's name among those of its batch: as good as the name itself, in a few bytes.
pub(super) fn name_hash(custom_id: &str) -> u128 {
    let hash = blake3::hash(custom_id.as_bytes());
    let mut first = [0; 16];
    first.copy_from_slice(&hash.as_bytes()[..16]);
    u128::from_be_bytes(first)
}

/// Reads an input to its end: how many lines it has, or what is wrong with them.
pub(super) fn check<R: BufRead>(
    input: R,
    endpoint: Endpoint,
    limits: InputLimits,
) -> io::Result<Result<u64, Vec<LineError>>> {
    let mut lines = Lines::new(input, endpoint, limits.line_bytes_max);
    let mut names = HashSet::new();
    let mut errors = Vec::new();
    let mut count = 0;
    while errors.len() < ERRORS_MAX
        && let Some(line) = lines.next()?
    {
        count += 1;
        if count > limits.lines_max {
            let message = format!(
                "a batch has at most {} lines (limits.batch_lines_max)",
                limits.lines_max
            );
            errors.push(lines.wrong("too_many_lines", &message, None));
            break;
        }
        match line {
            Ok(line) if !names.insert(name_hash(&line.custom_id)) => {
                let message = "another line has this custom_id";
                errors.push(lines.wrong("duplicate_custom_id", message, Some("custom_id")));
            }
            Ok(_) => {}
            Err(error) if error.code == "line_too_long" => {
                errors.push(error);
                break;
            }
            Err(error) => errors.push(error),
        }
    }
    if count == 0 {
        let message = "the file has no line";
        errors.push(LineError {
            code: "empty_file".to_owned(),
            line: None,
            message: message.to_owned(),
            param: None,
        });
    }
    Ok(if errors.is_empty() {
        Ok(count)
    } else {
        Err(errors)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: InputLimits = InputLimits {
        lines_max: 3,
        line_bytes_max: 200,
    };

    fn line(id: &str, more: &str) -> String {
        format!(
            "{{\"custom_id\":\"{id}\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":{{{more}}}}}\n"
        )
    }

    fn check_text(text: &str) -> Result<u64, Vec<(Option<u64>, String)>> {
        let checked = check(text.as_bytes(), Endpoint::Chat, LIMITS).unwrap();
        checked.map_err(|errors| errors.into_iter().map(|e| (e.line, e.code)).collect())
    }

    fn wrong(text: &str, line: u64, code: &str) {
        assert_eq!(
            check_text(text),
            Err(vec![(Some(line), code.to_owned())]),
            "{text}"
        );
    }

    #[test]
    fn what_is_wrong_is_told_by_line() {
        assert_eq!(
            check_text(&(line("a", "") + "\r\n  \n" + &line("b", "").replace('\n', ""))),
            Ok(2)
        );
        assert_eq!(check_text(&format!("\u{feff}{}", line("a", ""))), Ok(1));
        assert_eq!(check_text(""), Err(vec![(None, "empty_file".to_owned())]));
        wrong(
            &(line("a", "") + "\n" + &line("a", "")),
            3,
            "duplicate_custom_id",
        );
        wrong(&(line("a", "") + "{nothing\n"), 2, "invalid_json_line");
        wrong("[]\n", 1, "invalid_json_line");
        wrong(&line("", ""), 1, "invalid_custom_id");
        wrong(&line("a", "").replace("POST", "GET"), 1, "invalid_method");
        wrong(
            &line("a", "").replace("chat/completions", "embeddings"),
            1,
            "mismatched_endpoint",
        );
        wrong(
            &line("a", "").replace("\"body\":{}", "\"body\":[1]"),
            1,
            "invalid_request",
        );
        wrong(&line("a", "\"stream\":true"), 1, "invalid_request");
        wrong(
            "{\"custom_id\":\"a\",\"method\":\"POST\",\"body\":{}}",
            1,
            "missing_required_parameter",
        );
        wrong(
            &line("a", &format!("\"x\":\"{}\"", "y".repeat(200))),
            1,
            "line_too_long",
        );
        wrong(
            &["a", "b", "c", "d"].map(|id| line(id, "")).concat(),
            4,
            "too_many_lines",
        );
    }

    #[test]
    fn a_body_keeps_its_bytes() {
        let text = line(
            "a",
            " \"n\": 1e2,\t\"big\": 123456789012345678901234567890 ",
        );
        let mut lines = Lines::new(text.as_bytes(), Endpoint::Chat, 1000);
        let line = lines.next().unwrap().unwrap().unwrap();
        assert_eq!(
            line.body,
            "{ \"n\": 1e2,\t\"big\": 123456789012345678901234567890 }"
        );
        assert!(lines.next().unwrap().is_none());
    }
}
