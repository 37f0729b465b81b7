//! Traces as people have them, good and bad, through each command that reads one: the same words everywhere, and no silence.

mod harness;

use harness::Place;

const REQUESTS: &str = "arrival_ms,input_tokens,output_tokens";
const JOBS: &str = "submit_s,vc,gpus,duration_s";

/// A scenario of one site, with what reads a trace.
fn scenario(rest: &str) -> String {
    format!(
        "[run]\nstart = \"2026-07-15\"\nhours = 1\n[[site]]\nid = \"here\"\ncountry = \"KR\"\n{rest}"
    )
}

/// Asked by the requests of a file.
fn asked(trace: &str) -> String {
    scenario(&format!(
        "[[engine]]\nid = \"one\"\nsite = \"here\"\nmodel = \"m\"\ncount = 2\nprofile = \"h100-8b\"\n\
         [[demand]]\nid = \"some\"\nmodel = \"m\"\ntenants = {{ a = 1 }}\ntrace = \"{trace}\"\n"
    ))
}

/// The jobs of a file.
fn jobs(trace: &str) -> String {
    scenario(&format!(
        "[[jobs]]\nid = \"j\"\nsite = \"here\"\naccelerator = \"h200\"\naccelerators = 64\ntrace = \"{trace}\"\n"
    ))
}

/// Both commands that read a file refuse it with these words.
async fn refused(place: &Place, command: &[&str], scenario: String, words: &str) {
    place.write("scenario.toml", scenario);
    for args in [command, &["twin", "run", "scenario.toml"]] {
        let ended = place.run(args).await;
        // A scenario's problem is folded into lines.
        let folds = |c: char| c.is_whitespace() || c == '│';
        let said: String = ended.err.split(folds).collect();
        let words: String = words.split_whitespace().collect();
        assert_eq!(ended.code, 1, "{args:?} {words}: {}", ended.err);
        assert!(said.contains(&words), "{args:?} {words}: {}", ended.err);
        assert_eq!(ended.out, "", "{args:?}");
    }
}

fn utf16(text: &str) -> Vec<u8> {
    let units = text.encode_utf16().flat_map(u16::to_le_bytes);
    [0xff, 0xfe].into_iter().chain(units).collect()
}

#[tokio::test]
async fn each_form_of_requests_is_routed_alike() {
    let place = Place::new();
    let mut forms = [
        format!("{REQUESTS},prefix_block_ids_512\n"),
        format!("\u{feff}\"note\",{REQUESTS},prefix_block_ids_512\r\n"),
        String::new(),
        String::new(),
    ];
    let mut dated = "TIMESTAMP,ContextTokens,GeneratedTokens\n".to_owned();
    let mut plain = format!("{REQUESTS}\n");
    for at in 0..60 {
        let (ms, input) = (at * 500, 700 + at);
        let block = 10 + at;
        let [ours, quoted, json, mooncake] = &mut forms;
        ours.push_str(&format!("{ms},{input},9,0 {block}\n"));
        quoted.push_str(&format!("\"a, b\",\"{ms}\",{input},9,0 {block}\r\n\r\n"));
        json.push_str(&format!(
            "{{\"arrival_ms\":{ms},\"input_tokens\":{input},\"output_tokens\":9,\"prefix_block_ids_512\":\"0 {block}\"}}\n"
        ));
        mooncake.push_str(&format!(
            "{{\"timestamp\":{},\"input_length\":{input},\"output_length\":9,\"hash_ids\":[0,{block}]}}\n",
            ms + 7_000
        ));
        dated.push_str(&format!(
            "2023-11-16 18:15:{:02}.{}00000,{input},9\n",
            at / 2,
            at % 2 * 5
        ));
        plain.push_str(&format!("{ms},{input},9\n"));
    }
    let route = async |text: &str| {
        place.write("trace", text);
        let args = ["twin", "route", "--trace", "trace", "--policy", "random"];
        place.json(&args).await
    };
    let first = route(&forms[0]).await;
    assert_eq!(first["requests"], 60);
    assert!(first["prefix_hit"].as_f64().unwrap() > 0.3, "{first}");
    for form in &forms[1..] {
        assert_eq!(route(form).await, first, "{form}");
    }
    assert_eq!(route(&dated).await, route(&plain).await);
}

#[tokio::test]
async fn requests_that_cannot_be_read_are_refused_with_their_line() {
    let place = Place::new();
    let time = "is not a number of milliseconds at or above zero";
    let tokens = "is not a number of tokens up to 10,000,000";
    let text = "line 1: '\u{fffd}\u{fffd}a\u{fffd}r\u{fffd}r\u{fffd}";
    let cases: Vec<(Vec<u8>, String)> = [
        ("", "the trace has no rows".to_owned()),
        (REQUESTS, "the trace has no rows".into()),
        (
            "a,b,c\n1,2,3\n",
            "the trace has no column 'arrival_ms'".into(),
        ),
        (
            "category,t_s,req_per_s\n",
            "it holds requests a second".into(),
        ),
        ("[{\"timestamp\":0}]", "one object a line".into()),
        ("{\"timestamp\":", "is not a request in JSON".into()),
    ]
    .into_iter()
    .map(|(text, words)| (text.as_bytes().to_vec(), words))
    .chain(
        [
            ("0,1,1\n-5,1,1", format!("line 3: '-5' {time}")),
            ("NaN,1,1", format!("line 2: 'NaN' {time}")),
            ("soon,1,1", format!("line 2: 'soon' {time}")),
            ("0,1,1000000000", format!("line 2: '1000000000' {tokens}")),
            ("0,-1,1", format!("line 2: '-1' {tokens}")),
            ("0,1", format!("line 2: '' {tokens}")),
            (
                "5,1,1\n4,1,1",
                "line 3: it comes before the line above".into(),
            ),
            ("0,1,5,7", "line 2: it has 4 cells, and the header 3".into()),
            ("0,1,1\n1e99,1,1", "is not a time within 400 days".into()),
        ]
        .map(|(rows, words)| (format!("{REQUESTS}\n{rows}\n").into_bytes(), words)),
    )
    .chain([
        (
            REQUESTS.replace(',', ";").into_bytes(),
            "(columns are set apart by commas)".to_owned(),
        ),
        (
            format!("{REQUESTS},arrival_ms\n0,1,1,0\n").into_bytes(),
            "the trace has two columns 'arrival_ms'".to_owned(),
        ),
        (utf16(REQUESTS), text.to_owned()),
        (
            vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0],
            "what was packed by gzip is broken or cut off".to_owned(),
        ),
        (
            vec![0x28, 0xb5, 0x2f, 0xfd, 4],
            "what was packed by zstd is broken or cut off".to_owned(),
        ),
    ])
    .collect();
    for (bytes, words) in cases {
        place.write("trace", bytes);
        let route = ["twin", "route", "--trace", "trace"];
        refused(&place, &route, asked("trace"), &words).await;
    }
}

#[tokio::test]
async fn jobs_that_cannot_be_read_are_refused_with_their_line() {
    let place = Place::new();
    let number = "is not a number at or above zero";
    let accelerators = "is not a number of accelerators";
    let time = "is not a time within 400 days, in seconds";
    for (text, words) in [
        (String::new(), "the trace has no rows".to_owned()),
        (JOBS.to_owned(), "the trace has no rows".to_owned()),
        (
            JOBS.replace(',', "\t"),
            "(columns are set apart by commas)".to_owned(),
        ),
        (
            format!("{REQUESTS}\n"),
            "the trace has no column 'submit_s'".to_owned(),
        ),
    ]
    .into_iter()
    .chain(
        [
            ("-5,a,1,9", format!("line 2: '-5' {number}")),
            ("0,a,1,NaN", format!("line 2: 'NaN' {number}")),
            ("0,a,1", format!("line 2: '' {number}")),
            ("0,a,0,9", format!("line 2: '0' {accelerators}")),
            ("0,a,0.5,9", format!("line 2: '0.5' {accelerators}")),
            ("1764000000,a,1,9", format!("line 2: '1764000000' {time}")),
            ("0,a,1,9,5", "line 2: it has 5 cells".to_owned()),
        ]
        .map(|(row, words)| (format!("{JOBS}\n{row}\n"), words)),
    ) {
        place.write("trace", text);
        let command = ["twin", "jobs", "trace", "--accelerators", "64"];
        refused(&place, &command, jobs("trace"), &words).await;
    }
    place.write("trace", utf16(JOBS));
    let command = ["twin", "jobs", "trace"];
    refused(&place, &command, jobs("trace"), "is not text in UTF-8").await;
}

#[tokio::test]
async fn jobs_below_later_ones_are_sorted_and_told() {
    let place = Place::new();
    let run = async |rows: &str| {
        place.write("trace", format!("{JOBS}\n{rows}"));
        let args = "twin jobs trace --accelerators 64 --policy madang --json";
        let args: Vec<&str> = args.split(' ').collect();
        let ended = place.run(&args).await.expect_code(0);
        (ended.json(), ended.err)
    };
    let (mut told, err) = run("50,a,1,9\n0,b,2,9\n7,c,2,9\n60,a,1,9\n").await;
    assert_eq!(
        err,
        "warning: trace: line 3: it comes before the line above, and 1 more come before one above them; the trace was sorted by time\n"
    );
    assert_eq!(told["unordered"]["rows"], 2);
    assert_eq!(told["unordered"]["first_line"], 3);
    let (sorted, err) = run("0,b,2,9\n7,c,2,9\n50,a,1,9\n60,a,1,9\n").await;
    assert_eq!(err, "");
    told["unordered"] = sorted["unordered"].clone();
    assert!(told["unordered"].is_null());
    assert_eq!(told, sorted);
}

#[tokio::test]
async fn what_is_no_file_and_what_has_no_end_is_refused() {
    let place = Place::new();
    std::fs::create_dir(place.path("folder")).unwrap();
    for (line, words) in [
        ("twin route --trace folder", "Is a directory"),
        ("twin jobs folder", "Is a directory"),
        ("twin place folder --nodes folder", "Is a directory"),
        ("twin predict --rows folder", "folder cannot be read"),
        ("twin run folder", "folder cannot be read"),
        ("plan folder", "folder cannot be read"),
        ("twin jobs /dev/null", "the trace has no rows"),
        ("twin route --trace /dev/zero", "a line of 64 MiB"),
        ("twin jobs /dev/zero", "a line of 64 MiB"),
        ("twin run /dev/zero", "/dev/zero has more than"),
        ("plan /dev/zero", "/dev/zero has more than"),
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        let ended = place.run(&args).await.expect_code(1);
        assert!(ended.err.contains(words), "{line}: {}", ended.err);
    }
}

#[tokio::test]
async fn what_may_not_be_meant_is_told_and_run() {
    let place = Place::new();
    let rows: String = (0..1_500).map(|at| format!("{at},9,9\n")).collect();
    for (rows, words) in [
        (
            rows,
            "warning: trace: 1500 requests in 1499 ms of the trace are more than 1000 a second\n",
        ),
        (
            "0,9,9\n3600001,9,9\n".to_owned(),
            "warning: trace: nobody asks for 3600 s of the trace, from second 0\n",
        ),
        ("0,9,9\n3600000,9,9\n".to_owned(), ""),
    ] {
        place.write("trace", format!("{REQUESTS}\n{rows}"));
        let args = ["twin", "route", "--trace", "trace", "--policy", "random"];
        let ended = place.run(&args).await.expect_code(0);
        assert!(ended.err.starts_with(words), "{}", ended.err);
        assert_eq!(ended.err.is_empty(), words.is_empty(), "{}", ended.err);
    }
}

#[tokio::test]
async fn requests_that_no_engine_has_the_memory_for_are_refused() {
    let place = Place::new();
    for (rows, requests, refused) in [
        ("0,5000000,9\n", 1, 1),
        ("0,9,9\n5,5000000,9\n9,9,9\n9,9,5000000\n", 4, 2),
    ] {
        place.write("trace", format!("{REQUESTS}\n{rows}"));
        let args = ["twin", "route", "--trace", "trace", "--policy", "random"];
        let report = place.json(&args).await;
        assert_eq!(report["requests"], requests);
        assert_eq!(report["unserved"], refused, "{report}");
        let served = f64::from(requests - refused) / f64::from(requests);
        assert_eq!(report["within_5s"], served, "{report}");
    }
}
