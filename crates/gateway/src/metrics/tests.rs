use super::*;
use madang_core::credit::Month;
use madang_core::desk::Totals;
use madang_core::power::governor::{Act, PowerDeed};
use madang_core::{AttemptCounts, MemberStatus, PoolStatus, Refusal, ShareStatus, TenantStatus};
use madang_types::{
    DataClass, Endpoint, KeyId, Micros, Outcome, Priority, ReplicaId, RequestId, RunOutcome,
    RunState, SiteId, StopWhy, TokenUse, Tokens,
};
use std::collections::BTreeSet;
use std::time::Duration;

const BOARD: &str = include_str!("../../../../docs/grafana/madang.json");

fn record() -> UsageRecord {
    UsageRecord {
        id: RequestId(1),
        arrived_at: Micros(1),
        tenant: TenantId::new("hanbit").unwrap(),
        project: None,
        key: KeyId::new("k").unwrap(),
        endpoint: Endpoint::Chat,
        model: Some(ModelId::new("LGAI/EXAONE:32b").unwrap()),
        site: None,
        replica: None,
        outcome: Outcome::Finished,
        status: 200,
        error: None,
        streamed: true,
        attempts: 2,
        data_class: DataClass::Open,
        priority: Priority::Standard,
        tokens: TokenUse {
            uncached: Tokens(100),
            cached: Tokens(20),
            output: Tokens(7),
            estimated: false,
        },
        bytes_in: 10,
        bytes_out: 20,
        queued_us: 2_000,
        first_token_us: Some(300_000),
        per_token_us: Some(20_000),
        total_us: 440_000,
        cost: None,
        energy: None,
        decision: None,
    }
}

fn replica(restarts: u64) -> ReplicaSample {
    ReplicaSample {
        replica: ReplicaId::new("pohang-1").unwrap(),
        site: SiteId::new("pohang").unwrap(),
        model: ModelId::new("exaone").unwrap(),
        up: true,
        restarts,
        engine_tells: true,
        engine_running: Some(2),
        engine_waiting: Some(1),
        kv_used_ratio: Some(0.25),
    }
}

fn tenant(name: &str, waiting: u32) -> TenantStatus {
    TenantStatus {
        tenant: TenantId::new(name).unwrap(),
        programme: None,
        waiting,
        running: 2,
        kv_tokens: 900,
        service_permille: 700,
        share_permille: 500,
        lean_permille: 600,
        promise_permille: Some(1_400),
        over_share: true,
        service_us: 2_500_000,
    }
}

fn share(name: &str, asked_us: u64) -> ShareStatus {
    ShareStatus {
        tenant: TenantId::new(name).unwrap(),
        programme: None,
        part_ppm: 500_000,
        balance_us: -3_500_000,
        reach_permille: 900,
        month: Month {
            number: 0,
            delivered_us: 30_000_000,
            asked_us,
            entitled_us: 50_000_000,
        },
    }
}

fn pool() -> PoolStatus {
    PoolStatus {
        model: Some(ModelId::new("exaone").unwrap()),
        waiting: 5,
        members: vec![MemberStatus {
            replica: ReplicaId::new("pohang-1").unwrap(),
            site: SiteId::new("pohang").unwrap(),
            model: ModelId::new("exaone").unwrap(),
            available: true,
            leaving: false,
            ejected: false,
            running: 3,
            running_rest: 0,
            slots: 64,
            slots_limit: 48,
            kv_tokens_used: 1_200,
            kv_tokens: Some(270_000),
            prefill_us: 250_000,
            cached_tokens: 4_096,
            tpot_us: 20_000,
            ttft_error_permille: Some(125),
        }],
        tenants: vec![tenant("hanbit", 5)],
        jain_permille: 870,
        reserve_permille: 250,
        attempts: AttemptCounts {
            first: 10,
            retries: 2,
            retries_denied: 1,
            hedges: 3,
            preempted: 2,
        },
        refusals: vec![(Refusal::QueueFull, 6), (Refusal::AttemptsExhausted, 1)],
    }
}

/// Metrics after one of each event.
fn one_of_each() -> Metrics {
    let metrics = Metrics::new();
    metrics.request_end(&record());
    metrics.identify_failure(IdentifyError::Expired);
    metrics.usage_write_failure();
    metrics.fleet_set(FleetSample {
        pools: vec![pool()],
        shares: vec![share("hanbit", 40_000_000), share("idle", 0)],
        replicas: vec![replica(4)],
    });
    metrics.job_start();
    metrics.job_end(&RunOutcome::Failed { exit_code: 3 });
    metrics.job_stop(StopWhy::Room);
    metrics.job_pass(Duration::from_millis(4));
    metrics.jobs_sampler_set(Box::new(|| {
        let site = SiteId::new("pohang").ok();
        Some(Totals {
            waiting: 7,
            runs: [((site, RunState::Running), 40)].into(),
        })
    }));
    metrics.power_deed("pohang", &pause());
    metrics.power_sampler_set(Box::new(|| Some(vec![power()])));
    metrics
}

fn pause() -> PowerDeed {
    PowerDeed::Took {
        act: Act::Pause("7-1".parse().unwrap()),
        saves_watts: 400,
    }
}

/// A site over its cap, one of whose two meters is not believed.
fn power() -> PowerSample {
    let meter = |meter: &str, doubt: Option<&'static str>, doubted_s| MeterSample {
        meter: meter.to_owned(),
        doubt,
        doubted_s,
    };
    PowerSample {
        site: SiteId::new("pohang").unwrap(),
        watts: 900,
        measured: false,
        cap_watts: Some(850),
        over_watts: 50,
        lacks_watts: 70,
        meters: vec![meter("feed", Some("stuck"), 31), meter("dcgm", None, 0)],
        vtns: vec![("kpx".to_owned(), true), ("gs".to_owned(), false)],
        acts: vec!["pause", "pause"],
    }
}

#[test]
fn what_is_over_a_cap_and_meters_that_are_not_believed_are_told() {
    let text = one_of_each().encode();
    for line in [
        "madang_site_watts{site=\"pohang\",measured=\"false\"} 900",
        "madang_site_cap_watts{site=\"pohang\"} 850",
        "madang_site_over_watts{site=\"pohang\"} 50",
        "madang_site_lacks_watts{site=\"pohang\"} 70",
        "madang_meter_believed{site=\"pohang\",meter=\"feed\"} 0",
        "madang_meter_believed{site=\"pohang\",meter=\"dcgm\"} 1",
        "madang_meter_doubted_seconds{site=\"pohang\",meter=\"feed\",doubt=\"stuck\"} 31",
        "madang_vtn_answers{site=\"pohang\",vtn=\"kpx\"} 1",
        "madang_vtn_answers{site=\"pohang\",vtn=\"gs\"} 0",
        "madang_site_power_acts{site=\"pohang\",act=\"pause\"} 2",
        "madang_power_acts_total{site=\"pohang\",act=\"pause\"} 1",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line}: {text}");
    }
    let doubted = text
        .lines()
        .filter(|line| line.starts_with("madang_meter_doubted_seconds{"));
    assert_eq!(doubted.count(), 1, "{text}");
}

#[test]
fn a_request_is_counted_under_its_names() {
    let text = one_of_each().encode();
    let model = "model=\"LGAI/EXAONE:32b\"";
    let place = "{model=\"exaone\",replica=\"pohang-1\",site=\"pohang\"}";
    let expected = [
        format!(
            "madang_requests_total{{endpoint=\"chat\",{model},outcome=\"finished\",status_class=\"2xx\"}} 1"
        ),
        format!("madang_prompt_tokens_total{{{model},cached=\"false\"}} 100"),
        format!("madang_prompt_tokens_total{{{model},cached=\"true\"}} 20"),
        format!("madang_generation_tokens_total{{{model}}} 7"),
        "madang_tenant_tokens_total{tenant=\"hanbit\",kind=\"output\"} 7".into(),
        "madang_tenant_requests_total{tenant=\"hanbit\"} 1".into(),
        format!("madang_time_to_first_token_seconds_sum{{{model}}} 0.3"),
        format!("madang_time_to_first_token_seconds_bucket{{le=\"0.25\",{model}}} 0"),
        format!("madang_time_to_first_token_seconds_bucket{{le=\"0.5\",{model}}} 1"),
        format!("madang_time_per_output_token_seconds_sum{{{model}}} 0.02"),
        format!("madang_request_duration_seconds_sum{{endpoint=\"chat\",{model}}} 0.44"),
        format!("madang_request_queue_seconds_count{{{model}}} 1"),
        "madang_identify_failures_total{reason=\"expired\"} 1".into(),
        "madang_usage_write_failures_total 1".into(),
        "madang_jobs_driving 1".into(),
        "madang_job_tasks_waiting 7".into(),
        "madang_job_runs{site=\"pohang\",state=\"running\"} 40".into(),
        "madang_job_starts_total 1".into(),
        "madang_job_ends_total{outcome=\"failed\"} 1".into(),
        "madang_job_stops_total{reason=\"room\"} 1".into(),
        "madang_job_pass_seconds_bucket{le=\"0.005\"} 1".into(),
        "madang_job_pass_seconds_bucket{le=\"0.003\"} 0".into(),
        format!("madang_requests_running{place} 3.0"),
        format!("madang_replica_up{place} 1.0"),
        format!("madang_replica_restarts_total{place} 4"),
        format!("madang_engine_kv_used_ratio{place} 0.25"),
        format!(
            "madang_build_info{{version=\"{}\"}} 1",
            env!("CARGO_PKG_VERSION")
        ),
    ];
    let lines: BTreeSet<_> = text.lines().collect();
    for line in expected {
        assert!(lines.contains(line.as_str()), "{line}\nis not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn shares_and_routes_are_told() {
    let text = one_of_each().encode();
    let place = "{model=\"exaone\",replica=\"pohang-1\",site=\"pohang\"}";
    let tenant = "{model=\"exaone\",tenant=\"hanbit\"}";
    let model = "model=\"exaone\"";
    let expected = [
        format!("madang_requests_waiting{{{model}}} 5.0"),
        format!("madang_fairness_jain_ratio{{{model}}} 0.87"),
        format!("madang_reserve_ratio{{{model}}} 0.25"),
        format!("madang_attempts_total{{{model},kind=\"first\"}} 10"),
        format!("madang_attempts_total{{{model},kind=\"retry\"}} 2"),
        format!("madang_attempts_total{{{model},kind=\"hedge\"}} 3"),
        format!("madang_retries_denied_total{{{model}}} 1"),
        format!("madang_prompts_preempted_total{{{model}}} 2"),
        format!("madang_refusals_total{{{model},reason=\"queue_full\"}} 6"),
        format!("madang_refusals_total{{{model},reason=\"engine_unreachable\"}} 1"),
        format!("madang_tenant_requests_waiting{tenant} 5.0"),
        format!("madang_tenant_requests_running{tenant} 2.0"),
        format!("madang_tenant_kv_tokens{tenant} 900.0"),
        format!("madang_tenant_service_ratio{tenant} 0.7"),
        format!("madang_tenant_share_ratio{tenant} 0.5"),
        format!("madang_tenant_over_share{tenant} 1.0"),
        format!("madang_tenant_share_with_credit_ratio{tenant} 0.6"),
        format!("madang_tenant_promise_ratio{tenant} 1.4"),
        "madang_tenant_credit_seconds{tenant=\"hanbit\"} -3.5".into(),
        "madang_tenant_month_delivered_seconds{tenant=\"hanbit\"} 30.0".into(),
        "madang_tenant_month_promised_seconds{tenant=\"hanbit\"} 40.0".into(),
        format!("madang_tenant_service_seconds_total{tenant} 2.5"),
        format!("madang_replica_slots{place} 64.0"),
        format!("madang_replica_slots_limit{place} 48.0"),
        format!("madang_replica_kv_tokens_used{place} 1200.0"),
        format!("madang_replica_kv_tokens{place} 270000.0"),
        format!("madang_replica_prefill_seconds{place} 0.25"),
        format!("madang_replica_cached_tokens{place} 4096.0"),
        format!("madang_replica_tpot_seconds{place} 0.02"),
        format!("madang_replica_ttft_error_ratio{place} 0.125"),
        format!("madang_replica_ejected{place} 0.0"),
        format!("madang_replica_available{place} 1.0"),
        format!("madang_engine_metrics_up{place} 1.0"),
    ];
    let idle = text.contains("tenant=\"idle\"");
    assert!(!idle, "who asked for nothing has no series");
    let lines: BTreeSet<_> = text.lines().collect();
    for line in expected {
        assert!(lines.contains(line.as_str()), "{line}\nis not in\n{text}");
    }
}

#[test]
fn what_is_not_known_has_no_series() {
    let metrics = Metrics::new();
    let mut unknown = pool();
    for member in &mut unknown.members {
        (member.kv_tokens, member.ttft_error_permille) = (None, None);
    }
    let silent = ReplicaSample {
        engine_tells: false,
        engine_running: None,
        engine_waiting: None,
        kv_used_ratio: None,
        ..replica(0)
    };
    metrics.fleet_set(FleetSample {
        pools: vec![unknown],
        shares: Vec::new(),
        replicas: vec![silent],
    });
    let text = metrics.encode();
    for name in [
        "madang_replica_kv_tokens{",
        "madang_replica_ttft_error_ratio{",
        "madang_engine_kv_used_ratio{",
    ] {
        assert!(!text.contains(name), "{text}");
    }
    assert!(text.contains(
        "madang_engine_metrics_up{model=\"exaone\",replica=\"pohang-1\",site=\"pohang\"} 0.0"
    ));
}

#[test]
fn a_plain_answer_and_an_unknown_model_are_kept_apart() {
    let metrics = Metrics::new();
    metrics.request_end(&UsageRecord {
        streamed: false,
        ..record()
    });
    metrics.request_end(&UsageRecord {
        model: None,
        status: 404,
        outcome: Outcome::Refused,
        ..record()
    });
    let text = metrics.encode();
    assert!(!text.contains("madang_time_to_first_token_seconds_count{model=\"LGAI"));
    assert!(
        text.contains("{endpoint=\"chat\",model=\"-\",outcome=\"refused\",status_class=\"4xx\"} 1")
    );
}

#[test]
fn series_of_a_removed_replica_end() {
    let metrics = one_of_each();
    metrics.fleet_set(FleetSample::default());
    assert!(!metrics.encode().contains("pohang-1"));
}

#[test]
fn labels_are_bounded() {
    let metrics = Metrics::new();
    for i in 0..TENANTS_MAX + 10 {
        metrics.request_end(&UsageRecord {
            tenant: TenantId::new(&format!("t{i}")).unwrap(),
            ..record()
        });
    }
    let text = metrics.encode();
    assert_eq!(
        text.matches("madang_tenant_requests_total{").count(),
        TENANTS_MAX + 1
    );
    assert!(text.contains("madang_tenant_requests_total{tenant=\"other\"} 10\n"));

    // Those beyond the bound are one row in each pool, added up.
    let mut crowd = pool();
    crowd.tenants = vec![tenant("t0", 1), tenant("late", 2), tenant("later", 3)];
    metrics.fleet_set(FleetSample {
        pools: vec![crowd],
        shares: Vec::new(),
        replicas: Vec::new(),
    });
    let text = metrics.encode();
    let waiting = |tenant: &str| {
        format!("madang_tenant_requests_waiting{{model=\"exaone\",tenant=\"{tenant}\"}}")
    };
    assert!(text.contains(&format!("{} 1.0\n", waiting("t0"))), "{text}");
    assert!(
        text.contains(&format!("{} 5.0\n", waiting("other"))),
        "{text}"
    );
}

/// Every query of the board.
fn queries(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(object) => {
            for (name, value) in object {
                match value {
                    serde_json::Value::String(text) if name == "expr" || name == "query" => {
                        found.push(text.clone())
                    }
                    other => queries(other, found),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| queries(item, found)),
        _ => {}
    }
}

/// Names of metrics in a query.
fn names(query: &str) -> impl Iterator<Item = &str> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    query
        .split(word)
        .filter(|name| name.starts_with("madang_") || name.starts_with("process_"))
}

#[test]
fn every_metric_on_the_board_exists_and_every_metric_is_on_the_board() {
    let text = one_of_each().encode();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let exist: BTreeSet<&str> = samples
        .map(|line| line.split(['{', ' ']).next().unwrap())
        .collect();
    let board: serde_json::Value = serde_json::from_str(BOARD).unwrap();
    let mut found = Vec::new();
    queries(&board, &mut found);
    let shown: BTreeSet<&str> = found.iter().flat_map(|query| names(query)).collect();
    for name in &shown {
        assert!(
            exist.contains(name),
            "{name} is on the board and nowhere else"
        );
    }
    for name in exist {
        let histogram = name.trim_end_matches("_sum").trim_end_matches("_count");
        let seen = shown.contains(name) || shown.contains(format!("{histogram}_bucket").as_str());
        assert!(seen, "{name} is not on the board");
    }
}
