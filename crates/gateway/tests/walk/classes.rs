//! Tokens for one class of models: which requests they pay for.

use crate::budgets::fund;
use crate::harness::{Plan, World, code};
use madang_gateway::clock;
use madang_store::{Bank, Ledger, Store};
use madang_types::{Allocation, Micros, ProgrammeBudget, Unit};
use serde_json::json;

/// Beside `m`, which is large: a small model, one without a class, and names that lead to several.
const MORE: &str = r#"
[[model]]
id = "s"
context_tokens = 4096
model_class = "small"
[[model]]
id = "n"
context_tokens = 4096
[[model]]
id = "l"
context_tokens = 4096
model_class = "large"
[[replica]]
id = "spare-s"
site = "home"
model = "s"
upstream_model = "m"
url = "{URL}"
engine = "vllm"
slots = 4
[[upstream]]
id = "far"
dialect = "openai"
url = "{URL}"
country = "KR"
operator_country = "KR"
models = [{ id = "n", upstream_model = "m" }, { id = "l", upstream_model = "m" }]
[[virtual_model]]
id = "mixed"
candidates = [{ model = "m" }, { model = "s" }]
[[virtual_model]]
id = "larges"
candidates = [{ model = "l" }, { model = "m" }]
"#;

async fn grant(world: &World, id: &str, unit: Unit, class: Option<&str>) {
    let bank = world.store.bank();
    let now = clock::now();
    let budget = ProgrammeBudget {
        programme: "startups".parse().unwrap(),
        unit,
        class: class.map(|class| class.parse().unwrap()),
        amount: 100_000,
        concentration_permille_max: 1_000,
    };
    let allocation = Allocation {
        id: id.parse().unwrap(),
        programme: budget.programme.clone(),
        tenant: "demo".parse().unwrap(),
        unit,
        class: budget.class.clone(),
        amount: 100_000,
        hard: true,
        from: now,
        tranches: Vec::new(),
        until: Micros(i64::MAX),
        created_at: now,
        recalled_at: None,
    };
    bank.budget_put(budget, now).await.unwrap();
    bank.allocation_insert(allocation).await.unwrap();
    world.gateway.purses.refresh().await.unwrap();
}

/// Which allocation pays for requests to these models, or what the refusal says.
async fn check(world: &World, expected: &[(&str, Result<&str, &str>)]) {
    for (model, expected) in expected {
        let answer = world.chat(json!({"model": model, "max_tokens": 3})).await;
        let text = answer.text();
        match expected {
            Ok(id) => {
                assert_eq!(answer.status, 200, "{model}: {text}");
                let all = madang_store::UsageFilter::default();
                let record = world
                    .store
                    .usage_list(all, None, 1)
                    .await
                    .unwrap()
                    .remove(0);
                let entry = world.store.bank().entry(record.id.into()).await.unwrap();
                let legs = entry.iter().flat_map(|row| &row.entry.legs);
                let paid = legs.filter_map(|leg| Some((leg.unit, leg.from.allocation()?)));
                let paid: Vec<_> = paid.map(|(unit, id)| (unit, id.as_str())).collect();
                assert_eq!(paid, [(Unit::Tokens, *id)], "{model}");
            }
            Err(told) => {
                assert_eq!(answer.status, 402, "{model}: {text}");
                let json = answer.json().unwrap();
                assert_eq!(code(&json), "allocation_missing", "{model}: {text}");
                assert!(text.contains(told), "{model}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn tokens_for_a_class_pay_for_its_models_alone() {
    let plan = Plan {
        model: "model_class = \"large\"".into(),
        more: MORE.into(),
        ..Plan::default()
    };
    let world = World::start(plan).await;
    fund(&world).await;
    let small = "pays for 's', a model of the class 'small'";
    // Hours of accelerators are for jobs.
    grant(&world, "hours", Unit::AcceleratorMs, None).await;
    check(&world, &[("s", Err(small)), ("n", Err("pays for 'n'"))]).await;
    grant(&world, "large", Unit::Tokens, Some("large")).await;
    check(
        &world,
        &[
            ("m", Ok("large")),
            ("l", Ok("large")),
            ("larges", Ok("large")),
            ("s", Err(small)),
            ("n", Err("pays for 'n'")),
            // Nobody knows yet which of the two it will be.
            ("mixed", Err("pays for 'mixed'")),
        ],
    )
    .await;
    grant(&world, "any", Unit::Tokens, None).await;
    let with_any = [
        ("m", Ok("large")),
        ("s", Ok("any")),
        ("n", Ok("any")),
        ("mixed", Ok("any")),
    ];
    check(&world, &with_any).await;
    // Once no model has the class, nothing more is spent of it.
    let renamed = world.fleet().replace("\"large\"", "\"huge\"");
    world.fleet_apply(&renamed);
    check(&world, &[("m", Ok("any")), ("larges", Ok("any"))]).await;
    let report = world.store.bank().ledger_verify().await.unwrap();
    assert!(report.findings.is_empty(), "{report:?}");
}
