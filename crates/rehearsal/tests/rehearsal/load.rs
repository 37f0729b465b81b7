//! The live experiment against the engine itself: it knows no keys, and serves whoever comes first.

use super::{options, start};
use madang_rehearsal::{LoadError, NoisyLiveOptions, noisy_live};
use madang_twin::experiment::noisy::{TENANTS, WARM_NS};

#[tokio::test]
async fn tenants_are_counted_alone_and_beside_a_flood() {
    let engine = start(options("tiny", 20.0)).await;
    let mut load = NoisyLiveOptions::new(&engine.url(), "m", 20.0);
    load.tenant_keys = (0..TENANTS).map(|number| format!("key-{number}")).collect();
    load.floods = vec!["20,500,20".parse().unwrap()];
    load.from_ns = WARM_NS - 1_000_000_000;
    load.until_ns = WARM_NS + 5_000_000_000;
    assert!(matches!(
        noisy_live(load.clone()).await,
        Err(LoadError::Keys {
            expected: 1,
            given: 0,
            ..
        })
    ));
    load.flood_keys = vec!["key-f".into()];
    let report = noisy_live(load).await.unwrap();
    let (alone, flooded) = (report.alone, report.flooded);
    for side in [alone, flooded] {
        assert_eq!(
            (
                side.refused,
                side.failed,
                side.not_sent,
                side.tenants_unserved
            ),
            (0, 0, 0, 0),
            "{report}"
        );
        assert_eq!(side.sent, side.finished + side.left_open, "{report}");
        assert!(
            side.ttft.p50_ms > 0.0 && side.ttft.p50_ms <= side.ttft.p99_ms,
            "{report}"
        );
    }
    // The same arrivals of steady tenants, and about a hundred of the flood beside them.
    assert_eq!(alone.ttft.requests, flooded.ttft.requests);
    assert!((60..140).contains(&(flooded.sent - alone.sent)), "{report}");
    assert!(report.to_string().contains("p99 beside the floods is"));
}
