//! Tools and the choice among them.

use crate::json::{Kind, Value};
use crate::mapping::{
    MapError, ObjectWriter, array, expect_kind, required, required_string, wrong_kind,
};

/// Writes `tools` and `tool_choice` of a chat request into `body`. Without tools there is nothing to choose.
pub(super) fn tools(request: Value<'_>, body: &mut ObjectWriter) -> Result<(), MapError> {
    let mut mapped = Vec::new();
    if let Some(list) = request.get_some("tools") {
        expect_kind(list, "tools", Kind::Array)?;
        for (index, tool) in list.items().enumerate() {
            mapped.push(tool_of(tool, &format!("tools[{index}]"))?);
        }
    }
    let one_call = match request.get_some("parallel_tool_calls") {
        Some(value) => {
            expect_kind(value, "parallel_tool_calls", Kind::Boolean)?;
            value.boolean() == Some(false)
        }
        None => false,
    };
    if mapped.is_empty() {
        return Ok(());
    }
    body.raw("tools", array(mapped));
    let choice = match request.get_some("tool_choice") {
        Some(choice) => choice_of(choice)?,
        None if one_call => ("auto", None),
        None => return Ok(()),
    };
    let (kind, name) = choice;
    let mut out = ObjectWriter::new();
    out.string("type", kind);
    if let Some(name) = name {
        out.raw("name", name.0);
    }
    if one_call && kind != "none" {
        out.raw("disable_parallel_tool_use", "true");
    }
    body.raw("tool_choice", out.done());
    Ok(())
}

fn tool_of(tool: Value<'_>, path: &str) -> Result<Vec<u8>, MapError> {
    if required_string(tool, "type", path)? != "function" {
        let message = "must be `function` with this model";
        return Err(MapError::unsupported(format!("{path}.type"), message));
    }
    let (function, path) = required(tool, "function", path)?;
    let (name, field) = required(function, "name", &path)?;
    expect_kind(name, &field, Kind::String)?;
    let mut out = ObjectWriter::new();
    out.raw("name", name.0);
    if let Some(description) = function.get_some("description") {
        expect_kind(description, &format!("{path}.description"), Kind::String)?;
        out.raw("description", description.0);
    }
    match function.get_some("parameters") {
        Some(schema) => {
            expect_kind(schema, &format!("{path}.parameters"), Kind::Object)?;
            out.raw("input_schema", schema.0);
        }
        None => {
            out.raw("input_schema", r#"{"type":"object","properties":{}}"#);
        }
    }
    if function.get("strict").and_then(Value::boolean) == Some(true) {
        out.raw("strict", "true");
    }
    Ok(out.done())
}

/// The kind of the choice, and the tool that it names.
fn choice_of(choice: Value<'_>) -> Result<(&'static str, Option<Value<'_>>), MapError> {
    let field = "tool_choice";
    match choice.kind() {
        Some(Kind::String) => match choice.text().as_deref() {
            Some("none") => Ok(("none", None)),
            Some("auto") => Ok(("auto", None)),
            Some("required") => Ok(("any", None)),
            _ => {
                let message = "must be `none`, `auto`, `required`, or an object";
                Err(MapError::invalid(field, message))
            }
        },
        Some(Kind::Object) => {
            if required_string(choice, "type", field)? != "function" {
                let message = "must be `function` with this model";
                return Err(MapError::unsupported("tool_choice.type", message));
            }
            let (function, path) = required(choice, "function", field)?;
            let (name, path) = required(function, "name", &path)?;
            expect_kind(name, &path, Kind::String)?;
            Ok(("tool", Some(name)))
        }
        _ => Err(wrong_kind(choice, field, "a string or an object")),
    }
}
