//! What a request holds: all of its texts, looked at by the scanner, and masked where policy says so.
//!
//! Every string and every key of the body is a text, whatever it is for: an engine may read any of them. Parts of one
//! content are looked at together too, and arguments of tool calls as the JSON that they are.

use super::restore::Restore;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use madang_pii::{Finding, Masker, PartsFinding, scan, scan_parts};
use madang_types::PiiKind;
use madang_wire::urls::named_urls;
use madang_wire::{JsonText, JsonTextKind, RequestBody, json_replaced, json_texts};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// What is between the scheme and the content of a data URL is at most so long.
const DATA_URL_HEAD_BYTES_MAX: usize = 256;

/// Findings that are kept for masking, of one body. Where more is found, masking looks anew: a body of nothing but telephone numbers
/// would have several times its own size in findings.
const FOUND_KEPT_MAX: usize = 16 * 1024;

/// What was found in a request.
#[derive(Debug, Default)]
pub struct Inspection {
    /// What was found, by the number of the group of texts; `None` where that is too much to keep.
    found: Option<Vec<(usize, Vec<PartsFinding>)>>,
    counts: BTreeMap<PiiKind, u32>,
    /// Something was found where no placeholder can stand: in a number, in encoded text.
    fixed: bool,
    /// It names a URL.
    urls: bool,
}

/// A masked body, and what puts the values back into its answer.
#[derive(Clone, Debug)]
pub struct Masked {
    /// The body.
    pub body: RequestBody,
    /// Puts back.
    pub restore: Arc<Restore>,
}

/// Texts that are looked at together.
struct Group<'a> {
    texts: Vec<JsonText<'a>>,
}

/// What a URL holds as its host reads it, where the scanner sees nothing of it as it is written.
fn hidden_in(url: &str) -> Vec<Finding> {
    let decoded: Cow<'_, [u8]> = percent_decode_str(url).into();
    if matches!(decoded, Cow::Borrowed(_)) || !scan(url.as_bytes()).is_empty() {
        return Vec::new();
    }
    scan(&decoded)
}

/// Whether a URL holds personal data, percent-encoded or not.
pub fn holds_personal_data(url: &str) -> bool {
    !scan(url.as_bytes()).is_empty() || !hidden_in(url).is_empty()
}

/// Looks at all of a body.
pub fn inspect(body: &RequestBody) -> Inspection {
    let mut inspection = Inspection::default();
    let (mut kept, mut kept_count) = (Some(Vec::new()), 0);
    for named in named_urls(body) {
        inspection.urls = true;
        inspection.inspect_url(&named.url);
    }
    for (number, group) in groups(body.bytes()).enumerate() {
        inspection.inspect_encoded(&group);
        let found = group.scan();
        if found.count() == 0 {
            continue;
        }
        found.each_kind(|kind| *inspection.counts.entry(kind).or_default() += 1);
        inspection.fixed |= group.is_fixed();
        kept_count += found.count();
        kept = kept.filter(|_| kept_count <= FOUND_KEPT_MAX);
        if let Some(kept) = &mut kept {
            kept.push((number, found.into_parts()));
        }
    }
    inspection.found = kept;
    inspection
}

impl Inspection {
    /// How many of each kind were found.
    pub fn counts(&self) -> BTreeMap<PiiKind, u32> {
        self.counts.clone()
    }

    /// Whether all that was found can be masked.
    pub fn is_maskable(&self) -> bool {
        !self.fixed
    }

    /// Whether the body names a URL that an engine would fetch or call.
    pub fn names_urls(&self) -> bool {
        self.urls
    }

    /// The body with placeholders for all that was found. `depth_max` is that of the body.
    pub fn mask(&self, body: &RequestBody, depth_max: u32) -> Option<Masked> {
        // Also those that are too short to be looked at: a placeholder of ours must be none of the caller's words.
        let texts: Vec<JsonText<'_>> = json_texts(body.bytes()).collect();
        let mut masker = Masker::new(texts.iter().map(|text| text.text.as_ref()));
        let mut changes: Vec<(Range<usize>, String)> = Vec::new();
        let mut kept = self.found.as_deref().map(|found| found.iter().peekable());
        for (number, group) in groups(body.bytes()).enumerate() {
            let found = match &mut kept {
                None => Cow::Owned(group.scan().into_parts()),
                Some(kept) => match kept.next_if(|(at, _)| *at == number) {
                    Some((_, found)) => Cow::Borrowed(found.as_slice()),
                    None => continue,
                },
            };
            if found.is_empty() {
                continue;
            }
            let parts: Vec<&str> = group.texts.iter().map(|text| text.text.as_ref()).collect();
            let masked = masker.mask_parts(&parts, &found);
            for (text, masked) in group.texts.iter().zip(masked) {
                if text.text != masked {
                    changes.push((text.span.clone(), masked));
                }
            }
        }
        let bytes = Bytes::from(json_replaced(body.bytes(), &changes));
        Some(Masked {
            body: RequestBody::parse(bytes, depth_max).ok()?,
            restore: Arc::new(Restore::new(masker.unmasker())),
        })
    }

    /// What is percent-encoded in a URL is read; no placeholder can stand there.
    fn inspect_url(&mut self, url: &str) {
        for finding in hidden_in(url) {
            *self.counts.entry(finding.kind).or_default() += 1;
            self.fixed = true;
        }
    }

    /// Text that stands in a data URL is read; no placeholder can stand there.
    fn inspect_encoded(&mut self, group: &Group<'_>) {
        for text in &group.texts {
            let Some(decoded) = encoded_text(&text.text) else {
                continue;
            };
            for finding in scan(&decoded) {
                *self.counts.entry(finding.kind).or_default() += 1;
                self.fixed = true;
            }
        }
    }
}

/// What was found in a group of texts.
enum Found {
    InOne(Vec<Finding>),
    InParts(Vec<PartsFinding>),
}

impl Found {
    fn count(&self) -> usize {
        match self {
            Self::InOne(found) => found.len(),
            Self::InParts(found) => found.len(),
        }
    }

    fn each_kind(&self, see: impl FnMut(PiiKind)) {
        match self {
            Self::InOne(found) => found.iter().map(|finding| finding.kind).for_each(see),
            Self::InParts(found) => found.iter().map(|finding| finding.kind).for_each(see),
        }
    }

    fn into_parts(self) -> Vec<PartsFinding> {
        match self {
            Self::InOne(found) => found.into_iter().map(of_one_part).collect(),
            Self::InParts(found) => found,
        }
    }
}

impl Group<'_> {
    fn scan(&self) -> Found {
        match self.texts.as_slice() {
            [one] => Found::InOne(scan(visible(&one.text).as_bytes())),
            many => {
                let parts: Vec<&str> = many.iter().map(|text| text.text.as_ref()).collect();
                Found::InParts(scan_parts(&parts))
            }
        }
    }

    fn is_fixed(&self) -> bool {
        let number = |text: &JsonText<'_>| text.kind == JsonTextKind::Number;
        self.texts.iter().any(number)
    }
}

fn of_one_part(finding: Finding) -> PartsFinding {
    PartsFinding {
        kind: finding.kind,
        confidence: finding.confidence,
        pieces: vec![(0, finding.span)],
    }
}

/// The texts of a JSON text in groups: the text parts of one content together, everything else by itself.
fn groups(json: &[u8]) -> impl Iterator<Item = Group<'_>> {
    let mut texts = json_texts(json).filter(is_worth_a_look).peekable();
    std::iter::from_fn(move || {
        let first = texts.next()?;
        let run = (first.key == b"text").then_some(first.run);
        let mut group = Group { texts: vec![first] };
        // Between two text parts of a content stand the words of their types.
        while let Some(run) = run {
            match texts.peek() {
                Some(next) if next.run == run && next.key == b"text" => {
                    group.texts.extend(texts.next());
                }
                _ => break,
            }
        }
        Some(group)
    })
}

/// Short words hold nothing, and are most of a body's strings; a short part of a content may go on in the next.
fn is_worth_a_look(text: &JsonText<'_>) -> bool {
    text.text.len() >= TEXT_BYTES_MIN || text.key == b"text"
}

/// The shortest personal data is an internet address, as in `1.1.1.1`.
const TEXT_BYTES_MIN: usize = 7;

/// A text without the content of a data URL, which is no text.
fn visible(text: &str) -> &str {
    match data_url(text) {
        Some((_, content)) => &text[..text.len() - content.len()],
        None => text,
    }
}

/// Head and content of a data URL in base64.
fn data_url(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix("data:")?;
    let head_max = rest.floor_char_boundary(DATA_URL_HEAD_BYTES_MAX);
    let comma = rest[..head_max].find(',')?;
    let (head, content) = (&rest[..comma], &rest[comma + 1..]);
    head.ends_with(";base64").then_some((head, content))
}

/// The text of a data URL that holds some.
fn encoded_text(text: &str) -> Option<Cow<'_, [u8]>> {
    let (head, content) = data_url(text)?;
    let is_text = head.starts_with("text/")
        || ["application/json", "application/xml", "application/csv"]
            .iter()
            .any(|kind| head.starts_with(kind));
    if !is_text {
        return None;
    }
    let decoded = STANDARD.decode(content.trim_end()).ok()?;
    Some(Cow::Owned(decoded))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const DEPTH_MAX: u32 = 64;

    fn body_of(contents: Value) -> RequestBody {
        let body = json!({ "messages": [{ "role": "user", "content": contents }] });
        RequestBody::parse(Bytes::from(body.to_string()), DEPTH_MAX).unwrap()
    }

    /// What is found, and whether it can be masked; where it can, none of `hidden` is left.
    fn check(contents: Value, found: &[PiiKind], maskable: bool, hidden: &[&str]) {
        let body = body_of(contents.clone());
        let inspection = inspect(&body);
        let kinds: Vec<PiiKind> = inspection.counts().into_keys().collect();
        assert_eq!(kinds, found, "{contents}");
        assert_eq!(inspection.is_maskable(), maskable, "{contents}");
        if !maskable {
            return;
        }
        let masked = inspection.mask(&body, DEPTH_MAX).unwrap();
        let text = String::from_utf8_lossy(masked.body.bytes()).into_owned();
        for part in hidden {
            assert!(!text.contains(part), "{part} in {text}");
        }
        let restored = masked.restore.answer(text.as_bytes());
        assert_eq!(said(&restored), said(body.bytes()));
    }

    /// The parts, one after the other: a value that was cut over parts comes back whole, in the first of them.
    fn said(json: &[u8]) -> String {
        let body: Value = serde_json::from_slice(json).unwrap();
        match &body["messages"][0]["content"] {
            Value::Array(parts) => {
                let own = |part: &Value| {
                    part["text"]
                        .as_str()
                        .or(part["file_data"].as_str())
                        .map(str::to_owned)
                };
                parts.iter().filter_map(own).collect()
            }
            content => content.to_string(),
        }
    }

    fn text(text: &str) -> Value {
        json!({ "type": "text", "text": text })
    }

    #[test]
    fn what_is_found_is_masked_wherever_it_stands() {
        use PiiKind::{Phone, Rrn};
        check(json!("안녕하세요"), &[], true, &[]);
        check(
            json!("제 번호는 010-2345-6789 입니다"),
            &[Phone],
            true,
            &["2345", "6789"],
        );
        // The head of a data URL is text; its place counts from the URL's beginning.
        let url = "data:application/pdf;name=010-2345-6789.pdf;base64,AAAA";
        check(
            json!([{ "type": "file", "file_data": url }]),
            &[Phone],
            true,
            &["2345", "6789"],
        );
        // A part that is short by itself goes on in the next.
        let parts = json!([text("제 전화번호는"), text("010-23"), text("45-6789")]);
        check(parts, &[Phone], true, &["010-23", "45-6789"]);
        // Encoded text is read beside a part that has something of its own.
        let encoded = format!(
            "data:text/plain;base64,{}",
            STANDARD.encode("주민번호 900101-1234568")
        );
        let both = json!([text("010-2345-6789"), text(&encoded)]);
        check(both, &[Rrn, Phone], false, &[]);
        // A URL is read as its host reads it, and as it is written.
        let image = |url: &str| json!([{ "type": "image_url", "image_url": { "url": url } }]);
        let encoded = "https://a.kr/010%2D2345%2D6789.png?%20";
        check(image(encoded), &[Phone], false, &[]);
        let written = json!([{ "text": "https://a.kr/010-2345-6789.png?%20" }]);
        check(written, &[Phone], true, &["2345"]);
    }

    #[test]
    fn more_than_is_kept_is_masked_all_the_same() {
        let numbers = |count: usize| {
            let part = text("전화 010-2345-6789 ");
            json!(vec![part; count])
        };
        for (count, is_kept) in [(FOUND_KEPT_MAX, true), (FOUND_KEPT_MAX + 1, false)] {
            let body = body_of(numbers(count));
            let inspection = inspect(&body);
            assert_eq!(inspection.found.is_some(), is_kept, "{count}");
            let counts = inspection.counts();
            assert_eq!(counts[&PiiKind::Phone] as usize, count);
            let masked = inspection.mask(&body, DEPTH_MAX).unwrap();
            assert!(!String::from_utf8_lossy(masked.body.bytes()).contains("2345"));
        }
    }

    #[test]
    fn a_placeholder_is_none_of_the_callers_words() {
        let body = body_of(json!([text("client ip 203.0.113.7"), text("[IP_1]")]));
        let masked = inspect(&body).mask(&body, DEPTH_MAX).unwrap();
        let own = br#"{"said":"[IP_1]"}"#;
        assert_eq!(masked.restore.answer(own), own);
    }
}
