//! The invariants of sovereignty, each over generated requests, policies and faults that go through the real gateway to
//! places that write down every byte. A failure prints its seed; `MADANG_PROOF_SEED=N cargo test -p madang-gateway --test
//! sovereignty NAME` repeats it, and `MADANG_PROOF_CASES` says how many requests each test sends.
//!
//! | invariant | held by |
//! |---|---|
//! | 1, 3, 4, 6, 7, 10, 12, 16, 19 | the tests here |
//! | 2, 5 | `core/tests/policy/invariants.rs` over every combination; `core/tests/replay` |
//! | 8 | `invariant_8_…` in `audit/src/tests`, with verifiers that others wrote |
//! | 9 | `invariant_9_…` in `api/tests/api/erasure.rs`; `audit/src/keyring.rs`, `cli/tests/audit.rs` |
//! | 11 | `pii/tests/properties.rs` |
//! | 13 | `invariant_13_…` in `api/tests/api/matrix/credentials.rs`; `gateway/tests/walk/refusals.rs` |
//! | 14 | `invariant_14_…` in `api/tests/api/matrix.rs` and `gateway/tests/walk/tenants.rs` |
//! | 1, 15, 19 of URLs | `gateway/tests/walk/urls.rs`, `gateway/src/fetch`, `wire/src/urls/tests.rs` |
//! | 17 | `i17` here, and `gateway/tests/walk/upstreams.rs` |
//! | 18 | `invariant_18_…` in `cli/tests/abuse.rs`; `gateway/tests/walk/refusals.rs`, `gateway/src/edge/tests.rs` |
//! | 20 | `core/tests/policy/change.rs` |
#![cfg(test)]

mod case;
mod flow;
#[path = "../walk/harness/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    reason = "the walk's tests use the rest of it"
)]
mod harness;
mod personal;
mod random;
mod soak;
mod speech;
mod stops;
mod upstream;

use flow::{Evidence, MAPPED, evidence, provider_key};
use harness::captured;
use madang_core::policy::Whom;
use madang_types::{DataFlag, PolicyEffect, SiteId};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Requests that each test sends.
const CASES: u64 = 72;

fn number(variable: &str, otherwise: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(otherwise, |text| text.parse().unwrap())
}

/// How much was seen.
#[derive(Debug, Default)]
struct Total {
    requests: usize,
    attempts: usize,
    /// Attempts at the place that speaks another dialect, over TLS.
    mapped: usize,
    /// Attempts beside one whose first byte was late.
    hedges: u64,
}

/// Sends requests and checks what is known afterwards; says how much that was.
async fn check(seed: u64, holds: impl Fn(&Evidence)) -> Total {
    let seed = number("MADANG_PROOF_SEED", seed);
    println!("MADANG_PROOF_SEED={seed}");
    let mut total = Total::default();
    for evidence in evidence(seed, number("MADANG_PROOF_CASES", CASES)).await {
        holds(&evidence);
        total.requests += evidence.sent.len();
        total.attempts += evidence.seen.len();
        let at_mapped = evidence.seen.iter().filter(|seen| seen.place == MAPPED);
        total.mapped += at_mapped.count();
        total.hedges += evidence.hedges;
    }
    println!("{total:?}");
    assert!(total.attempts > 0);
    total
}

#[tokio::test]
async fn i01_no_byte_reaches_a_place_that_is_not_allowed() {
    check(1_000, |evidence| {
        for seen in &evidence.seen {
            let sent = evidence.request_of(seen);
            let attempts = evidence.attempts_at(seen);
            let (_, leaf) = attempts.first().expect("an attempt in the log");
            let during = (sent.epochs.0, seen.epoch);
            let table = evidence
                .policy(&leaf.policy_hash, during)
                .expect("a policy in force then");
            let subject = table.subject(Whom {
                tenant: Some(&leaf.tenant),
                programme: None,
                model: leaf.model_asked.as_ref(),
            });
            let place = table
                .place_named(&SiteId::new(&seen.place).unwrap())
                .unwrap();
            let decision = table.decide(subject, (leaf.class, leaf.flags), place);
            let what = format!(
                "seed {}: {} at {}: {decision:?} {leaf:?}",
                evidence.seed, sent.case.body, seen.place
            );
            assert_ne!(decision.effect, PolicyEffect::Deny, "{what}");
            assert_eq!(
                decision.effect == PolicyEffect::Mask,
                leaf.effect == PolicyEffect::Mask,
                "{what}"
            );
            for planted in &sent.case.planted {
                let bare = leaf.effect == PolicyEffect::Mask && planted.is_in(seen.body());
                assert!(!bare, "{planted:?} is not masked, {what}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn i03_what_nobody_vouches_for_gets_nothing() {
    check(3_000, |evidence| {
        for seen in &evidence.seen {
            assert!(
                !matches!(seen.place.as_str(), "vague" | "half"),
                "seed {}: {seen:?}",
                evidence.seed
            );
        }
        for sent in evidence.sent.iter().filter(|sent| sent.case.model == "v") {
            let text = sent.answer.text();
            assert!(sent.answer.status >= 400, "seed {}: {text}", evidence.seed);
            let reasons = [
                "policy_denied",
                "personal_data_unmasked",
                "unknown-location",
            ];
            assert!(
                reasons.iter().any(|reason| text.contains(reason)),
                "seed {}: {text}",
                evidence.seed
            );
        }
    })
    .await;
}

#[tokio::test]
async fn i04_nothing_in_a_request_lowers_its_class() {
    check(4_000, |evidence| {
        for sent in &evidence.sent {
            let least = sent.case.least;
            let leaves = evidence.decisions_about(&sent.id);
            assert!(
                !leaves.is_empty(),
                "seed {}: {} {} {:?}",
                evidence.seed,
                sent.answer.status,
                sent.answer.text(),
                sent.case
            );
            for (_, leaf) in leaves {
                let what = format!(
                    "seed {}: {least:?} {leaf:?} {}",
                    evidence.seed, sent.case.body
                );
                assert!(leaf.class >= least.class, "{what}");
                assert_eq!(leaf.flags.union(least.flags), leaf.flags, "{what}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn i06_each_decision_is_in_the_log_once_and_before_its_first_byte() {
    check(6_000, |evidence| {
        let mut attempts = BTreeSet::new();
        for (_, leaf) in evidence.decisions() {
            let once = attempts.insert((leaf.request, leaf.attempt));
            assert!(once, "seed {}: twice: {leaf:?}", evidence.seed);
        }
        for seen in &evidence.seen {
            let before = evidence
                .attempts_at(seen)
                .iter()
                .filter(|(at, _)| *at < seen.log_size)
                .count();
            assert!(
                before > 0,
                "seed {}: not logged before: {}",
                evidence.seed,
                seen.head()
            );
        }
        for sent in evidence
            .sent
            .iter()
            .filter(|sent| sent.answer.status == 403)
        {
            let leaves = evidence.decisions_about(&sent.id);
            let denied = leaves
                .iter()
                .filter(|(at, leaf)| leaf.effect == PolicyEffect::Deny && *at < sent.log_size);
            assert_eq!(denied.count(), 1, "seed {}: {leaves:?}", evidence.seed);
        }
    })
    .await;
}

#[tokio::test]
async fn i07_the_log_has_the_attempts_that_the_places_saw() {
    check(7_000, |evidence| {
        let mut attempts: BTreeMap<_, (usize, usize)> = BTreeMap::new();
        for (_, leaf) in evidence.decisions().filter(|(_, leaf)| leaf.attempt > 0) {
            let place = leaf.location.as_ref().unwrap().id.clone();
            attempts
                .entry((leaf.request.to_string(), place))
                .or_default()
                .0 += 1;
        }
        for seen in &evidence.seen {
            let id = seen.header("x-request-id").unwrap().to_owned();
            attempts.entry((id, seen.place.clone())).or_default().1 += 1;
        }
        for ((id, place), (logged, seen)) in attempts {
            let sent = evidence.sent.iter().find(|sent| sent.id == id).unwrap();
            let called_off = sent.stopped && seen < logged;
            assert!(
                logged == seen || called_off,
                "seed {}: {id} at {place}: {logged} in the log, {seen} seen",
                evidence.seed
            );
        }
    })
    .await;
}

#[tokio::test]
async fn i10_content_is_in_no_log_metric_book_or_leaf() {
    let logged = captured();
    check(10_000, |evidence| {
        let log = logged.text();
        let ours: Vec<&str> = log.lines().filter(|line| line.contains("madang")).collect();
        assert!(!ours.is_empty());
        let all = [
            ("log", ours.join("\n")),
            ("metrics", evidence.metrics.clone()),
            ("files", evidence.files.clone()),
        ];
        for sent in &evidence.sent {
            for (name, text) in &all {
                let canary = text.contains(&sent.case.canary);
                let found = sent
                    .case
                    .planted
                    .iter()
                    .find(|planted| planted.is_in_text(text));
                assert!(
                    !canary && found.is_none(),
                    "seed {}: {found:?} of {:?} in the {name}",
                    evidence.seed,
                    sent.case
                );
            }
            if matches!(sent.answer.status, 403 | 429 | 503 | 504) {
                let text = sent.answer.text();
                let found = sent
                    .case
                    .planted
                    .iter()
                    .find(|planted| planted.is_in_text(&text));
                assert!(
                    found.is_none() && !text.contains(&sent.case.canary),
                    "seed {}: {text}",
                    evidence.seed
                );
            }
        }
    })
    .await;
}

#[tokio::test]
async fn i12_unique_identifiers_reach_no_place_unmasked_without_a_basis() {
    check(12_000, |evidence| {
        for seen in &evidence.seen {
            let sent = evidence.request_of(seen);
            let attempts = evidence.attempts_at(seen);
            let basis = attempts
                .iter()
                .any(|(_, leaf)| leaf.basis.iter().any(|id| id == "law-1"));
            let unique = sent
                .case
                .planted
                .iter()
                .filter(|planted| planted.kind.flags().has(DataFlag::UniqueId));
            for planted in unique.filter(|planted| planted.is_in(seen.body())) {
                let what = format!(
                    "seed {}: {planted:?} at {}: {}",
                    evidence.seed, seen.place, sent.case.body
                );
                assert!(basis && sent.case.tenant == 3, "{what}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn i11_what_was_masked_comes_back_to_the_caller() {
    check(11_000, |evidence| {
        let mut masked = 0;
        for sent in evidence
            .sent
            .iter()
            .filter(|sent| sent.answer.status == 200)
        {
            let Some(said) = said(&sent.answer.text(), sent.case.stream) else {
                continue;
            };
            assert_eq!(
                said, sent.case.text,
                "seed {}: {}",
                evidence.seed, sent.case.body
            );
            let leaves = evidence.decisions_about(&sent.id);
            masked += leaves
                .iter()
                .filter(|(_, leaf)| leaf.effect == PolicyEffect::Mask)
                .count();
        }
        assert!(masked > 0, "seed {}", evidence.seed);
    })
    .await;
}

/// What a whole answer says; `None` where the stream broke off.
fn said(answer: &str, stream: bool) -> Option<String> {
    let of = |json: &Value| {
        let choice = &json["choices"][0];
        let texts = [
            &choice["message"]["content"],
            &choice["delta"]["content"],
            &choice["text"],
            &json["content"][0]["text"],
            &json["delta"]["text"],
        ];
        texts
            .iter()
            .filter_map(|text| text.as_str())
            .collect::<String>()
    };
    if !stream {
        return Some(of(&serde_json::from_str(answer).unwrap()));
    }
    let ended = answer.contains("[DONE]") || answer.contains("message_stop");
    let data = answer
        .lines()
        .filter_map(|line| line.strip_prefix("data: "));
    let events = data.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    ended.then(|| events.map(|event| of(&event)).collect())
}

#[tokio::test]
async fn i16_no_header_of_the_callers_changes_the_call() {
    const SENT_ON: [&str; 6] = [
        "host",
        "content-length",
        "content-type",
        "x-request-id",
        "traceparent",
        "tracestate",
    ];
    const PROVIDER: [&str; 2] = ["x-api-key", "anthropic-version"];
    check(16_000, |evidence| {
        for seen in &evidence.seen {
            let head = seen.head();
            assert!(
                !head.contains("evil.example") && !head.contains("hostile"),
                "{head}"
            );
            let provider = if seen.place == MAPPED {
                &PROVIDER[..]
            } else {
                &[]
            };
            for line in head.lines().skip(1).filter(|line| !line.is_empty()) {
                let name = line.split(':').next().unwrap().to_ascii_lowercase();
                assert!(
                    SENT_ON.contains(&name.as_str()) || provider.contains(&name.as_str()),
                    "seed {}: {head}",
                    evidence.seed
                );
            }
        }
    })
    .await;
}

#[tokio::test]
async fn i17_a_providers_key_goes_to_that_provider_alone() {
    let total = check(17_000, |evidence| {
        for seen in &evidence.seen {
            let bytes = String::from_utf8_lossy(&seen.bytes);
            let key = seen.header("x-api-key");
            assert_eq!(
                key.is_some_and(|key| key == provider_key()),
                seen.place == MAPPED,
                "seed {}: {bytes}",
                evidence.seed
            );
            assert!(key.is_some() || !bytes.contains(&provider_key()));
        }
    })
    .await;
    assert!(total.mapped > 0, "nothing came to {MAPPED}");
}
