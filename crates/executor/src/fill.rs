//! Filling the placeholders of a launch command. Pure: what an engine is started with is decided here.

use crate::address::EngineAddress;

/// The names that may stand between braces in a launch command.
pub const PLACEHOLDERS: [&str; 6] = [
    "port",
    "socket",
    "model_path",
    "served_name",
    "slots",
    "context_tokens",
];

/// What the placeholders stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Values {
    /// Fills `{port}` or `{socket}`; the other one is then an error.
    pub address: EngineAddress,
    /// Fills `{model_path}`; `None` where Madang holds no weights for the model.
    pub model_path: Option<String>,
    /// Fills `{served_name}`.
    pub served_name: String,
    /// Fills `{slots}`: sequences at once.
    pub slots: u32,
    /// Fills `{context_tokens}`: tokens of one sequence.
    pub context_tokens: u64,
}

/// Why a command cannot be filled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FillError {
    /// A name in braces that is none of [`PLACEHOLDERS`].
    #[error(
        "argument '{argument}' has the unknown placeholder '{{{name}}}'; known are {{port}}, {{socket}}, \
         {{model_path}}, {{served_name}}, {{slots}} and {{context_tokens}} (write '{{{{{name}}}}}' for the word in braces)"
    )]
    Unknown {
        /// The name between the braces.
        name: String,
        /// The whole argument.
        argument: String,
    },
    /// A placeholder that has no value for this replica.
    #[error("argument '{argument}' asks for '{{{name}}}', but {why}")]
    Absent {
        /// The name between the braces.
        name: &'static str,
        /// The whole argument.
        argument: String,
        /// Why there is no value.
        why: &'static str,
    },
}

/// Fills the placeholders of every argument. `{{word}}` stands for `{word}`; braces around anything but
/// a lower-case word are left as they are, so that JSON in an argument needs no care.
///
/// # Errors
/// Names the argument and the placeholder that cannot be filled.
pub fn fill(args: &[String], values: &Values) -> Result<Vec<String>, FillError> {
    args.iter().map(|arg| fill_one(arg, values)).collect()
}

fn fill_one(argument: &str, values: &Values) -> Result<String, FillError> {
    let mut filled = String::with_capacity(argument.len());
    let mut rest = argument;
    while let Some(at) = rest.find('{') {
        filled.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some((word, after)) = doubled(rest) {
            filled.push_str(word);
            rest = after;
        } else if let Some((name, after)) = placeholder(rest) {
            filled.push_str(&value(name, argument, values)?);
            rest = after;
        } else {
            filled.push_str(&rest[..1]);
            rest = &rest[1..];
        }
    }
    filled.push_str(rest);
    Ok(filled)
}

/// The word between braces at the start of `text`, and what follows it.
fn placeholder(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.strip_prefix('{')?.split_once('}')?;
    let word = |b: u8| b.is_ascii_lowercase() || b == b'_';
    (!name.is_empty() && name.bytes().all(word)).then_some((name, after))
}

/// `{word}` where `text` begins with `{{word}}`, and what follows it.
fn doubled(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('{')?;
    let (name, after) = placeholder(inner)?;
    let after = after.strip_prefix('}')?;
    Some((&inner[..name.len() + 2], after))
}

fn value(name: &str, argument: &str, values: &Values) -> Result<String, FillError> {
    let absent = |name, why| {
        Err(FillError::Absent {
            name,
            argument: argument.to_owned(),
            why,
        })
    };
    match (name, &values.address) {
        ("port", EngineAddress::Port(port)) => Ok(port.to_string()),
        ("port", EngineAddress::Socket(_)) => absent("port", "the engine listens on a socket"),
        ("socket", EngineAddress::Socket(path)) => Ok(path.display().to_string()),
        ("socket", EngineAddress::Port(_)) => absent("socket", "the engine listens on a port"),
        ("model_path", _) => match &values.model_path {
            Some(path) => Ok(path.clone()),
            None => absent("model_path", "the model has no weights file"),
        },
        ("served_name", _) => Ok(values.served_name.clone()),
        ("slots", _) => Ok(values.slots.to_string()),
        ("context_tokens", _) => Ok(values.context_tokens.to_string()),
        _ => Err(FillError::Unknown {
            name: name.to_owned(),
            argument: argument.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_port() -> Values {
        Values {
            address: EngineAddress::Port(8123),
            model_path: Some("/data/한국어 모델.gguf".to_owned()),
            served_name: "qwen:0.5b".to_owned(),
            slots: 4,
            context_tokens: 8192,
        }
    }

    fn check(argument: &str, expected: Result<&str, &str>) {
        let filled = fill(&[argument.to_owned()], &on_port()).map(|args| args.concat());
        match (filled, expected) {
            (Ok(filled), Ok(expected)) => assert_eq!(filled, expected),
            (Err(error), Err(part)) => {
                let text = error.to_string();
                assert!(text.contains(part), "{text:?} should contain {part:?}");
            }
            (filled, expected) => panic!("{argument}: {filled:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn placeholders_are_filled() {
        check("{port}", Ok("8123"));
        check("http://127.0.0.1:{port}/", Ok("http://127.0.0.1:8123/"));
        check("{model_path}", Ok("/data/한국어 모델.gguf"));
        check("{served_name}", Ok("qwen:0.5b"));
        check("{slots}x{context_tokens}", Ok("4x8192"));
        check("가{slots}나", Ok("가4나"));
        check("", Ok(""));
    }

    #[test]
    fn other_braces_stay_and_doubled_ones_are_braces() {
        check(r#"{"a":{"b":{}}}"#, Ok(r#"{"a":{"b":{}}}"#));
        check(r#"{"a":{"b":{slots}}}"#, Ok(r#"{"a":{"b":4}}"#));
        check(r#"{"a": 1}"#, Ok(r#"{"a": 1}"#));
        check("{{port}}", Ok("{port}"));
        check("{{nobody}}", Ok("{nobody}"));
        check("{{{port}}}", Ok("{{port}}"));
        check("{", Ok("{"));
        check("}", Ok("}"));
        check("{}", Ok("{}"));
        check("{Port}", Ok("{Port}"));
        check("{port", Ok("{port"));
    }

    #[test]
    fn what_cannot_be_filled_is_named() {
        check("--p={prot}", Err("unknown placeholder '{prot}'"));
        check("{socket}", Err("listens on a port"));
        let socket = Values {
            address: EngineAddress::Socket("/run/a.sock".into()),
            model_path: None,
            ..on_port()
        };
        let one = |arg: &str| fill(&[arg.to_owned()], &socket);
        assert_eq!(one("{socket}"), Ok(vec!["/run/a.sock".to_owned()]));
        assert!(one("{port}").is_err());
        assert!(one("{model_path}").is_err());
    }
}
