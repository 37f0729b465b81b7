//! The schema is checked in, explained in full, and agrees with the types.

use madang_fleet::{CODES, Limits, Probe, schema};
use madang_types::DataClass;
use serde_json::Value;
use std::path::Path;

fn repository(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// `MADANG_UPDATE=1 cargo test -p madang-fleet` writes the file anew.
#[test]
fn the_checked_in_schema_is_the_schema() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema.json");
    if std::env::var_os("MADANG_UPDATE").is_some() {
        std::fs::write(&path, schema()).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(golden == schema(), "schema.json is old; run with MADANG_UPDATE=1");
}

/// Each property with the heading of the table that it stands in.
fn properties<'v>(schema: &'v Value, found: &mut Vec<(&'v str, &'v Value)>) {
    for (key, value) in schema["properties"].as_object().into_iter().flatten() {
        found.push((key, value));
        properties(value, found);
        properties(&value["items"], found);
    }
}

#[test]
fn each_property_is_described_and_stands_in_the_page() {
    let tree: Value = serde_json::from_str(&schema()).unwrap();
    let page = repository("docs/fleet-file.md");
    let mut found = Vec::new();
    properties(&tree, &mut found);
    assert!(found.len() > 70, "{}", found.len());
    for (key, value) in found {
        assert!(value["description"].is_string(), "{key} has no description");
        let row = page.lines().find(|line| line.starts_with(&format!("| `{key}` |")));
        let table = page.contains(&format!("`[[{key}]]`")) || page.contains(&format!("`[{key}]`"));
        assert!(row.is_some() || table, "docs/fleet-file.md does not explain `{key}`");
    }
}

#[test]
fn the_page_explains_limits_defaults_and_codes() {
    let page = repository("docs/fleet-file.md");
    let limits = serde_json::to_value(Limits::default()).unwrap();
    let probe = serde_json::to_value(Probe::default()).unwrap();
    for (key, default) in limits.as_object().into_iter().chain(probe.as_object()).flatten() {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{key}` |"))).unwrap();
        assert!(row.contains(&format!("| {default} |")), "default of {key}: {default}");
    }
    for code in CODES {
        assert!(page.contains(&format!("| `{code}` |")), "problem {code}");
    }
}

#[test]
fn words_and_defaults_of_the_schema_are_those_of_the_types() {
    let tree: Value = serde_json::from_str(&schema()).unwrap();
    let at = |pointer: &str| tree.pointer(pointer).unwrap_or(&Value::Null).clone();
    let tenant = "/properties/tenant/items/properties/class_floor";
    let words: Vec<String> = serde_json::from_value(at(&format!("{tenant}/enum"))).unwrap();
    for word in &words {
        assert_eq!(word.parse::<DataClass>().unwrap().as_str(), word);
    }
    assert_eq!(words.len(), 3);
    assert_eq!(at(&format!("{tenant}/default")), DataClass::default().as_str());
    for (table, defaults) in [
        ("limits", serde_json::to_value(Limits::default()).unwrap()),
        ("probe", serde_json::to_value(Probe::default()).unwrap()),
    ] {
        for (key, default) in defaults.as_object().unwrap() {
            let shown = at(&format!("/properties/{table}/properties/{key}/default"));
            assert_eq!(&shown, default, "{table}.{key}");
        }
    }
    assert!(!schema().contains("null"), "TOML has no null");
}
