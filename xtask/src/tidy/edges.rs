//! Which room may know which: the arrows of docs/architecture.md.

use super::Finding;
use super::repo::{Repo, numbered};

/// Our own rooms that a room may name in `[dependencies]`. A new room gets a line.
const ALLOWED: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("ledger", &["types"]),
    ("core", &["types", "ledger"]),
    ("fleet", &["types"]),
    ("store", &["types", "ledger"]),
    ("executor", &["types"]),
    ("wire", &["types"]),
    ("audit", &["types"]),
    ("pii", &["types"]),
    ("provision", &["types", "fleet"]),
    (
        "gateway",
        &[
            "types", "ledger", "core", "fleet", "store", "wire", "audit", "pii",
        ],
    ),
    (
        "control",
        &[
            "types",
            "ledger",
            "core",
            "fleet",
            "store",
            "executor",
            "provision",
            "gateway",
        ],
    ),
    (
        "api",
        &[
            "types", "ledger", "fleet", "store", "audit", "gateway", "control",
        ],
    ),
    // It measures the binary from outside, as any client would.
    ("bench", &[]),
    (
        "cli",
        &[
            "types",
            "ledger",
            "core",
            "fleet",
            "store",
            "executor",
            "provision",
            "wire",
            "pii",
            "gateway",
            "control",
            "api",
            "audit",
            "catalog",
            "twin",
            "planner",
            "rehearsal",
        ],
    ),
    ("catalog", &["types"]),
    ("twin", &["types", "ledger", "core", "fleet", "catalog"]),
    ("planner", &["types", "fleet", "catalog", "twin"]),
    ("rehearsal", &["types", "twin"]),
    ("testkit", &["types"]),
    ("xtask", &["types"]),
];

/// Rooms that decide and never act.
const PURE: &[&str] = &["core", "ledger"];

/// What no pure room may name: no runtime, no network, no clock, no randomness, no wire format.
const NOT_IN_PURE: &[&str] = &[
    "tokio",
    "hyper",
    "hyper-util",
    "axum",
    "http",
    "rand",
    "getrandom",
    "uuid",
    "serde_json",
    "jiff",
    "rusqlite",
    "tracing",
    "async-trait",
];

pub fn check(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    for folder in repo.crates() {
        let path = format!("{folder}/Cargo.toml");
        let text = repo.text(&path).unwrap_or_default();
        let room = folder.rsplit('/').next().unwrap_or_default();
        let manifest: toml::Table = match text.parse() {
            Ok(manifest) => manifest,
            Err(error) => {
                findings.push(Finding::new(&path, 0, format!("not TOML: {error}")));
                continue;
            }
        };
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == room) else {
            let text =
                "this room is unknown: say in xtask/src/tidy/edges.rs which rooms it may name";
            findings.push(Finding::new(&path, 0, text));
            continue;
        };
        for dependency in
            names(&manifest, "dependencies").chain(names(&manifest, "build-dependencies"))
        {
            if let Some(text) = refusal(room, allowed, dependency) {
                findings.push(Finding::new(
                    &path,
                    line_of(text_lines(repo, &path), dependency),
                    text,
                ));
            }
        }
    }
    findings
}

fn text_lines<'a>(repo: &'a Repo, path: &str) -> &'a str {
    repo.text(path).unwrap_or_default()
}

fn names<'a>(manifest: &'a toml::Table, section: &str) -> impl Iterator<Item = &'a str> {
    let table = manifest.get(section).and_then(toml::Value::as_table);
    table
        .into_iter()
        .flat_map(|table| table.keys().map(String::as_str))
}

fn refusal(room: &str, allowed: &[&str], dependency: &str) -> Option<String> {
    if PURE.contains(&room) && NOT_IN_PURE.contains(&dependency) {
        return Some(format!(
            "{room} may not depend on {dependency}: it decides and never acts; let a driver do it"
        ));
    }
    let ours = dependency.strip_prefix("madang-")?;
    if ours == "testkit" {
        return Some("madang-testkit must not ship: name it in [dev-dependencies]".to_owned());
    }
    if allowed.contains(&ours) {
        return None;
    }
    Some(format!(
        "{room} may not know {ours} (it may know: {}): move the code down, or pass the thing in",
        if allowed.is_empty() {
            "none".to_owned()
        } else {
            allowed.join(", ")
        }
    ))
}

fn line_of(text: &str, name: &str) -> usize {
    let starts = |line: &str| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with([' ', '.', '=']))
    };
    numbered(text)
        .find(|(_, line)| starts(line))
        .map_or(0, |(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbidden_edges_are_found() {
        let repo = Repo::of(&[
            (
                "crates/core/Cargo.toml",
                "[dependencies]\nmadang-types.workspace = true\ntokio.workspace = true\n[dev-dependencies]\nserde_json.workspace = true\n",
            ),
            (
                "crates/store/Cargo.toml",
                "[dependencies]\nmadang-fleet = { workspace = true }\n",
            ),
            (
                "crates/api/Cargo.toml",
                "[dependencies]\nmadang-testkit.workspace = true\nmadang-store.workspace = true\n",
            ),
            ("crates/cellar/Cargo.toml", "[dependencies]\n"),
            (
                "crates/ledger/Cargo.toml",
                "[dependencies]\nrusqlite.workspace = true\n",
            ),
            ("Cargo.toml", "[workspace]\n"),
        ]);
        let found: Vec<String> = check(&repo).iter().map(ToString::to_string).collect();
        let starts = [
            "crates/api/Cargo.toml:2: madang-testkit must not ship",
            "crates/cellar/Cargo.toml: this room is unknown",
            "crates/core/Cargo.toml:3: core may not depend on tokio",
            "crates/ledger/Cargo.toml:2: ledger may not depend on rusqlite",
            "crates/store/Cargo.toml:2: store may not know fleet",
        ];
        assert_eq!(found.len(), starts.len(), "{found:?}");
        for (found, start) in found.iter().zip(starts) {
            assert!(found.starts_with(start), "{found}");
        }
    }
}
