//! Forms of requests, and what is said of those that are wrong.

use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::{Cursor, Write};

const HEAD: &str = "arrival_ms,input_tokens,output_tokens\n";
const BLOCKS: &str = "arrival_ms,input_tokens,output_tokens,prefix_block_ids_512\n";

fn requests(bytes: &[u8]) -> Result<Requests, TraceError> {
    Requests::new(Box::new(Cursor::new(bytes.to_vec())))
}

fn said(bytes: &[u8]) -> String {
    match requests(bytes).and_then(Requests::summary) {
        Ok(s) => format!(
            "{} requests, {} us, {} in, {} out, longest {}, hole {:?}",
            s.requests, s.span_us, s.input_tokens, s.output_tokens, s.tokens_max, s.hole_us
        ),
        Err(error) => error.to_string(),
    }
}

fn check(text: &str, expected: &str) {
    assert_eq!(said(text.as_bytes()), expected, "{text}");
}

#[test]
fn the_forms_of_others_are_read() {
    let expected = "2 requests, 1500000 us, 30 in, 7 out, longest 24, hole (1500000, 0)";
    for text in [
        "arrival_ms,input_tokens,output_tokens\n0,10,3\n1500,20,4\n",
        // Whatever else there is, in quotes, with a mark before it, in lines as Windows writes them; the first name that is known counts.
        "\u{feff}\"id\",timestamp,\"output_tokens\",input_tokens,arrival_ms\r\n\r\n\"a,b\",9,3,10,0\r\n\"c\",8,4,20,1.5e3,,\r\n",
        "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:15:46.6805900,10,3\r\n2023-11-16 18:15:48.1805900,20,4\r\n",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.009930+00:00,10,3\n2024-05-10 00:00:01.509930+00:00,20,4\n",
        "{\"timestamp\": 27000, \"input_length\": 10, \"output_length\": 3, \"hash_ids\": [0]}\n\
         {\"timestamp\": 28500, \"input_length\": 20, \"output_length\": 4, \"hash_ids\": [0, 1]}\n",
    ] {
        check(text, expected);
    }
}

#[test]
fn packed_traces_are_read() {
    let text = format!("{HEAD}0,10,3\n1500,20,4\n");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    assert_eq!(said(&gzip.finish().unwrap()), said(text.as_bytes()));
    let zstd = ruzstd::encoding::compress_to_vec(
        text.as_bytes(),
        ruzstd::encoding::CompressionLevel::Fastest,
    );
    assert_eq!(said(&zstd), said(text.as_bytes()));
}

#[test]
fn blocks_are_read_in_each_form() {
    let blocks = |text: &str| {
        let (rows, _) = requests(text.as_bytes()).unwrap().all().unwrap();
        rows[0].blocks.to_vec()
    };
    assert_eq!(
        blocks(&format!("{BLOCKS}1,2,3,7 0-2  9\n")),
        [7, 0, 1, 2, 9]
    );
    assert_eq!(blocks(&format!("{BLOCKS}1,2,3,\n")), [0; 0]);
    assert_eq!(blocks(&format!("{HEAD}1,2,3\n")), [0; 0]);
    let head = "{\"arrival_ms\": 0, \"input_tokens\": 1, \"output_tokens\": 1";
    let name = "prefix_block_ids_512";
    for ids in [
        "\"hash_ids\": [4, 5]".to_owned(),
        format!("\"{name}\": [4, 5]"),
        format!("\"{name}\": \"4-5\""),
    ] {
        assert_eq!(blocks(&format!("{head}, {ids}}}\n")), [4, 5], "{ids}");
    }
    let up = "a range of ids that go up, of 1,048,576 in a row at most";
    let id = "a block's id, or a range of them";
    for (ids, part, expected) in [
        ("9-4", "9-4", up),
        ("0-1048574 7 8", "8", up),
        ("3.5", "3.5", id),
        ("-3", "-3", id),
        ("0 x", "x", id),
    ] {
        let expected = format!("line 2: '{part}' is not {expected}");
        check(&format!("{BLOCKS}1,2,3,{ids}\n"), &expected);
    }
    assert_eq!(blocks(&format!("{BLOCKS}1,2,3,0-1048575\n")).len(), 1 << 20);
}

#[test]
fn what_is_no_trace_of_requests_is_said() {
    check("", "the trace has no rows");
    check(" \r\n\n", "the trace has no rows");
    check(HEAD, "the trace has no rows");
    check(
        "a,b\n1,2\n",
        "the trace has no column 'arrival_ms'; it has: a,b",
    );
    check(
        "arrival_ms\tinput_tokens\toutput_tokens\n",
        "the trace has no column 'arrival_ms'; it has: arrival_ms\tinput_tokens\toutput_tokens (columns are set apart by commas)",
    );
    check(
        "arrival_ms,input_tokens,output_tokens\r0,1,1\r",
        "the trace has no column 'output_tokens'; it has: arrival_ms,input_tokens,output_tokens\u{fffd}0,1,1 (lines end by a newline, not by a carriage return alone)",
    );
    check(
        "arrival_ms,input_tokens,arrival_ms,output_tokens\n",
        "the trace has two columns 'arrival_ms'; leave one of them",
    );
    check(
        "category,t_s,req_per_s\na,0,1\n",
        "it holds requests a second, not requests; a scenario reads it as the `rates` of a demand",
    );
    check(
        "[{\"timestamp\": 1}]",
        "line 1: '[{\"timestamp\": 1}]' is not a request in JSON, one object a line",
    );
    check(
        "{\"timestamp\"",
        "line 1: '{\"timestamp\"' is not a request in JSON, one object a line",
    );
    let wide: Vec<u8> = HEAD.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let expected = "is not text in UTF-8, plain or packed by gzip or zstd";
    assert!(said(&[&b"\xff\xfe"[..], &wide].concat()).ends_with(expected));
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    check(
        &format!("{HEAD}5,1,1\n4,1,1\n"),
        "line 3: it comes before the line above; sort the trace by time",
    );
    let time = "a number of milliseconds at or above zero";
    let tokens = "a number of tokens up to 10,000,000";
    for (row, value, expected) in [
        ("-5,1,1", "-5", time),
        ("NaN,1,1", "NaN", time),
        ("inf,1,1", "inf", time),
        ("2023-11-16 18:15:46,1,1", "2023-11-16 18:15:46", time),
        ("0,,1", "", tokens),
        ("0,1", "", tokens),
        ("0,-1,1", "-1", tokens),
        ("0,1,1000000000", "1000000000", tokens),
        ("0,1e12,1", "1e12", tokens),
    ] {
        let expected = format!("line 2: '{value}' is not {expected}");
        check(&format!("{HEAD}{row}\n"), &expected);
    }
    check(
        &format!("{HEAD}0,1,5,7\n"),
        "line 2: it has 4 cells, and the header 3; a cell with a comma in it stands in quotes",
    );
    check(
        &format!("{HEAD}0,1,1\n99999999999999,1,1\n"),
        "line 3: '99999999999999 ms after the first' is not a time within 400 days",
    );
    check(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n1234,10,3\n",
        "line 2: '1234' is not a date and a time since 1970",
    );
    check(
        "{\"timestamp\": 1}\n",
        "line 1: 'nothing' is not a number of tokens up to 10,000,000",
    );
    check(
        "{\"timestamp\": \"1\"}\n",
        "line 1: '\"1\"' is not a number of milliseconds at or above zero",
    );
}

#[test]
fn a_trace_that_is_held_is_bounded() {
    let text = format!("{BLOCKS}0,1,1,0-9\n0,1,1,0-9\n");
    let held = |bounds| match requests(text.as_bytes()).unwrap().held(bounds) {
        Ok((rows, summary)) => format!("{} {}", rows.len(), summary.requests),
        Err(error) => error.to_string(),
    };
    assert_eq!(held((2, 20)), "2 2");
    let words = "cut it, or have a scenario replay it, which does not hold it";
    for (requests, blocks) in [(1, 20), (2, 19)] {
        assert_eq!(
            held((requests, blocks)),
            format!("it has more than {requests} requests, or {blocks} blocks of prompts; {words}")
        );
    }
}

#[test]
fn only_a_recording_tells_models_apart() {
    let text = format!("{HEAD}0,1,1\n");
    let of = |model| requests(text.as_bytes()).unwrap().of_model(model).err();
    assert!(of(None).is_none());
    assert_eq!(
        of(Some("m")).unwrap().to_string(),
        "only a gateway's recording tells models apart; this trace has one"
    );
}

#[test]
fn the_built_in_trace_is_whole() {
    let (rows, summary) = Requests::azure_conversation().unwrap().all().unwrap();
    let count = u64::try_from(rows.len()).unwrap();
    let (input, output) = (summary.input_tokens, summary.output_tokens);
    assert_eq!((count, input / count, output / count), (19_366, 1_154, 211));
    assert_eq!(summary.doubts(), []);
}
