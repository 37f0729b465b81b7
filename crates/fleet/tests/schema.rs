//! The schema and the page are checked in, agree with the types and explain every key.
//! `MADANG_UPDATE=1 cargo test -p madang-fleet` writes the generated parts anew.
#![cfg(test)]

use madang_fleet::{AuditLog, CODES, JobsTerms, Limits, PowerConfig, Probe, Rules, schema};
use madang_types::{DataClass, Role};
use serde_json::Value;
use std::fmt::Write;
use std::path::{Path, PathBuf};

const BEGIN: &str = "<!-- tables: begin, written from the schema -->\n";
const END: &str = "<!-- tables: end -->\n";

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn is_update() -> bool {
    std::env::var_os("MADANG_UPDATE").is_some()
}

fn tree() -> Value {
    serde_json::from_str(&schema()).unwrap()
}

#[test]
fn the_checked_in_schema_is_the_schema() {
    let path = repository("crates/fleet/schema.json");
    if is_update() {
        std::fs::write(&path, schema()).unwrap();
    }
    assert!(
        read(&path) == schema(),
        "schema.json is old; run with MADANG_UPDATE=1"
    );
}

fn text(schema: &Value) -> String {
    let description = schema["description"]
        .as_str()
        .expect("each key is described");
    description.replace('\n', " ").replace('|', "\\|")
}

fn words(schema: &Value) -> String {
    let plain = schema["enum"].as_array().into_iter().flatten();
    let plain = plain.map(|word| format!("`{}`", word.as_str().unwrap()));
    let described = schema["oneOf"].as_array().into_iter().flatten();
    let described = described.filter_map(|choice| {
        let word = choice["const"].as_str()?;
        let about = text(choice);
        Some(format!("`{word}` ({})", about.trim_end_matches('.')))
    });
    plain.chain(described).collect::<Vec<_>>().join(", ")
}

fn type_name(schema: &Value) -> String {
    match schema["type"].as_str() {
        Some("object") if schema["properties"].is_object() => "table".into(),
        Some("object") => "table of texts".into(),
        Some("array") if schema["items"]["type"] == "object" => "list of tables".into(),
        Some("array") => format!("list of {}s", type_name(&schema["items"])),
        Some("integer") => "integer".into(),
        Some("number") => "number".into(),
        Some("boolean") => "boolean".into(),
        Some("string") => "text".into(),
        None if schema["oneOf"][0]["type"] == "string" => "text".into(),
        _ => panic!("a type that the page has no word for: {schema}"),
    }
}

fn range(schema: &Value) -> String {
    let (low, above, high) = (
        &schema["minimum"],
        &schema["exclusiveMinimum"],
        &schema["maximum"],
    );
    match (low, above) {
        (Value::Number(low), _) => format!("{low} to {high}"),
        (_, Value::Number(above)) => format!("above {above}, to {high}"),
        _ => String::new(),
    }
}

fn row(key: &str, schema: &Value, required: bool) -> String {
    let default = match &schema["default"] {
        _ if required => "required".into(),
        Value::Null => "–".into(),
        Value::String(word) => format!("`\"{word}\"`"),
        other => other.to_string(),
    };
    let words = words(schema);
    let mut meaning = text(schema);
    if !words.is_empty() {
        write!(meaning, " One of {words}.").unwrap();
    }
    let kind = type_name(schema);
    format!(
        "| `{key}` | {kind} | {default} | {} | {meaning} |\n",
        range(schema)
    )
}

/// One table and those inside it.
fn section(name: &str, heading: &str, about: &str, schema: &Value, out: &mut String) {
    write!(out, "### {heading}\n\n{about}\n\n").unwrap();
    out.push_str("| key | type | default | range | meaning |\n|---|---|---|---|---|\n");
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut keys: Vec<(&String, &Value)> =
        schema["properties"].as_object().unwrap().iter().collect();
    keys.sort_by_key(|(key, _)| {
        (
            *key != "id",
            !required.contains(&key.as_str()),
            key.as_str(),
        )
    });
    for (key, value) in &keys {
        out.push_str(&row(key, value, required.contains(&key.as_str())));
    }
    out.push('\n');
    for (key, value) in keys {
        let inner = if value["properties"].is_object() {
            value
        } else {
            &value["items"]
        };
        if inner["properties"].is_object() {
            let name = format!("{name}.{key}");
            let about = text(if inner["description"].is_string() {
                inner
            } else {
                value
            });
            section(&name, &format!("`{name}`"), &about, inner, out);
        }
    }
}

fn tables() -> String {
    let tree = tree();
    let mut out = String::new();
    let order = [
        "site",
        "nodes",
        "model",
        "replica",
        "upstream",
        "origin",
        "virtual_model",
        "programme",
        "tenant",
        "sign_in",
        "policy",
        "limits",
        "probe",
        "audit",
        "jobs",
        "meter",
        "vtn",
        "power",
        "fine_tuning",
        "rules",
        "credit",
    ];
    assert_eq!(tree["properties"].as_object().unwrap().len(), order.len());
    for name in order {
        let table = &tree["properties"][name];
        let (heading, inner) = if table["type"] == "array" {
            (format!("`[[{name}]]`"), &table["items"])
        } else {
            (format!("`[{name}]`"), table)
        };
        section(name, &heading, &text(table), inner, &mut out);
    }
    out
}

#[test]
fn the_tables_of_the_page_are_those_of_the_schema() {
    let path = repository("docs/fleet-file.md");
    let page = read(&path);
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let expected = format!("{before}{BEGIN}\n{}{END}{after}", tables());
    if is_update() {
        std::fs::write(&path, &expected).unwrap();
    } else {
        assert!(
            page == expected,
            "docs/fleet-file.md is old; run with MADANG_UPDATE=1"
        );
    }
}

#[test]
fn the_page_explains_each_bound_and_each_problem() {
    let page = read(&repository("docs/fleet-file.md"));
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let by_hand = format!("{before}{}", rest.split_once(END).unwrap().1);
    let limits = serde_json::to_value(Limits::default()).unwrap();
    let probe = serde_json::to_value(Probe::default()).unwrap();
    let audit = serde_json::to_value(AuditLog::default()).unwrap();
    let jobs = serde_json::to_value(JobsTerms::default()).unwrap();
    let keys = [limits, probe, audit, jobs]
        .map(|v| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>());
    for key in keys.iter().flatten() {
        assert!(by_hand.contains(&format!("| `{key}` |")), "reason of {key}");
    }
    for code in CODES {
        assert!(by_hand.contains(&format!("| `{code}` |")), "problem {code}");
    }
}

#[test]
fn words_and_defaults_of_the_schema_are_those_of_the_types() {
    let tree = tree();
    let at = |pointer: &str| tree.pointer(pointer).unwrap_or(&Value::Null).clone();
    let tenant = "/properties/tenant/items/properties/class_floor";
    let words: Vec<String> = serde_json::from_value(at(&format!("{tenant}/enum"))).unwrap();
    for word in &words {
        assert_eq!(word.parse::<DataClass>().unwrap().as_str(), word);
    }
    assert_eq!(words.len(), 3);
    let roles = at("/properties/sign_in/properties/rule/items/properties/role/enum");
    assert_eq!(roles, serde_json::to_value(Role::ALL).unwrap());
    assert_eq!(
        at(&format!("{tenant}/default")),
        DataClass::default().as_str()
    );
    for (table, defaults) in [
        ("limits", serde_json::to_value(Limits::default()).unwrap()),
        ("probe", serde_json::to_value(Probe::default()).unwrap()),
        ("audit", serde_json::to_value(AuditLog::default()).unwrap()),
        ("jobs", serde_json::to_value(JobsTerms::default()).unwrap()),
        (
            "power",
            serde_json::to_value(PowerConfig::default()).unwrap(),
        ),
        ("rules", serde_json::to_value(Rules::default()).unwrap()),
    ] {
        for (key, default) in defaults.as_object().unwrap() {
            let shown = at(&format!("/properties/{table}/properties/{key}/default"));
            assert_eq!(&shown, default, "{table}.{key}");
        }
    }
    assert!(!schema().contains("null"), "TOML has no null");
}

/// A fleet that gives nothing but what is required gets the defaults that the schema shows.
#[test]
fn defaults_of_the_schema_are_those_of_the_fleet() {
    let source = "
        [[site]]\nid = \"s\"\ncountry = \"KR\"
        [[model]]\nid = \"m\"\ncontext_tokens = 1
        [[replica]]\nid = \"r\"\nsite = \"s\"\nmodel = \"m\"\nengine = \"openai\"\nslots = 1
        launch = { command = [\"x\", \"{port}\"] }
        [[upstream]]\nid = \"u\"\ndialect = \"openai\"\nurl = \"http://10.0.0.1\"\nmodels = [{ id = \"g\" }]
        [[programme]]\nid = \"p\"
        [[tenant]]\nid = \"t\"";
    let fleet = madang_fleet::parse(source, Path::new("")).unwrap().fleet;
    let tree = tree();
    let at = |path: &str| {
        tree.pointer(&format!("/properties/{path}/default"))
            .unwrap()
            .clone()
    };
    let model = fleet.models.values().next().unwrap();
    assert_eq!(
        at("model/items/properties/kind"),
        serde_json::to_value(model.kind).unwrap()
    );
    assert_eq!(
        at("model/items/properties/tools"),
        serde_json::to_value(model.tools).unwrap()
    );
    let replica = fleet.replicas.values().next().unwrap();
    assert_eq!(replica.upstream_model, "m");
    let madang_fleet::ReplicaAt::Launch(launch) = &replica.at else {
        panic!()
    };
    let launch_at = |key: &str| at(&format!("replica/items/properties/launch/properties/{key}"));
    assert_eq!(launch_at("ready"), launch.ready.as_str());
    assert_eq!(launch_at("start_s_max"), launch.start_s_max);
    assert_eq!(launch_at("stop_s_max"), launch.stop_s_max);
    let upstream = fleet.upstreams.values().next().unwrap();
    assert_eq!(at("upstream/items/properties/slots"), upstream.slots);
    assert_eq!(upstream.models[0].upstream_model, "g");
    assert_eq!(
        at("programme/items/properties/weight"),
        fleet.programmes.values().next().unwrap().weight
    );
    let tenant = fleet.tenants.values().next().unwrap();
    assert_eq!(at("tenant/items/properties/weight"), tenant.weight);
    let site = fleet.sites.values().next().unwrap();
    assert_eq!(site.operator_country, site.country);
    assert_eq!(
        (fleet.limits, fleet.probe, fleet.audit),
        (Limits::default(), Probe::default(), AuditLog::default())
    );
}
