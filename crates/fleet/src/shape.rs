//! The first pass: TOML text to raw structs. Checks keys, types, words and ranges against the schema, notes each
//! problem with its place, and takes out what is wrong, so that the rest can still be read and checked.

mod synonym;

use crate::problem::{Report, nearest};
use crate::raw::{RawFleet, RawPolicy};
use crate::schema::TREE;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use synonym::synonym;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What the first pass read.
pub struct Shaped<T> {
    /// The values.
    pub raw: T,
    /// Tables that are not complete because something in them was taken out: what is absent there proves nothing.
    pub lost: BTreeSet<String>,
    /// Places of the keys of tables whose struct holds plain values: `limits.body_bytes_max`.
    pub spans: BTreeMap<String, Range<usize>>,
}

/// Reads a fleet file's text as far as it can be read; `None` only when nothing of it can.
pub(crate) fn read(source: &str, report: &mut Report<'_>) -> Option<Shaped<RawFleet>> {
    read_table(source, (&TREE, ""), report)
}

/// Reads a policy file's text, which holds the keys of the fleet file's `[policy]`.
pub(crate) fn read_policy(source: &str, report: &mut Report<'_>) -> Option<Shaped<RawPolicy>> {
    read_table(source, (&TREE["properties"]["policy"], "policy"), report)
}

/// Reads a text as the table of that schema and dotted name: every problem of its keys, types, words and ranges is reported, and what
/// is wrong is left out. `None` only where nothing of it can be read.
pub fn read_table<T: DeserializeOwned>(
    source: &str,
    (schema, path): (&Value, &str),
    report: &mut Report<'_>,
) -> Option<Shaped<T>> {
    let (table, errors) = DeTable::parse_recoverable(source);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        report.syntax(span, syntax_message(error.message()));
    }
    let mut walk = Walk {
        report,
        root: if path.is_empty() { schema } else { &TREE },
        lost: BTreeSet::new(),
        spans: BTreeMap::new(),
        row: None,
    };
    let span = table.span();
    let table = walk.table(schema, path, Spanned::new(span, table.into_inner()));
    let Walk { lost, spans, .. } = walk;
    let deserializer = toml::de::Deserializer::from(table);
    match T::deserialize(deserializer) {
        Ok(raw) => Some(Shaped { raw, lost, spans }),
        Err(error) => {
            // The walk leaves only what fits; this is a net under it, not a path of its own.
            let span = error.span().unwrap_or(0..0);
            report.error("wrong_type", &span, error.message());
            None
        }
    }
}

fn syntax_message(message: &str) -> String {
    let line = message.trim().replace('\n', ", ");
    let mut chars = line.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => "this is not TOML".into(),
    }
}

struct Walk<'w, 's> {
    report: &'w mut Report<'s>,
    /// The schema of the whole text.
    root: &'w Value,
    lost: BTreeSet<String>,
    spans: BTreeMap<String, Range<usize>>,
    /// The list whose row is being looked at, and which row that is.
    row: Option<(String, usize)>,
}

impl Walk<'_, '_> {
    /// One table with known keys. `path` is its dotted name, empty for the file itself.
    fn table<'i>(
        &mut self,
        schema: &Value,
        path: &str,
        table: Spanned<DeTable<'i>>,
    ) -> Spanned<DeTable<'i>> {
        let span = table.span();
        let properties = &schema["properties"];
        let mut kept = DeTable::new();
        let mut present = BTreeSet::new();
        for (key, value) in table.into_inner() {
            let name = key.get_ref().to_string();
            let Some(property) = properties.get(&name) else {
                self.unknown_key(properties, path, &key);
                continue;
            };
            let at = join(path, &name);
            self.spans.insert(at.clone(), key.span());
            if let Some((_, row)) = self.row.as_ref().filter(|(list, _)| list == path) {
                let at = row_path(path, *row);
                self.spans.insert(at.clone(), span.clone());
                self.spans.insert(join(&at, &name), value.span());
            }
            present.insert(name);
            match self.value(property, &at, value) {
                Some(value) => {
                    kept.insert(key, value);
                }
                None => self.lose(&at),
            }
        }
        self.missing_keys(schema, path, &span, &present);
        Spanned::new(span, kept)
    }

    fn lose(&mut self, path: &str) {
        let top = path.split('.').next().unwrap_or(path);
        self.lost.insert(top.into());
    }

    fn unknown_key(
        &mut self,
        properties: &Value,
        path: &str,
        key: &Spanned<std::borrow::Cow<'_, str>>,
    ) {
        if self.report.lost_header() {
            return;
        }
        let known: Vec<&str> = properties
            .as_object()
            .map(|object| object.keys().map(String::as_str).collect())
            .unwrap_or_default();
        let word = key.get_ref();
        let near = synonym(word)
            .filter(|s| known.contains(s))
            .or_else(|| nearest(word, known.iter().copied()));
        let message = if path.is_empty() {
            format!("unknown table or key `{}`", brief(word))
        } else {
            format!(
                "unknown key `{}` in {}",
                brief(word),
                shown(self.root, path)
            )
        };
        let help = match near {
            Some("key_file") => {
                "did you mean `key_file`? Secrets stand in files of their own, never here".into()
            }
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known here: {}", known.join(", ")),
        };
        self.report
            .error("unknown_key", &key.span(), message)
            .help(help);
        if path.is_empty() {
            // A misspelt table may hold what others refer to.
            if let Some(near) = near {
                self.lost.insert(near.into());
            }
        }
    }

    fn missing_keys(
        &mut self,
        schema: &Value,
        path: &str,
        span: &Range<usize>,
        present: &BTreeSet<String>,
    ) {
        let required = schema["required"].as_array().into_iter().flatten();
        for key in required.filter_map(Value::as_str) {
            if present.contains(key) {
                continue;
            }
            if key == "id" {
                self.lose(path);
            }
            if !self.report.is_whole() {
                continue;
            }
            self.report
                .error(
                    "missing_key",
                    span,
                    format!("{} has no `{key}`", shown(self.root, path)),
                )
                .help(format!("add {}", meaning(key, &schema["properties"][key])));
        }
    }

    /// One value; `None` if it does not fit, which has then been reported.
    fn value<'i>(
        &mut self,
        schema: &Value,
        path: &str,
        value: Spanned<DeValue<'i>>,
    ) -> Option<Spanned<DeValue<'i>>> {
        let span = value.span();
        match (kind(schema), value.into_inner()) {
            (Kind::Table, DeValue::Table(table)) => {
                let table = self.table(schema, path, Spanned::new(span.clone(), table));
                Some(Spanned::new(span, DeValue::Table(table.into_inner())))
            }
            (Kind::Map, DeValue::Table(table)) => {
                let mut kept = DeTable::new();
                for (key, value) in table {
                    let at = join(path, key.get_ref());
                    if let Some(value) = self.value(&schema["additionalProperties"], &at, value) {
                        kept.insert(key, value);
                    }
                }
                Some(Spanned::new(span, DeValue::Table(kept)))
            }
            (Kind::Array, DeValue::Array(array)) => {
                let mut kept = toml::de::DeArray::new();
                let around = self.row.take();
                for (row, item) in array.into_iter().enumerate() {
                    self.row = Some((path.to_owned(), row));
                    match self.value(&schema["items"], path, item) {
                        Some(item) => kept.push(item),
                        None => self.lose(path),
                    }
                }
                self.row = around;
                Some(Spanned::new(span, DeValue::Array(kept)))
            }
            (Kind::Array, DeValue::Table(table)) if kind(&schema["items"]) == Kind::Table => {
                self.single_table(schema, path, Spanned::new(span, table))
            }
            (Kind::Words, DeValue::String(word)) => self
                .word(schema, path, &word, &span)
                .then(|| Spanned::new(span, DeValue::String(word))),
            (Kind::Text, value @ DeValue::String(_))
            | (Kind::Flag, value @ DeValue::Boolean(_)) => Some(Spanned::new(span, value)),
            (Kind::Integer, value @ DeValue::Integer(_))
            | (Kind::Number, value @ (DeValue::Integer(_) | DeValue::Float(_))) => self
                .in_range(schema, path, &value, &span)
                .then(|| Spanned::new(span, value)),
            (_, value) => {
                self.wrong_type(schema, path, &value, &span);
                None
            }
        }
    }

    /// `[site]` where `[[site]]` is meant: said, and read as a list of one.
    fn single_table<'i>(
        &mut self,
        schema: &Value,
        path: &str,
        table: Spanned<DeTable<'i>>,
    ) -> Option<Spanned<DeValue<'i>>> {
        let span = table.span();
        let remedy = if path.contains('.') {
            format!("put it in brackets: {} = [{{ … }}]", leaf(path))
        } else {
            format!("write [[{path}]] with two brackets")
        };
        self.report
            .error(
                "wrong_type",
                &span,
                format!("`{path}` is one table, a list of tables is wanted"),
            )
            .help(remedy);
        let table = self.table(&schema["items"], path, table);
        let element = Spanned::new(span.clone(), DeValue::Table(table.into_inner()));
        let mut array = toml::de::DeArray::new();
        array.push(element);
        Some(Spanned::new(span, DeValue::Array(array)))
    }

    fn wrong_type(&mut self, schema: &Value, path: &str, value: &DeValue<'_>, span: &Range<usize>) {
        let kind = kind(schema);
        let wanted = match kind {
            Kind::Table | Kind::Map => "a table",
            Kind::Array => "a list",
            Kind::Words | Kind::Text => "a text in quotes",
            Kind::Integer => "a whole number",
            Kind::Number => "a number",
            Kind::Flag => "true or false",
        };
        let found = match value {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let key = leaf(path);
        let of_tables = self::kind(&schema["items"]) == Kind::Table;
        let remedy = match (kind, value) {
            (Kind::Integer | Kind::Number, DeValue::String(text)) if is_number(text) => {
                format!("leave out the quotes: {key} = {text}")
            }
            (Kind::Array, _) if !path.contains('.') => format!("write [[{path}]]"),
            (Kind::Table, _) if !path.contains('.') => format!("write [{path}]"),
            (Kind::Array, _) if of_tables => format!("write {key} = [{{ … }}]"),
            (Kind::Array, _) => format!("write {key} = [\"…\", \"…\"]"),
            _ => meaning(key, schema),
        };
        self.report
            .error(
                "wrong_type",
                span,
                format!("`{key}` is {found}, {wanted} is wanted"),
            )
            .help(remedy);
    }

    fn word(&mut self, schema: &Value, path: &str, word: &str, span: &Range<usize>) -> bool {
        let known = words(schema);
        if known.contains(&word) {
            return true;
        }
        let list = known.join(", ");
        let help = match nearest(word, known.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"? Known: {list}"),
            None => format!("known: {list}"),
        };
        let message = format!("`{}` cannot be \"{}\"", leaf(path), brief(word));
        self.report.error("unknown_word", span, message).help(help);
        false
    }

    fn in_range(
        &mut self,
        schema: &Value,
        path: &str,
        value: &DeValue<'_>,
        span: &Range<usize>,
    ) -> bool {
        let bound = |key: &str| schema[key].as_f64();
        let (low, above, high) = (
            bound("minimum"),
            bound("exclusiveMinimum"),
            bound("maximum"),
        );
        let number = number(value);
        let fits = number.is_some_and(|n| {
            n.is_finite()
                && low.is_none_or(|low| n >= low)
                && above.is_none_or(|above| n > above)
                && high.is_none_or(|high| n <= high)
        });
        if fits {
            return true;
        }
        let range = match (low, above, high) {
            (Some(low), _, Some(high)) => format!("between {low} and {high}"),
            (None, Some(above), Some(high)) => format!("above {above} and at most {high}"),
            (Some(low), _, None) => format!("at least {low}"),
            _ => "a finite number".into(),
        };
        let text = match value {
            DeValue::Integer(n) => n.to_string(),
            DeValue::Float(n) => n.to_string(),
            _ => String::new(),
        };
        let key = leaf(path);
        self.report
            .error(
                "number_range",
                span,
                format!("`{key}` is {}, it must be {range}", brief(&text)),
            )
            .help(meaning(key, schema));
        false
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Table,
    Map,
    Array,
    Words,
    Text,
    Integer,
    Number,
    Flag,
}

fn kind(schema: &Value) -> Kind {
    if !words(schema).is_empty() {
        return Kind::Words;
    }
    match schema["type"].as_str() {
        Some("object") if schema["properties"].is_object() => Kind::Table,
        Some("object") => Kind::Map,
        Some("array") => Kind::Array,
        Some("integer") => Kind::Integer,
        Some("number") => Kind::Number,
        Some("boolean") => Kind::Flag,
        _ => Kind::Text,
    }
}

/// The words that a schema allows: an `enum`, or a `oneOf` of constants and enums with a description each.
fn words(schema: &Value) -> Vec<&str> {
    let plain = schema["enum"].as_array().into_iter().flatten();
    let described = schema["oneOf"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|choice| {
            let more = choice["enum"].as_array().into_iter().flatten();
            choice.get("const").into_iter().chain(more)
        });
    plain.chain(described).filter_map(Value::as_str).collect()
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Integer(n) => {
            let n = i128::from_str_radix(n.as_str(), n.radix()).ok()?;
            // Every bound is far below 2^53, where f64 is exact; above it only the order matters.
            #[expect(
                clippy::cast_precision_loss,
                reason = "compared with small bounds only"
            )]
            let n = n as f64;
            Some(n)
        }
        DeValue::Float(n) => n.as_str().parse().ok(),
        _ => None,
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() < 20 && text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// What a row of a list is called among the places of the text.
pub(crate) fn row_path(list: &str, row: usize) -> String {
    format!("{list}[{row}]")
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.into()
    } else {
        format!("{path}.{key}")
    }
}

fn leaf(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// A table's name as a reader of the file knows it.
fn shown(root: &Value, path: &str) -> String {
    let is_row = root["properties"][path]["type"] == "array";
    match path.split_once('.') {
        None if is_row => format!("[[{path}]]"),
        None => format!("[{path}]"),
        Some(_) => format!("`{path}`"),
    }
}

/// A key and what it means, as a help line.
fn meaning(key: &str, schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    let line = line.strip_suffix('.').unwrap_or(line);
    let mut chars = line.chars();
    let first = chars.next().unwrap_or_default();
    let rest = chars.as_str();
    // "SHA-256" and "KV-cache" stay as they are.
    if rest.starts_with(|c: char| c.is_uppercase()) {
        format!("`{key}`: {line}")
    } else {
        format!("`{key}`: {}{rest}", first.to_lowercase())
    }
}

/// A quotation of bounded length.
pub fn brief(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    if text.chars().count() <= CHARS_MAX {
        return text.escape_debug().to_string();
    }
    let start: String = text.chars().take(CHARS_MAX).collect();
    format!("{}…", start.escape_debug())
}
