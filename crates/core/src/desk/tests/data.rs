//! Where a job's data is, and what it costs to move it.

use super::sites::{Two, of, site, won};
use super::*;
use madang_types::{JobStage, MicroWon};

fn stage(from: &str, to: &str, bytes: Option<u64>) -> JobStage {
    JobStage {
        from: from.to_owned(),
        to: to.to_owned(),
        sha256: None,
        bytes,
    }
}

/// A job that brings so many gigabytes from a store at `busan`, over 1 Gbit/s.
fn brings(id: u64, gigabytes: Option<u64>, minutes: u64) -> Job {
    let mut job = of(id, 4, minutes);
    let bytes = gigabytes.map(|gigabytes| gigabytes * 1_000_000_000);
    job.spec.inputs = vec![stage("s3://corpus/hanbit/all.tar", "all.tar", bytes)];
    job
}

fn stores() -> DataPlaces {
    let place = |prefix: &str, sites: &[&str], stays| DataPlace {
        prefix: prefix.to_owned(),
        sites: sites.iter().map(|id| site(id)).collect(),
        stays,
    };
    DataPlaces {
        stands: vec![
            place("s3://corpus/", &["pohang"], false),
            place("s3://corpus/{tenant}/", &["busan"], false),
            place("/data", &["busan"], true),
        ],
        links: BTreeMap::new(),
        link: Some(Link {
            mbit_per_s: 1_000,
            gigabyte: won(10),
        }),
    }
}

#[test]
fn a_job_goes_where_its_data_is_unless_another_place_saves_more_than_the_move_costs() {
    let begins = |job: Job| {
        let mut two = Two::priced([Some(5_000), Some(6_000)]);
        two.tell(|sites| sites.data = stores());
        let on = two.comes(0, job);
        (on.unwrap(), two.last().first().map(|one| one.data))
    };
    // 900 GB take two hours: 4 accelerators wait for 40,000 won, and 9,000 are paid. Ten hours elsewhere save 40,000.
    let (on, data) = begins(brings(1, Some(900), 600));
    assert_eq!((on.as_str(), data), ("b", Some(MicroWon(0))));
    let (on, data) = begins(brings(1, Some(900), 1_200));
    assert_eq!((on.as_str(), data), ("a", Some(won(49_000))));
    // Of what nobody said how large it is nothing is known.
    let (on, data) = begins(brings(1, None, 60));
    assert_eq!((on.as_str(), data), ("a", Some(MicroWon(0))));
    // What is kept is moved too.
    let mut job = of(1, 4, 60);
    job.spec.outputs = vec![stage(
        "out",
        "s3://corpus/hanbit/out",
        Some(1_000_000_000_000),
    )];
    assert_eq!(begins(job).0, "b");
}

#[test]
fn what_stands_at_one_site_alone_is_used_there() {
    let check = |name: &str, expected: &str| {
        let mut two = Two::priced([Some(5_000), Some(6_000)]);
        two.tell(|sites| sites.data = stores());
        let mut job = of(1, 4, 60);
        job.spec.inputs = vec![stage(name, "in", None)];
        assert_eq!(two.comes(0, job).as_deref(), Some(expected), "{name}");
    };
    check("/data/in", "b");
    check("/data", "b");
    check("/database/in", "a");
    check("data/in", "a");
}

#[test]
fn an_output_of_a_task_may_be_wherever_its_number_leads() {
    let outputs = |to: &str| -> Vec<String> {
        let mut data = stores();
        data.stands[1].prefix = "s3://corpus/7/".to_owned();
        let mut job = of(1, 4, 60);
        job.spec.outputs = vec![stage("out", to, None)];
        data.outputs(&job)
            .map(|(_, site)| site.to_string())
            .collect()
    };
    assert_eq!(outputs("s3://corpus/6/x"), ["pohang"]);
    assert_eq!(outputs("s3://corpus/7/x"), ["busan"]);
    assert_eq!(outputs("s3://corpus/{task}/x"), ["busan", "pohang"]);
    assert_eq!(outputs("s3://corpus/x/{task}"), ["pohang"]);
}

#[test]
fn a_job_whose_data_is_where_no_machines_are_says_so() {
    let mut two = Two::priced([None, None]);
    two.tell(|sites| {
        let mut data = stores();
        data.stands[2].sites = [site("daejeon")].into();
        sites.data = data;
    });
    let mut job = of(1, 4, 60);
    job.spec.inputs = vec![stage("/data/in", "in", None)];
    assert_eq!(two.comes(0, job), None);
    let why = two.desk.waits(at(0), JobId(1)).unwrap().why;
    assert!(
        why.contains("a at pohang: /data/in is at daejeon alone"),
        "{why}"
    );
}
