//! Tools and the choice among them.

use crate::json::{Kind, Value};
use crate::mapping::{MapError, ObjectWriter, array, expect_kind, required, required_string};

/// Keys of a tool that say nothing about what it does.
const LEFT_OUT: [&str; 3] = ["type", "cache_control", "eager_input_streaming"];

/// Writes `tools`, `tool_choice` and `parallel_tool_calls` of a Messages request into `chat`.
pub(super) fn tools(request: Value<'_>, chat: &mut ObjectWriter) -> Result<(), MapError> {
    let mut mapped = Vec::new();
    if let Some(list) = request.get_some("tools") {
        expect_kind(list, "tools", Kind::Array)?;
        for (index, tool) in list.items().enumerate() {
            mapped.push(tool_of(tool, &format!("tools[{index}]"))?);
        }
    }
    let choice = match request.get_some("tool_choice") {
        Some(choice) => Some((choice_of(choice)?, choice)),
        None => None,
    };
    if mapped.is_empty() {
        return Ok(());
    }
    chat.raw("tools", array(mapped));
    if let Some((mapped, choice)) = choice {
        chat.raw("tool_choice", mapped);
        let one_call = choice.get_some("disable_parallel_tool_use");
        if one_call.and_then(Value::boolean) == Some(true) {
            chat.raw("parallel_tool_calls", "false");
        }
    }
    Ok(())
}

fn tool_of(tool: Value<'_>, path: &str) -> Result<Vec<u8>, MapError> {
    let kind = tool.get_some("type").and_then(Value::text);
    if kind.is_some_and(|kind| kind != "custom") {
        let message = "must be `custom`: this model's engine has no tools of its own";
        return Err(MapError::unsupported(format!("{path}.type"), message));
    }
    let (name, field) = required(tool, "name", path)?;
    expect_kind(name, &field, Kind::String)?;
    let (schema, field) = required(tool, "input_schema", path)?;
    expect_kind(schema, &field, Kind::Object)?;
    let mut function = ObjectWriter::new();
    function.raw("name", name.0);
    for (key, value) in tool.entries() {
        let key = key.decoded().unwrap_or_default();
        match key.as_ref() {
            "name" => {}
            "input_schema" => {
                function.raw("parameters", value.0);
            }
            "description" | "strict" => {
                function.raw(&key, value.0);
            }
            key if LEFT_OUT.contains(&key) || value.is_null() => {}
            key => {
                let message = "is not something that this model's engine can be told of a tool";
                return Err(MapError::unsupported(format!("{path}.{key}"), message));
            }
        }
    }
    Ok(ObjectWriter::new()
        .string("type", "function")
        .raw("function", function.done())
        .done())
}

fn choice_of(choice: Value<'_>) -> Result<Vec<u8>, MapError> {
    let field = "tool_choice";
    expect_kind(choice, field, Kind::Object)?;
    match required_string(choice, "type", field)?.as_str() {
        "auto" => Ok(b"\"auto\"".to_vec()),
        "any" => Ok(b"\"required\"".to_vec()),
        "none" => Ok(b"\"none\"".to_vec()),
        "tool" => {
            let (name, field) = required(choice, "name", field)?;
            expect_kind(name, &field, Kind::String)?;
            let function = ObjectWriter::new().raw("name", name.0).done();
            Ok(ObjectWriter::new()
                .string("type", "function")
                .raw("function", function)
                .done())
        }
        _ => {
            let message = "must be `auto`, `any`, `tool` or `none`";
            Err(MapError::invalid("tool_choice.type", message))
        }
    }
}
