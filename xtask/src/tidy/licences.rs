//! What we build on may be used so, and comes from where we think: the policy of deny.toml, without its tool.
//!
//! It reads the parts `licenses.allow`, `licenses.exceptions`, `bans.deny` and `sources.allow-registry`, and answers as
//! `cargo deny check bans licenses sources` would.

use super::Finding;
use super::repo::Repo;
use serde_json::Value;

const POLICY: &str = "deny.toml";
const LOCK: &str = "Cargo.lock";

/// What deny.toml allows.
struct Policy {
    allow: Vec<String>,
    /// Licences allowed to one package: name, licence.
    exceptions: Vec<(String, String)>,
    /// Banned packages, and those in which one may be all the same.
    banned: Vec<(String, Vec<String>)>,
    registries: Vec<String>,
}

pub fn check(repo: &Repo) -> Vec<Finding> {
    let Some(metadata) = &repo.metadata else {
        return Vec::new();
    };
    let Some(text) = repo.text(POLICY) else {
        return vec![Finding::new(
            POLICY,
            0,
            "missing: it says which licences, packages and sources are allowed",
        )];
    };
    match text.parse::<toml::Table>() {
        Ok(table) => packages(metadata, &Policy::of(&table)),
        Err(error) => vec![Finding::new(POLICY, 0, format!("not TOML: {error}"))],
    }
}

impl Policy {
    fn of(table: &toml::Table) -> Self {
        let list = |section: &str, key: &str| -> Vec<toml::Value> {
            let list = table
                .get(section)
                .and_then(|section| section.get(key)?.as_array());
            list.cloned().unwrap_or_default()
        };
        let text = |value: &toml::Value| value.as_str().unwrap_or_default().to_owned();
        // an entry is a text, or a table with `crate` (formerly `name`)
        let name = |value: &toml::Value| {
            let named = value.get("crate").or_else(|| value.get("name"));
            text(named.unwrap_or(value))
        };
        let wrappers = |value: &toml::Value| -> Vec<String> {
            let wrappers = value.get("wrappers").and_then(toml::Value::as_array);
            wrappers.into_iter().flatten().map(text).collect()
        };
        let exceptions = list("licenses", "exceptions");
        let licences =
            |value: &toml::Value| value.get("allow").and_then(toml::Value::as_array).cloned();
        Self {
            allow: list("licenses", "allow").iter().map(text).collect(),
            exceptions: exceptions
                .iter()
                .flat_map(|e| {
                    licences(e)
                        .unwrap_or_default()
                        .into_iter()
                        .map(|l| (name(e), text(&l)))
                        .collect::<Vec<_>>()
                })
                .collect(),
            banned: list("bans", "deny")
                .iter()
                .map(|value| (name(value), wrappers(value)))
                .collect(),
            registries: list("sources", "allow-registry").iter().map(text).collect(),
        }
    }

    fn allows(&self, package: &str, licence: &str) -> bool {
        self.allow.iter().any(|allowed| allowed == licence)
            || self
                .exceptions
                .iter()
                .any(|(name, allowed)| name == package && allowed == licence)
    }
}

fn packages(metadata: &Value, policy: &Policy) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let version = package["version"].as_str().unwrap_or_default();
        let mut find = |text: String| {
            findings.push(Finding::new(LOCK, 0, format!("{name} {version}: {text}")))
        };
        let banned = policy.banned.iter().find(|(banned, _)| banned == name);
        if banned.is_some_and(|(_, wrappers)| !is_inside(metadata, package, wrappers)) {
            find("banned in deny.toml: see there what to use instead".to_owned());
        }
        // our own rooms have no source
        if let Some(source) = package["source"].as_str() {
            let place = source
                .strip_prefix("registry+")
                .or_else(|| source.strip_prefix("sparse+"));
            if !place.is_some_and(|place| policy.registries.iter().any(|allowed| allowed == place))
            {
                find(format!(
                    "comes from {source}, which deny.toml does not allow"
                ));
            }
        }
        match package["license"].as_str() {
            None => find(
                "names no licence: look, and add an exception to deny.toml or leave it".to_owned(),
            ),
            Some(licence) if !Expression::of(licence).holds(&|one| policy.allows(name, one)) => {
                find(format!(
                    "its licence `{licence}` is not allowed by deny.toml"
                ));
            }
            Some(_) => {}
        }
    }
    findings
}

/// Whether none but these packages depend on it, and one does.
fn is_inside(metadata: &Value, package: &Value, wrappers: &[String]) -> bool {
    let rows = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let names = |id: &Value| {
        let found = rows(&metadata["packages"])
            .into_iter()
            .find(|other| other["id"] == *id);
        found.and_then(|found| Some(found["name"].as_str()?.to_owned()))
    };
    let nodes = rows(&metadata["resolve"]["nodes"]);
    let depends = |node: &&Value| {
        rows(&node["deps"])
            .iter()
            .any(|dep| dep["pkg"] == package["id"])
    };
    let mut users = nodes
        .iter()
        .filter(depends)
        .map(|node| names(&node["id"]))
        .peekable();
    users.peek().is_some() && users.all(|user| user.is_some_and(|user| wrappers.contains(&user)))
}

/// Reads an SPDX expression: OR binds weaker than AND; the old `MIT/Apache-2.0` means OR.
struct Expression {
    tokens: Vec<String>,
}

impl Expression {
    fn of(text: &str) -> Self {
        let spaced = text
            .replace('(', " ( ")
            .replace(')', " ) ")
            .replace('/', " OR ");
        let mut tokens: Vec<String> = Vec::new();
        let mut joined = false;
        for word in spaced.split_whitespace() {
            match tokens.last_mut() {
                // `Apache-2.0 WITH LLVM-exception` is one licence
                Some(last) if word == "WITH" || joined => *last = format!("{last} {word}"),
                _ => tokens.push(word.to_owned()),
            }
            joined = word == "WITH";
        }
        Self { tokens }
    }

    fn holds(&self, allowed: &dyn Fn(&str) -> bool) -> bool {
        let mut at = 0;
        let holds = self.any(&mut at, allowed);
        holds && at == self.tokens.len()
    }

    fn any(&self, at: &mut usize, allowed: &dyn Fn(&str) -> bool) -> bool {
        let mut holds = self.all(at, allowed);
        while self.skip(at, "OR") {
            holds |= self.all(at, allowed);
        }
        holds
    }

    fn all(&self, at: &mut usize, allowed: &dyn Fn(&str) -> bool) -> bool {
        let mut holds = self.one(at, allowed);
        while self.skip(at, "AND") {
            holds &= self.one(at, allowed);
        }
        holds
    }

    fn one(&self, at: &mut usize, allowed: &dyn Fn(&str) -> bool) -> bool {
        if self.skip(at, "(") {
            let holds = self.any(at, allowed);
            return self.skip(at, ")") && holds;
        }
        let licence = self.tokens.get(*at);
        *at += 1;
        licence.is_some_and(|licence| allowed(licence))
    }

    fn skip(&self, at: &mut usize, word: &str) -> bool {
        let found = self.tokens.get(*at).is_some_and(|token| token == word);
        *at += usize::from(found);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn expressions_are_read() {
        let allowed = |one: &str| {
            matches!(
                one,
                "MIT" | "Apache-2.0 WITH LLVM-exception" | "BSD-3-Clause"
            )
        };
        for (text, expected) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("MIT OR GPL-3.0", true),
            ("MIT/GPL-3.0", true),
            ("MIT AND GPL-3.0", false),
            ("(MIT OR GPL-3.0) AND BSD-3-Clause", true),
            ("(MIT AND GPL-3.0) OR GPL-2.0", false),
            ("GPL-3.0 OR MIT AND BSD-3-Clause", true),
            ("Apache-2.0 WITH LLVM-exception OR GPL-2.0", true),
            ("Apache-2.0", false),
            ("(MIT", false),
            ("", false),
        ] {
            assert_eq!(Expression::of(text).holds(&allowed), expected, "{text}");
        }
    }

    #[test]
    fn packages_against_the_policy() {
        let policy = r#"
            [licenses]
            allow = ["MIT"]
            exceptions = [{ crate = "roots", allow = ["CDLA-Permissive-2.0"] }]
            [bans]
            deny = [{ crate = "openssl-sys", reason = "r" }, { crate = "held", wrappers = ["roots"] }, { crate = "loose", wrappers = ["roots"] }]
            [sources]
            allow-registry = ["https://example.org/index"]
        "#;
        let registry = "registry+https://example.org/index";
        let mut repo = Repo::of(&[("deny.toml", policy)]);
        repo.metadata = Some(json!({"packages": [
            {"name": "ours", "version": "1", "license": "MIT", "source": null},
            {"name": "roots", "id": "r", "version": "1", "license": "CDLA-Permissive-2.0", "source": registry},
            {"name": "other", "id": "o", "version": "1", "license": "CDLA-Permissive-2.0", "source": registry},
            {"name": "openssl-sys", "version": "1", "license": "MIT", "source": registry},
            {"name": "held", "id": "h", "version": "1", "license": "MIT", "source": registry},
            {"name": "loose", "id": "l", "version": "1", "license": "MIT", "source": registry},
            {"name": "forked", "version": "1", "license": "MIT", "source": "git+https://example.org/x"},
            {"name": "silent", "version": "1", "license": null, "source": registry},
        ], "resolve": {"nodes": [
            {"id": "r", "deps": [{"pkg": "h"}, {"pkg": "l"}]},
            {"id": "o", "deps": [{"pkg": "l"}]},
        ]}}));
        let found: Vec<String> = check(&repo)
            .into_iter()
            .map(|finding| finding.text)
            .collect();
        let starts = [
            "other 1: its licence",
            "openssl-sys 1: banned",
            "loose 1: banned",
            "forked 1: comes from git+",
            "silent 1: names no licence",
        ];
        assert_eq!(found.len(), starts.len(), "{found:?}");
        for (found, start) in found.iter().zip(starts) {
            assert!(found.starts_with(start), "{found}");
        }
    }
}
