//! A job as people write it: TOML, or a script whose `#MADANG` lines are TOML.

use super::mark;
use super::units::{Bytes, Milli, Part, Size, Span};
use anyhow::{Context, anyhow, bail};
use madang_types::{
    After, DataClass, DataFlags, JobArray, JobCheckpoint, JobFlex, JobResources, JobSpec, JobStage,
    Priority, StopSignal,
};
use serde::{Deserialize, de};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// The greatest file: a script and what stands around it.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// How a line of a script begins that is read.
const MARK: &str = "#MADANG";
/// How long a job may run that does not say.
const TIME_LIMIT_DEFAULT: Span = Span(3_600_000);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JobFile {
    name: Option<String>,
    #[serde(default)]
    command: Vec<String>,
    script: Option<String>,
    image: Option<String>,
    time_limit: Option<Span>,
    #[serde(default)]
    data_class: DataClass,
    #[serde(default)]
    data_flags: DataFlags,
    #[serde(default)]
    priority: Priority,
    qos: Option<String>,
    #[serde(default)]
    retries: u32,
    #[serde(default)]
    resources: Resources,
    array: Option<Array>,
    #[serde(default)]
    after: Vec<After>,
    checkpoint: Option<Checkpoint>,
    #[serde(default)]
    flex: Flex,
    #[serde(default)]
    input: Vec<Staged>,
    #[serde(default)]
    output: Vec<Staged>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    secrets: Secrets,
}

/// Names of secrets, which their variables have too, or each variable with the name of its secret.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "NamesOrTable")]
struct Secrets(BTreeMap<String, String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum NamesOrTable {
    Names(Vec<String>),
    Table(BTreeMap<String, String>),
}

impl From<NamesOrTable> for Secrets {
    fn from(secrets: NamesOrTable) -> Self {
        match secrets {
            NamesOrTable::Names(names) => {
                Self(names.into_iter().map(|name| (name.clone(), name)).collect())
            }
            NamesOrTable::Table(table) => Self(table),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Resources {
    accelerator: OneOrMany,
    count: u32,
    per_node: Option<u32>,
    share: Milli,
    accelerator_memory: Option<Size>,
    cpus: Milli,
    memory: Size,
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            accelerator: OneOrMany::default(),
            count: 1,
            per_node: None,
            share: Milli(1_000),
            accelerator_memory: None,
            cpus: Milli(0),
            memory: Size(0),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(from = "Words")]
struct OneOrMany(Vec<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    One(String),
    Many(Vec<String>),
}

impl From<Words> for OneOrMany {
    fn from(words: Words) -> Self {
        match words {
            Words::One(word) => Self(vec![word]),
            Words::Many(words) => Self(words),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Array {
    tasks: u32,
    at_once: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Checkpoint {
    #[serde(default)]
    signal: StopSignal,
    grace: Span,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Staged {
    from: String,
    to: String,
    sha256: Option<String>,
    size: Option<Bytes>,
}

impl From<Staged> for JobStage {
    fn from(staged: Staged) -> Self {
        let Staged {
            from,
            to,
            sha256,
            size,
        } = staged;
        Self {
            from,
            to,
            sha256,
            bytes: size.map(|Bytes(bytes)| bytes),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Flex {
    slow: Option<Part>,
    shift: Option<Span>,
    pause: Option<Span>,
}

impl JobFile {
    fn spec(self, file_name: &str) -> JobSpec {
        let Resources {
            accelerator: OneOrMany(accelerator),
            count,
            per_node,
            share: Milli(share_milli),
            accelerator_memory,
            cpus: Milli(cpu_milli),
            memory: Size(memory_mib),
        } = self.resources;
        let ms = |span: Option<Span>| span.map_or(0, |Span(ms)| ms);
        JobSpec {
            name: self.name.unwrap_or_else(|| file_name.to_owned()),
            command: self.command,
            script: self.script,
            image: self.image,
            resources: JobResources {
                accelerator,
                count,
                per_node,
                share_milli,
                accelerator_memory_mib_min: accelerator_memory.map(|Size(mib)| mib),
                cpu_milli: u64::from(cpu_milli),
                memory_mib,
            },
            time_limit_ms: self.time_limit.unwrap_or(TIME_LIMIT_DEFAULT).0,
            data_class: self.data_class,
            data_flags: self.data_flags,
            inputs: self.input.into_iter().map(Into::into).collect(),
            outputs: self.output.into_iter().map(Into::into).collect(),
            array: self.array.map(|array| JobArray {
                tasks: array.tasks,
                at_once_max: array.at_once,
            }),
            after: self.after,
            checkpoint: self.checkpoint.map(|checkpoint| JobCheckpoint {
                signal: checkpoint.signal,
                grace_ms: checkpoint.grace.0,
            }),
            priority: self.priority,
            qos: self.qos,
            flex: JobFlex {
                slow_milli: self.flex.slow.map_or(0, |Part(milli)| milli),
                shift_ms: ms(self.flex.shift),
                pause_ms: ms(self.flex.pause),
            },
            retries_max: self.retries,
            env: self.env,
            secrets: self.secrets.0,
        }
    }
}

/// Reads a job from a file, or from standard input where it is `-`.
///
/// # Errors
/// It cannot be read, or says something impossible: with its line and a mark below it.
pub fn read(path: &Path) -> anyhow::Result<JobSpec> {
    let shown = path.display();
    let mut bytes = Vec::new();
    let opened: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        let opened = std::fs::File::open(path);
        Box::new(opened.with_context(|| format!("cannot read {shown}"))?)
    };
    let mut opened = opened.take(FILE_BYTES_MAX + 1);
    let read = opened.read_to_end(&mut bytes);
    let length = read.with_context(|| format!("cannot read {shown}"))?;
    if u64::try_from(length).is_ok_and(|length| length > FILE_BYTES_MAX) {
        bail!("{shown} has more than {FILE_BYTES_MAX} bytes: a job brings data as inputs");
    }
    let text = String::from_utf8(bytes).with_context(|| format!("{shown} is not UTF-8"))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = if name == "-" { "stdin".into() } else { name };
    parse(&text, &name).map_err(|error| anyhow!("{shown} is no job: {error}"))
}

fn parse(text: &str, name: &str) -> Result<JobSpec, String> {
    let is_script = text.starts_with("#!") || text.lines().any(|line| said(line).is_some());
    let said = if is_script {
        said_by(text)
    } else {
        text.to_owned()
    };
    let mut file: JobFile = toml(&said)?;
    if is_script {
        if file.script.is_some() || !file.command.is_empty() {
            return Err("a script with #MADANG lines is what is run: it has no command".to_owned());
        }
        file.script = Some(text.to_owned());
    }
    let spec = file.spec(name);
    spec.check().map_err(|error| mark::shown(&said, &error))?;
    Ok(spec)
}

fn toml<T: de::DeserializeOwned>(text: &str) -> Result<T, String> {
    ::toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())
}

/// What a line of a script says to Madang.
fn said(line: &str) -> Option<&str> {
    let said = line.strip_prefix(MARK)?;
    said.starts_with(' ').then_some(said)
}

/// What a script says to Madang, each word in the line and column where it stands.
fn said_by(text: &str) -> String {
    let line = |line: &str| match said(line) {
        Some(said) => format!("{}{said}\n", " ".repeat(MARK.len())),
        None => "\n".to_owned(),
    };
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_a_job_needs() {
        let text = r#"
            name = "train"
            command = ["python", "train.py"]
            time_limit = "1.5h"
            retries = 2
            [resources]
            accelerator = "h200"
            count = 16
            per_node = 8
            accelerator_memory = "80GB"
            cpus = 0.5
            memory = "512MiB"
            [array]
            tasks = 4
            [checkpoint]
            signal = "USR1"
            grace = "2m"
            [[input]]
            from = "/data/a"
            to = "a"
            size = "1.2TB"
            [[after]]
            job = "17"
        "#;
        let spec = parse(text, "x").unwrap();
        assert_eq!(spec.name, "train");
        assert_eq!(spec.time_limit_ms, 5_400_000);
        assert_eq!(spec.resources.accelerator, ["h200"]);
        assert_eq!(spec.resources.accelerator_memory_mib_min, Some(81_920));
        assert_eq!(spec.resources.cpu_milli, 500);
        assert_eq!(spec.resources.memory_mib, 512);
        assert_eq!(spec.tasks(), 4);
        assert_eq!(spec.checkpoint.unwrap().grace_ms, 120_000);
        assert_eq!(spec.after[0].job.0, 17);
        assert_eq!(spec.inputs[0].bytes, Some(1_200_000_000_000));
    }

    #[test]
    fn a_script_says_it_in_its_own_lines() {
        let text = "#!/bin/bash\n#MADANG name = \"hello\"\n#MADANG resources.count = 2\n# else\necho $MADANG_TASK\n";
        let spec = parse(text, "x").unwrap();
        assert_eq!((&*spec.name, spec.resources.count), ("hello", 2));
        assert_eq!(spec.script.as_deref(), Some(text));
        assert_eq!(parse("#!/bin/sh\necho hi\n", "hi").unwrap().name, "hi");
    }

    #[test]
    fn secrets_are_named_or_given_other_variables() {
        let secrets = |text: &str| {
            parse(&format!("command = [\"x\"]\n{text}"), "x")
                .unwrap()
                .secrets
        };
        let own = [
            ("A".to_owned(), "A".to_owned()),
            ("B".to_owned(), "B".to_owned()),
        ];
        assert_eq!(secrets("secrets = [\"A\", \"B\"]"), own.into());
        let other = [("TOKEN".to_owned(), "HF_TOKEN".to_owned())];
        assert_eq!(secrets("secrets = { TOKEN = \"HF_TOKEN\" }"), other.into());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_a_mark() {
        let check = |text: &str, expected: &[&str]| {
            let error = parse(text, "x").unwrap_err();
            for part in expected {
                assert!(error.contains(part), "{part:?} is not in:\n{error}");
            }
        };
        check("name = \"a\"\ncommand = [\"x\"\n", &["line", "|"]);
        check(
            "command = [\"x\"]\ntime_limit = \"4 weeks\"\n",
            &["line 2", "^", "90s, 30m"],
        );
        check(
            "command = [\"x\"]\nresource.count = 1\n",
            &["line 2", "^", "resources"],
        );
        check(
            "#!/bin/sh\n\n#MADANG  retries = -1\n",
            &["line 3, column 20", "^"],
        );
        check(
            "command = [\"x\"]\n[resources]\nmemory = \"80 XB\"\n",
            &["line 3", "80GB"],
        );
        check(
            "command = [\"x\"]\ntime_limit = \"1m\"\ncheckpoint = { grace = \"2m\" }\n",
            &[
                "line 3, column 24",
                "3 | checkpoint = { grace = \"2m\" }\n  |                        ^^^^\n",
                "not longer than the time limit",
            ],
        );
        for slow in ["1.5", "-0.1", "nan"] {
            let text = format!("command = [\"x\"]\nflex = {{ slow = {slow} }}\n");
            check(&text, &["line 2", "^", "a part from 0 to 1 is wanted"]);
        }
        let script = "#!/bin/sh\n#MADANG checkpoint.grace = \"61m\"\n";
        check(script, &["line 2, column 28", "^^^^^"]);
        check("name = \"a\"\n", &["nothing to run"]);
        check(
            "command = [\"x\"]\ntime_limit = \"91d\"\n",
            &[
                "line 2, column 14",
                "^^^^^",
                "time_limit: it is 1,000 ms to",
            ],
        );
        check(
            "command = [\"x\"]\n[[output]]\nfrom = \"/a\"\nto = \"b\"\n",
            &["line 2, column 1", "output[0]: '/a' is no path inside"],
        );
        let script = "#!/bin/sh\n#MADANG array = { tasks = 0 }\n";
        check(
            script,
            &["line 2, column 27", "array.tasks: an array has 1 to"],
        );
    }
}
