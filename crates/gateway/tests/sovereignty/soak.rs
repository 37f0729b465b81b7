//! Decisions by the million: generated requests are looked at, decided and masked as the gateway does, without sockets.

use crate::case::{Case, TENANTS, floors, policy};
use crate::flow::{PLACES, fleet};
use crate::number;
use crate::personal::flat;
use crate::random::Random;
use bytes::Bytes;
use madang_core::PolicyTable;
use madang_core::policy::{Content, Whom};
use madang_gateway::snapshot::Snapshot;
use madang_gateway::walk::{Facts, Inspection, inspect};
use madang_types::{DataClass, DataFlag, DataMark, ModelId, PolicyEffect, TenantId, Zone};
use madang_wire::RequestBody;
use std::path::Path;
use std::sync::Arc;

/// Decisions, where `MADANG_PROOF_DECISIONS` says nothing.
const DECISIONS: u64 = 20_000;
/// Requests under one policy.
const POLICY_CASES: u64 = 400;
const DEPTH_MAX: u32 = 64;

/// A policy that loads.
fn table(random: &mut Random) -> PolicyTable {
    loop {
        let urls = vec!["http://127.0.0.1:1".to_owned(); PLACES];
        let text = fleet(&urls, &policy(random));
        let parsed = madang_fleet::parse(&text, Path::new("/")).ok();
        if let Some(snapshot) =
            parsed.and_then(|parsed| Snapshot::build(Arc::new(parsed.fleet)).ok())
        {
            return snapshot.policy_table;
        }
    }
}

/// The marks of a request as they count.
fn mark(case: &Case, inspection: &Inspection) -> DataMark {
    let (tenant, key) = floors(case.tenant, case.key);
    let mut facts = Facts::new(None, tenant, key);
    facts.claim(case.claimed.0, case.claimed.1);
    facts.find(inspection.counts());
    facts.mark
}

/// What is wrong with the decisions about one request; how many there were.
fn decide(table: &PolicyTable, case: &Case) -> (u64, Vec<String>) {
    let body = RequestBody::parse(Bytes::from(case.body.clone()), DEPTH_MAX).unwrap();
    let inspection = inspect(&body);
    let mark = mark(case, &inspection);
    let mut wrong = Vec::new();
    if mark.union(case.least) != mark {
        wrong.push(format!("{mark:?} is lower than {:?}", case.least));
    }
    let tenant: TenantId = TENANTS[case.tenant].0.parse().unwrap();
    let model: ModelId = case.model.parse().unwrap();
    let subject = table.subject(Whom {
        tenant: Some(&tenant),
        programme: None,
        model: Some(&model),
    });
    let content = Content {
        class: mark.class,
        flags: mark.flags,
        maskable: inspection.is_maskable(),
    };
    let mut decisions = 0;
    let mut masked = false;
    for (place, id, zone, known) in table.places() {
        let decision = table.decide(subject, content, place);
        decisions += 1;
        if decision.effect == PolicyEffect::Deny {
            continue;
        }
        masked |= decision.effect == PolicyEffect::Mask;
        let unknown = known.country.is_none() || known.operator_country.is_none();
        let leaves = mark.class == DataClass::Classified && zone != Zone::GovIsolated;
        let bare = decision.effect == PolicyEffect::Allow
            && mark.flags.has(DataFlag::UniqueId)
            && !decision.bases.iter().any(|basis| basis.as_str() == "law-1");
        if unknown || leaves || bare {
            wrong.push(format!("{mark:?} goes to {id}: {decision:?}"));
        }
    }
    if masked {
        let masked = inspection.mask(&body, DEPTH_MAX).unwrap();
        let left = case
            .planted
            .iter()
            .filter(|planted| planted.is_in(masked.body.bytes()));
        wrong.extend(left.map(|planted| format!("{planted:?} is not masked")));
        // A value that was cut into parts comes back in the first of them.
        if flat(&masked.restore.answer(masked.body.bytes())) != flat(body.bytes()) {
            wrong.push("what was masked does not come back".to_owned());
        }
    }
    (decisions, wrong)
}

#[test]
fn decisions_by_the_million_hold() {
    let (seed, wanted) = (
        number("MADANG_PROOF_SEED", 1),
        number("MADANG_PROOF_DECISIONS", DECISIONS),
    );
    println!("MADANG_PROOF_SEED={seed}");
    let mut random = Random::of(&[seed, 20]);
    let (mut decisions, mut requests, mut violations) = (0, 0, 0);
    let mut table_now = table(&mut random);
    while decisions < wanted {
        if requests % POLICY_CASES == 0 {
            table_now = table(&mut random);
        }
        requests += 1;
        let case = Case::new(requests, &mut random);
        let (count, wrong) = decide(&table_now, &case);
        decisions += count;
        for what in &wrong {
            println!("request {requests}: {what}: {}", case.body);
        }
        violations += wrong.len();
    }
    println!("{decisions} decisions about {requests} requests, {violations} violations");
    assert_eq!(violations, 0);
}
