//! What tenants were granted.

use super::{DRAWN, Files, SMALL, folder, report};

#[test]
fn a_grant_is_spent_and_never_passed() {
    let text = format!("{SMALL}{DRAWN}");
    let text = text.replacen(
        "[[demand]]",
        "[[tenant]]\nid = \"a\"\ngrant_tokens = 100000\n\n[[tenant]]\nid = \"b\"\n\n[[demand]]",
        1,
    );
    let report = report(&text, &Files::Builtin, (1, false));
    let line = |name: &str| {
        let found = report.tenants.iter().find(|line| line.name == name);
        found.unwrap()
    };
    let (a, b) = (line("a"), line("b"));
    assert!(b.refused.is_empty() && b.finished == b.asked, "{b:?}");
    let used = a.input_tokens + a.output_tokens;
    assert!(a.refused["budget_exhausted"] > 0, "{a:?}");
    assert_eq!(a.asked, a.finished + a.refused.values().sum::<u64>());
    assert!((50_000..=100_000).contains(&used), "{a:?}");
    let budget = &report.budgets[..];
    assert_eq!(budget.len(), 1);
    assert_eq!(
        (budget[0].granted, budget[0].spent),
        (100_000.0, used as f64)
    );
}

#[test]
fn a_grant_in_won_is_spent_at_the_models_prices_and_gateways_share_it() {
    let head = "arrival_ms,input_tokens,output_tokens\n";
    let rows: String = (0..1_000)
        .map(|at| format!("{},1000,100\n", at * 1_000))
        .collect();
    let (_folder, files) = folder(&[("even.csv", &format!("{head}{rows}"))]);
    let text = format!("{SMALL}trace = \"even.csv\"\n")
        .replacen("hours = 1\n", "hours = 1\ncells = 2\n", 1)
        .replacen(
            "[[engine]]",
            "[[model]]\nid = \"m\"\ninput_won = 1000\noutput_won = 10000\n\n\
             [[tenant]]\nid = \"a\"\ngrant_won = 100\n\n[[engine]]",
            1,
        );
    // Each costs two won: of about 750 fifty can be paid.
    let report = report(&text, &files, (2, false));
    let tenant = report.tenants.iter().find(|line| line.name == "a").unwrap();
    let budget = &report.budgets[0];
    assert!((30..=50).contains(&tenant.finished), "{tenant:?}");
    assert!(budget.spent <= 100.0 && budget.spent > 60.0, "{budget:?}");
    let refused = tenant.refused.keys().all(|why| why.starts_with("budget_"));
    assert!(refused, "{tenant:?}");
}
