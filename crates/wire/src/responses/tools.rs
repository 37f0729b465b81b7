//! Tools and the choice among them, from the flat form to the nested one.

use crate::json::Value;
use crate::mapping::{MapError, ObjectWriter, string_of};

/// A flat function tool in the nested form, with its name.
pub(super) fn chat_tool(tool: Value<'_>, index: usize) -> Result<(String, Vec<u8>), MapError> {
    let field = format!("tools[{index}].type");
    let kind = tool
        .get_some("type")
        .ok_or_else(|| MapError::missing(field.clone()))?;
    if string_of(kind, &field)? != "function" {
        return Err(MapError::unsupported(
            field,
            "must be `function`: hosted tools are not available with this model",
        ));
    }
    let field = format!("tools[{index}].name");
    let name = string_of(
        tool.get_some("name")
            .ok_or_else(|| MapError::missing(field.clone()))?,
        &field,
    )?;
    let skip: &[&str] = match tool.get("strict") {
        Some(strict) if strict.is_null() => &["type", "strict"],
        _ => &["type"],
    };
    let function = ObjectWriter::new().copy_except(tool, skip).done();
    Ok((
        name,
        ObjectWriter::new()
            .string("type", "function")
            .raw("function", function)
            .done(),
    ))
}

/// The chat form of `tool_choice`. `allowed_tools` leaves only those tools.
pub(super) fn tool_choice(
    choice: Value<'_>,
    tools: &mut Vec<(String, Vec<u8>)>,
) -> Result<Option<Vec<u8>>, MapError> {
    if let Some(word) = choice.text() {
        return match word.as_ref() {
            "none" | "auto" | "required" => Ok(Some(choice.0.to_vec())),
            _ => Err(MapError::invalid(
                "tool_choice",
                "must be `none`, `auto`, `required`, or an object",
            )),
        };
    }
    let kind = choice
        .get_some("type")
        .ok_or_else(|| MapError::missing("tool_choice.type"))?;
    match string_of(kind, "tool_choice.type")?.as_str() {
        "function" => {
            let field = "tool_choice.name";
            let name = choice
                .get_some("name")
                .ok_or_else(|| MapError::missing(field))?;
            if !tools
                .iter()
                .any(|(known, _)| name.text().as_deref() == Some(known))
            {
                return Err(MapError::invalid(
                    field,
                    "names a function that `tools` does not offer",
                ));
            }
            let function = ObjectWriter::new().raw("name", name.0).done();
            Ok(Some(
                ObjectWriter::new()
                    .string("type", "function")
                    .raw("function", function)
                    .done(),
            ))
        }
        "allowed_tools" => allowed_choice(choice, tools).map(Some),
        _ => Err(MapError::unsupported(
            "tool_choice.type",
            "names a hosted tool, which this model does not have",
        )),
    }
}

/// Leaves only the tools that the choice allows, and gives its mode.
fn allowed_choice(
    choice: Value<'_>,
    tools: &mut Vec<(String, Vec<u8>)>,
) -> Result<Vec<u8>, MapError> {
    let field = "tool_choice.tools";
    let list = choice
        .get_some("tools")
        .ok_or_else(|| MapError::missing(field))?;
    let mut names = Vec::new();
    for (index, item) in list.items().enumerate() {
        let field = format!("{field}[{index}].name");
        let name = string_of(
            item.get_some("name")
                .ok_or_else(|| MapError::missing(field.clone()))?,
            &field,
        )?;
        if !tools.iter().any(|(known, _)| *known == name) {
            return Err(MapError::invalid(
                field,
                "names a function that `tools` does not offer",
            ));
        }
        names.push(name);
    }
    tools.retain(|(name, _)| names.contains(name));
    match choice.get_some("mode").and_then(Value::text).as_deref() {
        Some("required") => Ok(b"\"required\"".to_vec()),
        Some("auto") | None => Ok(b"\"auto\"".to_vec()),
        Some(_) => Err(MapError::invalid(
            "tool_choice.mode",
            "must be `auto` or `required`",
        )),
    }
}
