//! What a run asks for, and what Slurm's own books say of it.

use super::*;
use crate::conformance::{output, run, until_ended, until_running, until_status};
use madang_executor::jobs::{JobsError, RunMeter, RunStatus, StopHow};
use madang_types::{
    BusySource, Measured, Micros, NodesId, RunOutcome, RunPiece, RunRecord, RunState,
};

of_each_release!(
    accelerators_are_given_and_told,
    who_waits_is_told_why_and_withdrawn_without_a_start,
    a_cluster_says_when_it_would_begin_a_run,
    what_can_never_run_is_refused,
    times_are_those_of_sacct,
    how_busy_a_run_is_is_told_by_processor_time_where_nobody_gathers_more,
);

fn pieces(count: usize, accelerators: u16, share_milli: u32) -> Vec<RunPiece> {
    let piece = RunPiece {
        node: 0,
        accelerators: (0..accelerators).collect(),
        share_milli,
        cpu_milli: 1_000,
        memory_mib: 64,
    };
    vec![piece; count]
}

async fn accelerators_are_given_and_told(release: SlurmRelease) {
    for shape in [daemon, programs] {
        let Some(mut site) = Site::shared(release, shape) else {
            return;
        };
        site.options.shards = Some(4);
        let atoms = NodesId::new("atoms").unwrap();
        site.options
            .gres
            .insert(atoms.clone(), "npu:atom".to_owned());
        site.restart();
        let mut job = 0;
        let mut check = async |kind: &str,
                               variable: &str,
                               pieces: Vec<RunPiece>,
                               expected: &str| {
            job += 1;
            let told = format!(
                "set -- $(echo ${variable} | tr , ' '); echo $# on $SLURM_JOB_NUM_NODES; [ \"${variable}\" = \"$MADANG_ACCELERATORS\" ]"
            );
            let mut spec = site.script(job, &told);
            spec.accelerator = kind.to_owned();
            if kind == "atom" {
                spec.nodes = atoms.clone();
            }
            spec.device_variable = Some(variable.to_owned());
            spec.pieces = pieces;
            let end = run(&site, spec.clone()).await;
            assert_eq!(
                output(&site, spec.run).await,
                expected,
                "{kind} {:?}",
                spec.pieces
            );
            assert_eq!(end.outcome, RunOutcome::Completed);
        };
        check(
            "h200",
            "CUDA_VISIBLE_DEVICES",
            pieces(1, 2, 1_000),
            "2 on 1\n",
        )
        .await;
        check(
            "h200",
            "CUDA_VISIBLE_DEVICES",
            pieces(2, 8, 1_000),
            "8 on 2\n",
        )
        .await;
        check(
            "h200",
            "CUDA_VISIBLE_DEVICES",
            pieces(1, 1, 500),
            "1 on 1\n",
        )
        .await;
        check("atom", "RBLN_DEVICES", pieces(1, 3, 1_000), "3 on 1\n").await;
        check(
            "h200",
            "CUDA_VISIBLE_DEVICES",
            pieces(1, 0, 1_000),
            "0 on 1\n",
        )
        .await;
    }
}

async fn who_waits_is_told_why_and_withdrawn_without_a_start(release: SlurmRelease) {
    let Some(site) = Site::shared(release, daemon) else {
        return;
    };
    let mut first = site.script(1, "sleep 1000");
    first.accelerator = "b200".to_owned();
    first.pieces = pieces(1, 8, 1_000);
    let mut second = first.clone();
    second.run = run_id(2);
    site.executor().start(first.clone()).await.unwrap();
    until_running(&site, first.run).await;
    site.executor().start(second.clone()).await.unwrap();
    let told = |status: &RunStatus| match status {
        RunStatus::Preparing { why } => why.contains("expected to begin at 20"),
        _ => false,
    };
    until_status(&site, second.run, told).await;
    for spec in [&second, &first] {
        site.executor()
            .stop(spec.run, StopHow::Cancel)
            .await
            .unwrap();
        let end = until_ended(&site, spec.run).await;
        assert_eq!(end.outcome, RunOutcome::Cancelled);
        assert_eq!(end.started_at.is_some(), spec.run == first.run);
    }
}

async fn a_cluster_says_when_it_would_begin_a_run(release: SlurmRelease) {
    let Some(site) = Site::shared(release, programs) else {
        return;
    };
    let mut first = site.script(1, "sleep 1000");
    first.accelerator = "b200".to_owned();
    first.pieces = pieces(1, 8, 1_000);
    site.executor().start(first.clone()).await.unwrap();
    until_running(&site, first.run).await;
    let mut asked = first.clone();
    asked.run = run_id(2);
    let said = site.executor().foretell(&asked).await.unwrap().unwrap();
    // The first one has a time limit of eleven minutes there.
    let now = jiff::Timestamp::now().as_microsecond();
    assert!(said.0 > now + 500_000_000, "{said:?} at {now}");
    assert_eq!(site.executor().look(asked.run).await, Ok(None));
    asked.pieces = pieces(1, 9, 1_000);
    let never = site.executor().foretell(&asked).await;
    assert!(
        matches!(&never, Err(JobsError::Refused(why)) if why.contains("node configuration")),
        "{never:?}"
    );
    site.executor()
        .stop(first.run, StopHow::Cancel)
        .await
        .unwrap();
    until_ended(&site, first.run).await;
    // A REST daemon has no word for that.
    let site = Site::shared(release, daemon).unwrap();
    assert_eq!(site.executor().foretell(&first).await, Ok(None));
}

async fn what_can_never_run_is_refused(release: SlurmRelease) {
    for shape in [daemon, programs] {
        let Some(mut site) = Site::shared(release, shape) else {
            return;
        };
        let mut check = async |account: Option<&str>, accelerators: u16| {
            site.options.account = account.map(str::to_owned);
            site.restart();
            let mut spec = site.script(1, "exit 0");
            spec.pieces = pieces(1, accelerators, 1_000);
            let refused = site.executor().start(spec.clone()).await;
            assert!(matches!(refused, Err(JobsError::Refused(_))), "{refused:?}");
            assert_eq!(site.executor().look(spec.run).await, Ok(None));
        };
        check(Some("root"), 9).await;
        // The tenant's own account, which nobody has made.
        check(None, 1).await;
    }
}

async fn times_are_those_of_sacct(release: SlurmRelease) {
    let Some(site) = Site::shared(release, daemon) else {
        return;
    };
    let mut ends = Vec::new();
    for (job, text) in [
        (1, "exit 0"),
        (2, "sleep 2"),
        (3, "sleep 3; exit 4"),
        (4, "kill -TERM $$"),
    ] {
        let spec = site.script(job, text);
        site.executor().start(spec.clone()).await.unwrap();
        ends.push(spec.run);
    }
    let cancelled = site.script(5, "sleep 1000");
    site.executor().start(cancelled.clone()).await.unwrap();
    until_running(&site, cancelled.run).await;
    site.executor()
        .stop(cancelled.run, StopHow::Cancel)
        .await
        .unwrap();
    ends.push(cancelled.run);
    for run in ends {
        let end = until_ended(&site, run).await;
        let second = |at: Micros| at.0 / 1_000_000;
        let (from, to) = (second(end.started_at.unwrap()), second(end.ended_at));
        let ours = format!("{from}|{to}|{}", to - from);
        let line = format!(
            "SLURM_TIME_FORMAT=%s sacct -X -n -P -o Start,End,ElapsedRaw -S now-1hours --name={}-{run}",
            site.options.prefix
        );
        until_told(&site.cluster, &line, &ours).await;
    }
}

/// What that cluster's accounting tells of a run that holds so many accelerators, once it tells something.
async fn measured(site: &Site, spec: &RunSpec, accelerator_milli: u64) -> Measured {
    let record = RunRecord {
        run: spec.run,
        nodes: spec.nodes.clone(),
        place: None,
        pieces: spec.pieces.clone(),
        accelerator_milli,
        state: RunState::Running,
        stop: None,
        created_at: Micros(0),
        started_at: None,
        end: None,
        charge: None,
        unseen_since: None,
        unseen_until: None,
        candidates: Vec::new(),
    };
    for _ in 0..1_200 {
        let told = site.executor().measure(std::slice::from_ref(&record)).await;
        // It gathers each second, and a job of no second's age was given nothing yet.
        match told.unwrap().first() {
            Some((run, measured)) if *run == spec.run => return *measured,
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    panic!("waited too long");
}

async fn how_busy_a_run_is_is_told_by_processor_time_where_nobody_gathers_more(
    release: SlurmRelease,
) {
    let Some(site) = Site::shared(release, programs) else {
        return;
    };
    let (works, idles) = (
        site.script(1, "while :; do :; done"),
        site.script(2, "sleep 1000"),
    );
    for spec in [&works, &idles] {
        site.executor().start(spec.clone()).await.unwrap();
        until_running(&site, spec.run).await;
    }
    let idle = measured(&site, &idles, 2_000).await;
    assert_eq!(site.executor().source(idle), BusySource::SlurmCpu);
    let permille = |measured| match measured {
        Measured::SoFar(permille) => permille,
        Measured::Now(_) => panic!("no GPU of it is gathered"),
    };
    assert!(permille(idle) < 300, "{idle:?}");
    // However slow this machine is, it comes to use more.
    let mut busy = 0;
    for _ in 0..600 {
        busy = permille(measured(&site, &works, 1_000).await);
        if busy > permille(idle) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(busy > permille(idle), "{busy}");
    for spec in [&works, &idles] {
        site.executor()
            .stop(spec.run, StopHow::Cancel)
            .await
            .unwrap();
        until_ended(&site, spec.run).await;
    }
}
