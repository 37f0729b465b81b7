//! A file of examples, as it has to be: each line a conversation with an answer in it. It is copied while it is read.

use madang_types::text::hex;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::io::{self, BufRead, Read, Write};

/// Who may speak in an example.
const ROLES: [&str; 6] = [
    "system",
    "developer",
    "user",
    "assistant",
    "tool",
    "function",
];

/// A file whose lines are sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checked {
    pub examples: u64,
    /// In hex.
    pub sha256: String,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unsound {
    /// From 1; `None` where it is the whole file.
    pub line: Option<u64>,
    pub what: String,
}

#[derive(Deserialize)]
struct Example<'a> {
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    function_call: Option<&'a RawValue>,
}

/// Copies examples, and says of the first line that is none why. A line has at most `line_bytes_max` bytes.
///
/// # Errors
/// The disk's.
pub(super) fn copy(
    mut from: impl BufRead,
    mut to: impl Write,
    line_bytes_max: u64,
) -> io::Result<Result<Checked, Unsound>> {
    let (mut hash, mut bytes) = (Sha256::new(), Vec::new());
    let (mut line, mut examples) = (0, 0);
    loop {
        bytes.clear();
        let longest = line_bytes_max.saturating_add(1);
        if (&mut from).take(longest).read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        line += 1;
        let unsound = |what: String| {
            Ok(Err(Unsound {
                line: Some(line),
                what,
            }))
        };
        if u64::try_from(bytes.len()).is_ok_and(|length| length > line_bytes_max) {
            return unsound(format!("it has more than {line_bytes_max} bytes"));
        }
        let text = bytes.trim_ascii();
        // A mark of the byte order stands before the first line of files from some editors.
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        if text.is_empty() {
            continue;
        }
        if let Err(what) = example(text) {
            return unsound(what);
        }
        examples += 1;
        for part in [text, b"\n"] {
            hash.update(part);
            to.write_all(part)?;
        }
    }
    to.flush()?;
    if examples == 0 {
        return Ok(Err(Unsound {
            line: None,
            what: "it has no examples".to_owned(),
        }));
    }
    let sha256 = hex(&hash.finalize());
    Ok(Ok(Checked { examples, sha256 }))
}

/// What is wrong with one line is told without a word of it.
fn example(text: &[u8]) -> Result<(), String> {
    let object = text.first() == Some(&b'{');
    let example: Example<'_> = serde_json::from_slice(text)
        .ok()
        .filter(|_| object)
        .ok_or("it is not one JSON object")?;
    let messages = example.messages.ok_or("it has no `messages`")?;
    let messages: Vec<Message<'_>> = serde_json::from_str(messages.get())
        .map_err(|_| "its `messages` are no list of objects with `role` and `content`")?;
    let given = |value: &Option<&RawValue>| value.is_some_and(|value| value.get() != "null");
    for (place, message) in (1..).zip(&messages) {
        if !ROLES.contains(&&*message.role) {
            let roles = ROLES.join(", ");
            return Err(format!(
                "the role of its message {place} is none of {roles}"
            ));
        }
        let content = message.content.map_or("null", RawValue::get);
        let sound = content == "null" || content.starts_with(['"', '[']);
        let called = given(&message.tool_calls) || given(&message.function_call);
        if !sound || (content == "null" && !called) {
            return Err(format!("its message {place} has no `content`"));
        }
    }
    if messages.iter().all(|message| message.role != "assistant") {
        return Err(
            "none of its messages is the assistant's: there is nothing to learn".to_owned(),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#;

    fn checked(text: &str) -> (Result<Checked, Unsound>, String) {
        let mut copied = Vec::new();
        let found = copy(text.as_bytes(), &mut copied, 300).unwrap();
        (found, String::from_utf8(copied).unwrap())
    }

    #[test]
    fn sound_lines_are_copied_and_counted() {
        let text = format!("\u{feff}{SOUND}\r\n\n  {SOUND}");
        let (found, copied) = checked(&text);
        let found = found.unwrap();
        assert_eq!(copied, format!("{SOUND}\n{SOUND}\n"));
        assert_eq!(found.examples, 2);
        let digest: String = Sha256::digest(copied)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(found.sha256, digest);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let check = |bad: &str, expected: &str| {
            let (found, _) = checked(&format!("{SOUND}\n{bad}\n"));
            let found = found.unwrap_err();
            assert_eq!((found.line, &*found.what), (Some(2), expected), "{bad}");
        };
        check("x", "it is not one JSON object");
        check("[1]", "it is not one JSON object");
        check(&SOUND[..60], "it is not one JSON object");
        check(r#"{"prompt": "a"}"#, "it has no `messages`");
        let list = "its `messages` are no list of objects with `role` and `content`";
        check(r#"{"messages": "a"}"#, list);
        check(r#"{"messages": [{"content": "a"}]}"#, list);
        check(
            r#"{"messages": [{"role": "robot", "content": "a"}]}"#,
            "the role of its message 1 is none of system, developer, user, assistant, tool, function",
        );
        let empty = "its message 1 has no `content`";
        check(r#"{"messages": [{"role": "assistant"}]}"#, empty);
        check(
            r#"{"messages": [{"role": "assistant", "content": 7}]}"#,
            empty,
        );
        let nothing = "none of its messages is the assistant's: there is nothing to learn";
        check(
            r#"{"messages": [{"role": "user", "content": "a"}]}"#,
            nothing,
        );
        check(r#"{"messages": []}"#, nothing);
        check(
            &format!("{SOUND}{}", " ".repeat(300)),
            "it has more than 300 bytes",
        );
        let called =
            r#"{"messages": [{"role": "assistant", "content": null, "tool_calls": [{}]}]}"#;
        assert!(checked(called).0.is_ok());
        for empty in ["", "\n \n"] {
            assert_eq!(checked(empty).0.unwrap_err().line, None);
        }
    }
}
