//! `madang policy`: the page's example, what it explains, what changes, and what is refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::Place;
use serde_json::Value;

/// The example of docs/policy.md.
fn example() -> String {
    let page = include_str!("../../../docs/policy.md");
    let (_, rest) = page.split_once("```toml\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

fn written(place: &Place, name: &str, text: &str) -> String {
    place.write(name, text).to_str().unwrap().to_owned()
}

async fn json(place: &Place, args: &[&str]) -> Value {
    place.json(&[&["policy"], args].concat()).await
}

#[tokio::test]
async fn the_pages_example_is_accepted_and_explained() {
    let place = Place::new();
    let fleet = written(&place, "fleet.toml", &example());
    let checked = json(&place, &["check", "--fleet", &fleet]).await;
    // Two tenants, two programmes and two models, with whoever else; two places.
    assert_eq!(checked["combinations"], 2 * 2 * 2 * 2 * 192);
    assert_eq!(checked["places"][0]["zone"], "foreign");
    let args = [
        "explain",
        "--fleet",
        &fleet,
        "--tenant",
        "seonam-hospital",
        "--model",
        "gpt-5",
        "--class",
    ];
    let decided = async |more: &[&str]| {
        let told = json(&place, &[&args, more].concat()).await;
        let decision = &told["places"][0]["decision"];
        (
            decision["effect"].clone(),
            decision["rules"][0].clone(),
            decision["reroute"].clone(),
        )
    };
    let text = |word: &str| Value::from(word);
    let instead = text("exaone-4.0-32b");
    assert_eq!(
        decided(&["sensitive"]).await,
        (text("deny"), text("gpt-5-closed"), instead)
    );
    let research = ["sensitive", "--flags", "pseudonymised"];
    assert_eq!(
        decided(&research).await,
        (text("allow"), text("research-abroad"), Value::Null)
    );
    assert_eq!(
        decided(&["open"]).await,
        (text("allow"), text("open-anywhere"), Value::Null)
    );
    let shown = place
        .run(&[&["policy"], args.as_slice(), &["sensitive"]].concat())
        .await;
    assert!(
        shown
            .out
            .contains("deny: openai (foreign) by gpt-5-closed, instead: exaone-4.0-32b"),
        "{}",
        shown.out
    );
}

#[tokio::test]
async fn a_change_is_counted_and_shown() {
    let place = Place::new();
    let (old, new) = (example(), example().replace("[\"seonam-hospital\"]", "[]"));
    let (old, new) = (
        written(&place, "old.toml", &old),
        written(&place, "new.toml", &new),
    );
    let diff = json(&place, &["diff", &old, &new]).await;
    assert!(
        diff["lost"].as_u64().unwrap() > 0 && diff["gained"] == 0,
        "{diff}"
    );
    assert_eq!(diff["losses"][0]["tenant"], "seonam-hospital");
    let shown = place.run(&["policy", "diff", &old, &new]).await;
    assert!(
        shown.out.contains("loses: tenant seonam-hospital"),
        "{}",
        shown.out
    );
}

#[tokio::test]
async fn a_policy_that_breaks_a_statement_is_refused_at_its_rule() {
    let place = Place::new();
    let leak = "\n[[policy.rule]]\nid = \"leak\"\neffect = \"allow\"\ntext = \"x\"\nwhen = { class = [\"classified\"] }\n";
    let fleet = written(&place, "fleet.toml", &(example() + leak));
    let ended = place.run(&["policy", "check", "--fleet", &fleet]).await;
    assert_eq!(ended.code, 1);
    for part in ["policy_broken", "never-classified-outside", "id = \"leak\""] {
        assert!(ended.err.contains(part), "{part} is not in\n{}", ended.err);
    }
    let unknown = place
        .run(&["policy", "explain", "--fleet", &fleet, "--class", "secret"])
        .await;
    assert!(
        unknown.err.contains("open, sensitive, classified"),
        "{}",
        unknown.err
    );
}
