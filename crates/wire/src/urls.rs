//! What a request would have its engine fetch, and images put in place of their URLs.

use std::ops::Range;

use crate::body::RequestBody;
use crate::json::{Kind, Value};

#[cfg(test)]
mod tests;

/// Fields in which an engine looks for things to fetch.
const PLACES: [&str; 5] = ["messages", "input", "system", "tools", "mcp_servers"];
/// What stands there without being fetched: the model's own words, schemas of tools, what an answer cited.
const OPAQUE: [&str; 8] = [
    "action",
    "annotations",
    "arguments",
    "citations",
    "input",
    "input_schema",
    "parameters",
    "schema",
];
/// Parts of an earlier answer whose `url` says where the engine has been.
const ECHOED: [&str; 4] = [
    "url_citation",
    "web_fetch_result",
    "web_search_result",
    "web_search_result_location",
];

/// A URL that a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedUrl {
    /// The URL; empty where it cannot be decoded, since an engine might read it otherwise.
    pub url: String,
    form: Form,
    /// What of the body it is: the string, or the object around it.
    span: Range<usize>,
}

/// How a URL is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As the text of an image.
    ImageText,
    /// As the source of an image in Anthropic's format.
    ImageSource,
    /// Of a file, a sound, a tool server: of whatever is no image.
    Other,
}

impl NamedUrl {
    /// Whether an image's data can stand in its place ([`with_images`]).
    #[must_use]
    pub fn is_image(&self) -> bool {
        self.form != Form::Other
    }
}

/// An image's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageData {
    /// Its type, as `image/png`.
    pub media_type: &'static str,
    /// Its bytes in base64.
    pub base64: String,
}

/// Every URL in a request that its engine would fetch or call, in their order: of images, audio, video and files in any of
/// the APIs, of documents, of tool servers. What holds its data itself (`data:`) is none; anything else is, whatever its
/// scheme.
#[must_use]
pub fn named_urls(body: &RequestBody) -> Vec<NamedUrl> {
    let mut search = Search {
        whole: body.bytes(),
        urls: Vec::new(),
    };
    if may_name_one(body.bytes()) {
        for place in PLACES.iter().filter_map(|name| body.some(name)) {
            search.container(place, false);
        }
    }
    search.urls.sort_by_key(|named| named.span.start);
    search.urls
}

/// The body with data in place of the URLs of images, which are in the order of [`named_urls`].
#[must_use]
pub fn with_images<'i>(
    body: &RequestBody,
    images: impl Iterator<Item = (&'i NamedUrl, &'i ImageData)> + Clone,
) -> Vec<u8> {
    let json = body.bytes();
    let added: usize = images.clone().map(|(_, data)| data.base64.len() + 64).sum();
    let mut out = Vec::with_capacity(json.len() + added);
    let mut at = 0;
    for (named, ImageData { media_type, base64 }) in images {
        out.extend_from_slice(json.get(at..named.span.start).unwrap_or_default());
        let (before, between, after) = match named.form {
            Form::ImageSource => (
                "{\"type\":\"base64\",\"media_type\":\"",
                "\",\"data\":\"",
                "\"}",
            ),
            Form::ImageText | Form::Other => ("\"data:", ";base64,", "\""),
        };
        for text in [before, media_type, between, base64, after] {
            out.extend_from_slice(text.as_bytes());
        }
        at = named.span.end;
    }
    out.extend_from_slice(json.get(at..).unwrap_or_default());
    out
}

/// Whether any key of the body can end in `url`, escaped or not: most bodies are passed at the speed of memory.
fn may_name_one(text: &[u8]) -> bool {
    [&b"url\""[..], b"\\u00"]
        .iter()
        .any(|word| memchr::memmem::find(text, word).is_some())
}

fn is_url(name: &str) -> bool {
    name == "url" || name.ends_with("_url")
}

struct Search<'a> {
    whole: &'a [u8],
    urls: Vec<NamedUrl>,
}

/// Goes down into all that a body holds; a body is parsed with a bound on its depth.
impl<'a> Search<'a> {
    /// `of_url`: it stands under the key of a URL.
    fn container(&mut self, value: Value<'a>, of_url: bool) {
        if value.kind() == Some(Kind::Object) {
            return self.object(value, of_url);
        }
        for item in value.items() {
            match item.kind() {
                Some(Kind::Object | Kind::Array) => self.container(item, of_url),
                Some(Kind::String) if of_url => self.note(item, item, Form::Other),
                _ => {}
            }
        }
    }

    fn object(&mut self, object: Value<'a>, of_image: bool) {
        let kind = object.get("type").and_then(Value::text).unwrap_or_default();
        let echoed = ECHOED.contains(&kind.as_ref());
        for (key, value) in object.entries() {
            // Decoded: an escape in a key is no way past this.
            let key = key.decoded().unwrap_or_default();
            let key = key.as_ref();
            match value.kind() {
                Some(Kind::String) if is_url(key) => {
                    let image = key == "image_url" || (of_image && key == "url");
                    if !(echoed && key == "url") {
                        let form = if image { Form::ImageText } else { Form::Other };
                        self.note(value, value, form);
                    }
                }
                Some(Kind::Object | Kind::Array) if OPAQUE.contains(&key) => {}
                Some(Kind::Object) if key == "source" && kind == "image" => self.source(value),
                Some(Kind::Object) => self.object(value, key == "image_url"),
                Some(Kind::Array) => self.container(value, is_url(key)),
                _ => {}
            }
        }
    }

    /// Where an image's data is, in Anthropic's format.
    fn source(&mut self, source: Value<'a>) {
        let mut urls = source.entries().filter(|(key, value)| {
            let key = key.decoded().unwrap_or_default();
            value.kind() == Some(Kind::String) && is_url(&key)
        });
        match (urls.next(), urls.next()) {
            (Some((_, url)), None) => self.note(url, source, Form::ImageSource),
            // Of two it is not known which one is meant.
            _ => self.object(source, false),
        }
    }

    fn note(&mut self, text: Value<'a>, around: Value<'a>, form: Form) {
        let url = text.text().map_or_else(String::new, Into::into);
        let holds_data = url
            .get(..5)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
        if !holds_data {
            let start = around.0.as_ptr().addr() - self.whole.as_ptr().addr();
            let span = start..start + around.0.len();
            self.urls.push(NamedUrl { url, form, span });
        }
    }
}
