use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const EVENT_BYTES_MAX: usize = 4096;

/// The events of a stream that comes in the given pieces, and its rest.
fn split(pieces: &[&[u8]]) -> (Vec<SseEvent>, Option<Bytes>) {
    let mut splitter = SseSplitter::new(EVENT_BYTES_MAX);
    let mut out = Vec::new();
    for piece in pieces {
        splitter
            .push(Bytes::copy_from_slice(piece), &mut out)
            .expect("no event is too large");
    }
    (out, splitter.finish())
}

fn raws(pieces: &[&[u8]]) -> Vec<String> {
    split(pieces)
        .0
        .iter()
        .map(|event| String::from_utf8_lossy(&event.raw).into_owned())
        .collect()
}

#[test]
fn events_end_at_blank_lines_of_any_kind() {
    let cases: &[(&str, &[&str], Option<&str>)] = &[
        (
            "data: a\n\ndata: b\n\n",
            &["data: a\n\n", "data: b\n\n"],
            None,
        ),
        (
            "data: a\r\n\r\ndata: b\r\n\r\n",
            &["data: a\r\n\r\n", "data: b\r\n\r\n"],
            None,
        ),
        (
            "data: a\r\rdata: b\r\r",
            &["data: a\r\r", "data: b\r\r"],
            None,
        ),
        (
            "data: a\n\r\ndata: b\r\n\n",
            &["data: a\n\r\n", "data: b\r\n\n"],
            None,
        ),
        (
            "data: a\n\rdata: b\n\n",
            &["data: a\n\r", "data: b\n\n"],
            None,
        ),
        ("\n\ndata: a\n\n", &["\n", "\n", "data: a\n\n"], None),
        (
            "data: a\r\r\ndata: b\n\n",
            &["data: a\r\r", "\n", "data: b\n\n"],
            None,
        ),
        ("data: a\n\ndata: b\n", &["data: a\n\n"], Some("data: b\n")),
        ("", &[], None),
    ];
    for (stream, events, rest) in cases {
        assert_eq!(raws(&[stream.as_bytes()]), *events, "{stream:?}");
        assert_eq!(
            split(&[stream.as_bytes()]).1.as_deref(),
            rest.map(str::as_bytes),
            "{stream:?}"
        );
    }
}

#[test]
fn an_event_in_one_chunk_is_not_copied() {
    let chunk = Bytes::from_static(b"data: a\n\ndata: b\n\n");
    let mut out = Vec::new();
    SseSplitter::new(EVENT_BYTES_MAX)
        .push(chunk.clone(), &mut out)
        .unwrap();
    assert_eq!(out[0].raw.as_ptr(), chunk.as_ptr());
    assert_eq!(out[1].raw.as_ptr(), chunk.slice(9..).as_ptr());
}

#[test]
fn an_event_leaves_with_its_last_byte() {
    for stream in ["data: a\n\n", "data: a\r\n\r\n", "data: a\r\r"] {
        let mut splitter = SseSplitter::new(EVENT_BYTES_MAX);
        let mut out = Vec::new();
        splitter
            .push(Bytes::from_static(stream.as_bytes()), &mut out)
            .unwrap();
        assert_eq!((out.len(), splitter.pending_bytes()), (1, 0), "{stream:?}");
    }
}

#[test]
fn a_large_event_is_refused_and_those_before_it_are_kept() {
    let mut splitter = SseSplitter::new(10);
    let mut out = Vec::new();
    splitter
        .push(Bytes::from_static(b"data: 12\n\ndata: "), &mut out)
        .unwrap();
    assert_eq!(out.len(), 1);
    let refused = splitter.push(Bytes::from_static(b"12345"), &mut out);
    assert_eq!(
        refused,
        Err(SseError::EventTooLarge {
            event_bytes_max: 10
        })
    );
    assert!(splitter.pending_bytes() <= 10);
    assert!(
        SseSplitter::new(10)
            .push(Bytes::from_static(b"data: 123\n\n"), &mut out)
            .is_err()
    );
}

#[test]
fn fields_are_read_as_the_standard_says() {
    let event = |raw: &'static str| SseEvent {
        raw: Bytes::from_static(raw.as_bytes()),
    };
    let data = |raw| {
        event(raw)
            .data()
            .map(|data| String::from_utf8(data.into_owned()).unwrap())
    };
    assert_eq!(data("data: {}\n\n").as_deref(), Some("{}"));
    assert_eq!(data("data:{}\r\n\r\n").as_deref(), Some("{}"));
    assert_eq!(data("data:  two\n\n").as_deref(), Some(" two"));
    assert_eq!(
        data("data: a\ndata: b\ndata\n\n").as_deref(),
        Some("a\nb\n")
    );
    assert_eq!(data("event: x\n\n"), None);
    assert_eq!(data("\u{feff}data: x\n\n").as_deref(), Some("x"));
    assert_eq!(data("database: x\n\n"), None);
    assert!(matches!(
        event("data: a\n\n").data(),
        Some(Cow::Borrowed(_))
    ));
    assert_eq!(
        event("event: response.created\ndata: {}\n\n").event_name(),
        Some("response.created")
    );
    assert_eq!(event("data: {}\n\n").event_name(), None);
    assert!(event("data: [DONE]\n\n").is_done());
    assert!(event("data:[DONE]\r\n\r\n").is_done());
    assert!(!event("data: {\"x\":\"[DONE]\"}\n\n").is_done());
    assert!(event(": keep-alive\n\n").is_comment());
    assert!(event("\n").is_comment());
    assert!(!event(": c\ndata: x\n\n").is_comment());
}

/// The standard's reading of a whole stream: names and data of what it dispatches.
fn dispatched(stream: &str) -> Vec<(Option<String>, String)> {
    let stream = stream.strip_prefix('\u{feff}').unwrap_or(stream);
    let unified = stream.replace("\r\n", "\n").replace('\r', "\n");
    let mut out = Vec::new();
    let (mut name, mut data): (Option<String>, Vec<&str>) = (None, Vec::new());
    for line in unified
        .split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'))
    {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            _ if line.is_empty() => {
                let name = name.take().filter(|name| !name.is_empty());
                if !data.is_empty() {
                    out.push((name, std::mem::take(&mut data).join("\n")));
                }
            }
            "data" => data.push(value),
            "event" => name = Some(value.to_owned()),
            _ => {}
        }
    }
    out
}

fn stream() -> impl Strategy<Value = String> {
    let pieces = vec![
        "\n",
        "\n",
        "\r",
        "\r\n",
        "data: ",
        "data",
        ":",
        " ",
        "event: e",
        "x",
        "{\"가\":1}",
        "[DONE]",
        "id: 1",
    ];
    vec(select(pieces), 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn cuts_make_no_difference(stream in stream(), cuts in vec(any::<prop::sample::Index>(), 0..12)) {
        let bytes = stream.as_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        let bytewise: Vec<&[u8]> = bytes.chunks(1).collect();
        let whole = split(&[bytes]);
        prop_assert_eq!(&split(&pieces), &whole);
        prop_assert_eq!(&split(&bytewise), &whole);
        let joined: Vec<u8> = whole.0.iter().flat_map(|event| event.raw.to_vec()).chain(whole.1.into_iter().flatten()).collect();
        prop_assert_eq!(joined, bytes);
    }

    #[test]
    fn events_are_those_of_the_standard(stream in stream()) {
        // A trailing line end, so that what hangs on the byte after a last `\r` is decided.
        let stream = stream + "\n";
        let (events, rest) = split(&[stream.as_bytes()]);
        let read: Vec<_> = events
            .iter()
            .filter_map(|event| Some((event.event_name().map(str::to_owned), String::from_utf8(event.data()?.into_owned()).unwrap())))
            .collect();
        let rest = rest.map(|rest| dispatched(&String::from_utf8_lossy(&rest))).unwrap_or_default();
        prop_assert!(rest.is_empty());
        prop_assert_eq!(read, dispatched(&stream));
    }

    #[test]
    fn memory_stays_bounded(chunks in vec(vec(select(b"data: \n\r".to_vec()), 0..40), 0..20)) {
        let mut splitter = SseSplitter::new(16);
        let mut out = Vec::new();
        for chunk in chunks {
            if splitter.push(Bytes::from(chunk), &mut out).is_err() {
                break;
            }
            prop_assert!(splitter.pending_bytes() <= 16);
        }
        prop_assert!(out.iter().all(|event| event.raw.len() <= 16));
    }
}
