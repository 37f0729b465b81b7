use super::*;
use madang_types::KeyId;

fn site() -> SiteId {
    SiteId::new("pohang").unwrap()
}

fn cap(watts: u64) -> Option<PowerEventKind> {
    Some(PowerEventKind::Cap { watts })
}

fn cut(milli: u32, baseline_watts: Option<u64>) -> PowerEventKind {
    PowerEventKind::Cut {
        milli,
        baseline_watts,
    }
}

/// In seconds.
fn span(event: &str, (from, until): (i64, Option<i64>), kind: Option<PowerEventKind>) -> OrderSpan {
    OrderSpan {
        program: "dr".to_owned(),
        event: event.to_owned(),
        interval: 0,
        from: Micros(from * 1_000_000),
        until: until.map(|at| Micros(at * 1_000_000)),
        priority: u32::MAX,
        kind,
        reason: String::new(),
    }
}

fn urgent(priority: u32, span: OrderSpan) -> OrderSpan {
    OrderSpan { priority, ..span }
}

fn kept(id: u64, name: &str, kind: PowerEventKind, (from, until): (i64, i64)) -> PowerEvent {
    PowerEvent {
        id,
        site: site(),
        kind,
        from: Micros(from * 1_000_000),
        until: Some(Micros(until * 1_000_000)),
        reason: String::new(),
        set_by: KeyId::new("kpx").unwrap(),
        set_at: Micros(0),
        order: (!name.is_empty()).then(|| name.to_owned()),
    }
}

#[test]
fn the_more_urgent_one_of_a_program_holds_where_they_overlap() {
    let check = |spans: &[OrderSpan], now: i64, expected: &[&str]| {
        let orders = wanted(spans, Micros(now * 1_000_000));
        let names: Vec<&str> = orders.iter().map(|order| order.name.as_str()).collect();
        assert_eq!(names, expected);
    };
    let long = span("long", (0, Some(100)), cap(500));
    let short = span("short", (40, Some(60)), cap(900));
    check(
        &[long.clone(), short.clone()],
        0,
        &["long/0/0-100/500W", "short/0/40-60/900W"],
    );
    let over = [long.clone(), urgent(1, short.clone())];
    let parts = [
        "long/0/0-40/500W",
        "short/0/40-60/900W",
        "long/0/60-100/500W",
    ];
    check(&over, 0, &parts);
    check(&over, 40, &parts[1..]);
    check(&over, 60, &parts[2..]);
    check(&over, 100, &[]);
    // Nothing is asked for in the middle.
    let lifted = [
        long.clone(),
        urgent(
            0,
            OrderSpan {
                kind: None,
                ..short.clone()
            },
        ),
    ];
    check(&lifted, 0, &[parts[0], parts[2]]);
    // Urgency is compared within a program.
    let other = OrderSpan {
        program: "other".to_owned(),
        ..urgent(0, short)
    };
    check(
        &[long.clone(), other],
        0,
        &["long/0/0-100/500W", "short/0/40-60/900W"],
    );
    // One without an end takes all that is behind it, and one that covers all leaves nothing.
    let endless = urgent(3, span("end", (50, None), Some(cut(250, None))));
    check(
        &[long.clone(), endless.clone()],
        0,
        &["long/0/0-50/500W", "end/0/50-/-250"],
    );
    check(
        &[span("in", (60, None), cap(1)), endless],
        0,
        &["end/0/50-/-250"],
    );
    check(&[long.clone(), long], 0, &["long/0/0-100/500W"]);
}

#[test]
fn no_more_are_kept_than_the_bound_and_the_first_first() {
    let hours = 0..200_i64;
    let spans: Vec<OrderSpan> = hours
        .rev()
        .map(|hour| span(&format!("e{hour}"), (hour, Some(hour + 1)), cap(1)))
        .collect();
    let orders = wanted(&spans, Micros(10_500_000));
    assert_eq!(orders.len(), ORDERS_MAX);
    assert_eq!(orders[0].name, "e10/0/10-11/1W");
    assert_eq!(orders[63].name, "e73/0/73-74/1W");
}

#[test]
fn the_books_are_told_what_is_new_before_what_is_over() {
    let there = [
        kept(1, "", cut(100, None), (0, 50)),
        kept(2, "kpx/same/0/0-100/500W", cut(1, None), (0, 100)),
        kept(3, "kpx/gone/0/0-100/500W", cut(1, None), (0, 100)),
        kept(4, "kpx/changed/0/0-100/-250", cut(250, Some(800)), (0, 100)),
        kept(5, "kpx/same/0/0-100/500W", cut(1, None), (0, 100)),
        kept(6, "kpx/odd/0/0-100/500W", cut(1, None), (0, 100)),
        kept(7, "kpx2/gone/0/0-100/500W", cut(1, None), (0, 100)),
        PowerEvent {
            site: SiteId::new("ulsan").unwrap(),
            ..kept(8, "kpx/gone/0/0-100/500W", cut(1, None), (0, 100))
        },
    ];
    let longer = span("changed", (0, Some(200)), Some(cut(250, None)));
    let orders = Orders {
        spans: vec![span("same", (0, Some(100)), cap(500)), longer],
        unread: ["odd".to_owned()].into(),
    };
    let told = changes(("kpx", &site()), &orders, &there, Micros(9));
    let [
        OrderChange::Put(put),
        OrderChange::End(3),
        OrderChange::End(4),
        OrderChange::End(5),
    ] = &told[..]
    else {
        panic!("{told:?}");
    };
    assert_eq!(put.name, "changed/0/0-200/-250");
    assert_eq!(put.kind, cut(250, Some(800)));
    // What the books have then needs nothing more.
    let settled = [
        kept(2, "kpx/same/0/0-100/500W", cut(1, None), (0, 100)),
        kept(9, "kpx/changed/0/0-200/-250", cut(250, None), (0, 200)),
    ];
    let told = changes(("kpx", &site()), &orders, &settled, Micros(9));
    assert_eq!(told, []);
}

#[test]
fn all_parts_of_an_event_are_cut_out_of_what_was_drawn_before_it() {
    let others = [
        kept(1, "kpx/e/0/0-100/-100", cut(100, Some(800)), (0, 100)),
        kept(2, "kpx/e/1/50-150/-200", cut(200, Some(720)), (50, 150)),
        kept(3, "kpx/other/0/0-100/-100", cut(100, Some(1)), (0, 100)),
        kept(4, "", cut(100, Some(2)), (0, 100)),
        kept(5, "gs/e/0/0-100/-100", cut(100, Some(3)), (0, 100)),
    ];
    let check = |name: &str, from, expected| {
        let event = kept(9, name, cut(250, None), (from, 900));
        assert_eq!(
            noted_before(&event, &others),
            expected,
            "{name} from {from}"
        );
    };
    check("kpx/e/2/100-900/-250", 100, Some(800));
    check("kpx/e/2/101-900/-250", 101, Some(720));
    check("kpx/e/2/151-900/-250", 151, None);
    check("kpx/ev/0/100-900/-250", 100, None);
    check("", 100, None);
}
