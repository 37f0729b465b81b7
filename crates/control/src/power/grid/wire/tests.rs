use super::*;
use serde_json::json;

fn vtn(more: &str) -> Vtn {
    let row = json!({ "id": "kpx", "site": "here", "url": "http://127.0.0.1:1" });
    let mut row: Value = row;
    let more: Value = serde_json::from_str(more).unwrap();
    for (key, value) in more.as_object().unwrap() {
        row[key] = value.clone();
    }
    serde_json::from_value(row).unwrap()
}

/// An event as a server has it: what differs is given.
fn event(more: Value) -> Value {
    let mut event = json!({
        "id": "ev-1",
        "createdDateTime": "2026-12-01T08:00:00Z",
        "modificationDateTime": "2026-12-01T08:00:00Z",
        "objectType": "EVENT",
        "programID": "p1",
        "eventName": "저녁 피크",
        "priority": null,
        "targets": null,
        "reportDescriptors": null,
        "payloadDescriptors": null,
        "intervalPeriod": { "start": "2026-12-01T18:00:00+09:00", "duration": "PT1H", "randomizeStart": "PT5M" },
        "intervals": [{ "id": 0, "payloads": [{ "type": "IMPORT_CAPACITY_LIMIT", "values": [15000] }] }],
    });
    for (key, value) in more.as_object().unwrap() {
        event[key] = value.clone();
    }
    event
}

fn at(text: &str) -> i64 {
    let at: Timestamp = text.parse().unwrap();
    at.as_second()
}

/// Seconds from 18:00 in Korea until when, and what is left; or what is said.
type Span = (i64, Option<i64>, Option<PowerEventKind>);

fn spans(vtn: &Vtn, event: Value) -> Result<(Vec<Span>, Vec<String>), Vec<String>> {
    let understood = understand(vtn, None, &[event]);
    if !understood.orders.unread.is_empty() {
        return Err(understood.passed_over);
    }
    let zero = at("2026-12-01T09:00:00Z");
    let second = |at: Micros| at.0 / 1_000_000 - zero;
    let spans = understood.orders.spans.iter();
    let spans = spans.map(|span| (second(span.from), span.until.map(second), span.kind));
    Ok((spans.collect(), understood.passed_over))
}

fn cap(watts: u64) -> Option<PowerEventKind> {
    Some(PowerEventKind::Cap { watts })
}

fn cut(milli: u32) -> Option<PowerEventKind> {
    Some(PowerEventKind::Cut {
        milli,
        baseline_watts: None,
    })
}

fn payload(word: &str, value: Value) -> Value {
    json!({ "intervals": [{ "id": 0, "payloads": [{ "type": word, "values": [value] }] }] })
}

#[test]
fn what_limits_power_is_understood() {
    let levels = vtn(r#"{ "simple_cut_milli": [100, 250] }"#);
    let check = |more: Value, expected: &[Span]| {
        let found = spans(&levels, event(more.clone()));
        let (found, passed_over) = found.unwrap_or_else(|said| panic!("{said:?}: {more}"));
        assert_eq!(found, expected, "{more}");
        assert_eq!(passed_over, Vec::<String>::new(), "{more}");
    };
    let hour = |kind| [(0, Some(3_600), kind)];
    check(json!({}), &hour(cap(15_000_000)));
    check(payload("DISPATCH_SETPOINT", json!(0.5)), &hour(cap(500)));
    check(payload("SIMPLE", json!(2)), &hour(cut(250)));
    check(payload("SIMPLE", json!(0)), &hour(None));
    let units = |units: &str| {
        let mut more = payload("IMPORT_CAPACITY_LIMIT", json!(15));
        more["payloadDescriptors"] = json!([{ "objectType": "EVENT_PAYLOAD_DESCRIPTOR", "payloadType": "IMPORT_CAPACITY_LIMIT", "units": units }]);
        more
    };
    check(units("MW"), &hour(cap(15_000_000)));
    check(units("KW"), &hour(cap(15_000)));
    check(units("W"), &hour(cap(15)));
    // One after the other, the second with times of its own, the third with another length.
    let three = json!({ "intervals": [
        { "id": 5, "payloads": [{ "type": "SIMPLE", "values": [1] }] },
        { "id": 1, "intervalPeriod": { "start": "2026-12-01T11:00:00Z", "duration": "PT15M" },
          "payloads": [{ "type": "SIMPLE", "values": [2] }] },
        { "id": 2, "intervalPeriod": { "duration": "P0Y0M0DT0H30M0S" }, "payloads": [{ "type": "SIMPLE", "values": [1] }] },
    ]});
    let expected = [
        (0, Some(3_600), cut(100)),
        (7_200, Some(8_100), cut(250)),
        (8_100, Some(9_900), cut(100)),
    ];
    check(three, &expected);
    // Both hold, and the lower one will count.
    let both = json!({ "intervals": [{ "id": 0, "payloads": [
        { "type": "SIMPLE", "values": [1] }, { "type": "IMPORT_CAPACITY_LIMIT", "values": [900] },
    ] }] });
    let expected = [(0, Some(3_600), cut(100)), (0, Some(3_600), cap(900_000))];
    check(both, &expected);
    // At once is when it was made; what lasts for ages has no end, and so has what says none.
    let period = |start: &str, duration: Value| json!({ "intervalPeriod": { "start": start, "duration": duration } });
    let begin = -3_600;
    for start in ["0001-01-01", "0001-01-01T00:00:00Z"] {
        let expected = [(begin, None, cap(15_000_000))];
        check(period(start, json!("P9999Y")), &expected);
        check(period(start, Value::Null), &expected);
    }
    let month = period("2026-12-01T18:00:00+09:00", json!("P1M"));
    check(month, &[(0, Some(31 * 86_400), cap(15_000_000))]);
}

#[test]
fn what_is_not_understood_is_said_and_keeps_nothing_else_back() {
    let check = |vtn: &Vtn, more: Value, said: &str| {
        let found = spans(vtn, event(more.clone())).unwrap_err();
        assert!(
            found.len() == 1 && found[0].contains(said),
            "{found:?}: {more}"
        );
    };
    let plain = vtn("{}");
    check(
        &plain,
        payload("SIMPLE", json!(1)),
        "name it in simple_cut_milli",
    );
    check(&plain, payload("SIMPLE", json!(4)), "a level from 0 to 3");
    check(&plain, payload("SIMPLE", json!("1")), "a level from 0 to 3");
    for value in [json!(-1), json!("15"), json!(1e12), json!(null)] {
        check(
            &plain,
            payload("IMPORT_CAPACITY_LIMIT", value),
            "a power from 0 up",
        );
    }
    let period = |period: Value| json!({ "intervalPeriod": period });
    check(&plain, period(Value::Null), "nothing says when it begins");
    check(
        &plain,
        period(json!({ "start": "tomorrow" })),
        "'tomorrow' is no instant",
    );
    check(
        &plain,
        period(json!({ "start": "2026-12-01T18:00:00" })),
        "no instant with its offset",
    );
    let lasts =
        |duration: &str| period(json!({ "start": "2026-12-01T18:00:00Z", "duration": duration }));
    check(&plain, lasts("an hour"), "'an hour' is no duration");
    check(&plain, lasts("PT0S"), "ends before it begins");
    check(&plain, lasts("-PT1H"), "ends before it begins");
    check(&plain, json!({ "priority": -1 }), "invalid value");
    check(
        &plain,
        json!({ "intervals": [{ "id": 0 }] }),
        "missing field `payloads`",
    );
    let units = json!({ "payloadDescriptors": [{ "payloadType": "IMPORT_CAPACITY_LIMIT", "units": "KWH" }] });
    check(&plain, units, "in 'KWH' is not understood");

    let price = spans(&plain, event(payload("PRICE", json!(0.17)))).unwrap();
    assert_eq!(
        price,
        (
            vec![],
            vec!["event ev-1: 'PRICE' limits no power".to_owned()]
        )
    );
    let looped = spans(&plain, event(json!({ "duration": "P1D" }))).unwrap();
    assert_eq!(looped.0.len(), 1);
    assert!(looped.1[0].contains("repeated"), "{looped:?}");
    let nameless = understand(
        &plain,
        None,
        &[event(json!({ "id": "a/b" })), event(json!({}))],
    );
    assert_eq!(
        (nameless.orders.spans.len(), nameless.passed_over.len()),
        (1, 1)
    );
}

#[test]
fn events_of_others_do_not_count() {
    let check = |more: &str, programs: Option<&[&str]>, targets: Value, expected: usize| {
        let programs = programs.map(|ids| {
            let ids = ids.iter().map(|id| ((*id).to_owned(), String::new()));
            ids.collect::<BTreeMap<_, _>>()
        });
        let event = event(json!({ "targets": targets }));
        let found = understand(&vtn(more), programs.as_ref(), &[event]);
        let count = found.orders.spans.len();
        assert_eq!(count, expected, "{more} {programs:?} {targets}");
        assert!(found.orders.unread.is_empty() && found.passed_over.is_empty());
    };
    let ours = r#"{ "targets": ["pohang"] }"#;
    check("{}", None, json!(["ulsan"]), 1);
    check(ours, None, json!(["ulsan"]), 0);
    check(ours, None, json!(["ulsan", "pohang"]), 1);
    check(ours, None, json!([]), 1);
    check(
        ours,
        None,
        json!([{ "type": "VEN_NAME", "values": ["pohang"] }]),
        1,
    );
    check(
        ours,
        None,
        json!([{ "type": "VEN_NAME", "values": ["ulsan"] }]),
        0,
    );
    check("{}", Some(&["p1", "p2"]), json!(null), 1);
    check("{}", Some(&["p2"]), json!(null), 0);
}
