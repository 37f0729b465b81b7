//! One suite for all ways to read power.

use super::*;
use madang_gateway::client::ClientOptions;
use madang_testkit::{PageAnswer, Pages};

/// A way to read power, with what such services say. The first of each is recorded from the makers' own documents.
struct Way {
    kind: MeterKind,
    path: &'static str,
    /// Answers, and the watts that they say.
    says: &'static [(&'static str, u64)],
    /// An answer without power, and one that is no number of watts.
    silent: &'static str,
    wrong: &'static str,
}

const WAYS: [Way; 2] = [
    Way {
        kind: MeterKind::Prometheus,
        path: "/metrics",
        says: &[
            (
                "# HELP DCGM_FI_DEV_POWER_USAGE Power draw (in W).\n# TYPE DCGM_FI_DEV_POWER_USAGE gauge\n\
                 DCGM_FI_DEV_POWER_USAGE{gpu=\"0\",UUID=\"GPU-a\",modelName=\"NVIDIA H100 80GB HBM3\"} 412.406000\n\
                 DCGM_FI_DEV_POWER_USAGE{gpu=\"1\",UUID=\"GPU-b\",modelName=\"NVIDIA H100 80GB HBM3\"} 70.138000\n",
                483,
            ),
            (
                "node_hwmon_power_average_watt{chip=\"a\",sensor=\"power1\"} 214\n",
                214,
            ),
            ("kepler_node_cpu_watts{zone=\"package\"} 55.5\n", 56),
            ("DCGM_FI_DEV_POWER_USAGE 0\n", 0),
        ],
        silent: "up 1\nDCGM_FI_DEV_GPU_TEMP{gpu=\"0\"} 41\n",
        wrong: "DCGM_FI_DEV_POWER_USAGE{gpu=\"0\"} 400\nDCGM_FI_DEV_POWER_USAGE{gpu=\"1\"} NaN\n",
    },
    Way {
        kind: MeterKind::Redfish,
        path: "/redfish/v1/Chassis/1U/Power",
        says: &[
            (
                r##"{"@odata.type":"#Power.v1_7_0.Power","Id":"Power","PowerControl":[{"MemberId":"0","Name":"Server Power Control",
                   "PowerConsumedWatts":344,"PowerCapacityWatts":800,"PowerLimit":{"LimitInWatts":500}}]}"##,
                344,
            ),
            (
                r##"{"@odata.type":"#EnvironmentMetrics.v1_3_0.EnvironmentMetrics","PowerWatts":{"DataSourceUri":
                   "/redfish/v1/Chassis/1U/Sensors/TotalPower","Reading":374.4}}"##,
                374,
            ),
            (
                r##"{"@odata.type":"#Sensor.v1_7_0.Sensor","ReadingType":"Power","ReadingUnits":"W","Reading":10400}"##,
                10_400,
            ),
        ],
        silent: r#"{"ReadingUnits":"Cel","Reading":41}"#,
        wrong: r#"{"PowerControl":[{"PowerConsumedWatts":null}]}"#,
    },
];

fn meter(way: &Way, pages: &Pages, key_file: Option<PathBuf>) -> Box<dyn PowerMeter> {
    let meter = Meter {
        id: "pdu".to_owned(),
        site: "pohang".to_owned(),
        replica: None,
        nodes: None,
        kind: way.kind,
        url: Some(pages.url(way.path)),
        metric: None,
        key_file,
        accelerators: Vec::new(),
    };
    let client = EngineClient::new(ClientOptions::default()).unwrap();
    meter_of(&meter, &client).unwrap()
}

#[tokio::test]
async fn what_is_said_is_read() {
    for way in &WAYS {
        let pages = Pages::serve().await.unwrap();
        let meter = meter(way, &pages, None);
        for (body, watts) in way.says {
            pages.set(way.path, PageAnswer::Whole(200, (*body).to_owned()));
            let read = meter.read().await.map(|reading| reading.watts);
            assert_eq!(read, Ok(*watts), "{body}");
        }
    }
}

#[tokio::test]
async fn what_says_nothing_is_no_reading_and_says_why() {
    for way in &WAYS {
        let pages = Pages::serve().await.unwrap();
        let meter = meter(way, &pages, None);
        assert_eq!(meter.read().await, Err(MeterError::Refused(404)));
        pages.set(way.path, PageAnswer::Whole(503, way.says[0].0.to_owned()));
        assert_eq!(meter.read().await, Err(MeterError::Refused(503)));
        for body in [way.silent, "", "<html>login</html>", "{"] {
            pages.set(way.path, PageAnswer::Whole(200, body.to_owned()));
            let said = meter.read().await;
            assert!(
                matches!(said, Err(MeterError::Silent(_))),
                "{body:?}: {said:?}"
            );
        }
        pages.set(way.path, PageAnswer::Whole(200, way.wrong.to_owned()));
        let said = meter.read().await;
        assert!(matches!(said, Err(MeterError::NoNumber(_))), "{said:?}");
        pages.set(way.path, PageAnswer::Cut(way.says[0].0.to_owned()));
        let said = meter.read().await;
        assert!(matches!(said, Err(MeterError::Away(_))), "{said:?}");
        drop(pages);
        let said = meter.read().await;
        assert!(matches!(said, Err(MeterError::Away(_))), "{said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_answer_is_given_up() {
    for way in &WAYS {
        let pages = Pages::serve().await.unwrap();
        pages.set(way.path, PageAnswer::Silence);
        let said = meter(way, &pages, None).read().await.unwrap_err();
        assert!(said.to_string().contains("no answer within 3 s"), "{said}");
    }
}

#[tokio::test]
async fn a_key_is_shown_as_it_is_in_the_file_now() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    for way in &WAYS {
        let pages = Pages::serve().await.unwrap();
        pages.set(way.path, PageAnswer::Whole(200, way.says[0].0.to_owned()));
        let meter = meter(way, &pages, Some(file.clone()));
        std::fs::write(&file, "root:calvin\n").unwrap();
        meter.read().await.unwrap();
        std::fs::write(&file, "token-7").unwrap();
        meter.read().await.unwrap();
        let shown = pages.authorizations();
        let expected = ["Basic cm9vdDpjYWx2aW4=", "Bearer token-7"];
        assert_eq!(shown, expected.map(|text| Some(text.to_owned())));
        std::fs::remove_file(&file).unwrap();
        let said = meter.read().await.unwrap_err().to_string();
        assert!(said.contains("its key file"), "{said}");
        assert!(!said.contains("token-7"), "{said}");
    }
}

#[tokio::test]
async fn a_counter_of_energy_is_read_as_power() {
    let pages = Pages::serve().await.unwrap();
    let way = &WAYS[0];
    let meter = meter(way, &pages, None);
    let count = |joules: f64| {
        let body = format!("kepler_node_platform_joules_total{{source=\"acpi\"}} {joules}\n");
        pages.set(way.path, PageAnswer::Whole(200, body));
    };
    count(1e6);
    let first = meter.read().await;
    assert!(matches!(first, Err(MeterError::Silent(_))), "{first:?}");
    count(1e6);
    let still = MeterReading {
        watts: 0,
        millijoules: Some(1_000_000_000),
    };
    assert_eq!(meter.read().await, Ok(still));
    count(2e6);
    assert!(meter.read().await.is_ok_and(|read| read.watts > 1_000));
    count(5.0);
    let anew = meter.read().await;
    assert!(matches!(anew, Err(MeterError::Silent(_))), "{anew:?}");
}

#[tokio::test]
async fn what_the_dcgm_exporter_counts_is_read_beside_its_watts() {
    let pages = Pages::serve().await.unwrap();
    let way = &WAYS[0];
    let meter = meter(way, &pages, None);
    let watts = "DCGM_FI_DEV_POWER_USAGE{gpu=\"0\"} 400\nDCGM_FI_DEV_POWER_USAGE{gpu=\"1\"} 70\n";
    let check = async |counts: &str, millijoules| {
        pages.set(way.path, PageAnswer::Whole(200, format!("{watts}{counts}")));
        let expected = MeterReading {
            watts: 470,
            millijoules,
        };
        assert_eq!(meter.read().await, Ok(expected), "{counts}");
    };
    let name = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION";
    check("", None).await;
    let two = format!("{name}{{gpu=\"0\"}} 5000000\n{name}{{gpu=\"1\"}} 7\n");
    check(&two, Some(5_000_007)).await;
    for wrong in ["NaN", "-1", "1e300"] {
        check(&format!("{name}{{gpu=\"0\"}} {wrong}\n"), None).await;
    }
}

#[tokio::test]
async fn a_machine_without_the_driver_says_so() {
    let said = NvmlPowerMeter::of(None, Vec::new()).read().await;
    assert!(
        matches!(&said, Err(MeterError::Away(why)) if why.contains("driver is not on this machine")),
        "{said:?}"
    );
}
