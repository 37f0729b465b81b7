//! A small reader of JSON Schema, as far as the document uses it, stricter in one thing: a property that the
//! document does not name is an error.

use crate::bench::Answer;
use serde_json::Value;

/// The operation of a path, by its template: `GET /api/v1/tenants/{id}`.
pub fn template(document: &Value, path: &str) -> Option<String> {
    let path = path.split('?').next().unwrap_or(path);
    let wanted: Vec<&str> = path.split('/').collect();
    let fits = |template: &&String| {
        let parts: Vec<&str> = template.split('/').collect();
        parts.len() == wanted.len()
            && parts
                .iter()
                .zip(&wanted)
                .all(|(part, got)| part.starts_with('{') || part == got)
    };
    document["paths"].as_object()?.keys().find(fits).cloned()
}

/// Panics where an answer is not what the document says of its path, method and status.
pub fn check_answer(document: &Value, method: &str, path: &str, answer: &Answer) {
    let Some(template) = template(document, path) else {
        return;
    };
    let operation = &document["paths"][&template][method.to_lowercase()];
    if operation.is_null() {
        assert_eq!(answer.status, if answer.status == 401 { 401 } else { 405 });
        return;
    }
    let status = answer.status.to_string();
    let responses = &operation["responses"];
    let response = if responses[&status].is_null() {
        assert!(
            answer.status >= 400,
            "{method} {path}: {status} is not in the document"
        );
        &responses["default"]
    } else {
        &responses[&status]
    };
    let sent = answer.headers["content-type"].to_str().unwrap();
    let sent = sent.split(';').next().unwrap_or(sent);
    let schema = &response["content"][sent]["schema"];
    assert!(
        !schema.is_null(),
        "{method} {path}: {sent} is not in the document"
    );
    if sent == "application/json" {
        let told = format!("{method} {path} {status}");
        let outcome = check(document, schema, &answer.json);
        assert!(outcome.is_ok(), "{told}: {outcome:?}: {}", answer.text);
    }
}

/// Whether a value is what a schema says; else where and why not.
pub fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(name) = schema["$ref"].as_str() {
        let target = document.pointer(name.trim_start_matches('#'));
        return check(document, target.ok_or(format!("{name} is nowhere"))?, value);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let ok = choices
            .iter()
            .any(|choice| check(document, choice, value).is_ok());
        return ok
            .then_some(())
            .ok_or_else(|| format!("{value} is none of {schema}"));
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        Value::Null => return Ok(()),
        other => return Err(format!("{other} is no type")),
    };
    if !types.iter().any(|name| is_a(name, value)) {
        return Err(format!("{value} is not of type {types:?}"));
    }
    match value {
        Value::Array(items) => items
            .iter()
            .try_for_each(|item| check(document, &schema["items"], item)),
        Value::Object(fields) => {
            let required = schema["required"].as_array().into_iter().flatten();
            for name in required.filter_map(Value::as_str) {
                if !fields.contains_key(name) {
                    return Err(format!("{name} is missing"));
                }
            }
            fields.iter().try_for_each(|(name, field)| {
                let known = &schema["properties"][name];
                if known.is_null() {
                    return Err(format!("{name} is not in the document"));
                }
                check(document, known, field).map_err(|e| format!("{name}: {e}"))
            })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn is_a(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

#[test]
fn the_checker_sees_what_is_wrong() {
    let document = serde_json::json!({ "s": { "type": "object", "required": ["a"], "properties": {
        "a": { "type": "integer" }, "b": { "type": ["string", "null"] } } } });
    let schema = serde_json::json!({ "$ref": "#/s" });
    let good = |text: &str| check(&document, &schema, &serde_json::from_str(text).unwrap()).is_ok();
    assert!(good(r#"{"a": 1, "b": null}"#));
    assert!(good(r#"{"a": 1}"#));
    assert!(!good(r#"{"b": "x"}"#));
    assert!(!good(r#"{"a": "1"}"#));
    assert!(!good(r#"{"a": 1, "c": 1}"#));
    assert!(!good("[]"));
}
