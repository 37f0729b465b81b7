//! The body for the engine.
//!
//! For a demanded call, the engine gets `response_format` with the schema of a call. `tools` stay, with
//! `tool_choice: "none"`: the chat template then still describes them to the model, and the engine's own tool grammar,
//! which would stand in the way of the schema, stays off.

use super::schema::call_schema;
use super::{Repair, TOOLS_MAX, ToolMode, ToolSpec};
use crate::json::{Kind, Value};
use crate::mapping::{MapError, ObjectWriter, array, request_object, string_of, wrong_kind};

/// Makes the body for an engine whose model prints its calls as text.
///
/// # Errors
/// A refusal that names the field: the body is no JSON object, a tool is not a function, `tool_choice` is of an unknown
/// form or names a tool that is not offered, or a tool's schema uses references that cannot be moved.
pub fn repair_request(body: &[u8]) -> Result<Repair, MapError> {
    let request = request_object(body)?;
    let tools = match request.get_some("tools") {
        Some(list) => read_tools(list)?,
        None => Vec::new(),
    };
    let one_call = request.get("parallel_tool_calls").and_then(Value::boolean) == Some(false);
    let choice = read_choice(request.get_some("tool_choice"), &tools)?;
    let specs = |keep: &[String]| -> Vec<ToolSpec> {
        tools
            .iter()
            .map(|tool| tool.spec.clone())
            .filter(|spec| keep.contains(&spec.name))
            .collect()
    };
    let all: Vec<String> = tools.iter().map(|tool| tool.spec.name.clone()).collect();
    Ok(match choice {
        Choice::Auto if tools.is_empty() => no_call(body.to_vec()),
        Choice::Auto => Repair {
            body: body.to_vec(),
            mode: ToolMode::Auto,
            offered: specs(&all),
            one_call,
        },
        Choice::None => no_call(without_tools(request)),
        Choice::Allowed(names) => {
            let body = with_some_tools(request, &tools, &names);
            Repair {
                body,
                mode: ToolMode::Auto,
                offered: specs(&names),
                one_call,
            }
        }
        Choice::Required(names) => {
            let offered = specs(&names);
            Repair {
                body: demand(request, &offered)?,
                mode: ToolMode::Required(names),
                offered,
                one_call,
            }
        }
        Choice::Named(name) => {
            let offered = specs(std::slice::from_ref(&name));
            Repair {
                body: demand(request, &offered)?,
                mode: ToolMode::Named(name),
                offered,
                one_call,
            }
        }
    })
}

fn no_call(body: Vec<u8>) -> Repair {
    Repair {
        body,
        mode: ToolMode::NoCall,
        offered: Vec::new(),
        one_call: false,
    }
}

struct Tool<'a> {
    spec: ToolSpec,
    json: Value<'a>,
}

enum Choice {
    Auto,
    None,
    Allowed(Vec<String>),
    Required(Vec<String>),
    Named(String),
}

fn read_tools(list: Value<'_>) -> Result<Vec<Tool<'_>>, MapError> {
    if list.kind() != Some(Kind::Array) {
        return Err(wrong_kind(list, "tools", "an array"));
    }
    let mut tools = Vec::new();
    for (index, tool) in list.items().enumerate() {
        if index == TOOLS_MAX {
            return Err(MapError::invalid(
                "tools",
                format!("holds more than {TOOLS_MAX} tools"),
            ));
        }
        let field = format!("tools[{index}].type");
        match tool.get_some("type").and_then(Value::text).as_deref() {
            Some("function") => {}
            Some(_) => {
                return Err(MapError::unsupported(
                    field,
                    "must be `function`: no other kind is run here",
                ));
            }
            None => return Err(MapError::missing(field)),
        }
        let field = format!("tools[{index}].function");
        let function = tool
            .get_some("function")
            .ok_or_else(|| MapError::missing(field.clone()))?;
        let name_field = format!("{field}.name");
        let name = function
            .get_some("name")
            .ok_or_else(|| MapError::missing(name_field.clone()))?;
        let name = string_of(name, &name_field)?;
        let parameters = function.get_some("parameters");
        if let Some(schema) = parameters.filter(|schema| schema.kind() != Some(Kind::Object)) {
            return Err(wrong_kind(
                schema,
                &format!("{field}.parameters"),
                "an object",
            ));
        }
        let parameters = parameters.map(|schema| schema.0.to_vec());
        tools.push(Tool {
            spec: ToolSpec { name, parameters },
            json: tool,
        });
    }
    Ok(tools)
}

fn read_choice(choice: Option<Value<'_>>, tools: &[Tool<'_>]) -> Result<Choice, MapError> {
    let Some(choice) = choice else {
        return Ok(Choice::Auto);
    };
    let all = || tools.iter().map(|tool| tool.spec.name.clone()).collect();
    match choice.text().as_deref() {
        Some("auto") => return Ok(Choice::Auto),
        Some("none") => return Ok(Choice::None),
        Some("required") if tools.is_empty() => {
            return Err(MapError::invalid(
                "tool_choice",
                "demands a call, but `tools` offers none",
            ));
        }
        Some("required") => return Ok(Choice::Required(all())),
        Some(_) => return Err(unknown_choice()),
        None => {}
    }
    match choice.get("type").and_then(Value::text).as_deref() {
        Some("function") => {
            let field = "tool_choice.function.name";
            let name = choice
                .get("function")
                .and_then(|function| function.get("name"));
            let name = string_of(name.ok_or_else(|| MapError::missing(field))?, field)?;
            offered(tools, &name, field)?;
            Ok(Choice::Named(name))
        }
        Some("allowed_tools") => allowed_choice(choice, tools),
        _ => Err(unknown_choice()),
    }
}

fn unknown_choice() -> MapError {
    MapError::invalid(
        "tool_choice",
        "must be `none`, `auto`, `required`, or an object that names functions",
    )
}

fn offered(tools: &[Tool<'_>], name: &str, field: &str) -> Result<(), MapError> {
    if tools.iter().any(|tool| tool.spec.name == name) {
        return Ok(());
    }
    Err(MapError::invalid(
        field,
        "names a function that `tools` does not offer",
    ))
}

fn allowed_choice(choice: Value<'_>, tools: &[Tool<'_>]) -> Result<Choice, MapError> {
    let field = "tool_choice.allowed_tools";
    let allowed = choice
        .get_some("allowed_tools")
        .ok_or_else(|| MapError::missing(field))?;
    let list = allowed
        .get_some("tools")
        .ok_or_else(|| MapError::missing(format!("{field}.tools")))?;
    let mut names = Vec::new();
    for (index, item) in list.items().take(TOOLS_MAX).enumerate() {
        let field = format!("{field}.tools[{index}].function.name");
        let name = item
            .get("function")
            .and_then(|function| function.get("name"));
        let name = string_of(
            name.ok_or_else(|| MapError::missing(field.clone()))?,
            &field,
        )?;
        offered(tools, &name, &field)?;
        names.push(name);
    }
    if names.is_empty() {
        return Err(MapError::invalid(
            format!("{field}.tools"),
            "names no function",
        ));
    }
    match allowed.get_some("mode").and_then(Value::text).as_deref() {
        Some("required") => Ok(Choice::Required(names)),
        Some("auto") | None => Ok(Choice::Allowed(names)),
        Some(_) => Err(MapError::invalid(
            format!("{field}.mode"),
            "must be `auto` or `required`",
        )),
    }
}

fn without_tools(request: Value<'_>) -> Vec<u8> {
    ObjectWriter::new()
        .copy_except(request, &["tools", "tool_choice", "parallel_tool_calls"])
        .done()
}

fn with_some_tools(request: Value<'_>, tools: &[Tool<'_>], names: &[String]) -> Vec<u8> {
    let kept = tools
        .iter()
        .filter(|tool| names.contains(&tool.spec.name))
        .map(|tool| tool.json.0);
    ObjectWriter::new()
        .copy_except(request, &["tools", "tool_choice"])
        .raw("tools", array(kept))
        .done()
}

fn demand(request: Value<'_>, offered: &[ToolSpec]) -> Result<Vec<u8>, MapError> {
    let schema = call_schema(offered)?;
    let named = ObjectWriter::new()
        .string("name", "tool_call")
        .raw("strict", "true")
        .raw("schema", schema)
        .done();
    let format = ObjectWriter::new()
        .string("type", "json_schema")
        .raw("json_schema", named)
        .done();
    Ok(ObjectWriter::new()
        .copy_except(request, &["tool_choice", "response_format"])
        .string("tool_choice", "none")
        .raw("response_format", format)
        .done())
}
