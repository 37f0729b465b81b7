//! One whole answer.

use super::find::{Call, find_calls};
use super::{Repair, ToolMode};
use crate::json::{Kind, Value};
use crate::mapping::{ObjectWriter, array, whole_object};

/// Turns calls printed in a chat completion into `tool_calls`; an answer without one comes back byte for byte.
///
/// `id_seed` makes the calls' ids (`call_SEED_CHOICE_CALL`): one seed per request keeps them unique.
pub fn repair_answer(repair: &Repair, answer: &[u8], id_seed: &str) -> Vec<u8> {
    repaired(repair, answer, id_seed).unwrap_or_else(|| answer.to_vec())
}

fn repaired(repair: &Repair, answer: &[u8], id_seed: &str) -> Option<Vec<u8>> {
    if repair.mode == ToolMode::NoCall {
        return None;
    }
    let root = whole_object(answer)?;
    let mut any = false;
    let choices: Vec<Vec<u8>> = root
        .get("choices")?
        .items()
        .enumerate()
        .map(
            |(position, choice)| match repaired_choice(repair, choice, position, id_seed) {
                Some(new) => {
                    any = true;
                    new
                }
                None => choice.0.to_vec(),
            },
        )
        .collect();
    any.then(|| replace(root, &[("choices", &array(choices))]))
}

fn repaired_choice(
    repair: &Repair,
    choice: Value<'_>,
    position: usize,
    id_seed: &str,
) -> Option<Vec<u8>> {
    let message = choice.get_some("message")?;
    if has_calls(message) || !may_end_in_calls(choice) {
        return None;
    }
    let text = message.get("content")?.text()?;
    let mut calls = find_calls(&text, &repair.offered)?;
    if repair.one_call {
        calls.truncate(1);
    }
    let index = choice
        .get("index")
        .and_then(Value::unsigned)
        .unwrap_or(position as u64);
    let list = array(
        calls
            .iter()
            .enumerate()
            .map(|(n, call)| call_json(call, &call_id(id_seed, index, n), None)),
    );
    let message = replace(message, &[("content", b"null"), ("tool_calls", &list)]);
    Some(replace(
        choice,
        &[("message", &message), ("finish_reason", b"\"tool_calls\"")],
    ))
}

/// Whether the engine already made calls of it.
pub(super) fn has_calls(message: Value<'_>) -> bool {
    message
        .get_some("tool_calls")
        .is_some_and(|calls| calls.items().next().is_some())
}

/// An answer stopped for its content stays as it is. One cut by its length may still hold a whole call: under a grammar
/// small models go on with white space until the limit.
pub(super) fn may_end_in_calls(choice: Value<'_>) -> bool {
    let reason = choice.get_some("finish_reason").and_then(Value::text);
    matches!(
        reason.as_deref(),
        None | Some("stop" | "length" | "tool_calls")
    )
}

pub(super) fn call_id(id_seed: &str, choice: u64, call: usize) -> String {
    format!("call_{id_seed}_{choice}_{call}")
}

/// A call as it stands in `tool_calls`; `index` is written in streams only.
pub(super) fn call_json(call: &Call, id: &str, index: Option<usize>) -> Vec<u8> {
    let function = ObjectWriter::new()
        .string("name", &call.name)
        .string("arguments", &call.arguments)
        .done();
    let mut out = ObjectWriter::new();
    if let Some(index) = index {
        out.number("index", index as u64);
    }
    out.string("id", id)
        .string("type", "function")
        .raw("function", function)
        .done()
}

/// The object with some values replaced where they stand; names that it lacks are added at the end.
fn replace(object: Value<'_>, with: &[(&str, &[u8])]) -> Vec<u8> {
    debug_assert_eq!(object.kind(), Some(Kind::Object));
    let mut out = ObjectWriter::new();
    let mut done = vec![false; with.len()];
    for (key, value) in object.entries() {
        match with.iter().position(|(name, _)| key.is(name)) {
            Some(at) if done[at] => {}
            Some(at) => {
                out.raw(with[at].0, with[at].1);
                done[at] = true;
            }
            None => {
                out.pair(key, value);
            }
        }
    }
    for ((name, value), _) in with.iter().zip(done).filter(|(_, done)| !done) {
        out.raw(name, value);
    }
    out.done()
}
