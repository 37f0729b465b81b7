//! What a request would have its engine fetch.

use crate::body::RequestBody;
use crate::json::{Kind, Value};

#[cfg(test)]
mod tests;

/// Fields at whose items an engine looks for things to fetch.
const PLACES: [&str; 5] = ["messages", "input", "system", "tools", "mcp_servers"];

/// Every URL in a request that its engine would fetch or call: of images, audio, video and files in any of the APIs, of
/// documents, of tool servers. What holds its data itself (`data:`) is none; anything else is, whatever its scheme.
/// Arguments of tool calls are the model's words, and nobody fetches them.
#[must_use]
pub fn fetch_urls(body: &RequestBody) -> Vec<String> {
    let mut urls = Vec::new();
    if !may_name_one(body.bytes()) {
        return urls;
    }
    let mut lists: Vec<Value<'_>> = PLACES.iter().filter_map(|name| body.some(name)).collect();
    while let Some(list) = lists.pop() {
        for item in list.items() {
            for (key, value) in item.entries() {
                // Decoded: an escape in a key is no way past this.
                let key = key.decoded().unwrap_or_default();
                match (key.as_ref(), value.kind()) {
                    ("content" | "output", Some(Kind::Array)) => lists.push(value),
                    ("source" | "file" | "input_audio", Some(Kind::Object)) => {
                        inside(value, &mut urls, &mut lists);
                    }
                    (name, Some(Kind::Object)) if is_url(name) => {
                        inside(value, &mut urls, &mut lists);
                    }
                    (name, Some(Kind::String)) if is_url(name) => note(value, &mut urls),
                    _ => {}
                }
            }
        }
    }
    urls
}

/// Whether any key of the body can end in `url`, escaped or not: most bodies are passed at the speed of memory.
fn may_name_one(text: &[u8]) -> bool {
    [&b"url\""[..], b"\\u00"]
        .iter()
        .any(|word| memchr::memmem::find(text, word).is_some())
}

/// An object that holds a part's data, or says where it is.
fn inside<'a>(object: Value<'a>, urls: &mut Vec<String>, lists: &mut Vec<Value<'a>>) {
    for (key, value) in object.entries() {
        let key = key.decoded().unwrap_or_default();
        match value.kind() {
            Some(Kind::String) if is_url(&key) => note(value, urls),
            Some(Kind::Array) if key == "content" => lists.push(value),
            _ => {}
        }
    }
}

fn is_url(name: &str) -> bool {
    name == "url" || name.ends_with("_url")
}

fn note(value: Value<'_>, urls: &mut Vec<String>) {
    // A string that cannot be decoded is nobody's URL, but an engine might read it otherwise: it counts as one.
    let url = value.text().map_or_else(String::new, Into::into);
    let holds_data = url
        .get(..5)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
    if !holds_data {
        urls.push(url);
    }
}
