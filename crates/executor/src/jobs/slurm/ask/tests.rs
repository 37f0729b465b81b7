use super::*;
use crate::jobs::RunProgram;
use crate::jobs::slurm::options::SlurmPower;
use madang_types::{JobId, JobStage, NodesId, ProgrammeId, TaskId, TenantId};
use std::collections::BTreeMap;

pub(crate) fn options() -> SlurmOptions {
    let mut options = SlurmOptions::here("seoul", "/state".into(), "/scratch/madang".into());
    let atoms = NodesId::new("seoul-atom").unwrap();
    options.gres.insert(atoms, "npu:atom".to_owned());
    options
}

/// 8 h200 on one machine for an hour.
pub(crate) fn spec() -> RunSpec {
    RunSpec {
        run: RunId {
            task: TaskId::from(JobId(1042)),
            number: 1,
        },
        owner: (
            Some(ProgrammeId::new("ai-centre").unwrap()),
            TenantId::new("hanbit").unwrap(),
            None,
        ),
        name: "a test".to_owned(),
        priority: Priority::Standard,
        program: RunProgram::Command(vec!["train".to_owned(), "it's".to_owned()]),
        image: None,
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        nodes: NodesId::new("seoul-h200").unwrap(),
        accelerator: "h200".to_owned(),
        device_variable: Some("CUDA_VISIBLE_DEVICES".to_owned()),
        pieces: vec![RunPiece {
            node: 0,
            accelerators: (0..8).collect(),
            share_milli: 1000,
            cpu_milli: 15_500,
            memory_mib: 64_000,
        }],
        time_limit_ms: 3_600_000,
        checkpoint: None,
        inputs: Vec::new(),
        outputs: Vec::new(),
        tasks: 1,
        log_bytes_max: 1 << 20,
    }
}

pub(crate) fn ask(spec: &RunSpec) -> Ask {
    Ask::new(&options(), spec).unwrap()
}

fn refusal(options: &SlurmOptions, spec: &RunSpec) -> String {
    match Ask::new(options, spec) {
        Err(JobsError::Refused(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn names_of_the_site_go_before_those_of_the_owner() {
    let asked = ask(&spec());
    assert_eq!(
        (asked.account.as_str(), asked.qos.as_deref()),
        ("hanbit", Some("ai-centre"))
    );
    let mut options = options();
    options.account = Some("shared".to_owned());
    options.qos = Some("normal".to_owned());
    options.prefix = "other".to_owned();
    let asked = Ask::new(&options, &spec()).unwrap();
    assert_eq!(
        (asked.account.as_str(), asked.qos.as_deref()),
        ("shared", Some("normal"))
    );
    assert_eq!(asked.name, "other-1042-1");
}

#[test]
fn a_part_of_an_accelerator_is_shards() {
    let mut spec = spec();
    spec.pieces[0].accelerators = vec![0];
    spec.pieces[0].share_milli = 300;
    let mut options = options();
    assert!(refusal(&options, &spec).contains("share_milli = 1000"));
    options.shards = Some(4);
    let shards = |spec: &RunSpec| Ask::new(&options, spec).unwrap().gres_per_node();
    assert_eq!(shards(&spec).as_deref(), Some("shard:h200:2"));
    spec.pieces[0].accelerators = vec![0, 1];
    assert_eq!(shards(&spec).as_deref(), Some("shard:h200:4"));
}

#[test]
fn others_than_gpus_are_one_task_a_machine() {
    let mut spec = spec();
    spec.nodes = NodesId::new("seoul-atom").unwrap();
    spec.pieces = vec![spec.pieces[0].clone(), spec.pieces[0].clone()];
    let asked = ask(&spec);
    assert_eq!(asked.gres_per_node().as_deref(), Some("npu:atom:8"));
    assert!(asked.is_one_per_node() && asked.gpus_per_task().is_none());
    spec.pieces[1].cpu_milli = 1;
    assert!(refusal(&options(), &spec).contains("alike"));
    spec.pieces.clear();
    assert!(refusal(&options(), &spec).contains("nothing"));
}

#[test]
fn power_is_asked_for_in_whole_licences() {
    let mut options = options();
    let mut power = SlurmPower {
        licence: "kw@seoul".to_owned(),
        token_watts: 100,
        watts: BTreeMap::from([(NodesId::new("seoul-h200").unwrap(), 1_250)]),
    };
    options.power = Some(power.clone());
    let asked = Ask::new(&options, &spec()).unwrap();
    assert_eq!(asked.licences.as_deref(), Some("kw@seoul:100"));
    power.token_watts = 1_000;
    options.power = Some(power);
    let asked = |spec: &RunSpec| Ask::new(&options, spec).unwrap().licences;
    let mut spec = spec();
    assert_eq!(asked(&spec).as_deref(), Some("kw@seoul:10"));
    spec.pieces[0].accelerators = vec![0];
    assert_eq!(asked(&spec).as_deref(), Some("kw@seoul:2"));
    spec.pieces[0].accelerators = Vec::new();
    assert_eq!(asked(&spec), None);
    spec.pieces[0].accelerators = vec![0];
    spec.nodes = NodesId::new("seoul-b200").unwrap();
    assert!(refusal(&options, &spec).contains("how many watts an accelerator of seoul-b200"));
}

#[test]
fn what_no_site_can_do_is_refused() {
    let mut spec = spec();
    spec.image = Some("debian:12".to_owned());
    assert!(refusal(&options(), &spec).contains("image"));
    spec.image = None;
    spec.inputs = vec![JobStage {
        from: "s3://bucket/data".to_owned(),
        to: "data".to_owned(),
        sha256: None,
        bytes: None,
    }];
    assert!(refusal(&options(), &spec).contains("s3://bucket/data"));
    spec.inputs.clear();
    spec.program = RunProgram::Script("x".repeat(5 << 20));
    assert!(refusal(&options(), &spec).contains("bytes"));
}
