//! The JSON Schema of "a call of one of these tools".
//!
//! A tool's own definitions move to the root, because engines look references up from there. Key order is kept: engines
//! write properties in the schema's order, and the name must come before the arguments it decides.

use super::ToolSpec;
use crate::json::{Kind, Value};
use crate::mapping::{MapError, ObjectWriter, array, quoted};

/// What a tool without parameters takes.
const NO_ARGUMENTS: &[u8] = br#"{"type":"object","properties":{},"additionalProperties":false}"#;

/// The two places where schemas keep definitions, and the letter that keeps their names apart once moved.
const HOMES: [(&str, char); 2] = [("$defs", 'd'), ("definitions", 'e')];

/// The schema of one call of one of `offered`.
///
/// # Errors
/// A schema refers to a place of its own that is not a definition: `tools[].function.parameters`.
pub(super) fn call_schema(offered: &[ToolSpec]) -> Result<Vec<u8>, MapError> {
    let mut definitions = ObjectWriter::new();
    let mut moved_any = false;
    let mut calls = Vec::with_capacity(offered.len());
    for (tool, spec) in offered.iter().enumerate() {
        let arguments = match &spec.parameters {
            None => NO_ARGUMENTS.to_vec(),
            Some(schema) if memchr::memmem::find(schema, b"\"$ref\"").is_none() => {
                object_schema(Value(schema))
            }
            Some(schema) => {
                moved_any |= move_definitions(Value(schema), tool, &mut definitions)?;
                let schema = ObjectWriter::new()
                    .copy_except(Value(schema), &["$defs", "definitions"])
                    .done();
                moved(Value(&schema), tool)?
            }
        };
        calls.push(one_call(&spec.name, &arguments));
    }
    let single = (calls.len() == 1).then(|| calls.remove(0));
    let mut root = ObjectWriter::new();
    match &single {
        Some(call) => root.copy_except(Value(call), &[]),
        None => root.raw("anyOf", array(&calls)),
    };
    if moved_any {
        root.raw("$defs", definitions.done());
    }
    Ok(root.done())
}

fn one_call(name: &str, arguments: &[u8]) -> Vec<u8> {
    let name = ObjectWriter::new()
        .string("type", "string")
        .raw("enum", array([quoted(name)]))
        .done();
    let properties = ObjectWriter::new()
        .raw("name", name)
        .raw("arguments", arguments)
        .done();
    ObjectWriter::new()
        .string("type", "object")
        .raw("properties", properties)
        .raw("required", r#"["name","arguments"]"#)
        .raw("additionalProperties", "false")
        .done()
}

/// Arguments are an object even where the schema does not say so.
fn object_schema(schema: Value<'_>) -> Vec<u8> {
    let says_what = ["type", "anyOf", "oneOf", "allOf", "enum", "const"];
    if says_what.iter().any(|key| schema.get(key).is_some()) {
        return schema.0.to_vec();
    }
    ObjectWriter::new()
        .string("type", "object")
        .copy_except(schema, &[])
        .done()
}

fn move_definitions(
    schema: Value<'_>,
    tool: usize,
    into: &mut ObjectWriter,
) -> Result<bool, MapError> {
    let mut any = false;
    for (home, letter) in HOMES {
        let Some(definitions) = schema.get(home) else {
            continue;
        };
        for (key, definition) in definitions.entries() {
            let Some(name) = key.decoded() else { continue };
            into.raw(&format!("{letter}{tool}_{name}"), moved(definition, tool)?);
            any = true;
        }
    }
    Ok(any)
}

/// The same schema with its references pointed to where the definitions went. Recursion is bounded by the depth check
/// on the whole body.
fn moved(schema: Value<'_>, tool: usize) -> Result<Vec<u8>, MapError> {
    match schema.kind() {
        Some(Kind::Array) => {
            let items = schema
                .items()
                .map(|item| moved(item, tool))
                .collect::<Result<Vec<_>, _>>()?;
            Ok(array(items))
        }
        Some(Kind::Object) => {
            let mut out = ObjectWriter::new();
            for (key, value) in schema.entries() {
                let Some(key) = key.decoded() else { continue };
                match value.text() {
                    Some(target) if key == "$ref" => {
                        out.string(&key, &moved_target(&target, tool)?)
                    }
                    _ => out.raw(&key, moved(value, tool)?),
                };
            }
            Ok(out.done())
        }
        _ => Ok(schema.0.to_vec()),
    }
}

fn moved_target(target: &str, tool: usize) -> Result<String, MapError> {
    for (home, letter) in HOMES {
        let name = target
            .strip_prefix("#/")
            .and_then(|rest| rest.strip_prefix(home)?.strip_prefix('/'));
        if let Some(name) = name {
            return Ok(format!("#/$defs/{letter}{tool}_{name}"));
        }
    }
    let message =
        "refers to something other than its `$defs`, which cannot be demanded from this engine";
    Err(MapError::unsupported(
        "tools[].function.parameters",
        message,
    ))
}
