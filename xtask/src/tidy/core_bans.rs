//! The pure rooms' own clippy.toml replaces the root's, so each must hold the bans that keep it pure.

use super::Finding;
use super::repo::Repo;

const PATHS: &[&str] = &["crates/core/clippy.toml", "crates/ledger/clippy.toml"];
const METHODS: &[&str] = &[
    "std::time::Instant::now",
    "std::time::SystemTime::now",
    "std::thread::spawn",
    "std::thread::sleep",
    "std::env::var",
    "std::fs::read",
    "std::fs::write",
    "std::fs::read_to_string",
];
const TYPES: &[&str] = &[
    "std::collections::HashMap",
    "std::collections::HashSet",
    "std::fs::File",
    "std::net::TcpStream",
    "std::sync::Mutex",
];
/// Root settings that the file must repeat.
const REPEATED: &[&str] = &["too-many-lines-threshold", "too-many-arguments-threshold"];

pub fn check(repo: &Repo) -> Vec<Finding> {
    PATHS
        .iter()
        .flat_map(|path| check_file(repo, path))
        .collect()
}

fn check_file(repo: &Repo, path: &str) -> Vec<Finding> {
    let Some(text) = repo.text(path) else {
        return vec![Finding::new(
            path,
            0,
            "missing: without it the room may read clocks and hash order",
        )];
    };
    let parse = |text: &str| text.parse::<toml::Table>();
    let (own, root) = match (
        parse(text),
        parse(repo.text("clippy.toml").unwrap_or_default()),
    ) {
        (Ok(own), Ok(root)) => (own, root),
        (Err(error), _) | (_, Err(error)) => {
            return vec![Finding::new(path, 0, format!("not TOML: {error}"))];
        }
    };
    let mut findings = Vec::new();
    for (key, wanted) in [("disallowed-methods", METHODS), ("disallowed-types", TYPES)] {
        for item in wanted.iter().filter(|item| !bans(&own, key, item)) {
            findings.push(Finding::new(
                path,
                0,
                format!("`{key}` lacks {item}: put it back"),
            ));
        }
    }
    for key in REPEATED
        .iter()
        .filter(|key| own.get(**key) != root.get(**key))
    {
        findings.push(Finding::new(
            path,
            0,
            format!("`{key}` differs from the root's clippy.toml: repeat it"),
        ));
    }
    findings
}

fn bans(file: &toml::Table, key: &str, path: &str) -> bool {
    let list = file.get(key).and_then(toml::Value::as_array);
    list.into_iter()
        .flatten()
        .any(|item| item.get("path").and_then(toml::Value::as_str) == Some(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_bans_are_found() {
        let ban = |path: &&str| format!("{{ path = \"{path}\", reason = \"r\" }},");
        let list = |paths: &[&str]| paths.iter().map(ban).collect::<String>();
        let head = "too-many-lines-threshold = 70\ntoo-many-arguments-threshold = 5\n";
        let whole = format!(
            "{head}disallowed-methods = [{}]\ndisallowed-types = [{}]\n",
            list(METHODS),
            list(TYPES)
        );
        let part = format!(
            "disallowed-methods = [{}]\ndisallowed-types = [{}]\n",
            list(&METHODS[1..]),
            list(TYPES)
        );
        for (own, expected) in [(Some(whole), 0), (Some(part), 3), (None, 1)] {
            for path in PATHS {
                let mut files = vec![("clippy.toml", head)];
                files.extend(own.as_deref().map(|text| (*path, text)));
                let found = check(&Repo::of(&files));
                let here = found.iter().filter(|finding| finding.path == *path);
                assert_eq!(here.count(), expected, "{path}");
            }
        }
    }
}
