//! `/v1/messages`, as Anthropic answers. Odd spacing and fields that nobody knows, as in the other doors.

use super::answer::{Pen, Piece, TOOL_ARGUMENTS, UsageTale, token};
use serde_json::Value;

/// What the API demands of a request beyond `messages`.
pub(crate) fn check(body: &Value) -> Result<(), String> {
    if body["max_tokens"].as_u64().is_none() {
        return Err("max_tokens: Field required".to_owned());
    }
    let messages = body["messages"].as_array().into_iter().flatten();
    for (index, message) in messages.enumerate() {
        if !matches!(message["role"].as_str(), Some("user" | "assistant")) {
            return Err(format!(
                "messages.{index}.role: Input should be 'user' or 'assistant'"
            ));
        }
    }
    for field in ["stream_options", "n", "max_completion_tokens", "stop"] {
        if body.get(field).is_some() {
            return Err(format!("{field}: Extra inputs are not permitted"));
        }
    }
    Ok(())
}

/// The tool that `tool_choice` forces.
pub(crate) fn forced_tool(body: &Value) -> Option<String> {
    let name = match body["tool_choice"]["type"].as_str()? {
        "any" => &body["tools"][0]["name"],
        "tool" => &body["tool_choice"]["name"],
        _ => return None,
    };
    name.as_str().map(str::to_owned)
}

fn usage(pen: &Pen<'_>, output: u64) -> String {
    match pen.tale {
        UsageTale::Silent => "null".to_owned(),
        UsageTale::Absurd => r#"{"input_tokens":-5,"output_tokens":1e30}"#.to_owned(),
        UsageTale::True => {
            let cached = pen.ask.cached_tokens;
            let input = pen.ask.prompt_tokens - cached;
            format!(
                r#"{{"input_tokens":{input}, "cache_creation_input_tokens":0,"cache_read_input_tokens":{cached},"output_tokens":{output}}}"#
            )
        }
    }
}

fn message(pen: &Pen<'_>, content: &str, stop_reason: &str, usage: &str) -> String {
    let (number, model) = (pen.number, pen.model);
    format!(
        r#"{{"id":"msg_{number}", "type":"message","role":"assistant","model" : "{model}","content":[{content}],"stop_reason":{stop_reason},"stop_sequence":null,"usage":{usage},"x_engine":{{"z":18446744073709551615, "one":1.0}}}}"#
    )
}

fn stop_reason(pen: &Pen<'_>) -> &'static str {
    if pen.ask.tool.is_some() {
        r#""tool_use""#
    } else {
        r#""max_tokens""#
    }
}

fn tool_block(pen: &Pen<'_>, name: &str, input: &str) -> String {
    let number = pen.number;
    format!(r#"{{"type":"tool_use","id":"toolu_{number}","name":"{name}","input":{input}}}"#)
}

/// The body of a plain answer.
pub(crate) fn plain(pen: &Pen<'_>) -> String {
    let content = match &pen.ask.tool {
        Some(name) => tool_block(pen, name, &TOOL_ARGUMENTS.concat().replace('\\', "")),
        None => {
            let text: String = (0..pen.ask.output_tokens).map(token).collect();
            format!(r#"{{"type":"text","text":"{text}"}}"#)
        }
    };
    let usage = usage(pen, pen.ask.output_tokens_total());
    message(pen, &content, stop_reason(pen), &usage)
}

/// The events of a streamed answer; there is no `[DONE]` in this protocol.
pub(crate) fn stream(pen: &Pen<'_>) -> Vec<Piece> {
    let started = message(pen, "", "null", &usage(pen, 1));
    let mut pieces = vec![event(
        "message_start",
        &format!(r#""message":{started}"#),
        0,
    )];
    let block = match &pen.ask.tool {
        Some(name) => tool_block(pen, name, "{}"),
        None => r#"{"type":"text","text":""}"#.to_owned(),
    };
    let start = format!(r#""index":0,"content_block":{block}"#);
    pieces.push(event("content_block_start", &start, 0));
    pieces.push(Piece::new("event: ping\ndata: {\"type\": \"ping\"}\n\n", 0));
    let mut part = |kind: &str, key: &str, text: &str| {
        let data = format!(r#""index":0,"delta":{{"type":"{kind}","{key}":"{text}"}}"#);
        pieces.push(event("content_block_delta", &data, 1));
    };
    match &pen.ask.tool {
        Some(_) => TOOL_ARGUMENTS
            .iter()
            .for_each(|text| part("input_json_delta", "partial_json", text)),
        None => (0..pen.ask.output_tokens).for_each(|at| part("text_delta", "text", token(at))),
    }
    pieces.push(event("content_block_stop", r#""index":0"#, 0));
    let output = pen.ask.output_tokens_total();
    let usage = match pen.tale {
        UsageTale::True => format!(r#"{{"output_tokens":{output}}}"#),
        UsageTale::Silent | UsageTale::Absurd => usage(pen, output),
    };
    let reason = stop_reason(pen);
    let end = format!(r#""delta":{{"stop_reason":{reason},"stop_sequence":null}},"usage":{usage}"#);
    pieces.push(event("message_delta", &end, 0));
    pieces.push(Piece::new(
        "event: message_stop\ndata: {\"type\":\"message_stop\" }\n\n",
        0,
    ));
    pieces
}

fn event(name: &str, data: &str, tokens: u64) -> Piece {
    Piece::new(
        format!("event: {name}\ndata: {{\"type\":\"{name}\",{data}}}\n\n"),
        tokens,
    )
}

/// An error in Anthropic's shape; `message` is JSON.
pub(crate) fn error(code: u16, message: &Value) -> String {
    let kind = match code {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        500 => "api_error",
        529 => "overloaded_error",
        _ => "invalid_request_error",
    };
    format!(
        r#"{{"type":"error","error":{{"type":"{kind}","message":{message}}},"request_id":"req_upstream"}}"#
    )
}
