//! A dependency is named once, in the root manifest, with its reason; every room takes it from there.

use super::Finding;
use super::repo::{Repo, numbered};
use std::collections::BTreeSet;

const ROOT: &str = "Cargo.toml";
/// A shorter reason is none, characters.
const REASON_CHARS_MIN: usize = 6;
const SECTIONS: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];

pub fn check(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    let used = used(repo, &mut findings);
    let root = repo.text(ROOT).unwrap_or_default();
    let lines = numbered(root)
        .skip_while(|(_, line)| *line != "[workspace.dependencies]")
        .skip(1);
    for (number, line) in lines.take_while(|(_, line)| !line.starts_with('[')) {
        let Some((name, rest)) = line.split_once('=').filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let name = name.trim();
        if !used.contains(name) {
            findings.push(Finding::new(
                ROOT,
                number,
                format!("no room uses {name}: delete the line"),
            ));
        }
        let ours = rest.contains("path =");
        let reason = rest
            .rsplit_once(" # ")
            .map_or("", |(_, reason)| reason.trim());
        if !ours && reason.chars().count() < REASON_CHARS_MIN {
            findings.push(Finding::new(
                ROOT,
                number,
                format!("{name} has no reason: add `# why we need it`"),
            ));
        }
    }
    findings
}

/// Names that rooms take from the workspace; those that they take otherwise are findings.
fn used(repo: &Repo, findings: &mut Vec<Finding>) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for folder in repo.crates() {
        let path = format!("{folder}/Cargo.toml");
        // what is not TOML is the edges check's finding
        let Ok(manifest) = repo.text(&path).unwrap_or_default().parse::<toml::Table>() else {
            continue;
        };
        let sections = SECTIONS
            .iter()
            .filter_map(|name| manifest.get(*name)?.as_table());
        for (name, value) in sections.flatten() {
            used.insert(name.clone());
            if value.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
                let text = format!(
                    "{name} has its own version: write `{name}.workspace = true` and name it in {ROOT}"
                );
                findings.push(Finding::new(&path, 0, text));
            }
        }
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_without_reason_use_or_workspace_are_found() {
        let repo = Repo::of(&[
            (
                "Cargo.toml",
                "[workspace]\n[workspace.dependencies]\n# ours\nours = { path = \"x\" }\ngood = \"1\" # does the thing\nbare = \"1\"\nidle = \"1\" # does nothing\n\n[profile.dev]\ndebug = true\n",
            ),
            (
                "crates/a/Cargo.toml",
                "[dependencies]\nours.workspace = true\ngood.workspace = true\nown = \"2\"\n[dev-dependencies]\nbare = { workspace = true }\n",
            ),
        ]);
        let found: Vec<String> = check(&repo).iter().map(ToString::to_string).collect();
        let starts = [
            "crates/a/Cargo.toml: own has its own version",
            "Cargo.toml:6: bare has no reason",
            "Cargo.toml:7: no room uses idle",
        ];
        assert_eq!(found.len(), starts.len(), "{found:?}");
        for (found, start) in found.iter().zip(starts) {
            assert!(found.starts_with(start), "{found}");
        }
    }
}
