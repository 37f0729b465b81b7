//! The JSON Schema of the fleet file, for editors and for the check of shapes.

use crate::raw::RawFleet;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value};
use std::sync::LazyLock;

/// The schema as a tree, made once.
pub(crate) static TREE: LazyLock<Value> = LazyLock::new(tree);

/// The JSON Schema (draft 2020-12) of the fleet file, pretty-printed, with a line end. The same text for each call.
pub fn schema() -> String {
    // `:#` prints a JSON value over several lines; unlike serde's printers it cannot fail.
    format!("{:#}\n", *TREE)
}

fn tree() -> Value {
    tree_of::<RawFleet>("Madang fleet file")
}

/// The schema of a text of that type, as the check of shapes reads it: nothing refers to anything, and nothing is null.
pub fn tree_of<T: JsonSchema>(title: &str) -> Value {
    let mut root = SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .with_transform(RecursiveTransform(without_null))
        .into_generator()
        .into_root_schema_for::<T>();
    root.insert("title".into(), title.into());
    let mut tree = root.to_value();
    // serde_json's maps may or may not keep insertion order, as other crates of the build wish; the text must not change.
    tree.sort_all_objects();
    tree
}

/// TOML has no null: an optional key is absent, so the `null` that schemars writes for `Option` is taken out.
fn without_null(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|t| t != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(words)) = object.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    if let Some(Value::Array(mut choices)) = object.remove("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|t| t != "null"));
        match (choices.pop(), choices.is_empty()) {
            (Some(Value::Object(only)), true) => merge(object, only),
            (last, _) => {
                choices.extend(last);
                object.insert("anyOf".into(), Value::Array(choices));
            }
        }
    }
}

/// What stands at the key (its description, its default) wins over what stands at the type.
fn merge(at_key: &mut Map<String, Value>, at_type: Map<String, Value>) {
    for (key, value) in at_type {
        at_key.entry(key).or_insert(value);
    }
}
