//! `/v1/responses`, as an engine that has it answers.

use super::answer::{Pen, Piece, UsageTale, token};

fn usage(pen: &Pen<'_>) -> String {
    let (input, output) = (pen.ask.prompt_tokens, pen.ask.output_tokens);
    match pen.tale {
        UsageTale::Silent => "null".to_owned(),
        UsageTale::Absurd => {
            r#"{"input_tokens":-5,"output_tokens":1e30,"total_tokens":"many"}"#.to_owned()
        }
        UsageTale::True => {
            let (cached, total) = (pen.ask.cached_tokens, input + output);
            format!(
                r#"{{"input_tokens":{input},"input_tokens_details":{{"cached_tokens":{cached}}}, "output_tokens":{output},"output_tokens_details":{{"reasoning_tokens":0}},"total_tokens":{total}}}"#
            )
        }
    }
}

fn text(pen: &Pen<'_>) -> String {
    (0..pen.ask.output_tokens).map(token).collect()
}

fn part(text: &str) -> String {
    format!(r#"{{"type":"output_text","text":"{text}","annotations":[],"logprobs":[]}}"#)
}

fn item(pen: &Pen<'_>, status: &str, content: &str) -> String {
    let number = pen.number;
    format!(
        r#"{{"id":"msg_{number}","type":"message","role":"assistant","status":"{status}","content":[{content}]}}"#
    )
}

fn response(pen: &Pen<'_>, status: &str, output: &str, usage: &str) -> String {
    let (number, model) = (pen.number, pen.model);
    format!(
        r#"{{"id":"resp_{number}", "object":"response","created_at":1780000000,"status":"{status}","model" : "{model}","output":[{output}],"parallel_tool_calls":true,"usage":{usage},"x_engine":{{"z":18446744073709551615, "one":1.0}}}}"#
    )
}

/// The body of a plain answer.
pub(crate) fn plain(pen: &Pen<'_>) -> String {
    let output = item(pen, "completed", &part(&text(pen)));
    response(pen, "completed", &output, &usage(pen))
}

/// The events of a streamed answer; there is no `[DONE]` in this protocol.
pub(crate) fn stream(pen: &Pen<'_>) -> Vec<Piece> {
    let place = format!(
        r#""item_id":"msg_{}","output_index":0,"content_index":0"#,
        pen.number
    );
    let all = text(pen);
    let started = response(pen, "in_progress", "", "null");
    let done_item = item(pen, "completed", &part(&all));
    let mut events: Vec<(&str, String, u64)> = vec![
        ("response.created", format!(r#""response":{started}"#), 0),
        (
            "response.in_progress",
            format!(r#""response":{started}"#),
            0,
        ),
        (
            "response.output_item.added",
            format!(
                r#""output_index":0,"item":{}"#,
                item(pen, "in_progress", "")
            ),
            0,
        ),
        (
            "response.content_part.added",
            format!(r#"{place},"part":{}"#, part("")),
            0,
        ),
    ];
    for at in 0..pen.ask.output_tokens {
        let data = format!(r#"{place},"delta":"{}","logprobs":[]"#, token(at));
        events.push(("response.output_text.delta", data, 1));
    }
    let completed = response(pen, "completed", &done_item, &usage(pen));
    events.extend([
        (
            "response.output_text.done",
            format!(r#"{place},"text":"{all}""#),
            0,
        ),
        (
            "response.content_part.done",
            format!(r#"{place},"part":{}"#, part(&all)),
            0,
        ),
        (
            "response.output_item.done",
            format!(r#""output_index":0,"item":{done_item}"#),
            0,
        ),
        (
            "response.completed",
            format!(r#""response":{completed}"#),
            0,
        ),
    ]);
    let numbered = events.into_iter().enumerate();
    numbered
        .map(|(number, (name, data, tokens))| event(number, name, &data, tokens))
        .collect()
}

fn event(number: usize, name: &str, data: &str, tokens: u64) -> Piece {
    Piece::new(
        format!(
            "event: {name}\ndata: {{\"type\":\"{name}\",\"sequence_number\":{number},{data}}}\n\n"
        ),
        tokens,
    )
}
