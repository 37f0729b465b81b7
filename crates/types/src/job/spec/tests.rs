use super::*;
use crate::JobResources;
use serde_json::{Value, json};

fn spec() -> Value {
    json!({
        "name": "train",
        "command": ["python", "train.py"],
        "resources": {"accelerator": ["h200"], "count": 8, "per_node": 8},
        "time_limit_ms": 3_600_000
    })
}

fn read(value: Value) -> Result<JobSpec, String> {
    let spec: JobSpec = serde_json::from_value(value).map_err(|error| error.to_string())?;
    spec.check().map_err(|error| error.to_string())?;
    Ok(spec)
}

#[test]
fn what_is_left_out_has_its_usual_value_and_a_spec_reads_back() {
    let read = read(spec()).unwrap();
    assert_eq!(read.tasks(), 1);
    assert_eq!(read.priority, Priority::Standard);
    assert_eq!(read.resources.pieces(), (1, 8));
    assert_eq!(read.resources.accelerator_milli(), 8_000);
    let text = serde_json::to_string(&read).unwrap();
    assert_eq!(serde_json::from_str::<JobSpec>(&text).unwrap(), read);
}

#[test]
fn what_cannot_be_is_refused_by_its_name() {
    let check = |key: &str, value: Value, expected: &str| {
        let mut whole = spec();
        whole[key] = value;
        let found = read(whole).unwrap_err();
        assert!(found.contains(expected), "{key}: {found}");
    };
    check("name", json!(" "), "name");
    check("command", json!([]), "nothing to run");
    check("time_limit_ms", json!(10), "time_limit_ms");
    check("array", json!({"tasks": 100_001}), "array.tasks");
    check(
        "checkpoint",
        json!({"signal": "KILL", "grace_ms": 1}),
        "unknown variant",
    );
    check(
        "checkpoint",
        json!({"grace_ms": 3_600_001}),
        "checkpoint.grace_ms",
    );
    let mut short = spec();
    short["time_limit_ms"] = json!(60_000);
    short["checkpoint"] = json!({"grace_ms": 60_000});
    assert!(read(short.clone()).is_ok());
    short["checkpoint"] = json!({"grace_ms": 60_001});
    assert!(read(short).unwrap_err().contains("the time limit"));
    check("retries_max", json!(101), "retries_max");
    check("env", json!({"1A": "x"}), "env.1A");
    check("env", json!({"MADANG_TASK": "x"}), "MADANG_");
    check(
        "inputs",
        json!([{"from": "/data/a", "to": "../a"}]),
        "inputs[0]",
    );
    check(
        "outputs",
        json!([{"from": "/etc/passwd", "to": "/x"}]),
        "outputs[0]",
    );
    check(
        "inputs",
        json!([{"from": "/data/a", "to": "a", "sha256": "ab"}]),
        "inputs[0].sha256",
    );
    let mut many = spec();
    many["array"] = json!({"tasks": 2});
    many["outputs"] = json!([{"from": "out", "to": "/data/out"}]);
    let found = read(many.clone()).unwrap_err();
    assert!(found.contains("{task} in it stands for"), "{found}");
    many["outputs"][0]["to"] = json!("/data/{task}/out");
    assert_eq!(
        read(many).unwrap().outputs[0].of_task(17).to,
        "/data/17/out"
    );
    check("unheard_of", json!(1), "unheard_of");
    check("script", json!("echo"), "not both");
    check(
        "resources",
        json!({"count": 8, "per_node": 3}),
        "resources.per_node",
    );
    check("resources", json!({"count": 0}), "cpu_milli");
    check(
        "resources",
        json!({"share_milli": 0}),
        "resources.share_milli",
    );
}

#[test]
fn pieces_are_machines_that_are_needed() {
    let check = |count, per_node, expected| {
        let resources = JobResources {
            accelerator: Vec::new(),
            count,
            per_node,
            share_milli: MILLI,
            accelerator_memory_mib_min: None,
            cpu_milli: 1_000,
            memory_mib: 0,
        };
        assert_eq!(resources.pieces(), expected, "{count} {per_node:?}");
    };
    check(8, None, (8, 1));
    check(16, Some(8), (2, 8));
    check(0, None, (1, 0));
}
