//! `madang logs`: the log of a launched replica, and what is added to it.

use super::server::{print, printable};
use crate::args::LogsArgs;
use crate::http_client::{ApiClient, escape};
use crate::out;
use serde_json::Value;
use std::process::ExitCode;
use std::time::Duration;

/// How often a followed log is asked for.
const POLL_MS: u64 = 1_000;
/// Lines asked for while following: more than this in one second are passed over, and said to be.
const FOLLOW_LINES: u32 = 2_000;

/// Exit code 0 where the log is there. Following ends with the program or with the server.
pub async fn run(args: LogsArgs) -> anyhow::Result<ExitCode> {
    let LogsArgs {
        replica,
        lines,
        follow,
        server,
    } = args;
    let client = ApiClient::new(&server)?;
    let path = |lines: u32| format!("/api/v1/replicas/{}/logs?lines={lines}", escape(&replica));
    let answer = client.get(&path(lines)).await?;
    if !follow {
        if lines_of(&answer.json()?).is_empty() {
            out::note("no lines: only engines that Madang starts have a log here");
        }
        return print(&answer, server.json, |log| text(&lines_of(log)));
    }
    show(&lines_of(&answer.json()?), server.json);
    let mut before = lines_of(&client.get(&path(FOLLOW_LINES)).await?.json()?);
    loop {
        tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
        let after = lines_of(&client.get(&path(FOLLOW_LINES)).await?.json()?);
        let new = added(&before, &after);
        if new.len() == after.len() && !before.is_empty() && !after.is_empty() {
            out::note("some lines may have been passed over");
        }
        show(new, server.json);
        before = after;
    }
}

fn lines_of(log: &Value) -> Vec<String> {
    let lines = log["lines"].as_array().into_iter().flatten();
    lines.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Lines for people, or one JSON string a line.
fn show(lines: &[String], json: bool) {
    if json {
        for line in lines {
            out::line(&Value::from(line.as_str()).to_string());
        }
    } else {
        out::result(&text(lines));
    }
}

fn text(lines: &[String]) -> String {
    lines
        .iter()
        .map(|line| format!("{}\n", printable(line)))
        .collect()
}

/// What `after` has behind the longest end of `before` that it begins with.
fn added<'l>(before: &[String], after: &'l [String]) -> &'l [String] {
    let longest = before.len().min(after.len());
    let same = (0..=longest)
        .rev()
        .find(|count| before[before.len() - count..] == after[..*count]);
    &after[same.unwrap_or(0)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_is_shown() {
        let lines = |text: &str| -> Vec<String> { text.chars().map(String::from).collect() };
        let check = |before: &str, after: &str, new: &str| {
            assert_eq!(
                added(&lines(before), &lines(after)),
                lines(new),
                "{before} {after}"
            );
        };
        check("", "", "");
        check("", "ab", "ab");
        check("abc", "abc", "");
        check("abc", "abcd", "d");
        check("abc", "bcd", "d");
        check("abc", "xyz", "xyz");
        check("aaa", "aaa", "");
        check("abab", "abab", "");
        check("abc", "", "");
    }
}
