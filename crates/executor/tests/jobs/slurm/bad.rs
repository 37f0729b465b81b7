//! What others do to a run there: its site's people, its machines, the cluster's own rules.

use super::*;
use crate::conformance::{until_ended, until_running};
use madang_executor::jobs::{JobsError, StopHow};
use madang_types::{Micros, RunEnd, RunOutcome};

of_each_release!(
    what_the_site_withdraws_is_withdrawn,
    what_the_site_queues_again_has_made_room,
    slurms_own_time_limit_is_one,
    who_is_preempted_by_the_sites_own_rule_has_made_room,
    a_machine_that_fails_loses_its_run_and_a_cluster_that_goes_loses_no_word,
);

/// Waits until the accounting has that of a run's first stretch, and has the same times as its end.
async fn is_accounted(site: &Site, run: madang_types::RunId, end: &RunEnd, state: &str) {
    let second = |at: Micros| at.0 / 1_000_000;
    let (from, to) = (second(end.started_at.unwrap()), second(end.ended_at));
    let line = format!(
        "SLURM_TIME_FORMAT=%s sacct -X -n -P -D -o State,Start,End,ElapsedRaw -S now-1hours --name={}-{run} | head -n 1 | sed 's/ by [0-9]*//'",
        site.options.prefix
    );
    until_told(
        &site.cluster,
        &line,
        &format!("{state}|{from}|{to}|{}", to - from),
    )
    .await;
}

/// A run that runs until it is ended, and the number of its job.
async fn running(site: &Site, job: u64) -> (RunSpec, String) {
    let spec = site.script(job, "sleep 1000");
    begun(site, spec).await
}

async fn begun(site: &Site, spec: RunSpec) -> (RunSpec, String) {
    site.executor().start(spec.clone()).await.unwrap();
    until_running(site, spec.run).await;
    let name = format!("{}-{}", site.options.prefix, spec.run);
    let id = site
        .cluster
        .run(&format!("squeue -h -o %A --name={name}"))
        .unwrap();
    (spec, id)
}

async fn is_gone(site: &Site, id: &str) {
    let line = format!("squeue -h -t PD,R,CG,CF -o %A | grep -x {id} || true");
    until_told(&site.cluster, &line, "").await;
}

async fn what_the_site_withdraws_is_withdrawn(release: SlurmRelease) {
    for shape in [daemon, programs] {
        let Some(site) = Site::shared(release, shape) else {
            return;
        };
        let (spec, id) = running(&site, 1).await;
        site.cluster.run(&format!("scancel {id}")).unwrap();
        let end = until_ended(&site, spec.run).await;
        assert_eq!(end.outcome, RunOutcome::Cancelled);
        is_accounted(&site, spec.run, &end, "CANCELLED").await;
        is_gone(&site, &id).await;
    }
}

async fn what_the_site_queues_again_has_made_room(release: SlurmRelease) {
    for shape in [daemon, programs] {
        let Some(mut site) = Site::shared(release, shape) else {
            return;
        };
        let (spec, id) = running(&site, 1).await;
        // It is known over a restart which stretch is ours.
        site.restart();
        let again = format!("scontrol update job {id} requeue=1 && scontrol requeue {id}");
        site.cluster.run(&again).unwrap();
        let end = until_ended(&site, spec.run).await;
        assert_eq!(end.outcome, RunOutcome::Stopped);
        is_accounted(&site, spec.run, &end, "REQUEUED").await;
        is_gone(&site, &id).await;
    }
}

async fn slurms_own_time_limit_is_one(release: SlurmRelease) {
    let Some(site) = Site::shared(release, daemon) else {
        return;
    };
    let (spec, id) = running(&site, 1).await;
    site.cluster
        .run(&format!("scontrol update job {id} EndTime=now+1"))
        .unwrap();
    let end = until_ended(&site, spec.run).await;
    assert_eq!(end.outcome, RunOutcome::TimedOut);
    is_accounted(&site, spec.run, &end, "TIMEOUT").await;
    is_gone(&site, &id).await;
}

async fn who_is_preempted_by_the_sites_own_rule_has_made_room(release: SlurmRelease) {
    let Some(mut site) = Site::shared(release, programs) else {
        return;
    };
    let pid = std::process::id();
    for line in [
        format!("sacctmgr -i add qos low{pid}"),
        format!("sacctmgr -i add qos high{pid} preempt=low{pid} priority=100"),
        format!("sacctmgr -i modify user root where account=root set qos+=low{pid},high{pid}"),
    ] {
        site.cluster.run(&line).unwrap();
    }
    site.options.qos = Some(format!("low{pid}"));
    let mut spec = site.script(1, "sleep 1000");
    spec.accelerator = "atom".to_owned();
    spec.nodes = madang_types::NodesId::new("atoms").unwrap();
    spec.pieces[0].accelerators = (0..8).collect();
    site.options
        .gres
        .insert(spec.nodes.clone(), "npu:atom".to_owned());
    site.restart();
    let (spec, id) = begun(&site, spec).await;
    let other = format!(
        "sbatch --parsable -A root -q high{pid} --gres=npu:atom:8 -o /dev/null --wrap true"
    );
    site.cluster.run(&other).unwrap();
    let end = until_ended(&site, spec.run).await;
    assert_eq!(end.outcome, RunOutcome::Stopped);
    is_accounted(&site, spec.run, &end, "PREEMPTED").await;
    is_gone(&site, &id).await;
}

async fn a_machine_that_fails_loses_its_run_and_a_cluster_that_goes_loses_no_word(
    release: SlurmRelease,
) {
    let Some(cluster) = Slurm::own(release).unwrap() else {
        return;
    };
    let site = Site::on(cluster, daemon);
    let (spec, id) = running(&site, 1).await;
    let node = site
        .cluster
        .run(&format!("squeue -h -o %N -j {id}"))
        .unwrap();
    site.cluster
        .run(&format!(
            "scontrol update nodename={node} state=down reason=test"
        ))
        .unwrap();
    let end = until_ended(&site, spec.run).await;
    let why = "a machine of it failed".to_owned();
    assert_eq!(end.outcome, RunOutcome::Lost { why });
    is_accounted(&site, spec.run, &end, "NODE_FAIL").await;
    is_gone(&site, &id).await;

    // The controller goes before it hears that a run is withdrawn.
    let (spec, id) = running(&site, 2).await;
    super::away::until_written(&site).await;
    site.cluster.kill("slurmctld").unwrap();
    let told = site.executor().stop(spec.run, StopHow::Cancel).await;
    assert!(matches!(told, Err(JobsError::Unavailable(_))), "{told:?}");
    site.cluster.start_controller().unwrap();
    site.executor()
        .stop(spec.run, StopHow::Cancel)
        .await
        .unwrap();
    let end = until_ended(&site, spec.run).await;
    assert_eq!(end.outcome, RunOutcome::Cancelled);
    is_gone(&site, &id).await;
}
