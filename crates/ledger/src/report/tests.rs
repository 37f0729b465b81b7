//! Reports of small books, line by line.

use super::*;
use crate::Account;
use madang_types::{Tranche, Unit};

const SPAN: (Micros, Micros) = (Micros(1000), Micros(2000));

fn allocation(id: &str, programme: &str, (from, until): (i64, i64)) -> Allocation {
    Allocation {
        id: id.parse().unwrap(),
        programme: programme.parse().unwrap(),
        tenant: id.split('.').next().unwrap().parse().unwrap(),
        unit: Unit::MicroWon,
        class: None,
        amount: 1000,
        hard: true,
        from: Micros(from),
        tranches: Vec::new(),
        until: Micros(until),
        created_at: Micros(from),
        recalled_at: None,
    }
}

fn leg(unit: Unit, amount: i64, from: &str, to: &str) -> LegSum {
    let account = |name: &str| name.parse::<Account>().unwrap();
    LegSum {
        unit,
        amount,
        from: account(from),
        to: account(to),
    }
}

fn row(tenant: &str, booked: Booked, (tokens, cost): (u64, i64)) -> Row {
    Row {
        tenant: tenant.parse().unwrap(),
        model: Some("m".parse().unwrap()),
        site: Some("pohang".parse().unwrap()),
        day: 1,
        booked,
        sums: Sums {
            requests: 1,
            output_tokens: tokens,
            cost: MicroWon(cost),
            ..Sums::default()
        },
    }
}

fn budget(unit: Unit, class: Option<&str>) -> ProgrammeBudget {
    ProgrammeBudget {
        programme: "ours".parse().unwrap(),
        unit,
        class: class.map(|class| class.parse().unwrap()),
        amount: 1_000_000,
        concentration_permille_max: 400,
    }
}

fn made(allocations: &[Allocation], rows: Vec<Row>, legs: Vec<LegSum>) -> Report {
    let budgets = [budget(Unit::MicroWon, None)];
    made_of((&budgets, allocations), rows, legs)
}

fn made_of(
    (budgets, allocations): (&[ProgrammeBudget], &[Allocation]),
    rows: Vec<Row>,
    legs: Vec<LegSum>,
) -> Report {
    let programme = "ours".parse().unwrap();
    let scope = Scope {
        programme: &programme,
        span: SPAN,
        budgets,
        allocations,
    };
    let extract = Extract {
        tenants: ["a", "b"].map(|id| id.parse().unwrap()).into(),
        rows,
        legs,
        job_legs: Vec::new(),
        energy_legs: Vec::new(),
    };
    report(&scope, &extract)
}

#[test]
fn a_span_is_promised_its_part() {
    let check = |period: (i64, i64), recalled_at: Option<i64>, expected: i64| {
        let mut grant = allocation("a", "ours", period);
        grant.recalled_at = recalled_at.map(Micros);
        assert_eq!(
            promised(&grant, SPAN),
            expected,
            "{period:?} {recalled_at:?}"
        );
    };
    check((1000, 2000), None, 1000);
    check((0, 1000), None, 0);
    check((2000, 3000), None, 0);
    check((0, 2000), None, 500);
    check((1500, 2500), None, 500);
    check((0, 4000), None, 250);
    check((1200, 1300), None, 1000);
    check((0, 4000), Some(1500), 125);
    check((0, 4000), Some(500), 0);
    check((1000, 2000), Some(900), 0);
    check((i64::MIN, i64::MAX), None, 0);
}

#[test]
fn a_tranche_is_spread_until_the_next_one_comes() {
    let check = |recalled_at: Option<i64>, expected: i64| {
        let mut grant = allocation("a", "ours", (500, 2500));
        let tranche = |(from, amount)| Tranche {
            from: Micros(from),
            amount,
        };
        grant.tranches = [(500, 100), (1500, 400), (1900, 500)].map(tranche).into();
        grant.recalled_at = recalled_at.map(Micros);
        assert_eq!(promised(&grant, SPAN), expected, "{recalled_at:?}");
    };
    // Half of the first, all of the second, a sixth of the third.
    check(None, 50 + 400 + 83);
    check(Some(1700), 50 + 200);
    check(Some(1000), 0);
}

#[test]
fn the_parts_of_spans_that_meet_sum_to_the_whole() {
    for amount in [1, 7, 1000, i64::MAX] {
        for parts in [1, 3, 7, 31] {
            let mut grant = allocation("a", "ours", (13, 13 + 97));
            grant.amount = amount;
            let cuts = (0..=parts).map(|part| Micros(13 + 97 * part / parts));
            let cuts: Vec<Micros> = cuts.collect();
            let sum: i64 = cuts
                .windows(2)
                .map(|pair| promised(&grant, (pair[0], pair[1])))
                .sum();
            assert_eq!(sum, amount, "{parts} parts");
        }
    }
}

#[test]
fn a_line_tells_who_spent_whose() {
    let grants = [
        allocation("a", "ours", (1000, 3000)),
        allocation("b", "theirs", (0, 9000)),
        allocation("gone.1", "ours", (0, 2000)),
        allocation("a.old", "ours", (0, 1000)),
    ];
    let lease = |id: &str| format!("lease:gw:1:allocation:{id}");
    let legs = vec![
        leg(Unit::MicroWon, 300, &lease("a"), "site:pohang"),
        leg(Unit::MicroWon, 50, "site:pohang", &lease("a")),
        leg(Unit::MicroWon, 20, &lease("gone.1"), "upstream:openai"),
        leg(Unit::MicroWon, 7, &lease("b"), "site:pohang"),
        leg(Unit::MicroWon, 4, "tenant:a", "site:pohang"),
        leg(Unit::MicroWon, 9, "tenant:stranger", "site:pohang"),
        leg(Unit::MicroWon, 300, "lease:gw:1:ceiling:key.a", "world"),
    ];
    let report = made(&grants, Vec::new(), legs);
    assert_eq!(report.lines.len(), 1);
    let line = &report.lines[0];
    let Line {
        budget,
        granted,
        promised,
        delivered,
        delivered_to_others,
        delivered_by_others,
        owed,
        unspent,
        ..
    } = *line;
    assert_eq!((budget, granted, promised), (Some(1_000_000), 2000, 1000));
    assert_eq!((delivered, delivered_to_others), (270, 20));
    assert_eq!((delivered_by_others, owed, unspent), (7, 4, 730));
    let most = |among: &Option<Concentration>| {
        let among = among.as_ref().unwrap();
        (among.largest.to_string(), among.largest_permille)
    };
    assert_eq!(most(&line.promised_among), ("a".into(), 500));
    assert_eq!(most(&line.delivered_among), ("a".into(), 254 * 1000 / 274));
}

#[test]
fn each_class_has_its_line() {
    let tokens = |id: &str, programme: &str, class: Option<&str>| Allocation {
        unit: Unit::Tokens,
        class: class.map(|class| class.parse().unwrap()),
        ..allocation(id, programme, (1000, 3000))
    };
    let grants = [
        tokens("a.any", "ours", None),
        tokens("a.large", "ours", Some("large")),
        tokens("b.small", "theirs", Some("small")),
    ];
    let leg = |amount, id| {
        let lease = format!("lease:gw:1:allocation:{id}");
        leg(Unit::Tokens, amount, &lease, "site:pohang")
    };
    let legs = vec![leg(1, "a.any"), leg(20, "a.large"), leg(300, "b.small")];
    let budgets = [
        budget(Unit::Tokens, Some("large")),
        budget(Unit::Tokens, Some("tiny")),
    ];
    let report = made_of((&budgets, &grants), Vec::new(), legs);
    let lines: Vec<_> = report
        .lines
        .iter()
        .map(|line| {
            let class = line.class.as_ref().map(|class| class.as_str());
            let spent = (line.delivered, line.delivered_by_others, line.unspent);
            (class, line.budget, line.promised, spent)
        })
        .collect();
    let expected = [
        (None, None, 500, (1, 0, 499)),
        (Some("large"), Some(1_000_000), 500, (20, 0, 480)),
        (Some("small"), None, 0, (0, 300, 0)),
        (Some("tiny"), Some(1_000_000), 0, (0, 0, 0)),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn what_jobs_took_is_delivered_and_is_no_difference() {
    let hours = |id: &str, class: Option<&str>| Allocation {
        unit: Unit::AcceleratorMs,
        class: class.map(|class| class.parse().unwrap()),
        ..allocation(id, "ours", (1000, 3000))
    };
    let grants = [hours("a", Some("h200")), hours("b", None)];
    let leg = |unit, amount, from: &str| leg(unit, amount, from, "site:pohang");
    let extract = Extract {
        tenants: ["a", "b"].map(|id| id.parse().unwrap()).into(),
        job_legs: vec![
            leg(Unit::AcceleratorMs, 70, "allocation:a"),
            leg(Unit::AcceleratorMs, 5, "allocation:b"),
            leg(Unit::MicroWon, 9, "tenant:a"),
        ],
        ..Extract::default()
    };
    let programme = "ours".parse().unwrap();
    let scope = Scope {
        programme: &programme,
        span: SPAN,
        budgets: &[],
        allocations: &grants,
    };
    let report = report(&scope, &extract);
    assert!(report.reconciliation.agrees());
    let lines = report.lines.iter().map(|line| {
        let class = line.class.as_ref().map(|class| class.as_str());
        (line.unit, class, line.promised, line.delivered, line.owed)
    });
    let expected = [
        (Unit::MicroWon, None, 0, 0, 9),
        (Unit::AcceleratorMs, None, 500, 5, 0),
        (Unit::AcceleratorMs, Some("h200"), 500, 70, 0),
    ];
    assert_eq!(lines.collect::<Vec<_>>(), expected);
}

/// One request of `a` that made 10 tokens for 30 µ₩, as the ledger tells it.
fn told(tokens: i64, won: i64) -> Vec<LegSum> {
    vec![
        leg(Unit::OutputTokens, tokens, "site:pohang", "project:a:web"),
        leg(Unit::MicroWon, won, "tenant:a", "site:pohang"),
    ]
}

#[test]
fn records_and_ledger_agree_or_it_is_told_where_not() {
    let check = |rows: Vec<Row>, legs: Vec<LegSum>, expected: &[(&str, Unit, i64, i64)]| {
        let found = made(&[], rows, legs).reconciliation;
        let told: Vec<_> = found
            .differences
            .iter()
            .map(|d| {
                (
                    d.tenant.as_str(),
                    d.sums.unit,
                    d.sums.records,
                    d.sums.ledger,
                )
            })
            .collect();
        assert_eq!(told, expected);
        assert_eq!(found.differences_count, expected.len());
        assert_eq!(found.agrees(), expected.is_empty());
    };
    let won = || row("a", Booked::Won, (10, 30));
    check(vec![won()], told(10, 30), &[]);
    let (tokens, money) = (Unit::OutputTokens, Unit::MicroWon);
    check(vec![won()], told(9, 30), &[("a", tokens, 10, 9)]);
    check(vec![won()], told(10, 31), &[("a", money, 30, 31)]);
    check(
        vec![],
        told(1, 1),
        &[("a", money, 0, 1), ("a", tokens, 0, 1)],
    );
    // The same sums, but one tenant's are another's.
    check(
        vec![row("b", Booked::Won, (10, 30))],
        told(10, 30),
        &[
            ("a", money, 0, 30),
            ("a", tokens, 0, 10),
            ("b", money, 30, 0),
            ("b", tokens, 10, 0),
        ],
    );
    // Who pays with tokens pays no won, and what was served before anything had a price is on neither side.
    let granted = row("a", Booked::Tokens, (10, 30));
    check(vec![granted], told(10, 30)[..1].to_vec(), &[]);
    check(vec![row("a", Booked::Unmetered, (10, 0))], vec![], &[]);
    // A correction moves back.
    let mut corrected = told(10, 30);
    corrected.push(leg(money, 5, "site:pohang", "tenant:a"));
    corrected.push(leg(tokens, 1, "project:a:web", "site:pohang"));
    check(
        vec![won()],
        corrected,
        &[("a", money, 30, 25), ("a", tokens, 10, 9)],
    );
}

#[test]
fn a_record_whose_entry_is_missing_is_told() {
    let found = made(&[], vec![row("a", Booked::Missing, (0, 0))], vec![]).reconciliation;
    assert_eq!(
        (found.missing_requests, found.differences_count),
        (1, 0),
        "{found:?}"
    );
    assert!(!found.agrees());
    let found = made(&[], vec![row("a", Booked::Unmetered, (8, 0))], vec![]).reconciliation;
    assert!(found.agrees());
    assert_eq!((found.unmetered_requests, found.unmetered_tokens), (1, 8));
}

#[test]
fn breakdowns_sum_to_the_total() {
    let rows = vec![
        row("a", Booked::Won, (10, 30)),
        row("a", Booked::Tokens, (5, 7)),
        row("b", Booked::Unmetered, (2, 0)),
    ];
    let report = made(&[], rows, vec![]);
    let Delivered {
        sums,
        cost_in_tokens,
        unmetered_requests,
    } = report.total;
    assert_eq!((sums.requests, sums.tokens(), sums.cost.0), (3, 17, 37));
    assert_eq!((cost_in_tokens.0, unmetered_requests), (7, 1));
    assert_eq!(report.total.charged(), MicroWon(30));
    assert_eq!(report.rows.len(), 2);
    let tokens = |groups: Vec<&Delivered>| -> Vec<u64> {
        groups.iter().map(|group| group.sums.tokens()).collect()
    };
    assert_eq!(tokens(report.by_tenant.values().collect()), [15, 2]);
    assert_eq!(tokens(report.by_model.values().collect()), [17]);
    assert_eq!(tokens(report.by_site.values().collect()), [17]);
    assert_eq!(tokens(report.by_day.values().collect()), [17]);
}
