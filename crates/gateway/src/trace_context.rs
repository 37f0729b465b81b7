//! W3C trace context: who called, and what the next one is told. Nothing is recorded here; the ids are passed on.
//!
//! <https://www.w3.org/TR/trace-context/>, level 1 with the `random` flag of level 2 kept.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use madang_types::Hex;
use std::fmt;

/// The header that carries the trace's id, the caller's span and the flags.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The header that carries what tracing systems add of their own.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Most members of a `tracestate`.
const STATE_MEMBERS_MAX: usize = 32;
/// Most bytes of a `tracestate` that are passed on; the standard asks for at least 512.
const STATE_BYTES_MAX: usize = 2048;
/// Flags that version 00 knows: sampled and random.
const FLAGS_KNOWN: u8 = 0b11;
/// A trace that begins here is marked sampled, so that an engine's own tracing acts as if it had been asked directly.
const FLAGS_ROOT: u8 = 0b01;

/// Fresh random bytes for the ids: 16 for a trace, 8 for a span.
pub struct RandomIds {
    /// For the trace's id, used only where none came in.
    pub trace: [u8; 16],
    /// For the span's id.
    pub span: [u8; 8],
}

impl RandomIds {
    /// Bytes from the thread's own generator, which the kernel's seeds: a call into the kernel for each request would
    /// cost more than all else that is done for a trace.
    pub fn new() -> Self {
        Self {
            trace: rand::random(),
            span: rand::random(),
        }
    }
}

impl Default for RandomIds {
    fn default() -> Self {
        Self::new()
    }
}

/// One position in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace: [u8; 16],
    span: [u8; 8],
    flags: u8,
    state: Option<HeaderValue>,
}

impl TraceContext {
    /// What the headers say, or `None` where they say nothing or something malformed. A malformed `tracestate`
    /// alone is dropped and the rest kept.
    pub fn parse(headers: &HeaderMap) -> Option<Self> {
        let mut parents = headers.get_all(TRACEPARENT).iter();
        let parent = parents.next()?.as_bytes();
        if parents.next().is_some() {
            return None;
        }
        let (trace, span, flags) = parent_parse(parent)?;
        let state = state_parse(headers);
        Some(Self {
            trace,
            span,
            flags,
            state,
        })
    }

    /// A trace that begins here.
    pub fn root(random: &RandomIds) -> Self {
        Self {
            trace: not_zero(random.trace),
            span: not_zero(random.span),
            flags: FLAGS_ROOT,
            state: None,
        }
    }

    /// The same trace with a span of our own.
    #[must_use]
    pub fn child(&self, random: &RandomIds) -> Self {
        Self {
            span: not_zero(random.span),
            ..self.clone()
        }
    }

    /// Our span for a request with these headers: a child of the caller's, or the root of a new trace.
    pub fn from_headers(headers: &HeaderMap, random: &RandomIds) -> Self {
        match Self::parse(headers) {
            Some(caller) => caller.child(random),
            None => Self::root(random),
        }
    }

    /// Sets `traceparent` and `tracestate` on what is sent on, in place of what stands there.
    pub fn write(&self, headers: &mut HeaderMap) {
        headers.insert(TRACEPARENT, self.traceparent());
        match &self.state {
            Some(state) => {
                headers.insert(TRACESTATE, state.clone());
            }
            None => {
                headers.remove(TRACESTATE);
            }
        }
    }

    /// The header's value.
    pub fn traceparent(&self) -> HeaderValue {
        HeaderValue::from_str(&self.to_string())
            .expect("hexadecimal digits and dashes are a header value")
    }

    /// The trace's id as 32 hexadecimal digits, for logs.
    pub fn trace_hex(&self) -> String {
        Hex(&self.trace).to_string()
    }

    /// The span's id as 16 hexadecimal digits, for logs.
    pub fn span_hex(&self) -> String {
        Hex(&self.span).to_string()
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{}-{}-{}",
            Hex(&self.trace),
            Hex(&self.span),
            Hex(&[self.flags])
        )
    }
}

/// All-zero ids are invalid; random bytes are never that in practice.
fn not_zero<const N: usize>(mut bytes: [u8; N]) -> [u8; N] {
    if bytes == [0; N] {
        bytes[N - 1] = 1;
    }
    bytes
}

fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// `version-trace-span-flags`; a later version may have more behind a further dash.
fn parent_parse(text: &[u8]) -> Option<([u8; 16], [u8; 8], u8)> {
    let (head, rest) = text.split_at_checked(55)?;
    let [version] = hex::<1>(&head[0..2])?;
    let rest_sound = match version {
        0xff => false,
        0 => rest.is_empty(),
        _ => rest.is_empty() || rest[0] == b'-',
    };
    let dashes = [head[2], head[35], head[52]] == *b"---";
    let trace: [u8; 16] = hex(&head[3..35])?;
    let span: [u8; 8] = hex(&head[36..52])?;
    let [flags] = hex::<1>(&head[53..55])?;
    let sound = rest_sound && dashes && trace != [0; 16] && span != [0; 8];
    sound.then_some((trace, span, flags & FLAGS_KNOWN))
}

/// All `tracestate` headers as one list, or `None` where there is none or one is malformed.
fn state_parse(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut members: Vec<&str> = Vec::new();
    let mut keys = std::collections::BTreeSet::new();
    for value in headers.get_all(TRACESTATE) {
        for member in value.to_str().ok()?.split(',') {
            let member = member.trim_matches([' ', '\t']);
            if member.is_empty() {
                continue;
            }
            let (key, value) = member.split_once('=')?;
            let sound = state_key_sound(key) && state_value_sound(value) && keys.insert(key);
            if !sound || members.len() == STATE_MEMBERS_MAX {
                return None;
            }
            members.push(member);
        }
    }
    let joined = members.join(",");
    let passed_on = !joined.is_empty() && joined.len() <= STATE_BYTES_MAX;
    if passed_on {
        HeaderValue::from_str(&joined).ok()
    } else {
        None
    }
}

fn state_key_sound(key: &str) -> bool {
    let simple = |part: &str, length_max: usize, digit_first: bool| {
        let first_sound = part
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_lowercase() || (digit_first && b.is_ascii_digit()));
        let rest_sound = part
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-*/".contains(&b));
        first_sound && rest_sound && part.len() <= length_max
    };
    match key.split_once('@') {
        None => simple(key, 256, false),
        Some((tenant, system)) => simple(tenant, 241, true) && simple(system, 14, false),
    }
}

fn state_value_sound(value: &str) -> bool {
    let length_sound = (1..=256).contains(&value.len());
    let characters_sound = value
        .bytes()
        .all(|b| (0x20..=0x7e).contains(&b) && b != b',' && b != b'=');
    length_sound && characters_sound && !value.ends_with(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const RANDOM: RandomIds = RandomIds {
        trace: [0xab; 16],
        span: [0xcd; 8],
    };

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    #[test]
    fn a_child_keeps_the_trace_and_flags_and_has_its_own_span() {
        let check = |incoming: &str, expected: &str| {
            let context =
                TraceContext::from_headers(&headers(&[("traceparent", incoming)]), &RANDOM);
            assert_eq!(context.to_string(), expected, "{incoming}");
        };
        let child = "00-4bf92f3577b34da6a3ce929d0e0e4736-cdcdcdcdcdcdcdcd-01";
        let root = "00-abababababababababababababababab-cdcdcdcdcdcdcdcd-01";
        check(PARENT, child);
        check(
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
            &child.replace("-01", "-00"),
        );
        check(
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff",
            &child.replace("-01", "-03"),
        );
        check(
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            child,
        );
        check(
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes-later",
            child,
        );
        check(
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-no",
            root,
        );
        check(
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.no",
            root,
        );
        check(
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            root,
        );
        check(
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            root,
        );
        check(
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            root,
        );
        check(
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            root,
        );
        check(
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            root,
        );
        check(
            "0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            root,
        );
        check(
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            root,
        );
        check("", root);
    }

    #[test]
    fn no_header_or_two_of_them_begin_a_new_trace() {
        assert_eq!(TraceContext::parse(&headers(&[])), None);
        assert_eq!(
            TraceContext::parse(&headers(&[
                ("traceparent", PARENT),
                ("traceparent", PARENT)
            ])),
            None
        );
    }

    #[test]
    fn a_state_is_passed_on_whole_or_not_at_all() {
        let check = |states: &[&str], expected: Option<&str>| {
            let mut pairs = vec![("traceparent", PARENT)];
            pairs.extend(states.iter().map(|s| ("tracestate", *s)));
            let mut sent = headers(&[("tracestate", "stale=1")]);
            TraceContext::from_headers(&headers(&pairs), &RANDOM).write(&mut sent);
            assert_eq!(
                sent.get(TRACESTATE).map(|v| v.to_str().unwrap()),
                expected,
                "{states:?}"
            );
            assert_eq!(sent.get_all(TRACEPARENT).iter().count(), 1);
        };
        check(
            &["rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"],
            Some("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        );
        check(&["rojo=1", "congo=2"], Some("rojo=1,congo=2"));
        check(&["foo=1 \t , \t bar=2, \t "], Some("foo=1,bar=2"));
        check(&["fw529a3039@dt=FfxRc"], Some("fw529a3039@dt=FfxRc"));
        check(&["0tenant@system=1"], Some("0tenant@system=1"));
        check(&["", ","], None);
        check(&["foo=1,foo=2"], None);
        check(&["FOO=1"], None);
        check(&["1foo=1"], None);
        check(&["foo@=1,bar=2"], None);
        check(&["foo@bar@baz=1"], None);
        check(&["foo"], None);
        check(&["foo="], None);
        check(&["foo=bar=baz"], None);
        check(&[&format!("foo={}", "x".repeat(257))], None);
        let many: Vec<_> = (0..33).map(|i| format!("k{i}=1")).collect();
        check(&[&many[..32].join(",")], Some(&many[..32].join(",")));
        check(&[&many.join(",")], None);
    }

    #[test]
    fn a_state_without_its_parent_is_dropped() {
        let mut sent = HeaderMap::new();
        TraceContext::from_headers(&headers(&[("tracestate", "foo=1")]), &RANDOM).write(&mut sent);
        assert_eq!(sent.get(TRACESTATE), None);
    }

    #[test]
    fn random_ids_differ_and_zero_is_never_sent() {
        assert_ne!(RandomIds::new().trace, RandomIds::new().trace);
        let zero = RandomIds {
            trace: [0; 16],
            span: [0; 8],
        };
        let sent = headers(&[("traceparent", &TraceContext::root(&zero).to_string())]);
        assert!(TraceContext::parse(&sent).is_some());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_fault(bytes in proptest::collection::vec(0x20u8..0x7f, 0..80)) {
            let mut map = HeaderMap::new();
            map.append(TRACEPARENT, HeaderValue::from_bytes(&bytes).unwrap());
            map.append(TRACESTATE, HeaderValue::from_bytes(&bytes).unwrap());
            let context = TraceContext::from_headers(&map, &RANDOM);
            proptest::prop_assert_eq!(context.to_string().len(), 55);
        }
    }
}
